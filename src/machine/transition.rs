use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::{Event, Parent};
use super::run::Run;
use super::snapshot::{MoneyPosition, Snapshot, Status};
use super::ways::Way;
use super::{Decision, money};
use crate::definition::Workflow;
use crate::types::{CallId, EventName, OrderId, Seq, StateName, Timestamp, Value};

/// Why an event has no effect on an order. Nothing is journaled for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It is about a call, a timer or an attempt that is no longer current.
    #[error("it is about something that is already settled")]
    Stale,
    #[error("the order is finished in state {state}")]
    Finished { state: StateName },
    #[error("this workflow has no event {name}; it has: {}", list(known))]
    UnknownEvent { name: EventName, known: Vec<EventName> },
    #[error("the order has no incident")]
    NoIncident,
    /// Of an incident: a person's answer that does not fit what it is about.
    #[error("`{}` does not fit this incident: {}", way.name(), instead(ways))]
    NotThatWay { way: Way, ways: Vec<Way> },
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0} events wait in the order's inbox already")]
    InboxFull(usize),
    /// Nothing of it is kept.
    #[error("{0}")]
    TooLarge(String),
    /// A rule of the machine itself would be broken. The order must be parked.
    #[error("an invariant does not hold: {0}")]
    Broken(String),
}

/// Opens an order. The input has been validated against the workflow's schema by the caller.
pub fn start(
    workflow: &Workflow,
    id: OrderId,
    input: Value,
    parent: Option<Parent>,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    let input = Arc::new(input);
    let amount = money::at_stake(workflow, &input)?;
    let snapshot = Snapshot {
        id,
        workflow: workflow.name.clone(),
        version: workflow.version.clone(),
        seq: Seq(0),
        state: workflow.initial.clone(),
        status: Status::Running,
        created_at: now,
        updated_at: now,
        entered_at: now,
        input,
        data: Arc::new(Value::Object(serde_json::Map::new())),
        references: BTreeMap::new(),
        amount,
        parent,
        stages: Vec::new(),
        calls: BTreeMap::new(),
        next_call: CallId(1),
        timers: BTreeMap::new(),
        renewed: BTreeMap::new(),
        undo: Vec::new(),
        due: Vec::new(),
        inbox: Vec::new(),
        incident: None,
        money: MoneyPosition::default(),
        attempts: 0,
        outcome: String::new(),
    };
    let mut run = Run::new(workflow, snapshot, now);
    run.begin();
    run.finish()
}

/// Applies one event to an order.
pub fn transition(
    workflow: &Workflow,
    snapshot: &Snapshot,
    event: &Event,
    now: Timestamp,
) -> Result<Decision, Rejection> {
    let mut run = Run::new(workflow, snapshot.clone(), now);
    match event {
        Event::Started { .. } => return Err(Rejection::NotAllowed("the order is already open".to_owned())),
        Event::Received { id, name, payload, source } => run.received(id, name, payload, source)?,
        Event::Settled { call, attempt, outcome } => run.settled(*call, *attempt, outcome)?,
        Event::Inquired { call, inquiry, outcome } => run.inquired(*call, *inquiry, outcome)?,
        Event::TimerFired { timer } => run.timer_fired(*timer)?,
        Event::CancelRequested { id, by, reason } => run.cancel_requested(id, by, reason)?,
        Event::RetryRequested { .. } => run.retry_requested()?,
        Event::Resolved { resolution, .. } => run.resolved(resolution)?,
        Event::Parked { reason } => run.open_incident(None, reason.clone()),
        Event::Halted { reason } => run.halt(reason),
    }
    run.finish()
}

fn list(names: &[EventName]) -> String {
    names.iter().map(EventName::as_str).collect::<Vec<_>>().join(", ")
}

fn instead(ways: &[Way]) -> String {
    let retry = if ways.contains(&Way::Retry) { "retry it, or " } else { "" };
    let rest: Vec<&str> = ways.iter().filter(|way| **way != Way::Retry).map(|way| way.name()).collect();
    format!("{retry}resolve it as {}", rest.join(" or "))
}
