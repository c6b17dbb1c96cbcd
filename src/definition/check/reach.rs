//! Every state can be reached, and from every state the order can end.

use std::collections::BTreeSet;

use super::{Check, transitions};
use crate::definition::{Activity, Late, State, StateKind, rules};
use crate::types::StateName;

impl Check<'_> {
    pub(super) fn reach(&self) {
        let states = &self.workflow.states;
        let reached = self.forwards();
        let ending = self.backwards();
        for (at, state) in states.iter().enumerate() {
            if !reached.contains(&at) {
                let message = format!("no way leads from `{}` to `{}`", self.workflow.initial, state.name);
                self.ctx.report(rules::UNREACHABLE_STATE, &self.state_key(state), message);
            }
            if !ending.contains(&at) {
                let message = format!("no way leads from `{}` to a final state", state.name);
                self.ctx.report(rules::NO_WAY_TO_FINAL, &self.state_key(state), message);
            }
        }
        self.loops();
    }

    fn forwards(&self) -> BTreeSet<usize> {
        let mut open: Vec<usize> = self.workflow.index.get(&self.workflow.initial).copied().into_iter().collect();
        // Without a beginning nothing could be reached, and one problem is enough.
        if open.is_empty() {
            return (0..self.workflow.states.len()).collect();
        }
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            if let Some(state) = self.workflow.states.get(at).filter(|_| seen.insert(at)) {
                open.extend(self.ways(state, true));
            }
        }
        seen
    }

    /// A cancel of the customer's is not a way to the end that anybody may count on.
    fn backwards(&self) -> BTreeSet<usize> {
        let states = &self.workflow.states;
        let is_final = |at: &usize| states.get(*at).is_some_and(State::is_final);
        let mut seen: BTreeSet<usize> = (0..states.len()).filter(is_final).collect();
        loop {
            let before = seen.len();
            for (at, state) in states.iter().enumerate() {
                if self.ways(state, false).iter().any(|to| seen.contains(to)) {
                    seen.insert(at);
                }
            }
            if seen.len() == before {
                return seen;
            }
        }
    }

    pub(super) fn ways(&self, state: &State, with_events_of_all: bool) -> Vec<usize> {
        let late: Vec<&Late> = match &state.kind {
            StateKind::Final { late, .. } => late.values().collect(),
            StateKind::Open => Vec::new(),
        };
        let late = late.into_iter().flat_map(Late::transitions);
        let mut found: Vec<&StateName> = transitions(state).chain(late).filter_map(|t| t.target.as_ref()).collect();
        if !state.is_final() {
            found.extend(self.workflow.deadline.as_ref().and_then(|deadline| deadline.transition.target.as_ref()));
            let shared =
                self.workflow.on.iter().filter(|(name, _)| with_events_of_all && !state.on.contains_key(*name));
            found.extend(shared.flat_map(|(_, list)| list).filter_map(|transition| transition.target.as_ref()));
        }
        found.into_iter().filter_map(|name| self.workflow.index.get(name).copied()).collect()
    }

    /// States that only pass on, to one another: nothing that a guard reads would change between two rounds.
    fn loops(&self) {
        let states = &self.workflow.states;
        let next = |at: usize| -> Vec<usize> {
            let state = states.get(at).filter(|state| matches!(state.activity, Activity::None));
            let branches = state.map(|state| state.always.as_slice()).unwrap_or_default();
            let plain = branches.iter().filter(|branch| branch.assign.is_empty());
            plain.filter_map(|branch| self.workflow.index.get(branch.target.as_ref()?).copied()).collect()
        };
        let after = |start: usize| -> BTreeSet<usize> {
            let mut seen = BTreeSet::new();
            let mut open = next(start);
            while let Some(at) = open.pop() {
                if seen.insert(at) {
                    open.extend(next(at));
                }
            }
            seen
        };
        let mut reported: BTreeSet<usize> = BTreeSet::new();
        for (start, state) in states.iter().enumerate() {
            let seen = after(start);
            if !seen.contains(&start) || reported.iter().any(|known| seen.contains(known)) {
                continue;
            }
            reported.insert(start);
            let round = seen.iter().filter(|&&at| at != start && after(at).contains(&start));
            let names: Vec<&str> = round.filter_map(|&at| states.get(at)).map(|state| state.name.as_str()).collect();
            let way = if names.is_empty() { String::new() } else { format!(" (by way of {})", names.join(", ")) };
            let message = format!("`always` leads from `{}` back to itself without an end{way}", state.name);
            let at = self.key(&["states", state.name.as_str(), "always"]);
            self.ctx.report(rules::ALWAYS_LOOP, &at, message);
        }
    }
}
