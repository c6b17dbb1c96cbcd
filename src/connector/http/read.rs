//! Reads a reply: bounded after decompression, and parsed.

use bytes::BytesMut;
use reqwest::Response;
use reqwest::header::{self, HeaderMap};
use serde_json::Map;

use super::retry_after::retry_after;
use super::send::Failure;
use crate::connector::classify::{Body, Reply};
use crate::connector::config::Clock;
use crate::connector::json::{JsonError, parse_json};
use crate::types::{Secret, Value};

const SECRET_MIN: usize = 8;

/// Whatever fails here fails after the request was sent.
pub(super) async fn read_reply(
    mut response: Response,
    body_max: usize,
    secret: Option<&Secret>,
    clock: &Clock,
) -> Result<Reply, Failure> {
    let status = response.status().as_u16();
    let mut bytes = BytesMut::new();
    loop {
        let chunk = response.chunk().await;
        let chunk = chunk.map_err(|_| Failure::unknown(format!("status {status}, but the body was cut off")))?;
        let Some(chunk) = chunk else { break };
        if bytes.len() + chunk.len() > body_max {
            return Err(Failure::unknown(format!("status {status}, but the body is larger than {body_max} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    let headers = response.headers();
    if let Some(secret) = secret {
        mask(&mut bytes, secret.reveal().as_bytes());
    }
    let body = if bytes.is_empty() {
        Body::Empty
    } else if !is_json(headers) {
        Body::Foreign
    } else {
        match parse_json(&bytes) {
            Ok(value) => Body::Json(value),
            Err(JsonError::Syntax) => Body::Broken("not JSON"),
            Err(JsonError::TooDeep) => Body::Broken("nested too deeply"),
            Err(JsonError::DuplicateKey) => Body::Broken("ambiguous: it has a key twice"),
        }
    };
    Ok(Reply { status, headers: header_values(headers, secret), body, retry_after_ms: retry_after(headers, clock) })
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
fn header_values(headers: &HeaderMap, secret: Option<&Secret>) -> Value {
    let mut out = Map::new();
    for name in headers.keys() {
        let values: Vec<_> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let mut text = values.join(", ");
        if let Some(secret) = secret.filter(|secret| secret.reveal().len() >= SECRET_MIN) {
            text = text.replace(secret.reveal(), "***");
        }
        out.insert(name.as_str().to_owned(), Value::String(text));
    }
    Value::Object(out)
}

/// Overwrites every copy of `secret` with asterisks. Shorter ones are no secrets, and could stand anywhere.
fn mask(bytes: &mut [u8], secret: &[u8]) {
    if secret.len() < SECRET_MIN {
        return;
    }
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(secret.len()).position(|window| window == secret) {
        bytes[at + found..at + found + secret.len()].fill(b'*');
        at += found + secret.len();
    }
}
