//! The process dies while the working store is being written: wherever that was, the next start puts it right.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use paystate::store::conformance::sample::{Next, SampleFold, Samples, order_id};
use paystate::store::{CheckupOptions, SledOptions, SledStore, Store, StoreError, checkup};
use paystate::types::{OrderId, Position};

use crate::store_sled::options;

/// A store of which only so many writes into the working store succeed.
fn open(dir: &Path, writes: usize, every: Duration) -> (SledStore, Arc<AtomicUsize>) {
    let index_writes = Arc::new(AtomicUsize::new(writes));
    let options = SledOptions { index_writes: Arc::clone(&index_writes), every, ..options() };
    (SledStore::open(dir, options, std::sync::Arc::new(SampleFold)).unwrap(), index_writes)
}

async fn to(store: &SledStore, samples: &mut Samples, order: u64, state: &str) -> Result<(), StoreError> {
    let next = Next { to: state.to_owned(), ..Next::default() };
    store.commit(Arc::new(vec![samples.next(order_id(order), &next).unwrap()])).await.map(drop)
}

async fn open_orders(store: &SledStore) -> Vec<OrderId> {
    store.open_orders(None, 100).await.unwrap().into_iter().map(|open| open.id).collect()
}

#[tokio::test]
async fn an_order_that_has_ended_is_not_open_wherever_its_layer_was_cut_off() {
    const NEVER: Duration = Duration::from_secs(3600);
    for writes in 0..16 {
        let (dir, mut samples) = (tempfile::tempdir().unwrap(), Samples::new());
        let (store, _) = open(dir.path(), usize::MAX, NEVER);
        for order in 0..3 {
            to(&store, &mut samples, order, "a").await.unwrap();
        }
        store.close().await.unwrap();
        let (store, _) = open(dir.path(), writes, NEVER);
        for order in 0..3 {
            to(&store, &mut samples, order, "done").await.unwrap();
        }
        to(&store, &mut samples, 3, "a").await.unwrap();
        to(&store, &mut samples, 4, "a").await.unwrap();
        to(&store, &mut samples, 4, "gone").await.unwrap();
        store.close().await.unwrap();
        for _ in 0..2 {
            let (store, _) = open(dir.path(), usize::MAX, NEVER);
            assert_eq!(open_orders(&store).await, [order_id(3)], "cut off after {writes} writes");
            store.close().await.unwrap();
        }
        assert!(!dir.path().join("sled.aside").exists(), "it was rebuilt, and nothing was tried");
    }
}

/// The order ended while its opening could only be written in part.
#[tokio::test]
async fn an_order_that_ended_behind_a_cut_off_layer_is_not_open() {
    let (dir, mut samples) = (tempfile::tempdir().unwrap(), Samples::new());
    let (store, _) = open(dir.path(), usize::MAX, Duration::from_millis(3));
    to(&store, &mut samples, 0, "done").await.unwrap();
    store.close().await.unwrap();
    // Its place among the open orders is written, and its value is not.
    let (store, writes) = open(dir.path(), 1, Duration::from_millis(3));
    to(&store, &mut samples, 1, "a").await.unwrap();
    let begun = Instant::now();
    while writes.load(Ordering::Relaxed) > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    to(&store, &mut samples, 1, "done").await.unwrap();
    drop(store);
    let (store, _) = open(dir.path(), usize::MAX, Duration::from_millis(3));
    assert_eq!(open_orders(&store).await, []);
    store.close().await.unwrap();
    assert!(!dir.path().join("sled.aside").exists(), "it was rebuilt, and nothing was tried");
}

/// An order with a gap goes on; whoever has seen to that must not be asked again.
#[tokio::test]
async fn an_order_that_goes_on_is_not_halted_again_wherever_its_layer_was_cut_off() {
    const NEVER: Duration = Duration::from_secs(3600);
    for writes in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let first = with_a_gap(dir.path()).await;
        let (store, left) = open(dir.path(), usize::MAX, NEVER);
        assert_eq!(store.gaps().len(), 1);
        let mut samples = Samples::new();
        samples.next(order_id(1), &Next { to: "a".into(), ..Next::default() }).unwrap();
        let mut next = samples.next(order_id(1), &Next { to: "stuck".into(), ..Next::default() }).unwrap();
        next.entry.prev = Some(first);
        store.commit(Arc::new(vec![next])).await.unwrap();
        left.store(writes, Ordering::Relaxed);
        store.close().await.unwrap();
        let (store, _) = open(dir.path(), usize::MAX, NEVER);
        assert_eq!(store.gaps(), [], "cut off after {writes} writes");
        assert_eq!(store.order(order_id(1)).await.unwrap().unwrap().snapshot.seq.0, 2);
        store.close().await.unwrap();
    }
}

/// A directory in which the second entry of an order is lost; where its first one is.
async fn with_a_gap(dir: &Path) -> Position {
    let (store, _) = open(dir, usize::MAX, Duration::from_secs(3600));
    let (mut samples, mut at) = (Samples::new(), Vec::new());
    for order in [1, 1, 1, 2] {
        let next = Next { to: "a".into(), ..Next::default() };
        at.extend(store.commit(Arc::new(vec![samples.next(order_id(order), &next).unwrap()])).await.unwrap());
    }
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_dir_all(dir.join("sled")).unwrap();
    let segment = dir.join("journal").join("00000000000000000000.journal");
    let mut bytes = std::fs::read(&segment).unwrap();
    let second = usize::try_from(at[1].0).unwrap();
    bytes[second..second + 100].fill(0);
    std::fs::write(&segment, bytes).unwrap();
    let options = CheckupOptions { repair: true, backup: None, store: options() };
    let found = checkup(dir, &options, &SampleFold).unwrap();
    assert!(found.repaired && found.lost == 1, "{found:?}");
    at[0]
}
