//! What Alipay's documentation says of its gateway, as a server that keeps books.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paystate::executor::{HookError, Received};
use serde_json::{Value, json};

use crate::connector_signing::Rsa;
use crate::providers::{World, form, keys, until};

pub(super) const APP: &str = "2014072300007148";

#[derive(Default)]
pub(super) struct Books {
    /// Codes that were shown, by our number; nobody has scanned them yet.
    pub(super) codes: BTreeMap<String, Value>,
    pub(super) trades: BTreeMap<String, Value>,
    /// What went back, by our number of the refund.
    pub(super) refunds: BTreeMap<String, String>,
    pub(super) faults: Vec<Fault>,
}

/// What happens to the next request that would change something.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is done, and no answer comes.
    Hang,
    /// Nothing is done, and no answer comes.
    Lost,
    /// It is done, and the answer is signed by somebody else.
    Forged,
    /// It is done, and the answer says that nobody knows.
    SystemError,
}

#[derive(Clone)]
pub(super) struct Alipay {
    pub(super) books: Arc<Mutex<Books>>,
    pub(super) ours: Arc<Rsa>,
    pub(super) theirs: Arc<Rsa>,
}

fn sign(key: &Rsa, message: &str) -> String {
    let mut tag = vec![0; key.keys.public_modulus_len()];
    key.keys.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut tag).unwrap();
    BASE64_STANDARD.encode(tag)
}

/// `a=1&b=2` of what is neither empty nor one of these.
fn sorted(fields: &BTreeMap<String, String>, without: &[&str]) -> String {
    let kept = fields.iter().filter(|(name, value)| !value.is_empty() && !without.contains(&name.as_str()));
    kept.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

impl Alipay {
    pub(super) fn new() -> Self {
        let [ours, theirs, ..] = keys();
        Self { books: Arc::default(), ours, theirs }
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
        until("an order", || !self.books().codes.is_empty()).await;
        self.books().codes.keys().next().unwrap().clone()
    }

    /// The customer has scanned the code, and the time of the order is over.
    pub(super) fn closes(&self, number: &str) {
        let mut books = self.books();
        let trade = books.trades.get_mut(number).unwrap();
        assert_eq!(trade["trade_status"], "WAIT_BUYER_PAY");
        trade["trade_status"] = json!("TRADE_CLOSED");
    }

    /// What went back, one refund after the other.
    pub(super) fn refunded(&self) -> Vec<String> {
        self.books().refunds.values().cloned().collect()
    }

    fn is_ours(&self, fields: &BTreeMap<String, String>) -> bool {
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, self.ours.public_der.clone());
        let tag = BASE64_STANDARD.decode(&fields["sign"]).unwrap_or_default();
        let recent = fields["timestamp"].len() == "2014-07-24 03:07:50".len();
        let common =
            [("app_id", APP), ("sign_type", "RSA2"), ("charset", "utf-8"), ("version", "1.0"), ("format", "JSON")];
        recent
            && common.iter().all(|(name, value)| fields[*name] == *value)
            && public.verify(sorted(fields, &["sign"]).as_bytes(), &tag).is_ok()
    }

    fn answer(&self, method: &str, told: &Value, key: &Rsa) -> Response {
        let name = format!("{}_response", method.replace('.', "_"));
        // Blanks as they please: what is signed is the text.
        let text = told.to_string().replace(",\"", ", \"");
        let body = format!("{{\"{name}\": {text}, \"sign\": \"{}\"}}", sign(key, &text));
        ([("content-type", "text/html;charset=utf-8")], body).into_response()
    }

    /// The customer scans the code, and pays or leaves it.
    pub(super) fn scans(&self, number: &str, pays: bool) {
        let mut books = self.books.lock().unwrap();
        let order = books.codes[number].clone();
        let status = if pays { "TRADE_SUCCESS" } else { "WAIT_BUYER_PAY" };
        let trade = json!({"trade_no": "20140001", "out_trade_no": number, "total_amount": order["total_amount"], "trade_status": status,
            "send_pay_date": if pays { json!("2014-07-24 15:45:57") } else { Value::Null }});
        books.trades.insert(number.to_owned(), trade);
    }

    /// A notification about an order.
    pub(super) async fn tell(
        &self,
        world: &World,
        id: &str,
        number: &str,
        more: &[(&str, &str)],
    ) -> Result<Received, HookError> {
        let mut fields: BTreeMap<String, String> = [
            ("app_id", APP),
            ("notify_id", id),
            ("out_trade_no", number),
            ("trade_no", "20140001"),
            ("total_amount", "12.00"),
            ("trade_status", "TRADE_SUCCESS"),
            ("subject", "Tea & cake"),
            ("body", ""),
            ("charset", "utf-8"),
        ]
        .into_iter()
        .chain(more.iter().copied())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
        fields.insert("sign".to_owned(), sign(&self.theirs, &sorted(&fields, &[])));
        fields.insert("sign_type".to_owned(), "RSA2".to_owned());
        let url = reqwest::Url::parse_with_params("http://form.invalid/", &fields).unwrap();
        world.hook(&[("content-type", "application/x-www-form-urlencoded")], url.query().unwrap()).await
    }
}

pub(super) async fn handle(State(alipay): State<Alipay>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap();
    let fields = form(std::str::from_utf8(&body).unwrap());
    assert_eq!(path, "/gateway.do");
    let method = fields["method"].as_str();
    if !alipay.is_ours(&fields) {
        let told = json!({"code": "40002", "msg": "Invalid Arguments", "sub_code": "isv.invalid-signature"});
        return alipay.answer(method, &told, &alipay.theirs);
    }
    let content: Value = serde_json::from_str(&fields["biz_content"]).unwrap();
    let fault = if method.ends_with("query") { None } else { alipay.books.lock().unwrap().faults.pop() };
    if fault == Some(Fault::Lost) {
        tokio::time::sleep(Duration::from_secs(10)).await;
        return alipay.answer(
            method,
            &json!({"code": "20000", "msg": "Service Currently Unavailable"}),
            &alipay.theirs,
        );
    }
    let told = done(&mut alipay.books.lock().unwrap(), method, &content);
    match fault {
        Some(Fault::Hang) => tokio::time::sleep(Duration::from_secs(10)).await,
        Some(Fault::Forged) => return alipay.answer(method, &told, &keys()[3]),
        Some(Fault::SystemError) => {
            let told = json!({"code": "20000", "msg": "Service Currently Unavailable", "sub_code": "isp.unknow-error"});
            return alipay.answer(method, &told, &alipay.theirs);
        }
        _ => {}
    }
    alipay.answer(method, &told, &alipay.theirs)
}

fn done(books: &mut Books, method: &str, content: &Value) -> Value {
    let good = |more: Value| {
        let mut told = json!({"code": "10000", "msg": "Success"});
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        told
    };
    let bad = |code: &str| json!({"code": "40004", "msg": "Business Failed", "sub_code": code, "sub_msg": "no"});
    let number = content["out_trade_no"].as_str().unwrap().to_owned();
    let state = books.trades.get(&number).map(|trade| trade["trade_status"].as_str().unwrap().to_owned());
    match (method, state.as_deref()) {
        ("alipay.trade.precreate", Some("TRADE_SUCCESS")) => bad("ACQ.TRADE_HAS_SUCCESS"),
        ("alipay.trade.precreate", Some("TRADE_CLOSED")) => bad("ACQ.TRADE_HAS_CLOSE"),
        ("alipay.trade.precreate", _) => {
            assert!(number.len() <= 64 && number.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            let known = books.codes.entry(number.clone()).or_insert_with(|| content.clone());
            if known["total_amount"] != content["total_amount"] {
                return bad("ACQ.CONTEXT_INCONSISTENT");
            }
            good(json!({"out_trade_no": number, "qr_code": format!("https://qr.alipay.com/{number}")}))
        }
        ("alipay.trade.create", None) if content["buyer_id"] == "nobody" => bad("ACQ.BUYER_NOT_EXIST"),
        ("alipay.trade.create", None) => {
            books.codes.insert(number.clone(), content.clone());
            let trade = json!({"trade_no": "20140001", "out_trade_no": number, "total_amount": content["total_amount"],
                "trade_status": "WAIT_BUYER_PAY"});
            books.trades.insert(number.clone(), trade);
            good(json!({"out_trade_no": number, "trade_no": "20140001"}))
        }
        ("alipay.trade.create", Some("TRADE_SUCCESS")) => bad("ACQ.TRADE_HAS_SUCCESS"),
        ("alipay.trade.create", Some("TRADE_CLOSED")) => bad("ACQ.TRADE_HAS_CLOSE"),
        ("alipay.trade.create", Some(_)) => good(json!({"out_trade_no": number, "trade_no": "20140001"})),
        (_, None) => bad("ACQ.TRADE_NOT_EXIST"),
        ("alipay.trade.query", Some(_)) => {
            let mut trade = books.trades[&number].clone();
            trade.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            good(trade)
        }
        ("alipay.trade.close", Some("WAIT_BUYER_PAY")) => {
            books.trades.get_mut(&number).unwrap()["trade_status"] = json!("TRADE_CLOSED");
            good(json!({"out_trade_no": number}))
        }
        ("alipay.trade.close", Some("TRADE_CLOSED")) => bad("ACQ.TRADE_HAS_CLOSE"),
        ("alipay.trade.close", Some(_)) => bad("ACQ.TRADE_STATUS_ERROR"),
        ("alipay.trade.refund", Some("TRADE_SUCCESS" | "TRADE_CLOSED")) => {
            let Some((changed, sum)) = refund(books, &number, content) else {
                return bad("ACQ.REASON_TRADE_REFUND_FEE_ERR");
            };
            good(json!({"out_trade_no": number, "fund_change": changed, "refund_fee": yuan(sum)}))
        }
        ("alipay.trade.fastpay.refund.query", Some(_)) => {
            match books.refunds.get(content["out_request_no"].as_str().unwrap()) {
                Some(amount) => {
                    good(json!({"refund_status": "REFUND_SUCCESS", "refund_amount": amount, "out_trade_no": number,
                        "out_request_no": content["out_request_no"]}))
                }
                None => good(json!({})),
            }
        }
        _ => bad("ACQ.INVALID_PARAMETER"),
    }
}

/// "Alipay sees to it that a number of a refund gives money back once, however often it is sent." Whether it was the first
/// time, and what has gone back by now; nothing when it would be more than was paid.
fn refund(books: &mut Books, number: &str, content: &Value) -> Option<(&'static str, i64)> {
    let before: i64 = books.refunds.values().map(|amount| fen(amount)).sum();
    let (reference, amount) = (content["out_request_no"].as_str().unwrap(), content["refund_amount"].as_str().unwrap());
    if books.refunds.get(reference).is_some_and(|known| known == amount) {
        return Some(("N", before));
    }
    let trade = books.trades.get_mut(number).unwrap();
    let paid = fen(trade["total_amount"].as_str().unwrap());
    let back = before + fen(amount);
    if back > paid || books.refunds.contains_key(reference) {
        return None;
    }
    if back == paid {
        trade["trade_status"] = json!("TRADE_CLOSED");
    }
    books.refunds.insert(reference.to_owned(), amount.to_owned());
    Some(("Y", back))
}

fn fen(yuan: &str) -> i64 {
    yuan.replace('.', "").parse().unwrap()
}

fn yuan(fen: i64) -> String {
    format!("{}.{:02}", fen / 100, fen % 100)
}
