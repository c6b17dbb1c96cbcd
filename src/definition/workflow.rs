//! What a workflow says, once it has been checked. Nothing here is text any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::connector::{Connector, Operation};
use super::expr::{Expr, Template};
use super::schema::InputSchema;
use super::volatile::Volatile;
use crate::types::{ConnectorName, EventName, OperationName, StateName, Version, WorkflowName, format_duration};

/// One payment method: a table of states and transitions, with the connectors that it uses bound into it.
#[derive(Debug)]
pub struct Workflow {
    pub name: WorkflowName,
    /// The hash of the workflow and of everything it refers to: two equal versions behave alike.
    pub version: Version,
    pub title: String,
    pub description: String,
    /// What an order's input must look like.
    pub input: InputSchema,
    /// What of it is never written down.
    pub volatile: Volatile,
    /// What is at stake: `money: { amount: "${input.amount}", currency: "${input.currency}" }`.
    pub money: Option<MoneyTemplate>,
    /// The longest that an order may stay open, and where it goes then.
    pub deadline: Option<After>,
    pub initial: StateName,
    /// Fields of `data` by which notifications find their order.
    pub references: BTreeSet<String>,
    /// In the order in which the file has them.
    pub states: Vec<State>,
    /// Where each state stands in `states`.
    pub index: BTreeMap<StateName, usize>,
    /// Events handled in every state that is not final and does not handle them itself.
    pub on: BTreeMap<EventName, Vec<Transition>>,
    /// The connectors that this version is bound to.
    pub connectors: BTreeMap<ConnectorName, Arc<Connector>>,
    /// Everything needed to read this version again: it is kept in the journal.
    pub sources: Arc<Sources>,
}

/// The texts that a workflow was read from, so that an order can stay on its version for as long as it lives.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sources {
    /// The name that problems are reported under, such as `workflows/bank_card.yaml`.
    pub path: String,
    /// The workflow's YAML.
    pub workflow: String,
    /// The YAML of each connector that it uses, by name. The built-in ones are not listed.
    pub connectors: BTreeMap<String, String>,
    /// The JSON Schema files that it refers to, by the name in `$ref`.
    pub schemas: BTreeMap<String, String>,
}

#[derive(Debug)]
pub struct MoneyTemplate {
    pub amount: Template,
    pub currency: Template,
}

/// A condition that an order can rest in.
#[derive(Debug)]
pub struct State {
    pub name: StateName,
    pub title: Option<String>,
    /// Where on the spine this state stands; states named after a stage have it by themselves.
    pub stage: Option<Stage>,
    pub activity: Activity,
    /// Effects that are started on entry and never hold the state up.
    pub entry: Vec<Effect>,
    /// By outcome (`ok`, `declined`, …) or by event name.
    pub on: BTreeMap<EventName, Vec<Transition>>,
    pub after: Vec<After>,
    pub always: Vec<Transition>,
    pub kind: StateKind,
}

#[derive(Debug)]
pub enum StateKind {
    Open,
    Final { verdict: Verdict, late: BTreeMap<EventName, Late> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Success,
    Failure,
}

/// What happens when an event reaches a final state after all.
#[derive(Debug)]
pub enum Late {
    /// It is journaled and changes nothing.
    Ignore,
    /// The order is opened again.
    Transition(Vec<Transition>),
    /// A person must see it.
    Incident,
}

/// The spine that every method shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Submitted,
    Verified,
    Forwarded,
    Authorized,
    Settled,
    Notified,
}

/// The work of a state.
#[derive(Debug)]
pub enum Activity {
    None,
    /// One call, or several at once that are joined. A single call has an empty branch name.
    Invoke(Vec<Invoke>),
    /// Undo what was done, newest first; then the event `compensated`.
    Compensate,
}

/// A durable call of an operation.
#[derive(Debug)]
pub struct Invoke {
    /// The name of the parallel branch; empty for the one call of a state.
    pub branch: String,
    pub call: CallRef,
    pub operation: Arc<Operation>,
    pub with: Template,
    pub timeout_attempt: Duration,
    /// How long all attempts together may take; none is for ever.
    pub timeout_total: Option<Duration>,
    pub retry: RetryPolicy,
    /// What undoes this call.
    pub compensate: Option<Compensate>,
    /// `compensate: none`: what it has done is left on purpose.
    pub left: bool,
}

#[derive(Debug)]
pub struct Compensate {
    pub call: CallRef,
    pub operation: Arc<Operation>,
    /// May refer to `call.key` (the key of what is undone), and to `result` where the outcome was definite.
    pub with: Template,
    pub retry: RetryPolicy,
    pub timeout_attempt: Duration,
    /// `with` refers to `result`: it cannot undo a call whose outcome never became known.
    pub needs_result: bool,
}

/// An effect of the outbox, such as a notification: retried on its schedule until it is acknowledged.
#[derive(Debug)]
pub struct Effect {
    pub call: CallRef,
    pub operation: Arc<Operation>,
    pub with: Template,
    pub retry: RetryPolicy,
    pub timeout_attempt: Duration,
}

/// `gateway.authorize`
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallRef {
    pub connector: ConnectorName,
    pub operation: OperationName,
}

/// A transition: taken when its event has come and its guard holds. The first that fits is taken.
#[derive(Debug, Default)]
pub struct Transition {
    /// Where it leads; none stays, and only assigns.
    pub target: Option<StateName>,
    pub when: Option<Expr>,
    /// Data to set, each from the scope before the transition.
    pub assign: Vec<(String, Template)>,
    /// Why a person must see the order then.
    pub incident: Option<String>,
}

#[derive(Debug)]
pub struct After {
    pub delay: Duration,
    pub transition: Transition,
}

/// How often, and how long apart, something is tried again.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How many tries in all; 1 is no retry.
    pub attempts: u32,
    pub delays: Delays,
    /// Full jitter: each delay is drawn evenly from nothing to the whole, seeded by order and attempt.
    pub jitter: bool,
    /// No retry begins later than this after the first try.
    pub within: Option<Duration>,
    /// A soft decline is tried again too, under a new key.
    pub soft_declines: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Delays {
    Exponential {
        initial: Duration,
        factor: f64,
        max: Duration,
    },
    /// One by one; the last repeats.
    Schedule(Vec<Duration>),
}

impl After {
    /// Its name where it is told of: `after 3d`.
    pub fn label(&self) -> String {
        format!("after {}", format_duration(self.delay))
    }
}

impl Workflow {
    /// The state of this name. Every name inside a checked workflow has one.
    pub fn state(&self, name: &StateName) -> Option<&State> {
        self.index.get(name).and_then(|&at| self.states.get(at))
    }

    /// Events that are the outcome of a call, which no state has to handle.
    pub fn settling_events(&self) -> impl Iterator<Item = &EventName> {
        self.connectors.values().flat_map(|connector| connector.settling_events())
    }
}

impl Late {
    /// The transitions that open the order again; none for the other rules.
    pub fn transitions(&self) -> &[Transition] {
        match self {
            Self::Transition(list) => list,
            Self::Ignore | Self::Incident => &[],
        }
    }
}

impl State {
    pub fn is_final(&self) -> bool {
        matches!(self.kind, StateKind::Final { .. })
    }

    pub fn verdict(&self) -> Option<Verdict> {
        match self.kind {
            StateKind::Final { verdict, .. } => Some(verdict),
            StateKind::Open => None,
        }
    }

    pub fn invokes(&self) -> &[Invoke] {
        match &self.activity {
            Activity::Invoke(invokes) => invokes,
            Activity::None | Activity::Compensate => &[],
        }
    }
}

impl std::fmt::Display for CallRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.connector, self.operation)
    }
}

impl Stage {
    pub const ALL: [Self; 6] =
        [Self::Submitted, Self::Verified, Self::Forwarded, Self::Authorized, Self::Settled, Self::Notified];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Verified => "verified",
            Self::Forwarded => "forwarded",
            Self::Authorized => "authorized",
            Self::Settled => "settled",
            Self::Notified => "notified",
        }
    }
}
