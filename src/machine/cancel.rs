//! A cancel that waited for the outcome of a call.

use super::calls::declared;
use super::event::Outcome;
use super::route::{CANCEL, Taken};
use super::run::Run;
use super::scope::Given;
use super::snapshot::{Early, Phase};
use crate::definition::EvalError;

impl Run<'_> {
    /// A cancel that waited for the outcome comes before the way on that the outcome opens: the next call must not be
    /// sent first. What that way assigns is kept, since undoing may need it. True when the cancel has led elsewhere.
    pub(super) fn take_waiting_cancel(&mut self, name: &str, outcome: &Given) -> bool {
        let waiting = self.snapshot.inbox.iter().find(|early| early.name.as_str() == CANCEL).cloned();
        let Some(early) = waiting else { return false };
        if !self.can_be_undone() {
            return false;
        }
        let (before, walked, commands) = (self.snapshot.clone(), self.walked.len(), self.commands.len());
        // An `assign` that fails must not hold up the cancel; whatever needs its value will say that it is missing.
        if self.learn(name, outcome).is_ok() && self.cancel_leads_away(&early) {
            return true;
        }
        // The outcome's own way on will assign it, and must find the order as it was.
        self.snapshot = before;
        self.walked.truncate(walked);
        self.commands.truncate(commands);
        self.cancel_leads_away(&early)
    }

    fn cancel_leads_away(&mut self, early: &Early) -> bool {
        let before = self.hops;
        match self.raise(CANCEL, &Given::event(CANCEL, &early.payload)) {
            Ok(Taken::Yes) => {
                self.snapshot.inbox.retain(|other| other.id != early.id);
                self.hops > before
            }
            // A cancel that this state does not handle, or whose guard cannot be evaluated, waits on.
            Ok(Taken::No) | Err(_) => false,
        }
    }

    /// Assigns what the outcome's transition would, and goes nowhere.
    fn learn(&mut self, name: &str, given: &Given) -> Result<(), EvalError> {
        for transition in self.handlers(name).unwrap_or_default() {
            let fits = match &transition.when {
                Some(guard) => guard.eval_bool(&self.scope(given))?,
                None => true,
            };
            if fits {
                return self.assign(transition, given);
            }
        }
        Ok(())
    }

    /// Whatever the state's calls have done can be undone by the engine. What cannot, such as a page that was opened,
    /// only the states that follow know how to close.
    fn can_be_undone(&self) -> bool {
        let done = self
            .snapshot
            .calls
            .values()
            .filter(|call| matches!(call.phase, Phase::Done { outcome: Outcome::Ok { .. } }));
        done.into_iter().all(|call| declared(self.workflow, call).is_some_and(|declared| declared.compensate.is_some()))
    }
}
