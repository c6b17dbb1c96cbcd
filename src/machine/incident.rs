//! Orders that need a person: how they are parked, and how they go on.

use super::event::{Command, Outcome, Resolution, Timer};
use super::run::Run;
use super::snapshot::{Call, Incident, Phase, Role};
use super::transition::Rejection;
use super::ways::{Way, has_succeeded, is_past_deadline, is_stuck_undoing, ways};
use crate::types::{Attempt, CallId, Money, Value};

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

    /// The first incident of an order is kept: what comes after it usually follows from it. What became of a call comes
    /// before what the workflow only wants a person to see.
    pub(super) fn open_incident(&mut self, call: Option<CallId>, reason: String) {
        let seen = self.snapshot.incident.as_ref().filter(|before| before.call.is_none() && call.is_some());
        let wanted = seen.and_then(|before| before.wanted.clone());
        if self.snapshot.incident.is_some() && wanted.is_none() {
            return;
        }
        let moves = |call: &&Call| self.declared(call).is_some_and(|declared| declared.operation.money.is_some());
        let at_stake = match call {
            Some(id) => self.snapshot.calls.get(&id).filter(moves).and_then(|call| self.stake(call)),
            // It is about the order as a whole, and so is what is at stake.
            None => self.snapshot.amount,
        };
        self.commands.push(Command::OpenIncident { reason: reason.clone(), at_stake });
        let reason = match &wanted {
            Some(wanted) => format!("{reason}; and: {wanted}"),
            None => reason,
        };
        let opened_at = self.now;
        let incident = Incident { reason, opened_at, call, at_stake, unbegun: false, wanted, halted: false };
        self.snapshot.incident = Some(incident);
    }

    /// The workflow wants a person to see the order. Where one is called already, both reasons are seen.
    pub(super) fn want_person(&mut self, reason: &str) {
        let add = |text: &str| if text.contains(reason) { text.to_owned() } else { format!("{text}; and: {reason}") };
        match &mut self.snapshot.incident {
            Some(incident) => incident.reason = add(&incident.reason),
            None => self.open_incident(None, reason.to_owned()),
        }
        if let Some(incident) = &mut self.snapshot.incident {
            incident.wanted = Some(incident.wanted.as_deref().map_or_else(|| reason.to_owned(), add));
        }
    }

    /// What was wrong with a call is over. What the workflow wanted to be seen is not.
    pub(super) fn still_wanted(&mut self, over: &Incident) {
        if let (Some(_), Some(wanted)) = (over.call, &over.wanted) {
            self.want_person(wanted);
        }
    }

    /// What became of the order after this entry is not known, so that nothing is done for it: events and timers wait,
    /// and each of its calls may have happened.
    pub(super) fn halt(&mut self, reason: &str) {
        let before = self.snapshot.incident.take();
        for (&id, call) in &mut self.snapshot.calls {
            if !matches!(call.phase, Phase::Done { .. } | Phase::Reversing { .. }) {
                call.phase = Phase::Parked { unknown: true };
                reason.clone_into(&mut call.trouble);
            }
            self.snapshot.timers.remove(&Timer::Retry { call: id });
            self.snapshot.timers.remove(&Timer::Inquire { call: id });
        }
        let reason = match &before {
            Some(before) => format!("{reason}; before that: {}", before.reason),
            None => reason.to_owned(),
        };
        self.open_incident(None, reason);
        if let Some(incident) = &mut self.snapshot.incident {
            incident.halted = true;
            incident.unbegun = before.is_some_and(|before| before.unbegun);
        }
    }

    /// A person wants it tried again: the policy gets a fresh budget, and what is unknown is asked about first.
    pub(super) fn retry_requested(&mut self) -> Result<(), Rejection> {
        self.must_allow(Way::Retry)?;
        let incident = self.snapshot.incident.take().ok_or(Rejection::NoIncident)?;
        let Some(id) = incident.call else { return self.retry_order(&incident) };
        self.retry_call(id)?;
        self.still_wanted(&incident);
        self.next_parked();
        self.drain();
        Ok(())
    }

    fn must_allow(&self, way: Way) -> Result<(), Rejection> {
        let ways = ways(self.workflow, &self.snapshot);
        match ways.contains(&way) {
            _ if ways.is_empty() => Err(Rejection::NoIncident),
            true => Ok(()),
            false => Err(Rejection::NotThatWay { way, ways }),
        }
    }

    fn retry_call(&mut self, id: CallId) -> Result<(), Rejection> {
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
                    call.renew_key(now);
                }
                self.send_again(id)?;
            }
            Phase::Done { .. } => self.join(),
            _ => {}
        }
        Ok(())
    }

    /// Takes up again what was wrong with the order as a whole.
    fn retry_order(&mut self, incident: &Incident) -> Result<(), Rejection> {
        if incident.unbegun {
            self.enter(self.snapshot.state.clone());
        } else if incident.halted {
            let parked = |(_, call): &(&CallId, &Call)| matches!(call.phase, Phase::Parked { .. });
            let parked: Vec<CallId> = self.snapshot.calls.iter().filter(parked).map(|(&id, _)| id).collect();
            for id in parked {
                self.retry_call(id)?;
            }
        } else if is_stuck_undoing(self.workflow, &self.snapshot)
            && let Err(error) = self.undo_next()
        {
            self.open_incident(None, error.to_string());
        }
        self.renew_deadline();
        self.drain();
        Ok(())
    }

    /// A person has looked into the order: it gets the time that it had at first, lest it wait for ever.
    fn renew_deadline(&mut self) {
        if is_past_deadline(self.workflow, &self.snapshot) {
            self.arm_deadline();
        }
    }

    pub(super) fn resolved(&mut self, resolution: &Resolution) -> Result<(), Rejection> {
        self.must_allow(way(resolution))?;
        let incident = self.snapshot.incident.take().ok_or(Rejection::NoIncident)?;
        match (resolution, incident.call) {
            (Resolution::Ok { result }, Some(id)) => self.resolve_ok(id, result),
            (Resolution::Declined { code }, Some(id)) => match self.reversal_of(id) {
                Some(of) => self.not_reversed(id, of),
                None => {
                    let result = Value::Null;
                    self.complete(id, Outcome::Declined { code: code.clone(), soft: false, result });
                }
            },
            (Resolution::State { state, data }, _) => {
                if self.workflow.state(state).is_none() {
                    return Err(Rejection::NotAllowed(format!("the workflow has no state {state}")));
                }
                if let Some(name) = data.keys().find(|name| !is_name(name)) {
                    return Err(Rejection::NotAllowed(format!("`{name}` is no name of data")));
                }
                self.set_data(data.clone());
                self.leave();
                self.enter(state.clone());
            }
            // The first two are about a call, which was looked at above.
            (Resolution::Ok { .. } | Resolution::Declined { .. } | Resolution::Dismissed, _) => {}
        }
        self.still_wanted(&incident);
        self.renew_deadline();
        self.next_parked();
        self.drain();
        if matches!(resolution, Resolution::State { .. }) {
            self.nothing_is_held();
        }
        Ok(())
    }

    /// An order that a person has led to its end may still hold the customer's money, which nothing gives back then.
    fn nothing_is_held(&mut self) {
        let money = &self.snapshot.money;
        if let Some(currency) = money.currency.filter(|_| money.held > 0 && self.is_final()) {
            let held = Money { amount: money.held, currency };
            let reason = format!(
                "the order was led to {} while {held} are held: see to it that they are given back, then dismiss this",
                self.snapshot.state
            );
            self.open_incident(None, reason);
        }
    }

    /// A person says that the call did succeed. What was booked before is not booked again.
    fn resolve_ok(&mut self, id: CallId, result: &Value) {
        let outcome = Outcome::Ok { result: result.clone() };
        let booked = has_succeeded(self.snapshot.calls.get(&id));
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

    fn reversal_of(&self, id: CallId) -> Option<CallId> {
        match self.snapshot.calls.get(&id)?.role {
            Role::Reversal { of, .. } => Some(of),
            Role::Invoke { .. } | Role::Effect { .. } | Role::Compensation { .. } => None,
        }
    }

    /// A person says that what was to be reversed was not, and will not be: what became of it decides.
    fn not_reversed(&mut self, id: CallId, of: CallId) {
        self.drop_call(id);
        let name = self.call_name(of);
        let asks = self.snapshot.calls.get(&of).and_then(|call| self.declared(call));
        let asks = asks.is_some_and(|declared| declared.operation.inquire.is_some());
        if let Some(call) = self.snapshot.calls.get_mut(&of) {
            call.reversed = false;
            call.inquiries = Attempt(0);
        }
        if asks {
            self.unknown(of, "a person says that it was not reversed", None);
        } else {
            self.park(of, true, format!("{name} was not reversed: say what became of it"));
        }
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

/// As `assign` wants them.
fn is_name(name: &str) -> bool {
    let rest = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.len() <= 64 && name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.bytes().all(rest)
}

fn way(resolution: &Resolution) -> Way {
    match resolution {
        Resolution::Ok { .. } => Way::Ok,
        Resolution::Declined { .. } => Way::Declined,
        Resolution::State { .. } => Way::State,
        Resolution::Dismissed => Way::Dismissed,
    }
}
