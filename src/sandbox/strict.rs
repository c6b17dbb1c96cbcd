//! Bodies of requests to the administration: what is not understood is refused with the name of the field, and does nothing.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// A JSON body. What does not fit is answered with 400 and says where.
pub(super) struct Strict<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Strict<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        Json::from_request(request, state).await.map(|Json(body)| Self(body)).map_err(|rejected| refuse(&rejected))
    }
}

/// 400: what is wrong with which field.
pub(super) fn invalid(field: &str, what: &str) -> Response {
    answer(StatusCode::BAD_REQUEST, &format!("{field}: {what}"))
}

fn refuse(rejected: &JsonRejection) -> Response {
    let (status, text) = match rejected {
        // The text begins with the path of the field.
        JsonRejection::JsonDataError(error) => (StatusCode::BAD_REQUEST, error.body_text()),
        other => (other.status(), other.body_text()),
    };
    let text = text.trim_start_matches("Failed to deserialize the JSON body into the target type: ");
    answer(status, text)
}

fn answer(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "status": "error", "code": "invalid", "message": message }))).into_response()
}
