//! What is captured was held before: on every way that is certain to be open.

use std::collections::{BTreeMap, VecDeque};

use super::{Check, call_span};
use crate::definition::read::UNKNOWN;
use crate::definition::{Late, MoneyKind, State, StateKind, Transition, rules};
use crate::types::StateName;

impl Check<'_> {
    pub(super) fn holds(&self) {
        let from = self.without_hold();
        for (at, state) in self.workflow.states.iter().enumerate().filter(|(at, _)| from.contains_key(at)) {
            for invoke in state.invokes().iter().filter(|one| one.operation.money == Some(MoneyKind::Capture)) {
                if holds(state) {
                    continue;
                }
                let span = call_span(self.invoke_node(state, &invoke.branch), self.state_key(state));
                let message =
                    format!("`{}` captures what nothing has held on the way {}", invoke.call, self.way(&from, at));
                let problem = self.ctx.problem(rules::CAPTURE_WITHOUT_HOLD, &span, message);
                self.ctx.add(problem.with_help(
                    "money counts as held when a call with `money: hold` is `ok`: where the customer or a webhook has approved it, \
                     ask for it with such an operation, and come here from its `ok`"
                        .to_owned(),
                ));
            }
        }
    }

    /// The states that an order can come to before anything is held, each with the one before it. Only ways without a
    /// guard are gone: what a guard keeps apart is not known here.
    fn without_hold(&self) -> BTreeMap<usize, Option<usize>> {
        let first = self.workflow.index.get(&self.workflow.initial).copied();
        let mut from: BTreeMap<usize, Option<usize>> = first.map(|at| (at, None)).into_iter().collect();
        let mut open: VecDeque<usize> = first.into_iter().collect();
        while let Some(at) = open.pop_front() {
            let Some(state) = self.workflow.states.get(at) else { continue };
            for to in self.sure_ways(state) {
                from.entry(to).or_insert_with(|| {
                    open.push_back(to);
                    Some(at)
                });
            }
        }
        from
    }

    fn sure_ways(&self, state: &State) -> Vec<usize> {
        let held = holds(state);
        let on = state.on.iter().filter(|(name, _)| !(held && name.as_str() == "ok")).map(|(_, list)| list.as_slice());
        let after = state.after.iter().map(|after| std::slice::from_ref(&after.transition));
        let late: Vec<&[Transition]> = match &state.kind {
            StateKind::Final { late, .. } => late.values().map(Late::transitions).collect(),
            StateKind::Open => self.workflow.on.values().map(Vec::as_slice).collect(),
        };
        let lists = on.chain(after).chain([state.always.as_slice()]).chain(late);
        let target = |list: &[Transition]| -> Option<StateName> {
            let [only] = list else { return None };
            only.target.clone().filter(|_| only.when.is_none())
        };
        lists.filter_map(target).filter_map(|name| self.workflow.index.get(&name).copied()).collect()
    }

    fn way(&self, from: &BTreeMap<usize, Option<usize>>, to: usize) -> String {
        let mut names = Vec::new();
        let mut at = Some(to);
        while let Some(state) = at.and_then(|at| self.workflow.states.get(at)) {
            names.push(format!("`{}`", state.name));
            at = at.and_then(|at| from.get(&at).copied().flatten());
        }
        names.reverse();
        names.join(" > ")
    }
}

/// When every call of the state is `ok`, money is held, or was taken at once. Of a call that could not be read that is
/// taken for granted.
fn holds(state: &State) -> bool {
    let kinds = [MoneyKind::Hold, MoneyKind::Purchase];
    let one = |operation: &crate::definition::Operation| {
        operation.name.as_str() == UNKNOWN || operation.money.is_some_and(|kind| kinds.contains(&kind))
    };
    state.invokes().iter().any(|invoke| one(&invoke.operation))
}
