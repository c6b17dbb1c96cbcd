//! Access tokens of the client credentials grant (RFC 6749, 4.4): fetched when the first call needs one, renewed before
//! they expire, and forgotten when the provider refuses them.
//!
//! **Invariant.** A call that has no token was not sent. No error says anything that the token endpoint answered but its
//! status.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use serde_json::Map;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::client::{Base, Link};
use super::send::Failure;
use crate::connector::config::{ConnectorConfig, ConnectorSetupError};
use crate::connector::json::parse_json;
use crate::definition::{Lists, OAuth2, encode_form, percent_encode};
use crate::types::{Secret, Value};

const ANSWER_MAX: usize = 64 * 1024;
/// A token is not used in its last moments: it would expire on the way.
const MARGIN: Duration = Duration::from_secs(30);
/// Where the answer does not say how long a token lives.
const LIFE: Duration = Duration::from_secs(300);
const LIFE_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Where tokens come from, and the present one.
#[derive(Debug)]
pub(super) struct Tokens {
    address: String,
    form: Value,
    /// The `Authorization` header, where the credentials do not go into the form.
    login: Option<Secret>,
    present: Mutex<Option<Token>>,
}

#[derive(Clone, Debug)]
struct Token {
    text: Secret,
    until: Instant,
}

impl Tokens {
    pub(super) fn new(oauth2: &OAuth2, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        let id = config.env_text(&oauth2.client_id)?;
        let secret = config.secret(&oauth2.client_secret)?;
        let mut form = Map::new();
        form.insert("grant_type".to_owned(), Value::from("client_credentials"));
        for (name, text) in [("scope", &oauth2.scope), ("audience", &oauth2.audience)] {
            if let Some(text) = text {
                form.insert(name.to_owned(), Value::from(config.env_text(text)?));
            }
        }
        let login = if oauth2.in_body {
            form.insert("client_id".to_owned(), Value::from(id));
            form.insert("client_secret".to_owned(), Value::from(secret.reveal()));
            None
        } else {
            // RFC 6749, 2.3.1: each of them as in a form, and then as HTTP's basic authentication has them.
            let pair = Secret::new(format!("{}:{}", percent_encode(&id), percent_encode(secret.reveal())));
            Some(Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal()))))
        };
        let address = config.env_text(&oauth2.token_url)?;
        Ok(Self { address, form: Value::Object(form), login, present: Mutex::default() })
    }

    /// The present token, or a new one. Callers that come while one is fetched wait for it.
    pub(super) async fn get(&self, link: &Link, base: &Base, deadline: Instant) -> Result<Secret, Failure> {
        let late = || Failure::not_sent("no access token before the deadline");
        let mut present = timeout_at(deadline, self.present.lock()).await.map_err(|_| late())?;
        if let Some(token) = present.as_ref().filter(|token| token.until > Instant::now()) {
            return Ok(token.text.clone());
        }
        *present = None;
        let token = timeout_at(deadline, self.fetch(link, base)).await.map_err(|_| late())??;
        *present = Some(token.clone());
        Ok(token.text)
    }

    /// The provider refused `used`: the next call fetches another. One that was fetched since then stays.
    pub(super) async fn refused(&self, used: &Secret) {
        let mut present = self.present.lock().await;
        if present.as_ref().is_some_and(|token| token.text == *used) {
            *present = None;
        }
    }

    async fn fetch(&self, link: &Link, base: &Base) -> Result<Token, Failure> {
        let failed = |why: &str| Failure::not_sent(format!("no access token: {why}"));
        let url = if self.address.starts_with('/') { base.join(&self.address) } else { Url::parse(&self.address).ok() };
        let url = url.ok_or_else(|| failed("its address is none"))?;
        let form = encode_form(&self.form, Lists::Repeat).ok_or_else(|| failed("its request is no form"))?;
        let mut request = link.token_client().post(url).body(form);
        request = request
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(login) = &self.login {
            let mut value =
                HeaderValue::from_str(login.reveal()).map_err(|_| failed("its credentials fit no header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let mut response =
            request.send().await.map_err(|_| failed("its endpoint was not reached, or did not answer"))?;
        let status = response.status().as_u16();
        if status != 200 {
            return Err(failed(&format!("status {status}")));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| failed("the answer was cut off"))? {
            if bytes.len() + chunk.len() > ANSWER_MAX {
                return Err(failed("the answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        read(&bytes).ok_or_else(|| failed("the answer is not one of OAuth 2"))
    }
}

fn read(bytes: &[u8]) -> Option<Token> {
    let answer = parse_json(bytes).ok()?;
    let text = answer["access_token"].as_str().filter(|text| !text.is_empty() && text.is_ascii())?;
    let bearer = answer["token_type"].as_str().is_none_or(|kind| kind.eq_ignore_ascii_case("bearer"));
    let seconds = match &answer["expires_in"] {
        Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    };
    let life = seconds.map_or(LIFE, Duration::from_secs).min(LIFE_MAX);
    // Half of a life that is shorter than two margins.
    let until = Instant::now() + life.saturating_sub(MARGIN).max(life / 2);
    bearer.then(|| Token { text: Secret::new(text), until })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_is_read_with_its_life() {
        let answer = |value: Value| read(value.to_string().as_bytes());
        let token = answer(json!({"access_token": "abc", "token_type": "Bearer", "expires_in": 3600})).unwrap();
        let left = token.until - Instant::now();
        assert!(left > Duration::from_secs(3_500) && left < Duration::from_secs(3_571));
        assert!(answer(json!({"access_token": "abc", "expires_in": "7200"})).is_some());
        assert!(answer(json!({"access_token": "abc", "token_type": "mac"})).is_none());
        assert!(answer(json!({"access_token": ""})).is_none() && answer(json!({})).is_none() && read(b"x").is_none());
    }
}
