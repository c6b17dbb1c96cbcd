//! Request bodies: bounded in size and time, JSON only.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, header, request::Parts};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::json::{self, Fields};
use super::problem::{BODY, Failure, KEY, MEDIA_TYPE, SLOW_BODY, TOO_LARGE};
use super::state::Api;
use crate::types::mask_card_numbers_in;

/// The body of a request, read strictly into `T`.
pub(super) struct Json<T>(pub(super) T);

/// The body as it came in.
pub(super) struct Raw(pub(super) Bytes);

/// The client's `Idempotency-Key`.
pub(super) struct IdempotencyKey(pub(super) Option<String>);

const KEY_MAX: usize = 255;

impl<T: Fields + Send> FromRequest<Api> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        // A stranger's page in the same browser cannot send this type without the browser asking first: that holds also
        // where a browser does not say from where a request comes.
        if !is_json(request.headers()) {
            return Err(MEDIA_TYPE.because("send the body with `Content-Type: application/json`"));
        }
        let bytes = read(request.into_body(), api).await?;
        json::read(&bytes, api.limits.card_numbers)
            .map(Self)
            .map_err(|error| error.kind.because(error.detail).errors(error.errors))
    }
}

impl FromRequest<Api> for Raw {
    type Rejection = Failure;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Failure> {
        read(request.into_body(), api).await.map(Self)
    }
}

impl FromRequestParts<Api> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Failure> {
        let mut values = parts.headers.get_all("idempotency-key").iter();
        let Some(value) = values.next() else { return Ok(Self(None)) };
        if values.next().is_some() {
            return Err(KEY.because("there is more than one Idempotency-Key"));
        }
        let text = value.to_str().unwrap_or_default().trim();
        // The header is a structured string by its draft, and bare text for nearly everybody who sends it.
        let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        if text.is_empty() || text.len() > KEY_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(KEY.because(format!("a key is 1 to {KEY_MAX} visible ASCII characters without a space")));
        }
        // It is kept and shown.
        if !api.limits.card_numbers && mask_card_numbers_in(text.to_owned()) != text {
            return Err(KEY.because("it looks like the number of a card"));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

/// Header names in lower case; values that are not text are left out.
pub(super) fn headers_as_text(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let Ok(text) = value.to_str() else { continue };
        all.entry(name.as_str().to_owned())
            .and_modify(|joined| {
                joined.push_str(", ");
                joined.push_str(text);
            })
            .or_insert_with(|| text.to_owned());
    }
    all
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read(body: Body, api: &Api) -> Result<Bytes, Failure> {
    let limit = api.limits.body_max;
    let too_large = || TOO_LARGE.because(format!("a body has at most {limit} bytes"));
    let gather = async {
        let mut gathered = BytesMut::new();
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| BODY.because("the connection broke before the body had arrived"))?;
            if gathered.len() + chunk.len() > limit {
                return Err(too_large());
            }
            gathered.extend_from_slice(&chunk);
        }
        Ok(gathered.freeze())
    };
    match tokio::time::timeout(api.limits.body_timeout, gather).await {
        Ok(result) => result,
        Err(_) => Err(SLOW_BODY.because(format!("the body must arrive within {:?}", api.limits.body_timeout))),
    }
}
