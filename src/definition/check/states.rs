//! What a state can and cannot have beside one another.

use super::Check;
use crate::definition::document::{Kind, Node};
use crate::definition::{Activity, State, Transition, rules};

impl Check<'_> {
    pub(super) fn states(&self) {
        for state in &self.workflow.states {
            if state.is_final() {
                self.final_state(state);
            } else {
                self.open_state(state);
            }
        }
        let states = self.node(&["states"]).map(Node::entries).unwrap_or_default();
        for state in states {
            state.node.get("always").into_iter().for_each(|list| self.shadowed(list));
            let groups = ["on", "late"].into_iter().filter_map(|key| state.node.get(key));
            groups.flat_map(Node::entries).for_each(|entry| self.shadowed(&entry.node));
        }
        self.node(&["on"]).map(Node::entries).unwrap_or_default().iter().for_each(|entry| self.shadowed(&entry.node));
    }

    fn final_state(&self, state: &State) {
        for key in ["invoke", "compensate", "on", "after", "always"] {
            if let Some(entry) = self.entry(&["states", state.name.as_str(), key]) {
                let message =
                    format!("`{}` is final: an order that has come there stays, so `{key}` never happens", state.name);
                let problem = self.ctx.problem(rules::FINAL_WITH_TRANSITIONS, &entry.key_span, message);
                let help = "what comes after the end is written under `late`".to_owned();
                self.ctx.add(problem.with_help((key == "on").then_some(help)));
            }
        }
    }

    fn open_state(&self, state: &State) {
        if let Some(entry) = self.entry(&["states", state.name.as_str(), "late"]) {
            let message = format!("`late` is for final states, and `{}` is not one", state.name);
            let problem = self.ctx.problem(rules::LATE_ON_OPEN_STATE, &entry.key_span, message);
            self.ctx.add(problem.with_help("events that come while the state is open belong under `on`".to_owned()));
        }
        let works = !matches!(state.activity, Activity::None);
        if let Some(entry) = self.entry(&["states", state.name.as_str(), "always"]).filter(|_| works) {
            let message = "`always` leads on at once, and what the state does would be left behind";
            let problem = self.ctx.problem(rules::CONFLICTING_KEYS, &entry.key_span, message);
            let help = "give the choice a state of its own, before this one or after it";
            return self.ctx.add(problem.with_help(help.to_owned()));
        }
        let leads = |list: &[Transition]| list.last().is_some_and(|last| last.target.is_some());
        let told = !state.entry.is_empty() && state.on.get("notified").is_some_and(|list| leads(list));
        if works || told || ends_in_time(state) || state.always.iter().any(|branch| branch.when.is_none()) {
            return;
        }
        let after = self.entry(&["states", state.name.as_str(), "after"]);
        let always = self.entry(&["states", state.name.as_str(), "always"]);
        match (after, always) {
            (Some(entry), _) if !state.after.is_empty() => {
                let message = format!("when the time is over, `{}` may go on waiting for ever", state.name);
                let problem = self.ctx.problem(rules::WAIT_WITHOUT_AFTER, &entry.key_span, message);
                let help = "one `after` has a `target` and no `when`, such as `after: { 15m: expired }`";
                self.ctx.add(problem.with_help(help.to_owned()));
            }
            // Its problems have been reported.
            (Some(_), _) => {}
            (None, Some(entry)) => {
                let message = "if no branch fits, the order stays here for ever".to_owned();
                let problem = self.ctx.problem(rules::ALWAYS_WITHOUT_ELSE, &entry.key_span, message);
                self.ctx.add(
                    problem.with_help("end the list with a branch that has no `when`: `- { target: … }`".to_owned()),
                );
            }
            (None, None) => {
                let message = format!("`{}` waits for something that may never come", state.name);
                let problem = self.ctx.problem(rules::WAIT_WITHOUT_AFTER, &self.state_key(state), message);
                self.ctx.add(
                    problem
                        .with_help("say where it goes if nothing comes, such as `after: { 15m: expired }`".to_owned()),
                );
            }
        }
    }

    /// What stands behind a transition without a guard is never taken.
    fn shadowed(&self, node: &Node) {
        let Kind::List(items) = &node.kind else { return };
        let open = items.iter().position(|item| item.get("when").is_none());
        if let Some(next) = open.and_then(|at| items.get(at + 1)) {
            let message = "the transition before this one always fits, so that this one is never taken";
            self.ctx.report(rules::UNREACHABLE_TRANSITION, &next.span, message);
        }
    }
}

/// Some time after it was entered, the state is left whatever has happened.
pub(super) fn ends_in_time(state: &State) -> bool {
    let sure = |transition: &Transition| transition.target.is_some() && transition.when.is_none();
    state.after.iter().any(|after| sure(&after.transition))
}
