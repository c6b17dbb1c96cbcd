//! What people and other systems ask of an order: events, cancelling, retrying and resolving.

use axum::Json as Reply;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::body::Json;
use super::engine::{How, Message};
use super::orders::whole;
use super::params::{event_id, note, order_id, required};
use super::problem::{BODY, Failure, RESERVED_EVENT};
use super::state::Api;
use super::wire::{CancelBody, Delivery, EventBody, FieldError, Order, Problem, ResolveBody, RetryBody};
use crate::definition::suggest::{did_you_mean, one_of};
use crate::machine::Resolution;
use crate::types::{EventName, StateName};

/// The event that a cancellation raises in a workflow. It has a request of its own, which says who asks.
const CANCEL: &str = "cancel";

/// Gives an order an event.
#[utoipa::path(post, path = "/v1/orders/{id}/events", tag = "orders", request_body = EventBody,
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "Applied, or a duplicate of one that was", body = Delivery),
        (status = 202, description = "It came early and waits", body = Delivery),
        (status = 404, description = "There is no such order", body = Problem),
        (status = 409, description = "The order is finished", body = Problem),
        (status = 422, description = "The workflow has no such event, or it has a request of its own", body = Problem),
        (status = 429, description = "Too many events wait", body = Problem),
    ))]
pub(super) async fn events(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(body): Json<EventBody>,
) -> Result<Response, Failure> {
    let event = required("event", &body.event)?;
    if event == CANCEL {
        let detail = format!(
            "an order is cancelled with `POST /v1/orders/{id}/cancel` (`paystate cancel`), which says in `by` who asks",
            id = order_id(&id)?
        );
        return Err(RESERVED_EVENT.because(detail));
    }
    let message = Message {
        event: EventName::new(event),
        payload: body.payload,
        id: event_id(body.id.as_deref())?,
        source: "api".to_owned(),
    };
    let sent = api.engine.send(order_id(&id)?, message).await?;
    let status = if sent.how == How::Waiting { StatusCode::ACCEPTED } else { StatusCode::OK };
    let delivery = Delivery { result: sent.how.name().to_owned(), order: whole(&api, &sent.snapshot).await };
    Ok((status, Reply(delivery)).into_response())
}

/// Asks for an order to be undone.
#[utoipa::path(post, path = "/v1/orders/{id}/cancel", tag = "orders", request_body = CancelBody,
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "The order afterwards", body = Order),
        (status = 404, description = "There is no such order", body = Problem),
        (status = 409, description = "The order cannot be cancelled now", body = Problem),
    ))]
pub(super) async fn cancel(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(body): Json<CancelBody>,
) -> Result<Reply<Order>, Failure> {
    let by = required("by", &body.by)?;
    let (id, event) = (order_id(&id)?, event_id(body.id.as_deref())?);
    let snapshot = api.engine.cancel(id, event, by, note(&body.note)?).await?;
    Ok(Reply(whole(&api, &snapshot).await))
}

/// Takes the call of an incident up again.
#[utoipa::path(post, path = "/v1/orders/{id}/retry", tag = "incidents", request_body = RetryBody,
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "The order afterwards", body = Order),
        (status = 404, description = "There is no such order", body = Problem),
        (status = 409, description = "The order has no incident that can be retried", body = Problem),
    ))]
pub(super) async fn retry(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(body): Json<RetryBody>,
) -> Result<Reply<Order>, Failure> {
    let by = required("by", &body.by)?;
    let (id, event) = (order_id(&id)?, event_id(body.id.as_deref())?);
    let snapshot = api.engine.retry(id, event, by, note(&body.note)?).await?;
    Ok(Reply(whole(&api, &snapshot).await))
}

/// Ends an incident the way a person says.
#[utoipa::path(post, path = "/v1/orders/{id}/resolve", tag = "incidents", request_body = ResolveBody,
    params(("id" = String, Path, description = "The order")),
    responses(
        (status = 200, description = "The order afterwards", body = Order),
        (status = 400, description = "What is said is not a resolution", body = Problem),
        (status = 404, description = "There is no such order", body = Problem),
        (status = 409, description = "The order has no incident", body = Problem),
        (status = 422, description = "The workflow has no such state", body = Problem),
    ))]
pub(super) async fn resolve(
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(body): Json<ResolveBody>,
) -> Result<Reply<Order>, Failure> {
    let by = required("by", &body.by)?;
    // Who resolves an incident moves money by their word: how they know must stand in the journal.
    let said = note(&body.note)?;
    if said.is_empty() {
        return Err(wrong("note", "`note` says how you know".to_owned()));
    }
    let (id, event) = (order_id(&id)?, event_id(body.id.as_deref())?);
    let snapshot = api.engine.resolve(id, event, by, said, resolution(body)?).await?;
    Ok(Reply(whole(&api, &snapshot).await))
}

fn resolution(body: ResolveBody) -> Result<Resolution, Failure> {
    let ResolveBody { resolution, result, code, state, data, .. } = body;
    let given = [("result", !result.is_null()), ("code", code.is_some()), ("state", state.is_some())];
    if !data.is_empty() && resolution != "state" {
        return Err(wrong("data", format!("`data` goes with `as: state`, and not with `as: {resolution}`")));
    }
    let belongs = match resolution.as_str() {
        "ok" => "result",
        "declined" => "code",
        "state" => "state",
        "dismissed" => "nothing else",
        other => {
            let words = ["ok", "declined", "state", "dismissed"];
            let help = did_you_mean(other, words).unwrap_or_else(|| format!("it is {}", one_of(words)));
            return Err(wrong("as", format!("`as` cannot be this: {help}")));
        }
    };
    if let Some((field, _)) = given.iter().find(|(field, there)| *there && *field != belongs) {
        return Err(wrong(field, format!("`{field}` does not belong to `as: {resolution}`, which takes {belongs}")));
    }
    match belongs {
        "result" => Ok(Resolution::Ok { result }),
        "code" => Ok(Resolution::Declined { code: required("code", code.as_deref().unwrap_or("resolved"))? }),
        "nothing else" => Ok(Resolution::Dismissed),
        _ => {
            let state = StateName::new(required("state", state.as_deref().unwrap_or_default())?);
            Ok(Resolution::State { state, data })
        }
    }
}

fn wrong(field: &str, detail: String) -> Failure {
    BODY.because(detail.clone()).errors(vec![FieldError::at(format!("/{field}"), detail)])
}
