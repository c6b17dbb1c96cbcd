//! The shop's lines to Paystate, the gateway and the bank: TLS, the sandbox's authority and nothing else is trusted.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::Value;

use super::problem::Problem;
use crate::types::Secret;

const TIMEOUT: Duration = Duration::from_secs(10);
/// No answer is larger; a longer one is cut off and so becomes nonsense.
const ANSWER_MAX: usize = 1 << 20;

pub(super) struct Upstream {
    client: Client,
    paystate: RwLock<Paystate>,
    gateway_url: String,
    bank_url: String,
}

/// Where Paystate is, and what it wants to be shown.
#[derive(Default)]
struct Paystate {
    url: Option<String>,
    token: Option<Secret>,
}

/// A status and a JSON body; `null` when there was none.
pub(super) type Answer = (u16, Value);

impl Upstream {
    pub(super) fn new(gateway_url: String, bank_url: String, ca_pem: &str) -> Result<Self, reqwest::Error> {
        let ca = reqwest::Certificate::from_pem(ca_pem.as_bytes())?;
        let client = Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self { client, paystate: RwLock::default(), gateway_url, bank_url })
    }

    pub(super) fn connect(&self, url: Option<String>, token: Option<Secret>) {
        *self.paystate.write().unwrap_or_else(PoisonError::into_inner) = Paystate { url, token };
    }

    /// Submits an order. The same key and body give the same order, however often they are sent.
    pub(super) async fn submit(&self, key: &str, body: &Value) -> Result<Answer, Problem> {
        let request = self.paystate(Method::POST, &["v1", "orders"])?;
        answer("Paystate", request.header("Idempotency-Key", key).json(body)).await
    }

    pub(super) async fn order(&self, id: &str) -> Result<Answer, Problem> {
        answer("Paystate", self.paystate(Method::GET, &["v1", "orders", id])?).await
    }

    pub(super) async fn cancel(&self, id: &str) -> Result<Answer, Problem> {
        let request = self.paystate(Method::POST, &["v1", "orders", id, "cancel"])?;
        answer("Paystate", request.json(&serde_json::json!({ "by": "shop" }))).await
    }

    pub(super) async fn event(&self, id: &str, body: &Value) -> Result<Answer, Problem> {
        let request = self.paystate(Method::POST, &["v1", "orders", id, "events"])?;
        answer("Paystate", request.json(body)).await
    }

    pub(super) async fn gateway(&self, method: Method, path: &[&str], body: Option<&Value>) -> Result<Answer, Problem> {
        let request = self.client.request(method, url(&self.gateway_url, path)?);
        answer(
            "the gateway",
            match body {
                Some(body) => request.json(body),
                None => request,
            },
        )
        .await
    }

    pub(super) async fn balance(&self, account: &str) -> Result<Answer, Problem> {
        answer("the bank", self.client.get(url(&self.bank_url, &["accounts", account, "balance"])?)).await
    }

    fn paystate(&self, method: Method, path: &[&str]) -> Result<RequestBuilder, Problem> {
        let paystate = self.paystate.read().unwrap_or_else(PoisonError::into_inner);
        let nowhere = || Problem::Silent { service: "Paystate", detail: "its address is not known yet".to_owned() };
        let request = self.client.request(method, url(paystate.url.as_deref().ok_or_else(nowhere)?, path)?);
        Ok(match &paystate.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        })
    }
}

/// Joins by segments, so that an id can never reach another path.
fn url(base: &str, path: &[&str]) -> Result<Url, Problem> {
    let invalid = || Problem::Invalid(format!("not a base address: {base}"));
    let mut url = Url::parse(base).map_err(|_| invalid())?;
    url.path_segments_mut().map_err(|()| invalid())?.pop_if_empty().extend(path);
    Ok(url)
}

async fn answer(service: &'static str, request: RequestBuilder) -> Result<Answer, Problem> {
    let silent = |detail: String| Problem::Silent { service, detail };
    let mut response = request.send().await.map_err(|error| silent(error.without_url().to_string()))?;
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| silent(error.without_url().to_string()))? {
        if bytes.len() + chunk.len() > ANSWER_MAX {
            return Err(silent("the answer is too long".to_owned()));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
}
