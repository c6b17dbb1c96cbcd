//! What Stripe's documentation says of its API, as a server that keeps books.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::providers::{form, until};

pub(super) const KEY: &str = "sk_test_4eC39HqLyjWDarjtT1zdp7dc";
pub(super) const HOOK: &str = "whsec_5Z1cYdSyzsyLGHxO";

/// What goes wrong with the next request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// It is done, and no answer comes.
    Hang,
    /// It is done, answered with 500, and a repeat of the key is answered the same.
    ServerError,
    /// It is not done.
    Busy,
    /// It never arrives.
    Lost,
    /// Another with its key is under way, which is done.
    InUse,
    /// Another with its key is under way, of which nothing comes.
    InUseInVain,
}

#[derive(Default)]
pub(super) struct Books {
    pub(super) intents: BTreeMap<String, Value>,
    pub(super) refunds: Vec<Value>,
    /// What the bank says of refunds, one after another; "succeeded" when it has no more to say.
    pub(super) banks: VecDeque<&'static str>,
    /// By key: what was asked, and what was answered.
    pub(super) keys: BTreeMap<String, (String, u16, Value)>,
    pub(super) faults: VecDeque<Option<Fault>>,
    /// Requests that would change something.
    pub(super) requests: usize,
}

#[derive(Clone, Default)]
pub(super) struct Stripe(Arc<Mutex<Books>>);

impl Stripe {
    pub(super) fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    pub(super) fn fails(&self, faults: &[Fault]) {
        self.books().faults.extend(faults.iter().copied().map(Some));
    }

    /// All that was ever charged, and how often each intent was captured.
    pub(super) fn captured(&self) -> i64 {
        self.books().intents.values().map(|intent| intent["amount_received"].as_i64().unwrap_or(0)).sum()
    }

    pub(super) fn intents(&self) -> Vec<Value> {
        self.books().intents.values().cloned().collect()
    }

    /// What has gone back to the customer.
    pub(super) fn refunded(&self) -> i64 {
        let books = self.books();
        let done = books.refunds.iter().filter(|refund| refund["status"] == "succeeded");
        done.map(|refund| refund["amount"].as_i64().unwrap()).sum()
    }

    /// Something becomes of an intent that nobody here has asked for; gives what Stripe says of it then.
    pub(super) fn changes(&self, id: &str, fields: Value) -> Value {
        let mut books = self.books();
        let intent = books.intents.get_mut(id).unwrap();
        intent.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        intent.clone()
    }

    /// So many requests that would change something have come.
    pub(super) async fn requests(&self, number: usize) {
        until(&format!("request {number}"), || self.books().requests >= number).await;
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
        books.requests += 1;
        let fault = books.faults.pop_front().flatten();
        match fault {
            Some(Fault::Busy) => {
                return (false, (429, json!({"error": {"type": "invalid_request_error", "code": "rate_limit"}})));
            }
            Some(Fault::Lost) => return (true, (504, Value::Null)),
            Some(Fault::InUseInVain) => return (false, in_use()),
            Some(Fault::Hang | Fault::ServerError | Fault::InUse) | None => {}
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
        // What is stored under the key is the answer of the one that was under way.
        (fault == Some(Fault::Hang), if fault == Some(Fault::InUse) { in_use() } else { told })
    }
}

/// "The idempotency key provided is currently being used in another request." Nothing is stored under it by this answer.
fn in_use() -> (u16, Value) {
    (409, json!({"error": {"type": "idempotency_error", "code": "idempotency_key_in_use", "message": "in progress"}}))
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
        let amount = fields["amount"].parse::<i64>().unwrap();
        let of_intent = |refund: &&Value| refund["payment_intent"] == fields["payment_intent"];
        let standing = books.refunds.iter().filter(of_intent).filter(|refund| refund["status"] != "failed");
        let refunded: i64 = standing.map(|refund| refund["amount"].as_i64().unwrap()).sum();
        let received = &books.intents[&fields["payment_intent"]]["amount_received"];
        if refunded + amount > received.as_i64().unwrap() {
            return (
                400,
                json!({"error": {"type": "invalid_request_error", "message": "greater than unrefunded amount"}}),
            );
        }
        let status = books.banks.pop_front().unwrap_or("succeeded");
        let refund = json!({
            "id": format!("re_{}", books.refunds.len() + 1), "object": "refund", "status": status,
            "amount": amount, "payment_intent": fields["payment_intent"],
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

pub(super) fn router(stripe: &Stripe) -> Router {
    Router::new()
        .route("/v1/payment_intents", post(create))
        .route("/v1/payment_intents/search", get(search))
        .route("/v1/payment_intents/{id}", get(retrieve))
        .route("/v1/payment_intents/{id}/{what}", post(change))
        .route("/v1/refunds", post(refund).get(refunds))
        .route("/v1/refunds/{id}", get(looked_at))
        .with_state(stripe.clone())
}
