use std::collections::BTreeSet;

use super::snapshot::Snapshot;
use crate::definition::{StateKind, Workflow};
use crate::types::EventName;

/// Names under `on:` that the engine raises itself.
const OUTCOMES: [&str; 8] =
    ["ok", "declined", "action_required", "failed", "pending", "reversed", "compensated", "notified"];

/// The events from outside that would have an effect now: the CLI, the API and the dashboard ask this.
pub fn next_events(workflow: &Workflow, snapshot: &Snapshot) -> Vec<EventName> {
    let Some(state) = workflow.state(&snapshot.state) else { return Vec::new() };
    let names: BTreeSet<&EventName> = match &state.kind {
        StateKind::Final { late, .. } => late.keys().filter(|name| name.as_str() != "*").collect(),
        StateKind::Open => state.on.keys().chain(workflow.on.keys()).collect(),
    };
    names.into_iter().filter(|name| is_external(name)).cloned().collect()
}

/// Every event from outside that the workflow handles anywhere.
pub(super) fn known_events(workflow: &Workflow) -> Vec<EventName> {
    let mut names: BTreeSet<&EventName> = workflow.on.keys().collect();
    for state in &workflow.states {
        names.extend(state.on.keys());
        if let StateKind::Final { late, .. } = &state.kind {
            names.extend(late.keys().filter(|name| name.as_str() != "*"));
        }
    }
    names.into_iter().filter(|name| is_external(name)).cloned().collect()
}

fn is_external(name: &EventName) -> bool {
    !OUTCOMES.contains(&name.as_str())
}
