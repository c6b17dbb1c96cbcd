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
use crate::types::parse_duration;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Script {
    /// Paystate's order, or the merchant's.
    order: String,
    operation: OperationKind,
    /// One for each request that comes: `commit_then_no_answer`, `slow:2s`, `decline:lost_card`, `ok`.
    fault: Vec<String>,
}

/// `POST /admin/scripts`
pub(crate) async fn script(State(gateway): State<Arc<Gateway>>, Json(script): Json<Script>) -> Response {
    let faults: Result<Vec<Fault>, _> = script.fault.iter().map(|fault| fault.parse()).collect();
    match faults {
        Ok(faults) => {
            gateway.faults.script(&script.order, script.operation, faults);
            let done = json!({ "order": script.order, "operation": script.operation.name(), "status": "scripted" });
            (StatusCode::CREATED, Json(done)).into_response()
        }
        Err(error) => problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Advance {
    advance: String,
}

/// `POST /admin/clock`: moves the sandbox's time forward, and returns it.
pub(crate) async fn advance(State(gateway): State<Arc<Gateway>>, Json(body): Json<Advance>) -> Response {
    let by = match parse_duration(&body.advance) {
        Ok(by) => by,
        Err(error) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
    };
    match time::advance(&gateway, by) {
        Ok(()) => {}
        Err(error @ TimeError::TooFar) => return problem(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
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
    /// Paystate's base address; null switches notifications off.
    url: Option<String>,
}

/// `POST /admin/notify`
pub(crate) async fn notify(State(gateway): State<Arc<Gateway>>, Json(listener): Json<Listener>) -> Response {
    gateway.notices.send_to(listener.url);
    Json(json!({ "status": "ok" })).into_response()
}

/// `GET /admin/faults`: the magic amounts.
pub(crate) async fn faults() -> Json<BTreeMap<&'static str, &'static str>> {
    Json(table())
}
