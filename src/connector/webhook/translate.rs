//! A notification → events of orders.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Map;

use super::WebhookError;
use crate::connector::authentic::{self, Given, Incoming};
use crate::connector::opened::Openers;
use crate::connector::payload::{self, BodyError};
use crate::connector::{content, masked};
use crate::definition::{Acknowledge, Connector, EvalError, Scope, Verify, WebhookEvent, Webhooks};
use crate::types::{EventId, EventName, Secret, Timestamp, Value};

/// What one notification tells of.
const ITEMS_MAX: usize = 100;
const TEXT_MAX: usize = 200;

/// What a notification says.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    pub event: EventName,
    /// Our reference: the key of a call, or the id of an order.
    pub correlate: String,
    /// Whose reference that is, if not ours: a name of the workflow's `references`.
    pub by: Option<String>,
    pub id: EventId,
    pub payload: Value,
}

/// What a notification tells of, and what its sender takes for "received" once that is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Understanding {
    pub told: Vec<Notification>,
    pub acknowledge: Acknowledged,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    pub status: u16,
    /// The exact body; none is an answer of ours in JSON.
    pub body: Option<String>,
    pub content_type: String,
}

/// It is not believed, or cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    #[error(transparent)]
    Unverified(#[from] WebhookError),
    #[error("the body is {0}")]
    Body(#[from] BodyError),
    #[error("{0}")]
    Encrypted(String),
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error("`each` is not a list of at most {ITEMS_MAX}")]
    NotAList,
    #[error("{0} is not a text of 1 to {TEXT_MAX} characters")]
    NotText(&'static str),
}

/// A notification as it came in.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// Lower-case names.
    pub headers: &'a BTreeMap<String, String>,
    /// What stands behind the `?` of the address, decoded.
    pub query: &'a Value,
    /// What stands behind the connector's name in the address: nothing, or `/` and more.
    pub path: &'a str,
    /// Byte for byte.
    pub body: &'a [u8],
    /// The address of the sender, where it is known.
    pub from: Option<IpAddr>,
}

/// What the configuration gives to the connector.
#[derive(Clone, Copy, Debug)]
pub struct WebhookConfig<'a> {
    pub secrets: &'a BTreeMap<String, Secret>,
    pub env: &'a BTreeMap<String, String>,
}

/// Which events a notification is: verified over the raw bytes, then read. What no rule asks for is left out. Every time
/// in `now` is good enough for the sender's clock. Secrets of ours that are repeated, as where they prove who sends, are not
/// in what is kept.
pub fn receive(
    connector: &Connector,
    webhooks: &Webhooks,
    config: &WebhookConfig<'_>,
    arrived: &Arrived<'_>,
    now: &[Timestamp],
) -> Result<Understanding, TranslateError> {
    understand(connector, webhooks, config, arrived, now, &mut Strict)
}

/// Sees what is decided on the way.
pub(super) trait Witness {
    /// Whether it is the provider's, by one of the checks: what this returns counts.
    fn believed(&mut self, checked: Result<(), WebhookError>) -> Result<(), WebhookError>;

    fn rule(&mut self, _rule: &WebhookEvent, _held: &Result<bool, EvalError>) {}
}

/// What is not believed goes no further.
struct Strict;

impl Witness for Strict {
    fn believed(&mut self, checked: Result<(), WebhookError>) -> Result<(), WebhookError> {
        checked
    }
}

pub(super) fn understand(
    connector: &Connector,
    webhooks: &Webhooks,
    config: &WebhookConfig<'_>,
    arrived: &Arrived<'_>,
    now: &[Timestamp],
    witness: &mut dyn Witness,
) -> Result<Understanding, TranslateError> {
    let secrets = connector.needs.secrets.iter().filter_map(|name| config.secrets.get(name)).flat_map(Secret::all);
    let secrets = masked::Texts::of(secrets);
    let mut understood = read(connector, webhooks, config, arrived, now, witness)?;
    for notification in &mut understood.told {
        notification.payload = masked::without(&secrets, std::mem::take(&mut notification.payload));
    }
    Ok(understood)
}

fn read(
    connector: &Connector,
    webhooks: &Webhooks,
    config: &WebhookConfig<'_>,
    arrived: &Arrived<'_>,
    now: &[Timestamp],
    witness: &mut dyn Witness,
) -> Result<Understanding, TranslateError> {
    if !webhooks.allow_from.is_empty() {
        let known = arrived.from.is_some_and(|from| webhooks.allow_from.iter().any(|net| net.contains(from)));
        witness.believed(if known { Ok(()) } else { Err(WebhookError::Sender) })?;
    }
    let env = env(connector, config);
    let given = Given { secrets: config.secrets, env: &env, tables: &connector.tables };
    let incoming = incoming(webhooks, arrived);
    if !webhooks.verify.is_of_each() {
        witness.believed(believe(&webhooks.verify, &given, &incoming, now))?;
    }
    let decrypted = match &webhooks.decrypt {
        Some(decrypt) => Openers::new(decrypt, config.secrets)
            .map_err(|(name, why)| WebhookError::UnfitKey(name, why))?
            .open(&given, &incoming)
            .map_err(TranslateError::Encrypted)?,
        None => Value::Null,
    };
    // What comes by `GET` says everything in its address.
    let body = match arrived.body {
        [] => Value::Object(Map::new()),
        body => payload::decode(body, webhooks.format)?,
    };
    let headers: Value =
        arrived.headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let raw = std::str::from_utf8(arrived.body).map_or(Value::Null, Value::from);
    let path = Value::from(arrived.path);
    let scope = Scope::new()
        .with("raw", &raw)
        .with("path", &path)
        .with("body", &body)
        .with("headers", &headers)
        .with("query", arrived.query)
        .with("decrypted", &decrypted)
        .with("env", &env)
        .with("tables", &connector.tables);
    let acknowledge = acknowledged(&webhooks.acknowledge, &scope)?;
    let Some(each) = &webhooks.each else {
        let told = translate(webhooks, &scope, &body, witness)?.into_iter().collect();
        return Ok(Understanding { told, acknowledge });
    };
    let items = match each.eval(&scope)? {
        Value::Array(items) if items.len() <= ITEMS_MAX => items,
        _ => return Err(TranslateError::NotAList),
    };
    if webhooks.verify.is_of_each() {
        // Before any of them counts: one that is not the provider's spoils them all.
        for item in &items {
            witness.believed(believe(&webhooks.verify, &given, &Incoming { item: Some(item), ..incoming }, now))?;
        }
    }
    let told = items.iter().map(|item| translate(webhooks, &scope.clone().with("item", item), item, witness));
    let told = told.filter_map(Result::transpose).collect::<Result<_, _>>()?;
    Ok(Understanding { told, acknowledge })
}

/// What expressions see as `env`.
pub(super) fn env(connector: &Connector, config: &WebhookConfig<'_>) -> Value {
    let env = connector.needs.env.iter();
    env.filter_map(|name| Some((name.clone(), Value::from(config.env.get(name)?.as_str())))).collect()
}

pub(super) fn incoming<'a>(webhooks: &Webhooks, arrived: &Arrived<'a>) -> Incoming<'a> {
    let Arrived { headers, query, path, body, from: _ } = *arrived;
    Incoming { headers, query, path, status: None, body, format: webhooks.format, item: None }
}

fn acknowledged(wanted: &Acknowledge, scope: &Scope<'_>) -> Result<Acknowledged, TranslateError> {
    let body = wanted.body.as_ref().map(|body| body.render(scope)).transpose()?;
    let body = body.map(|body| match body {
        Value::String(text) => text,
        other => other.to_string(),
    });
    Ok(Acknowledged { status: wanted.status, body, content_type: wanted.content_type.clone() })
}

/// Good enough for one of the clocks.
fn believe(verify: &Verify, given: &Given<'_>, incoming: &Incoming<'_>, now: &[Timestamp]) -> Result<(), WebhookError> {
    let mut checked = Err(WebhookError::Timestamp);
    for now in now {
        checked = authentic::check(verify, given, incoming, *now);
        if checked != Err(WebhookError::Timestamp) {
            break;
        }
    }
    checked
}

/// The first rule whose `when` holds decides. None: a notification that nobody asked for, to be acknowledged and
/// forgotten. A `when` that cannot be evaluated does not hold.
fn translate(
    webhooks: &Webhooks,
    scope: &Scope<'_>,
    whole: &Value,
    witness: &mut dyn Witness,
) -> Result<Option<Notification>, TranslateError> {
    let nonce = Value::String(content::nonce());
    let scope = &scope.clone().with("nonce", &nonce);
    let rule = webhooks.events.iter().find(|rule| {
        let held = rule.when.as_ref().map_or(Ok(true), |when| when.eval_bool(scope));
        witness.rule(rule, &held);
        held.unwrap_or(false)
    });
    let Some(rule) = rule else { return Ok(None) };
    let correlate = text("correlate", &rule.correlate.eval(scope)?)?;
    let mut payload = match &rule.payload {
        Some(template) => template.render(scope)?,
        None => whole.clone(),
    };
    // The event alone has to say which call it settles.
    if let (Some(_), None, Value::Object(fields)) = (rule.settles, &rule.by, &mut payload) {
        fields.insert("call".to_owned(), Value::from(correlate.as_str()));
    }
    let id = EventId::new(text("id", &rule.id.eval(scope)?)?);
    Ok(Some(Notification { event: rule.event.clone(), correlate, by: rule.by.clone(), id, payload }))
}

fn text(what: &'static str, value: &Value) -> Result<String, TranslateError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let fits = !text.is_empty() && text.chars().count() <= TEXT_MAX && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(TranslateError::NotText(what)) }
}
