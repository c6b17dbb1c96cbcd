//! `GET /v1/stream`: every change of every order, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use futures_util::stream::unfold;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};

use super::orders::view;
use super::params::Params;
use super::problem::{Failure, TOO_BUSY};
use super::state::Api;
use super::wire::Problem;
use crate::machine::Snapshot;

/// Changes of orders, as they happen: `event: order` with the order as JSON, and `event: missed` with the number of
/// changes that were dropped because the reader was too slow.
#[utoipa::path(get, path = "/v1/stream", tag = "orders",
    responses(
        (status = 200, description = "Server-sent events, without end", body = String, content_type = "text/event-stream"),
        (status = 400, description = "There are no parameters: it has every change", body = Problem),
        (status = 503, description = "Too many streams are open", body = Problem),
    ))]
pub(super) async fn stream(
    State(api): State<Api>,
    uri: Uri,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Failure> {
    Params::read(&uri, &[])?;
    let permit = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        TOO_BUSY.because("too many streams are open: poll `/v1/orders` instead").retry_after(Duration::from_secs(30))
    })?;
    let changes = api.engine.subscribe();
    let reader = Reader { api, changes, first: true, _permit: permit };
    let events = unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15))))
}

struct Reader {
    api: Api,
    changes: broadcast::Receiver<Arc<Snapshot>>,
    first: bool,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    async fn next(&mut self) -> Option<Event> {
        if std::mem::take(&mut self.first) {
            return Some(Event::default().comment("changes follow").retry(Duration::from_secs(2)));
        }
        let change = tokio::select! {
            () = self.api.gate.closed() => return None,
            change = self.changes.recv() => change,
        };
        match change {
            Ok(snapshot) => self.order(&snapshot),
            Err(RecvError::Lagged(missed)) => Some(Event::default().event("missed").data(missed.to_string())),
            Err(RecvError::Closed) => None,
        }
    }

    fn order(&self, snapshot: &Snapshot) -> Option<Event> {
        let id = format!("{}-{}", snapshot.id, snapshot.seq);
        Event::default().event("order").id(id).json_data(view(&self.api, snapshot)).ok()
    }
}
