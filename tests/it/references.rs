//! Notifications find their orders by what the provider calls them, also when they come first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Arrived, Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, HookError, Hooked, Options, Received, Submission, SystemClock};
use paystate::machine::{Outcome, Snapshot};
use paystate::store::{MemoryStore, SledOptions, SledStore, Store};
use serde_json::json;
use tokio::sync::Semaphore;

const WORKFLOW: &str = r#"
workflow: intent
input: { type: object }
references: [payment_intent]
deadline: 7d
initial: created
states:
  created:
    invoke: acme.create
    on: { ok: { target: waits, assign: { payment_intent: "${result.id}" } }, declined: stopped }
  waits: { on: { payment.succeeded: paid }, after: { 1d: stopped } }
  paid: { final: success, late: { payment.succeeded: ignore } }
  stopped: { final: failure, late: { payment.succeeded: incident } }
"#;
const CONNECTOR: &str = r#"
connector: acme
base_url: https://acme.invalid
operations:
  create: { post: /intents, outcomes: { ok: response.status == 200, declined: response.status == 402 } }
webhooks:
  verify: { scheme: sender-address }
  allow_from: [192.0.2.1]
  acknowledge: { body: "[accepted]" }
  events:
    - { when: body.type == "succeeded", event: payment.succeeded, correlate: body.intent, by: payment_intent, id: body.id }
"#;

/// The provider says what became of a purchase by names of its own alone.
const TAKING: &str = r#"
  taking:
    invoke: { call: acme.take, with: { amount: 5, currency: EUR } }
    on: { ok: paid, declined: stopped, failed: stopped }
  paid: { final: success, late: { payment.succeeded: ignore, take.done: ignore, take.failed: ignore } }
  stopped: { final: failure, late: { payment.succeeded: incident, take.done: ignore, take.failed: ignore } }
"#;
const TAKE: &str = r#"
  take:
    post: /intents/${key}
    body: { amount: "${with.amount}", currency: "${with.currency}" }
    money: purchase
    idempotency: { replay: intent }
    outcomes: { pending: response.status == 202, reference: response.body.id }
    inquire: resend
webhooks:
"#;
const TOLD: &str = r#"
    - { when: body.type == "taken", event: take.done, settles: ok, correlate: body.intent, by: payment_intent, id: body.id, payload: { reference: "${body.take}" } }
    - { when: body.type == "failed", event: take.failed, settles: declined, correlate: body.intent, by: payment_intent, id: body.id, payload: { reference: "${body.take}" } }
"#;

/// Calls the n-th order `pi_{n}`, once it is let.
struct Acme(Arc<Semaphore>);

#[async_trait]
impl Connector for Acme {
    async fn invoke(&self, call: &Invocation) -> Outcome {
        self.0.acquire().await.unwrap().forget();
        if call.operation.as_str() == "take" {
            return Outcome::Pending { reference: Some(format!("take_{}", call.order)), result: json!({}) };
        }
        Outcome::Ok { result: json!({ "id": format!("pi_{}", call.order) }) }
    }

    async fn inquire(&self, _: &Invocation) -> Outcome {
        Outcome::NotFound
    }
}

async fn start(store: Arc<dyn Store>, may: &Arc<Semaphore>) -> Executor {
    start_with(store, may, CONNECTOR.to_owned(), WORKFLOW.to_owned()).await
}

async fn start_with(store: Arc<dyn Store>, may: &Arc<Semaphore>, connector: String, workflow: String) -> Executor {
    let (path, connectors) = ("intent.yaml".to_owned(), BTreeMap::from([("acme".to_owned(), connector)]));
    let workflow = load(Sources { path, workflow, connectors, schemas: BTreeMap::new() });
    let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register("acme".into(), Arc::new(Acme(Arc::clone(may))));
    Executor::start(store, Arc::new(SystemClock), connectors, vec![workflow], Options::default()).await.unwrap()
}

async fn submit(executor: &Executor) -> Arc<Snapshot> {
    let submission = Submission { workflow: "intent".into(), input: json!({}), key: None, child: None };
    executor.submit(submission).await.unwrap().snapshot
}

async fn notify(executor: &Executor, intent: &str, id: &str) -> Result<Received, HookError> {
    tell(executor, json!({"type": "succeeded", "intent": intent, "id": id})).await
}

async fn tell(executor: &Executor, body: serde_json::Value) -> Result<Received, HookError> {
    let body = body.to_string();
    let (headers, query) = (BTreeMap::new(), json!({}));
    let from = Some("192.0.2.1".parse().unwrap());
    executor.hook("acme", &Arrived { headers: &headers, query: &query, path: "", body: body.as_bytes(), from }).await
}

async fn ends(executor: &Executor, order: &Snapshot, state: &str) {
    let ended = executor.wait(order.id, Duration::from_secs(20)).await.expect("it ends");
    assert_eq!(ended.state.as_str(), state);
}

/// Such as a payment and its refund: neither takes the other's notifications away.
#[tokio::test(flavor = "multi_thread")]
async fn every_order_that_knows_the_reference_is_told() {
    let (store, may) = (Arc::new(MemoryStore::new()), Arc::new(Semaphore::new(3)));
    let workflow = WORKFLOW.replace("${result.id}", "shared");
    let executor = start_with(store, &may, CONNECTOR.to_owned(), workflow).await;
    let orders = [submit(&executor).await, submit(&executor).await, submit(&executor).await];
    while may.available_permits() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for order in &orders {
        while executor.order(order.id).await.unwrap().unwrap().references.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    let received = notify(&executor, "shared", "evt_1").await.unwrap();
    assert_eq!(received.told.len(), 3, "{received:?}");
    for order in &orders {
        ends(&executor, order, "paid").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_finds_its_order_by_the_providers_name_for_it() {
    let executor = start(Arc::new(MemoryStore::new()), &Arc::new(Semaphore::new(2))).await;
    let (one, other) = (submit(&executor).await, submit(&executor).await);
    let told = notify(&executor, &format!("pi_{}", other.id), "evt_1").await.unwrap();
    assert!(matches!(told.told.as_slice(), [Hooked::Applied { order, .. }] if *order == other.id));
    assert_eq!((told.acknowledge.status, told.acknowledge.body.as_deref()), (200, Some("[accepted]")));
    ends(&executor, &other, "paid").await;
    // Its own call may still be under way.
    assert_ne!(executor.order(one.id).await.unwrap().unwrap().state.as_str(), "paid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_settled_by_what_the_provider_called_it() {
    let connector = CONNECTOR.replace("webhooks:\n", TAKE.trim_start_matches('\n')) + TOLD.trim_start_matches('\n');
    let (head, _) = WORKFLOW.split_once("  paid:").unwrap();
    let workflow =
        head.replace("payment.succeeded: paid", "payment.succeeded: taking") + TAKING.trim_start_matches('\n');
    let executor = start_with(Arc::new(MemoryStore::new()), &Arc::new(Semaphore::new(4)), connector, workflow).await;
    for (said, state) in [("taken", "paid"), ("failed", "stopped")] {
        let order = submit(&executor).await;
        let intent = format!("pi_{}", order.id);
        notify(&executor, &intent, &format!("{said}_1")).await.unwrap();
        let told = |take: String, id: &str| json!({ "type": said, "intent": &intent, "take": take, "id": id });
        // Of another one of the same order.
        tell(&executor, told("take_0".to_owned(), &format!("{said}_2"))).await.unwrap();
        let now = executor.order(order.id).await.unwrap().unwrap();
        assert_eq!((now.state.as_str(), now.money.captured), ("taking", 0));
        tell(&executor, told(format!("take_{}", order.id), &format!("{said}_3"))).await.unwrap();
        ends(&executor, &order, state).await;
        let ended = executor.order(order.id).await.unwrap().unwrap();
        assert_eq!(ended.money.captured, if state == "paid" { 5 } else { 0 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_comes_before_the_order_knows_its_reference_waits_for_it() {
    let may = Arc::new(Semaphore::new(0));
    let executor = start(Arc::new(MemoryStore::new()), &may).await;
    let order = submit(&executor).await;
    let intent = format!("pi_{}", order.id);
    // Too early for longer than anybody waits: its sender keeps it, and sends it again.
    assert!(matches!(notify(&executor, &intent, "evt_1").await, Err(HookError::TooEarly)));
    let waiting = tokio::spawn({
        let (executor, intent) = (executor.clone(), intent.clone());
        async move { notify(&executor, &intent, "evt_1").await }
    });
    may.add_permits(1);
    assert!(matches!(waiting.await.unwrap().unwrap().told.as_slice(), [Hooked::Applied { .. }]));
    ends(&executor, &order, "paid").await;
    // Once more, as senders do.
    assert!(matches!(notify(&executor, &intent, "evt_1").await.unwrap().told.as_slice(), [Hooked::Applied { .. }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn references_outlive_a_restart_and_a_lost_working_store() {
    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let fold = Arc::new(paystate::executor::Refold::default());
        Arc::new(SledStore::open(dir.path(), SledOptions::default(), fold).unwrap())
    };
    let may = Arc::new(Semaphore::new(1));
    let store = open();
    let executor = start(Arc::<SledStore>::clone(&store), &may).await;
    let order = submit(&executor).await;
    while executor.order(order.id).await.unwrap().unwrap().state.as_str() != "waits" {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
    drop((executor, store));
    std::fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let executor = start(open(), &may).await;
    notify(&executor, &format!("pi_{}", order.id), "evt_1").await.unwrap();
    ends(&executor, &order, "paid").await;
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
}
