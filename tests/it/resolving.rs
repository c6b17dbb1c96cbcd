//! A person who says that a call did succeed says what it answered: all that the workflow goes on with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paystate::api::{Engine, SendError, wire};
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, Options, Submission, SystemClock};
use paystate::machine::{Outcome, Resolution};
use paystate::store::MemoryStore;
use serde_json::json;

const WORKFLOW: &str = r#"
workflow: transfer
input: { type: object }
deadline: 7d
initial: created
states:
  created:
    invoke:
      call: bank.present
      with: { amount: 1200, currency: EUR }
      retry: { attempts: 1, initial: 1s, factor: 1, max: 1s }
      compensate: { call: bank.take_back, with: { id: "${result.id}", amount: 1200 } }
    on:
      ok: { target: paid, assign: { reference: "${result.reference}", note: "${has(result.note) ? result.note : ''}" } }
      declined: stopped
  paid: { final: success }
  stopped: { final: failure }
"#;
const CONNECTOR: &str = r#"
connector: bank
base_url: https://bank.invalid
operations:
  present:
    post: /presentments
    body: { amount: "${with.amount}", currency: "${with.currency}", reference: "${key}" }
    outcomes: { ok: response.status == 200, declined: response.status == 402 }
  take_back:
    post: /presentments/${with.id}/stop
    body: { amount: "${with.amount}", reference: "${key}" }
    outcomes: { ok: response.status == 200 }
"#;

struct Silent;

#[async_trait]
impl Connector for Silent {
    async fn invoke(&self, _: &Invocation) -> Outcome {
        Outcome::Unknown { reason: "no answer".to_owned(), retry_after_ms: None }
    }

    async fn inquire(&self, _: &Invocation) -> Outcome {
        Outcome::Unknown { reason: "no answer".to_owned(), retry_after_ms: None }
    }
}

#[tokio::test]
async fn what_a_call_answered_is_asked_for_before_anything_is_booked() {
    let workflow = load(Sources {
        path: "transfer.yaml".to_owned(),
        workflow: WORKFLOW.to_owned(),
        connectors: BTreeMap::from([("bank".to_owned(), CONNECTOR.to_owned())]),
        schemas: BTreeMap::new(),
    });
    let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register("bank".into(), Arc::new(Silent));
    let (store, clock, workflows) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock), vec![Arc::clone(&workflow)]);
    let executor = Executor::start(store, clock, connectors, workflows, Options::default()).await.unwrap();
    let submission = Submission { workflow: "transfer".into(), input: json!({}), key: None, child: None };
    let order = executor.submit(submission).await.unwrap().snapshot.id;
    let stuck = executor.wait(order, Duration::from_secs(20)).await.unwrap();
    let incident = wire::Order::of(&stuck, Some(&*workflow)).incident.unwrap();
    assert_eq!(
        (incident.needs, incident.role.as_deref()),
        (vec!["id".to_owned(), "reference".to_owned()], Some("invoke"))
    );
    assert_eq!(incident.at_stake.unwrap().text, "12.00 EUR", "what was accepted may move money later");

    let resolve = |result| {
        let (by, note) = ("kim".to_owned(), "seen at the bank".to_owned());
        Engine::resolve(&executor, order, None, by, note, Resolution::Ok { result })
    };
    let Err(SendError::IncompleteResult(missing)) = resolve(json!({ "id": "p1" })).await else {
        panic!("it was booked")
    };
    assert_eq!(missing, ["reference"]);
    let still = executor.order(order).await.unwrap().unwrap();
    assert_eq!((still.seq, still.incident.is_some()), (stuck.seq, true));
    let resolved = resolve(json!({ "id": "p1", "reference": "r1" })).await.unwrap();
    assert_eq!((resolved.state.as_str(), &resolved.data["reference"]), ("paid", &json!("r1")));
}
