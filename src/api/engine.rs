//! What the API asks of the executor, in the API's own words: the executor implements this, tests implement it in memory.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

use crate::connector::Acknowledged;
use crate::definition::{SchemaViolation, Workflow};
use crate::executor::{Notice, Provider};
use crate::journal::Entry;
use crate::machine::{Outcome, Resolution, Snapshot};
use crate::store::OrderQuery;
use crate::types::{
    CallId, ConnectorName, EventId, EventName, OrderId, Pause, Seq, StateName, Timestamp, Value, Version, WorkflowName,
};

/// Drives orders. Everything that is answered with `Ok` is durable.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Opens an order, or finds the one that the key stands for.
    async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError>;

    async fn order(&self, id: OrderId) -> Result<Option<Arc<Snapshot>>, EngineError>;

    /// What an order has to do with others by money.
    async fn related(&self, id: OrderId) -> Result<Related, EngineError>;

    /// A page of orders, newest first.
    async fn list(&self, query: OrderQuery) -> Result<Vec<Arc<Snapshot>>, EngineError>;

    /// Entries with `seq > after`, oldest first; none when there is no such order.
    async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Option<Vec<Entry>>, EngineError>;

    /// Gives an order an event from outside.
    async fn send(&self, order: OrderId, message: Message) -> Result<Sent, SendError>;

    /// Asks for an order to be undone. The same `id` asks once.
    async fn cancel(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        reason: String,
    ) -> Result<Arc<Snapshot>, SendError>;

    /// Takes the call of an incident up again.
    async fn retry(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        note: String,
    ) -> Result<Arc<Snapshot>, SendError>;

    /// Ends an incident the way a person says.
    async fn resolve(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        note: String,
        resolution: Resolution,
    ) -> Result<Arc<Snapshot>, SendError>;

    /// Takes a provider's notification: checks its signature over the bytes that came in, then applies it.
    async fn hook(&self, connector: ConnectorName, arrived: HookNotice) -> Result<HookAnswer, HookError>;

    /// The notifications of an order, oldest first; none when there is no such order.
    async fn notices(&self, order: OrderId) -> Result<Option<Vec<Notice>>, EngineError>;

    /// Sends a notification once more that had been acknowledged.
    async fn redeliver(&self, order: OrderId, call: CallId) -> Result<(Notice, Outcome), SendError>;

    /// The providers that workflows call, by name; on demand with the calls that are in doubt.
    async fn providers(&self, with_doubt: bool) -> Result<Vec<Provider>, EngineError>;

    /// Pauses a provider, or lets it go on.
    async fn pause(&self, connector: ConnectorName, pause: Option<Pause>) -> Result<(), PauseError>;

    /// When it is, for what is said to happen now.
    fn now(&self) -> Timestamp;

    /// The workflows that orders can be opened on, by name.
    fn workflows(&self) -> Vec<Arc<Workflow>>;

    /// The version of a workflow that new orders are opened on.
    fn workflow(&self, name: &WorkflowName) -> Option<Arc<Workflow>>;

    /// Every version that orders were ever opened on, in no order.
    fn versions(&self) -> Vec<Arc<Workflow>>;

    /// A version that open orders may still be on.
    fn version(&self, version: &Version) -> Option<Arc<Workflow>>;

    /// Returns when the order has ended or needs a person; none when that took longer than `timeout`.
    async fn wait(&self, id: OrderId, timeout: Duration) -> Option<Arc<Snapshot>>;

    /// Every change of every order. A receiver that is too slow misses some.
    fn subscribe(&self) -> broadcast::Receiver<Arc<Snapshot>>;

    /// Orders are accepted: recovery is through, and the store can be written.
    async fn ready(&self) -> bool;

    /// Metrics in the text format of OpenMetrics.
    fn metrics_text(&self) -> String;
}

/// A provider's headers: lower-case names; a header that came twice has its values joined by a comma.
pub type Headers = BTreeMap<String, String>;

/// A request for a new order.
#[derive(Clone, Debug)]
pub struct Submission {
    pub workflow: WorkflowName,
    pub input: Value,
    /// The client's `Idempotency-Key`.
    pub key: Option<String>,
    /// The SHA-256 of workflow and input in canonical form, in hex: what the key stands for.
    pub body_hash: String,
}

#[derive(Clone, Debug)]
pub struct Submitted {
    pub snapshot: Arc<Snapshot>,
    /// False when the key had been used for this order before.
    pub created: bool,
}

#[derive(Clone, Debug, Default)]
pub struct Related {
    /// Its refunds, newest first: also those that were refused.
    pub refunds: Vec<Arc<Snapshot>>,
    /// The orders that are the work of its calls, newest first.
    pub children: Vec<Arc<Snapshot>>,
    /// The payment that it refunds.
    pub refund_of: Option<OrderId>,
}

/// An event from outside.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub event: EventName,
    pub payload: Value,
    /// The sender's id; without one, every request is an event of its own.
    pub id: Option<EventId>,
    /// Who says so, such as `api`.
    pub source: String,
}

#[derive(Clone, Debug)]
pub struct Sent {
    pub how: How,
    pub snapshot: Arc<Snapshot>,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It moved the order, or is recorded as having no effect.
    Applied,
    /// It waits in the order's inbox for the state that handles it.
    Waiting,
    /// An event of this id was applied before; nothing happened.
    Duplicate,
    /// Nobody is interested in it, such as a notification that no rule of the connector names.
    Ignored,
}

/// A notification as it came in.
#[derive(Clone, Debug)]
pub struct HookNotice {
    pub headers: Headers,
    /// What stands behind the `?`, decoded.
    pub query: Value,
    /// What stands behind the connector's name: nothing, or `/` and more.
    pub path: String,
    pub body: Bytes,
    /// The address of its sender.
    pub from: Option<IpAddr>,
}

#[derive(Clone, Debug)]
pub struct HookAnswer {
    pub how: How,
    /// The order that it was about, where there is one.
    pub order: Option<OrderId>,
    pub event: Option<EventName>,
    /// What the provider takes for "received".
    pub acknowledge: Acknowledged,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("there is no workflow {name}")]
    UnknownWorkflow { name: String, known: Vec<String> },
    #[error("the input does not fit the workflow's schema")]
    Invalid(Vec<SchemaViolation>),
    /// The input fits the schema and the workflow still cannot begin, such as an amount without a currency.
    #[error("{0}")]
    Refused(String),
    #[error("this Idempotency-Key was used for another request")]
    KeyReused { order: OrderId },
    #[error("a request with this Idempotency-Key is being worked on")]
    InFlight,
    #[error(transparent)]
    Engine(#[from] EngineError),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    #[error("there is no such order")]
    NotFound,
    #[error("the workflow has no event {name}")]
    UnknownEvent { name: String, known: Vec<EventName> },
    #[error("the workflow has no state {name}")]
    UnknownState { name: String, known: Vec<StateName> },
    #[error("the order has no incident")]
    NoIncident,
    /// What a call is said to have answered lacks what the workflow reads of it.
    #[error("the result lacks {}", .0.join(", "))]
    IncompleteResult(Vec<String>),
    #[error("the order is finished in state {state}")]
    Finished { state: StateName },
    /// What the order is doing does not allow it; the text says why.
    #[error("{0}")]
    NotAllowed(String),
    #[error("{0} events wait in the order's inbox already")]
    InboxFull(usize),
    #[error(transparent)]
    Engine(#[from] EngineError),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum HookError {
    #[error("no workflow here calls a connector {name} that takes notifications")]
    UnknownConnector { name: String },
    /// Says no more than this to the sender; the reason is for the log.
    #[error("the notification is not authentic: {0}")]
    BadSignature(String),
    #[error("the notification is not understood: {0}")]
    Malformed(String),
    /// It is to be sent again.
    #[error("no order is known by the reference of this notification yet")]
    TooEarly,
    #[error(transparent)]
    Send(#[from] SendError),
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum PauseError {
    #[error("there is no connector {name}")]
    UnknownConnector { name: String, known: Vec<ConnectorName> },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Why nothing can be asked of the engine at all, now.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EngineError {
    #[error("too much is under way")]
    Overloaded { retry_after: Duration },
    #[error("the disk is full")]
    Full,
    #[error("the daemon is shutting down")]
    ShuttingDown,
    /// The text is for the log, not for the client.
    #[error("the store failed: {0}")]
    Store(String),
}

impl How {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Waiting => "waiting",
            Self::Duplicate => "duplicate",
            Self::Ignored => "ignored",
        }
    }
}
