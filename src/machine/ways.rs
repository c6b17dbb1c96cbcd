use std::collections::BTreeSet;

use super::Phase;
use super::calls::declared;
use super::event::{Outcome, Timer};
use super::snapshot::{Call, Incident, Role, Snapshot};
use crate::definition::{Activity, Expr, Replay, State, Workflow};
use crate::types::{Money, Value};

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

/// What the answer of the incident's call must have for the workflow to go on with it, once a person says that the call did
/// succeed: the fields of `result` that its transitions and its compensation read.
pub fn needed_of_result(workflow: &Workflow, snapshot: &Snapshot) -> Vec<String> {
    let call = snapshot.incident.as_ref().and_then(|incident| snapshot.calls.get(&incident.call?));
    let Some(Call { role: Role::Invoke { branch }, state, .. }) = call else { return Vec::new() };
    let Some(state) = workflow.state(state) else { return Vec::new() };
    let invoke = state.invokes().iter().find(|invoke| invoke.branch == *branch);
    let undo =
        invoke.and_then(|invoke| invoke.compensate.as_ref()).into_iter().flat_map(|undo| undo.with.expressions());
    let ok = state.on.get("ok").into_iter().flatten();
    let ok = ok.flat_map(|transition| transition.assign.iter().flat_map(|(_, value)| value.expressions()));
    // The results of several branches come together under their names.
    let of_ok =
        ok.flat_map(Expr::required_paths).filter_map(|path| field(&path, Some(branch).filter(|name| !name.is_empty())));
    let of_undo = undo.flat_map(Expr::required_paths).filter_map(|path| field(&path, None));
    of_ok.chain(of_undo).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The money whose whereabouts the incident leaves open. Also what a call was given that only had something accepted, and
/// books nothing by itself: it may move the money later.
pub fn at_stake(workflow: &Workflow, snapshot: &Snapshot) -> Option<Money> {
    let incident = snapshot.incident.as_ref()?;
    let given = || {
        let call = snapshot.calls.get(&incident.call?)?;
        let repeatable = declared(workflow, call)?.operation.idempotency.replay == Replay::Safe;
        let amount = call.with.get("amount").and_then(Value::as_i64).filter(|_| !repeatable)?;
        let currency = call.with.get("currency").and_then(Value::as_str).and_then(|code| code.parse().ok());
        Some(Money::new(amount, currency.or(snapshot.amount.map(|money| money.currency))?))
    };
    incident.at_stake.or_else(given)
}

fn field(path: &[String], branch: Option<&String>) -> Option<String> {
    match (path, branch) {
        ([root, field, ..], None) if root == "result" => Some(field.clone()),
        ([root, name, field, ..], Some(branch)) if root == "result" && name == branch => Some(field.clone()),
        _ => None,
    }
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
