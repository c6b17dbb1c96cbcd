//! What an order that has ended costs on disk, before and after it is archived, and whether orders become slower the more
//! there are. Prints one line of JSON.
//!
//! `cargo bench --bench archive -- [orders] [stretches] [clients]`; the directory is that of the system's temporary files.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{self, Sources};
use paystate::executor::{Clock, Executor, Options, Refold, Submission, SystemClock};
use paystate::machine::Outcome;
use paystate::store::{OrderQuery, SledOptions, SledStore, Store};
use paystate::types::{ConnectorName, OrderId};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DRIVEN: Duration = Duration::from_secs(600);

fn main() {
    let numbers: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let number = |at: usize, unless: u64| numbers.get(at).copied().unwrap_or(unless);
    let (orders, stretches, clients) = (number(0, 200_000), number(1, 8).max(1), number(2, 512));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build().unwrap();
    let (kept, archiving) = runtime
        .block_on(async { (kept(orders, stretches, clients).await, archiving(orders, stretches, clients).await) });
    println!("{}", json!({ "orders": orders, "clients": clients, "kept": kept, "archiving": archiving }));
}

/// All orders stay in the working store, and are archived in the end.
async fn kept(orders: u64, stretches: u64, clients: u64) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let per_second = drive(dir.path(), SledOptions::default(), orders, stretches, clients).await;
    let before = disk(dir.path(), orders);
    let begun = Instant::now();
    let store = open(dir.path(), SledOptions::default());
    let opened = begun.elapsed();
    let begun = Instant::now();
    let done = store.archive(SystemClock.now(), false).await.unwrap();
    let archived = begun.elapsed();
    let (mut from, mut segments) = (0, 0_u64);
    while store.log().pack_next(&mut from).unwrap().is_some() {
        segments += 1;
    }
    let packed = begun.elapsed() - archived;
    store.close().await.unwrap();
    drop(store);
    let uncompacted = disk(dir.path(), orders)["per_order"]["sled"].clone();
    SledStore::compact(dir.path(), &SledOptions::default()).unwrap();
    let after = disk(dir.path(), orders);
    let begun = Instant::now();
    let store = open(dir.path(), SledOptions::default());
    let opened_again = begun.elapsed();
    let ids = store.archived().unwrap();
    let begun = Instant::now();
    let some: Vec<OrderId> = ids.iter().copied().step_by(ids.len().div_ceil(1000).max(1)).collect();
    for id in &some {
        assert!(store.order(*id).await.unwrap().is_some());
    }
    let read = begun.elapsed().as_secs_f64() * 1e6 / some.len().max(1) as f64;
    store.close().await.unwrap();
    json!({
        "orders_per_s": per_second, "before": before, "sled_before_compaction": uncompacted, "after": after, "archived": done.orders,
        "archive_s": archived.as_secs_f64(), "segments_packed": segments, "pack_s": packed.as_secs_f64(),
        "open_before_s": opened.as_secs_f64(), "open_after_s": opened_again.as_secs_f64(), "read_archived_us": read,
    })
}

/// Orders leave the working store a second after their end, all the while.
async fn archiving(orders: u64, stretches: u64, clients: u64) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let (after, every) = (Some(Duration::from_secs(1)), Duration::from_secs(1));
    let options = SledOptions { archive_after: after, archive_every: every, ..SledOptions::default() };
    let per_second = drive(dir.path(), options, orders, stretches, clients).await;
    let store = open(dir.path(), SledOptions { archive_after: after, archive_every: every, ..SledOptions::default() });
    let query = OrderQuery { limit: usize::try_from(orders).unwrap(), ..OrderQuery::default() };
    let left = store.list(&query).await.unwrap().len();
    let begun = Instant::now();
    while !store.list(&OrderQuery { limit: 1, ..OrderQuery::default() }).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let caught_up = begun.elapsed().as_secs_f64();
    store.close().await.unwrap();
    json!({
        "orders_per_s": per_second, "left_in_working_store": left, "caught_up_after_s": caught_up,
        "at_the_end": disk(dir.path(), orders),
    })
}

/// Drives orders to their end, and tells how many a second there were in each stretch.
async fn drive(dir: &Path, options: SledOptions, orders: u64, stretches: u64, clients: u64) -> Vec<u64> {
    let store = Arc::new(open(dir, options));
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register(ConnectorName::from("bench"), Arc::new(AtOnce));
    let sources = Sources {
        path: "six_steps.yaml".to_owned(),
        workflow: include_str!("../src/cli/bench/six_steps.yaml").to_owned(),
        connectors: BTreeMap::from([(
            "bench".to_owned(),
            include_str!("../src/cli/bench/bench.connector.yaml").to_owned(),
        )]),
        schemas: BTreeMap::new(),
    };
    let workflow = Arc::new(definition::load(sources).unwrap());
    let executor =
        Executor::start(store, Arc::new(SystemClock), connectors, vec![workflow], Options::default()).await.unwrap();
    let mut per_second = Vec::new();
    for stretch in 0..stretches {
        let (begun, count) = (Instant::now(), orders / stretches);
        let next = Arc::new(AtomicU64::new(0));
        let clients = (0..clients).map(|_| {
            let (executor, next) = (executor.clone(), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return;
                    }
                    let input = json!({ "amount": 1000 + n });
                    let key = Some((format!("key-{stretch}-{n}"), "0".repeat(64)));
                    let submission = Submission { workflow: "six_steps".into(), input, key, child: None };
                    executor.submit_and_wait(submission, DRIVEN).await.unwrap();
                }
            })
        });
        for client in clients.collect::<Vec<_>>() {
            client.await.unwrap();
        }
        per_second.push((count as f64 / begun.elapsed().as_secs_f64()) as u64);
    }
    executor.shutdown(Duration::from_secs(60)).await.unwrap();
    per_second
}

fn open(dir: &Path, options: SledOptions) -> SledStore {
    SledStore::open(dir, options, Arc::new(Refold::default())).unwrap()
}

struct AtOnce;

#[async_trait]
impl Connector for AtOnce {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let id = invocation.key.as_str();
        Outcome::Ok { result: json!({ "id": id, "status": "approved", "at": "2026-01-01T00:00:00Z" }) }
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }

    fn is_instant(&self) -> bool {
        true
    }
}

/// Bytes an order: of the journal without the spares and the unused end of its last segment, of the rest, and in all.
fn disk(dir: &Path, orders: u64) -> Value {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for name in ["sled", "archive"] {
        sums.insert(name, size(&dir.join(name), &|_| true));
    }
    sums.insert("journal", size(&dir.join("journal"), &|name| name.ends_with(".journal") || name.ends_with(".packed")));
    sums.insert("spares_and_reserve", size(dir, &|_| true) - sums.values().sum::<u64>());
    let per_order: BTreeMap<&str, u64> = sums.iter().map(|(name, bytes)| (*name, bytes / orders)).collect();
    json!({ "bytes": sums, "per_order": per_order })
}

fn size(folder: &Path, counts: &dyn Fn(&str) -> bool) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        meta if meta.is_dir() => size(&entry.path(), counts),
        meta if counts(&entry.file_name().to_string_lossy()) => meta.len(),
        _ => 0,
    };
    entries.map(|entry| size(entry.unwrap())).sum()
}
