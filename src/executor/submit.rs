//! Submitting an order: the input is checked, the key is claimed, and the order is durable before it is acknowledged.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Executor;
use super::core::Opened;
use super::shard::{ApplyError, Message};
use crate::definition::{SchemaViolation, Workflow};
use crate::machine::{Parent, Snapshot};
use crate::store::StoreError;
use crate::types::{OrderId, Value, WorkflowName};

/// A request for a new order.
#[derive(Clone, Debug)]
pub struct Submission {
    pub workflow: WorkflowName,
    pub input: Value,
    /// The client's `Idempotency-Key` and the SHA-256 of the body that came with it, in hex.
    pub key: Option<(String, String)>,
    /// For a child order: its id is fixed by its parent's call.
    pub child: Option<(OrderId, Parent)>,
}

#[derive(Clone, Debug)]
pub struct Submitted {
    pub snapshot: Arc<Snapshot>,
    /// False when the key, or the child's id, had been used for this order before.
    pub created: bool,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("there is no workflow {name}; there are: {}", known.join(", "))]
    UnknownWorkflow { name: String, known: Vec<String> },
    #[error("the input does not fit the workflow's schema")]
    Invalid(Vec<SchemaViolation>),
    #[error("this Idempotency-Key was used for another request")]
    KeyReused { order: OrderId },
    #[error("a request with this Idempotency-Key is being worked on")]
    KeyInFlight,
    #[error(transparent)]
    Refused(#[from] ApplyError),
}

impl From<StoreError> for SubmitError {
    fn from(error: StoreError) -> Self {
        Self::Refused(ApplyError::Store(error))
    }
}

impl Executor {
    /// Opens an order and waits until it has ended or needs a person, at most `timeout`; then as it stands.
    pub async fn submit_and_wait(
        &self,
        submission: Submission,
        timeout: std::time::Duration,
    ) -> Result<Arc<Snapshot>, SubmitError> {
        let submitted = self.submit(submission).await?;
        let id = submitted.snapshot.id;
        if let Some(ended) = self.wait(id, timeout).await {
            return Ok(ended);
        }
        Ok(self.order(id).await?.unwrap_or(submitted.snapshot))
    }

    /// Opens an order. On return it is on disk, or it is certain that it was not opened.
    pub async fn submit(&self, mut submission: Submission) -> Result<Submitted, SubmitError> {
        let workflow = self.shared.catalog.current(&submission.workflow).ok_or_else(|| {
            let known = self.shared.catalog.all().iter().map(|workflow| workflow.name.to_string()).collect();
            SubmitError::UnknownWorkflow { name: submission.workflow.to_string(), known }
        })?;
        let held = match &submission.key {
            Some((key, _)) => Some(self.keys.take(key).ok_or(SubmitError::KeyInFlight)?),
            None => None,
        };
        if let Some((key, body_hash)) = &submission.key
            && let Some(record) = self.shared.store.key(key).await?
        {
            if record.body_hash != *body_hash {
                return Err(SubmitError::KeyReused { order: record.order });
            }
            let snapshot = self.order(record.order).await?.ok_or(ApplyError::NotFound)?;
            // A restart may have forgotten it since.
            if !snapshot.status.is_final() && workflow.input.validate(&submission.input).is_ok() {
                let taken = workflow.volatile.take(&mut submission.input);
                if !self.shared.volatile.keep_again(record.order, taken, self.shared.clock.now()) {
                    return Err(SubmitError::KeyReused { order: record.order });
                }
            }
            return Ok(Submitted { snapshot, created: false });
        }
        fault_point!("submit::after-key");
        workflow.input.validate(&submission.input).map_err(SubmitError::Invalid)?;
        let (id, parent) = match submission.child {
            Some((id, parent)) => (id, Some(parent)),
            None => (self.shared.clock.order_id(), None),
        };
        self.keep(&workflow, id, &mut submission.input);
        let opened = Box::new(Opened { id, workflow, input: submission.input, key: submission.key, parent });
        let (reply, answer) = oneshot::channel();
        self.request(id, Message::Open { opened, reply: Some(reply) })?;
        let applied = answer.await.map_err(|_| ApplyError::ShuttingDown)??;
        fault_point!("submit::opened");
        drop(held);
        Ok(Submitted { snapshot: applied.snapshot, created: applied.how == super::How::Applied })
    }

    /// Takes what may not be written down out of an input, and keeps it in memory.
    fn keep(&self, workflow: &Workflow, order: OrderId, input: &mut Value) {
        if !workflow.volatile.is_empty() {
            let taken = workflow.volatile.take(input);
            self.shared.volatile.keep(order, taken, self.shared.clock.now());
        }
    }
}
