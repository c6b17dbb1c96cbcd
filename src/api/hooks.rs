//! `POST /hooks/{connector}`: notifications from providers.

use axum::Json as Reply;
use axum::extract::{Path, State};
use axum::http::HeaderMap;

use super::body::{Raw, headers_as_text};
use super::engine::HookError;
use super::problem::Failure;
use super::state::Api;
use super::wire::{HookResult, Problem};
use crate::types::ConnectorName;

/// Takes a provider's notification.
#[utoipa::path(post, path = "/hooks/{connector}", tag = "hooks",
    params(("connector" = String, Path, description = "The connector of the provider")),
    request_body(content = Vec<u8>, description = "Whatever the provider sends, signed as its connector says"),
    responses(
        (status = 200, description = "Taken; it need not be sent again", body = HookResult),
        (status = 400, description = "It is not understood", body = Problem),
        (status = 401, description = "Its signature does not fit", body = Problem),
        (status = 404, description = "No such connector, or no such order", body = Problem),
    ))]
pub(super) async fn hook(
    State(api): State<Api>,
    Path(connector): Path<String>,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Reply<HookResult>, Failure> {
    let connector = ConnectorName::new(connector);
    let answer = api.engine.hook(connector.clone(), headers_as_text(&headers), body).await.inspect_err(|error| {
        if let HookError::BadSignature(reason) = error {
            tracing::warn!(%connector, %reason, "a notification was not authentic");
        }
    })?;
    Ok(Reply(HookResult {
        result: answer.how.name().to_owned(),
        order: answer.order,
        event: answer.event.map(|event| event.to_string()),
    }))
}
