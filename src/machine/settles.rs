//! Notifications that are the answer to a call: what a provider says in its own time, where it cannot be asked.

use super::event::Outcome;
use super::run::Run;
use super::snapshot::{Call, Early, Phase};
use crate::definition::OutcomeKind;
use crate::types::{CallId, Epoch, Value, short_key_of};

/// Earlier keys of a call that are still known.
const EPOCHS_MAX: usize = 100;

impl Run<'_> {
    /// Takes an event that says what became of a call which waits to hear it. False when it is an event like any other:
    /// the call is settled already, or its own answer must come first.
    pub(super) fn settles_a_call(&mut self, told: &Early) -> bool {
        let Some(Told { id, call, settles, earlier }) = self.told_of(told) else { return false };
        match call.phase {
            Phase::Sending | Phase::Done { .. } => return false,
            Phase::Parked { unknown: false } if !earlier => return false,
            Phase::Backoff if !call.doubtful && !earlier => return false,
            // It is being undone, whether it has happened or not.
            Phase::Reversing { .. } => return true,
            Phase::Unknown { .. } | Phase::Pending { .. } | Phase::Backoff | Phase::Parked { .. } => {}
        }
        if let Some(field) = ["amount", "currency"].into_iter().find(|field| differs(&call.with, &told.payload, field))
        {
            let reason = format!("{} tells of another {field} than {}", told.name, self.call_name(id));
            self.park(id, true, reason);
            return true;
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

    /// The call that an event settles: by its key, or by what the provider called it when it accepted it. What comes through
    /// the API is nobody's answer.
    fn told_of(&self, told: &Early) -> Option<Told> {
        let connector = told.source.strip_prefix("hook:")?;
        let webhooks = self.workflow.connectors.get(connector)?.webhooks.as_ref()?;
        let settles = webhooks.events.iter().find(|rule| rule.event == told.name)?.settles?;
        let text = |field: &str| told.payload.get(field).and_then(Value::as_str);
        let (key, theirs) = (text("call"), text("reference"));
        let of_this = self.snapshot.calls.iter().filter(|(_, call)| call.connector.as_str() == connector);
        let is = |own: &str| key == Some(own) || short_key_of(own).is_some_and(|short| key == Some(&short));
        let mut found = of_this.filter_map(|(&id, call)| {
            let accepted =
                matches!(&call.phase, Phase::Pending { reference: Some(named), .. } if theirs == Some(named));
            if accepted || is(&self.snapshot.key(id, call)) {
                return Some(Told { id, call: call.clone(), settles, earlier: false });
            }
            // A success under an earlier key is one of the call: it must not be sent again. That an earlier one was declined
            // says nothing of the present one.
            let before = (1..call.epoch.0).rev().take(EPOCHS_MAX);
            let mut before = before.map(|epoch| Call { epoch: Epoch(epoch), ..call.clone() });
            let earlier = settles == OutcomeKind::Ok && before.any(|before| is(&self.snapshot.key(id, &before)));
            earlier.then(|| Told { id, call: call.clone(), settles, earlier })
        });
        found.next()
    }
}

/// The call that an event is about.
struct Told {
    id: CallId,
    call: Call,
    settles: OutcomeKind,
    /// By a key that it has no more.
    earlier: bool,
}

/// Both say it, and not the same.
fn differs(with: &Value, payload: &Value, field: &str) -> bool {
    with.get(field).zip(payload.get(field)).is_some_and(|(ours, theirs)| ours != theirs)
}
