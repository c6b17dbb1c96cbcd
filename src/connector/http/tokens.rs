//! Access tokens, of the client credentials grant (RFC 6749, 4.4) or of a provider's own kind: fetched when the first call
//! needs one, renewed before they expire, and forgotten when the provider refuses them.
//!
//! **Invariant.** A call that has no token was not sent. No error says anything that the token endpoint answered but its
//! status.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::Map;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::ClockBox;
use super::auth::basic_login;
use super::client::{Base, Link};
use super::request::{Draft, header_name};
use super::send::Failure;
use crate::connector::config::{ConnectorConfig, ConnectorSetupError};
use crate::connector::content;
use crate::connector::json::parse_json;
use crate::definition::{Content, Lists, OAuth2, TokenLogin, encode_form, percent_encode};
use crate::types::{Secret, Timestamp, Value};

const ANSWER_MAX: usize = 64 * 1024;
/// All headers of a request together are not much longer.
const TOKEN_MAX: usize = 7 * 1024;
/// A token is not used in its last moments: it would expire on the way.
const MARGIN: Duration = Duration::from_secs(30);
/// Where the answer does not say how long a token lives.
const LIFE: Duration = Duration::from_secs(300);
const LIFE_MAX: Duration = Duration::from_secs(24 * 3_600);
const FORM: &str = "application/x-www-form-urlencoded";

/// Where tokens come from, and the present one.
#[derive(Debug)]
pub(super) struct Tokens {
    request: Request,
    answer: Answer,
    /// The header that carries a token, and what stands before it there.
    header: String,
    prefix: String,
    /// Statuses of answers to calls that say that the token is worth nothing any more.
    refusals: Vec<u16>,
    present: Mutex<Option<Token>>,
}

#[derive(Debug)]
struct Request {
    get: bool,
    address: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    query: Vec<(String, Secret)>,
    /// The content type, and the text.
    body: Option<(&'static str, Secret)>,
}

/// Where an answer has what.
#[derive(Debug)]
struct Answer {
    token: Vec<String>,
    expires_in: Vec<String>,
    expires_at: Option<Vec<String>>,
    /// Where it does not say how long a token lives.
    lifetime: Duration,
    clock: ClockBox,
}

#[derive(Clone, Debug)]
struct Token {
    text: Secret,
    until: Instant,
}

impl Tokens {
    /// Those of the client credentials grant.
    pub(super) fn oauth2(oauth2: &OAuth2, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        let id = config.env_text(&oauth2.client_id)?;
        let secret = config.secret(&oauth2.client_secret)?;
        let mut form = Map::new();
        form.insert("grant_type".to_owned(), Value::from("client_credentials"));
        for (name, text) in [("scope", &oauth2.scope), ("audience", &oauth2.audience)] {
            if let Some(text) = text {
                form.insert(name.to_owned(), Value::from(config.env_text(text)?));
            }
        }
        let mut headers = Vec::new();
        if oauth2.in_body {
            form.insert("client_id".to_owned(), Value::from(id));
            form.insert("client_secret".to_owned(), Value::from(secret.reveal()));
        } else {
            // RFC 6749, 2.3.1: each of them as in a form, and then as HTTP's basic authentication has them.
            let pair = Secret::new(format!("{}:{}", percent_encode(&id), percent_encode(secret.reveal())));
            let login = Secret::new(format!("Basic {}", STANDARD.encode(pair.reveal())));
            headers.push((AUTHORIZATION, header_value(login.reveal())?));
        }
        let address = config.env_text(&oauth2.token_url)?;
        let body = Some((FORM, form_of(&Value::Object(form))?));
        let member = |name: &str| vec![name.to_owned()];
        let (token, expires_in) = (member("access_token"), member("expires_in"));
        let answer =
            Answer { token, expires_in, expires_at: None, lifetime: LIFE, clock: ClockBox(Arc::clone(&config.clock)) };
        let request = Request { get: false, address, headers, query: Vec::new(), body };
        let (header, prefix) = ("authorization".to_owned(), "Bearer ".to_owned());
        Ok(Self { request, answer, header, prefix, refusals: vec![401], present: Mutex::default() })
    }

    /// Those of a provider that has a request of its own kind.
    pub(super) fn new(login: &TokenLogin, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        header_name(&login.header)?;
        let mut headers = Vec::new();
        if let Some(basic) = &login.basic {
            headers.push((AUTHORIZATION, header_value(basic_login(basic, config)?.reveal())?));
        }
        for (name, value) in rendered(&login.headers, config)? {
            headers.push((header_name(&name)?, header_value(value.reveal())?));
        }
        let fields = rendered(&login.fields, config)?;
        let fields = fields.iter().map(|(name, value)| (name.clone(), Value::from(value.reveal()))).collect();
        let body = match Value::Object(fields) {
            _ if login.get => None,
            fields if login.form => Some((FORM, form_of(&fields)?)),
            fields => Some(("application/json", Secret::new(fields.to_string()))),
        };
        let request = Request {
            get: login.get,
            address: config.env_text(&login.address)?,
            headers,
            query: rendered(&login.query, config)?,
            body,
        };
        let answer = Answer {
            token: login.read.clone(),
            expires_in: login.expires_in.clone(),
            expires_at: login.expires_at.clone(),
            lifetime: login.lifetime,
            clock: ClockBox(Arc::clone(&config.clock)),
        };
        let (header, prefix) = (login.header.clone(), login.prefix.clone());
        let refusals = login.refused.clone();
        Ok(Self { request, answer, header, prefix, refusals, present: Mutex::default() })
    }

    /// Puts a token on a request.
    pub(super) fn show(&self, draft: &mut Draft, token: &Secret) -> Result<(), Failure> {
        draft.set_secret_header(&self.header, &format!("{}{}", self.prefix, token.reveal()))
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

    /// Where the provider refused `used`, the next call fetches another, and this is true. One that was fetched since then
    /// stays.
    pub(super) async fn answered(&self, status: u16, used: &Secret) -> bool {
        if !self.refusals.contains(&status) {
            return false;
        }
        let mut present = self.present.lock().await;
        if present.as_ref().is_some_and(|token| token.text == *used) {
            *present = None;
        }
        true
    }

    async fn fetch(&self, link: &Link, base: &Base) -> Result<Token, Failure> {
        let failed = |why: &str| Failure::not_sent(format!("no access token: {why}"));
        let Request { get, address, headers, query, body } = &self.request;
        let url = if address.starts_with('/') { base.join(address) } else { Url::parse(address).ok() };
        let mut url = url.ok_or_else(|| failed("its address is none"))?;
        for (name, value) in query {
            url.query_pairs_mut().append_pair(name, value.reveal());
        }
        let client = link.token_client();
        let mut request = if *get { client.get(url) } else { client.post(url) };
        if let Some((content_type, text)) = body {
            request =
                request.body(text.reveal().to_owned()).header(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let mut response =
            request.send().await.map_err(|_| failed("its endpoint was not reached, or did not answer"))?;
        let status = response.status().as_u16();
        if !matches!(status, 200 | 201) {
            return Err(failed(&format!("status {status}")));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| failed("the answer was cut off"))? {
            if bytes.len() + chunk.len() > ANSWER_MAX {
                return Err(failed("the answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let member = self.answer.token.join(".");
        self.answer.read(&bytes).ok_or_else(|| failed(&format!("the answer has no `{member}` that is one")))
    }
}

impl Answer {
    fn read(&self, bytes: &[u8]) -> Option<Token> {
        let answer = parse_json(bytes).ok()?;
        let text = member(&answer, &self.token).as_str().filter(|text| !text.is_empty() && text.is_ascii())?;
        // One that no header carries would be kept for nothing.
        let text = Some(text).filter(|text| text.len() <= TOKEN_MAX && HeaderValue::from_str(text).is_ok())?;
        let bearer = answer["token_type"].as_str().is_none_or(|kind| kind.to_ascii_lowercase().starts_with("bearer"));
        let life = self.left(&answer).unwrap_or(self.lifetime).min(LIFE_MAX);
        // Half of a life that is shorter than two margins.
        let until = Instant::now() + life.saturating_sub(MARGIN).max(life / 2);
        bearer.then(|| Token { text: Secret::new(text), until })
    }

    fn left(&self, answer: &Value) -> Option<Duration> {
        let ends = self.expires_at.as_ref().map(|path| member(answer, path)).and_then(moment);
        if let Some(ends) = ends {
            return Some(ends.since((self.clock.0)()));
        }
        match member(answer, &self.expires_in) {
            Value::String(text) => text.parse().ok(),
            number => number.as_u64(),
        }
        .map(Duration::from_secs)
    }
}

fn member<'v>(answer: &'v Value, path: &[String]) -> &'v Value {
    path.iter().fold(answer, |value, name| &value[name.as_str()])
}

/// RFC 3339, or seconds or milliseconds since 1970.
fn moment(value: &Value) -> Option<Timestamp> {
    let number = match value {
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(at) => return Some(at),
            Err(_) => text.parse().ok()?,
        },
        number => number.as_i64()?,
    };
    Some(Timestamp::from_unix_ms(if number > 100_000_000_000 { number } else { number.checked_mul(1_000)? }))
}

fn header_value(text: &str) -> Result<HeaderValue, ConnectorSetupError> {
    let unfit = |_| {
        ConnectorSetupError::Auth(
            "a header of the request for access tokens has characters that none can carry".to_owned(),
        )
    };
    let mut value = HeaderValue::from_str(text).map_err(unfit)?;
    value.set_sensitive(true);
    Ok(value)
}

fn form_of(fields: &Value) -> Result<Secret, ConnectorSetupError> {
    let text = encode_form(fields, Lists::Repeat);
    text.map(Secret::new)
        .ok_or_else(|| ConnectorSetupError::Auth("the request for access tokens is no form".to_owned()))
}

fn rendered(
    texts: &[(String, Content)],
    config: &ConnectorConfig,
) -> Result<Vec<(String, Secret)>, ConnectorSetupError> {
    texts.iter().map(|(name, text)| Ok((name.clone(), content::of_config(text, config)?))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(expires_at: Option<&str>) -> Answer {
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let clock = ClockBox(Arc::new(|| Timestamp::from_unix_ms(1_767_225_600_000)));
        let expires_at = expires_at.map(path);
        Answer { token: path("access_token"), expires_in: path("expires_in"), expires_at, lifetime: LIFE, clock }
    }

    #[test]
    fn a_token_is_read_with_its_life() {
        let read = |value: Value| answer(None).read(value.to_string().as_bytes());
        let token = read(json!({"access_token": "abc", "token_type": "Bearer", "expires_in": 3600})).unwrap();
        let left = token.until - Instant::now();
        assert!(left > Duration::from_secs(3_500) && left < Duration::from_secs(3_571));
        assert!(read(json!({"access_token": "abc", "token_type": "BearerToken", "expires_in": "7200"})).is_some());
        assert!(read(json!({"access_token": "abc", "token_type": "mac"})).is_none());
        assert!(read(json!({"access_token": ""})).is_none() && read(json!({})).is_none());
        assert!(answer(None).read(b"x").is_none());
        for token in ["a\r\nb".to_owned(), "a".repeat(TOKEN_MAX + 1)] {
            assert!(read(json!({ "access_token": token })).is_none(), "no header carries it");
        }
    }

    #[test]
    fn a_life_may_be_told_by_its_end() {
        for ends in [json!("2026-01-01T00:30:00+00:00"), json!("2026-01-01T00:30:00+0000"), json!(1_767_227_400)] {
            let told = json!({"access_token": "abc", "data": { "ends": ends }});
            let token = answer(Some("data.ends")).read(told.to_string().as_bytes()).unwrap();
            let left = token.until - Instant::now();
            assert!(left > Duration::from_secs(1_700) && left < Duration::from_secs(1_771), "{ends}: {left:?}");
        }
    }
}
