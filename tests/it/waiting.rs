//! Orders that only wait are not held in memory, and lose nothing by it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, How, Options, Submission, SystemClock, Tally};
use paystate::machine::{Event, Outcome, Status};
use paystate::store::{MemoryStore, Store};
use paystate::types::{ConnectorName, EventId, OrderId, Timestamp};
use serde_json::json;

const WORKFLOW: &str = r#"
workflow: waiting
title: Waits for its customer
input: { type: object }
deadline: 30d
initial: waits
states:
  waits: { on: { customer.confirmed: asks }, after: { 10m: expired } }
  asks: { invoke: { call: bank.take }, on: { ok: done, declined: stopped } }
  done: { final: success }
  expired: { final: failure }
  stopped: { final: failure }
"#;
const CONNECTOR: &str = r#"
connector: bank
title: A bank
base_url: https://bank.invalid
operations:
  take: { post: /payments, outcomes: { ok: response.status == 200, declined: response.status == 422 } }
"#;
const ORDERS: usize = 3_000;
const KEPT: usize = 64;

struct Bank;

#[async_trait]
impl Connector for Bank {
    async fn invoke(&self, _invocation: &Invocation) -> Outcome {
        Outcome::Ok { result: json!({}) }
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }
}

/// Stands still until it is moved.
struct Still(AtomicI64);

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, _at: Timestamp) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }

    fn order_id(&self) -> OrderId {
        SystemClock.order_id()
    }
}

async fn start(store: &Arc<MemoryStore>, clock: &Arc<Still>) -> Executor {
    let sources = Sources {
        path: "waiting.yaml".to_owned(),
        workflow: WORKFLOW.to_owned(),
        connectors: BTreeMap::from([("bank".to_owned(), CONNECTOR.to_owned())]),
        schemas: BTreeMap::new(),
    };
    let workflow = Arc::new(load(sources).unwrap());
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register(ConnectorName::from("bank"), Arc::new(Bank));
    let options = Options { shards: 2, keep_waiting: KEPT, ..Options::default() };
    let clock = Arc::<Still>::clone(clock);
    Executor::start(Arc::<MemoryStore>::clone(store), clock, connectors, vec![workflow], options).await.unwrap()
}

async fn open(executor: &Executor) -> OrderId {
    let submission = Submission { workflow: "waiting".into(), input: json!({}), key: None, child: None };
    executor.submit(submission).await.unwrap().snapshot.id
}

/// Until every order is as it should be.
async fn come_to(executor: &Executor, orders: &[OrderId], expected: impl Fn(usize) -> Status) {
    let begun = std::time::Instant::now();
    for (n, &order) in orders.iter().enumerate() {
        loop {
            let status = executor.order(order).await.unwrap().unwrap().status;
            if status == expected(n) {
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(300), "order {n} is {status:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The loops count at the end of their rounds.
async fn counted(executor: &Executor, what: &str, done: impl Fn(&Tally) -> bool) {
    let begun = std::time::Instant::now();
    while !done(&executor.tally()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {:?}", executor.tally());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_wait_leave_memory_and_come_back() {
    let store = Arc::new(MemoryStore::default());
    let clock = Arc::new(Still(AtomicI64::new(1_800_000_000_000)));
    let executor = start(&store, &clock).await;
    let mut orders = Vec::new();
    for _ in 0..ORDERS {
        orders.push(open(&executor).await);
    }
    counted(&executor, "timed, and few in memory", |tally| {
        tally.timed == ORDERS as u64 && tally.resident <= 2 * KEPT as u64
    })
    .await;
    // Every third one is confirmed, each twice; the answer to the second is that it is known.
    for (n, &order) in orders.iter().enumerate().filter(|(n, _)| n.is_multiple_of(3)) {
        let event = || Event::Received {
            id: EventId::new(format!("confirmed-{n}")),
            name: "customer.confirmed".into(),
            payload: json!(null),
            source: "test".to_owned(),
        };
        assert_eq!(executor.apply(order, event()).await.unwrap().how, How::Applied);
        assert_eq!(executor.apply(order, event()).await.unwrap().how, How::Duplicate);
    }
    let confirmed = |n: usize| if n.is_multiple_of(3) { Status::Succeeded } else { Status::Waiting };
    come_to(&executor, &orders, confirmed).await;
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
    drop(executor);

    // A restart arms every timer, and reads no order for that.
    let executor = start(&store, &clock).await;
    let waiting = orders.len() - orders.len().div_ceil(3);
    counted(&executor, "timed, and none in memory", |tally| tally.timed == waiting as u64 && tally.resident == 0).await;
    let waits = executor.wait(orders[1], Duration::from_secs(300));
    let moved = async { clock.0.fetch_add(600_000, Ordering::SeqCst) };
    let (ended, _) = tokio::join!(waits, moved);
    assert_eq!(ended.map(|order| order.status), Some(Status::Failed), "who watches an order is told, wherever it is");
    come_to(&executor, &orders, |n| if n.is_multiple_of(3) { Status::Succeeded } else { Status::Failed }).await;
    counted(&executor, "nothing is left of what has ended", |tally| (tally.timed, tally.resident) == (0, 0)).await;
    assert_eq!(store.open_orders(None, 10).await.unwrap(), []);
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
}
