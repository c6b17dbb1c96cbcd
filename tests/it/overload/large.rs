//! Orders that are, or become, larger than can be kept: each is refused or parked by itself, and nobody else sees of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{Sources, load};
use paystate::executor::{
    Applied, ApplyError, Clock, Executor, How, Options, Refold, SteadyClock, Submission, SubmitError, SystemClock,
};
use paystate::machine::{Event, Outcome, Rejection, Status};
use paystate::store::{SledOptions, SledStore, Store};
use paystate::types::{ConnectorName, EventId, OrderId, Value};
use serde_json::json;

use super::PATIENCE;

const WORKFLOW: &str = r#"
workflow: large
input: { type: object }
deadline: 30d
initial: waits
states:
  waits:
    on: { order.tick: { assign: { ticked: true } }, order.go: takes }
    after: { 20d: stopped }
  takes:
    invoke: { call: bank.take, with: { size: "${input.size}" } }
    on: { ok: { target: rests, assign: { told: "${result.text}" } }, declined: stopped }
  rests: { on: { order.later: done }, after: { 20d: done } }
  done: { final: success }
  stopped: { final: failure }
"#;
const CONNECTOR: &str = r#"
connector: bank
base_url: https://bank.invalid
auth: none
operations:
  take: { post: /take, body: { size: "${with.size}" }, repeat: safe, outcomes: { ok: response.status == 200 } }
"#;

/// Answers with as much as the order says.
struct Talker;

#[async_trait]
impl Connector for Talker {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let size = usize::try_from(invocation.with["size"].as_u64().unwrap_or(0)).unwrap();
        Outcome::Ok { result: json!({ "text": "x".repeat(size) }) }
    }

    async fn inquire(&self, _invocation: &Invocation) -> Outcome {
        Outcome::NotFound
    }
}

async fn open(executor: &Executor, input: Value) -> Result<OrderId, SubmitError> {
    let submission = Submission { workflow: "large".into(), input, key: None, child: None };
    executor.submit(submission).await.map(|submitted| submitted.snapshot.id)
}

async fn send(executor: &Executor, order: OrderId, name: &str, payload: Value) -> Result<Applied, ApplyError> {
    let id = EventId::new(paystate::executor::random_id());
    executor.apply(order, Event::Received { id, name: name.into(), payload, source: "test".to_owned() }).await
}

fn is_too_large(error: &ApplyError) -> bool {
    matches!(error, ApplyError::Rejected(Rejection::TooLarge(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_is_too_large_stops_nobody_else() {
    let sources = Sources {
        path: "large.yaml".to_owned(),
        workflow: WORKFLOW.to_owned(),
        connectors: BTreeMap::from([("bank".to_owned(), CONNECTOR.to_owned())]),
        schemas: BTreeMap::new(),
    };
    let workflow = Arc::new(load(sources).unwrap_or_else(|problems| panic!("{problems:#?}")));
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SledStore::open(folder.path(), SledOptions::default(), Arc::new(Refold::default())).unwrap());
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register(ConnectorName::from("bank"), Arc::new(Talker));
    let options = Options { shards: 1, ..Options::default() };
    let shared: Arc<dyn Store> = Arc::<SledStore>::clone(&store);
    let executor =
        Executor::start(shared, Arc::new(SteadyClock::new()), connectors, vec![workflow], options).await.unwrap();

    let huge = || json!("x".repeat(200_000));
    let refused = open(&executor, json!({ "pad": huge() })).await.unwrap_err();
    assert!(matches!(&refused, SubmitError::Refused(error) if is_too_large(error)), "{refused}");
    let small = open(&executor, json!({ "size": 100 })).await.unwrap();
    let loud = open(&executor, json!({ "size": 200_000 })).await.unwrap();
    let refused = send(&executor, small, "order.later", huge()).await.unwrap_err();
    assert!(is_too_large(&refused), "what would have to wait: {refused}");

    // What is used at once is kept in the journal only, and a round takes no more of it than a segment holds.
    let tick = || send(&executor, small, "order.tick", json!("x".repeat(900_000)));
    let applied = futures_util::future::join_all((0..100).map(|_| tick())).await;
    assert!(applied.iter().all(|applied| applied.as_ref().is_ok_and(|applied| applied.how == How::Applied)));

    // What a provider has said cannot be refused: a person has to see to it.
    send(&executor, loud, "order.go", json!(null)).await.unwrap();
    let parked = executor.wait(loud, PATIENCE).await.expect("it is parked");
    let reason = parked.incident.as_ref().map(|incident| incident.reason.clone()).unwrap_or_default();
    assert_eq!(parked.status, Status::Incident);
    assert!(reason.contains("can be kept"), "{reason}");

    send(&executor, small, "order.go", json!(null)).await.unwrap();
    send(&executor, small, "order.later", json!(null)).await.unwrap();
    let ended = executor.wait(small, PATIENCE).await.expect("it ends");
    assert_eq!(ended.status, Status::Succeeded);
    assert_eq!(executor.failure(), None);
    println!("large: an order, an event and an answer of 200 kB refused or parked; 100 events of 900 kB taken");
    executor.shutdown(Duration::from_secs(10)).await.unwrap();
}
