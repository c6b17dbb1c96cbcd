//! Reads a reply: bounded after decompression, believed or not, and parsed.

use std::collections::BTreeMap;

use reqwest::Response;
use reqwest::header::{self, HeaderMap};
use serde_json::Map;

use super::retry_after::retry_after;
use super::send::Failure;
use crate::connector::authentic::{self, Given, Incoming};
use crate::connector::classify::{Body, Doubt, Reply};
use crate::connector::config::Clock;
use crate::connector::json::JsonError;
use crate::connector::masked;
use crate::connector::opened::Openers;
use crate::connector::payload::{self, BodyError};
use crate::connector::webhook::WebhookError;
use crate::definition::{ReplyFormat, Verify};
use crate::types::{Secret, Value};

/// How the replies of one call are read.
pub(super) struct Reader<'a> {
    pub(super) body_max: usize,
    pub(super) format: ReplyFormat,
    /// What must not come back: a provider that echoes requests would have it journaled.
    pub(super) secrets: Vec<&'a Secret>,
    /// The same, of what is kept nowhere: also where it is short.
    pub(super) volatile: &'a [Secret],
    pub(super) verify: Option<&'a Verify>,
    pub(super) openers: Option<Openers<'a>>,
    pub(super) given: Given<'a>,
    pub(super) clock: &'a Clock,
}

impl Reader<'_> {
    /// Whatever fails here fails after the request was sent.
    pub(super) async fn read(&self, mut response: Response) -> Result<Reply, Failure> {
        let status = response.status().as_u16();
        let mut bytes = Vec::new();
        loop {
            let chunk = response.chunk().await;
            let chunk = chunk.map_err(|_| Failure::unknown(format!("status {status}, but the body was cut off")))?;
            let Some(chunk) = chunk else { break };
            if bytes.len() + chunk.len() > self.body_max {
                let max = self.body_max;
                return Err(Failure::unknown(format!("status {status}, but the body is larger than {max} bytes")));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(self.understand(status, response.headers(), &bytes))
    }

    /// The reply that these bytes are.
    pub(super) fn understand(&self, status: u16, headers: &HeaderMap, bytes: &[u8]) -> Reply {
        let names = texts(headers);
        let (doubted, decrypted) = self.believe(status, &names, bytes);
        let volatile = self.volatile.iter();
        let secrets = masked::Texts::of(self.secrets.iter().copied().chain(volatile.clone())).and_short(volatile);
        let shown = |(name, text)| (name, Value::String(masked::without_in(&secrets, text)));
        Reply {
            status,
            headers: Value::Object(names.into_iter().map(shown).collect::<Map<_, _>>()),
            body: match self.body(headers, bytes) {
                Body::Json(value) => Body::Json(masked::without(&secrets, value)),
                other => other,
            },
            decrypted: masked::without(&secrets, decrypted),
            doubted,
            retry_after_ms: retry_after(headers, self.clock),
        }
    }

    /// Why it is not known to be the provider's; and what of it was encrypted.
    fn believe(&self, status: u16, headers: &BTreeMap<String, String>, bytes: &[u8]) -> (Option<Doubt>, Value) {
        let query = Value::Null;
        let format = if self.format == ReplyFormat::SaysJson { ReplyFormat::Json } else { self.format };
        let incoming =
            Incoming { headers, query: &query, path: "", status: Some(status), body: bytes, format, item: None };
        let checked = match self.verify {
            Some(verify) => authentic::check(verify, &self.given, &incoming, (self.clock)()),
            None => Ok(()),
        };
        if let Err(error) = checked {
            let unsigned = matches!(error, WebhookError::Header(_) | WebhookError::Unreadable(_));
            return (Some(Doubt { why: error.to_string(), unsigned }), Value::Null);
        }
        match self.openers.as_ref().map(|openers| openers.open(&self.given, &incoming)) {
            None => (None, Value::Null),
            Some(Ok(value)) => (None, value),
            Some(Err(why)) => (Some(Doubt { why, unsigned: false }), Value::Null),
        }
    }

    fn body(&self, headers: &HeaderMap, bytes: &[u8]) -> Body {
        if bytes.is_empty() {
            return Body::Empty;
        }
        if self.format == ReplyFormat::SaysJson && !is_json(headers) {
            return Body::Foreign;
        }
        match payload::decode(bytes, self.format) {
            Ok(value) => Body::Json(value),
            Err(BodyError::Json(JsonError::Syntax)) => Body::Broken("not JSON"),
            Err(BodyError::Json(JsonError::TooDeep)) => Body::Broken("nested too deeply"),
            Err(BodyError::Json(JsonError::DuplicateKey)) => Body::Broken("ambiguous: it has a key twice"),
            Err(BodyError::Form) => Body::Broken("not a form"),
            Err(BodyError::Xml) => Body::Broken("not XML"),
            Err(BodyError::Text) => Body::Broken("not text"),
        }
    }
}

/// `application/json` or `application/…+json`, in UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(text) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let text = text.to_ascii_lowercase();
    let mut parts = text.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let json = kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"));
    let utf8 = parts.filter_map(|part| part.strip_prefix("charset=")).all(|set| set.trim_matches('"') == "utf-8");
    json && utf8
}

/// The client bounds how many there are. Repeated ones are joined, as HTTP says they may be.
fn texts(headers: &HeaderMap) -> BTreeMap<String, String> {
    let joined = |name: &header::HeaderName| {
        let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (name.as_str().to_owned(), values.join(", "))
    };
    headers.keys().map(joined).collect()
}
