//! Every outcome that can come is handled, and none that cannot.

use super::{Check, call_span};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::read::{OUTCOMES, UNKNOWN};
use crate::definition::{Activity, Invoke, Operation, OutcomeKind, State, rules, suggest};

impl Check<'_> {
    pub(super) fn outcomes(&self) {
        for state in self.workflow.states.iter().filter(|state| !state.is_final()) {
            if self.state_node(state).is_some_and(|node| self.is_whole(node)) {
                self.handled(state);
            }
            let on = self.state_node(state).and_then(|node| node.get("on")).map(Node::entries).unwrap_or_default();
            for entry in on {
                self.never_given(state, entry);
                self.misspelt(entry, on);
                self.exhaustive(entry);
            }
        }
        let shared = self.node(&["on"]).map(Node::entries).unwrap_or_default();
        for entry in shared {
            if OUTCOMES.contains(&entry.key.as_str()) {
                let message =
                    format!("`{}` is the outcome of a call, and belongs to the state that makes it", entry.key);
                self.ctx.report(rules::OUTCOME_NEVER_GIVEN, &entry.key_span, message);
            }
            self.misspelt(entry, shared);
        }
    }

    fn handled(&self, state: &State) {
        if matches!(state.activity, Activity::Compensate) && !state.on.contains_key("compensated") {
            let at = self.key(&["states", state.name.as_str(), "compensate"]);
            self.missing(state, "compensated", at, "when everything is undone".to_owned());
        }
        for invoke in state.invokes().iter().filter(|invoke| is_known(&invoke.operation)) {
            let node = self.invoke_node(state, &invoke.branch);
            let at = call_span(node, self.state_key(state));
            if !state.on.contains_key("ok") {
                self.missing(state, "ok", at.clone(), format!("when `{}` succeeds", invoke.call));
            }
            if can(&invoke.operation, OutcomeKind::Declined) && !state.on.contains_key("declined") {
                self.missing(state, "declined", at.clone(), format!("when `{}` is declined", invoke.call));
            }
            if !can(&invoke.operation, OutcomeKind::ActionRequired) {
                continue;
            }
            if !invoke.branch.is_empty() {
                let message =
                    format!("`{}` may need the customer, for whom a parallel branch cannot wait", invoke.call);
                let problem = self.ctx.problem(rules::OUTCOME_NOT_HANDLED, &at, message);
                self.ctx.add(problem.with_help("call it in a state of its own".to_owned()));
            } else if !state.on.contains_key("action_required") {
                self.missing(state, "action_required", at, format!("when `{}` needs the customer", invoke.call));
            }
        }
    }

    fn missing(&self, state: &State, outcome: &str, at: std::ops::Range<usize>, when: String) {
        let message = format!("`{}` does not say where to go {when}", state.name);
        let problem = self.ctx.problem(rules::OUTCOME_NOT_HANDLED, &at, message);
        self.ctx.add(problem.with_help(format!("add `{outcome}` under `on`")));
    }

    fn never_given(&self, state: &State, entry: &Entry) {
        let invokes = state.invokes();
        if invokes.iter().any(|invoke| !is_known(&invoke.operation)) {
            return;
        }
        let any = |kind| invokes.iter().any(|invoke| can(&invoke.operation, kind));
        let undone = |invoke: &Invoke| invoke.compensate.is_some();
        let why = match entry.key.as_str() {
            "ok" | "declined" | "failed" if invokes.is_empty() => "the state has no `invoke`",
            "action_required" if !any(OutcomeKind::ActionRequired) => "no rule of the operation gives it",
            "pending" if !any(OutcomeKind::Pending) => "no rule of the operation gives it",
            "reversed" if !invokes.iter().any(undone) => "the call has no `compensate`",
            "compensated" if !matches!(state.activity, Activity::Compensate) => "the state has no `compensate: all`",
            "notified" if state.entry.is_empty() => "the state has no `entry` effects",
            _ => return,
        };
        let message = format!("`{}` never comes: {why}", entry.key);
        self.ctx.report(rules::OUTCOME_NEVER_GIVEN, &entry.key_span, message);
    }

    /// `decline` would be taken for an event of somebody's, and never come.
    fn misspelt(&self, entry: &Entry, others: &[Entry]) {
        let known = || OUTCOMES.iter().copied().chain(["cancel"]);
        if entry.key.contains('.') || known().any(|outcome| outcome == entry.key) {
            return;
        }
        // Two slips at most: `refused` is three away from `reversed`, and a good name for an event.
        let near = suggest::nearest(&entry.key, known());
        if let Some(near) = near.filter(|near| suggest::distance(&entry.key, near) <= 2) {
            let message = format!("`{}` is no outcome, and too like one to be an event", entry.key);
            let problem = self.ctx.problem(rules::UNKNOWN_OUTCOME, &entry.key_span, message);
            self.ctx.add(if others.iter().any(|other| other.key == near) {
                problem.with_help(format!("`{near}` is handled already; an event has a dot in its name"))
            } else {
                problem.with_help(format!("did you mean `{near}`?")).with_fix(near.to_owned())
            });
        }
    }

    /// An outcome comes once: if no transition of its list fits, nothing ever happens.
    fn exhaustive(&self, entry: &Entry) {
        let guarded = match &entry.node.kind {
            Kind::List(items) => items.last().is_some_and(|last| last.get("when").is_some()),
            Kind::Map(_) => entry.node.get("when").is_some(),
            Kind::Scalar(_) => false,
        };
        if guarded && OUTCOMES.contains(&entry.key.as_str()) {
            let message = format!("if no `when` fits, `{}` leads nowhere", entry.key);
            let problem = self.ctx.problem(rules::OUTCOME_NOT_HANDLED, &entry.key_span, message);
            self.ctx.add(problem.with_help("end the list with a transition that has no `when`".to_owned()));
        }
    }
}

fn is_known(operation: &Operation) -> bool {
    operation.name.as_str() != UNKNOWN
}

/// A reply, or the answer to an inquiry, can be this.
fn can(operation: &Operation, kind: OutcomeKind) -> bool {
    let asked = operation.inquire.iter().flat_map(|inquiry| &inquiry.outcomes.rules);
    operation.outcomes.rules.iter().chain(asked).any(|rule| rule.outcome == kind)
}
