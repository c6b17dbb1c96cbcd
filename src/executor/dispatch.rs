//! Sending what has been decided. Whatever happens to a call, its outcome comes back as a message.

use std::sync::Arc;

use super::core::Dispatch;
use super::shard::Message;
use super::shared::Shared;
use crate::connector::{Connector, Invocation};
use crate::machine::{Event, Outcome};
use crate::types::{Attempt, CallId, OrderId};

/// Time that a connector is given beyond an attempt's timeout to say itself how it ended.
const GRACE: std::time::Duration = std::time::Duration::from_secs(2);

/// Sends one dispatch. A connector that answers at once is called in place, and its answer returned.
pub(super) fn send(shared: &Arc<Shared>, order: OrderId, dispatch: Dispatch) -> Option<Message> {
    match dispatch {
        Dispatch::Invoke { call, invocation } => call_out(shared, order, call, None, invocation),
        Dispatch::Inquire { call, inquiry, invocation } => call_out(shared, order, call, Some(inquiry), invocation),
        Dispatch::Report { parent, outcome } => {
            let event = Event::Settled { call: parent.call, attempt: Attempt(1), outcome };
            let message = Message::Apply { order: parent.order, event, reply: None };
            let shared = Arc::clone(shared);
            tokio::spawn(async move { shared.deliver(parent.order, message).await });
            None
        }
    }
}

fn call_out(
    shared: &Arc<Shared>,
    order: OrderId,
    call: CallId,
    inquiry: Option<Attempt>,
    invocation: Invocation,
) -> Option<Message> {
    let attempt = invocation.attempt;
    let to_event = move |outcome| match inquiry {
        None => Event::Settled { call, attempt, outcome },
        Some(inquiry) => Event::Inquired { call, inquiry, outcome },
    };
    let connector = match shared.connector(&invocation) {
        Ok(connector) => connector,
        Err(reason) => {
            // Nothing was sent: a connector that is not configured is a definite failure, tried again like any other.
            let event = to_event(Outcome::NotSent { reason, retry_after_ms: None });
            return Some(Message::Apply { order, event, reply: None });
        }
    };
    let asks = inquiry.is_some();
    if connector.is_instant() {
        let mut work = Box::pin(run(connector, invocation, asks));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        if let std::task::Poll::Ready(outcome) = work.as_mut().poll(&mut context) {
            return Some(Message::Apply { order, event: to_event(outcome), reply: None });
        }
        spawn(shared, order, async move { to_event(work.await) });
        return None;
    }
    spawn(shared, order, async move { to_event(run(connector, invocation, asks).await) });
    None
}

fn spawn(shared: &Arc<Shared>, order: OrderId, work: impl Future<Output = Event> + Send + 'static) {
    let shared = Arc::clone(shared);
    shared.in_flight.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    tokio::spawn(async move {
        let event = work.await;
        shared.in_flight.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
        shared.deliver(order, Message::Apply { order, event, reply: None }).await;
    });
}

async fn run(connector: Arc<dyn Connector>, invocation: Invocation, asks: bool) -> Outcome {
    // A panic inside a connector is one more way of not knowing what happened.
    let work = std::panic::AssertUnwindSafe(async {
        if asks { connector.inquire(&invocation).await } else { connector.invoke(&invocation).await }
    });
    let guarded = futures_util::FutureExt::catch_unwind(work);
    match tokio::time::timeout(invocation.timeout.saturating_add(GRACE), guarded).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Outcome::Unknown { reason: "the connector failed".to_owned(), retry_after_ms: None },
        Err(_) => Outcome::Unknown {
            reason: format!("no answer within {}", crate::types::format_duration(invocation.timeout)),
            retry_after_ms: None,
        },
    }
}
