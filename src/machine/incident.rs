//! Orders that need a person: how they are parked, and how they go on.

use super::event::{Command, Outcome, Resolution, Timer};
use super::run::Run;
use super::snapshot::{Incident, Phase};
use super::transition::Rejection;
use crate::types::{Attempt, CallId};

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
        let at_stake = call.and_then(|id| self.snapshot.calls.get(&id)).and_then(|call| self.stake(call));
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
        let about = || {
            incident.call.ok_or_else(|| {
                Rejection::NotAllowed("this incident is not about a call: resolve it with a state to go on in".into())
            })
        };
        match resolution {
            Resolution::Ok { result } => self.complete(about()?, Outcome::Ok { result: result.clone() }),
            Resolution::Declined { code } => {
                let result = crate::types::Value::Null;
                self.complete(about()?, Outcome::Declined { code: code.clone(), soft: false, result });
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

    /// Another call may be parked behind the one that was dealt with.
    fn next_parked(&mut self) {
        let parked = self.snapshot.calls.iter().find(|(_, call)| matches!(call.phase, Phase::Parked { .. }));
        if let Some((&id, call)) = parked {
            let reason = call.trouble.clone();
            self.open_incident(Some(id), reason);
        }
    }
}
