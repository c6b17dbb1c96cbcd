//! The store's trait. What may read much runs where it may block.

use std::sync::Arc;

use async_trait::async_trait;

use super::behind::Wake;
use super::value::MAX_VALUE;
use super::{Shared, SledStore, commit, pauses, read};
use crate::definition::Sources;
use crate::journal::{Entry, Mark, Record};
use crate::machine::Snapshot;
use crate::store::{Commit, KeyRecord, Link, OpenOrder, OrderQuery, Store, StoreError, Stored};
use crate::types::{Currency, EventId, OrderId, Pauses, Position, Seq, Timestamp, Version, WorkflowName};

/// Kept in hand for what has to be said of an order that is too large.
const IN_HAND: usize = 16 * 1024;

impl SledStore {
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|error| Err(super::unreadable("the store", &error.to_string())))
    }
}

#[async_trait]
impl Store for SledStore {
    async fn commit(&self, batch: Arc<Vec<Commit>>) -> Result<Vec<Position>, StoreError> {
        commit::commit(&self.shared, batch).await
    }

    async fn keep_definition(
        &self,
        workflow: &WorkflowName,
        version: &Version,
        sources: &Sources,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        commit::keep_definition(&self.shared, workflow, version, sources, at).await
    }

    async fn definitions(&self) -> Result<Vec<(WorkflowName, Version, Sources)>, StoreError> {
        self.blocking(|shared| {
            let kept = shared.overlay().definitions.clone();
            let texts = kept.into_iter().map(|(_, _, position)| match shared.journal.read(position)?.record {
                Record::Definition { workflow, version, sources, .. } => Ok((workflow, version, sources)),
                Record::Entry(_) | Record::Lost(_) => {
                    Err(super::unreadable("a definition", "there is something else in its place"))
                }
            });
            texts.collect()
        })
        .await
    }

    async fn keep_pauses(&self, pauses: &Pauses) -> Result<(), StoreError> {
        let pauses = pauses.clone();
        self.blocking(move |shared| pauses::write(&shared.dir, &pauses)).await
    }

    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.blocking(|shared| pauses::read(&shared.dir)).await
    }

    async fn order(&self, id: OrderId) -> Result<Option<Stored>, StoreError> {
        match read::order(&self.shared, id)? {
            (None, true) => self.blocking(move |shared| read::archived(shared, id)).await,
            (stored, _) => Ok(stored),
        }
    }

    async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.blocking(move |shared| read::journal(shared, id, after, limit)).await
    }

    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Snapshot>>, StoreError> {
        let query = query.clone();
        self.blocking(move |shared| read::list(shared, &query)).await
    }

    async fn open_orders(&self, after: Option<OrderId>, limit: usize) -> Result<Vec<OpenOrder>, StoreError> {
        self.blocking(move |shared| read::open_orders(shared, after, limit)).await
    }

    async fn seen(&self, order: OrderId, event: &EventId) -> Result<Option<Seq>, StoreError> {
        match read::seen(&self.shared, order, event)? {
            (None, true) => {
                let event = event.clone();
                self.blocking(move |shared| read::seen_before(shared, order, &event)).await
            }
            (seen, _) => Ok(seen),
        }
    }

    async fn key(&self, key: &str) -> Result<Option<KeyRecord>, StoreError> {
        if let Some(record) = self.shared.overlay().key(key) {
            return Ok(Some(record));
        }
        self.shared.index()?.key(key)
    }

    async fn linked(&self, link: Link, to: OrderId, limit: usize) -> Result<Vec<OrderId>, StoreError> {
        read::linked(&self.shared, link, to, limit)
    }

    async fn refund_of(&self, order: OrderId) -> Result<Option<OrderId>, StoreError> {
        read::refund_of(&self.shared, order)
    }

    async fn balance(&self, account: &str, currency: Currency) -> Result<i64, StoreError> {
        read::balance(&self.shared, account, currency)
    }

    async fn last_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let mark = self.shared.overlay().mark();
        if mark == Mark::START {
            return Ok(None);
        }
        // What cannot be read is told of where it is needed.
        Ok(match self.shared.journal.read(mark.position).map(|read| read.record) {
            Ok(Record::Entry(entry)) => Some(entry.at),
            Ok(Record::Definition { at, .. }) => Some(at),
            Ok(Record::Lost(_)) | Err(_) => None,
        })
    }

    fn admits(&self, order: &Snapshot) -> Result<(), String> {
        commit::check_size(order, MAX_VALUE - IN_HAND)
    }

    fn gaps(&self) -> Vec<(OrderId, String)> {
        self.shared.overlay().gaps.told()
    }

    fn failure(&self) -> Option<String> {
        self.shared.healthy().err().map(|error| error.to_string()).or_else(|| self.shared.journal.failure())
    }

    async fn close(&self) -> Result<(), StoreError> {
        // Rare, and the process has nothing else to do by then.
        self.stop(Wake::Finish)
    }
}
