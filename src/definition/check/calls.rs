//! Retries that fit the provider's memory, and undoing that undoes.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use super::{Check, call_span};
use crate::definition::document::Node;
use crate::definition::read::UNKNOWN;
use crate::definition::{
    Activity, CallRef, Compensate, Delays, Invoke, MoneyKind, Operation, Replay, RetryPolicy, State, rules,
};
use crate::types::format_duration;

impl Check<'_> {
    pub(super) fn calls(&self, used_retries: &BTreeSet<String>) {
        for entry in self.node(&["retries"]).map(Node::entries).unwrap_or_default() {
            if !used_retries.contains(&entry.key) {
                let message = format!("no call uses the policy `{}`", entry.key);
                self.ctx.report(rules::UNUSED_RETRY, &entry.key_span, message);
            }
        }
        let undoable = self.workflow.states.iter().flat_map(State::invokes).any(|invoke| invoke.compensate.is_some());
        for state in &self.workflow.states {
            if matches!(state.activity, Activity::Compensate) && !undoable {
                let message = "no call of this workflow says how it is undone";
                let at = self.key(&["states", state.name.as_str(), "compensate"]);
                let problem = self.ctx.problem(rules::NOTHING_TO_COMPENSATE, &at, message);
                self.ctx
                    .add(problem.with_help("give the calls to undo a `compensate: connector.operation`".to_owned()));
            }
            state.invokes().iter().for_each(|invoke| self.invoke(state, invoke));
            let effects =
                self.state_node(state).and_then(|node| node.get("entry")).map(Node::items).unwrap_or_default();
            for (effect, node) in state.entry.iter().zip(effects) {
                let at = retry_span(Some(node), self.state_key(state));
                let horizon = horizon(&effect.operation, &effect.retry, effect.timeout_attempt);
                self.window(&effect.call, &effect.operation, horizon, at);
            }
        }
    }

    fn invoke(&self, state: &State, invoke: &Invoke) {
        let node = self.invoke_node(state, &invoke.branch);
        let at = retry_span(node, self.state_key(state));
        let longest = horizon(&invoke.operation, &invoke.retry, invoke.timeout_attempt);
        let longest = longest.min(invoke.timeout_total.unwrap_or(Duration::MAX));
        self.window(&invoke.call, &invoke.operation, longest, at);
        if let Some(undo) = &invoke.compensate {
            let node = node.and_then(|node| node.get("compensate"));
            let at = retry_span(node, self.state_key(state));
            self.window(&undo.call, &undo.operation, horizon(&undo.operation, &undo.retry, undo.timeout_attempt), at);
            self.undo(invoke, undo, call_span(node, self.state_key(state)));
        }
    }

    /// A repeat that comes when the provider has forgotten the key is a new request. None is sent then: the policy says
    /// more than will be done.
    fn window(&self, call: &CallRef, operation: &Operation, horizon: Duration, at: Range<usize>) {
        let Some(window) = operation.idempotency.window.filter(|window| horizon > *window) else { return };
        // Where it is asked about for longer than that, nobody counts on a repeat.
        if matches!(operation.idempotency.replay, Replay::Safe | Replay::None) || asking(operation) > window {
            return;
        }
        let message = format!(
            "retries, and the questions between them, go on for {}, and `{call}` remembers a key for {}",
            format_duration(horizon),
            format_duration(window)
        );
        let help = format!("end the retries in time with `within: {}`", format_duration(window));
        self.ctx.add(self.ctx.problem(rules::RETRY_OUTLIVES_WINDOW, &at, message).with_help(help));
    }

    fn undo(&self, invoke: &Invoke, undo: &Compensate, at: Range<usize>) {
        let unknown = |operation: &Operation| operation.name.as_str() == UNKNOWN;
        // An order of its own may undo anything.
        let by_order = undo.call.connector.as_str() == "orders";
        if unknown(&invoke.operation) || unknown(&undo.operation) || by_order {
            return;
        }
        let (done, undone) = (invoke.operation.money, undo.operation.money);
        let fits = match done {
            None => undone.is_none(),
            Some(MoneyKind::Hold) => undone == Some(MoneyKind::Release),
            Some(MoneyKind::Capture | MoneyKind::Purchase) => {
                matches!(undone, Some(MoneyKind::Release | MoneyKind::Refund))
            }
            Some(
                MoneyKind::Release
                | MoneyKind::Refund
                | MoneyKind::CaptureFailure
                | MoneyKind::RefundReturn
                | MoneyKind::Chargeback,
            ) => false,
        };
        if !fits {
            let name = |money: Option<MoneyKind>| money.map_or("moves no money", MoneyKind::name);
            let message =
                format!("`{}` ({}) does not undo `{}` ({})", undo.call, name(undone), invoke.call, name(done));
            let help = "a hold is undone by a release, a capture or a purchase by a release or a refund".to_owned();
            self.ctx.add(self.ctx.problem(rules::UNDO_MISMATCH, &at, message).with_help(help));
        }
    }
}

/// How long after the first try the last one may begin, when each is asked about in vain.
fn horizon(operation: &Operation, retry: &RetryPolicy, attempt: Duration) -> Duration {
    let gaps = retry.attempts.saturating_sub(1);
    let sum = match &retry.delays {
        Delays::Schedule(delays) => {
            let last = delays.last().copied().unwrap_or_default();
            let rest = usize::try_from(gaps).unwrap_or(usize::MAX);
            let listed: Duration = delays.iter().take(rest).sum();
            let repeated = u32::try_from(rest.saturating_sub(delays.len())).unwrap_or(u32::MAX);
            listed.saturating_add(last.saturating_mul(repeated))
        }
        Delays::Exponential { initial, factor, max } => {
            let mut delay = initial.as_secs_f64();
            let mut sum = 0.0;
            for _ in 0..gaps {
                sum += delay.min(max.as_secs_f64());
                delay = (delay * factor).min(max.as_secs_f64());
            }
            Duration::try_from_secs_f64(sum).unwrap_or(Duration::MAX)
        }
    };
    let between = attempt.saturating_add(asking(operation)).saturating_mul(gaps);
    sum.saturating_add(between).min(retry.within.unwrap_or(Duration::MAX))
}

/// How long an unknown outcome is asked about before it is sent again.
fn asking(operation: &Operation) -> Duration {
    operation.inquire.iter().flat_map(|inquire| &inquire.schedule).sum()
}

fn retry_span(node: Option<&Node>, otherwise: Range<usize>) -> Range<usize> {
    match node.and_then(|node| node.get("retry")) {
        Some(retry) => retry.span.clone(),
        None => call_span(node, otherwise),
    }
}
