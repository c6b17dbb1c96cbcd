//! Alipay, as its documentation describes it: forms signed over their sorted fields, answers signed over the text of one of
//! their members, notifications signed over all but the signature, and numbers of ours that stand for one order each.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, UnparsedPublicKey};
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paystate::executor::{HookError, Hooked, Received};
use paystate::machine::Snapshot;
use paystate::types::Secret;
use serde_json::{Value, json};

use super::{World, form, serve};
use crate::connector_signing::{Rsa, rsa};

const APP: &str = "2014072300007148";

#[derive(Default)]
struct Books {
    /// Codes that were shown, by our number; nobody has scanned them yet.
    codes: BTreeMap<String, Value>,
    trades: BTreeMap<String, Value>,
    /// What went back, by our number of the refund.
    refunds: BTreeMap<String, String>,
    refund_requests: usize,
    faults: Vec<Fault>,
}

/// What happens to the next request that would change something.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
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
struct Alipay {
    books: Arc<Mutex<Books>>,
    ours: Arc<Rsa>,
    theirs: Arc<Rsa>,
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
    fn scans(&self, number: &str, pays: bool) {
        let mut books = self.books.lock().unwrap();
        let order = books.codes[number].clone();
        let status = if pays { "TRADE_SUCCESS" } else { "WAIT_BUYER_PAY" };
        let trade = json!({"trade_no": "20140001", "out_trade_no": number, "total_amount": order["total_amount"], "trade_status": status,
            "send_pay_date": if pays { json!("2014-07-24 15:45:57") } else { Value::Null }});
        books.trades.insert(number.to_owned(), trade);
    }

    /// A notification about an order.
    async fn tell(&self, world: &World, id: &str, number: &str, more: &[(&str, &str)]) -> Result<Received, HookError> {
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

async fn handle(State(alipay): State<Alipay>, request: Request) -> Response {
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
    }
    let told = done(&mut alipay.books.lock().unwrap(), method, &content);
    match fault {
        Some(Fault::Hang) => tokio::time::sleep(Duration::from_secs(10)).await,
        Some(Fault::Forged) => return alipay.answer(method, &told, &rsa()),
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
            books.refund_requests += 1;
            let amount = content["refund_amount"].as_str().unwrap().to_owned();
            let reference = content["out_request_no"].as_str().unwrap().to_owned();
            let new = books.refunds.insert(reference, amount.clone()).is_none();
            books.trades.get_mut(&number).unwrap()["trade_status"] = json!("TRADE_CLOSED");
            good(json!({"out_trade_no": number, "fund_change": if new { "Y" } else { "N" }, "refund_fee": amount}))
        }
        ("alipay.trade.fastpay.refund.query", Some(_)) => {
            match books.refunds.get(content["out_request_no"].as_str().unwrap()) {
                Some(amount) => {
                    good(json!({"refund_status": "REFUND_SUCCESS", "refund_amount": amount, "out_trade_no": number}))
                }
                None => good(json!({})),
            }
        }
        _ => bad("ACQ.INVALID_PARAMETER"),
    }
}

async fn alipay(faults: &[Fault]) -> (Alipay, World) {
    alipay_with(faults, None).await
}

/// With a former key of Alipay's, while it is replaced.
async fn alipay_with(faults: &[Fault], former: Option<&Rsa>) -> (Alipay, World) {
    let alipay = Alipay { books: Arc::default(), ours: Arc::new(rsa()), theirs: Arc::new(rsa()) };
    alipay.books.lock().unwrap().faults = faults.iter().rev().copied().collect();
    let url = serve(Router::new().fallback(handle).with_state(alipay.clone())).await;
    let notify = "https://shop.example/hooks/alipay";
    let env = [("ALIPAY_URL", url.as_str()), ("ALIPAY_APP_ID", APP), ("ALIPAY_NOTIFY_URL", notify)];
    let theirs = Secret::new(alipay.theirs.public.as_str());
    let theirs = theirs.beside(former.iter().map(|key| Secret::new(key.public.as_str())).collect());
    let secrets = [("alipay_private_key", Secret::new(alipay.ours.private.as_str())), ("alipay_public_key", theirs)];
    let world = World::with("alipay", "alipay_code", &env, &secrets).await;
    (alipay, world)
}

/// Shows a code, and gives the order's number at Alipay.
async fn shown(alipay: &Alipay, world: &World, more: Value) -> (Arc<Snapshot>, String) {
    let mut input = json!({"amount": 1200, "currency": "CNY"});
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let order = world.submit("alipay_code", input).await;
    world.comes_to(&order, "shown").await;
    let number = alipay.books.lock().unwrap().codes.keys().next().unwrap().clone();
    (order, number)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_paid_whatever_becomes_of_the_first_answer() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Lost], &[Fault::Forged], &[Fault::SystemError, Fault::Forged]] {
        let (alipay, world) = alipay(faults).await;
        let (order, number) = shown(&alipay, &world, json!({})).await;
        assert_eq!(alipay.books.lock().unwrap().codes[&number]["total_amount"], "12.00");
        alipay.scans(&number, true);
        for _ in 0..2 {
            let told = alipay.tell(&world, "n1", &number, &[]).await.unwrap();
            assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
            assert_eq!(told.acknowledge.body.as_deref(), Some("success"));
        }
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "settled", "{faults:?} {:?}", ended.incident);
        assert_eq!((ended.money.captured, alipay.books.lock().unwrap().trades.len()), (1200, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_is_told_before_the_code_was_answered_counts() {
    let (alipay, world) = alipay(&[Fault::Hang]).await;
    let order = world.submit("alipay_code", json!({"amount": 1200, "currency": "CNY"})).await;
    let number = loop {
        if let Some(number) = alipay.books.lock().unwrap().codes.keys().next() {
            break number.clone();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    alipay.scans(&number, true);
    alipay.tell(&world, "n1", &number, &[]).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1200), "{:?}", ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_for_a_buyer_is_opened_or_declined() {
    let (alipay, world) = alipay(&[Fault::Hang]).await;
    let (order, number) = shown(&alipay, &world, json!({"buyer": "2088102146225135"})).await;
    alipay.scans(&number, true);
    alipay.tell(&world, "n1", &number, &[]).await.unwrap();
    assert_eq!(world.ends(&order).await.state.as_str(), "settled");
    let unknown = world.submit("alipay_code", json!({"amount": 1200, "currency": "CNY", "buyer": "nobody"})).await;
    assert_eq!(world.ends(&unknown).await.state.as_str(), "declined");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_nobody_pays_is_closed_and_a_payment_in_the_last_moment_is_taken() {
    for scanned in [false, true] {
        let (alipay, world) = alipay(&[]).await;
        let (order, number) = shown(&alipay, &world, json!({})).await;
        if scanned {
            alipay.scans(&number, false);
        }
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.captured), ("declined", 0));
        let trades = alipay.books.lock().unwrap().trades.clone();
        assert!(
            trades.values().all(|trade| trade["trade_status"] == "TRADE_CLOSED")
                && trades.len() == usize::from(scanned)
        );
    }
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, true);
    assert_eq!(world.ends(&order).await.state.as_str(), "settled", "no notification came: it is asked about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_counts_for_nothing_but_a_question() {
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    // Somebody else's key, another application, and a lie.
    let other = Alipay { theirs: Arc::new(rsa()), ..alipay.clone() };
    let forged = other.tell(&world, "n1", &number, &[]).await;
    assert!(matches!(forged, Err(HookError::Unverified(_))), "{forged:?}");
    let theirs = alipay.tell(&world, "n2", &number, &[("app_id", "2000000000000000")]).await.unwrap();
    assert!(theirs.told.is_empty(), "{theirs:?}");
    alipay.scans(&number, false);
    alipay.tell(&world, "n3", &number, &[]).await.unwrap();
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("declined", 0));
    assert_eq!(alipay.books.lock().unwrap().trades[&number]["trade_status"], "TRADE_CLOSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_amount_than_was_asked_for_is_no_payment() {
    let (alipay, world) = alipay(&[]).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, true);
    alipay.books.lock().unwrap().trades.get_mut(&number).unwrap()["total_amount"] = json!("0.12");
    alipay.tell(&world, "n1", &number, &[("total_amount", "0.12")]).await.unwrap();
    let ended = world.ends(&order).await;
    assert!(ended.incident.is_some() && ended.money.captured == 0, "{} {:?}", ended.state, ended.incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_once_whatever_becomes_of_the_answer() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Lost], &[Fault::Forged], &[Fault::SystemError]] {
        let (alipay, world) = alipay(&[]).await;
        let (order, number) = shown(&alipay, &world, json!({"take_back": true})).await;
        alipay.books.lock().unwrap().faults = faults.to_vec();
        alipay.scans(&number, true);
        alipay.tell(&world, "n1", &number, &[]).await.unwrap();
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "cancelled", "{faults:?}: {:?}", ended.incident);
        let refunds: Vec<String> = alipay.books.lock().unwrap().refunds.values().cloned().collect();
        assert_eq!((refunds, ended.money.refunded), (vec!["12.00".to_owned()], 1200), "{faults:?}");
        // A refund is told as the order once more.
        let more = [("refund_fee", "12.00"), ("trade_status", "TRADE_CLOSED")];
        alipay.tell(&world, "n2", &number, &more).await.unwrap();
        assert_eq!(world.ends(&order).await.money.refunded, 1200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_alipay_changes_its_key_both_are_believed() {
    let former = rsa();
    let (alipay, world) = alipay_with(&[], Some(&former)).await;
    let (order, number) = shown(&alipay, &world, json!({})).await;
    alipay.scans(&number, true);
    let before = Alipay { theirs: Arc::new(former), ..alipay.clone() };
    before.tell(&world, "n1", &number, &[]).await.unwrap();
    alipay.tell(&world, "n2", &number, &[]).await.unwrap();
    assert_eq!(world.ends(&order).await.state.as_str(), "settled");
    let gone = Alipay { theirs: Arc::new(rsa()), ..alipay.clone() };
    assert!(matches!(gone.tell(&world, "n3", &number, &[]).await, Err(HookError::Unverified(_))));
}
