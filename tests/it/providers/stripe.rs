//! Stripe, as its documentation describes it: PaymentIntents with manual capture, keys that repeat stored answers, a
//! search that finds late, refunds, signed notifications.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use paystate::executor::{Clock, HookError, Hooked, SystemClock};
use paystate::machine::Status;
use paystate::types::Secret;
use serde_json::{Value, json};

use super::{World, form, serve};

const KEY: &str = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
const HOOK: &str = "whsec_5Z1cYdSyzsyLGHxO";

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// It is done, and no answer comes.
    Hang,
    /// It is done, answered with 500, and a repeat of the key is answered the same.
    ServerError,
    /// It is not done.
    Busy,
    /// It never arrives.
    Lost,
}

#[derive(Default)]
struct Books {
    intents: BTreeMap<String, Value>,
    refunds: Vec<Value>,
    /// What the bank says of refunds, one after another; "succeeded" when it has no more to say.
    banks: VecDeque<&'static str>,
    /// By key: what was asked, and what was answered.
    keys: BTreeMap<String, (String, u16, Value)>,
    faults: VecDeque<Option<Fault>>,
}

#[derive(Clone, Default)]
struct Stripe(Arc<Mutex<Books>>);

impl Stripe {
    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    fn fails(&self, faults: &[Fault]) {
        self.books().faults.extend(faults.iter().copied().map(Some));
    }

    /// All that was ever charged, and how often each intent was captured.
    fn captured(&self) -> i64 {
        self.books().intents.values().map(|intent| intent["amount_received"].as_i64().unwrap_or(0)).sum()
    }

    fn intents(&self) -> Vec<Value> {
        self.books().intents.values().cloned().collect()
    }

    /// What has gone back to the customer.
    fn refunded(&self) -> i64 {
        let books = self.books();
        let done = books.refunds.iter().filter(|refund| refund["status"] == "succeeded");
        done.map(|refund| refund["amount"].as_i64().unwrap()).sum()
    }

    fn set_status(&self, id: &str, status: &str) {
        self.books().intents.get_mut(id).unwrap()["status"] = json!(status);
    }

    /// A request that changes something: its key decides whether anything is done.
    async fn post(
        &self,
        path: String,
        headers: HeaderMap,
        body: String,
        run: impl FnOnce(&mut Books, &Form) -> (u16, Value),
    ) -> Response {
        if let Some(refused) = refused(&headers) {
            return refused;
        }
        let key = headers["idempotency-key"].to_str().unwrap().to_owned();
        let (hangs, (status, told)) = self.done(key, path, &body, run);
        if hangs {
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        answer(status, told)
    }

    /// Whether no answer comes in time, and the answer.
    fn done(
        &self,
        key: String,
        path: String,
        body: &str,
        run: impl FnOnce(&mut Books, &Form) -> (u16, Value),
    ) -> (bool, (u16, Value)) {
        let mut books = self.books();
        let fault = books.faults.pop_front().flatten();
        match fault {
            Some(Fault::Busy) => {
                return (false, (429, json!({"error": {"type": "invalid_request_error", "code": "rate_limit"}})));
            }
            Some(Fault::Lost) => return (true, (504, Value::Null)),
            Some(Fault::Hang | Fault::ServerError) | None => {}
        }
        let asked = format!("{path}?{body}");
        if let Some((before, status, stored)) = books.keys.get(&key) {
            let other = (400, json!({"error": {"type": "idempotency_error", "message": "other parameters"}}));
            return (fault == Some(Fault::Hang), if *before == asked { (*status, stored.clone()) } else { other });
        }
        let mut told = run(&mut books, &form(body));
        if fault == Some(Fault::ServerError) {
            told = (500, json!({"error": {"type": "api_error"}}));
        }
        books.keys.insert(key, (asked, told.0, told.1.clone()));
        (fault == Some(Fault::Hang), told)
    }
}

type Form = BTreeMap<String, String>;

fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn refused(headers: &HeaderMap) -> Option<Response> {
    let known = headers.get("authorization").is_some_and(|value| value == &format!("Bearer {KEY}"));
    let versioned = headers.contains_key("stripe-version");
    (!known || !versioned).then(|| answer(401, json!({"error": {"type": "invalid_request_error"}})))
}

fn declined(code: &str, decline: &str) -> (u16, Value) {
    (402, json!({"error": {"type": "card_error", "code": code, "decline_code": decline, "message": "no"}}))
}

async fn create(State(stripe): State<Stripe>, headers: HeaderMap, body: String) -> Response {
    let run = |books: &mut Books, fields: &Form| {
        assert_eq!((fields["capture_method"].as_str(), fields["confirm"].as_str()), ("manual", "true"));
        assert_eq!(fields["payment_method_types[0]"], "card");
        let id = format!("pi_{}", books.intents.len() + 1);
        let mut intent = json!({
            "id": id, "object": "payment_intent", "amount": fields["amount"].parse::<i64>().unwrap(), "amount_received": 0,
            "currency": fields["currency"], "metadata": {"reference": fields["metadata[reference]"]},
            "status": "requires_capture", "next_action": null, "last_payment_error": null,
        });
        match fields["payment_method"].as_str() {
            "pm_card_visa" => {}
            "pm_card_authenticationRequired" => {
                intent["status"] = json!("requires_action");
                intent["next_action"] =
                    json!({"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.example/3ds"}});
            }
            "pm_card_visa_chargeDeclinedInsufficientFunds" => return declined("card_declined", "insufficient_funds"),
            other => {
                return (
                    400,
                    json!({"error": {"type": "invalid_request_error", "code": "resource_missing", "param": other}}),
                );
            }
        }
        books.intents.insert(id, intent.clone());
        (200, intent)
    };
    stripe.post("/v1/payment_intents".to_owned(), headers, body, run).await
}

async fn change(
    State(stripe): State<Stripe>,
    Path((id, what)): Path<(String, String)>,
    headers: HeaderMap,
    body: String,
) -> Response {
    let (path, intent_id) = (format!("/v1/payment_intents/{id}/{what}"), id);
    let run = |books: &mut Books, fields: &Form| {
        let Some(intent) = books.intents.get_mut(&intent_id) else {
            return (404, json!({"error": {"type": "invalid_request_error", "code": "resource_missing"}}));
        };
        match (what.as_str(), intent["status"].as_str().unwrap()) {
            ("capture", "requires_capture") => {
                intent["status"] = json!("succeeded");
                let before = intent["amount_received"].as_i64().unwrap();
                intent["amount_received"] = json!(before + fields["amount_to_capture"].parse::<i64>().unwrap());
                (200, intent.clone())
            }
            ("cancel", "requires_capture" | "requires_action" | "requires_payment_method" | "processing") => {
                intent["status"] = json!("canceled");
                (200, intent.clone())
            }
            (_, status) => {
                let code = json!({"type": "invalid_request_error", "code": "payment_intent_unexpected_state", "message": status});
                (400, json!({ "error": code }))
            }
        }
    };
    stripe.post(path, headers, body, run).await
}

async fn refund(State(stripe): State<Stripe>, headers: HeaderMap, body: String) -> Response {
    let run = |books: &mut Books, fields: &Form| {
        let status = books.banks.pop_front().unwrap_or("succeeded");
        let refund = json!({
            "id": format!("re_{}", books.refunds.len() + 1), "object": "refund", "status": status,
            "amount": fields["amount"].parse::<i64>().unwrap(), "payment_intent": fields["payment_intent"],
            "metadata": {"reference": fields["metadata[reference]"]},
        });
        books.refunds.push(refund.clone());
        (200, refund)
    };
    stripe.post("/v1/refunds".to_owned(), headers, body, run).await
}

async fn refunds(
    State(stripe): State<Stripe>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let of_intent = |refund: &&Value| refund["payment_intent"] == query["payment_intent"];
    let found: Vec<Value> = stripe.books().refunds.iter().filter(of_intent).cloned().collect();
    answer(200, json!({"object": "list", "data": found, "has_more": false}))
}

/// Each time it is looked at, the bank may have said more.
async fn looked_at(State(stripe): State<Stripe>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let mut books = stripe.books();
    let status = books.banks.pop_front().unwrap_or("succeeded");
    let Some(refund) = books.refunds.iter_mut().find(|refund| refund["id"] == id.as_str()) else {
        return answer(404, json!({"error": {"type": "invalid_request_error", "code": "resource_missing"}}));
    };
    if refund["status"] == "pending" {
        refund["status"] = json!(status);
    }
    let refund = refund.clone();
    drop(books);
    answer(200, refund)
}

async fn retrieve(State(stripe): State<Stripe>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    match stripe.books().intents.get(&id) {
        Some(intent) => answer(200, intent.clone()),
        None => answer(404, json!({"error": {"type": "invalid_request_error", "code": "resource_missing"}})),
    }
}

async fn search(
    State(stripe): State<Stripe>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Response {
    if let Some(refused) = refused(&headers) {
        return refused;
    }
    let reference =
        query["query"].strip_prefix("metadata['reference']:'").and_then(|rest| rest.strip_suffix('\'')).unwrap();
    let found: Vec<Value> =
        stripe.intents().into_iter().filter(|intent| intent["metadata"]["reference"] == reference).collect();
    answer(200, json!({"object": "search_result", "data": found, "has_more": false}))
}

fn router(stripe: &Stripe) -> Router {
    Router::new()
        .route("/v1/payment_intents", post(create))
        .route("/v1/payment_intents/search", get(search))
        .route("/v1/payment_intents/{id}", get(retrieve))
        .route("/v1/payment_intents/{id}/{what}", post(change))
        .route("/v1/refunds", post(refund).get(refunds))
        .route("/v1/refunds/{id}", get(looked_at))
        .with_state(stripe.clone())
}

async fn stripe() -> (Stripe, World) {
    let stripe = Stripe::default();
    let url = serve(router(&stripe)).await;
    let secrets = [("stripe_key", KEY), ("stripe_hook", HOOK)];
    let world = World::start("stripe", "stripe_card", &[("STRIPE_URL", &url)], &secrets).await;
    (stripe, world)
}

fn card(payment_method: &str) -> Value {
    json!({"amount": 1250, "currency": "EUR", "payment_method": payment_method})
}

/// Sends a notification about an intent, signed with a secret.
async fn tell(world: &World, secret: &str, id: &str, kind: &str, intent: &Value) -> Result<Vec<Hooked>, HookError> {
    let body = json!({"id": id, "object": "event", "type": kind, "data": {"object": intent}}).to_string();
    let at = SystemClock.now().unix_ms() / 1_000;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), format!("{at}.{body}").as_bytes());
    let signature = format!("t={at},v1={}", hex::encode(tag));
    world.hook(&[("stripe-signature", &signature)], &body).await.map(|received| received.told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_charged_once_whatever_happens_to_the_answers() {
    let cases: [&'static [Fault]; 8] = [
        &[],
        &[Fault::Hang],
        &[Fault::ServerError],
        &[Fault::Busy, Fault::Busy],
        &[Fault::Lost],
        &[Fault::Lost, Fault::Hang],
        // Of the capture.
        &[Fault::Hang, Fault::Hang],
        &[Fault::Busy, Fault::Hang, Fault::ServerError],
    ];
    let all = cases.map(|faults| tokio::spawn(charged_once(faults)));
    for one in all {
        one.await.unwrap();
    }
}

async fn charged_once(faults: &[Fault]) {
    let (stripe, world) = stripe().await;
    stripe.fails(faults);
    let order = world.submit("stripe_card", card("pm_card_visa")).await;
    let ended = world.ends(&order).await;
    let told = format!("{faults:?}: {:?} {:?}", ended.incident, stripe.intents());
    assert_eq!((ended.state.as_str(), ended.status), ("settled", Status::Succeeded), "{told}");
    assert_eq!(stripe.captured(), 1250, "{told}");
    let held = stripe.intents().iter().filter(|intent| intent["status"] == "requires_capture").count();
    assert_eq!(held, 0, "{told}: nothing is left held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decline_is_a_decline_and_nothing_is_held() {
    let (stripe, world) = stripe().await;
    let order = world.submit("stripe_card", card("pm_card_visa_chargeDeclinedInsufficientFunds")).await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), &ended.data["reason"]), ("declined", &json!("insufficient_funds")));
    assert!(stripe.intents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_is_handed_on_and_what_stripe_says_counts() {
    let (stripe, world) = stripe().await;
    let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
    let challenged = world.comes_to(&order, "challenged").await;
    assert_eq!(challenged.data["challenge"], "https://hooks.stripe.example/3ds");
    stripe.set_status("pi_1", "requires_capture");
    let intent = stripe.intents().remove(0);
    let kind = "payment_intent.amount_capturable_updated";
    assert!(matches!(tell(&world, "whsec_of_another", "evt_1", kind, &intent).await, Err(HookError::Unverified(_))));
    for _ in 0..2 {
        let told = tell(&world, HOOK, "evt_1", kind, &intent).await.unwrap();
        assert!(matches!(told.as_slice(), [Hooked::Applied { .. }]), "{told:?}");
    }
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), stripe.captured()), ("settled", 1250));
    // A dispute is told by Stripe's own reference, and comes late.
    let dispute = json!({"id": "dp_1", "payment_intent": "pi_1", "amount": 1250});
    tell(&world, HOOK, "evt_2", "charge.dispute.created", &dispute).await.unwrap();
    let late = world.executor.order(order.id).await.unwrap().unwrap();
    assert_eq!(late.status, Status::Incident);
}

#[tokio::test(flavor = "multi_thread")]
async fn money_goes_back_once_and_counts_when_the_bank_has_it() {
    use Fault::{Busy, Hang, Lost, ServerError};
    let refunded = "cancelled";
    let cases: [(&[Fault], &[&str], _); 8] = [
        (&[], &[], refunded),
        (&[Hang], &[], refunded),
        (&[Lost, Hang], &[], refunded),
        (&[ServerError], &[], refunded),
        (&[Busy], &["pending"], refunded),
        (&[], &["pending", "pending", "pending"], refunded),
        (&[Hang], &["pending", "pending"], refunded),
        // The bank does not take it: somebody has to find another way.
        (&[], &["pending", "pending", "failed"], "undoing"),
    ];
    for (faults, banks, state) in cases {
        let (stripe, world) = stripe().await;
        stripe.books().banks.extend(banks);
        // The authorization and the capture are answered.
        let mut input = card("pm_card_visa");
        input["then"] = json!("refund");
        stripe.books().faults.extend([None, None].into_iter().chain(faults.iter().copied().map(Some)));
        let order = world.submit("stripe_card", input).await;
        let ended = world.ends(&order).await;
        let told = format!("{faults:?} {banks:?}: {:?}", ended.incident);
        let back = if state == refunded { 1250 } else { 0 };
        assert_eq!((ended.state.as_str(), ended.money.captured, ended.money.refunded), (state, 1250, back), "{told}");
        assert_eq!((stripe.refunded(), stripe.books().refunds.len()), (back, 1), "{told}");
        assert_eq!(ended.status == Status::Incident, state != refunded, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_that_nobody_answers_is_closed_before_it_is_given_up() {
    let (stripe, world) = stripe().await;
    let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "declined", "{:?} {}", ended.incident, ended.outcome);
    assert_eq!(stripe.intents()[0]["status"], "canceled");
    assert_eq!(stripe.captured(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stripe_has_forgotten_is_searched_for_and_not_sent_again() {
    let (stripe, world) = stripe().await;
    stripe.fails(&[Fault::Hang]);
    let order = world.submit("stripe_card", card("pm_card_visa")).await;
    for _ in 0..500 {
        if !stripe.intents().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    world.waits_at("stripe").await;
    // A day later Stripe has forgotten the key: the same request would be another payment.
    stripe.books().keys.clear();
    world.clock.leap(Duration::from_secs(25 * 3_600));
    world.goes_on("stripe").await;
    let ended = world.ends(&order).await;
    assert_eq!(ended.state.as_str(), "settled", "{:?}", ended.incident);
    assert_eq!((stripe.intents().len(), stripe.captured()), (1, 1250), "it was searched for");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_secret_of_the_endpoint_is_replaced_both_are_believed() {
    let stripe = Stripe::default();
    let url = serve(router(&stripe)).await;
    let hook = Secret::new(HOOK).beside(vec![Secret::new("whsec_of_last_year")]);
    let secrets = [("stripe_key", Secret::new(KEY)), ("stripe_hook", hook)];
    let world = World::with("stripe", "stripe_card", &[("STRIPE_URL", &url)], &secrets).await;
    let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
    world.comes_to(&order, "challenged").await;
    stripe.set_status("pi_1", "requires_capture");
    let intent = stripe.intents().remove(0);
    let kind = "payment_intent.amount_capturable_updated";
    assert!(tell(&world, "whsec_of_nobody", "evt_1", kind, &intent).await.is_err());
    for (secret, id) in [("whsec_of_last_year", "evt_1"), (HOOK, "evt_2")] {
        assert!(matches!(tell(&world, secret, id, kind, &intent).await.unwrap().as_slice(), [Hooked::Applied { .. }]));
    }
    assert_eq!(world.ends(&order).await.state.as_str(), "settled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_that_comes_before_the_answer_waits_or_comes_again() {
    let (stripe, world) = stripe().await;
    stripe.fails(&[Fault::Hang]);
    let order = world.submit("stripe_card", card("pm_card_authenticationRequired")).await;
    for _ in 0..500 {
        if !stripe.intents().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stripe.set_status("pi_1", "requires_capture");
    let intent = stripe.intents().remove(0);
    let kind = "payment_intent.amount_capturable_updated";
    // Nobody knows Stripe's reference yet: it waits for that, or is to be sent again.
    while let Err(early) = tell(&world, HOOK, "evt_1", kind, &intent).await {
        assert!(matches!(early, HookError::TooEarly), "{early:?}");
    }
    assert_eq!((world.ends(&order).await.state.as_str(), stripe.captured()), ("settled", 1250));
}
