//! A request's body that remembers whether the client has begun to take it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body of known length. The client asks for it only once it has a connection and before it writes to it, so a body
/// that was never asked for proves that nothing was sent. It cannot be cloned, and so it cannot be sent twice.
#[derive(Debug)]
pub(super) struct WatchedBody {
    bytes: Option<Bytes>,
    taken: Taken,
}

/// Whether a body was asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(Arc<AtomicBool>);

impl Taken {
    pub(super) fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl WatchedBody {
    pub(super) fn new(bytes: Vec<u8>) -> (Self, Taken) {
        let taken = Taken::default();
        (Self { bytes: Some(Bytes::from(bytes)), taken: taken.clone() }, taken)
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.taken.0.store(true, Ordering::Release);
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}
