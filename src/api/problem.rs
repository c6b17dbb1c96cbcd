//! Errors as RFC 9457 problems: a stable `type`, and what to do about it.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, json};

use super::engine::{EngineError, HookError, SendError, SubmitError};
use super::wire::{FieldError, Problem};
use crate::definition::suggest::{did_you_mean, one_of};
use crate::types::{Value, mask_card_numbers_in};

/// The media type of problems.
pub(super) const PROBLEM: &str = "application/problem+json";

/// A kind of problem. Its id is part of the API and never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProblemKind {
    pub id: &'static str,
    pub status: u16,
    pub title: &'static str,
}

macro_rules! problems {
    ($($name:ident = $id:literal $status:literal $title:literal;)*) => {
        $(pub(super) const $name: ProblemKind = ProblemKind { id: $id, status: $status, title: $title };)*
        /// Every problem that the API answers with.
        pub const PROBLEMS: &[ProblemKind] = &[$($name),*];
    };
}

problems! {
    NO_ROUTE = "no-such-route" 404 "There is nothing at this path";
    METHOD = "method-not-allowed" 405 "This path does not take this method";
    HOST = "bad-host" 400 "It cannot be told where the request was sent to";
    MISDIRECTED = "misdirected-request" 421 "The daemon does not answer to this name";
    CROSS_SITE = "cross-site-request" 403 "A page from elsewhere may not act here";
    BODY = "malformed-body" 400 "The body cannot be read";
    PARAMETER = "bad-parameter" 400 "A parameter cannot be read";
    CARD = "card-number" 422 "The number of a card does not belong here";
    KEY = "bad-idempotency-key" 400 "The Idempotency-Key cannot be used";
    MEDIA_TYPE = "unsupported-media-type" 415 "The body must be JSON";
    TOO_LARGE = "body-too-large" 413 "The body is too large";
    SLOW_BODY = "body-too-slow" 408 "The body took too long to arrive";
    UNKNOWN_WORKFLOW = "unknown-workflow" 422 "There is no such workflow";
    INVALID_INPUT = "invalid-input" 422 "The input does not fit the workflow";
    KEY_REUSED = "idempotency-key-reused" 422 "The Idempotency-Key stands for another request";
    IN_FLIGHT = "request-in-flight" 409 "A request with this Idempotency-Key is being worked on";
    NO_ORDER = "order-not-found" 404 "There is no such order";
    NO_WORKFLOW = "workflow-not-found" 404 "There is no such workflow";
    UNKNOWN_EVENT = "unknown-event" 422 "The workflow has no such event";
    RESERVED_EVENT = "reserved-event" 422 "This event has a request of its own";
    UNKNOWN_STATE = "unknown-state" 422 "The workflow has no such state";
    INCOMPLETE = "incomplete-result" 422 "The result lacks what the workflow reads";
    NO_INCIDENT = "no-incident" 409 "The order has no incident";
    FINISHED = "order-finished" 409 "The order is finished";
    NOT_ALLOWED = "not-allowed-now" 409 "The order does not allow this now";
    INBOX_FULL = "inbox-full" 429 "Too many events wait for the order";
    UNKNOWN_CONNECTOR = "connector-not-found" 404 "There is no such connector";
    SIGNATURE = "bad-signature" 401 "The notification is not authentic";
    NOTIFICATION = "bad-notification" 400 "The notification is not understood";
    TOO_EARLY = "reference-not-known-yet" 503 "The notification is to be sent again";
    OVERLOADED = "overloaded" 429 "Too much is under way";
    TOO_BUSY = "too-many-requests" 503 "Too many requests are under way";
    FULL = "storage-full" 507 "Nothing can be stored";
    SHUTTING_DOWN = "shutting-down" 503 "The daemon is shutting down";
    NOT_READY = "not-ready" 503 "The daemon is not ready";
    TIMEOUT = "timeout" 504 "The answer took too long";
    INTERNAL = "internal-error" 500 "Something is wrong on our side";
}

/// A problem on its way out.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) kind: ProblemKind,
    pub(super) detail: String,
    pub(super) errors: Vec<FieldError>,
    pub(super) extra: Map<String, Value>,
    pub(super) retry_after: Option<Duration>,
}

impl ProblemKind {
    pub fn urn(self) -> String {
        format!("urn:paystate:problem:{}", self.id)
    }

    pub(super) fn because(self, detail: impl Into<String>) -> Failure {
        Failure { kind: self, detail: detail.into(), errors: Vec::new(), extra: Map::new(), retry_after: None }
    }
}

impl Failure {
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.extra.insert(name.to_owned(), value);
        self
    }

    #[must_use]
    pub(super) fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    #[must_use]
    pub(super) fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The sentence that lists what there is, with the nearest first.
    pub(super) fn known(kind: ProblemKind, what: &str, name: &str, known: Vec<String>) -> Self {
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        let tail = hint.unwrap_or_else(|| format!("there is {}", one_of(known.iter().map(String::as_str))));
        kind.because(format!("there is no {what} `{}`: {tail}", clip(name))).with("known", json!(known))
    }
}

/// A name out of a request, fit to be repeated: short, and without numbers of cards.
pub(super) fn clip(name: &str) -> String {
    mask_card_numbers_in(name.chars().take(80).filter(|c| !c.is_control()).collect())
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let kind = self.kind;
        let body = Problem {
            kind: kind.urn(),
            title: kind.title.to_owned(),
            status: kind.status,
            detail: self.detail,
            errors: self.errors,
            extra: self.extra,
        };
        let text = serde_json::to_string(&body).unwrap_or_default();
        let status = StatusCode::from_u16(kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM)], text).into_response();
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
                response.headers_mut().insert(header::RETRY_AFTER, value);
            }
        }
        response
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Overloaded { retry_after } => OVERLOADED
                .because("too much is under way; what was accepted keeps its pace: try again in a moment")
                .retry_after(retry_after),
            EngineError::Full => {
                FULL.because("the disk is full: nothing was accepted").retry_after(Duration::from_secs(10))
            }
            EngineError::ShuttingDown => SHUTTING_DOWN
                .because("the daemon is shutting down, and the request had no effect: ask again after its restart")
                .retry_after(Duration::from_secs(5)),
            EngineError::Store(reason) => {
                tracing::error!(%reason, "the store failed");
                INTERNAL
                    .because("the store failed; whether the request took effect is not known: ask again by key or id")
            }
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::UnknownWorkflow { name, known } => Self::known(UNKNOWN_WORKFLOW, "workflow", &name, known),
            SubmitError::Invalid(violations) => {
                let errors: Vec<FieldError> = violations
                    .into_iter()
                    .map(|violation| FieldError::at(format!("/input{}", violation.pointer), violation.message))
                    .collect();
                let first = errors.first().map(|error| format!(": {} {}", error.pointer, error.detail));
                INVALID_INPUT
                    .because(format!("the input does not fit the workflow's schema{}", first.unwrap_or_default()))
                    .errors(errors)
            }
            SubmitError::Refused(reason) => INVALID_INPUT.because(reason),
            SubmitError::KeyReused { order } => KEY_REUSED
                .because(format!(
                    "the key was used for another request, which opened order {order}: a new request needs a new key"
                ))
                .with("order", json!(order)),
            SubmitError::InFlight => IN_FLIGHT
                .because("the first request with this key has no answer yet: ask again in a moment")
                .retry_after(Duration::from_secs(1)),
            SubmitError::Engine(error) => error.into(),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::NotFound => NO_ORDER.because("there is no order of this id"),
            SendError::UnknownEvent { name, known } => {
                Self::known(UNKNOWN_EVENT, "event", &name, known.iter().map(ToString::to_string).collect())
            }
            SendError::UnknownState { name, known } => {
                Self::known(UNKNOWN_STATE, "state", &name, known.iter().map(ToString::to_string).collect())
            }
            SendError::NoIncident => NO_INCIDENT.because("only an order with an incident can be retried or resolved"),
            SendError::IncompleteResult(missing) => {
                let fields: Vec<String> = missing.iter().map(|field| format!("`{field}`")).collect();
                let detail = format!(
                    "nothing was booked: the workflow reads {} of what the call answered; look it up at the provider, and \
                     give it in `result`",
                    fields.join(", ")
                );
                INCOMPLETE.because(detail).with("missing", json!(missing))
            }
            SendError::Finished { state } => FINISHED
                .because(format!("the order ended in `{state}`, and nothing can be asked of it any more"))
                .with("state", json!(state)),
            SendError::NotAllowed(reason) => NOT_ALLOWED.because(reason),
            SendError::InboxFull(waiting) => INBOX_FULL
                .because(format!("{waiting} events wait for this order already"))
                .retry_after(Duration::from_secs(30)),
            SendError::Engine(error) => error.into(),
        }
    }
}

impl From<HookError> for Failure {
    fn from(error: HookError) -> Self {
        match error {
            HookError::UnknownConnector { name } => UNKNOWN_CONNECTOR
                .because(format!("no workflow here calls a connector `{}` that takes notifications", clip(&name))),
            HookError::BadSignature(_) => {
                SIGNATURE.because("the signature does not fit, or the notification is too old")
            }
            HookError::Malformed(reason) => NOTIFICATION.because(reason),
            HookError::TooEarly => TOO_EARLY
                .because("no order is known by the reference of this notification yet")
                .retry_after(Duration::from_secs(30)),
            HookError::Send(error) => error.into(),
        }
    }
}
