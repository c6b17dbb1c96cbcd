use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::responses::Money;
use crate::api::redact::redact;
use crate::definition::{Stage, Workflow};
use crate::machine::{self, Phase, Role, Snapshot};
use crate::types::{CallId, OrderId, Timestamp, Value};

/// One run of a workflow, as it stands.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Order {
    #[schema(value_type = String, example = "019ab1c2-7d4e-7000-8000-0242ac120002")]
    pub id: OrderId,
    #[schema(example = "bank_card")]
    pub workflow: String,
    /// The version of the workflow that the order stays on.
    pub version: String,
    /// The workflow's title.
    pub title: String,
    #[schema(example = "authorized")]
    pub state: String,
    /// The state's title, where it has one.
    #[serde(default)]
    pub state_title: Option<String>,
    pub status: Status,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Timestamp,
    /// When the present state was entered.
    #[schema(value_type = String, format = DateTime)]
    pub entered_at: Timestamp,
    /// The number of the last entry of the order's journal.
    pub seq: u64,
    /// What was submitted. Sealed payments are cut down.
    pub input: Value,
    /// What the workflow has kept.
    pub data: Value,
    #[serde(default)]
    pub amount: Option<Money>,
    pub money: MoneyPosition,
    /// The stages of the spine that have been passed, in the order of passing.
    pub stages: Vec<String>,
    /// The stages that this workflow has.
    pub spine: Vec<String>,
    /// Attempts at calls, in all.
    pub attempts: u32,
    /// The last outcome that decided anything, such as `declined: insufficient_funds`.
    #[serde(default)]
    pub outcome: Option<String>,
    #[serde(default)]
    pub incident: Option<Incident>,
    /// Calls that are not settled.
    pub calls: Vec<Call>,
    pub timers: Vec<Timer>,
    /// Events that came early and wait for the state that handles them.
    pub inbox: Vec<Inbox>,
    /// The events that would have an effect now.
    pub next_events: Vec<String>,
    /// The order whose call this order is the work of.
    #[serde(default)]
    pub parent: Option<Parent>,
    /// The orders that are the work of this order's calls, newest first, at most 100. Lists do not tell them, and
    /// neither does an order without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Related>,
    /// The refunds of this payment, newest first, at most 100: also those that were refused. Lists do not tell them,
    /// and neither does an order without any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refunds: Vec<Related>,
    /// The payment that this order refunds, or tried to. Lists do not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refund_of: Option<OrderId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = OrderStatus)]
pub enum Status {
    /// A call is under way.
    Running,
    /// Waits for an event, a timer or a provider.
    Waiting,
    Succeeded,
    Failed,
    /// Parked: needs a person.
    Incident,
}

/// What is believed to have happened to the order's money, in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoneyPosition {
    #[serde(default)]
    pub currency: Option<String>,
    /// Reserved, and neither captured nor released.
    pub held: i64,
    /// Moved to the merchant.
    pub captured: i64,
    /// Given back out of what was held, or because a capture failed afterwards.
    pub released: i64,
    pub refunded: i64,
    /// Taken back by the customer's bank.
    #[serde(default)]
    pub charged_back: i64,
}

/// Why the order is parked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Incident {
    pub reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    /// The money whose whereabouts are not known, or that a call was given which may move it later.
    #[serde(default)]
    pub at_stake: Option<Money>,
    /// The call that it is about.
    #[serde(default)]
    pub call: Option<String>,
    /// What that call is: `invoke`, `effect`, `compensation` or `reversal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What `result` must have when it is resolved as `ok`: the fields that the workflow reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// How a person can end it: `retry`, and `ok`, `declined`, `state` or `dismissed` to resolve it as.
    #[schema(example = json!(["retry", "ok", "declined", "state"]))]
    #[serde(default)]
    pub ways: Vec<String>,
}

/// A durable call that is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Call {
    pub id: u32,
    #[schema(example = "gateway.authorize")]
    pub call: String,
    /// `invoke`, `effect`, `compensation` or `reversal`.
    pub role: String,
    /// The parallel branch, where the state has several.
    #[serde(default)]
    pub branch: Option<String>,
    /// The state that declares it.
    pub state: String,
    /// `sending`, `backoff`, `unknown`, `pending`, `reversing`, `done` or `parked`.
    pub phase: String,
    pub attempt: u32,
    /// Inquiries since the last send.
    pub inquiries: u32,
    /// The idempotency key, and our reference at the provider.
    pub key: String,
    #[schema(value_type = String, format = DateTime)]
    pub begun_at: Timestamp,
    /// When it is next tried or asked about.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_at: Option<Timestamp>,
    /// What went wrong last.
    #[serde(default)]
    pub trouble: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OrderTimer)]
pub struct Timer {
    /// `after 15m`, `deadline`, `retry gateway.authorize` or `inquire gateway.authorize`.
    pub timer: String,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = EarlyEvent)]
pub struct Inbox {
    pub id: String,
    pub event: String,
    pub source: String,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

/// An order that belongs to another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RelatedOrder)]
pub struct Related {
    #[schema(value_type = String)]
    pub order: OrderId,
    #[schema(example = "refund")]
    pub workflow: String,
    #[schema(example = "notified")]
    pub state: String,
    #[serde(default)]
    pub state_title: Option<String>,
    pub status: Status,
    #[serde(default)]
    pub amount: Option<Money>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ParentOrder)]
pub struct Parent {
    #[schema(value_type = String)]
    pub order: OrderId,
    pub call: u32,
}

impl Order {
    /// `workflow` is the version that the order is on; without it titles, next events and ways out are missing.
    pub fn of(snapshot: &Snapshot, workflow: Option<&Workflow>) -> Self {
        let state = workflow.and_then(|workflow| workflow.state(&snapshot.state));
        let next_events = workflow.map(|workflow| machine::next_events(workflow, snapshot)).unwrap_or_default();
        Self {
            id: snapshot.id,
            workflow: snapshot.workflow.to_string(),
            version: snapshot.version.to_string(),
            title: workflow.map_or_else(|| snapshot.workflow.to_string(), |workflow| workflow.title.clone()),
            state: snapshot.state.to_string(),
            state_title: state.and_then(|state| state.title.clone()),
            status: snapshot.status.into(),
            created_at: snapshot.created_at,
            updated_at: snapshot.updated_at,
            entered_at: snapshot.entered_at,
            seq: snapshot.seq.0,
            input: redact(&snapshot.input),
            data: redact(&snapshot.data),
            amount: snapshot.amount.map(Into::into),
            money: MoneyPosition::of(snapshot),
            stages: snapshot.stages.iter().map(|stage| stage.name().to_owned()).collect(),
            spine: workflow.map(spine).unwrap_or_default(),
            attempts: snapshot.attempts,
            outcome: some_text(&snapshot.outcome),
            incident: Incident::of(snapshot, workflow),
            calls: snapshot.calls.iter().map(|(&id, call)| Call::of(snapshot, id, call)).collect(),
            timers: timers(snapshot, workflow),
            inbox: inbox(snapshot),
            next_events: next_events.iter().map(ToString::to_string).collect(),
            parent: snapshot.parent.as_ref().map(|parent| Parent { order: parent.order, call: parent.call.0 }),
            children: Vec::new(),
            refunds: Vec::new(),
            refund_of: None,
        }
    }
}

impl Related {
    pub(crate) fn of(snapshot: &Snapshot, workflow: Option<&Workflow>) -> Self {
        let state = workflow.and_then(|workflow| workflow.state(&snapshot.state));
        Self {
            order: snapshot.id,
            workflow: snapshot.workflow.to_string(),
            state: snapshot.state.to_string(),
            state_title: state.and_then(|state| state.title.clone()),
            status: snapshot.status.into(),
            amount: snapshot.amount.map(Into::into),
            created_at: snapshot.created_at,
        }
    }
}

/// The stages that states of the workflow stand on, in the order of the spine.
pub(crate) fn spine(workflow: &Workflow) -> Vec<String> {
    let has = |stage: &Stage| workflow.states.iter().any(|state| state.stage == Some(*stage));
    Stage::ALL.iter().filter(|stage| has(stage)).map(|stage| stage.name().to_owned()).collect()
}

fn timers(snapshot: &Snapshot, workflow: Option<&Workflow>) -> Vec<Timer> {
    let name = |call: CallId| operation(snapshot, call).unwrap_or_else(|| format!("call {call}"));
    let state = workflow.and_then(|workflow| workflow.state(&snapshot.state));
    let after = |index: u32| {
        let after = state.and_then(|state| state.after.get(usize::try_from(index).ok()?))?;
        Some(format!("after {}", crate::types::format_duration(after.delay)))
    };
    let mut timers: Vec<Timer> = snapshot
        .timers
        .iter()
        .map(|(timer, &at)| {
            let timer = match *timer {
                machine::Timer::After { index } => after(index).unwrap_or_else(|| format!("after {index}")),
                machine::Timer::Deadline => "deadline".to_owned(),
                machine::Timer::Retry { call } => format!("retry {}", name(call)),
                machine::Timer::Inquire { call } => format!("inquire {}", name(call)),
            };
            Timer { timer, at }
        })
        .collect();
    timers.sort_by_key(|timer| timer.at);
    timers
}

fn inbox(snapshot: &Snapshot) -> Vec<Inbox> {
    let one = |early: &machine::Early| Inbox {
        id: early.id.to_string(),
        event: early.name.to_string(),
        source: early.source.clone(),
        at: early.at,
    };
    snapshot.inbox.iter().map(one).collect()
}

fn operation(snapshot: &Snapshot, id: CallId) -> Option<String> {
    snapshot.calls.get(&id).map(|call| format!("{}.{}", call.connector, call.operation))
}

fn some_text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl MoneyPosition {
    fn of(snapshot: &Snapshot) -> Self {
        let money = &snapshot.money;
        let currency = money.currency.or(snapshot.amount.map(|amount| amount.currency));
        Self {
            currency: currency.map(|currency| currency.code().to_owned()),
            held: money.held,
            captured: money.captured,
            released: money.released,
            refunded: money.refunded,
            charged_back: money.charged_back,
        }
    }
}

impl Incident {
    pub(crate) fn of(snapshot: &Snapshot, workflow: Option<&Workflow>) -> Option<Self> {
        let incident = snapshot.incident.as_ref()?;
        let stake = workflow.map_or(incident.at_stake, |workflow| machine::at_stake(workflow, snapshot));
        let ways = workflow.map(|workflow| machine::ways(workflow, snapshot)).unwrap_or_default();
        Some(Self {
            reason: incident.reason.clone(),
            opened_at: incident.opened_at,
            at_stake: stake.map(Into::into),
            call: incident.call.and_then(|call| operation(snapshot, call)),
            role: incident.call.and_then(|call| Some(role(&snapshot.calls.get(&call)?.role).to_owned())),
            needs: workflow.map(|workflow| machine::needed_of_result(workflow, snapshot)).unwrap_or_default(),
            ways: ways.iter().map(|way| way.name().to_owned()).collect(),
        })
    }
}

impl Call {
    fn of(snapshot: &Snapshot, id: CallId, call: &machine::Call) -> Self {
        let branch = match &call.role {
            Role::Invoke { branch } | Role::Compensation { branch } | Role::Reversal { branch, .. } => branch.as_str(),
            Role::Effect { .. } => "",
        };
        let at = |timer: machine::Timer| snapshot.timers.get(&timer).copied();
        let next_at = at(machine::Timer::Retry { call: id }).or_else(|| at(machine::Timer::Inquire { call: id }));
        Self {
            id: id.0,
            call: format!("{}.{}", call.connector, call.operation),
            role: role(&call.role).to_owned(),
            branch: some_text(branch),
            state: call.state.to_string(),
            phase: phase(&call.phase).to_owned(),
            attempt: call.attempt.0,
            inquiries: call.inquiries.0,
            key: snapshot.key(id, call),
            begun_at: call.begun_at,
            next_at,
            trouble: some_text(&call.trouble),
        }
    }
}

const fn role(role: &Role) -> &'static str {
    match role {
        Role::Invoke { .. } => "invoke",
        Role::Effect { .. } => "effect",
        Role::Compensation { .. } => "compensation",
        Role::Reversal { .. } => "reversal",
    }
}

const fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Sending => "sending",
        Phase::Backoff => "backoff",
        Phase::Unknown { .. } => "unknown",
        Phase::Pending { .. } => "pending",
        Phase::Reversing { .. } => "reversing",
        Phase::Done { .. } => "done",
        Phase::Parked { .. } => "parked",
    }
}

impl Status {
    pub const NAMES: [&'static str; 5] = ["running", "waiting", "succeeded", "failed", "incident"];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Incident => "incident",
        }
    }
}

impl From<machine::Status> for Status {
    fn from(status: machine::Status) -> Self {
        match status {
            machine::Status::Running => Self::Running,
            machine::Status::Waiting => Self::Waiting,
            machine::Status::Succeeded => Self::Succeeded,
            machine::Status::Failed => Self::Failed,
            machine::Status::Incident => Self::Incident,
        }
    }
}

impl From<Status> for machine::Status {
    fn from(status: Status) -> Self {
        match status {
            Status::Running => Self::Running,
            Status::Waiting => Self::Waiting,
            Status::Succeeded => Self::Succeeded,
            Status::Failed => Self::Failed,
            Status::Incident => Self::Incident,
        }
    }
}
