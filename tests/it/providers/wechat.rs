//! WeChat Pay v3, as its documentation describes it: every request signed with the merchant's key, every answer and
//! notification with its own, notifications encrypted, numbers of ours that stand for one order each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paystate::executor::{Clock, HookError, Hooked, Received, SystemClock};
use paystate::machine::Status;
use paystate::types::Secret;
use serde_json::{Value, json};

use super::{World, serve};
use crate::connector_signing::{Rsa, rsa};

const API_KEY: &str = "0123456789abcdef0123456789ABCDEF";
const MERCHANT: &str = "1900000109";

#[derive(Default)]
struct Books {
    /// By our number.
    trades: BTreeMap<String, Value>,
    refunds: BTreeMap<String, Value>,
    /// What happens to the next requests.
    faults: Vec<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It is done, and no answer comes.
    Hang,
    /// It is done, and the answer is signed by somebody else.
    Forged,
    /// Nothing is done.
    Busy,
}

#[derive(Clone)]
struct WeChat {
    books: Arc<Mutex<Books>>,
    ours: Arc<Rsa>,
    theirs: Arc<Rsa>,
}

impl WeChat {
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
    fn pays(&self, number: &str) -> Value {
        let mut books = self.books.lock().unwrap();
        let trade = books.trades.get_mut(number).unwrap();
        assert_eq!(trade["trade_state"], "NOTPAY");
        trade["trade_state"] = json!("SUCCESS");
        trade["transaction_id"] = json!("4200001");
        trade.clone()
    }

    /// A notification: the resource is encrypted, the whole is signed.
    async fn tell(&self, world: &World, id: &str, kind: &str, resource: &Value) -> Result<Received, HookError> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, API_KEY.as_bytes()).unwrap());
        let mut text = resource.to_string().into_bytes();
        let nonce = Nonce::try_assume_unique_for_key(b"fdasflkja484").unwrap();
        key.seal_in_place_append_tag(nonce, Aad::from("transaction"), &mut text).unwrap();
        let resource = json!({
            "algorithm": "AEAD_AES_256_GCM", "ciphertext": BASE64_STANDARD.encode(text), "nonce": "fdasflkja484",
            "associated_data": "transaction",
        });
        let body = json!({"id": id, "event_type": kind, "resource": resource}).to_string();
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

async fn handle(State(wechat): State<WeChat>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = String::from_utf8(axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
    if !authentic(&wechat, parts.method.as_str(), &target, &parts.headers, &body) {
        return wechat.answer(401, &json!({"code": "SIGN_ERROR"}), false);
    }
    let fault = (parts.method == "POST").then(|| wechat.books.lock().unwrap().faults.pop()).flatten();
    if fault == Some(Fault::Busy) {
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
        ("POST", ["refund", "domestic", "refunds"]) => {
            let number = fields["out_refund_no"].as_str().unwrap().to_owned();
            let refund = json!({"out_refund_no": number, "refund_id": format!("5{}", books.refunds.len()), "status": "PROCESSING",
                "amount": fields["amount"]});
            (200, books.refunds.entry(number).or_insert(refund).clone())
        }
        ("GET", ["refund", "domestic", "refunds", number]) => match books.refunds.get_mut(*number) {
            Some(refund) => {
                refund["status"] = json!("SUCCESS");
                (200, refund.clone())
            }
            None => error(404, "RESOURCE_NOT_EXISTS"),
        },
        _ => error(404, "NOT_FOUND"),
    }
}

async fn wechat(faults: &[Fault]) -> (WeChat, World) {
    wechat_with(faults, None).await
}

/// With a former key of WeChat Pay's, while it is replaced.
async fn wechat_with(faults: &[Fault], former: Option<&Rsa>) -> (WeChat, World) {
    let (ours, theirs) = (Arc::new(rsa()), Arc::new(rsa()));
    let wechat = WeChat { books: Arc::default(), ours, theirs };
    wechat.books.lock().unwrap().faults = faults.iter().rev().copied().collect();
    let url = serve(Router::new().fallback(handle).with_state(wechat.clone())).await;
    let env = [
        ("WECHATPAY_URL", url.as_str()),
        ("WECHATPAY_MCHID", MERCHANT),
        ("WECHATPAY_APPID", "wxd678efh567hg6787"),
        ("WECHATPAY_SERIAL", "SERIAL1"),
        ("WECHATPAY_NOTIFY_URL", "https://shop.example/hooks/wechatpay"),
    ];
    let theirs = Secret::new(wechat.theirs.public.as_str());
    let secrets = [
        ("wechatpay_private_key", Secret::new(wechat.ours.private.as_str())),
        ("wechatpay_public_key", theirs.beside(former.iter().map(|key| Secret::new(key.public.as_str())).collect())),
        ("wechatpay_api_v3_key", Secret::new(API_KEY)),
    ];
    let world = World::with("wechatpay", "wechat_native", &env, &secrets).await;
    (wechat, world)
}

/// Opens an order, and gives its number at WeChat Pay.
async fn opened(wechat: &WeChat, world: &World, more: Value) -> (Arc<paystate::machine::Snapshot>, String) {
    let mut input = json!({"amount": 100, "currency": "CNY"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let order = world.submit("wechat_native", input).await;
    let shown = world.comes_to(&order, "shown").await;
    let number = wechat.books.lock().unwrap().trades.keys().next().unwrap().clone();
    assert_eq!(shown.data["code_url"], format!("weixin://wxpay/bizpayurl?pr={number}"));
    (order, number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_shown_and_the_payment_is_believed_when_it_is_asked_about() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Forged, Fault::Busy]] {
        let (wechat, world) = wechat(faults).await;
        let (order, number) = opened(&wechat, &world, json!({})).await;
        let paid = wechat.pays(&number);
        for _ in 0..2 {
            let told = wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
            assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
            assert_eq!(told.acknowledge.body.as_deref(), Some(r#"{"code":"SUCCESS","message":""}"#));
        }
        let ended = world.ends(&order).await;
        assert_eq!(
            (ended.state.as_str(), ended.status),
            ("settled", Status::Succeeded),
            "{faults:?} {:?}",
            ended.incident
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_inside_wechat_pays_on_the_page_there() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Forged, Fault::Busy]] {
        let (wechat, world) = wechat(faults).await;
        let input = json!({"amount": 100, "currency": "CNY", "openid": "o-4711"});
        let order = world.submit("wechat_native", input).await;
        let shown = world.comes_to(&order, "shown").await;
        let number = wechat.books.lock().unwrap().trades.keys().next().unwrap().clone();
        assert_eq!(shown.data["prepay_id"], format!("wx{number}"), "{faults:?}");
        let paid = wechat.pays(&number);
        wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 100), "{faults:?} {:?}", ended.incident);
    }
    let (_, world) = wechat(&[]).await;
    let input = json!({"amount": 100, "currency": "CNY", "openid": "o-nobody"});
    let order = world.submit("wechat_native", input).await;
    assert_eq!(world.ends(&order).await.state.as_str(), "declined");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_lies_changes_nothing() {
    let (wechat, world) = wechat(&[]).await;
    let (order, number) = opened(&wechat, &world, json!({})).await;
    // Authentic, and yet the trade is not paid: it is asked about, found open, and closed.
    let lie =
        json!({"out_trade_no": number, "trade_state": "SUCCESS", "transaction_id": "1", "amount": {"total": 100}});
    wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &lie).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status), ("declined", Status::Failed));
    assert_eq!(wechat.books.lock().unwrap().trades[&number]["trade_state"], "CLOSED");
    // And one that is not WeChat Pay's is not heard at all.
    let other = WeChat { theirs: Arc::new(rsa()), ..wechat.clone() };
    let refused = other.tell(&world, "evt_2", "TRANSACTION.SUCCESS", &lie).await;
    assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unpaid_code_is_closed_and_a_payment_in_the_last_moment_is_taken() {
    let (wechat, world) = wechat(&[]).await;
    let (order, number) = opened(&wechat, &world, json!({})).await;
    wechat.pays(&number);
    // No notification comes: the time of the code is over, and the order is asked about.
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "settled", "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_asked_for_once_and_asked_about_until_it_is_done() {
    for faults in [&[][..], &[Fault::Hang]] {
        let (wechat, world) = wechat(&[]).await;
        let (order, number) = opened(&wechat, &world, json!({"take_back": true})).await;
        wechat.books.lock().unwrap().faults = faults.to_vec();
        let paid = wechat.pays(&number);
        wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "cancelled", "{faults:?}: {:?}", ended.incident);
        let refunds = wechat.books.lock().unwrap().refunds.clone();
        let amounts: Vec<&Value> = refunds.values().map(|refund| &refund["amount"]["refund"]).collect();
        assert_eq!(amounts, [&json!(100)], "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_told_before_the_code_was_answered_counts() {
    let (wechat, world) = wechat(&[Fault::Hang]).await;
    let order = world.submit("wechat_native", json!({"amount": 100, "currency": "CNY"})).await;
    let number = loop {
        if let Some(number) = wechat.books.lock().unwrap().trades.keys().next() {
            break number.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let paid = wechat.pays(&number);
    let told = wechat.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
    assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 100), "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_wechat_changes_its_key_both_are_believed() {
    let former = Arc::new(rsa());
    let (wechat, world) = wechat_with(&[], Some(&former)).await;
    let (order, number) = opened(&wechat, &world, json!({})).await;
    let paid = wechat.pays(&number);
    let before = WeChat { theirs: former, ..wechat.clone() };
    before.tell(&world, "evt_1", "TRANSACTION.SUCCESS", &paid).await.unwrap();
    assert_eq!(world.ends(&order).await.state.as_str(), "settled");
    let gone = WeChat { theirs: Arc::new(rsa()), ..wechat.clone() };
    let refused = gone.tell(&world, "evt_2", "TRANSACTION.SUCCESS", &paid).await;
    assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
}
