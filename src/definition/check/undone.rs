//! What has moved money is undone where everything is undone.

use std::collections::BTreeSet;

use super::{Check, call_span};
use crate::definition::{Activity, Invoke, MoneyKind, State, rules};

impl Check<'_> {
    /// A hold or a payment that `compensate: all` would pass over, without a word of the author's.
    pub(super) fn undone(&self) {
        for state in &self.workflow.states {
            let left: Vec<&Invoke> = state.invokes().iter().filter(|invoke| is_left(invoke)).collect();
            if left.is_empty() {
                continue;
            }
            let Some(undoing) = self.undoing_after(state) else { continue };
            for invoke in left {
                let node = self.invoke_node(state, &invoke.branch);
                let message = format!(
                    "`{}` moves money, and `{undoing}`, which undoes everything, would leave it as it is",
                    invoke.call
                );
                let at = call_span(node, self.state_key(state));
                let problem = self.ctx.problem(rules::NOTHING_TO_COMPENSATE, &at, message);
                let help = "say how it is undone: `compensate: connector.operation`; or that it is left on purpose: `compensate: none`";
                self.ctx.add(problem.with_help(help.to_owned()));
            }
        }
    }

    /// A state that undoes everything, and that the order can come to once the calls of this state are done.
    fn undoing_after(&self, state: &State) -> Option<&str> {
        let done = state.on.get("ok").into_iter().flatten().filter_map(|transition| transition.target.as_ref());
        let mut open: Vec<usize> = done.filter_map(|name| self.workflow.index.get(name).copied()).collect();
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            let Some(next) = self.workflow.states.get(at).filter(|_| seen.insert(at)) else { continue };
            if matches!(next.activity, Activity::Compensate) {
                return Some(next.name.as_str());
            }
            if next.always.is_empty() {
                open.extend(self.ways(next, true));
            } else {
                // It is left at once: nothing can come to it.
                open.extend(
                    next.always.iter().filter_map(|transition| self.workflow.index.get(transition.target.as_ref()?)),
                );
            }
        }
        None
    }
}

fn is_left(invoke: &Invoke) -> bool {
    let kinds = [MoneyKind::Hold, MoneyKind::Purchase, MoneyKind::Capture];
    let moves = invoke.operation.money.is_some_and(|kind| kinds.contains(&kind));
    moves && invoke.compensate.is_none() && !invoke.left
}
