//! Sending what has been decided. Whatever happens to a call, its outcome comes back as a message.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core::Dispatch;
use super::lanes::{Opening, Over, Turn};
use super::round::Round;
use super::shard::{Message, Shard};
use super::shared::Shared;
use crate::connector::{Connector, Hidden, Invocation};
use crate::machine::{Call, Event, Outcome};
use crate::types::{Attempt, CallId, ConnectorName, OrderId, Pause, Timestamp};

/// How long a call that was never sent waits for its turn, unless its own times are shorter or longer.
const WAIT: Duration = Duration::from_secs(300);
/// Time that a connector is given beyond an attempt's timeout to say itself how it ended.
const GRACE: Duration = Duration::from_secs(2);

impl Shard {
    /// Sends what has been decided, or lets it wait for its turn.
    pub(super) fn dispatch(&mut self, order: OrderId, dispatches: Vec<Dispatch>) {
        for dispatch in dispatches {
            fault_point!("executor::between-dispatches");
            match dispatch {
                Dispatch::Invoke { call, invocation } => self.call_out(order, call, None, invocation),
                Dispatch::Inquire { call, inquiry, invocation } => {
                    self.call_out(order, call, Some(inquiry), invocation)
                }
                Dispatch::Report { parent, outcome } => {
                    let event = Event::Settled { call: parent.call, attempt: Attempt(1), outcome };
                    let message = Message::Apply { order: parent.order, event, reply: None };
                    let shared = Arc::clone(&self.shared);
                    tokio::spawn(async move {
                        fault_point!("dispatch::before-report");
                        shared.deliver(parent.order, message).await;
                    });
                }
            }
        }
    }

    /// Sends what has waited for its turn, as far as there is room now.
    pub(super) async fn take_turns(&mut self, round: &mut Round, now: Timestamp) {
        // When it stops, what waits stays as it is: after the next start it is asked about like what was under way.
        while !self.shared.stopping.load(Ordering::Acquire)
            && !round.is_full()
            && let Some(over) = self.lanes.next(now)
        {
            let (Over::Send(turn) | Over::TooLate(turn)) = over;
            let Turn { order, call, attempt, inquiry, .. } = turn;
            if let Err(error) = self.load(order, round, now).await {
                tracing::error!(%order, %error, "it is the turn of an order that cannot be read");
            }
            let wanted = self.core.take_turn(order, call, attempt, inquiry);
            match (over, wanted) {
                (_, None) => self.core.release(order),
                (Over::Send(_), Some(_)) if inquiry.is_none() && self.core.is_called_off(order, call, attempt, now) => {
                    let event = to_event(call, attempt, None, called_off());
                    self.apply(order, event, None, round, now);
                }
                (Over::Send(_), Some(dispatch)) => {
                    let dispatch = self.in_time(dispatch, order, turn.until.since(now));
                    self.dispatch(order, vec![dispatch]);
                }
                (Over::TooLate(_), Some(_)) => {
                    let event = to_event(call, attempt, inquiry, too_late(inquiry.is_some()));
                    self.apply(order, event, None, round, now);
                }
            }
        }
    }

    /// A provider is paused, or goes on.
    pub(super) fn pause(&mut self, connector: &ConnectorName, pause: Option<&Pause>) {
        self.lanes.set(connector, Opening::of(pause), self.shared.clock.now().plus(WAIT));
    }

    /// How long a call may wait for its turn. A key that may be known at the provider must leave while it still is: then
    /// the wait is a part of the attempt. All else costs nothing by waiting, and a crowd must not fail for its size.
    fn patience(&self, order: OrderId, call: CallId, timeout: Duration) -> Timestamp {
        let now = self.shared.clock.now();
        let soonest = now.plus(timeout);
        match self.call(order, call) {
            Some(call) if !(call.doubtful && self.core.is_risky(order, call)) => {
                let latest = now.plus(WAIT);
                call.deadline.map_or(latest, |deadline| latest.min(deadline)).max(soonest)
            }
            _ => soonest,
        }
    }

    /// What is left of an attempt whose wait was a part of it.
    fn in_time(&self, mut dispatch: Dispatch, order: OrderId, left: Duration) -> Dispatch {
        if let Dispatch::Invoke { call, invocation } | Dispatch::Inquire { call, invocation, .. } = &mut dispatch
            && self.call(order, *call).is_some_and(|call| call.doubtful && self.core.is_risky(order, call))
        {
            invocation.timeout = invocation.timeout.min(left);
        }
        dispatch
    }

    fn call(&self, order: OrderId, call: CallId) -> Option<&Call> {
        self.core.snapshot(order)?.calls.get(&call)
    }

    /// A connector that answers at once is called in place, and its answer taken up in the next round.
    fn call_out(&mut self, order: OrderId, call: CallId, inquiry: Option<Attempt>, mut invocation: Invocation) {
        let attempt = invocation.attempt;
        let event = move |outcome| to_event(call, attempt, inquiry, outcome);
        self.shared.volatile.reveal(&mut invocation, self.shared.clock.now());
        if inquiry.is_none() && matches!(invocation.hidden, Hidden::Gone) {
            let reason = "what it needs is volatile, and is not in memory any more".to_owned();
            let event = event(Outcome::NotSent { reason, retry_after_ms: None });
            return self.ready.push_back(Message::Apply { order, event, reply: None });
        }
        let connector = match self.shared.connector(&invocation) {
            Ok(connector) => connector,
            Err(reason) => {
                // Nothing was sent: a connector that is not configured is a definite failure, tried again like any other.
                let event = event(Outcome::NotSent { reason, retry_after_ms: None });
                return self.ready.push_back(Message::Apply { order, event, reply: None });
            }
        };
        let asks = inquiry.is_some();
        if connector.is_instant() {
            let mut work = Box::pin(run(connector, invocation, asks));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            if let std::task::Poll::Ready(outcome) = work.as_mut().poll(&mut context) {
                return self.ready.push_back(Message::Apply { order, event: event(outcome), reply: None });
            }
            return spawn(&self.shared, order, None, async move { event(work.await) });
        }
        let lane = connector.capacity().map(|capacity| (invocation.connector.clone(), capacity));
        if let Some((name, capacity)) = &lane {
            // What does no harm in being repeated can wait through a pause like anything new. It is drained with the rest.
            let urgent = |call: &Call| call.doubtful && (self.lanes.drains(name) || self.core.is_risky(order, call));
            let doubtful = asks || self.call(order, call).is_some_and(urgent);
            if !self.lanes.enter(name, *capacity, doubtful) {
                let until = self.patience(order, call, invocation.timeout);
                let deadline = self.call(order, call).and_then(|call| call.deadline);
                self.lanes.wait(name, Turn { order, call, attempt, inquiry, doubtful, until, deadline });
                return self.core.queue(order, call);
            }
        }
        let lane = lane.map(|(name, _)| name);
        let shared = Arc::clone(&self.shared);
        spawn(&self.shared, order, lane, async move {
            let name = invocation.connector.clone();
            let outcome = run(Arc::clone(&connector), invocation, asks).await;
            if connector.is_gone() {
                shared.close(&name).await;
            }
            event(outcome)
        });
    }
}

fn to_event(call: CallId, attempt: Attempt, inquiry: Option<Attempt>, outcome: Outcome) -> Event {
    match inquiry {
        None => Event::Settled { call, attempt, outcome },
        Some(inquiry) => Event::Inquired { call, inquiry, outcome },
    }
}

fn called_off() -> Outcome {
    Outcome::NotSent { reason: "a cancel came before its turn".to_owned(), retry_after_ms: None }
}

/// An inquiry that was not made says nothing about the call that it asks about.
fn too_late(asks: bool) -> Outcome {
    let reason = "its turn at the provider did not come in time".to_owned();
    if asks {
        Outcome::Unknown { reason, retry_after_ms: None }
    } else {
        Outcome::NotSent { reason, retry_after_ms: None }
    }
}

fn spawn(
    shared: &Arc<Shared>,
    order: OrderId,
    lane: Option<ConnectorName>,
    work: impl Future<Output = Event> + Send + 'static,
) {
    let shared = Arc::clone(shared);
    shared.in_flight.fetch_add(1, Ordering::Relaxed);
    tokio::spawn(async move {
        let event = work.await;
        fault_point!("dispatch::answered");
        shared.in_flight.fetch_sub(1, Ordering::Relaxed);
        let message = match lane {
            Some(connector) => Message::Done { order, event, connector },
            None => Message::Apply { order, event, reply: None },
        };
        shared.deliver(order, message).await;
        fault_point!("dispatch::delivered");
    });
}

pub(super) async fn run(connector: Arc<dyn Connector>, invocation: Invocation, asks: bool) -> Outcome {
    fault_point!("dispatch::before-call");
    // A panic inside a connector is one more way of not knowing what happened.
    let work = std::panic::AssertUnwindSafe(async {
        if asks { connector.inquire(&invocation).await } else { connector.invoke(&invocation).await }
    });
    let guarded = futures_util::FutureExt::catch_unwind(work);
    // It may wait for its turn as long as it may take.
    let longest = invocation.timeout.saturating_mul(2).saturating_add(GRACE);
    match tokio::time::timeout(longest, guarded).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Outcome::Unknown { reason: "the connector failed".to_owned(), retry_after_ms: None },
        Err(_) => Outcome::Unknown {
            reason: format!("no answer within {}", crate::types::format_duration(invocation.timeout)),
            retry_after_ms: None,
        },
    }
}
