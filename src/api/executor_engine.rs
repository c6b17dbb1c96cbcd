//! The executor as the engine behind the API.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::engine::{
    Engine, EngineError, HookAnswer, HookError, HookNotice, How, Message, PauseError, Related, SendError, Sent,
    Submission, SubmitError, Submitted,
};
use super::metrics;
use crate::connector::Arrived;
use crate::definition::Workflow;
use crate::executor::{self, ApplyError, Executor, Hooked, Notice, Provider, RedeliverError, random_id};
use crate::journal::Entry;
use crate::machine::{Event, Outcome, Rejection, Resolution, Snapshot, needed_of_result};
use crate::store::{Link, OrderQuery, StoreError};
use crate::types::{CallId, ConnectorName, EventId, OrderId, Pause, Seq, Timestamp, Value, Version, WorkflowName};

/// How long a client should wait before it tries again, when too much is under way.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Refunds, and children, that are shown with an order.
const RELATED_MAX: usize = 100;

#[async_trait]
impl Engine for Executor {
    async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let Submission { workflow, input, key, body_hash } = submission;
        let key = key.map(|key| (key, body_hash));
        let submitted = Self::submit(self, executor::Submission { workflow, input, key, child: None }).await?;
        Ok(Submitted { snapshot: submitted.snapshot, created: submitted.created })
    }

    async fn order(&self, id: OrderId) -> Result<Option<Arc<Snapshot>>, EngineError> {
        Ok(Self::order(self, id).await?)
    }

    async fn related(&self, id: OrderId) -> Result<Related, EngineError> {
        Ok(Related {
            refunds: self.linked(Link::Refund, id, RELATED_MAX).await?,
            children: self.linked(Link::Child, id, RELATED_MAX).await?,
            refund_of: self.refund_of(id).await?,
        })
    }

    async fn list(&self, query: OrderQuery) -> Result<Vec<Arc<Snapshot>>, EngineError> {
        Ok(Self::list(self, &query).await?)
    }

    async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Option<Vec<Entry>>, EngineError> {
        if Self::order(self, id).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(Self::journal(self, id, after, limit).await?))
    }

    async fn send(&self, order: OrderId, message: Message) -> Result<Sent, SendError> {
        let Message { event: name, payload, id, source } = message;
        let applied = self.apply(order, Event::Received { id: named(id), name, payload, source }).await?;
        Ok(Sent { how: how(applied.how), snapshot: applied.snapshot })
    }

    async fn cancel(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        reason: String,
    ) -> Result<Arc<Snapshot>, SendError> {
        Ok(self.apply(order, Event::CancelRequested { id: named(id), by, reason }).await?.snapshot)
    }

    async fn retry(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        note: String,
    ) -> Result<Arc<Snapshot>, SendError> {
        Ok(self.apply(order, Event::RetryRequested { id: named(id), by, note }).await?.snapshot)
    }

    async fn resolve(
        &self,
        order: OrderId,
        id: Option<EventId>,
        by: String,
        note: String,
        resolution: Resolution,
    ) -> Result<Arc<Snapshot>, SendError> {
        if let Resolution::State { state, .. } = &resolution {
            self.must_have_state(order, state.as_str()).await?;
        }
        if let Resolution::Ok { result } = &resolution {
            self.must_be_whole(order, result).await?;
        }
        Ok(self.apply(order, Event::Resolved { id: named(id), by, note, resolution }).await?.snapshot)
    }

    async fn hook(&self, connector: ConnectorName, notice: HookNotice) -> Result<HookAnswer, HookError> {
        let HookNotice { headers, query, path, body, from } = notice;
        let arrived = Arrived { headers: &headers, query: &query, path: &path, body: &body, from };
        let received = Self::hook(self, connector.as_str(), &arrived).await?;
        // Of several things, the first that an order knew.
        let known = received.told.iter().find_map(|told| match told {
            Hooked::Applied { order, how: applied } => Some((how(*applied), *order)),
            Hooked::Unmatched { .. } => None,
        });
        let (how, order) = known.map_or((How::Ignored, None), |(how, order)| (how, Some(order)));
        Ok(HookAnswer { how, order, event: None, acknowledge: received.acknowledge })
    }

    async fn notices(&self, order: OrderId) -> Result<Option<Vec<Notice>>, EngineError> {
        Ok(Self::notices(self, order).await?)
    }

    async fn redeliver(&self, order: OrderId, call: CallId) -> Result<(Notice, Outcome), SendError> {
        Self::redeliver(self, order, call).await.map_err(|error| match error {
            RedeliverError::NoOrder => SendError::NotFound,
            RedeliverError::NoNotice(_) | RedeliverError::NotNow(_) => SendError::NotAllowed(error.to_string()),
            RedeliverError::Store(error) => SendError::Engine(error.into()),
        })
    }

    async fn providers(&self, with_doubt: bool) -> Result<Vec<Provider>, EngineError> {
        Self::providers(self, with_doubt).await.map_err(|error| match PauseError::from(error) {
            PauseError::Engine(error) => error,
            other @ PauseError::UnknownConnector { .. } => EngineError::Store(other.to_string()),
        })
    }

    async fn pause(&self, connector: ConnectorName, pause: Option<Pause>) -> Result<(), PauseError> {
        Ok(Self::pause(self, &connector, pause).await?)
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    fn workflows(&self) -> Vec<Arc<Workflow>> {
        self.catalog().all()
    }

    fn workflow(&self, name: &WorkflowName) -> Option<Arc<Workflow>> {
        self.catalog().current(name)
    }

    fn versions(&self) -> Vec<Arc<Workflow>> {
        self.catalog().versions()
    }

    fn version(&self, version: &Version) -> Option<Arc<Workflow>> {
        self.catalog().version(version)
    }

    async fn wait(&self, id: OrderId, timeout: Duration) -> Option<Arc<Snapshot>> {
        Self::wait(self, id, timeout).await
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Snapshot>> {
        Self::subscribe(self)
    }

    async fn ready(&self) -> bool {
        self.failure().is_none() && !self.is_stopping()
    }

    fn metrics_text(&self) -> String {
        metrics::text(self)
    }
}

impl Executor {
    async fn must_have_state(&self, order: OrderId, state: &str) -> Result<(), SendError> {
        let snapshot = Self::order(self, order).await.map_err(EngineError::from)?.ok_or(SendError::NotFound)?;
        let Some(workflow) = self.catalog().version(&snapshot.version) else { return Ok(()) };
        if workflow.index.contains_key(state) {
            return Ok(());
        }
        let known = workflow.states.iter().map(|state| state.name.clone()).collect();
        Err(SendError::UnknownState { name: state.to_owned(), known })
    }

    /// Asked before anything is booked: the workflow could not go on with less, and would stop at the next incident.
    async fn must_be_whole(&self, order: OrderId, result: &Value) -> Result<(), SendError> {
        let snapshot = Self::order(self, order).await.map_err(EngineError::from)?.ok_or(SendError::NotFound)?;
        let Some(workflow) = self.catalog().version(&snapshot.version) else { return Ok(()) };
        let mut missing = needed_of_result(&workflow, &snapshot);
        missing.retain(|field| result.get(field).is_none());
        if missing.is_empty() { Ok(()) } else { Err(SendError::IncompleteResult(missing)) }
    }
}

/// An event whose sender gave it no id is one of its own.
fn named(id: Option<EventId>) -> EventId {
    id.unwrap_or_else(|| EventId::new(random_id()))
}

fn how(how: executor::How) -> How {
    match how {
        executor::How::Applied => How::Applied,
        executor::How::Waiting => How::Waiting,
        executor::How::Duplicate => How::Duplicate,
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            other => Self::Store(other.to_string()),
        }
    }
}

impl From<ApplyError> for SendError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::NotFound => Self::NotFound,
            ApplyError::Rejected(rejection) => rejected(rejection),
            other => Self::Engine(engine_error(other)),
        }
    }
}

fn rejected(rejection: Rejection) -> SendError {
    match rejection {
        Rejection::UnknownEvent { name, known } => SendError::UnknownEvent { name: name.to_string(), known },
        Rejection::NoIncident => SendError::NoIncident,
        Rejection::Finished { state } => SendError::Finished { state },
        Rejection::InboxFull(count) => SendError::InboxFull(count),
        other @ (Rejection::Stale
        | Rejection::NotThatWay { .. }
        | Rejection::NotAllowed(_)
        | Rejection::TooLarge(_)
        | Rejection::Broken(_)) => SendError::NotAllowed(other.to_string()),
    }
}

fn engine_error(error: ApplyError) -> EngineError {
    match error {
        ApplyError::Overloaded => EngineError::Overloaded { retry_after: RETRY_AFTER },
        ApplyError::ShuttingDown => EngineError::ShuttingDown,
        ApplyError::Store(error) => error.into(),
        other @ (ApplyError::NotFound | ApplyError::Rejected(_)) => EngineError::Store(other.to_string()),
    }
}

impl From<executor::SubmitError> for SubmitError {
    fn from(error: executor::SubmitError) -> Self {
        match error {
            executor::SubmitError::UnknownWorkflow { name, known } => Self::UnknownWorkflow { name, known },
            executor::SubmitError::Invalid(violations) => Self::Invalid(violations),
            executor::SubmitError::KeyReused { order } => Self::KeyReused { order },
            executor::SubmitError::KeyInFlight => Self::InFlight,
            executor::SubmitError::Refused(ApplyError::Rejected(rejection)) => Self::Refused(rejection.to_string()),
            executor::SubmitError::Refused(error) => Self::Engine(engine_error(error)),
        }
    }
}

impl From<executor::PauseError> for PauseError {
    fn from(error: executor::PauseError) -> Self {
        match error {
            executor::PauseError::Unknown { name, known } => Self::UnknownConnector { name, known },
            executor::PauseError::Store(error) => Self::Engine(error.into()),
            executor::PauseError::Apply(error) => Self::Engine(engine_error(error)),
        }
    }
}

impl From<executor::HookError> for HookError {
    fn from(error: executor::HookError) -> Self {
        match error {
            executor::HookError::UnknownConnector(name) => Self::UnknownConnector { name },
            executor::HookError::Unverified(why) => Self::BadSignature(why.to_string()),
            executor::HookError::Unreadable(why) => Self::Malformed(why.to_string()),
            executor::HookError::TooEarly => Self::TooEarly,
            executor::HookError::Apply(error) => Self::Send(error.into()),
        }
    }
}
