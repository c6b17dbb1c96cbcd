//! The bank over HTTP: payment endpoints for the gateway, balances and the oracle for everybody.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{DefaultBodyLimit, Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::accounts::{AccountKind, Behaviour, CLASSES, FACTORS, HOLDS, card};
use super::books::{Instruction, Refusal};
use super::{Bank, Change, Misreport};
use crate::sandbox::clock::ClearingDay;
use crate::sandbox::strict::{Strict, invalid};

/// What the bank answers to an instruction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Reply {
    pub(crate) status: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// How much it has moved: less than what was asked for where less was left.
    #[serde(default)]
    pub(crate) amount: i64,
}

/// What the bank tells the gateway about a card.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CardFacts {
    pub(crate) account: String,
    pub(crate) behaviour: Behaviour,
    pub(crate) brand: String,
    pub(crate) debit: bool,
}

pub(crate) fn router(bank: Arc<Bank>) -> Router {
    let private = Router::new()
        .route("/v1/instructions", post(instruct))
        .route("/v1/instructions/{reference}", get(instruction))
        .route("/v1/misreports/{reference}", post(misreport))
        .route("/v1/cards", post(resolve_card))
        .route("/v1/accounts/{id}", get(account).post(change))
        .layer(from_fn_with_state(Arc::clone(&bank), only_the_gateway));
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/accounts", get(accounts))
        .route("/accounts/{id}/balance", get(balance))
        .route("/oracle/references/{order}", get(oracle))
        .route("/oracle/totals", get(totals))
        .route("/settlement/{file}", get(settlement))
        .route("/admin/accounts/{id}", post(change))
        .merge(private)
        .layer(DefaultBodyLimit::max(64 * 1024))
        .with_state(bank)
}

async fn only_the_gateway(State(bank): State<Arc<Bank>>, request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if verify_slices_are_equal(token.as_bytes(), bank.secret.reveal().as_bytes()).is_err() {
        return (StatusCode::UNAUTHORIZED, Json(json!({ "status": "unauthorized" }))).into_response();
    }
    next.run(request).await
}

async fn instruct(State(bank): State<Arc<Bank>>, Json(instruction): Json<Instruction>) -> Response {
    let (status, reply) = match bank.apply(&instruction) {
        Ok(Ok(())) => {
            let amount = bank.inside().books.amount_of(&instruction);
            (StatusCode::CREATED, Reply { status: "applied".to_owned(), code: None, message: None, amount })
        }
        Ok(Err(refusal)) => {
            let (code, message) = (Some(refusal.code()), Some(refusal.to_string()));
            (StatusCode::PAYMENT_REQUIRED, Reply { status: "refused".to_owned(), code, message, amount: 0 })
        }
        Err(error) => {
            let message = Some(error.to_string());
            let reply = Reply { status: "failed".to_owned(), code: None, message, amount: 0 };
            (StatusCode::INTERNAL_SERVER_ERROR, reply)
        }
    };
    (status, Json(reply)).into_response()
}

/// What became of a reference, for a gateway that has lost its own note of it.
async fn instruction(State(bank): State<Arc<Bank>>, Path(reference): Path<String>) -> Response {
    let inside = bank.inside();
    let reversed = inside.books.tombstones.contains_key(&reference).then_some(Refusal::Reversed);
    match inside.books.seen.get(&reference) {
        Some(seen) => {
            let code = reversed.or(seen.result.err()).map(Refusal::code);
            let status = if code.is_none() { "applied" } else { "refused" };
            Json(json!({ "status": status, "code": code, "instruction": seen.instruction })).into_response()
        }
        None => not_found("no_such_instruction"),
    }
}

#[derive(Debug, Deserialize)]
struct CardNumber {
    number: String,
}

async fn resolve_card(Json(body): Json<CardNumber>) -> Response {
    match card(&body.number) {
        Some(card) => Json(CardFacts {
            account: card.account.to_owned(),
            behaviour: card.behaviour,
            brand: card.brand.to_owned(),
            debit: card.debit,
        })
        .into_response(),
        None => not_found("no_such_card"),
    }
}

async fn account(State(bank): State<Arc<Bank>>, Path(id): Path<String>) -> Response {
    match bank.inside().books.accounts.get(&id) {
        Some(account) => {
            let mut shown = json!(account);
            shown["password"] = json!(account.password);
            Json(shown).into_response()
        }
        None => not_found("no_such_account"),
    }
}

async fn change(State(bank): State<Arc<Bank>>, Path(id): Path<String>, Strict(change): Strict<Change>) -> Response {
    let Some(kind) = bank.inside().books.accounts.get(&id).map(|account| account.kind) else {
        return not_found("no_such_account");
    };
    for (field, said, known) in [("class", &change.class, CLASSES), ("factors", &change.factors, FACTORS)] {
        let Some(said) = said else { continue };
        if kind != AccountKind::Payment {
            return invalid(field, "only an account at a payment institution has one");
        }
        if !known.contains(&said.as_str()) {
            return invalid(field, &format!("{said} is none of {}", known.join(", ")));
        }
    }
    match bank.change(&id, &change) {
        Ok(Some(account)) => Json(account).into_response(),
        Ok(None) => not_found("no_such_account"),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn accounts(State(bank): State<Arc<Bank>>) -> Json<Value> {
    let inside = bank.inside();
    let shown: Vec<_> = inside.books.accounts.values().filter(|account| account.kind != AccountKind::Bank).collect();
    Json(json!(shown))
}

/// What a customer or the merchant sees over the network: what is there, and what is reserved of it.
async fn balance(State(bank): State<Arc<Bank>>, Path(id): Path<String>) -> Response {
    let inside = bank.inside();
    let books = &inside.books;
    if !books.accounts.contains_key(&id) {
        return not_found("no_such_account");
    }
    let mut balances: BTreeMap<&str, Value> = BTreeMap::new();
    for ((account, currency), available) in &books.balances {
        if *account == id {
            let held: i64 = books
                .holds
                .values()
                .filter(|hold| (hold.account == id || id == HOLDS) && hold.currency == *currency)
                .map(|hold| hold.left)
                .sum();
            balances.insert(currency, json!({ "available": available, "held": held }));
        }
    }
    Json(json!({ "account": id, "balances": balances })).into_response()
}

async fn oracle(State(bank): State<Arc<Bank>>, Path(order): Path<String>) -> Json<Value> {
    Json(bank.oracle(&order))
}

/// `GET /settlement/2026-03-01.csv`
async fn settlement(State(bank): State<Arc<Bank>>, Path(file): Path<String>) -> Response {
    let Some(day) = file.strip_suffix(".csv").and_then(ClearingDay::of_date) else {
        return not_found("no_such_file");
    };
    if day >= bank.clock.clearing_day() {
        return not_found("clearing_day_not_over");
    }
    let text = bank.inside().books.settlement(day);
    ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response()
}

async fn misreport(
    State(bank): State<Arc<Bank>>,
    Path(reference): Path<String>,
    Json(misreport): Json<Misreport>,
) -> Response {
    match bank.misreport(reference, misreport) {
        Ok(()) => (StatusCode::CREATED, Json(json!({ "status": "noted" }))).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn totals(State(bank): State<Arc<Bank>>) -> Json<Value> {
    Json(json!(bank.inside().books.totals()))
}

fn not_found(code: &str) -> Response {
    (StatusCode::NOT_FOUND, Json(json!({ "status": "not_found", "code": code }))).into_response()
}
