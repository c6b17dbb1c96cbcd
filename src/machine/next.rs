use std::collections::BTreeSet;

use super::Walked;
use super::route::ANYWHERE;
use super::snapshot::Snapshot;
use crate::definition::{Late, StateKind, Workflow};
use crate::types::EventName;

/// Names under `on:` that the engine raises itself.
const OUTCOMES: [&str; 8] =
    ["ok", "declined", "action_required", "failed", "pending", "reversed", "compensated", "notified"];

/// The events from outside that would have an effect now: the CLI, the API and the dashboard ask this.
pub fn next_events(workflow: &Workflow, snapshot: &Snapshot) -> Vec<EventName> {
    let Some(state) = workflow.state(&snapshot.state) else { return Vec::new() };
    let names: BTreeSet<&EventName> = match &state.kind {
        StateKind::Final { late, .. } => late.keys().collect(),
        StateKind::Open => state.on.keys().chain(workflow.on.keys()).collect(),
    };
    names.into_iter().filter(|name| is_external(name)).cloned().collect()
}

/// Every event from outside that the workflow handles anywhere, or that settles a call.
pub fn known_events(workflow: &Workflow) -> Vec<EventName> {
    let mut names: BTreeSet<&EventName> = workflow.on.keys().collect();
    for state in &workflow.states {
        names.extend(state.on.keys());
        if let StateKind::Final { late, .. } = &state.kind {
            names.extend(late.keys());
        }
    }
    names.extend(workflow.settling_events());
    names.into_iter().filter(|name| is_external(name)).cloned().collect()
}

fn is_external(name: &EventName) -> bool {
    !OUTCOMES.contains(&name.as_str())
}

/// Every transition that the workflow has, with where it leads, for coverage.
pub fn all_transitions(workflow: &Workflow) -> Vec<(Walked, Option<crate::types::StateName>)> {
    let mut all = Vec::new();
    let mut add = |state: &str, trigger: String, transitions: &[crate::definition::Transition]| {
        for (index, transition) in transitions.iter().enumerate() {
            all.push((Walked { state: state.into(), trigger: trigger.clone(), index }, transition.target.clone()));
        }
    };
    for (name, transitions) in &workflow.on {
        add(ANYWHERE, name.to_string(), transitions);
    }
    if let Some(deadline) = workflow.deadline.as_ref().filter(|deadline| deadline.transition.target.is_some()) {
        add(ANYWHERE, "deadline".to_owned(), std::slice::from_ref(&deadline.transition));
    }
    for state in &workflow.states {
        let name = state.name.as_str();
        for (event, transitions) in &state.on {
            add(name, event.to_string(), transitions);
        }
        for after in &state.after {
            add(name, after.label(), std::slice::from_ref(&after.transition));
        }
        add(name, "always".to_owned(), &state.always);
        if let StateKind::Final { late, .. } = &state.kind {
            for (event, rule) in late {
                if let Late::Transition(transitions) = rule {
                    add(name, format!("late {event}"), transitions);
                }
            }
        }
    }
    all
}
