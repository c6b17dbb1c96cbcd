//! Orders that need a person: how they are parked, and how they go on.

use super::event::{Command, Outcome, Resolution, Timer};
use super::run::Run;
use super::snapshot::{Call, Incident, Phase, Role};
use super::transition::Rejection;
use crate::types::{Attempt, CallId, Value};

impl Run<'_> {
    /// Gives a call up until a person says what to do. `unknown` says whether it may have happened.
    pub(super) fn park(&mut self, id: CallId, unknown: bool, reason: String) {
        if let Some(call) = self.snapshot.calls.get_mut(&id) {
            call.phase = Phase::Parked { unknown };
            call.trouble.clone_from(&reason);
        }
        self.snapshot.timers.remove(&Timer::Retry { call: id });
        self.snapshot.timers.remove(&Timer::Inquire { call: id });
        self.open_incident(Some(id), reason);
    }

    /// The first incident of an order is kept: what comes after it usually follows from it.
    pub(super) fn open_incident(&mut self, call: Option<CallId>, reason: String) {
        if self.snapshot.incident.is_some() {
            return;
        }
        let moves = |call: &&Call| self.declared(call).is_some_and(|declared| declared.operation.money.is_some());
        let call_at_stake = call.and_then(|id| self.snapshot.calls.get(&id)).filter(moves);
        let at_stake = call_at_stake.and_then(|call| self.stake(call));
        self.commands.push(Command::OpenIncident { reason: reason.clone(), at_stake });
        self.snapshot.incident = Some(Incident { reason, opened_at: self.now, call, at_stake });
    }

    /// A person wants it tried again: the policy gets a fresh budget, and what is unknown is asked about first.
    pub(super) fn retry_requested(&mut self) -> Result<(), Rejection> {
        let incident = self.snapshot.incident.take().ok_or(Rejection::NoIncident)?;
        let Some(id) = incident.call else {
            self.drain();
            return Ok(());
        };
        let now = self.now;
        let Some(call) = self.snapshot.calls.get_mut(&id) else { return Ok(()) };
        call.spent = call.attempt.0;
        call.inquiries = Attempt(0);
        call.begun_at = now;
        call.deadline = None;
        match call.phase.clone() {
            Phase::Parked { unknown: true } => self.unknown(id, "taken up again by a person", None),
            Phase::Parked { unknown: false } => {
                call.phase = Phase::Backoff;
                // A provider repeats its stored refusal under the old key. A notification keeps its id: the receiver
                // knows by it what it has seen.
                if !matches!(call.role, Role::Effect { .. }) {
                    call.epoch = call.epoch.next();
                    call.sent_at = now;
                    call.doubtful = false;
                }
                self.send_again(id)?;
            }
            Phase::Done { .. } => self.join(),
            _ => {}
        }
        self.next_parked();
        self.drain();
        Ok(())
    }

    pub(super) fn resolved(&mut self, resolution: &Resolution) -> Result<(), Rejection> {
        let incident = self.snapshot.incident.take().ok_or(Rejection::NoIncident)?;
        let call = incident.call;
        let about = || {
            call.ok_or_else(|| {
                Rejection::NotAllowed("this incident is not about a call: resolve it with a state to go on in".into())
            })
        };
        match resolution {
            Resolution::Ok { result } => self.resolve_ok(about()?, result),
            Resolution::Declined { code } => {
                let id = about()?;
                if self.has_succeeded(id) {
                    let text = "this call has succeeded and is booked: resolve it as ok, or with a state to go on in";
                    self.snapshot.incident = Some(incident);
                    return Err(Rejection::NotAllowed(text.to_owned()));
                }
                let result = Value::Null;
                self.complete(id, Outcome::Declined { code: code.clone(), soft: false, result });
            }
            Resolution::State { state } => {
                if self.workflow.state(state).is_none() {
                    return Err(Rejection::NotAllowed(format!("the workflow has no state {state}")));
                }
                self.leave();
                self.enter(state.clone());
            }
        }
        self.next_parked();
        self.drain();
        Ok(())
    }

    /// A person says that the call did succeed. What was booked before is not booked again.
    fn resolve_ok(&mut self, id: CallId, result: &Value) {
        let outcome = Outcome::Ok { result: result.clone() };
        let booked = self.has_succeeded(id);
        if let Some(call) = self.snapshot.calls.get_mut(&id) {
            // A person's word settles what the provider's answers left open.
            call.reversed = false;
            if booked {
                call.phase = Phase::Done { outcome };
                return self.join();
            }
        }
        self.complete(id, outcome);
    }

    fn has_succeeded(&self, id: CallId) -> bool {
        let phase = self.snapshot.calls.get(&id).map(|call| &call.phase);
        matches!(phase, Some(Phase::Done { outcome: Outcome::Ok { .. } }))
    }

    /// Another call may be parked behind the one that was dealt with.
    fn next_parked(&mut self) {
        let parked = self.snapshot.calls.iter().find(|(_, call)| matches!(call.phase, Phase::Parked { .. }));
        if let Some((&id, call)) = parked {
            let reason = call.trouble.clone();
            self.open_incident(Some(id), reason);
        }
    }
}
