//! What WeChat Pay's documentation says of its API v3, as a server that keeps books.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paystate::executor::{Clock, HookError, Received, SystemClock};
use serde_json::{Value, json};

use crate::connector_signing::Rsa;
use crate::providers::{World, keys, until};

pub(super) const API_KEY: &str = "0123456789abcdef0123456789ABCDEF";
pub(super) const MERCHANT: &str = "1900000109";

#[derive(Default)]
pub(super) struct Books {
    /// By our number.
    pub(super) trades: BTreeMap<String, Value>,
    pub(super) refunds: BTreeMap<String, Value>,
    /// What happens to the next requests.
    pub(super) faults: Vec<Fault>,
    /// What refunds come to, when not to a success.
    pub(super) refunds_end: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is done, and no answer comes.
    Hang,
    /// It is done, and the answer is signed by somebody else.
    Forged,
    /// Nothing is done.
    Busy,
    /// Nothing is done, and no answer comes.
    Lost,
}

#[derive(Clone)]
pub(super) struct WeChat {
    pub(super) books: Arc<Mutex<Books>>,
    pub(super) ours: Arc<Rsa>,
    pub(super) theirs: Arc<Rsa>,
    /// What notifications are encrypted with.
    pub(super) api_key: &'static str,
}

impl WeChat {
    pub(super) fn new() -> Self {
        let [ours, theirs, ..] = keys();
        Self { books: Arc::default(), ours, theirs, api_key: API_KEY }
    }

    /// The same with another key for its signatures.
    pub(super) fn signing_with(&self, theirs: &Arc<Rsa>) -> Self {
        Self { theirs: Arc::clone(theirs), ..self.clone() }
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// The number of the one order, once it has come.
    pub(super) async fn number(&self) -> String {
        until("an order", || !self.books().trades.is_empty()).await;
        self.books().trades.keys().next().unwrap().clone()
    }

    /// What went back, one refund after the other.
    pub(super) fn refunded(&self) -> Vec<i64> {
        let books = self.books();
        let done = books.refunds.values().filter(|refund| refund["status"] == "SUCCESS");
        done.map(|refund| refund["amount"]["refund"].as_i64().unwrap()).collect()
    }

    /// What is told of the one refund when it has come to this: not all of what a query would say.
    pub(super) fn refund_told(&self, status: &str) -> Value {
        let books = self.books();
        let refund = books.refunds.values().next().unwrap();
        json!({"mchid": MERCHANT, "out_trade_no": refund["out_trade_no"], "transaction_id": "4200001",
            "out_refund_no": refund["out_refund_no"], "refund_id": refund["refund_id"], "refund_status": status,
            "user_received_account": "a bank's card 0403", "amount": {"total": 100, "refund": refund["amount"]["refund"]}})
    }

    fn signature(&self, body: &str) -> [(String, String); 4] {
        let at = (SystemClock.now().unix_ms() / 1_000).to_string();
        let tag = sign(&self.theirs, &format!("{at}\nn0nce\n{body}\n"));
        let named = |name: &str, value: String| (format!("wechatpay-{name}"), value);
        [
            named("timestamp", at),
            named("nonce", "n0nce".into()),
            named("signature", tag),
            named("serial", "PUB_1".into()),
        ]
    }

    fn answer(&self, status: u16, body: &Value, forged: bool) -> Response {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut response = (StatusCode::from_u16(status).unwrap(), text.clone()).into_response();
        response.headers_mut().insert("content-type", "application/json; charset=utf-8".parse().unwrap());
        for (name, value) in self.signature(if forged { "another body" } else { &text }) {
            let name: axum::http::HeaderName = name.parse().unwrap();
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }

    /// The customer pays with the code.
    pub(super) fn pays(&self, number: &str) -> Value {
        let mut books = self.books.lock().unwrap();
        let trade = books.trades.get_mut(number).unwrap();
        assert_eq!(trade["trade_state"], "NOTPAY");
        trade["trade_state"] = json!("SUCCESS");
        trade["transaction_id"] = json!("4200001");
        trade.clone()
    }

    /// A notification: the resource is encrypted, the whole is signed.
    pub(super) async fn tell(
        &self,
        world: &World,
        id: &str,
        kind: &str,
        resource: &Value,
    ) -> Result<Received, HookError> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, self.api_key.as_bytes()).unwrap());
        let about = if kind.starts_with("REFUND") { "refund" } else { "transaction" };
        let mut text = resource.to_string().into_bytes();
        let nonce = Nonce::try_assume_unique_for_key(b"fdasflkja484").unwrap();
        key.seal_in_place_append_tag(nonce, Aad::from(about), &mut text).unwrap();
        let resource = json!({
            "algorithm": "AEAD_AES_256_GCM", "ciphertext": BASE64_STANDARD.encode(text), "nonce": "fdasflkja484",
            "associated_data": about, "original_type": about,
        });
        let body = json!({"id": id, "event_type": kind, "resource_type": "encrypt-resource", "resource": resource})
            .to_string();
        let headers = self.signature(&body);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        world.hook(&headers, &body).await
    }
}

fn sign(key: &Rsa, message: &str) -> String {
    let mut tag = vec![0; key.keys.public_modulus_len()];
    key.keys.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut tag).unwrap();
    BASE64_STANDARD.encode(tag)
}

/// The five lines of the documentation, under the merchant's key.
fn authentic(wechat: &WeChat, method: &str, target: &str, headers: &HeaderMap, body: &str) -> bool {
    let Some(text) = headers.get("authorization").and_then(|value| value.to_str().ok()) else { return false };
    let Some(list) = text.strip_prefix("WECHATPAY2-SHA256-RSA2048 ") else { return false };
    let part = |name: &str| {
        let found = list.split(',').find_map(|part| part.strip_prefix(&format!("{name}=\"")));
        found.and_then(|value| value.strip_suffix('"')).unwrap_or_default().to_owned()
    };
    let at: i64 = part("timestamp").parse().unwrap_or_default();
    let recent = (SystemClock.now().unix_ms() / 1_000 - at).abs() < 300;
    let message = format!("{method}\n{target}\n{}\n{}\n{body}\n", part("timestamp"), part("nonce_str"));
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, wechat.ours.public_der.clone());
    let tag = BASE64_STANDARD.decode(part("signature")).unwrap_or_default();
    recent
        && part("mchid") == MERCHANT
        && part("serial_no") == "SERIAL1"
        && part("nonce_str").len() == 32
        && public.verify(message.as_bytes(), &tag).is_ok()
}

pub(super) async fn handle(State(wechat): State<WeChat>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
    if !authentic(&wechat, parts.method.as_str(), &target, &parts.headers, &body) {
        return wechat.answer(401, &json!({"code": "SIGN_ERROR"}), false);
    }
    let fault = (parts.method == "POST").then(|| wechat.books.lock().unwrap().faults.pop()).flatten();
    if fault == Some(Fault::Lost) {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    if matches!(fault, Some(Fault::Busy | Fault::Lost)) {
        return wechat.answer(429, &json!({"code": "FREQUENCY_LIMITED"}), false);
    }
    let (status, told) = done(&mut wechat.books.lock().unwrap(), parts.method.as_str(), parts.uri.path(), &body);
    if fault == Some(Fault::Hang) {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    wechat.answer(status, &told, fault == Some(Fault::Forged))
}

fn done(books: &mut Books, method: &str, path: &str, body: &str) -> (u16, Value) {
    let fields: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let error = |status: u16, code: &str| (status, json!({"code": code, "message": "no"}));
    let steps: Vec<&str> = path.trim_start_matches("/v3/").split('/').collect();
    match (method, steps.as_slice()) {
        ("POST", ["pay", "transactions", "jsapi"]) if fields["payer"]["openid"] != "o-4711" => {
            error(400, "PARAM_ERROR")
        }
        ("POST", ["pay", "transactions", kind @ ("native" | "jsapi")]) => {
            let number = fields["out_trade_no"].as_str().unwrap().to_owned();
            assert!((6..=32).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let trade = json!({"out_trade_no": number, "trade_state": "NOTPAY", "amount": fields["amount"]});
            let known = books.trades.entry(number.clone()).or_insert(trade);
            match known["trade_state"].as_str().unwrap() {
                "NOTPAY" if known["amount"] == fields["amount"] && *kind == "jsapi" => {
                    (200, json!({"prepay_id": format!("wx{number}")}))
                }
                "NOTPAY" if known["amount"] == fields["amount"] => {
                    (200, json!({"code_url": format!("weixin://wxpay/bizpayurl?pr={number}")}))
                }
                "NOTPAY" => error(403, "OUT_TRADE_NO_USED"),
                "SUCCESS" => error(400, "ORDERPAID"),
                _ => error(400, "ORDER_CLOSED"),
            }
        }
        ("GET", ["pay", "transactions", "out-trade-no", number]) => match books.trades.get(*number) {
            Some(trade) => (200, trade.clone()),
            None => error(404, "ORDER_NOT_EXIST"),
        },
        ("POST", ["pay", "transactions", "out-trade-no", number, "close"]) => match books.trades.get_mut(*number) {
            Some(trade) if trade["trade_state"] == "SUCCESS" => error(400, "ORDERPAID"),
            Some(trade) => {
                trade["trade_state"] = json!("CLOSED");
                (204, Value::Null)
            }
            None => error(404, "ORDER_NOT_EXIST"),
        },
        ("POST", ["refund", "domestic", "refunds"]) => refund(books, &fields),
        ("GET", ["refund", "domestic", "refunds", number]) => {
            let end = books.refunds_end.unwrap_or("SUCCESS");
            let Some(refund) = books.refunds.get_mut(*number) else { return error(404, "RESOURCE_NOT_EXISTS") };
            refund["status"] = json!(end);
            (200, refund.clone())
        }
        _ => error(404, "NOT_FOUND"),
    }
}

/// "The same number of a refund, however often it is sent, gives money back once."
fn refund(books: &mut Books, fields: &Value) -> (u16, Value) {
    let number = fields["out_refund_no"].as_str().unwrap().to_owned();
    let amount = |of: &Value| of["amount"]["refund"].as_i64().unwrap();
    if let Some(known) = books.refunds.get(&number) {
        let same = amount(known) == amount(fields);
        return if same { (200, known.clone()) } else { (400, json!({"code": "INVALID_REQUEST", "message": "no"})) };
    }
    let trade = books.trades.get_mut(fields["out_trade_no"].as_str().unwrap()).unwrap();
    let before: i64 = books.refunds.values().map(amount).sum();
    assert!(matches!(trade["trade_state"].as_str().unwrap(), "SUCCESS" | "REFUND"));
    if before + amount(fields) > trade["amount"]["total"].as_i64().unwrap() {
        return (400, json!({"code": "INVALID_REQUEST", "message": "more than was paid"}));
    }
    trade["trade_state"] = json!("REFUND");
    let refund = json!({"out_trade_no": fields["out_trade_no"], "out_refund_no": number, "status": "PROCESSING",
        "refund_id": format!("5{}", books.refunds.len()), "amount": fields["amount"]});
    (200, books.refunds.entry(number).or_insert(refund).clone())
}
