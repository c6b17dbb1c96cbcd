//! Notifications that are the answer to a call: what a provider says in its own time, where it cannot be asked.

use super::event::Outcome;
use super::run::Run;
use super::snapshot::{Call, Early, Phase};
use crate::definition::OutcomeKind;
use crate::types::{CallId, Epoch, Value, call_of_reference};

impl Run<'_> {
    /// Takes an event that says what became of a call which waits to hear it. False when it is an event like any other:
    /// the call is settled already, or its own answer must come first.
    pub(super) fn settles_a_call(&mut self, told: &Early) -> bool {
        if self.was_done_twice(told) {
            return true;
        }
        let Some(Told { id, call, settles, earlier }) = self.told_of(told) else { return false };
        if let Some(done_as) = earlier.filter(|_| may_have_happened(&call)) {
            // The present key may have done it too: which of them the provider has is for a person to see.
            if let Some(call) = self.snapshot.calls.get_mut(&id) {
                call.done_as = Some(done_as);
            }
            self.park(id, true, self.done_before(id, done_as));
            return true;
        }
        match call.phase {
            Phase::Sending => return false,
            Phase::Parked { unknown: false } | Phase::Done { .. } if earlier.is_none() => return false,
            Phase::Backoff if !call.doubtful && earlier.is_none() => return false,
            // It is being undone, or has ended, whether it has happened or not. That knows nothing of another key.
            Phase::Reversing { .. } | Phase::Done { .. } => {
                if let Some(done_as) = earlier {
                    self.want_person(&self.done_before(id, done_as));
                }
                return true;
            }
            Phase::Unknown { .. } | Phase::Pending { .. } | Phase::Backoff | Phase::Parked { .. } => {}
        }
        if let Some(field) = ["amount", "currency"].into_iter().find(|field| differs(&call.with, &told.payload, field))
        {
            let reason = format!("{} tells of another {field} than {}", told.name, self.call_name(id));
            self.park(id, true, reason);
            return true;
        }
        // What is done is known, undone and told of by the key that did it.
        if let (Some(done_as), Some(call)) = (earlier, self.snapshot.calls.get_mut(&id)) {
            call.epoch = done_as;
        }
        let result = told.payload.clone();
        let outcome = if settles == OutcomeKind::Ok {
            Outcome::Ok { result }
        } else {
            let code = result.get("code").and_then(Value::as_str).unwrap_or(told.name.as_str()).to_owned();
            Outcome::Declined { code, soft: false, result }
        };
        self.inquired_unknown(id, &outcome);
        true
    }

    /// What became of a call has been said already, and waited for its answer, which never came.
    pub(super) fn was_told_of(&mut self, id: CallId) -> bool {
        let says = |early: &&Early| self.told_of(early).is_some_and(|told| told.id == id);
        let Some(early) = self.snapshot.inbox.iter().find(says).cloned() else { return false };
        self.snapshot.inbox.retain(|waiting| waiting.id != early.id);
        self.settles_a_call(&early)
    }

    /// Money that moved under a key which was given up. Its call has ended since, under another key: nothing in the books
    /// stands for this one, so that no rule of the workflow may pass over it.
    fn was_done_twice(&mut self, told: &Early) -> bool {
        let Some((_, OutcomeKind::Ok)) = self.settling(told) else { return false };
        let Some((id, epoch)) = self.named(told) else { return false };
        let ended = !self.snapshot.calls.contains_key(&id);
        let last = self.snapshot.renewed.get(&id).filter(|last| ended && **last != epoch);
        let Some(last) = last else { return false };
        let reason = format!(
            "{} tells of {order}-{id}-{epoch}, which was given up and sent again as {order}-{id}-{last}: money may have \
             moved twice",
            told.name,
            order = self.snapshot.id
        );
        self.want_person(&reason);
        true
    }

    /// What a person reads of a call that the provider has under a key which was given up.
    pub(super) fn done_before(&self, id: CallId, done_as: Epoch) -> String {
        let order = self.snapshot.id;
        format!(
            "{} was done as {order}-{id}-{done_as}, which had been given up, and it has been sent again since: `ok` once \
             it is certain that the provider has it once",
            self.call_name(id)
        )
    }

    /// The call that an event settles: the one whose key it names, or else what the provider called it when it accepted it.
    /// What comes through the API is nobody's answer.
    fn told_of(&self, told: &Early) -> Option<Told> {
        let (connector, settles) = self.settling(told)?;
        let is_theirs = |call: &&Call| call.connector.as_str() == connector;
        if let Some((id, epoch)) = self.named(told) {
            let call = self.snapshot.calls.get(&id).filter(is_theirs)?;
            // A success under an earlier key is one of the call: it must not be sent again. That an earlier one was declined
            // says nothing of the present one.
            let earlier = Some(epoch).filter(|_| epoch < call.epoch && settles == OutcomeKind::Ok);
            let is_meant = epoch == call.epoch || earlier.is_some();
            return is_meant.then(|| Told { id, call: call.clone(), settles, earlier });
        }
        let theirs = told.payload.get("reference").and_then(Value::as_str)?;
        let accepted =
            |call: &Call| matches!(&call.phase, Phase::Pending { reference: Some(named), .. } if named == theirs);
        let mut calls = self.snapshot.calls.iter();
        let (&id, call) = calls.find(|(_, call)| is_theirs(call) && accepted(call))?;
        Some(Told { id, call: call.clone(), settles, earlier: None })
    }

    /// Whose notification it is, and what it settles a call as.
    fn settling<'e>(&self, told: &'e Early) -> Option<(&'e str, OutcomeKind)> {
        let connector = told.source.strip_prefix("hook:")?;
        let webhooks = self.workflow.connectors.get(connector)?.webhooks.as_ref()?;
        let settles = webhooks.events.iter().find(|rule| rule.event == told.name)?.settles?;
        Some((connector, settles))
    }

    /// The call of this order, and its key, that an event names.
    fn named(&self, told: &Early) -> Option<(CallId, Epoch)> {
        let (order, call, epoch) = call_of_reference(told.payload.get("call")?.as_str()?)?;
        let number = |number: u64| u32::try_from(number).ok();
        (order == self.snapshot.id).then_some((CallId(number(call)?), Epoch(number(epoch)?)))
    }
}

/// The provider may have it under the present key, or may yet do it.
pub(super) fn may_have_happened(call: &Call) -> bool {
    match call.phase {
        Phase::Unknown { .. } | Phase::Pending { .. } | Phase::Parked { unknown: true } => true,
        Phase::Backoff => call.doubtful,
        Phase::Sending | Phase::Reversing { .. } | Phase::Done { .. } | Phase::Parked { unknown: false } => false,
    }
}

/// The call that an event is about.
struct Told {
    id: CallId,
    call: Call,
    settles: OutcomeKind,
    /// By a key that it has no more.
    earlier: Option<Epoch>,
}

/// Both say it, and not the same.
fn differs(with: &Value, payload: &Value, field: &str) -> bool {
    with.get(field).zip(payload.get(field)).is_some_and(|(ours, theirs)| ours != theirs)
}
