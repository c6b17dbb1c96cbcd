//! Who we are: credentials on every request. Expressions never see them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{self, HeaderName, HeaderValue};

use super::request::{Draft, header_name};
use super::send::Failure;
use crate::connector::config::{Clock, ConnectorConfig, ConnectorSetupError};
use crate::connector::webhook::{SigningKey, sign_standard_webhook};
use crate::definition::{Auth, SecretRef};
use crate::types::Secret;

/// Credentials, ready to be put on a request.
#[derive(Debug)]
pub(super) enum Credentials {
    None,
    /// The value is marked as sensitive: it prints as `Sensitive`. Beside it, the part of it that is secret.
    Header(HeaderName, HeaderValue, Secret),
    Sign(Secret),
}

impl Credentials {
    pub(super) fn new(auth: &Auth, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        match auth {
            Auth::None => Ok(Self::None),
            Auth::Bearer(secret) => sensitive(header::AUTHORIZATION, "Bearer ", config.secret(secret)?.clone(), secret),
            Auth::Basic { username, password } => {
                let username = config.env_text(username)?;
                let pair = Secret::new(format!("{username}:{}", config.secret(password)?.reveal()));
                sensitive(header::AUTHORIZATION, "Basic ", Secret::new(STANDARD.encode(pair.reveal())), password)
            }
            Auth::Header { name, value } => sensitive(header_name(name)?, "", config.secret(value)?.clone(), value),
            Auth::StandardWebhooks(name) => {
                let secret = config.secret(name)?;
                SigningKey::new(secret)
                    .map_err(|_| ConnectorSetupError::UnfitSecret(name.0.clone(), "not a whsec_ secret"))?;
                Ok(Self::Sign(secret.clone()))
            }
        }
    }

    /// What must not come back in a reply: a provider that echoes requests would have it journaled.
    pub(super) fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Header(_, _, secret) => Some(secret),
            Self::None | Self::Sign(_) => None,
        }
    }

    /// `id` is the idempotency key: the id of a signed message stays the same when it is sent again.
    pub(super) fn apply(&self, draft: &mut Draft, id: &str, clock: &Clock) -> Result<(), Failure> {
        match self {
            Self::None => {}
            Self::Header(name, value, _) => {
                draft.headers.insert(name.clone(), value.clone());
            }
            Self::Sign(secret) => {
                let now = clock();
                let body = draft.body.as_deref().unwrap_or_default();
                let signature = sign_standard_webhook(secret, id, now, body)
                    .map_err(|_| Failure::not_sent("request: it cannot be signed"))?;
                draft.set_header("webhook-id", id)?;
                draft.set_header("webhook-timestamp", &now.unix_ms().div_euclid(1_000).to_string())?;
                draft.set_header("webhook-signature", &signature)?;
            }
        }
        Ok(())
    }
}

fn sensitive(
    name: HeaderName,
    scheme: &str,
    secret: Secret,
    reference: &SecretRef,
) -> Result<Credentials, ConnectorSetupError> {
    let text = Secret::new(format!("{scheme}{}", secret.reveal()));
    let mut value = HeaderValue::from_str(text.reveal()).map_err(|_| {
        ConnectorSetupError::UnfitSecret(reference.0.clone(), "it has characters that a header cannot carry")
    })?;
    value.set_sensitive(true);
    Ok(Credentials::Header(name, value, secret))
}
