//! One atomic durable commit, and the reads that the executor and the API need.

pub mod conformance;
mod links;
mod memory;
mod sled;

use std::sync::Arc;

use async_trait::async_trait;

use crate::definition::Sources;
use crate::journal::{Entry, JournalError};
use crate::machine::{Snapshot, Status};
use crate::types::{Currency, EventId, OrderId, Pauses, Position, Seq, StateName, Timestamp, Version, WorkflowName};

pub use self::sled::{Archived, Checkup, CheckupOptions, Fold, OrderNote, SledOptions, SledStore, checkup};
pub use links::{Link, reference_id};
pub use memory::MemoryStore;

/// One event of one order: everything that becomes durable together.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its `prev` is the position of the order's last entry, as `Stored` told it; inside one batch the store sets it.
    pub entry: Entry,
    /// The fold after the entry; `snapshot.seq == entry.seq`.
    pub snapshot: Arc<Snapshot>,
}

/// A committed order: its snapshot, and where its last entry stands in the journal.
#[derive(Clone, Debug)]
pub struct Stored {
    pub snapshot: Arc<Snapshot>,
    pub tip: Position,
}

/// What a restart has to know of an order with something still to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOrder {
    pub id: OrderId,
    /// A call of it was under way: it is taken up at once. May be true of an order that has none.
    pub under_way: bool,
    /// When its next timer is due.
    pub due: Option<Timestamp>,
}

/// Which order answers an `Idempotency-Key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    pub order: OrderId,
    /// The SHA-256 of the body that came with the key, in hex.
    pub body_hash: String,
}

/// A page of orders, newest first. A page may be shorter than `limit` although more follow: only an empty one is the end.
#[derive(Clone, Debug, Default)]
pub struct OrderQuery {
    pub workflow: Option<WorkflowName>,
    pub state: Option<StateName>,
    pub status: Option<Status>,
    /// Only orders older than this one.
    pub after: Option<OrderId>,
    pub limit: usize,
}

/// The store cannot go on: its disk failed, or it is full, or its files are damaged.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Nothing is acknowledged after this: the process must stop.
    #[error("the journal could not be written: {0}")]
    Fatal(String),
    /// Nothing of the batch was written; it may be tried again when there is room.
    #[error("the disk is full")]
    Full,
    #[error("another daemon uses {0}")]
    Locked(String),
    /// The data directory cannot be made, or nothing can be written in it.
    #[error("{dir} cannot be written to: {why}")]
    Closed { dir: String, why: String },
    #[error("{0}")]
    Damaged(String),
    /// Nothing of the batch was written, and trying it again does not help.
    #[error("{0}")]
    TooLarge(String),
    #[error("could not read {what}: {why}")]
    Read { what: String, why: String },
}

/// Holds the orders. `memory` for tests, `sled` with the journal for production.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes all of `batch`, in its order. On return everything in it is on disk; the answer has the position of each
    /// entry. Within a batch the entries of one order follow one another by `seq`. An entry whose `seq` does not follow
    /// the stored one is a bug of the caller and fails the batch as `Damaged`, with nothing written. The batch is shared, so
    /// that the caller still has it when there was no room for it.
    async fn commit(&self, batch: Arc<Vec<Commit>>) -> Result<Vec<Position>, StoreError>;

    /// Keeps a version's texts, durably. Keeping the same version again does nothing.
    async fn keep_definition(
        &self,
        workflow: &WorkflowName,
        version: &Version,
        sources: &Sources,
        at: Timestamp,
    ) -> Result<(), StoreError>;

    /// The texts of every version that was ever kept, oldest first.
    async fn definitions(&self) -> Result<Vec<(WorkflowName, Version, Sources)>, StoreError>;

    /// Keeps which connectors are paused, durably, in place of what was kept before.
    async fn keep_pauses(&self, pauses: &Pauses) -> Result<(), StoreError>;

    async fn pauses(&self) -> Result<Pauses, StoreError>;

    async fn order(&self, id: OrderId) -> Result<Option<Stored>, StoreError>;

    /// Entries of an order with `seq > after`, oldest first, at most `limit`.
    async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError>;

    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Snapshot>>, StoreError>;

    /// Orders with something still to do (`Snapshot::is_open`), by id, after `after`: what a restart takes up again.
    async fn open_orders(&self, after: Option<OrderId>, limit: usize) -> Result<Vec<OpenOrder>, StoreError>;

    /// Under which entry an event of this id was applied to this order.
    async fn seen(&self, order: OrderId, event: &EventId) -> Result<Option<Seq>, StoreError>;

    async fn key(&self, key: &str) -> Result<Option<KeyRecord>, StoreError>;

    /// Orders that belong to another one: newest first, at most `limit`.
    async fn linked(&self, link: Link, to: OrderId, limit: usize) -> Result<Vec<OrderId>, StoreError>;

    /// The payment that this order refunds, or tried to.
    async fn refund_of(&self, order: OrderId) -> Result<Option<OrderId>, StoreError>;

    /// The sum of all postings to an account.
    async fn balance(&self, account: &str, currency: Currency) -> Result<i64, StoreError>;

    /// When the last record was written, by the clock of then. None if there is no record, or it cannot be read.
    async fn last_at(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Whether an order may become this: why not, if it is too large to be kept. What is more than this by a little, such
    /// as the incident that tells of it, can still be kept.
    fn admits(&self, _order: &Snapshot) -> Result<(), String> {
        Ok(())
    }

    /// Orders of whose journals entries are lost, and what is known of it. Each is told until its next commit.
    fn gaps(&self) -> Vec<(OrderId, String)> {
        Vec::new()
    }

    /// Why nothing is acknowledged any more, if something has failed that nobody was waiting for.
    fn failure(&self) -> Option<String> {
        None
    }

    /// Waits for what is under way, makes everything durable and closes the files.
    async fn close(&self) -> Result<(), StoreError>;
}

impl From<&Snapshot> for OpenOrder {
    fn from(snapshot: &Snapshot) -> Self {
        Self { id: snapshot.id, under_way: snapshot.is_under_way(), due: snapshot.next_due() }
    }
}

impl Commit {
    /// The two halves must tell of the same entry.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let (entry, snapshot) = (&self.entry, &self.snapshot);
        if snapshot.id == entry.order && snapshot.seq == entry.seq {
            return Ok(());
        }
        let (order, seq) = (entry.order, entry.seq);
        Err(StoreError::Damaged(format!("entry {seq} of {order} came with another entry's snapshot")))
    }
}

impl OrderQuery {
    /// Whether the filters let the order pass. `after` and `limit` are not looked at.
    pub(crate) fn matches(&self, snapshot: &Snapshot) -> bool {
        self.workflow.as_ref().is_none_or(|workflow| *workflow == snapshot.workflow)
            && self.state.as_ref().is_none_or(|state| *state == snapshot.state)
            && self.status.is_none_or(|status| status == snapshot.status)
    }
}

impl StoreError {
    pub(crate) fn out_of_order(order: OrderId, seq: Seq, before: Seq) -> Self {
        Self::Damaged(format!("entry {seq} of {order} does not follow entry {before}"))
    }
}

impl From<JournalError> for StoreError {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Fatal(why) => Self::Fatal(why),
            JournalError::Full => Self::Full,
            JournalError::Damaged(_) | JournalError::Newer { .. } => Self::Damaged(error.to_string()),
            JournalError::TooLarge { .. } | JournalError::TooDeep { .. } => Self::TooLarge(error.to_string()),
            JournalError::Io { .. } | JournalError::Record { .. } => {
                Self::Read { what: "the journal".to_owned(), why: error.to_string() }
            }
        }
    }
}
