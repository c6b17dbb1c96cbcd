//! What the loops of one executor share.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::{broadcast, mpsc};

use super::catalog::Catalog;
use super::clock::Clock;
use super::desk::Desk;
use super::pauses::Paused;
use super::shard::Message;
use super::strays::Strays;
use super::tally::Counts;
use super::volatile::Kept;
use crate::connector::{Connector, Connectors, Invocation};
use crate::machine::Snapshot;
use crate::store::{Store, StoreError};
use crate::types::OrderId;

pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) catalog: Catalog,
    pub(super) connectors: Arc<Connectors>,
    pub(super) desk: Desk,
    pub(super) changes: broadcast::Sender<Arc<Snapshot>>,
    pub(super) in_flight: AtomicU64,
    pub(super) counts: Counts,
    pub(super) strays: Strays,
    pub(super) paused: Paused,
    pub(super) volatile: Kept,
    /// What each loop has.
    pub(super) holdings: Vec<Holding>,
    pub(super) failed: OnceLock<String>,
    pub(super) stopping: AtomicBool,
    queues: OnceLock<Vec<mpsc::Sender<Message>>>,
    hasher: RandomState,
}

/// The orders of one loop, counted.
#[derive(Debug, Default)]
pub(super) struct Holding {
    /// In memory.
    pub(super) resident: AtomicU64,
    /// With a timer, in memory or not.
    pub(super) timed: AtomicU64,
    /// Calls that wait for their turn at a provider.
    pub(super) queued: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        connectors: Arc<Connectors>,
        catalog: Catalog,
        shards: usize,
    ) -> Self {
        Self {
            desk: Desk::new(Arc::clone(&store)),
            store,
            clock,
            catalog,
            connectors,
            changes: broadcast::channel(1_024).0,
            in_flight: AtomicU64::new(0),
            counts: Counts::default(),
            strays: Strays::default(),
            paused: Paused::default(),
            volatile: Kept::default(),
            holdings: (0..shards).map(|_| Holding::default()).collect(),
            failed: OnceLock::new(),
            stopping: AtomicBool::new(false),
            queues: OnceLock::new(),
            hasher: RandomState::new(),
        }
    }

    pub(super) fn connect(&self, queues: Vec<mpsc::Sender<Message>>) {
        // Set once, by the executor that makes the loops, before anything is sent.
        let _ = self.queues.set(queues);
    }

    /// The queue of the loop that owns an order.
    pub(super) fn queue(&self, order: OrderId) -> Option<&mpsc::Sender<Message>> {
        self.queues().get(self.index(order)?)
    }

    /// Which loop owns an order.
    pub(super) fn index(&self, order: OrderId) -> Option<usize> {
        let loops = u64::try_from(self.queues().len()).ok()?.max(1);
        usize::try_from(self.hasher.hash_one(order) % loops).ok()
    }

    pub(super) fn queues(&self) -> &[mpsc::Sender<Message>] {
        self.queues.get().map_or(&[], Vec::as_slice)
    }

    /// Hands a message to the loop that owns the order, and waits for room. A loop that has stopped takes nothing: its
    /// calls are unknown after the restart, as after a crash.
    pub(super) async fn deliver(&self, order: OrderId, message: Message) {
        if let Some(index) = self.index(order) {
            self.tell(index, message).await;
        }
    }

    /// Hands a message to one loop, and waits for room.
    pub(super) async fn tell(&self, index: usize, message: Message) {
        if let Some(queue) = self.queues().get(index) {
            let _ = queue.send(message).await;
        }
    }

    pub(super) fn connector(&self, invocation: &Invocation) -> Result<Arc<dyn Connector>, String> {
        self.connectors.get(&invocation.connector, &invocation.version).map_err(|error| error.to_string())
    }

    pub(super) fn publish(&self, snapshot: &Arc<Snapshot>) {
        if self.changes.receiver_count() > 0 {
            // No receiver is no error: the dashboard may be closed at any moment.
            let _ = self.changes.send(Arc::clone(snapshot));
        }
    }

    /// The store failed: nothing is accepted from now on.
    pub(super) fn fail(&self, error: &StoreError) {
        let _ = self.failed.set(error.to_string());
        self.stopping.store(true, Ordering::Release);
    }
}
