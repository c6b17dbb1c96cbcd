//! One application of an event: a working copy of the order, and what is asked for along the way.

use std::cell::OnceCell;

use super::event::{Command, Outcome, Timer};
use super::invariants;
use super::snapshot::{Phase, Snapshot, Status};
use super::transition::Rejection;
use super::{Decision, Walked, scope};
use crate::definition::{State, Verdict, Workflow};
use crate::ledger::Posting;
use crate::types::{Timestamp, Value};

pub(super) struct Run<'w> {
    pub(super) workflow: &'w Workflow,
    pub(super) snapshot: Snapshot,
    pub(super) commands: Vec<Command>,
    pub(super) postings: Vec<Posting>,
    pub(super) walked: Vec<Walked>,
    pub(super) now: Timestamp,
    before: Vec<(Timer, Timestamp)>,
    had_incident: bool,
    was_final: bool,
    /// Transitions taken by this event, bounded so that no definition can loop for ever.
    pub(super) hops: u32,
    /// `order` as expressions see it, made when the first one asks.
    order: OnceCell<Value>,
}

impl<'w> Run<'w> {
    pub(super) fn new(workflow: &'w Workflow, snapshot: Snapshot, now: Timestamp) -> Self {
        // A clock that went back must not make an order's history run backwards.
        let now = now.max(snapshot.updated_at);
        Self {
            workflow,
            now,
            before: snapshot.timers.iter().map(|(&timer, &at)| (timer, at)).collect(),
            had_incident: snapshot.incident.is_some(),
            was_final: matches!(snapshot.status, Status::Succeeded | Status::Failed),
            snapshot,
            commands: Vec::new(),
            postings: Vec::new(),
            walked: Vec::new(),
            hops: 0,
            order: OnceCell::new(),
        }
    }

    /// Enters the initial state of a new order.
    pub(super) fn begin(&mut self) {
        self.arm_deadline();
        self.enter(self.workflow.initial.clone());
        self.drain();
    }

    /// Gives the order all the time that its workflow allows, from now on.
    pub(super) fn arm_deadline(&mut self) {
        if let Some(deadline) = &self.workflow.deadline {
            self.snapshot.timers.insert(Timer::Deadline, self.now.plus(deadline.delay));
        }
    }

    /// The state that the order is in. A snapshot of another version is refused before a run begins.
    pub(super) fn state(&self) -> Option<&'w State> {
        self.workflow.state(&self.snapshot.state)
    }

    pub(super) fn order_value(&self) -> &Value {
        self.order.get_or_init(|| scope::order_value(&self.snapshot))
    }

    /// The state changed: `order.state` must be read anew.
    pub(super) fn forget_order_value(&mut self) {
        self.order = OnceCell::new();
    }

    /// Closes the books of this event: the number of the entry, the status, the timers, the invariants.
    pub(super) fn finish(mut self) -> Result<Decision, Rejection> {
        self.snapshot.seq = self.snapshot.seq.next();
        self.snapshot.updated_at = self.now;
        self.snapshot.status = self.status();
        self.timer_commands();
        if self.had_incident && self.snapshot.incident.is_none() {
            self.commands.push(Command::CloseIncident);
        }
        self.report();
        invariants::check(self.workflow, &self.snapshot, &self.postings).map_err(Rejection::Broken)?;
        Ok(Decision { snapshot: self.snapshot, commands: self.commands, postings: self.postings, walked: self.walked })
    }

    fn status(&self) -> Status {
        if self.snapshot.incident.is_some() {
            return Status::Incident;
        }
        match self.state().and_then(State::verdict) {
            Some(Verdict::Success) => Status::Succeeded,
            Some(Verdict::Failure) => Status::Failed,
            None if self.snapshot.calls.values().any(|call| is_under_way(&call.phase)) => Status::Running,
            None => Status::Waiting,
        }
    }

    fn timer_commands(&mut self) {
        let after = &self.snapshot.timers;
        let cancelled = self.before.iter().filter(|(timer, _)| !after.contains_key(timer));
        self.commands.extend(cancelled.map(|&(timer, _)| Command::CancelTimer { timer }));
        let started = after.iter().filter(|&(timer, at)| !self.before.contains(&(*timer, *at)));
        self.commands.extend(started.map(|(&timer, &at)| Command::StartTimer { timer, at }));
    }

    /// Tells the parent when this order has come to an end.
    fn report(&mut self) {
        let (Some(parent), false) = (&self.snapshot.parent, self.was_final) else { return };
        let outcome = match self.snapshot.status {
            Status::Succeeded => Outcome::Ok { result: self.ending() },
            Status::Failed => {
                let code = self.snapshot.state.to_string();
                Outcome::Declined { code, soft: false, result: self.ending() }
            }
            Status::Running | Status::Waiting | Status::Incident => return,
        };
        self.commands.push(Command::Report { parent: parent.clone(), outcome });
    }

    fn ending(&self) -> Value {
        serde_json::json!({
            "id": self.snapshot.id.to_string(),
            "state": self.snapshot.state.as_str(),
            "data": *self.snapshot.data,
        })
    }
}

fn is_under_way(phase: &Phase) -> bool {
    matches!(phase, Phase::Sending | Phase::Unknown { asking: true } | Phase::Pending { asking: true, .. })
}
