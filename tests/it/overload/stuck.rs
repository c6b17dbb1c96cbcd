//! Orders without number are stuck on a provider that takes connections and never answers, or refuses them, while those
//! of another provider flow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::{Sources, Workflow, load};
use paystate::executor::{Clock, Executor, Options, SteadyClock, Submission, SystemClock, Tally};
use paystate::machine::Status;
use paystate::store::MemoryStore;
use paystate::types::OrderId;
use serde_json::json;
use tokio::net::TcpSocket;

use super::provider::Provider;
use super::{PATIENCE, kib, until};
use crate::support::soak;

const WORKFLOW: &str = r#"
workflow: NAME
input: { type: object }
deadline: 30d
initial: takes
retries:
  patient: { attempts: 10000, initial: 100ms, max: 5s }
states:
  takes:
    invoke: { call: NAME.take, timeout: TIMEOUT, retry: patient }
    on: { ok: done, failed: stopped, declined: stopped }
  done: { final: success }
  stopped: { final: failure }
"#;
const CONNECTOR: &str = r#"
connector: NAME
base_url: http://ADDRESS
auth: none
limits: { concurrency: 16, breaker: { failures: BREAKER, open: 500ms } }
operations:
  take: { post: /take, body: { order: "${order.id}" }, repeat: safe, outcomes: { ok: response.status == 200 } }
"#;
/// Requests under way at a provider at once.
const CONCURRENCY: usize = 16;
const SHARDS: usize = 2;
const KEPT: usize = 64;

fn workflow(name: &str, address: &str, timeout: &str, breaker: u32) -> Arc<Workflow> {
    let fill = |text: &str| {
        let text = text.replace("NAME", name).replace("ADDRESS", address).replace("TIMEOUT", timeout);
        text.replace("BREAKER", &breaker.to_string())
    };
    let sources = Sources {
        path: format!("{name}.yaml"),
        workflow: fill(WORKFLOW),
        connectors: BTreeMap::from([(name.to_owned(), fill(CONNECTOR))]),
        schemas: BTreeMap::new(),
    };
    Arc::new(load(sources).unwrap_or_else(|problems| panic!("{problems:#?}")))
}

async fn start(workflows: Vec<Arc<Workflow>>) -> Executor {
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    let options = Options { shards: SHARDS, keep_waiting: KEPT, ..Options::default() };
    let store = Arc::new(MemoryStore::default());
    Executor::start(store, Arc::new(SteadyClock::new()), connectors, workflows, options).await.unwrap()
}

async fn open(executor: &Executor, workflow: &str) -> OrderId {
    let submission = Submission { workflow: workflow.into(), input: json!({}), key: None, child: None };
    executor.submit(submission).await.unwrap().snapshot.id
}

/// While the provider does not answer, nothing of an order is in memory but its turn.
fn is_bounded(tally: &Tally) -> bool {
    tally.resident <= (SHARDS * (KEPT + CONCURRENCY)) as u64
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_stuck_on_a_silent_provider_cost_a_few_bytes_and_nobody_else_anything() {
    let (dead, alive) = (Provider::start(false).await, Provider::start(true).await);
    // With a breaker that does not open, and all the time there is, everything waits for its turn.
    let silent = workflow("silent", &dead.address.to_string(), "1h", 100_000);
    let flows = workflow("flows", &alive.address.to_string(), "30s", 20);
    let executor = start(vec![silent, flows]).await;
    let (many, few) = if soak() { (100_000, 10_000) } else { (2_000, 300) };
    let before = kib("self", "VmRSS");
    let mut stuck = Vec::new();
    for _ in 0..many {
        stuck.push(open(&executor, "silent").await);
    }
    let tally = || executor.tally();
    until("turns", tally, |tally| is_bounded(tally) && tally.queued >= (many - SHARDS * CONCURRENCY) as u64).await;
    let grown = kib("self", "VmRSS").saturating_sub(before);
    assert!(executor.in_flight() <= (SHARDS * CONCURRENCY) as u64, "{} tasks", executor.in_flight());

    for _ in 0..few {
        let order = open(&executor, "flows").await;
        let ended = executor.wait(order, PATIENCE).await.expect("the other provider's orders end");
        assert_eq!(ended.status, Status::Succeeded);
    }
    assert_eq!((alive.answered(), dead.answered()), (few, 0));
    assert_eq!(executor.tally().succeeded, few as u64);
    until("few in memory", tally, is_bounded).await;
    assert!(dead.most() <= CONCURRENCY, "{} connections", dead.most());

    dead.revive();
    until("they drain", || executor.tally().succeeded, |&succeeded| succeeded == (many + few) as u64).await;
    assert_eq!(dead.answered(), many, "each was sent once");
    assert_eq!((executor.tally().queued, executor.in_flight()), (0, 0));
    println!(
        "stuck, silent: {many} orders, at most {} connections, {grown} KiB with their history; {few} others ended, then all",
        dead.most()
    );
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_stuck_on_a_provider_that_refuses_go_on_when_it_is_back() {
    let alive = Provider::start(true).await;
    // Somebody else may not get this port meanwhile: it is bound, and nobody listens.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let refused = workflow("refused", &address.to_string(), "5s", 20);
    let flows = workflow("flows", &alive.address.to_string(), "30s", 20);
    let executor = start(vec![refused, flows]).await;
    let (many, few) = if soak() { (20_000, 5_000) } else { (500, 200) };
    for _ in 0..many {
        open(&executor, "refused").await;
    }
    for _ in 0..few {
        let order = open(&executor, "flows").await;
        let ended = executor.wait(order, PATIENCE).await.expect("the other provider's orders end");
        assert_eq!(ended.status, Status::Succeeded);
    }
    assert_eq!(executor.tally().succeeded, few as u64);
    until("they wait", || executor.tally(), is_bounded).await;
    let back = Provider::on(held.listen(1_024).unwrap(), true);
    until("they drain", || executor.tally().succeeded, |&succeeded| succeeded == (many + few) as u64).await;
    assert_eq!(back.answered(), many, "each was sent once");
    println!("stuck, refused: {many} orders; {few} others ended, then all");
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
}
