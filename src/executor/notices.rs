//! The notifications that an order has sent, and sending one of them again.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Executor;
use super::core::invocation;
use super::dispatch::run;
use super::recovery::Refold;
use crate::connector::Invocation;
use crate::definition::{Replay, Workflow};
use crate::machine::{Outcome, Phase, Role, Snapshot};
use crate::store::{Fold, StoreError};
use crate::types::{Attempt, CallId, OrderId, Seq, Timestamp};

const PAGE: usize = 500;

/// A call of an `entry`: what was told, or is still to be told, to somebody.
#[derive(Clone, Debug)]
pub struct Notice {
    pub call: CallId,
    /// The connector and its operation.
    pub name: String,
    /// By this its receiver knows a repetition.
    pub key: String,
    pub attempts: Attempt,
    pub first_sent_at: Timestamp,
    /// When it was acknowledged.
    pub acknowledged_at: Option<Timestamp>,
    /// It was given up, and an incident says so.
    pub given_up: bool,
    /// Its operation says that a repetition does no harm.
    pub repeatable: bool,
    invocation: Invocation,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum RedeliverError {
    #[error("there is no such order")]
    NoOrder,
    #[error("the order has no notification {0}")]
    NoNotice(CallId),
    #[error("{0}")]
    NotNow(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Executor {
    /// The notifications of an order, oldest first, read from its journal. None if there is no such order.
    pub async fn notices(&self, order: OrderId) -> Result<Option<Vec<Notice>>, StoreError> {
        let Some(stored) = self.order(order).await? else { return Ok(None) };
        let Some(workflow) = self.catalog().version(&stored.version) else { return Ok(Some(Vec::new())) };
        let fold = Refold::knowing([Arc::clone(&workflow)]);
        let mut notices = BTreeMap::new();
        let (mut snapshot, mut after): (Option<Snapshot>, _) = (None, Seq(0));
        loop {
            let entries = self.journal(order, after, PAGE).await?;
            let Some(last) = entries.last() else { break };
            after = last.seq;
            for entry in &entries {
                // Behind a gap nothing can be told any more.
                let Ok(next) = fold.fold(snapshot.as_ref(), entry) else {
                    return Ok(Some(notices.into_values().collect()));
                };
                note(&mut notices, &workflow, &next, entry.at);
                snapshot = Some(next);
            }
        }
        Ok(Some(notices.into_values().collect()))
    }

    /// Sends a notification once more that had been acknowledged, under the same key. Nothing of it is kept: the order has
    /// been told already.
    pub async fn redeliver(&self, order: OrderId, call: CallId) -> Result<(Notice, Outcome), RedeliverError> {
        let notices = self.notices(order).await?.ok_or(RedeliverError::NoOrder)?;
        let notice = notices.into_iter().find(|notice| notice.call == call).ok_or(RedeliverError::NoNotice(call))?;
        let name = &notice.name;
        if notice.given_up {
            let why = format!(
                "{name} was given up: `retry` takes it up again, and the order goes on when it is acknowledged"
            );
            return Err(RedeliverError::NotNow(why));
        }
        if notice.acknowledged_at.is_none() {
            return Err(RedeliverError::NotNow(format!(
                "{name} has not been acknowledged yet, and is repeated by itself"
            )));
        }
        if !notice.repeatable {
            return Err(RedeliverError::NotNow(format!(
                "{name} does not say `repeat: safe`, so that it is not repeated"
            )));
        }
        if let Some(pause) = self.pauses().get(&notice.invocation.connector) {
            return Err(RedeliverError::NotNow(format!("its connector has been paused by {}", pause.by)));
        }
        let connector = self.shared.connector(&notice.invocation).map_err(RedeliverError::NotNow)?;
        let outcome = run(Arc::clone(&connector), notice.invocation.clone(), false).await;
        if connector.is_gone() {
            self.shared.close(&notice.invocation.connector).await;
        }
        Ok((notice, outcome))
    }
}

/// What an entry says of the order's notifications.
fn note(notices: &mut BTreeMap<CallId, Notice>, workflow: &Workflow, order: &Snapshot, at: Timestamp) {
    for (&id, call) in &order.calls {
        let Role::Effect { .. } = call.role else { continue };
        let Some(invocation) = invocation(workflow, order, id) else { continue };
        let operation = workflow.connectors.get(&call.connector).and_then(|one| one.operations.get(&call.operation));
        let given_up = matches!(call.phase, Phase::Parked { .. });
        let notice = Notice {
            call: id,
            name: format!("{}.{}", call.connector, call.operation),
            key: invocation.key.clone(),
            attempts: call.attempt,
            first_sent_at: call.begun_at,
            acknowledged_at: None,
            given_up,
            repeatable: operation.is_some_and(|operation| operation.idempotency.replay == Replay::Safe),
            invocation,
        };
        notices.insert(id, notice);
    }
    // What is no call of the order any more was acknowledged, or a person has said so.
    for (id, notice) in notices.iter_mut() {
        if !order.calls.contains_key(id) && notice.acknowledged_at.is_none() {
            notice.acknowledged_at = Some(at);
            notice.given_up = false;
        }
    }
}
