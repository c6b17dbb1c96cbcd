//! For tests and demonstrations: scripts of faults, the clock, where notifications go.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::Gateway;
use super::faults::{Fault, OperationKind, table};
use super::operations::problem;
use super::time::{self, TimeError};
use crate::sandbox::strict::{Strict, invalid};
use crate::types::parse_duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// Paystate's order, or the merchant's.
    order: String,
    /// `capture`, `reversal`, and what else `OperationKind` calls so.
    operation: String,
    /// One for each request that comes: `commit_then_no_answer`, `slow:2s`, `decline:lost_card`, `ok`.
    fault: Vec<String>,
}

/// `POST /admin/scripts`
pub(crate) async fn script(State(gateway): State<Arc<Gateway>>, Strict(script): Strict<Script>) -> Response {
    if script.order.is_empty() {
        return invalid("order", "whose? Paystate's id or the merchant's number");
    }
    let Some(operation) = OperationKind::of_name(&script.operation) else {
        let known = OperationKind::ASKED_FOR.map(OperationKind::name).join(", ");
        return invalid("operation", &format!("not an operation: {}; there are {known}", script.operation));
    };
    if script.fault.is_empty() {
        return invalid("fault", "a script has at least one");
    }
    let mut faults = Vec::with_capacity(script.fault.len());
    for text in &script.fault {
        match text.parse::<Fault>() {
            Ok(fault) if !fault.is_possible(operation) => {
                let possible = Fault::possible(operation).join(", ");
                let detail =
                    format!("{text} changes nothing for the operation {}; these do: {possible}", operation.name());
                return invalid("fault", &detail);
            }
            Ok(fault) => faults.push(fault),
            Err(error) => return invalid("fault", &error.to_string()),
        }
    }
    if !gateway.faults.script(&script.order, operation, faults) {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "too_many_scripts");
    }
    let done = json!({ "order": script.order, "operation": script.operation, "status": "scripted" });
    (StatusCode::CREATED, Json(done)).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Advance {
    advance: String,
}

/// `POST /admin/clock`: moves the sandbox's time forward, and returns it.
pub(crate) async fn advance(State(gateway): State<Arc<Gateway>>, Strict(body): Strict<Advance>) -> Response {
    let by = match parse_duration(&body.advance) {
        Ok(by) => by,
        Err(error) => return invalid("advance", &error.to_string()),
    };
    match time::advance(&gateway, by) {
        Ok(()) => {}
        Err(error @ TimeError::TooFar) => return invalid("advance", &error.to_string()),
        Err(error) => return problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
    (gateway.on_advance)();
    gateway.agenda.wake();
    gateway.notices.wake();
    clock(State(gateway)).await
}

/// `GET /admin/clock`: the sandbox's time.
pub(crate) async fn clock(State(gateway): State<Arc<Gateway>>) -> Response {
    let day = gateway.clock.clearing_day();
    let told = json!({ "now": gateway.clock.now(), "clearing_day": day.0, "clearing_date": day.date() });
    Json(told).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// Paystate's base address; null switches notifications off, and has to be said.
    #[serde(deserialize_with = "Option::deserialize")]
    url: Option<String>,
}

/// `POST /admin/notify`
pub(crate) async fn notify(State(gateway): State<Arc<Gateway>>, Strict(listener): Strict<Listener>) -> Response {
    let is_address = |url: &String| {
        reqwest::Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
    };
    if listener.url.as_ref().is_some_and(|url| !is_address(url)) {
        return invalid("url", "not an address such as http://127.0.0.1:7878, nor null");
    }
    gateway.notices.send_to(listener.url);
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /admin/faults`: the magic amounts.
pub(crate) async fn faults() -> Json<BTreeMap<&'static str, &'static str>> {
    Json(table())
}
