//! Whether it lives, whether it can take orders, and its figures.

use std::time::Duration;

use axum::Json as Reply;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::problem::{Failure, NOT_READY};
use super::state::Api;
use super::wire::{Health, Problem};

/// The process lives.
#[utoipa::path(get, path = "/healthz", tag = "operation",
    responses((status = 200, description = "It lives", body = Health)))]
pub(super) async fn live() -> Reply<Health> {
    Reply(healthy())
}

/// Orders are accepted.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses(
        (status = 200, description = "Orders are accepted", body = Health),
        (status = 503, description = "Recovery is not through, the store failed, or the daemon stops", body = Problem),
    ))]
pub(super) async fn ready(State(api): State<Api>) -> Result<Reply<Health>, Failure> {
    if api.engine.ready().await && !api.gate.is_closed() {
        return Ok(Reply(healthy()));
    }
    Err(NOT_READY
        .because("recovery is not through, the store failed, or the daemon stops")
        .retry_after(Duration::from_secs(1)))
}

/// Figures for a monitoring system.
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, description = "OpenMetrics", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn metrics(State(api): State<Api>) -> Response {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], api.engine.metrics_text()).into_response()
}

fn healthy() -> Health {
    Health { status: "ok".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }
}
