//! A round: what a loop has decided on, and commits together.

use std::collections::HashSet;
use std::sync::Arc;

use super::core::{Dispatch, Staged};
use super::shard::{Applied, How, Reply};
use crate::machine::{Event, Outcome, Status};
use crate::store::Commit;
use crate::types::{EventId, OrderId, Value};

/// Requests taken up in one round, and so the largest group that one loop commits at once.
pub(super) const ROUND_MAX: usize = 512;
/// Bytes that a round takes up, about: a group has to fit into one segment of the journal.
const ROUND_BYTES: usize = 4 << 20;

/// What one round has decided and not yet committed.
#[derive(Default)]
pub(super) struct Round {
    pub(super) commits: Arc<Vec<Commit>>,
    /// What their events weigh, about.
    bytes: usize,
    pub(super) dispatches: Vec<(OrderId, Vec<Dispatch>)>,
    pub(super) replies: Vec<(Reply, Applied)>,
    pub(super) events: HashSet<(OrderId, EventId)>,
    pub(super) ended: Vec<(OrderId, Status)>,
}

impl Round {
    /// Whatever else there is has the next one.
    pub(super) fn is_full(&self) -> bool {
        self.commits.len() >= ROUND_MAX || self.bytes >= ROUND_BYTES
    }

    pub(super) fn add(&mut self, order: OrderId, staged: Staged, reply: Option<Reply>, event: Option<EventId>) {
        if let Some(reply) = reply {
            let snapshot = Arc::clone(&staged.commit.snapshot);
            let waits = event.as_ref().is_some_and(|id| snapshot.inbox.iter().any(|early| early.id == *id));
            let how = if waits { How::Waiting } else { How::Applied };
            self.replies.push((reply, Applied { snapshot, how }));
        }
        if let Some(id) = event {
            self.events.insert((order, id));
        }
        self.bytes = self.bytes.saturating_add(weight(&staged.commit.entry.event));
        self.ended.extend(staged.ended.map(|status| (order, status)));
        Arc::make_mut(&mut self.commits).push(staged.commit);
        if !staged.dispatches.is_empty() {
            self.dispatches.push((order, staged.dispatches));
        }
    }
}

/// About how long the part of an event is that may be long.
fn weight(event: &Event) -> usize {
    match event {
        Event::Started { input: value, .. } | Event::Received { payload: value, .. } => value_weight(value),
        Event::Settled { outcome, .. } | Event::Inquired { outcome, .. } => match outcome {
            Outcome::Ok { result }
            | Outcome::Declined { result, .. }
            | Outcome::Pending { result, .. }
            | Outcome::ActionRequired { result, .. } => value_weight(result),
            Outcome::NotSent { .. } | Outcome::Unknown { .. } | Outcome::NotFound => 0,
        },
        _ => 0,
    }
}

fn value_weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 4 + text.len(),
        Value::Array(items) => 4 + items.iter().map(value_weight).sum::<usize>(),
        Value::Object(fields) => {
            4 + fields.iter().map(|(name, value)| 4 + name.len() + value_weight(value)).sum::<usize>()
        }
    }
}
