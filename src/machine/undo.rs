//! Undoing: compensation of what succeeded, in reverse, and reversal of what may have.

use std::sync::Arc;

use super::calls::call_name;
use super::event::Outcome;
use super::money;
use super::run::Run;
use super::scope::{Given, NULL};
use super::snapshot::{Call, Phase, Role, Undo};
use crate::definition::{Compensate, EvalError, MoneyKind};
use crate::types::{Attempt, CallId, Epoch, Value};

impl<'w> Run<'w> {
    /// Undoes the newest thing that can be undone; when nothing is left, the state has been compensated.
    pub(super) fn undo_next(&mut self) -> Result<(), EvalError> {
        let Some(undo) = self.snapshot.undo.last().cloned() else {
            let given = Given { label: "compensated".to_owned(), ..Given::default() };
            self.raise("compensated", &given)?;
            return Ok(());
        };
        let Some(compensate) = self.compensation(&undo) else {
            self.open_incident(None, format!("state {} no longer says how it is undone", undo.state));
            return Ok(());
        };
        let with = self.undo_arguments(compensate, &undo.key, &undo.with, &undo.result)?;
        let Some(state) = self.workflow.state(&undo.state) else { return Ok(()) };
        let role = Role::Compensation { branch: undo.branch };
        self.begin_call(role, state, &compensate.call, Arc::new(with), None);
        Ok(())
    }

    /// Starts the reversal of a call whose outcome never became known.
    pub(super) fn begin_undo(
        &mut self,
        role: Role,
        call: &Call,
        id: CallId,
        undo: &'w Compensate,
    ) -> Result<CallId, EvalError> {
        let key = self.snapshot.key(id, call);
        let with = self.undo_arguments(undo, &key, &call.with, &NULL)?;
        let Some(state) = self.workflow.state(&call.state) else { return Ok(id) };
        Ok(self.begin_call(role, state, &undo.call, Arc::new(with), None))
    }

    fn undo_arguments(&self, undo: &Compensate, key: &str, with: &Value, result: &Value) -> Result<Value, EvalError> {
        let call = serde_json::json!({ "key": key });
        let given = Given::default();
        let scope = self.scope(&given).with("call", &call).with("with", with).with("result", result);
        let with = undo.with.render(&scope)?;
        money::check_arguments(undo.operation.money, &with)?;
        Ok(with)
    }

    fn compensation(&self, undo: &Undo) -> Option<&'w Compensate> {
        let state = self.workflow.state(&undo.state)?;
        state.invokes().iter().find(|invoke| invoke.branch == undo.branch)?.compensate.as_ref()
    }

    pub(super) fn complete_compensation(&mut self, id: CallId, call: &Call, outcome: &Outcome) {
        let Outcome::Ok { result } = outcome else {
            let label = Given::outcome(outcome).label;
            return self.park(id, false, format!("{} could not undo ({label})", call_name(call)));
        };
        if let Err(reason) = self.book(call, result) {
            return self.park(id, true, reason);
        }
        self.drop_call(id);
        self.snapshot.undo.pop();
        if let Err(error) = self.undo_next() {
            self.open_incident(None, error.to_string());
        }
    }

    /// The acknowledgement of a reversal is a receipt, not a posting: the call that it undoes is asked about once more.
    pub(super) fn complete_reversal(&mut self, id: CallId, of: CallId, call: &Call, outcome: &Outcome) {
        let Outcome::Ok { .. } = outcome else {
            let label = Given::outcome(outcome).label;
            return self.park(id, false, format!("{} could not reverse ({label})", call_name(call)));
        };
        self.drop_call(id);
        let Some(original) = self.snapshot.calls.get_mut(&of) else { return };
        original.reversed = true;
        original.phase = Phase::Unknown { asking: false };
        original.inquiries = Attempt(0);
        if !self.arm_inquiry(of, None) {
            self.confirm_reversed(of);
        }
    }

    /// The call that was reversed has left no effect.
    pub(super) fn confirm_reversed(&mut self, id: CallId) {
        let outcome = Outcome::NotSent { reason: "reversed".to_owned(), retry_after_ms: None };
        if let Some(call) = self.snapshot.calls.get_mut(&id) {
            if call.epoch > Epoch(1) {
                self.snapshot.renewed.insert(id, call.epoch);
            }
            call.phase = Phase::Done { outcome };
        }
        self.join();
    }

    /// Holds that have been captured whole cannot be released any more.
    pub(super) fn forget_holds(&mut self) {
        let holds = |undo: &Undo| {
            let state = self.workflow.state(&undo.state);
            let invoke = state.and_then(|state| state.invokes().iter().find(|invoke| invoke.branch == undo.branch));
            invoke.is_some_and(|invoke| invoke.operation.money == Some(MoneyKind::Hold))
        };
        let kept: Vec<Undo> = self.snapshot.undo.iter().filter(|undo| !holds(undo)).cloned().collect();
        self.snapshot.undo = kept;
    }
}
