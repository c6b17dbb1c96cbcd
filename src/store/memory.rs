//! The store in memory: for tests and simulation, and the yardstick that other stores are compared with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::links::Links;
use super::{Commit, KeyRecord, Link, OpenOrder, OrderQuery, Store, StoreError, Stored};
use crate::definition::Sources;
use crate::journal::Entry;
use crate::machine::Snapshot;
use crate::types::{Currency, EventId, OrderId, Pauses, Position, Seq, Timestamp, Version, WorkflowName};

/// Keeps everything in maps. A position is the number of a record, the first is 1.
#[derive(Debug, Default)]
pub struct MemoryStore {
    world: Mutex<World>,
}

/// Picks commits.
type Which = fn(&Commit) -> bool;

#[derive(Debug, Default)]
struct World {
    /// What every call answers while it is set, and after how many more commits it begins.
    failure: Option<(usize, StoreError)>,
    /// Commits that are refused, and with what.
    refused: Option<(Which, StoreError)>,
    records: u64,
    entries: BTreeMap<Position, Arc<Entry>>,
    histories: BTreeMap<OrderId, Vec<Position>>,
    orders: BTreeMap<OrderId, Stored>,
    open: BTreeSet<OrderId>,
    events: BTreeMap<(OrderId, EventId), Seq>,
    keys: BTreeMap<String, KeyRecord>,
    balances: BTreeMap<(String, Currency), i64>,
    links: Links,
    definitions: Vec<(WorkflowName, Version, Sources)>,
    pauses: Pauses,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every call answers `error` and changes nothing, until `heal`.
    pub fn fail(&self, error: StoreError) {
        self.world().failure = Some((0, error));
    }

    /// Lets `commits` more commits pass, then does as `fail`.
    pub fn fail_after(&self, commits: usize, error: StoreError) {
        self.world().failure = Some((commits, error));
    }

    /// From now on a batch with such a commit answers `error` and changes nothing, until `heal`. All else goes on.
    pub fn fail_commits(&self, which: Which, error: StoreError) {
        self.world().refused = Some((which, error));
    }

    /// Ends what `fail` and `fail_commits` began.
    pub fn heal(&self) {
        let mut world = self.world();
        world.failure = None;
        world.refused = None;
    }

    /// Every entry of every order, in the order of their commits.
    pub fn entries(&self) -> Vec<Arc<Entry>> {
        self.world().entries.values().cloned().collect()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn healthy(&self) -> Result<MutexGuard<'_, World>, StoreError> {
        let world = self.world();
        match &world.failure {
            Some((0, error)) => Err(error.clone()),
            _ => Ok(world),
        }
    }
}

impl World {
    /// Every entry must follow the one before it, in the store or in the batch.
    fn check(&self, batch: &[Commit]) -> Result<(), StoreError> {
        let mut last: BTreeMap<OrderId, Seq> = BTreeMap::new();
        for commit in batch {
            commit.check()?;
            let order = commit.entry.order;
            let stored = || self.orders.get(&order).map(|stored| stored.snapshot.seq).unwrap_or_default();
            let before = last.get(&order).copied().unwrap_or_else(stored);
            if commit.entry.seq != before.next() {
                return Err(StoreError::out_of_order(order, commit.entry.seq, before));
            }
            last.insert(order, commit.entry.seq);
        }
        Ok(())
    }

    fn apply(&mut self, commit: Commit) -> Position {
        let Commit { mut entry, snapshot } = commit;
        self.records += 1;
        let position = Position(self.records);
        entry.prev = self.orders.get(&entry.order).map(|stored| stored.tip);
        if let Some((key, body_hash)) = entry.opening.as_ref().and_then(|opening| opening.key.clone()) {
            self.keys.insert(key, KeyRecord { order: entry.order, body_hash });
        }
        if let Some(id) = entry.event.id() {
            self.events.insert((entry.order, id.clone()), entry.seq);
        }
        for posting in &entry.postings {
            let balance = self.balances.entry((posting.account.clone(), posting.currency)).or_default();
            *balance = balance.saturating_add(posting.amount);
        }
        self.links.learn(&snapshot);
        if !snapshot.is_open() {
            self.open.remove(&entry.order);
        } else {
            self.open.insert(entry.order);
        }
        self.histories.entry(entry.order).or_default().push(position);
        self.orders.insert(entry.order, Stored { snapshot, tip: position });
        self.entries.insert(position, Arc::new(entry));
        position
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, batch: Arc<Vec<Commit>>) -> Result<Vec<Position>, StoreError> {
        let mut world = self.healthy()?;
        world.check(&batch)?;
        if let Some((which, error)) = &world.refused
            && batch.iter().any(which)
        {
            return Err(error.clone());
        }
        if let Some((left, _)) = &mut world.failure {
            *left -= 1;
        }
        Ok(batch.iter().map(|commit| world.apply(commit.clone())).collect())
    }

    async fn keep_definition(
        &self,
        workflow: &WorkflowName,
        version: &Version,
        sources: &Sources,
        _at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut world = self.healthy()?;
        if !world.definitions.iter().any(|(name, kept, _)| name == workflow && kept == version) {
            world.records += 1;
            world.definitions.push((workflow.clone(), version.clone(), sources.clone()));
        }
        Ok(())
    }

    async fn definitions(&self) -> Result<Vec<(WorkflowName, Version, Sources)>, StoreError> {
        Ok(self.healthy()?.definitions.clone())
    }

    async fn keep_pauses(&self, pauses: &Pauses) -> Result<(), StoreError> {
        pauses.clone_into(&mut self.healthy()?.pauses);
        Ok(())
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        Ok(self.healthy()?.pauses.clone())
    }

    async fn order(&self, id: OrderId) -> Result<Option<Stored>, StoreError> {
        Ok(self.healthy()?.orders.get(&id).cloned())
    }

    async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let world = self.healthy()?;
        let positions = world.histories.get(&id).map(Vec::as_slice).unwrap_or_default();
        let entries = positions.iter().filter_map(|position| world.entries.get(position));
        Ok(entries.filter(|entry| entry.seq > after).take(limit).map(|entry| (**entry).clone()).collect())
    }

    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Snapshot>>, StoreError> {
        let world = self.healthy()?;
        let older = world.orders.iter().rev().filter(|(id, _)| query.after.is_none_or(|after| **id < after));
        let snapshots = older.map(|(_, stored)| &stored.snapshot);
        Ok(snapshots.filter(|snapshot| query.matches(snapshot)).take(query.limit).cloned().collect())
    }

    async fn open_orders(&self, after: Option<OrderId>, limit: usize) -> Result<Vec<OpenOrder>, StoreError> {
        let world = self.healthy()?;
        let ids = world.open.iter().filter(|id| after.is_none_or(|after| **id > after));
        Ok(ids
            .take(limit)
            .filter_map(|id| world.orders.get(id))
            .map(|stored| OpenOrder::from(&*stored.snapshot))
            .collect())
    }

    async fn seen(&self, order: OrderId, event: &EventId) -> Result<Option<Seq>, StoreError> {
        Ok(self.healthy()?.events.get(&(order, event.clone())).copied())
    }

    async fn key(&self, key: &str) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.healthy()?.keys.get(key).cloned())
    }

    async fn linked(&self, link: Link, to: OrderId, limit: usize) -> Result<Vec<OrderId>, StoreError> {
        Ok(self.healthy()?.links.to(link, to).take(limit).collect())
    }

    async fn refund_of(&self, order: OrderId) -> Result<Option<OrderId>, StoreError> {
        Ok(self.healthy()?.links.payment(order))
    }

    async fn balance(&self, account: &str, currency: Currency) -> Result<i64, StoreError> {
        Ok(self.healthy()?.balances.get(&(account.to_owned(), currency)).copied().unwrap_or_default())
    }

    async fn last_at(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.healthy()?.entries.last_key_value().map(|(_, entry)| entry.at))
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
