use super::Phase;
use super::event::{Outcome, Timer};
use super::snapshot::{Call, Incident, Role, Snapshot};
use crate::definition::{Activity, State, Workflow};

/// What a person can say of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Take it up again.
    Retry,
    /// The call did succeed.
    Ok,
    /// The call did not happen.
    Declined,
    /// Go on in another state.
    State,
    /// Nothing is left to do: the order stays where it is.
    Dismissed,
}

impl Way {
    pub const ALL: [Self; 5] = [Self::Retry, Self::Ok, Self::Declined, Self::State, Self::Dismissed];

    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Ok => "ok",
            Self::Declined => "declined",
            Self::State => "state",
            Self::Dismissed => "dismissed",
        }
    }
}

/// How the order's incident can be ended: the CLI, the API and the dashboard offer these and no others. Empty when it
/// has none.
pub fn ways(workflow: &Workflow, snapshot: &Snapshot) -> Vec<Way> {
    let Some(incident) = &snapshot.incident else { return Vec::new() };
    Way::ALL.into_iter().filter(|&way| is_open(way, workflow, snapshot, incident)).collect()
}

fn is_open(way: Way, workflow: &Workflow, snapshot: &Snapshot, incident: &Incident) -> bool {
    match way {
        Way::State => true,
        Way::Retry => incident.call.is_some() || can_retry_order(workflow, snapshot, incident),
        Way::Ok => incident.call.is_some(),
        // That something could not be undone is what its incident says already.
        Way::Declined => incident.call.is_some_and(|id| {
            let call = snapshot.calls.get(&id);
            let undoes = call.is_some_and(|call| matches!(call.role, Role::Compensation { .. }));
            !undoes && !has_succeeded(call)
        }),
        // What nothing would wake again is not dismissed.
        Way::Dismissed => incident.call.is_none() && (!incident.unbegun || is_final(workflow, snapshot)),
    }
}

fn can_retry_order(workflow: &Workflow, snapshot: &Snapshot, incident: &Incident) -> bool {
    incident.unbegun || incident.halted || is_stuck_undoing(workflow, snapshot) || is_past_deadline(workflow, snapshot)
}

/// It undoes what it did, and no call of that is left: the next one could not be made.
pub(super) fn is_stuck_undoing(workflow: &Workflow, snapshot: &Snapshot) -> bool {
    let undoing = state(workflow, snapshot).is_some_and(|state| matches!(state.activity, Activity::Compensate));
    undoing && snapshot.calls.values().all(|call| matches!(call.role, Role::Effect { .. }))
}

/// Its deadline came, and nobody has given it more time.
pub(super) fn is_past_deadline(workflow: &Workflow, snapshot: &Snapshot) -> bool {
    let timed = workflow.deadline.is_some() && !is_final(workflow, snapshot);
    timed && !snapshot.timers.contains_key(&Timer::Deadline) && !snapshot.due.contains(&Timer::Deadline)
}

pub(super) fn has_succeeded(call: Option<&Call>) -> bool {
    matches!(call.map(|call| &call.phase), Some(Phase::Done { outcome: Outcome::Ok { .. } }))
}

fn is_final(workflow: &Workflow, snapshot: &Snapshot) -> bool {
    state(workflow, snapshot).is_some_and(State::is_final)
}

fn state<'w>(workflow: &'w Workflow, snapshot: &Snapshot) -> Option<&'w State> {
    workflow.state(&snapshot.state)
}
