//! Who we are: credentials on every request. Expressions never see them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::request::{Draft, header_name};
use super::send::Failure;
use super::tokens::Tokens;
use crate::connector::config::{ConnectorConfig, ConnectorSetupError};
use crate::connector::content;
use crate::connector::webhook::{SigningKey, sign_standard_webhook};
use crate::definition::{Auth, Basic, Content, Login, Scope};
use crate::types::{Secret, Timestamp};

/// Credentials, ready to be put on a request.
#[derive(Debug)]
pub(super) struct Credentials {
    login: Ready,
    /// What is behind the scheme of a login: in Basic, the password in base64.
    echo: Option<Secret>,
}

#[derive(Debug)]
enum Ready {
    None,
    /// The header's name, and its whole value.
    Header(String, Secret),
    Sign(Vec<Secret>),
    Token(Box<Tokens>),
}

impl Credentials {
    pub(super) fn new(auth: &Auth, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        let login = login(&auth.login, config)?;
        let echo = match &login {
            Ready::Header(_, value) => value.reveal().split_once(' ').map(|(_, rest)| Secret::new(rest)),
            Ready::None | Ready::Sign(_) | Ready::Token(_) => None,
        };
        Ok(Self { login, echo })
    }

    /// Puts a login on a request that needs no more than a header.
    pub(super) fn log_in(&self, draft: &mut Draft) -> Result<(), Failure> {
        match &self.login {
            Ready::Header(name, value) => draft.set_secret_header(name, value.reveal()),
            Ready::None | Ready::Sign(_) | Ready::Token(_) => Ok(()),
        }
    }

    /// Signs as Standard Webhooks, once nothing else changes. `id` is the idempotency key: the id of a signed message
    /// stays the same when it is sent again. While one secret replaces another, both sign.
    pub(super) fn sign(&self, draft: &mut Draft, id: &str, now: Timestamp) -> Result<(), Failure> {
        let Ready::Sign(secrets) = &self.login else { return Ok(()) };
        let body = draft.text()?.unwrap_or_default();
        let signatures = secrets.iter().map(|secret| sign_standard_webhook(secret, id, now, body.as_bytes()));
        let signatures = signatures.collect::<Result<Vec<_>, _>>();
        let signatures = signatures.map_err(|_| Failure::not_sent("request: it cannot be signed"))?;
        draft.set_header("webhook-id", id)?;
        draft.set_header("webhook-timestamp", &now.unix_ms().div_euclid(1_000).to_string())?;
        draft.set_header("webhook-signature", &signatures.join(" "))
    }

    /// What a provider that repeats our login says, beside the secrets themselves.
    pub(super) const fn echo(&self) -> Option<&Secret> {
        self.echo.as_ref()
    }

    pub(super) const fn tokens(&self) -> Option<&Tokens> {
        match &self.login {
            Ready::Token(tokens) => Some(tokens),
            Ready::None | Ready::Header(..) | Ready::Sign(_) => None,
        }
    }
}

/// Into which fields of a body secrets are put.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fields {
    All,
    /// Those for which the body keeps a place: a question about a call is another request than the call.
    Kept,
}

/// Puts secrets beside the login on a request. `scope` has `env` and `key`. A request without a body has no
/// fields to put any into.
pub(super) fn apply(
    auth: &Auth,
    draft: &mut Draft,
    scope: &Scope<'_>,
    secrets: &BTreeMap<String, Secret>,
    which: Fields,
) -> Result<(), Failure> {
    let text = |content: &Content| {
        content::render(content, scope, secrets).map_err(|why| Failure::not_sent(format!("request: auth: {why}")))
    };
    for (name, content) in &auth.headers {
        draft.set_secret_header(name, &text(content)?)?;
    }
    for (name, content) in &auth.query {
        draft.add_query(name, &text(content)?)?;
    }
    let fields = if draft.body.is_some() { auth.fields.as_slice() } else { &[] };
    for (name, content) in fields {
        // Requests of one connector have other roots, and each has its own place.
        let beside = name.starts_with('/') && !draft.has_root(name);
        if beside || which == Fields::Kept && !draft.has_field(name) {
            continue;
        }
        draft.set_field(name, text(content)?.to_string())?;
    }
    Ok(())
}

fn login(login: &Login, config: &ConnectorConfig) -> Result<Ready, ConnectorSetupError> {
    Ok(match login {
        Login::None => Ready::None,
        Login::Bearer(secret) => {
            header("authorization", format!("Bearer {}", config.secret(secret)?.reveal()), &secret.0)?
        }
        Login::Basic(basic) => Ready::Header("authorization".to_owned(), basic_login(basic, config)?),
        Login::Header { name, value } => {
            header_name(name)?;
            header(name, config.secret(value)?.reveal().to_owned(), &value.0)?
        }
        Login::StandardWebhooks(names) => {
            let mut secrets = Vec::new();
            for name in names {
                for one in config.secret(name)?.all() {
                    SigningKey::new(one)
                        .map_err(|_| ConnectorSetupError::UnfitSecret(name.0.clone(), "not a whsec_ secret"))?;
                    secrets.push(one.clone());
                }
            }
            Ready::Sign(secrets)
        }
        Login::OAuth2(oauth2) => Ready::Token(Box::new(Tokens::oauth2(oauth2, config)?)),
        Login::Token(token) => Ready::Token(Box::new(Tokens::new(token, config)?)),
    })
}

/// The value of `Authorization`.
pub(super) fn basic_login(basic: &Basic, config: &ConnectorConfig) -> Result<Secret, ConnectorSetupError> {
    let username = content::of_config(&basic.username, config)?;
    let password = basic.password.as_ref().map(|name| config.secret(name)).transpose()?;
    let pair = Secret::new(format!("{}:{}", username.reveal(), password.map_or("", Secret::reveal)));
    Ok(Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal()))))
}

fn header(name: &str, value: String, secret: &str) -> Result<Ready, ConnectorSetupError> {
    if reqwest::header::HeaderValue::from_str(&value).is_err() || !value.is_ascii() {
        let why = "it has characters that a header cannot carry";
        return Err(ConnectorSetupError::UnfitSecret(secret.to_owned(), why));
    }
    Ok(Ready::Header(name.to_owned(), Secret::new(value)))
}
