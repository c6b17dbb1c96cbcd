//! `POST /v1/orders`: the same key and body are the same order, however often they come.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use axum::Json as Reply;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::body::{IdempotencyKey, Json};
use super::engine::Submission;
use super::json::no_cards;
use super::orders::{view, whole};
use super::params::Params;
use super::problem::Failure;
use super::state::Api;
use super::wire::{Order, Problem, SubmitBody};
use crate::types::{Value, WorkflowName, parse_duration};

/// Opens an order.
#[utoipa::path(post, path = "/v1/orders", tag = "orders", request_body = SubmitBody,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body are the same order. Under another key, or without one, sending again is a second order, and it is the provider who refuses a payment that was used"),
        ("wait" = Option<String>, Query, description = "Answer when the order has ended, after at most this long: `10s`. A daemon that stops, or has very much to do, answers at once, with the order as it stands"),
    ),
    responses(
        (status = 201, description = "The order is on disk", body = Order, headers(("Location" = String))),
        (status = 200, description = "The key stands for this order already", body = Order),
        (status = 400, description = "The body or the key cannot be read", body = Problem),
        (status = 409, description = "A request with this key is being worked on: send it again after the time", body = Problem,
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 413, description = "The body is too large", body = Problem),
        (status = 415, description = "The body is not JSON", body = Problem),
        (status = 422, description = "No such workflow, an input that does not fit, or a key that was used", body = Problem),
        (status = 429, description = "Too much is under way", body = Problem,
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 503, description = "Too many requests are under way, or the daemon stops", body = Problem,
            headers(("Retry-After" = u32, description = "Seconds"))),
        (status = 507, description = "The disk is full: orders that were accepted go on", body = Problem,
            headers(("Retry-After" = u32, description = "Seconds"))),
    ))]
pub(super) async fn submit(
    State(api): State<Api>,
    uri: Uri,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<SubmitBody>,
) -> Result<Response, Failure> {
    let wait = wait(&api, &uri)?;
    let workflow = WorkflowName::new(body.workflow);
    // A hash of a few digits is as good as the digits, and what is volatile may be a card.
    let mut written = Cow::Borrowed(&body.input);
    if let Some(described) = api.engine.workflow(&workflow).filter(|described| !described.volatile.is_empty()) {
        described.volatile.take(written.to_mut());
    }
    if !api.limits.card_numbers {
        let whole = json!({ "input": *written });
        no_cards(&whole).map_err(|error| error.kind.because(error.detail).errors(error.errors))?;
    }
    let body_hash = body_hash(workflow.as_str(), &written);
    drop(written);
    let submission = Submission { workflow, input: body.input, key, body_hash };
    let submitted = api.engine.submit(submission).await?;
    let mut snapshot = submitted.snapshot;
    if let Some(wait) = wait.filter(|_| !api.gate.is_crowded()) {
        let id = snapshot.id;
        let ended = tokio::select! {
            ended = api.engine.wait(id, wait) => ended,
            // The order goes on after the restart: its client learns now how it stands, as when the time is over.
            () = api.gate.closed() => None,
        };
        snapshot = match ended {
            Some(ended) => ended,
            None => api.engine.order(id).await?.unwrap_or(snapshot),
        };
    }
    let status = if submitted.created { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/v1/orders/{}", snapshot.id);
    // Nothing belongs yet to an order that has only been opened.
    let new = submitted.created && wait.is_none();
    let order = if new { view(&api, &snapshot) } else { whole(&api, &snapshot).await };
    Ok((status, [(header::LOCATION, location)], Reply(order)).into_response())
}

fn wait(api: &Api, uri: &Uri) -> Result<Option<Duration>, Failure> {
    let longest = api.limits.wait_max;
    Params::read(uri, &["wait"])?.parse("wait", |text| match parse_duration(text) {
        Ok(wait) if wait <= longest => Ok(wait),
        Ok(_) => Err(format!("at most {}", crate::types::format_duration(longest))),
        Err(error) => Err(error.to_string()),
    })
}

/// The hash of what the request means: the order of keys and the spacing do not matter.
fn body_hash(workflow: &str, input: &Value) -> String {
    let mut text = String::new();
    canonical(&Value::String(workflow.to_owned()), &mut text);
    canonical(input, &mut text);
    let mut hash = Context::new(&SHA256);
    hash.update(text.as_bytes());
    hex::encode(hash.finish())
}

/// JSON with sorted keys and no spaces. The depth was bounded when it was read.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (key, field) in sorted {
                canonical(&Value::String(key.clone()), out);
                out.push(':');
                canonical(field, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_is_that_of_the_meaning() {
        let one = body_hash("w", &json!({"a": 1, "b": [{"x": 1, "y": 2}]}));
        assert_eq!(one, body_hash("w", &json!({"b": [{"y": 2, "x": 1}], "a": 1})));
        assert_ne!(one, body_hash("v", &json!({"a": 1, "b": [{"x": 1, "y": 2}]})));
        assert_ne!(one, body_hash("w", &json!({"a": 1, "b": [{"x": 1, "y": "2"}]})));
        assert_eq!(one.len(), 64);
    }
}
