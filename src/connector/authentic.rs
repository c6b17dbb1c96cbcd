//! Is it the provider's? Of notifications and of answers: checked over the bytes that came in.
//!
//! **Invariant.** Nothing of a body is interpreted before its signature fits, unless the signature is about the fields of
//! the body; then they are parsed, within bounds, and nothing else is done with them.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;

use super::content;
use super::crypto::{self, Verifier};
use super::payload;
use super::webhook::{WebhookError, verify_standard_webhook};
use crate::definition::{LateValue, ReplyFormat, Scope, Signed, Verify};
use crate::types::{Secret, Timestamp, Value};

/// Rotation needs two; an attacker would like to try thousands.
const SIGNATURES_MAX: usize = 5;

/// What came in, not yet believed.
pub(super) struct Incoming<'a> {
    /// Lower-case names.
    pub(super) headers: &'a BTreeMap<String, String>,
    /// The parameters of the address.
    pub(super) query: &'a Value,
    /// What stands behind the connector's name in the address of a notification.
    pub(super) path: &'a str,
    pub(super) status: Option<u16>,
    pub(super) body: &'a [u8],
    pub(super) format: ReplyFormat,
    /// One of the things that it tells of, where each is signed.
    pub(super) item: Option<&'a Value>,
}

/// What the configuration gives to a check.
pub(super) struct Given<'a> {
    pub(super) secrets: &'a BTreeMap<String, Secret>,
    pub(super) env: &'a Value,
    pub(super) tables: &'a Value,
}

/// Fails unless it is the provider's, and recent.
pub(super) fn check(
    verify: &Verify,
    given: &Given<'_>,
    incoming: &Incoming<'_>,
    now: Timestamp,
) -> Result<(), WebhookError> {
    match verify {
        Verify::StandardWebhooks { secrets: names, tolerance } => {
            verify_standard_webhook(names, *tolerance, given.secrets, incoming.headers, incoming.body, now).map(drop)
        }
        Verify::SenderAddress => Ok(()),
        Verify::Any(ways) => any(ways, given, incoming, now),
        Verify::SharedSecret { secrets: names, given: expr } => {
            let read = Read::new(incoming)?;
            let shown = expr.eval(&read.scope(given)).map_err(unreadable)?;
            let shown = shown.as_str().ok_or(WebhookError::Signature)?.as_bytes();
            let mut fits = false;
            for name in names {
                for one in secret(given, &name.0)?.all() {
                    fits |= verify_slices_are_equal(one.reveal().as_bytes(), shown).is_ok();
                }
            }
            if fits { Ok(()) } else { Err(WebhookError::Signature) }
        }
        Verify::Basic { username, secrets: names } => {
            let username = env_text(username, given.env)?;
            let shown = incoming.headers.get("authorization").map(String::as_str).unwrap_or_default();
            let mut fits = false;
            for name in names {
                for one in secret(given, &name.0)?.all() {
                    let pair = format!("{username}:{}", one.reveal());
                    let wanted = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(pair));
                    fits |= verify_slices_are_equal(wanted.as_bytes(), shown.as_bytes()).is_ok();
                }
            }
            if fits { Ok(()) } else { Err(WebhookError::Signature) }
        }
        Verify::Signature(signed) => signature(signed, given, incoming, now),
    }
}

/// One of the ways is enough. Of several reasons, a time that does not fit tells most: with another clock it might.
fn any(ways: &[Verify], given: &Given<'_>, incoming: &Incoming<'_>, now: Timestamp) -> Result<(), WebhookError> {
    let mut told = Vec::with_capacity(ways.len());
    for way in ways {
        match check(way, given, incoming, now) {
            Ok(()) => return Ok(()),
            Err(error) => told.push(error),
        }
    }
    let telling = [WebhookError::Timestamp, WebhookError::Signature].into_iter().find(|error| told.contains(error));
    Err(telling.or_else(|| told.into_iter().next()).unwrap_or(WebhookError::Signature))
}

fn signature(signed: &Signed, given: &Given<'_>, incoming: &Incoming<'_>, now: Timestamp) -> Result<(), WebhookError> {
    let read = Read::new(incoming)?;
    let scope = read.scope(given);
    if let Some(expr) = &signed.timestamp {
        let at = moment(&expr.eval(&scope).map_err(unreadable)?).ok_or(WebhookError::Timestamp)?;
        if !within(at, now, signed.tolerance) {
            return Err(WebhookError::Timestamp);
        }
    }
    let tags = match signed.signature.eval(&scope).map_err(unreadable)? {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(|tag| tag.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    };
    if tags.len() > SIGNATURES_MAX {
        return Err(WebhookError::TooManySignatures);
    }
    let keys = keys(signed, given, &scope)?;
    // All are tried, whichever fits: how long it takes says nothing.
    let mut fits = false;
    for secrets in &turns(signed, given) {
        let content = content::render(&signed.content, &scope, secrets).map_err(WebhookError::Unreadable)?;
        for tag in tags.iter().filter_map(|tag| crypto::decode(tag, signed.encoding)) {
            for key in &keys {
                fits |= key.verify(content.as_bytes(), &tag);
            }
        }
    }
    if fits { Ok(()) } else { Err(WebhookError::Signature) }
}

/// The texts of which a signature has to be of one, with stars in the place of secrets. None where there is no such text, or
/// it cannot be made of what came in.
pub(super) fn signed_texts(verify: &Verify, given: &Given<'_>, incoming: &Incoming<'_>) -> Vec<String> {
    let signed = match verify {
        Verify::Signature(signed) => signed,
        Verify::Any(ways) => return ways.iter().flat_map(|way| signed_texts(way, given, incoming)).collect(),
        _ => return Vec::new(),
    };
    let stars = signed.content.secrets().map(|name| (name.0.clone(), Secret::new("***"))).collect();
    let text = |read: &Read<'_>| content::render(&signed.content, &read.scope(given), &stars).ok();
    Read::new(incoming).ok().and_then(|read| text(&read)).map(|text| text.to_string()).into_iter().collect()
}

/// What the secrets in the signed text may have been: as they are, and for each value beside the present one.
fn turns(signed: &Signed, given: &Given<'_>) -> Vec<BTreeMap<String, Secret>> {
    let named: Vec<(&String, &Secret)> =
        signed.content.secrets().filter_map(|name| given.secrets.get_key_value(&name.0)).collect();
    let most = named.iter().map(|(_, secret)| secret.all().count()).max().unwrap_or(1);
    let at = |turn: usize| {
        let value = |secret: &Secret| secret.all().nth(turn).unwrap_or(secret).clone();
        named.iter().map(|(name, secret)| ((*name).clone(), value(secret))).collect()
    };
    (0..most).map(at).collect()
}

/// The keys that may have signed: all of them, or the one that is named.
fn keys(signed: &Signed, given: &Given<'_>, scope: &Scope<'_>) -> Result<Vec<Verifier>, WebhookError> {
    let unfit = |name: &str, why: &'static str| WebhookError::UnfitKey(name.to_owned(), why);
    if signed.keys.is_empty() {
        return Verifier::new(signed.scheme, None, signed.key_format)
            .map(|key| vec![key])
            .map_err(|why| unfit("", why));
    }
    let named = match &signed.key_id {
        Some(expr) => Some(crate::definition::scalar_text(&expr.eval(scope).map_err(unreadable)?).unwrap_or_default()),
        None => None,
    };
    let chosen = signed.keys.iter().filter(|(id, _)| match (id, &named) {
        (Some(id), Some(named)) => id == named,
        _ => true,
    });
    let mut keys = Vec::new();
    for (_, name) in chosen {
        for one in secret(given, &name.0)?.all() {
            let key = Verifier::new(signed.scheme, Some(one), signed.key_format);
            keys.push(key.map_err(|why| unfit(&name.0, why))?);
        }
    }
    Ok(keys)
}

fn secret<'a>(given: &Given<'a>, name: &str) -> Result<&'a Secret, WebhookError> {
    given.secrets.get(name).ok_or_else(|| WebhookError::NoSecret(name.to_owned()))
}

fn env_text(text: &crate::definition::EnvText, env: &Value) -> Result<String, WebhookError> {
    let parts = text.0.iter().map(|part| match part {
        crate::definition::EnvPart::Text(text) => Ok(text.as_str()),
        crate::definition::EnvPart::Env(name) => env[name.as_str()]
            .as_str()
            .ok_or_else(|| WebhookError::Unreadable(format!("the environment has no {name}"))),
    });
    parts.collect()
}

fn unreadable(error: crate::definition::EvalError) -> WebhookError {
    WebhookError::Unreadable(error.to_string())
}

/// Runs something with what expressions see of what came in.
pub(super) fn scope_of<T>(
    given: &Given<'_>,
    incoming: &Incoming<'_>,
    run: impl FnOnce(&Scope<'_>) -> T,
) -> Result<T, String> {
    let read = Read::new(incoming).map_err(|error| error.to_string())?;
    Ok(run(&read.scope(given)))
}

/// Seconds or milliseconds since 1970, or RFC 3339.
fn moment(value: &Value) -> Option<Timestamp> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) if text.len() <= 13 && text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Value::String(text) => return text.parse().ok(),
        _ => None,
    };
    // A second of the year 5138 has eleven digits; a millisecond since 1973 has more.
    number.map(|number| Timestamp::from_unix_ms(if number < 100_000_000_000 { number * 1_000 } else { number }))
}

fn within(timestamp: Timestamp, now: Timestamp, tolerance: Duration) -> bool {
    timestamp.since(now) <= tolerance && now.since(timestamp) <= tolerance
}

/// What expressions see of what came in.
struct Read<'a> {
    raw: Value,
    path: Value,
    headers: Value,
    status: Value,
    query: &'a Value,
    item: Option<&'a Value>,
    body: Parsed<'a>,
}

/// The body, parsed only when an expression asks for a field of it.
struct Parsed<'a> {
    bytes: &'a [u8],
    format: ReplyFormat,
    value: OnceCell<Value>,
}

impl LateValue for Parsed<'_> {
    fn value(&self) -> &Value {
        self.value.get_or_init(|| payload::decode(self.bytes, self.format).unwrap_or(Value::Null))
    }
}

impl<'a> Read<'a> {
    fn new(incoming: &Incoming<'a>) -> Result<Self, WebhookError> {
        let raw = std::str::from_utf8(incoming.body);
        let raw = raw.map_err(|_| WebhookError::Unreadable("the body is not text in UTF-8".to_owned()))?;
        let headers = incoming.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
        Ok(Self {
            raw: Value::from(raw),
            path: Value::from(incoming.path),
            headers: headers.collect(),
            status: incoming.status.map_or(Value::Null, Value::from),
            query: incoming.query,
            item: incoming.item,
            body: Parsed { bytes: incoming.body, format: incoming.format, value: OnceCell::new() },
        })
    }

    fn scope(&'a self, given: &Given<'a>) -> Scope<'a> {
        let scope = match self.item {
            Some(item) => Scope::new().with("item", item),
            None => Scope::new(),
        };
        scope
            .with("raw", &self.raw)
            .with("path", &self.path)
            .with("headers", &self.headers)
            .with("status", &self.status)
            .with("query", self.query)
            .with("env", given.env)
            .with("tables", given.tables)
            .with_late("body", &self.body)
    }
}
