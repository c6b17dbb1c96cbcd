//! What orders have told others, and telling it once more.

use axum::Json as Reply;
use axum::extract::{Path, State};

use super::body::Json;
use super::engine::SendError;
use super::params::{order_id, required};
use super::problem::{Failure, PARAMETER};
use super::state::Api;
use super::wire::{NoticeItem, NoticeList, Problem, RedeliverBody, Redelivered};
use crate::journal::outcome_text;
use crate::types::CallId;

/// What an order has told others, or is still to tell them.
#[utoipa::path(get, path = "/v1/orders/{id}/notifications", tag = "orders",
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "Its notifications, oldest first", body = NoticeList),
        (status = 404, description = "There is no such order", body = Problem),
    ))]
pub(super) async fn list(State(api): State<Api>, Path(id): Path<String>) -> Result<Reply<NoticeList>, Failure> {
    let order = order_id(&id)?;
    let notices = api.engine.notices(order).await?.ok_or(SendError::NotFound)?;
    Ok(Reply(NoticeList { order, notifications: notices.iter().map(NoticeItem::from).collect() }))
}

/// Sends a notification once more that had been acknowledged, with the same id: for a receiver that has lost it.
#[utoipa::path(post, path = "/v1/orders/{id}/notifications/{call}/redeliver", tag = "orders",
    request_body = RedeliverBody,
    params(
        ("id" = String, Path, description = "The order"),
        ("call" = u32, Path, description = "The number of the notification's call"),
    ),
    responses(
        (status = 200, description = "What its receiver answered", body = Redelivered),
        (status = 404, description = "There is no such order", body = Problem),
        (status = 409, description = "There is no such notification, or it is not to be repeated now", body = Problem),
    ))]
pub(super) async fn redeliver(
    State(api): State<Api>,
    Path((id, call)): Path<(String, String)>,
    Json(body): Json<RedeliverBody>,
) -> Result<Reply<Redelivered>, Failure> {
    let by = required("by", &body.by)?;
    let order = order_id(&id)?;
    let call = call.parse().map_err(|_| PARAMETER.because("the number of a notification is a whole number"))?;
    let (notice, outcome) = api.engine.redeliver(order, CallId(call)).await?;
    let outcome = outcome_text(&outcome);
    tracing::info!(%order, call = notice.name, by, outcome, "a notification was sent once more");
    Ok(Reply(Redelivered { notification: NoticeItem::from(&notice), outcome }))
}
