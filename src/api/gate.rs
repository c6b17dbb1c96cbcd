//! How many requests may be under way, and the way out: once the gate is closed nothing comes in, what waits is told, and
//! what is under way is answered.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::engine::EngineError;
use super::problem::{Failure, TOO_BUSY};

#[derive(Debug)]
pub(super) struct Gate {
    requests: Arc<Semaphore>,
    max: u32,
    closed: watch::Sender<bool>,
    refused: AtomicU64,
}

/// A request that is under way, until its answer has been sent.
#[derive(Debug)]
pub(super) struct Pass {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    pub(super) fn new(requests_max: usize) -> Self {
        let max = u32::try_from(requests_max).unwrap_or(u32::MAX);
        let requests = Arc::new(Semaphore::new(max as usize));
        Self { requests, max, closed: watch::Sender::new(false), refused: AtomicU64::new(0) }
    }

    pub(super) fn enter(&self) -> Result<Pass, Failure> {
        let permit = Arc::clone(&self.requests).try_acquire_owned();
        // Looked at with the permit in hand: who still saw it open is waited for.
        if self.is_closed() {
            return Err(EngineError::ShuttingDown.into());
        }
        permit.map(|permit| Pass { _permit: permit }).map_err(|_| {
            let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
            if refused.is_power_of_two() {
                tracing::warn!(refused, "more requests come than can be under way at once; some are refused");
            }
            TOO_BUSY
                .because("too many requests are under way: try again in a moment")
                .retry_after(Duration::from_secs(1))
        })
    }

    /// So many are under way that nobody should keep a place only to wait: what would end the waits needs one too.
    pub(super) fn is_crowded(&self) -> bool {
        self.requests.available_permits() < self.max as usize / 2
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Returns once the gate is closed.
    pub(super) async fn closed(&self) {
        // The sender is ours, so that this ends in one way only.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Closes it, and returns when what was under way is answered, or after `grace`.
    pub(super) async fn close(&self, grace: Duration) {
        self.closed.send_replace(true);
        if tokio::time::timeout(grace, self.requests.acquire_many(self.max)).await.is_err() {
            let left = (self.max as usize).saturating_sub(self.requests.available_permits());
            tracing::warn!(left, "requests are still under way, and are not waited for any longer");
        }
    }
}

impl Pass {
    /// Holds the pass until the answer has been sent, or its reader is gone.
    pub(super) fn hold(self, response: Response<Body>) -> Response<Body> {
        response.map(|body| Body::new(Held { body, _pass: self }))
    }
}

struct Held {
    body: Body,
    _pass: Pass,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
