//! Stories are told with one crash in mind, and each crash costs time and a try. After a second one an order may end
//! otherwise than the story says, for one of the reasons here and no other.

use std::collections::BTreeMap;

use paystate::definition::{Activity, Workflow};
use paystate::journal::{Entry, replay};
use paystate::machine::{Command, Role, Snapshot};
use paystate::types::{EventId, StateName};

/// Whether it may, by the order's journal and the one without a crash.
pub fn may_end_otherwise(workflow: &Workflow, entries: &[Entry], told: &[Entry]) -> Result<bool, String> {
    Ok(used_its_tries_up(workflow, entries)? || met(workflow, entries)? != met(workflow, told)?)
}

/// A call was made as often as its retry policy allows.
fn used_its_tries_up(workflow: &Workflow, entries: &[Entry]) -> Result<bool, String> {
    for (number, entry) in entries.iter().enumerate() {
        let sent = entry.commands.iter().filter_map(|command| match command {
            Command::Invoke { call, attempt } => Some((call, attempt.0)),
            _ => None,
        });
        for (call, attempt) in sent.filter(|&(_, attempt)| attempt > 1) {
            let order = after(workflow, &entries[..=number])?;
            let call = order.calls.get(call).ok_or("a call was sent that is not there")?;
            let state = workflow.states.iter().find(|state| state.name == call.state).ok_or("a call of no state")?;
            if let (Role::Invoke { branch }, Activity::Invoke(invokes)) = (&call.role, &state.activity)
                && let Some(invoke) = invokes.iter().find(|invoke| invoke.branch == *branch)
                && attempt - call.spent >= invoke.retry.attempts
            {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// In which state each event of the story, which comes when the story says, has met the order.
fn met(workflow: &Workflow, entries: &[Entry]) -> Result<BTreeMap<EventId, StateName>, String> {
    let mut met = BTreeMap::new();
    for (number, entry) in entries.iter().enumerate().skip(1) {
        if let Some(id) = entry.event.id() {
            met.insert(id.clone(), after(workflow, &entries[..number])?.state);
        }
    }
    Ok(met)
}

fn after(workflow: &Workflow, entries: &[Entry]) -> Result<Snapshot, String> {
    replay(workflow, entries).map_err(|error| format!("it does not replay: {error}"))
}
