//! Calls: how they begin, how they are tried again, and how they end.

use std::sync::Arc;
use std::time::Duration;

use super::event::{Command, Outcome, Timer};
use super::ladder::is_remembered;
use super::money;
use super::retry;
use super::route::Taken;
use super::run::Run;
use super::scope::Given;
use super::snapshot::{Call, Phase, Role, Undo};
use super::transition::Rejection;
use crate::definition::{
    CallRef, Compensate, EvalError, Invoke, MoneyKind, Operation, Replay, RetryPolicy, State, Workflow,
};
use crate::types::{Attempt, CallId, Epoch, Timestamp, Value};

/// Where a call is declared.
#[derive(Clone, Copy)]
pub(super) struct Declared<'w> {
    pub(super) operation: &'w Operation,
    pub(super) retry: &'w RetryPolicy,
    pub(super) compensate: Option<&'w Compensate>,
    pub(super) timeout: Duration,
}

/// How long one attempt of this call may take.
pub fn attempt_timeout(workflow: &Workflow, call: &Call) -> Duration {
    declared(workflow, call).map_or(Duration::from_secs(30), |declared| declared.timeout)
}

/// A built-in operation whose only effect is what its outcome carries.
pub fn leaves_no_trace(workflow: &Workflow, call: &Call) -> bool {
    declared(workflow, call)
        .is_some_and(|declared| declared.operation.request.is_none() && declared.operation.inquire.is_none())
}

/// Doing it twice does no harm: that a send of it may have happened makes the next one no more urgent, and no less.
pub fn is_repeatable(workflow: &Workflow, call: &Call) -> bool {
    declared(workflow, call).is_some_and(|declared| declared.operation.idempotency.replay == Replay::Safe)
}

/// Something that others are told, and may be told again.
pub fn is_harmless_effect(workflow: &Workflow, call: &Call) -> bool {
    matches!(call.role, Role::Effect { .. }) && is_repeatable(workflow, call)
}

impl<'w> Run<'w> {
    pub(super) fn begin_invoke(&mut self, state: &'w State, invoke: &'w Invoke) -> Result<(), EvalError> {
        let with = invoke.with.render(&self.scope(&Given::default()))?;
        money::check_arguments(invoke.operation.money, &with)?;
        self.must_be_held(invoke.operation.money, &with)?;
        let role = Role::Invoke { branch: invoke.branch.clone() };
        let deadline = invoke.timeout_total.map(|total| self.now.plus(total));
        self.begin_call(role, state, &invoke.call, Arc::new(with), deadline);
        Ok(())
    }

    pub(super) fn begin_effects(&mut self, state: &'w State) -> Result<(), EvalError> {
        for (index, effect) in (0..).zip(&state.entry) {
            let with = effect.with.render(&self.scope(&Given::default()))?;
            money::check_arguments(effect.operation.money, &with)?;
            self.begin_call(Role::Effect { index }, state, &effect.call, Arc::new(with), None);
        }
        Ok(())
    }

    /// Writes the intent: the call is sent once the entry of this event is durable.
    pub(super) fn begin_call(
        &mut self,
        role: Role,
        state: &State,
        call: &CallRef,
        with: Arc<Value>,
        deadline: Option<Timestamp>,
    ) -> CallId {
        let id = self.snapshot.next_call;
        self.snapshot.next_call = id.next();
        self.snapshot.attempts += 1;
        let call = Call {
            role,
            state: state.name.clone(),
            connector: call.connector.clone(),
            operation: call.operation.clone(),
            with,
            epoch: Epoch(1),
            attempt: Attempt(1),
            spent: 0,
            phase: Phase::Sending,
            begun_at: self.now,
            sent_at: self.now,
            last_sent_at: self.now,
            deadline,
            inquiries: Attempt(0),
            trouble: String::new(),
            doubtful: false,
            done_as: None,
            accepted: false,
            reversed: false,
        };
        self.snapshot.calls.insert(id, call);
        self.commands.push(Command::Invoke { call: id, attempt: Attempt(1) });
        id
    }

    /// Finds the declaration of a call again: a snapshot keeps names only.
    pub(super) fn declared(&self, call: &Call) -> Option<Declared<'w>> {
        declared(self.workflow, call)
    }

    pub(super) fn settled(&mut self, id: CallId, attempt: Attempt, outcome: &Outcome) -> Result<(), Rejection> {
        let (now, halted) = (self.now, self.snapshot.is_halted());
        let call = self.snapshot.calls.get_mut(&id).ok_or(Rejection::Stale)?;
        if halted || call.attempt != attempt || matches!(call.phase, Phase::Done { .. } | Phase::Backoff) {
            return Err(Rejection::Stale);
        }
        // The request may have left at the end of its attempt: "not found" counts from there.
        if call.phase == Phase::Sending {
            call.last_sent_at = now;
        }
        self.apply(id, outcome.clone());
        self.drain();
        Ok(())
    }

    /// Acts on the outcome of a try.
    pub(super) fn apply(&mut self, id: CallId, outcome: Outcome) {
        match outcome {
            Outcome::Declined { soft: true, .. } if self.retry_soft(id) => {}
            // An earlier send under this key may have done the work: this one says nothing of it.
            Outcome::NotSent { reason, retry_after_ms } if self.is_doubtful(id) => {
                self.unknown(id, &reason, retry_after_ms);
            }
            Outcome::NotSent { ref reason, retry_after_ms } => {
                let reason = reason.clone();
                if !self.back_off(id, &reason, retry_after_ms, false) {
                    self.complete(id, outcome);
                }
            }
            Outcome::Pending { reference, result } => self.pend(id, reference, result),
            Outcome::Unknown { reason, retry_after_ms } => self.unknown(id, &reason, retry_after_ms),
            Outcome::NotFound => self.unknown(id, "the provider does not know the reference", None),
            Outcome::Ok { .. } | Outcome::Declined { .. } | Outcome::ActionRequired { .. } => {
                self.complete(id, outcome)
            }
        }
    }

    fn is_doubtful(&self, id: CallId) -> bool {
        let call = self.snapshot.calls.get(&id);
        call.is_some_and(|call| call.doubtful && !is_repeatable(self.workflow, call))
    }

    fn retry_soft(&mut self, id: CallId) -> bool {
        let soft = self.snapshot.calls.get(&id).and_then(|call| self.declared(call));
        soft.is_some_and(|declared| declared.retry.soft_declines) && self.back_off(id, "soft decline", None, true)
    }

    /// Arms the next try, if the policy has one left. A new epoch means a new key: only after a definite failure.
    pub(super) fn back_off(&mut self, id: CallId, why: &str, after_ms: Option<u64>, new_epoch: bool) -> bool {
        let Some(call) = self.snapshot.calls.get(&id) else { return false };
        let Some(declared) = self.declared(call) else { return false };
        // Where the provider does not go by our key, a new one would only make the question about the old one impossible.
        let natural = !declared.operation.idempotency.natural_key.is_empty() && call.doubtful;
        let tries = call.attempt.0.saturating_sub(call.spent);
        let mut wait = retry::delay(declared.retry, self.snapshot.id, id, tries);
        if let Some(ms) = after_ms {
            wait = wait.max(Duration::from_millis(ms));
        }
        let at = self.now.plus(wait);
        let renews = new_epoch && !natural;
        let in_time = call.deadline.is_none_or(|deadline| at <= deadline)
            && declared.retry.within.is_none_or(|within| at <= call.begun_at.plus(within))
            && (renews || is_remembered(call, &declared.operation.idempotency, at));
        if tries >= declared.retry.attempts || !in_time {
            return false;
        }
        if let Some(call) = self.snapshot.calls.get_mut(&id) {
            why.clone_into(&mut call.trouble);
            call.phase = Phase::Backoff;
            if renews {
                call.renew_key(at);
            }
        }
        self.snapshot.timers.remove(&Timer::Inquire { call: id });
        self.snapshot.timers.insert(Timer::Retry { call: id }, at);
        true
    }

    /// The time of the next try has come. It may come late, after an outage.
    pub(super) fn send_again(&mut self, id: CallId) -> Result<(), Rejection> {
        let now = self.now;
        let call = self.snapshot.calls.get(&id).ok_or(Rejection::Stale)?;
        if call.phase != Phase::Backoff {
            return Err(Rejection::Stale);
        }
        let forgotten = |declared: Declared<'_>| !is_remembered(call, &declared.operation.idempotency, now);
        let forgotten = self.declared(call).is_some_and(forgotten);
        let Some(call) = self.snapshot.calls.get_mut(&id) else { return Err(Rejection::Stale) };
        if forgotten {
            call.inquiries = Attempt(0);
            self.unknown(id, "it was to be sent again, and the provider may have forgotten its key by now", None);
            return Ok(());
        }
        call.attempt = call.attempt.next();
        call.phase = Phase::Sending;
        call.sent_at = call.sent_at.min(now);
        call.last_sent_at = now;
        call.inquiries = Attempt(0);
        let attempt = call.attempt;
        self.snapshot.attempts += 1;
        self.commands.push(Command::Invoke { call: id, attempt });
        Ok(())
    }

    /// The provider has accepted the call and will answer later.
    fn pend(&mut self, id: CallId, reference: Option<String>, result: Value) {
        let Some(call) = self.snapshot.calls.get(&id) else { return };
        let invoked = matches!(&call.role, Role::Invoke { branch } if branch.is_empty());
        let routed = invoked && self.state().is_some_and(|state| state.on.contains_key("pending"));
        if let Some(call) = self.snapshot.calls.get_mut(&id) {
            call.phase = Phase::Pending { asking: false, reference: reference.clone() };
            call.accepted = true;
        }
        self.arm_poll(id, None);
        if routed {
            // Where it leads nowhere else, the call is waited for.
            let given = Given::outcome(&Outcome::Pending { reference, result });
            if let Err(error) = self.raise("pending", &given) {
                self.open_incident(None, error.to_string());
            }
        }
    }

    /// The outcome is definite: books it, and goes where it leads.
    pub(super) fn complete(&mut self, id: CallId, outcome: Outcome) {
        let Some(call) = self.snapshot.calls.get(&id).cloned() else { return };
        self.clear_timers(id);
        if call.epoch > Epoch(1) && self.moves_money(&call) {
            self.snapshot.renewed.insert(id, call.epoch);
        }
        match &call.role {
            Role::Invoke { branch } => self.complete_invoke(id, &call, branch, outcome),
            Role::Effect { .. } => self.complete_effect(id, &call, &outcome),
            Role::Compensation { .. } => self.complete_compensation(id, &call, &outcome),
            Role::Reversal { of, .. } => self.complete_reversal(id, *of, &call, &outcome),
        }
    }

    fn complete_invoke(&mut self, id: CallId, call: &Call, branch: &str, outcome: Outcome) {
        if let Outcome::Ok { result } = &outcome {
            if call.reversed {
                let reason =
                    format!("{}: its reversal was acknowledged, and the provider still has it", call_name(call));
                return self.park(id, true, reason);
            }
            if let Err(reason) = self.book(call, result) {
                return self.park(id, true, reason);
            }
            self.remember_undo(id, call, branch, result);
        }
        if let Some(call) = self.snapshot.calls.get_mut(&id) {
            call.phase = Phase::Done { outcome };
        }
        self.join();
    }

    /// Routes the outcome of the state's work once every branch has one.
    pub(super) fn join(&mut self) {
        let done: Vec<(CallId, String, Outcome)> = self
            .snapshot
            .calls
            .iter()
            .filter_map(|(&id, call)| match (&call.role, &call.phase) {
                (Role::Invoke { branch }, Phase::Done { outcome }) => Some((id, branch.clone(), outcome.clone())),
                _ => None,
            })
            .collect();
        let expected = self.state().map_or(0, |state| state.invokes().len());
        if expected == 0 || done.len() < expected {
            return;
        }
        let (name, given) = joined(&done);
        let reversed = self.snapshot.calls.values().any(|call| call.reversed);
        let name = if reversed { "reversed" } else { name };
        if self.take_waiting_cancel(name, &given) {
            return;
        }
        let before = self.hops;
        let first = done.first().map(|(id, ..)| *id);
        match self.raise(name, &given) {
            Ok(Taken::Yes) => {
                // A transition without a target stays; the work of the state is over all the same.
                if self.hops == before {
                    done.iter().for_each(|(id, ..)| self.drop_call(*id));
                }
            }
            Ok(Taken::No) if name == "failed" => {
                let Some(id) = first else { return };
                self.park(id, false, format!("{} ({})", given.label, self.call_name(id)));
            }
            Ok(Taken::No) => {
                self.open_incident(first, format!("state {} has no way on for {}", self.snapshot.state, given.label));
            }
            Err(error) => self.open_incident(first, error.to_string()),
        }
    }

    fn complete_effect(&mut self, id: CallId, call: &Call, outcome: &Outcome) {
        let Outcome::Ok { .. } = outcome else {
            let label = Given::outcome(outcome).label;
            return self.park(id, false, format!("{} was not acknowledged ({label})", call_name(call)));
        };
        self.drop_call(id);
        let waits = self
            .snapshot
            .calls
            .values()
            .any(|other| matches!(other.role, Role::Effect { .. }) && other.state == call.state);
        if waits || call.state != self.snapshot.state {
            return;
        }
        let given = Given { label: "notified".to_owned(), ..Given::default() };
        if let Err(error) = self.raise("notified", &given) {
            self.open_incident(None, error.to_string());
        }
    }

    fn remember_undo(&mut self, id: CallId, call: &Call, branch: &str, result: &Value) {
        let undoable = self.declared(call).is_some_and(|declared| declared.compensate.is_some());
        if undoable {
            self.snapshot.undo.push(Undo {
                state: call.state.clone(),
                branch: branch.to_owned(),
                key: self.snapshot.key(id, call),
                with: Arc::clone(&call.with),
                result: result.clone(),
            });
        }
        // What has been captured is given back by undoing the capture, or by a refund; releasing its hold would fail, and
        // so it would once the rest was let go.
        let kinds = [MoneyKind::Capture, MoneyKind::Release];
        let ends =
            self.declared(call).and_then(|declared| declared.operation.money).is_some_and(|k| kinds.contains(&k));
        if ends && self.snapshot.money.held == 0 {
            self.forget_holds();
        }
    }

    pub(super) fn drop_call(&mut self, id: CallId) {
        self.snapshot.calls.remove(&id);
        self.clear_timers(id);
        if let Some(over) = self.snapshot.incident.take_if(|incident| incident.call == Some(id)) {
            self.still_wanted(&over);
        }
    }

    fn clear_timers(&mut self, id: CallId) {
        self.snapshot.timers.remove(&Timer::Retry { call: id });
        self.snapshot.timers.remove(&Timer::Inquire { call: id });
    }

    pub(super) fn call_name(&self, id: CallId) -> String {
        self.snapshot.calls.get(&id).map_or_else(String::new, call_name)
    }
}

pub(super) fn call_name(call: &Call) -> String {
    format!("{}.{}", call.connector, call.operation)
}

/// Finds where a call is declared: a snapshot keeps names only.
pub(super) fn declared<'w>(workflow: &'w Workflow, call: &Call) -> Option<Declared<'w>> {
    let state = workflow.state(&call.state)?;
    let invoke = |branch: &str| state.invokes().iter().find(|invoke| invoke.branch == branch);
    match &call.role {
        Role::Invoke { branch } => invoke(branch).map(|invoke| Declared {
            operation: &invoke.operation,
            retry: &invoke.retry,
            compensate: invoke.compensate.as_ref(),
            timeout: invoke.timeout_attempt,
        }),
        Role::Effect { index } => {
            let effect = state.entry.get(usize::try_from(*index).ok()?)?;
            Some(Declared {
                operation: &effect.operation,
                retry: &effect.retry,
                compensate: None,
                timeout: effect.timeout_attempt,
            })
        }
        Role::Compensation { branch } | Role::Reversal { branch, .. } => {
            let undo = invoke(branch)?.compensate.as_ref()?;
            Some(Declared {
                operation: &undo.operation,
                retry: &undo.retry,
                compensate: None,
                timeout: undo.timeout_attempt,
            })
        }
    }
}

/// The outcome of a state's work: that of its one call, or of all branches together.
fn joined(done: &[(CallId, String, Outcome)]) -> (&'static str, Given) {
    if let [(_, branch, outcome)] = done
        && branch.is_empty()
    {
        return (outcome_name(outcome), Given::outcome(outcome));
    }
    let mut results = serde_json::Map::new();
    for (_, branch, outcome) in done {
        results.insert(branch.clone(), Given::outcome(outcome).result.unwrap_or(Value::Null));
    }
    // A decline is the most telling of the outcomes that are not ok, so it names the join.
    let worst = ["declined", "failed", "action_required", "ok"]
        .into_iter()
        .find_map(|name| done.iter().find(|(.., outcome)| outcome_name(outcome) == name))
        .map(|(.., outcome)| outcome);
    let (name, given) =
        worst.map_or(("failed", Given::default()), |worst| (outcome_name(worst), Given::outcome(worst)));
    (name, Given { result: Some(Value::Object(results)), ..given })
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ok { .. } => "ok",
        Outcome::Declined { .. } => "declined",
        Outcome::ActionRequired { .. } => "action_required",
        Outcome::Pending { .. } => "pending",
        Outcome::NotSent { .. } | Outcome::Unknown { .. } | Outcome::NotFound => "failed",
    }
}
