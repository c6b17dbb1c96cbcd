//! The shell: load → decide → commit → dispatch; timers, recovery, shutdown.
//!
//! **Invariant.** One loop owns an order; nothing is sent before the entry that asks for it is durable.

mod builtin;
mod catalog;
mod clock;
mod core;
mod desk;
mod dispatch;
mod full;
mod hook;
mod keys;
mod lanes;
mod notices;
mod pauses;
mod recovery;
mod round;
mod shard;
mod shared;
mod steady;
mod strays;
mod submit;
mod tally;
mod volatile;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

pub use catalog::Catalog;
pub use clock::{Clock, Machine, Readings, SystemClock, instant, pause, random_id};
pub use core::{Core, Dispatch, Opened, Staged};
pub use desk::Counter;
pub use hook::{HookError, Hooked, Received};
pub use lanes::Traffic;
pub use notices::{Notice, RedeliverError};
pub use pauses::{Doubt, PauseError, Provider};
pub use recovery::{Refold, StartError, read_versions};
pub use shard::{Applied, ApplyError, How};
pub use steady::SteadyClock;
pub use submit::{Submission, SubmitError, Submitted};
pub use tally::Tally;

use crate::connector::Connectors;
use crate::definition::Workflow;
use crate::journal::Entry;
use crate::machine::{Event, Snapshot};
use crate::store::{Link, OrderQuery, Store, StoreError};
use crate::types::{OrderId, Seq};
use keys::Keys;
use shard::{Message, Shard};
use shared::Shared;

/// Requests that may wait for one loop; more are refused at once, so that what was accepted keeps its pace.
const QUEUE_MAX: usize = 4_096;

#[derive(Clone, Debug)]
pub struct Options {
    /// Loops that share the orders out among them.
    pub shards: usize,
    /// Orders that only wait, and that each loop keeps in memory all the same.
    pub keep_waiting: usize,
    /// Where the dated limits of payment accounts come from; none refuses every reservation.
    pub limits: Option<Arc<crate::ledger::LimitTable>>,
    /// Start also when the clock is months ahead of the journal's last entry and timers would fire by it.
    pub believe_clock: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { shards: 4, keep_waiting: 4_096, limits: None, believe_clock: false }
    }
}

/// Drives orders. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    shared: Arc<Shared>,
    keys: Arc<Keys>,
    loops: Arc<std::sync::Mutex<Vec<JoinHandle<()>>>>,
}

impl Executor {
    /// Opens the executor on a store: learns the versions that open orders are on, and begins to take those orders up
    /// again, while requests are already served.
    pub async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        connectors: Arc<Connectors>,
        workflows: Vec<Arc<Workflow>>,
        options: Options,
    ) -> Result<Self, StartError> {
        recovery::set_clock(&*store, &*clock, options.believe_clock).await?;
        let catalog = recovery::catalog(&*store, &*clock, workflows, &connectors).await?;
        let shared = Arc::new(Shared::new(store, clock, connectors, catalog, options.shards.max(1)));
        let mut queues = Vec::new();
        let mut loops = Vec::new();
        let mut shards = Vec::new();
        for index in 0..options.shards.max(1) {
            let (queue, inbox) = mpsc::channel(QUEUE_MAX);
            queues.push(queue);
            shards.push(Shard::new(index, Arc::clone(&shared), inbox, options.keep_waiting));
        }
        shared.connect(queues);
        let paused = shared.store.pauses().await?;
        for mut shard in shards {
            paused.iter().for_each(|(name, pause)| shard.pause(name, Some(pause)));
            loops.push(tokio::spawn(shard.run()));
        }
        shared.paused.replace(paused);
        let executor = Self { shared, keys: Arc::new(Keys::default()), loops: Arc::new(std::sync::Mutex::new(loops)) };
        builtin::register(&executor, options.limits);
        let halted = recovery::halt(&executor.shared).await;
        tokio::spawn(recovery::take_up(Arc::clone(&executor.shared), halted));
        Ok(executor)
    }

    /// Applies an event to an order; on return it is durable.
    pub async fn apply(&self, order: OrderId, event: Event) -> Result<Applied, ApplyError> {
        let (reply, answer) = oneshot::channel();
        self.request(order, Message::Apply { order, event, reply: Some(reply) })?;
        let answer = answer.await.map_err(|_| ApplyError::ShuttingDown)?;
        fault_point!("event::applied");
        answer
    }

    fn request(&self, order: OrderId, message: Message) -> Result<(), ApplyError> {
        if self.shared.stopping.load(Ordering::Acquire) {
            return Err(ApplyError::ShuttingDown);
        }
        let queue = self.shared.queue(order).ok_or(ApplyError::ShuttingDown)?;
        queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ApplyError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => ApplyError::ShuttingDown,
        })
    }

    pub async fn order(&self, id: OrderId) -> Result<Option<Arc<Snapshot>>, StoreError> {
        Ok(self.shared.store.order(id).await?.map(|stored| stored.snapshot))
    }

    pub async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Snapshot>>, StoreError> {
        self.shared.store.list(query).await
    }

    /// The orders that belong to another one, newest first, at most `limit`: also refunds that were refused.
    pub async fn linked(&self, link: Link, to: OrderId, limit: usize) -> Result<Vec<Arc<Snapshot>>, StoreError> {
        let mut orders = Vec::new();
        for id in self.shared.store.linked(link, to, limit).await? {
            orders.extend(self.order(id).await?);
        }
        Ok(orders)
    }

    /// The payment that an order refunds, or tried to.
    pub async fn refund_of(&self, order: OrderId) -> Result<Option<OrderId>, StoreError> {
        self.shared.store.refund_of(order).await
    }

    pub async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.shared.store.journal(id, after, limit).await
    }

    /// Waits until the order has ended or needs a person, at most `timeout`. Without an answer the order goes on.
    pub async fn wait(&self, id: OrderId, timeout: Duration) -> Option<Arc<Snapshot>> {
        let (reply, answer) = oneshot::channel();
        self.request(id, Message::Watch { order: id, reply }).ok()?;
        tokio::time::timeout(timeout, answer).await.ok()?.ok()
    }

    /// Every change of every order, for the dashboard. A receiver that is too slow misses some.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Snapshot>> {
        self.shared.changes.subscribe()
    }

    pub fn catalog(&self) -> &Catalog {
        &self.shared.catalog
    }

    pub fn connectors(&self) -> &Arc<Connectors> {
        &self.shared.connectors
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// Calls that are on their way to a provider right now.
    pub fn in_flight(&self) -> u64 {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// What has been counted since the start.
    pub fn tally(&self) -> Tally {
        let holdings = &self.shared.holdings;
        let resident = holdings.iter().map(|holding| holding.resident.load(Ordering::Relaxed)).sum();
        let timed = holdings.iter().map(|holding| holding.timed.load(Ordering::Relaxed)).sum();
        let queued = holdings.iter().map(|holding| holding.queued.load(Ordering::Relaxed)).sum();
        self.shared.counts.read(resident, timed, queued)
    }

    /// It takes no requests any more.
    pub fn is_stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Acquire)
    }

    /// Why nothing is accepted any more, if the store has failed.
    pub fn failure(&self) -> Option<&str> {
        self.shared.failed.get().map(String::as_str)
    }

    /// Puts a version of a workflow to use: it is kept in the journal first, so that its orders can always go on.
    pub async fn activate(&self, workflow: Arc<Workflow>) -> Result<(), StoreError> {
        recovery::keep(&*self.shared.store, &*self.shared.clock, &workflow).await?;
        self.shared.connectors.define_all(&workflow);
        self.shared.catalog.activate(workflow);
        Ok(())
    }

    /// Stops taking requests, gives what is in flight `grace` to end, and closes the store. What is still in flight
    /// then is unknown after the next start, and is asked about.
    pub async fn shutdown(&self, grace: Duration) -> Result<(), StoreError> {
        self.shared.stopping.store(true, Ordering::Release);
        let until = clock::instant() + grace;
        while self.in_flight() > 0 && clock::instant() < until {
            clock::pause(Duration::from_millis(10)).await;
        }
        fault_point!("shutdown::before-stop");
        for queue in self.shared.queues() {
            let (reply, done) = oneshot::channel();
            if queue.send(Message::Stop { reply }).await.is_ok() {
                let _ = done.await;
            }
        }
        let loops = std::mem::take(&mut *self.loops.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for one in loops {
            let _ = one.await;
        }
        fault_point!("shutdown::before-close");
        self.shared.store.close().await
    }
}
