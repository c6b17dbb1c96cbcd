//! One order with very many events, on the loop that others are on too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::{Sources, load};
use paystate::executor::{ApplyError, Clock, Executor, How, Options, Refold, SteadyClock, Submission, SystemClock};
use paystate::machine::{Event, Rejection, Status};
use paystate::store::{SledOptions, SledStore, Store};
use paystate::types::{EventId, OrderId, Seq, Value};
use serde_json::json;

use super::PATIENCE;
use crate::support::soak;

const WORKFLOW: &str = r#"
workflow: hot
input: { type: object }
deadline: 30d
initial: counts
states:
  counts:
    on:
      order.tick: { assign: { last: event.payload.n } }
      order.stop: later
    after: { 20d: done }
  later: { after: { 20d: done }, on: { order.go: done } }
  done: { final: success, late: { order.tick: ignore, order.stop: ignore, order.go: ignore } }
"#;
/// Entries of a page of the journal.
const PAGE: usize = 500;
/// How many places on its way back a long journal has: one in so many entries.
const STEP: u64 = 256;

struct Stage {
    executor: Executor,
    store: Arc<SledStore>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn begin() -> Self {
        let sources = Sources {
            path: "hot.yaml".to_owned(),
            workflow: WORKFLOW.to_owned(),
            connectors: BTreeMap::new(),
            schemas: BTreeMap::new(),
        };
        let workflow = Arc::new(load(sources).unwrap_or_else(|problems| panic!("{problems:#?}")));
        let folder = tempfile::tempdir().unwrap();
        let store =
            Arc::new(SledStore::open(folder.path(), SledOptions::default(), Arc::new(Refold::default())).unwrap());
        let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
        // One loop: whoever is on it is on it with the hot order.
        let options = Options { shards: 1, ..Options::default() };
        let shared: Arc<dyn Store> = Arc::<SledStore>::clone(&store);
        let executor =
            Executor::start(shared, Arc::new(SteadyClock::new()), connectors, vec![workflow], options).await.unwrap();
        Self { executor, store, _folder: folder }
    }

    async fn open(&self) -> OrderId {
        let submission = Submission { workflow: "hot".into(), input: json!({}), key: None, child: None };
        self.executor.submit(submission).await.unwrap().snapshot.id
    }

    async fn send(&self, order: OrderId, name: &str, n: usize, payload: Value) -> Result<How, ApplyError> {
        let id = EventId::new(format!("{name}-{n:07}"));
        let event = Event::Received { id, name: name.into(), payload, source: "test".to_owned() };
        self.executor.apply(order, event).await.map(|applied| applied.how)
    }

    /// Sends ticks, several at once. What the full queue refuses is sent again.
    async fn ticks(&self, order: OrderId, range: std::ops::Range<usize>) {
        let next = std::sync::atomic::AtomicUsize::new(range.start);
        let client = async || loop {
            let n = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            if n >= range.end {
                return;
            }
            let how = self.send(order, "order.tick", n, json!({ "n": 1_000_000 + n })).await.unwrap();
            assert_eq!(how, How::Applied);
        };
        futures_util::future::join_all((0..32).map(|_| client())).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_event_of_a_hot_order_costs_what_the_first_did_and_others_go_on_beside_it() {
    let events = if soak() { 100_000 } else { 5_000 };
    let sample = 500;
    let stage = Stage::begin().await;
    let hot = stage.open().await;
    let stats = || (stage.store.stats().bytes, stage.store.log().reads());
    let begun = stats();
    stage.ticks(hot, 0..sample).await;
    let first = stats();
    // Beside most of them other orders are opened, and end, one after the other.
    let others = async {
        for n in 0..100 {
            let order = stage.open().await;
            stage.send(order, "order.stop", n, json!(null)).await.unwrap();
            stage.send(order, "order.go", n, json!(null)).await.unwrap();
            let ended = stage.executor.wait(order, PATIENCE).await.expect("it ends");
            assert_eq!(ended.status, Status::Succeeded);
        }
    };
    tokio::join!(stage.ticks(hot, sample..events - sample), others);
    let before = stats();
    stage.ticks(hot, events - sample..events).await;
    let last = stats();
    let (early, late) = (first.0 - begun.0, last.0 - before.0);
    assert!(late <= early + early / 10, "the last {sample} events wrote {late} bytes, the first ones {early}");
    assert_eq!(last.1, begun.1, "no event reads the journal");

    let order = stage.executor.order(hot).await.unwrap().unwrap();
    assert_eq!(order.seq, Seq(events as u64 + 1));
    let size = serde_json::to_vec(&*order).unwrap().len();
    assert!(size < 2_000, "the order has {size} bytes");
    for n in [0, events / 2, events - 1] {
        assert_eq!(stage.send(hot, "order.tick", n, json!({ "n": 0 })).await.unwrap(), How::Duplicate, "{n}");
    }
    assert_eq!(stage.executor.order(hot).await.unwrap().unwrap().seq, order.seq);

    // Page by page; the way back is gone once.
    let (mut after, mut pages) = (Seq(0), 0);
    loop {
        let page = stage.executor.journal(hot, after, PAGE).await.unwrap();
        assert!(page.len() <= PAGE);
        let Some(entry) = page.last() else { break };
        assert!(page.iter().map(|entry| entry.seq.0).eq(after.0 + 1..=entry.seq.0));
        after = entry.seq;
        pages += 1;
    }
    assert_eq!(after, order.seq);
    let reads = stage.store.log().reads() - last.1;
    let most = 2 * (events as u64 + 1) + pages * STEP + PAGE as u64;
    assert!(reads <= most, "{reads} reads for {events} entries in {pages} pages");
    println!(
        "hot: {events} events, {early} bytes for the first {sample}, {late} for the last; {pages} pages with {reads} reads; 100 others ended"
    );
    stage.executor.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_an_order_is_bounded_and_what_it_waits_for_gets_through() {
    let stage = Stage::begin().await;
    for (payload, least) in [(json!(1), 900), (json!("x".repeat(10_000)), 9)] {
        let (order, other) = (stage.open().await, stage.open().await);
        let mut waiting = 0;
        // It waits for its customer, whose word comes a thousand times and is not asked for yet.
        while let Ok(how) = stage.send(order, "order.go", waiting, payload.clone()).await {
            assert_eq!(how, How::Waiting);
            waiting += 1;
        }
        let refused = stage.send(order, "order.go", waiting, payload.clone()).await.unwrap_err();
        assert!((least..=1_000).contains(&waiting), "{waiting} wait: {refused}");
        let full = matches!(refused, ApplyError::Rejected(Rejection::InboxFull(1_000) | Rejection::TooLarge(_)));
        assert!(full, "{refused}");
        assert_eq!(stage.send(order, "order.go", 0, payload.clone()).await.unwrap(), How::Duplicate);
        assert_eq!(stage.send(other, "order.tick", 0, json!({ "n": 1 })).await.unwrap(), How::Applied);
        // What it waits for comes: the first of them moves it, and the rest is late.
        assert_eq!(stage.send(order, "order.stop", 0, json!(null)).await.unwrap(), How::Applied);
        let ended = stage.executor.wait(order, PATIENCE).await.expect("it ends");
        assert_eq!((ended.status, ended.inbox.len()), (Status::Succeeded, 0));
        println!("hot: {waiting} events waited, one was refused, and what they waited for came through");
    }
    stage.executor.shutdown(Duration::from_secs(10)).await.unwrap();
}
