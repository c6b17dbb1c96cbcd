//! Around every request: who may ask, an id, a bound on how many and how long, headers that protect the reader, a line in the log.

use std::any::Any;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

use super::problem::{Failure, INTERNAL, METHOD, NO_ROUTE, TIMEOUT, clip};
use super::state::Api;
use super::trust;
use crate::executor::{instant, random_id};
use crate::types::mask_card_numbers_in;

const WATCHED: [&str; 3] = ["/healthz", "/readyz", "/metrics"];
/// How long a refused request may take to arrive: half of what a connection may take to say what it wants. Who has much to do is
/// slow to send, and would be reset.
const FORGET: Duration = Duration::from_secs(10);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(super) async fn guard(State(api): State<Api>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = request.method().clone();
    let path = mask_card_numbers_in(request.uri().path().to_owned());
    let begun = instant();
    let mut response = match trust::check(&api.hosts, request.method(), request.uri(), request.headers()) {
        Ok(()) => bounded(&api, request, next).await,
        Err(refusal) => refusal.into_response(),
    };
    let status = response.status().as_u16();
    let ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    // Requests that are refused may be very many: the gate says so, now and then.
    if status >= 500 && status != 503 {
        tracing::warn!(request = %id, %method, %path, status, ms, "request");
    } else {
        tracing::debug!(request = %id, %method, %path, status, ms, "request");
    }
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, value);
    }
    if api.gate.is_closed() || api.room.is_scarce() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn bounded(api: &Api, request: Request, next: Next) -> Response {
    // Whoever watches the daemon has to be told how it is also when it is busy or stops.
    if WATCHED.contains(&request.uri().path()) {
        return timed(api, request, next).await;
    }
    match api.gate.enter() {
        Ok(pass) => pass.hold(timed(api, request, next).await),
        Err(refusal) => {
            forget(api, request).await;
            refusal.into_response()
        }
    }
}

/// Takes the body of a request that is refused, and forgets it: who is still sending would not read the answer.
async fn forget(api: &Api, request: Request) {
    let (mut body, mut room) = (request.into_body().into_data_stream(), api.limits.body_max);
    let all = async {
        while let Some(Ok(chunk)) = body.next().await {
            room = room.saturating_sub(chunk.len());
            if room == 0 {
                break;
            }
        }
    };
    // Whoever takes longer than that has to see for themselves.
    let _ = tokio::time::timeout(FORGET, all).await;
}

async fn timed(api: &Api, request: Request, next: Next) -> Response {
    match tokio::time::timeout(api.limits.request_timeout, next.run(request)).await {
        Ok(response) => response,
        Err(_) => TIMEOUT
            .because("whether the request took effect is not known: repeat it with the same Idempotency-Key or id")
            .into_response(),
    }
}

/// The client's id if it is fit for a log, or one of ours.
fn request_id(headers: &HeaderMap) -> String {
    let fits = |text: &&str| {
        (1..=64).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            && mask_card_numbers_in((*text).to_owned()) == **text
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(fits);
    given.map_or_else(random_id, str::to_owned)
}

pub(super) async fn no_route(request: Request) -> Failure {
    let path = clip(request.uri().path());
    NO_ROUTE.because(format!("there is nothing at {path}: the API is described at /openapi.json"))
}

pub(super) async fn wrong_method(method: Method) -> Failure {
    METHOD.because(format!("this path does not take {}: see the header Allow", clip(method.as_str())))
}

/// A handler panicked: that is a mistake of ours, and its text is for the log.
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&'static str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = text, "a request failed");
    INTERNAL.because("this is our mistake, and it is in the log under the request's id").into_response()
}
