//! The sandbox, and a Paystate that is made up: it takes every method as far as the gateway's opening of the seal, and
//! a credit card to the end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use paystate::sandbox::{Options, Sandbox};
use serde_json::{Value, json};
use tokio::net::TcpListener;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct World {
    pub(crate) sandbox: Arc<Sandbox>,
    paystate: Arc<Paystate>,
}

struct Paystate {
    sandbox: Arc<Sandbox>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// What the shop sent, in full, with its key.
    submitted: Vec<(String, Value)>,
    /// Of each order: what `GET /v1/orders/{id}` answers.
    orders: std::collections::HashMap<String, Value>,
    /// So many submissions are taken and answered with an error.
    forgetful: u32,
}

impl World {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let sandbox = Arc::new(Sandbox::start(Options::default()).await?);
        let paystate = Arc::new(Paystate { sandbox: Arc::clone(&sandbox), inside: Mutex::default() });
        let router = Router::new()
            .route("/v1/orders", post(submit))
            .route("/v1/orders/{id}", get(order))
            .route("/v1/orders/{id}/cancel", post(cancel))
            .with_state(Arc::clone(&paystate));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        sandbox.notify(Some(format!("http://{}", listener.local_addr()?)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { sandbox, paystate })
    }

    pub(crate) fn shop_url(&self) -> &str {
        self.sandbox.shop_url()
    }

    /// A child order of the last one waits for its customer at this address.
    pub(crate) fn open_child(&self, id: &str, customer_url: &str) {
        let data = json!({ "customer_url": customer_url });
        self.paystate.show(id, "verified", "awaiting_customer", "waiting", data);
    }

    /// The next submission is taken, but its answer gets lost.
    pub(crate) fn lose_an_answer(&self) {
        self.paystate.inside().forgetful += 1;
    }

    pub(crate) fn submitted(&self) -> Vec<(String, Value)> {
        self.paystate.inside().submitted.clone()
    }

    /// How far the last order got.
    pub(crate) fn last_order(&self) -> Value {
        let inside = self.paystate.inside();
        let last = inside.submitted.last().map(|(key, _)| key.as_str()).unwrap_or_default();
        inside.orders.get(last).cloned().unwrap_or_default()
    }

    /// Calls the shop as the page or, with the merchant's key, as Paystate does.
    pub(crate) async fn call(&self, method: &str, path: &str, body: Value) -> Result<(u16, Value), Failure> {
        let request = self.sandbox.client().request(method.parse()?, format!("{}{path}", self.shop_url()));
        let request = if method == "GET" { request } else { request.json(&body) };
        let response = request.bearer_auth(self.sandbox.secrets()["merchant_key"].reveal()).send().await?;
        Ok((response.status().as_u16(), response.json().await.unwrap_or(Value::Null)))
    }

    /// Sends a notification as Paystate does.
    pub(crate) async fn notify(&self, to: &str, id: &str, body: &Value) -> Result<u16, Failure> {
        self.paystate.notify(to, id, body).await
    }
}

impl Paystate {
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, id: &str, stage: &str, state: &str, status: &str, data: Value) {
        let mut inside = self.inside();
        let spine = ["submitted", "verified", "forwarded", "authorized", "settled", "notified"];
        let reached = spine.iter().position(|step| *step == stage).unwrap_or_default();
        let stages = &spine[..=reached];
        let workflow = inside.orders.get(id).map(|order| order["workflow"].clone()).unwrap_or_default();
        let order = json!({
            "id": id, "workflow": workflow, "state": state, "stages": stages, "status": status, "data": data,
        });
        inside.orders.insert(id.to_owned(), order);
    }

    async fn gateway(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let request = self.sandbox.client().post(format!("{}{path}", self.sandbox.gateway_url())).json(body);
        Ok(request.bearer_auth(self.sandbox.secrets()["gateway_key"].reveal()).send().await?.json().await?)
    }

    async fn notify(&self, to: &str, id: &str, body: &Value) -> Result<u16, Failure> {
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let secret = self.sandbox.secrets()["merchant_hook"].reveal();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64_STANDARD.decode(secret.trim_start_matches("whsec_"))?);
        let tag = BASE64_STANDARD.encode(hmac::sign(&key, format!("{id}.{seconds}.{body}").as_bytes()));
        let request = self
            .sandbox
            .client()
            .post(format!("{}/notifications/{to}", self.sandbox.shop_url()))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", format!("v1,{tag}"))
            .body(body.to_string());
        Ok(request.send().await?.status().as_u16())
    }

    /// Drives one order.
    async fn drive(&self, id: &str, method: &str, input: &Value) -> Result<(), Failure> {
        let (amount, currency) = (&input["amount"], &input["currency"]);
        let common = |name: &str| json!({ "reference": format!("{id}-{name}"), "order": id, "amount": amount, "currency": currency });
        let with = |mut body: Value, name: &str, value: &Value| {
            body[name] = value.clone();
            body
        };
        let body = with(common("forward"), "merchant_order", &input["merchant_order"]);
        let body = with(with(body, "payment", &input["payment"]), "method", &json!(method));
        let forwarded = self.gateway("/v1/forward", &body).await?;
        if forwarded["status"] != "approved" {
            self.show(id, "verified", "declined", "failed", json!({ "reason": forwarded["code"] }));
            return Ok(());
        }
        self.show(id, "forwarded", "forwarded", "running", forwarded.clone());
        if method != "credit_card" {
            return Ok(());
        }
        let session = &forwarded["session"];
        let mut held = self.gateway("/v1/authorizations", &with(common("first"), "session", session)).await?;
        let mut original = format!("{id}-first");
        if held["status"] == "action_required" {
            let data = json!({ "session": session, "challenge_url": held["challenge_url"] });
            self.show(id, "forwarded", "awaiting_customer", "waiting", data);
            self.passed(&held["challenge"]).await?;
            self.show(id, "forwarded", "forwarded", "running", json!({}));
            let ask = with(with(common("second"), "session", session), "challenge", &held["challenge"]);
            held = self.gateway("/v1/authorizations", &ask).await?;
            original = format!("{id}-second");
        }
        if held["status"] != "approved" {
            self.show(id, "forwarded", "declined", "failed", json!({ "reason": held["code"] }));
            return Ok(());
        }
        self.show(id, "authorized", "authorized", "running", json!({}));
        tokio::time::sleep(Duration::from_millis(500)).await;
        let ask = with(common("capture"), "original", &json!(original));
        self.gateway("/v1/captures", &with(ask, "final", &json!(true))).await?;
        self.show(id, "notified", "notified", "succeeded", json!({}));
        let event = json!({ "type": "payment.succeeded", "order": id, "merchant_order": input["merchant_order"] });
        for to in ["customer", "merchant", "merchant"] {
            self.notify(to, &format!("msg_{id}"), &event).await?;
        }
        Ok(())
    }

    /// Waits until the customer has confirmed a challenge.
    async fn passed(&self, challenge: &Value) -> Result<(), Failure> {
        let id = challenge.as_str().ok_or("no challenge")?;
        let url = format!("{}/v1/challenges/{id}", self.sandbox.gateway_url());
        for _ in 0..600 {
            let request = self.sandbox.client().get(&url).bearer_auth(self.sandbox.secrets()["gateway_key"].reveal());
            let found: Value = request.send().await?.json().await?;
            if found["status"] != "open" {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err("nobody confirmed".into())
    }
}

async fn submit(
    State(paystate): State<Arc<Paystate>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    let Some(method) = body["workflow"].as_str().filter(|method| paystate::sandbox::METHODS.contains(method)) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": "no such workflow" })));
    };
    let (method, input) = (method.to_owned(), body["input"].clone());
    let mut inside = paystate.inside();
    inside.submitted.push((key.clone(), body));
    let first = json!({ "id": key, "workflow": method, "state": "submitted", "status": "running", "data": {} });
    let lost = inside.forgetful > 0;
    inside.forgetful = inside.forgetful.saturating_sub(1);
    if !inside.orders.contains_key(&key) {
        inside.orders.insert(key.clone(), first);
        let (paystate, id) = (Arc::clone(&paystate), key.clone());
        tokio::spawn(async move { paystate.drive(&id, &method, &input).await });
    }
    let status = if lost { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::CREATED };
    (status, Json(json!({ "id": key })))
}

async fn order(State(paystate): State<Arc<Paystate>>, Path(id): Path<String>) -> (StatusCode, Json<Value>) {
    match paystate.inside().orders.get(&id) {
        Some(order) => (StatusCode::OK, Json(order.clone())),
        None => (StatusCode::NOT_FOUND, Json(Value::Null)),
    }
}

async fn cancel(State(paystate): State<Arc<Paystate>>, Path(id): Path<String>, Json(body): Json<Value>) -> StatusCode {
    // Whoever cancels says who they are.
    if !body["by"].is_string() {
        return StatusCode::BAD_REQUEST;
    }
    paystate.show(&id, "verified", "cancelled", "failed", json!({}));
    StatusCode::ACCEPTED
}
