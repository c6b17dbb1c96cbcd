//! Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, both to sign and to verify.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::definition::SecretRef;
use crate::types::{Secret, Timestamp};

const PREFIX: &str = "whsec_";
const KEY_BYTES_MIN: usize = 16;
const ID_MAX: usize = 256;
/// Rotation needs two; an attacker would like to try thousands.
const SIGNATURES_MAX: usize = 5;

/// Secrets are handed out with and without padding.
const STANDARD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A notification that is authentic and recent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub id: String,
    pub timestamp: Timestamp,
}

/// Why a notification is not believed. The answer to the sender is the same for all but the last two.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    #[error("header {0} is missing or malformed")]
    Header(&'static str),
    #[error("the timestamp is further from now than the tolerance")]
    Timestamp,
    #[error("more than {SIGNATURES_MAX} signatures")]
    TooManySignatures,
    #[error("no signature fits")]
    Signature,
    #[error("its sender is not among those that may send it")]
    Sender,
    /// Ours to repair: there is no such secret.
    #[error("there is no secret {0}")]
    NoSecret(String),
    /// What the check needs is not in it.
    #[error("it cannot be checked: {0}")]
    Unreadable(String),
    /// Ours to repair: the key of a signature.
    #[error("the key {0} cannot be used: {1}")]
    UnfitKey(String, &'static str),
    /// Ours to repair: not base64, or too short.
    #[error("a webhook secret is whsec_ and at least {KEY_BYTES_MIN} bytes in base64")]
    UnfitSecret,
}

/// Checks a notification. `headers` have lower-case names; `body` is what came in, byte for byte.
pub fn verify_standard_webhook(
    names: &[SecretRef],
    tolerance: Duration,
    secrets: &BTreeMap<String, Secret>,
    headers: &BTreeMap<String, String>,
    body: &[u8],
    now: Timestamp,
) -> Result<Verified, WebhookError> {
    let mut keys = Vec::new();
    for name in names {
        let secret = secrets.get(&name.0).ok_or_else(|| WebhookError::NoSecret(name.0.clone()))?;
        for one in secret.all() {
            keys.push(SigningKey::new(one)?);
        }
    }

    let id = header(headers, "webhook-id")?;
    // The parts are joined by dots: an id with one could move bytes between them.
    if id.len() > ID_MAX || id.contains('.') {
        return Err(WebhookError::Header("webhook-id"));
    }
    let stamp = header(headers, "webhook-timestamp")?;
    let timestamp = parse_seconds(stamp).ok_or(WebhookError::Header("webhook-timestamp"))?;
    if !within(timestamp, now, tolerance) {
        return Err(WebhookError::Timestamp);
    }
    let signatures: Vec<&str> = header(headers, "webhook-signature")?.split_ascii_whitespace().collect();
    if signatures.len() > SIGNATURES_MAX {
        return Err(WebhookError::TooManySignatures);
    }
    let message = message(id, stamp, body);
    // All are tried, whichever fits: how long it takes says nothing.
    let mut fits = false;
    for tag in signatures.iter().filter_map(|text| STANDARD.decode(text.strip_prefix("v1,")?).ok()) {
        for key in &keys {
            fits |= hmac::verify(&key.0, &message, &tag).is_ok();
        }
    }
    if fits { Ok(Verified { id: id.to_owned(), timestamp }) } else { Err(WebhookError::Signature) }
}

/// The value of `webhook-signature` for a message. `webhook-timestamp` is `timestamp` in whole seconds.
pub fn sign_standard_webhook(
    secret: &Secret,
    id: &str,
    timestamp: Timestamp,
    body: &[u8],
) -> Result<String, WebhookError> {
    if id.is_empty() || id.len() > ID_MAX || id.contains('.') {
        return Err(WebhookError::Header("webhook-id"));
    }
    let stamp = timestamp.unix_ms().div_euclid(1_000).to_string();
    let tag = hmac::sign(&SigningKey::new(secret)?.0, &message(id, &stamp, body));
    Ok(format!("v1,{}", STANDARD.encode(tag)))
}

/// A key of a `whsec_` secret. Prints nothing of it.
pub(in crate::connector) struct SigningKey(hmac::Key);

impl SigningKey {
    pub(in crate::connector) fn new(secret: &Secret) -> Result<Self, WebhookError> {
        let text = secret.reveal();
        let bytes = STANDARD
            .decode(text.strip_prefix(PREFIX).unwrap_or(text))
            .map(Zeroizing::new)
            .map_err(|_| WebhookError::UnfitSecret)?;
        if bytes.len() < KEY_BYTES_MIN {
            return Err(WebhookError::UnfitSecret);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

fn header<'a>(headers: &'a BTreeMap<String, String>, name: &'static str) -> Result<&'a str, WebhookError> {
    headers.get(name).map(String::as_str).filter(|value| !value.is_empty()).ok_or(WebhookError::Header(name))
}

/// Digits only: no sign, no blank, no fraction.
fn parse_seconds(text: &str) -> Option<Timestamp> {
    if text.len() > 12 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse::<i64>().ok().map(|seconds| Timestamp::from_unix_ms(seconds.saturating_mul(1_000)))
}

fn within(timestamp: Timestamp, now: Timestamp, tolerance: Duration) -> bool {
    timestamp.since(now) <= tolerance && now.since(timestamp) <= tolerance
}

fn message(id: &str, stamp: &str, body: &[u8]) -> Vec<u8> {
    [id.as_bytes(), b".", stamp.as_bytes(), b".", body].concat()
}
