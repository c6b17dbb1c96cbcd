//! Every store keeps the same promises.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use paystate::store::{MemoryStore, conformance};

#[tokio::test]
async fn the_memory_store_conforms() {
    conformance::run_all(|| async { MemoryStore::new() }).await.unwrap();
}
