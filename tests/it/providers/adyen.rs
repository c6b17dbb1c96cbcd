//! Adyen, as its documentation describes it: a key is remembered with its answer, modifications are only received, and what
//! became of them is told by notifications whose items are each signed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paystate::executor::{HookError, Hooked, Received};
use paystate::machine::Snapshot;
use paystate::types::Secret;
use serde_json::{Value, json};

use super::{World, serve};

const MERCHANT: &str = "TestMerchant";
const API_KEY: &str = "AQEyhmfxK_test";
const HMAC: &str = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
const FORMER: &str = "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF";

#[derive(Default)]
struct Books {
    /// Answers by key.
    keys: BTreeMap<String, (u16, Value)>,
    /// What is held, captured and refunded, by our reference.
    held: BTreeMap<String, i64>,
    captured: Vec<i64>,
    cancelled: usize,
    refunded: Vec<i64>,
    /// Requests that were not repeats.
    carried_out: usize,
    requests: usize,
    faults: Vec<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It is done, and no answer comes.
    Hang,
    /// Nothing is done, and no answer comes.
    Lost,
    /// Nothing is done, and the answer says so.
    Busy,
    /// It is done, and a proxy on the way answers.
    Gateway,
}

#[derive(Clone, Default)]
struct Adyen(Arc<Mutex<Books>>);

async fn handle(State(adyen): State<Adyen>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Value = serde_json::from_slice(&axum::body::to_bytes(body, 1 << 20).await.unwrap()).unwrap();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let answer =
        |(status, body): (u16, Value)| (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response();
    if header("x-api-key") != API_KEY {
        return answer((401, json!({"status": 401, "errorCode": "000"})));
    }
    let key = header("idempotency-key").to_owned();
    assert!((1..=64).contains(&key.len()), "a key has at most 64 characters");
    let fault = {
        let mut books = adyen.0.lock().unwrap();
        books.requests += 1;
        books.faults.pop()
    };
    match fault {
        Some(Fault::Lost) => tokio::time::sleep(Duration::from_secs(10)).await,
        Some(Fault::Busy) => return answer((429, json!({"status": 429, "errorCode": "010"}))),
        _ => {}
    }
    let told = {
        let mut books = adyen.0.lock().unwrap();
        match books.keys.get(&key) {
            Some(stored) => stored.clone(),
            None => {
                books.carried_out += 1;
                let told = done(&mut books, parts.uri.path(), &body);
                books.keys.insert(key, told.clone());
                told
            }
        }
    };
    match fault {
        Some(Fault::Hang) => tokio::time::sleep(Duration::from_secs(10)).await,
        Some(Fault::Gateway) => return (StatusCode::BAD_GATEWAY, "<html>nginx</html>").into_response(),
        _ => {}
    }
    answer(told)
}

fn done(books: &mut Books, path: &str, body: &Value) -> (u16, Value) {
    let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let psp = format!("PSP{:013}", books.carried_out);
    let amount = body["amount"]["value"].as_i64().unwrap_or_default();
    let received = |more: Value| {
        let mut told = json!({"status": "received", "pspReference": psp, "reference": body["reference"]});
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        (201, told)
    };
    if steps != ["payments", "details"] {
        assert_eq!(body["merchantAccount"], MERCHANT);
    }
    match steps.as_slice() {
        ["payments"] => match body["paymentMethod"]["encryptedCardNumber"].as_str().unwrap() {
            "refused" => (
                200,
                json!({"resultCode": "Refused", "refusalReasonCode": "2", "pspReference": psp, "refusalReason": "Refused"}),
            ),
            "redirect" => {
                let action = json!({"type": "redirect", "method": "GET", "url": format!("https://checkout.example/{}", body["reference"].as_str().unwrap())});
                (200, json!({"resultCode": "RedirectShopper", "action": action}))
            }
            _ => {
                books.held.insert(body["reference"].as_str().unwrap().to_owned(), amount);
                (
                    200,
                    json!({"resultCode": "Authorised", "pspReference": psp, "amount": body["amount"], "merchantReference": body["reference"]}),
                )
            }
        },
        ["payments", "details"] => match body["details"]["redirectResult"].as_str().unwrap() {
            "good" => {
                books.held.insert("redirected".to_owned(), 1200);
                let amount = json!({"value": 1200, "currency": "EUR"});
                (200, json!({"resultCode": "Authorised", "pspReference": psp, "amount": amount}))
            }
            _ => (200, json!({"resultCode": "Refused", "refusalReasonCode": "11", "pspReference": psp})),
        },
        ["payments", _, "captures"] => {
            books.captured.push(amount);
            received(json!({"amount": body["amount"]}))
        }
        ["payments", _, "cancels"] => {
            books.cancelled += 1;
            received(json!({}))
        }
        ["payments", _, "refunds"] => {
            books.refunded.push(amount);
            received(json!({"amount": body["amount"]}))
        }
        _ => (404, json!({"status": 404})),
    }
}

/// An item of a notification, signed.
fn item(key: &str, order: &Snapshot, psp: &str, event: &str, success: &str) -> Value {
    let reference = order.id.to_string();
    let content = format!("{psp}:::{MERCHANT}:{reference}:1200:EUR:{event}:{success}").replacen(":::", "::", 1);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &hex::decode(key).unwrap());
    let tag = BASE64_STANDARD.encode(hmac::sign(&key, content.as_bytes()));
    json!({"NotificationRequestItem": {
        "additionalData": {"hmacSignature": tag}, "amount": {"value": 1200, "currency": "EUR"}, "eventCode": event,
        "eventDate": "2026-01-01T00:00:00+01:00", "merchantAccountCode": MERCHANT, "merchantReference": reference,
        "pspReference": psp, "success": success,
    }})
}

async fn tell(world: &World, items: &[Value]) -> Result<Received, HookError> {
    let body = json!({"live": "false", "notificationItems": items}).to_string();
    world.hook(&[("content-type", "application/json")], &body).await
}

async fn adyen(faults: &[Fault]) -> (Adyen, World) {
    let adyen = Adyen::default();
    adyen.0.lock().unwrap().faults = faults.iter().rev().copied().collect();
    let url = serve(Router::new().fallback(handle).with_state(adyen.clone())).await;
    let env = [("ADYEN_URL", url.as_str()), ("ADYEN_MERCHANT", MERCHANT)];
    let hmac = Secret::new(HMAC).beside(vec![Secret::new(FORMER)]);
    let secrets = [("adyen_api_key", Secret::new(API_KEY)), ("adyen_hmac", hmac)];
    let world = World::with("adyen", "adyen_card", &env, &secrets).await;
    (adyen, world)
}

async fn pay(world: &World, card: &str, then: &str) -> Arc<Snapshot> {
    let input = json!({"amount": 1200, "currency": "EUR", "card": card, "then": then});
    world.submit("adyen_card", input).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_charged_once_whatever_becomes_of_the_answers() {
    for faults in [&[][..], &[Fault::Hang], &[Fault::Lost], &[Fault::Gateway], &[Fault::Busy, Fault::Hang, Fault::Hang]]
    {
        let (adyen, world) = adyen(faults).await;
        let order = pay(&world, "good", "keep").await;
        world.comes_to(&order, "captured").await;
        for _ in 0..2 {
            let told = tell(&world, &[item(HMAC, &order, "P2", "CAPTURE", "true")]).await.unwrap();
            assert!(matches!(told.told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
            assert_eq!(told.acknowledge.body.as_deref(), Some("[accepted]"));
        }
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.captured), ("settled", 1200), "{faults:?} {:?}", ended.incident);
        let books = adyen.0.lock().unwrap();
        assert_eq!((books.held.len(), books.captured.as_slice(), books.carried_out), (1, &[1200][..], 2), "{faults:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_card_is_declined_and_nothing_is_held() {
    let (adyen, world) = adyen(&[Fault::Hang]).await;
    let order = pay(&world, "refused", "keep").await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), &ended.data["reason"]), ("declined", &json!("2")));
    assert!(adyen.0.lock().unwrap().held.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_sent_away_and_comes_back() {
    for (result, state, held) in [("good", "captured", 1), ("bad", "declined", 0)] {
        let (adyen, world) = adyen(&[]).await;
        let order = pay(&world, "redirect", "keep").await;
        let away = world.comes_to(&order, "away").await;
        assert!(away.data["url"].as_str().unwrap().starts_with("https://checkout.example/"));
        adyen.0.lock().unwrap().faults = vec![Fault::Hang];
        world.event(&order, "customer.back", json!({ "redirect_result": result })).await;
        world.comes_to(&order, state).await;
        assert_eq!(adyen.0.lock().unwrap().held.len(), held);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_fails_afterwards_is_taken_back_in_the_books() {
    let (_, world) = adyen(&[]).await;
    let order = pay(&world, "good", "keep").await;
    world.comes_to(&order, "captured").await;
    // Two things in one notification, one of them early or late: each counts for itself.
    let items =
        [item(HMAC, &order, "P1", "AUTHORISATION", "true"), item(FORMER, &order, "P2", "CAPTURE_FAILED", "true")];
    let told = tell(&world, &items).await.unwrap();
    assert_eq!(told.told.len(), 2);
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.money.captured), ("failed", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_adyen_has_not_signed_spoils_the_notification() {
    let (_, world) = adyen(&[]).await;
    let order = pay(&world, "good", "keep").await;
    world.comes_to(&order, "captured").await;
    let other = "FF".repeat(32);
    let items =
        [item(HMAC, &order, "P1", "AUTHORISATION", "true"), item(&other, &order, "P2", "CAPTURE_FAILED", "true")];
    let refused = tell(&world, &items).await;
    assert!(matches!(refused, Err(HookError::Unverified(_))), "{refused:?}");
    let mut moved = item(HMAC, &order, "P2", "CAPTURE", "false");
    moved["NotificationRequestItem"]["success"] = json!("true");
    assert!(matches!(tell(&world, &[moved]).await, Err(HookError::Unverified(_))));
    let now = world.executor.order(order.id).await.unwrap().unwrap();
    assert_eq!((now.state.as_str(), now.inbox.len()), ("captured", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_by_a_cancel_or_a_refund_and_once() {
    for (then, captured, refunded, cancelled) in [("cancel", 0, 0, 1), ("refund", 1, 1, 0)] {
        let (adyen, world) = adyen(&[]).await;
        let order = pay(&world, "good", then).await;
        if then == "refund" {
            world.comes_to(&order, "captured").await;
            adyen.0.lock().unwrap().faults = vec![Fault::Hang, Fault::Lost];
            tell(&world, &[item(HMAC, &order, "P2", "CAPTURE", "true")]).await.unwrap();
        }
        let ended = world.ends(&order).await;
        assert_eq!((ended.state.as_str(), ended.money.held), ("cancelled", 0), "{:?}", ended.incident);
        assert_eq!((ended.money.refunded, ended.money.released), (1200 * refunded, 1200 * i64::from(cancelled)));
        {
            let books = adyen.0.lock().unwrap();
            let seen = (books.captured.len(), books.refunded.len(), books.cancelled);
            assert_eq!(seen, (captured, usize::try_from(refunded).unwrap(), usize::try_from(cancelled).unwrap()));
        }
        if then == "refund" {
            tell(&world, &[item(HMAC, &order, "P3", "REFUND", "false")]).await.unwrap();
            let returned = world.comes_to(&order, "refund_returned").await;
            assert_eq!((returned.money.captured, returned.money.refunded), (1200, 0), "the merchant has it again");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_adyen_may_have_forgotten_is_not_sent_again() {
    let (adyen, world) = adyen(&[Fault::Hang]).await;
    let order = pay(&world, "good", "keep").await;
    for _ in 0..500 {
        if adyen.0.lock().unwrap().requests > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Its answer is given up, and its repeat waits through the pause.
    world.waits_at("adyen").await;
    adyen.0.lock().unwrap().keys.clear();
    world.clock.leap(Duration::from_secs(8 * 24 * 3_600));
    world.goes_on("adyen").await;
    let ended = world.ends(&order).await;
    assert!(ended.incident.is_some(), "a person finds out, or the webhook tells: {} {}", ended.state, ended.outcome);
    let books = adyen.0.lock().unwrap();
    assert_eq!((books.held.len(), books.carried_out, books.requests), (1, 1, 1), "nothing is held twice");
}
