//! A store without a disk, for tests. What production promises of durability it promises of nothing but this process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Commit, KeyRecord, OrderQuery, Store, StoreError, Stored};
use crate::definition::Sources;
use crate::journal::Entry;
use crate::machine::Snapshot;
use crate::types::{Currency, EventId, OrderId, Position, Seq, Timestamp, Version, WorkflowName};

#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    orders: BTreeMap<OrderId, Order>,
    definitions: Vec<(WorkflowName, Version, Sources)>,
    keys: HashMap<String, KeyRecord>,
    balances: HashMap<(String, Currency), i64>,
    written: u64,
    fails: Option<StoreError>,
}

#[derive(Debug)]
struct Order {
    stored: Stored,
    entries: Vec<Entry>,
    events: HashMap<EventId, Seq>,
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes every commit from now on fail, or succeed again.
    pub fn fail(&self, error: Option<StoreError>) {
        self.lock().fails = error;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, batch: Vec<Commit>) -> Result<Vec<Position>, StoreError> {
        let mut inner = self.lock();
        if let Some(error) = &inner.fails {
            return Err(error.clone());
        }
        inner.check(&batch)?;
        Ok(batch.into_iter().map(|commit| inner.apply(commit)).collect())
    }

    async fn keep_definition(
        &self,
        workflow: &WorkflowName,
        version: &Version,
        sources: &Sources,
        _at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut inner = self.lock();
        if !inner.definitions.iter().any(|(_, known, _)| known == version) {
            inner.definitions.push((workflow.clone(), version.clone(), sources.clone()));
        }
        Ok(())
    }

    async fn definitions(&self) -> Result<Vec<(WorkflowName, Version, Sources)>, StoreError> {
        Ok(self.lock().definitions.clone())
    }

    async fn order(&self, id: OrderId) -> Result<Option<Stored>, StoreError> {
        Ok(self.lock().orders.get(&id).map(|order| order.stored.clone()))
    }

    async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let inner = self.lock();
        let entries = inner.orders.get(&id).map(|order| order.entries.as_slice()).unwrap_or_default();
        Ok(entries.iter().filter(|entry| entry.seq > after).take(limit).cloned().collect())
    }

    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Snapshot>>, StoreError> {
        let inner = self.lock();
        let newest = inner.orders.values().rev().map(|order| &order.stored.snapshot);
        Ok(newest.filter(|order| query.fits(order)).take(query.limit).cloned().collect())
    }

    async fn open_orders(&self, after: Option<OrderId>, limit: usize) -> Result<Vec<Stored>, StoreError> {
        let inner = self.lock();
        let later = inner.orders.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        let open = later.filter(|(_, order)| order.stored.snapshot.is_open());
        Ok(open.take(limit).map(|(_, order)| order.stored.clone()).collect())
    }

    async fn seen(&self, order: OrderId, event: &EventId) -> Result<Option<Seq>, StoreError> {
        Ok(self.lock().orders.get(&order).and_then(|order| order.events.get(event).copied()))
    }

    async fn key(&self, key: &str) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.lock().keys.get(key).cloned())
    }

    async fn balance(&self, account: &str, currency: Currency) -> Result<i64, StoreError> {
        Ok(self.lock().balances.get(&(account.to_owned(), currency)).copied().unwrap_or_default())
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Inner {
    fn check(&self, batch: &[Commit]) -> Result<(), StoreError> {
        let mut tips: HashMap<OrderId, Seq> = HashMap::new();
        for commit in batch {
            let entry = &commit.entry;
            let stored = || self.orders.get(&entry.order).map_or(Seq(0), |order| order.stored.snapshot.seq);
            let last = tips.get(&entry.order).copied().unwrap_or_else(stored);
            if entry.seq != last.next() || commit.snapshot.seq != entry.seq {
                let text = format!("entry {} of order {} does not follow entry {last}", entry.seq, entry.order);
                return Err(StoreError::Damaged(text));
            }
            tips.insert(entry.order, entry.seq);
        }
        Ok(())
    }

    fn apply(&mut self, commit: Commit) -> Position {
        let Commit { mut entry, snapshot } = commit;
        self.written += 1;
        let tip = Position(self.written);
        if let Some((key, body_hash)) = entry.opening.as_ref().and_then(|opening| opening.key.clone()) {
            self.keys.insert(key, KeyRecord { order: entry.order, body_hash });
        }
        for posting in &entry.postings {
            *self.balances.entry((posting.account.clone(), posting.currency)).or_default() += posting.amount;
        }
        let stored = Stored { snapshot, tip };
        match self.orders.get_mut(&entry.order) {
            Some(order) => {
                entry.prev = Some(order.stored.tip);
                order.stored = stored;
                order.remember(entry);
            }
            None => {
                let id = entry.order;
                let mut order = Order { stored, entries: Vec::new(), events: HashMap::new() };
                order.remember(entry);
                self.orders.insert(id, order);
            }
        }
        tip
    }
}

impl Order {
    fn remember(&mut self, entry: Entry) {
        if let Some(id) = entry.event.id() {
            self.events.insert(id.clone(), entry.seq);
        }
        self.entries.push(entry);
    }
}
