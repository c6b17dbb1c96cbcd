//! What the shop answers when it cannot do what it was asked: RFC 9457.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

#[derive(Debug, thiserror::Error)]
pub(super) enum Problem {
    #[error("{0}")]
    Invalid(String),
    #[error("there is no such order")]
    NoOrder,
    #[error("the caller is not who it must be")]
    Unauthorized,
    #[error("{0}")]
    Conflict(&'static str),
    /// Paystate refused the order for good, with its own words.
    #[error("the order was refused: {detail}")]
    Refused { status: u16, detail: String },
    /// It is not known what the other side did. The same request may be sent again.
    #[error("{service} does not answer: {detail}")]
    Silent { service: &'static str, detail: String },
}

impl Problem {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            Self::NoOrder => (StatusCode::NOT_FOUND, "no_order"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "conflict"),
            Self::Refused { status, .. } => {
                (StatusCode::from_u16(*status).unwrap_or(StatusCode::UNPROCESSABLE_ENTITY), "refused")
            }
            Self::Silent { .. } => (StatusCode::BAD_GATEWAY, "silent"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, kind) = self.kind();
        let body = json!({
            "type": format!("urn:paystate:shop:{kind}"),
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        (status, [(header::CONTENT_TYPE, "application/problem+json")], Json(body)).into_response()
    }
}
