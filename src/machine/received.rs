//! Events from outside, and timers.

use super::event::Timer;
use super::route::CANCEL;
use super::run::Run;
use super::snapshot::Early;
use super::transition::Rejection;
use crate::types::{EventId, EventName, Value};

/// Events that may wait in one order's inbox.
const INBOX_MAX: usize = 1_000;

impl Run<'_> {
    /// Something was said. It is applied now, waits for the state that handles it, or is late.
    pub(super) fn received(
        &mut self,
        id: &EventId,
        name: &EventName,
        payload: &Value,
        source: &str,
    ) -> Result<(), Rejection> {
        let known = self.known_events();
        if !known.contains(name) {
            return Err(Rejection::UnknownEvent { name: name.clone(), known });
        }
        let event = Early {
            id: id.clone(),
            name: name.clone(),
            payload: payload.clone(),
            source: source.to_owned(),
            at: self.now,
        };
        self.offer(event)
    }

    pub(super) fn cancel_requested(&mut self, id: &EventId, by: &str, reason: &str) -> Result<(), Rejection> {
        if self.is_final() {
            return Err(Rejection::Finished { state: self.snapshot.state.clone() });
        }
        let somewhere = self.workflow.on.contains_key(CANCEL)
            || self.workflow.states.iter().any(|state| state.on.contains_key(CANCEL));
        if !somewhere {
            return Err(Rejection::NotAllowed("this workflow has no `cancel` under `on`".to_owned()));
        }
        let event = Early {
            id: id.clone(),
            name: EventName::from(CANCEL),
            payload: serde_json::json!({ "by": by, "reason": reason }),
            source: "cancel".to_owned(),
            at: self.now,
        };
        self.offer(event)
    }

    fn offer(&mut self, event: Early) -> Result<(), Rejection> {
        if self.is_final() && !self.snapshot.is_halted() {
            self.late(&event);
            self.drain();
            return Ok(());
        }
        let (count, id) = (self.snapshot.inbox.len(), event.id.clone());
        self.snapshot.inbox.push(event);
        self.drain();
        if self.snapshot.inbox.iter().any(|early| early.id == id && early.source.starts_with("hook:")) {
            self.ask_sooner();
        }
        // What the order is waiting for must get through to it; only what would wait with the rest is refused.
        if count >= INBOX_MAX && self.snapshot.inbox.iter().any(|early| early.id == id) {
            return Err(Rejection::InboxFull(count));
        }
        Ok(())
    }

    pub(super) fn timer_fired(&mut self, timer: Timer) -> Result<(), Rejection> {
        self.snapshot.timers.remove(&timer).ok_or(Rejection::Stale)?;
        match timer {
            Timer::Retry { call } => self.send_again(call)?,
            Timer::Inquire { call } => self.ask(call)?,
            Timer::After { .. } | Timer::Deadline => self.snapshot.due.push(timer),
        }
        self.drain();
        Ok(())
    }
}
