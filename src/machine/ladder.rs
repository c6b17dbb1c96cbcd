//! The ladder of an unknown outcome: ask by our own reference, send again under the same key, undo, call a person.

use std::time::Duration;

use super::event::{Command, INTEGRITY, Outcome, Timer};
use super::retry;
use super::run::Run;
use super::snapshot::{Call, Phase, Role};
use super::transition::Rejection;
use crate::definition::{Compensate, Idempotency, MoneyKind, Replay};
use crate::types::{Attempt, CallId, Timestamp};

impl Run<'_> {
    /// The outcome of a try is not known.
    pub(super) fn unknown(&mut self, id: CallId, reason: &str, after_ms: Option<u64>) {
        let Some(call) = self.snapshot.calls.get_mut(&id) else { return };
        reason.clone_into(&mut call.trouble);
        call.doubtful = true;
        call.phase = Phase::Unknown { asking: false };
        if self.was_told_of(id) {
            return;
        }
        let Some(declared) = self.snapshot.calls.get(&id).and_then(|call| self.declared(call)) else {
            return self.park(id, true, format!("{reason}; the workflow no longer declares the call"));
        };
        if declared.operation.idempotency.replay == Replay::Safe {
            if self.back_off(id, reason, after_ms, false) {
                return;
            }
            // What is part of Paystate keeps counters: nobody may go on as if a reservation had not been made. Nor is an
            // answer that would book other money than was asked for the same as no answer.
            let differs = declared.operation.money.is_some() && reason.starts_with(INTEGRITY);
            if declared.operation.request.is_none() || differs {
                return self.park(id, true, format!("the outcome of {} is not known: {reason}", self.call_name(id)));
            }
            let reason = reason.to_owned();
            return self.complete(id, Outcome::NotSent { reason, retry_after_ms: None });
        }
        if declared.operation.inquire.is_none() {
            return self.resend(id, reason);
        }
        if !self.arm_inquiry(id, after_ms) {
            self.resend(id, reason);
        }
    }

    /// A timer wants the order to go on while a pending call may still move money: from now on its outcome counts as not
    /// known, so that it is asked about a bounded number of times, and then undone or given to a person.
    pub(super) fn time_is_up(&mut self, id: CallId) {
        if let Some(call) = self.snapshot.calls.get_mut(&id).filter(|call| !call.doubtful) {
            call.inquiries = Attempt(0);
        }
        self.unknown(id, "the provider had accepted it and not decided on it in time", None);
    }

    pub(super) fn inquired(&mut self, id: CallId, inquiry: Attempt, outcome: &Outcome) -> Result<(), Rejection> {
        let call = self.snapshot.calls.get(&id).ok_or(Rejection::Stale)?;
        if call.inquiries != inquiry {
            return Err(Rejection::Stale);
        }
        match call.phase {
            Phase::Unknown { asking: true } => self.inquired_unknown(id, outcome),
            Phase::Pending { asking: true, .. } => self.inquired_pending(id, outcome),
            _ => return Err(Rejection::Stale),
        }
        self.drain();
        Ok(())
    }

    pub(super) fn inquired_unknown(&mut self, id: CallId, outcome: &Outcome) {
        let reversed = self.snapshot.calls.get(&id).is_some_and(|call| call.reversed);
        match outcome {
            Outcome::Declined { .. } | Outcome::NotFound if reversed => self.confirm_reversed(id),
            Outcome::Ok { .. } | Outcome::Declined { .. } | Outcome::ActionRequired { .. } => {
                self.apply(id, outcome.clone());
            }
            Outcome::Pending { .. } if !reversed => self.apply(id, outcome.clone()),
            Outcome::NotFound => self.not_found(id),
            Outcome::Pending { .. } | Outcome::Unknown { .. } | Outcome::NotSent { .. } => {
                self.ask_again(id, trouble(outcome), wait(outcome));
            }
        }
    }

    fn inquired_pending(&mut self, id: CallId, outcome: &Outcome) {
        match outcome {
            Outcome::Ok { .. } | Outcome::Declined { .. } | Outcome::ActionRequired { .. } => {
                self.apply(id, outcome.clone());
            }
            Outcome::Pending { .. } | Outcome::Unknown { .. } | Outcome::NotSent { .. } => {
                if let Some(Call { phase: Phase::Pending { asking, .. }, .. }) = self.snapshot.calls.get_mut(&id) {
                    *asking = false;
                }
                self.arm_poll(id, wait(outcome));
            }
            // It was accepted and is gone: nobody can say what became of it.
            Outcome::NotFound => {
                if let Some(call) = self.snapshot.calls.get_mut(&id) {
                    call.inquiries = Attempt(0);
                }
                self.unknown(id, "accepted, and now the provider does not know it", None);
            }
        }
    }

    /// "Not found" means "never happened" only after the provider's longest time in flight.
    fn not_found(&mut self, id: CallId) {
        let Some(call) = self.snapshot.calls.get(&id) else { return };
        let Some(declared) = self.declared(call) else { return };
        let final_at = call.last_sent_at.plus(declared.operation.idempotency.not_found_final_after);
        let reason = "not found at the provider";
        // It has known it: what became of it then is not known.
        if call.accepted {
            return self.ask_again(id, "accepted, and now the provider does not know it".to_owned(), None);
        }
        if let Some(done_as) = call.done_as {
            return self.park(id, true, self.done_before(id, done_as));
        }
        if self.now >= final_at {
            if !self.back_off(id, reason, None, true) {
                let outcome = Outcome::NotSent { reason: reason.to_owned(), retry_after_ms: None };
                self.complete(id, outcome);
            }
            return;
        }
        if let Some(call) = self.snapshot.calls.get_mut(&id) {
            call.phase = Phase::Unknown { asking: false };
            reason.clone_into(&mut call.trouble);
        }
        // The answer of that moment decides: neither later than it, nor never.
        let next =
            if self.arm_inquiry(id, None) { self.snapshot.timers.get(&Timer::Inquire { call: id }) } else { None };
        let at = next.map_or(final_at, |&next| next.min(final_at));
        self.snapshot.timers.insert(Timer::Inquire { call: id }, at);
    }

    fn ask_again(&mut self, id: CallId, reason: String, after_ms: Option<u64>) {
        if let Some(call) = self.snapshot.calls.get_mut(&id) {
            call.phase = Phase::Unknown { asking: false };
            call.trouble.clone_from(&reason);
        }
        if !self.arm_inquiry(id, after_ms) {
            self.resend(id, &reason);
        }
    }

    /// The second rung: the same key again, where the provider promises that this does the work at most once.
    fn resend(&mut self, id: CallId, reason: &str) {
        let Some(call) = self.snapshot.calls.get(&id) else { return };
        let Some(declared) = self.declared(call) else { return };
        let allowed = !call.reversed && declared.operation.idempotency.may_resend();
        if !(allowed && self.back_off(id, reason, None, false)) {
            self.reverse(id, reason);
        }
    }

    /// The third rung: undo what may have happened.
    fn reverse(&mut self, id: CallId, reason: &str) {
        let Some(call) = self.snapshot.calls.get(&id).cloned() else { return };
        let compensate = self.declared(&call).and_then(|declared| declared.compensate);
        let moves_money = self.declared(&call).is_some_and(|declared| {
            matches!(declared.operation.money, Some(MoneyKind::Hold | MoneyKind::Purchase | MoneyKind::Capture))
        });
        let undo = compensate.filter(|undo| moves_money && !undo.needs_result && !call.reversed);
        let (Some(undo), Role::Invoke { branch }) = (undo, &call.role) else {
            self.park(id, true, format!("the outcome of {} is not known: {reason}", self.call_name(id)));
            return self.tell_of_reversal(id, compensate);
        };
        match self.begin_undo(Role::Reversal { branch: branch.clone(), of: id }, &call, id, undo) {
            Ok(by) => {
                if let Some(call) = self.snapshot.calls.get_mut(&id) {
                    call.phase = Phase::Reversing { by };
                }
            }
            Err(error) => self.park(id, true, error.to_string()),
        }
    }

    /// Whoever says now that the call is `ok` says that the provider has it in spite of its reversal.
    fn tell_of_reversal(&mut self, id: CallId, undo: Option<&Compensate>) {
        let reversed = self.snapshot.calls.get(&id).is_some_and(|call| call.reversed);
        let incident = self.snapshot.incident.as_mut().filter(|incident| reversed && incident.call == Some(id));
        if let (Some(incident), Some(undo)) = (incident, undo) {
            let said = "was acknowledged: `declined` if nothing is left of it, `ok` only if the provider still has it";
            incident.reason = format!("{}; its reversal by {} {said}", incident.reason, undo.call);
        }
    }

    /// Arms the next inquiry of the schedule, if there is one left.
    pub(super) fn arm_inquiry(&mut self, id: CallId, after_ms: Option<u64>) -> bool {
        let Some(call) = self.snapshot.calls.get(&id) else { return false };
        let Some(inquire) = self.declared(call).and_then(|declared| declared.operation.inquire.as_ref()) else {
            return false;
        };
        let made = call.inquiries.0;
        if usize::try_from(made).is_ok_and(|made| made >= inquire.schedule.len()) {
            return false;
        }
        let wait = retry::step(&inquire.schedule, made).max(ms(after_ms));
        self.snapshot.timers.insert(Timer::Inquire { call: id }, self.now.plus(wait));
        true
    }

    /// Arms the next poll of a pending call. Its last delay repeats, until the state's `after` or the deadline ends it.
    pub(super) fn arm_poll(&mut self, id: CallId, after_ms: Option<u64>) {
        let Some(call) = self.snapshot.calls.get(&id) else { return };
        let Some(declared) = self.declared(call) else { return };
        let reference = match &call.phase {
            Phase::Pending { reference, .. } => reference.as_deref(),
            _ => None,
        };
        let asks = declared.operation.question(reference).is_some();
        if asks && !declared.operation.is_told(reference) {
            let wait = retry::step(&declared.operation.poll, call.inquiries.0).max(ms(after_ms));
            self.snapshot.timers.insert(Timer::Inquire { call: id }, self.now.plus(wait));
        }
    }

    /// The provider says that something has changed: what it has accepted is asked about now.
    pub(super) fn ask_sooner(&mut self) {
        for timer in self.snapshot.calls.iter().filter_map(|(&call, open)| match open.phase {
            Phase::Pending { asking: false, .. } => Some(Timer::Inquire { call }),
            _ => None,
        }) {
            if let Some(at) = self.snapshot.timers.get_mut(&timer) {
                *at = self.now.min(*at);
            }
        }
    }

    /// The time of an inquiry has come.
    pub(super) fn ask(&mut self, id: CallId) -> Result<(), Rejection> {
        let call = self.snapshot.calls.get_mut(&id).ok_or(Rejection::Stale)?;
        match &mut call.phase {
            Phase::Unknown { asking } | Phase::Pending { asking, .. } if !*asking => *asking = true,
            _ => return Err(Rejection::Stale),
        }
        call.inquiries = call.inquiries.next();
        let inquiry = call.inquiries;
        self.commands.push(Command::Inquire { call: id, inquiry });
        Ok(())
    }
}

/// The provider has not seen the key yet, or still knows it at this time, or need not know it.
pub(super) fn is_remembered(call: &Call, idempotency: &Idempotency, at: Timestamp) -> bool {
    let safe = !call.doubtful || idempotency.replay == Replay::Safe;
    safe || idempotency.repeatable_for().is_none_or(|time| at.since(call.sent_at) < time)
}

/// How long the provider asked us to wait before we ask again.
fn wait(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Unknown { retry_after_ms, .. } | Outcome::NotSent { retry_after_ms, .. } => *retry_after_ms,
        _ => None,
    }
}

fn ms(wait: Option<u64>) -> Duration {
    Duration::from_millis(wait.unwrap_or_default())
}

fn trouble(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Unknown { reason, .. } | Outcome::NotSent { reason, .. } => format!("inquiry: {reason}"),
        _ => "the provider has not decided yet".to_owned(),
    }
}
