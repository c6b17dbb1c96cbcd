//! The world around the shop, made up: a Paystate that moves by itself, a gateway with one page, a bank with two accounts.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use paystate::sandbox::clock::Clock;
use paystate::sandbox::jwe::PrivateKey;
use paystate::sandbox::shop::{Shop, ShopOptions, ShopSecrets};
use paystate::sandbox::tls::{Authority, TlsServer, bind_loopback, https_url, serve_tls};
use paystate::types::Secret;
use serde_json::{Value, json};

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) const MERCHANT_KEY: &str = "merchant-key";
pub(crate) const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ORDER: &str = "019ab1c2-7d4e-7000-8000-0242ac120002";

pub(crate) struct World {
    pub(crate) shop: Shop,
    pub(crate) gateway_url: String,
    pub(crate) client: reqwest::Client,
    around: Arc<Around>,
    servers: Vec<TlsServer>,
}

struct Around {
    key: PrivateKey,
    shop_url: String,
    gateway_url: String,
    client: reqwest::Client,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// What Paystate was sent, in full, with its key.
    submitted: Vec<(String, Value)>,
    state: &'static str,
    paid: bool,
}

impl World {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let authority = Authority::new(SystemTime::now())?;
        let tls = authority.server_config("sandbox")?;
        let ca = reqwest::Certificate::from_pem(authority.ca_pem().as_bytes())?;
        let client = reqwest::Client::builder().tls_certs_only([ca]).no_proxy().build()?;
        let (shop_listener, around_listener) = (bind_loopback()?, bind_loopback()?);
        let around_url = https_url(&around_listener)?;
        let around = Arc::new(Around {
            key: PrivateKey::generate()?,
            shop_url: https_url(&shop_listener)?,
            gateway_url: around_url.clone(),
            client: client.clone(),
            inside: Mutex::new(Inside { state: "none", ..Inside::default() }),
        });
        let router = Router::new()
            .route("/keys/payment.jwk", get(key))
            .route("/challenge/{id}", get(challenge).post(decide))
            .route("/accounts/{id}/balance", get(balance))
            .route("/v1/orders", post(submit))
            .route("/v1/orders/{id}", get(order))
            .with_state(Arc::clone(&around));
        let server = serve_tls(around_listener, Arc::clone(&tls), router).await?;
        let shop = Shop::start(ShopOptions {
            listener: shop_listener,
            tls,
            paystate_url: around_url.clone(),
            gateway_url: around_url.clone(),
            bank_url: around_url.clone(),
            ca_pem: authority.ca_pem(),
            secrets: ShopSecrets {
                paystate_token: None,
                merchant_key: Some(Secret::new(MERCHANT_KEY)),
                notifications: vec![Secret::new(WEBHOOK_SECRET)],
            },
            clock: Arc::new(Clock::default()),
        })
        .await?;
        Ok(Self { shop, gateway_url: around_url, client, around, servers: vec![server] })
    }

    pub(crate) fn submitted(&self) -> Vec<(String, Value)> {
        self.around.inside().submitted.clone()
    }

    /// The payment details as the gateway reads them.
    pub(crate) fn opened_payment(&self) -> Option<Value> {
        let (_, request) = self.submitted().pop()?;
        let opened = self.around.key.decrypt(request["input"]["payment"].as_str()?).ok()?;
        serde_json::from_slice(&opened.plaintext).ok()
    }

    /// Sends a notification as Paystate does.
    pub(crate) async fn notify(&self, to: &str, id: &str, body: &Value) -> Result<u16, Failure> {
        self.around.notify(to, id, body).await
    }

    pub(crate) async fn stop(self) {
        self.shop.shutdown().await;
        for server in self.servers {
            server.shutdown().await;
        }
    }
}

impl Around {
    fn inside(&self) -> std::sync::MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn notify(&self, to: &str, id: &str, body: &Value) -> Result<u16, Failure> {
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let secret = BASE64_STANDARD.decode(WEBHOOK_SECRET.trim_start_matches("whsec_"))?;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), format!("{id}.{seconds}.{body}").as_bytes());
        let request = self
            .client
            .post(format!("{}/notifications/{to}", self.shop_url))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", format!("v1,{}", BASE64_STANDARD.encode(tag)))
            .body(body.to_string());
        Ok(request.send().await?.status().as_u16())
    }

    /// The steps after the customer's confirmation.
    async fn go_on(&self, merchant_order: String) -> Result<(), Failure> {
        for state in ["authorized", "settled", "notified"] {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let mut inside = self.inside();
            (inside.state, inside.paid) = (state, state != "authorized");
        }
        let body = json!({ "type": "payment.succeeded", "order": ORDER, "merchant_order": merchant_order });
        for to in ["customer", "merchant", "merchant"] {
            self.notify(to, "msg_1", &body).await?;
        }
        Ok(())
    }
}

async fn key(State(around): State<Arc<Around>>) -> Json<Value> {
    Json(json!(around.key.public()))
}

async fn submit(
    State(around): State<Arc<Around>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let key = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).unwrap_or_default().to_owned();
    if body["workflow"] == "no_such_method" {
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": "no such workflow" })));
    }
    let mut inside = around.inside();
    inside.submitted.push((key, body));
    inside.state = "awaiting_customer";
    (StatusCode::CREATED, Json(json!({ "id": ORDER })))
}

async fn order(State(around): State<Arc<Around>>) -> Json<Value> {
    let state = around.inside().state;
    let (stage, status) = match state {
        "awaiting_customer" => ("forwarded", "waiting"),
        "notified" => ("notified", "succeeded"),
        other => (other, "running"),
    };
    let challenge = format!("{}/challenge/ch_1", around.gateway_url);
    let data = json!({ "session": "ses_1", "challenge_url": challenge });
    Json(json!({
        "id": ORDER, "workflow": "credit_card", "state": state, "stage": stage, "status": status, "data": data,
    }))
}

async fn challenge() -> Html<&'static str> {
    Html(
        "<!doctype html><title>Bank</title><h1>Is this you?</h1>\
         <form method=post><button name=decision value=confirm>Confirm</button></form>",
    )
}

async fn decide(State(around): State<Arc<Around>>, body: String) -> Html<&'static str> {
    let merchant_order = around.inside().submitted.last().map(|(_, body)| body["input"]["merchant_order"].clone());
    if let (Some(Value::String(merchant_order)), "decision=confirm") = (merchant_order, body.as_str()) {
        tokio::spawn(async move { around.go_on(merchant_order).await });
    }
    Html("<!doctype html><title>Bank</title><p>Confirmed. You can close this page.</p>")
}

async fn balance(State(around): State<Arc<Around>>, Path(account): Path<String>) -> Json<Value> {
    let paid = if around.inside().paid { 50_000 } else { 0 };
    let available = if account.starts_with("merchant") { paid } else { 100_000_000 - paid };
    Json(json!({ "account": account, "balances": { "CNY": { "available": available, "held": 0 } } }))
}
