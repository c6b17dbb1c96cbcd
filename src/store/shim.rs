//! Temporary.
use super::MemoryStore;
use super::*;
use async_trait::async_trait;
use std::path::Path;
use std::sync::Arc;
#[derive(Default)]
pub struct SledOptions;
pub struct SledStore(MemoryStore);
#[derive(Default)]
pub struct Stats {
    pub entries: u64,
    pub syncs: u64,
    pub bytes: u64,
}
impl SledStore {
    pub fn open(_d: &Path, _o: SledOptions, _f: Arc<dyn Fold>) -> Result<Self, StoreError> {
        Ok(Self(MemoryStore::new()))
    }
    pub fn stats(&self) -> Stats {
        Stats { entries: 1, ..Stats::default() }
    }
}
#[async_trait]
impl Store for SledStore {
    async fn commit(&self, b: Vec<Commit>) -> Result<Vec<Position>, StoreError> {
        self.0.commit(b).await
    }
    async fn keep_definition(
        &self,
        w: &WorkflowName,
        v: &Version,
        s: &Sources,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.0.keep_definition(w, v, s, at).await
    }
    async fn definitions(&self) -> Result<Vec<(WorkflowName, Version, Sources)>, StoreError> {
        self.0.definitions().await
    }
    async fn order(&self, id: OrderId) -> Result<Option<Stored>, StoreError> {
        self.0.order(id).await
    }
    async fn journal(&self, id: OrderId, a: Seq, l: usize) -> Result<Vec<Entry>, StoreError> {
        self.0.journal(id, a, l).await
    }
    async fn list(&self, q: &OrderQuery) -> Result<Vec<Arc<Snapshot>>, StoreError> {
        self.0.list(q).await
    }
    async fn open_orders(&self, a: Option<OrderId>, l: usize) -> Result<Vec<Stored>, StoreError> {
        self.0.open_orders(a, l).await
    }
    async fn seen(&self, o: OrderId, e: &EventId) -> Result<Option<Seq>, StoreError> {
        self.0.seen(o, e).await
    }
    async fn key(&self, k: &str) -> Result<Option<KeyRecord>, StoreError> {
        self.0.key(k).await
    }
    async fn balance(&self, a: &str, c: Currency) -> Result<i64, StoreError> {
        self.0.balance(a, c).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.0.close().await
    }
}
