//! What may still be refunded, where the payment's own order has given something back already.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, Options, Submission, SystemClock};
use paystate::machine::{Event, Outcome, Snapshot};
use paystate::store::MemoryStore;
use paystate::types::EventId;
use serde_json::{Value, json};

const PAYMENT: &str = r#"
workflow: payment
input: { type: object }
money: { amount: 1200, currency: EUR }
deadline: 7d
initial: paying
states:
  paying: { invoke: { call: acme.pay, with: { amount: 1200, currency: EUR } }, on: { ok: open, failed: stopped } }
  open: { on: { shop.gave_back: giving }, after: { 1d: done } }
  giving: { invoke: { call: told.refund, with: { amount: 300, currency: EUR } }, on: { ok: done } }
  done: { final: success, late: { shop.gave_back: incident } }
  stopped: { final: failure, late: { shop.gave_back: incident } }
"#;
const REFUND: &str = r#"
workflow: back
input: { type: object, required: [payment, amount], properties: { payment: { type: string }, amount: { type: integer, minimum: 1 } } }
deadline: 7d
initial: reserving
states:
  reserving:
    invoke: { call: refunds.reserve, with: { payment: "${input.payment}", amount: "${input.amount}", currency: EUR } }
    on: { ok: reserved, declined: { target: refused, assign: { reason: "${decline.code}", left: "${result.refundable}" } }, failed: refused }
  reserved: { final: success }
  refused: { final: failure }
"#;
const ACME: &str = r#"
connector: acme
base_url: https://acme.invalid
operations:
  pay:
    post: /payments
    body: { key: "${key}", amount: "${with.amount}", currency: "${with.currency}" }
    money: purchase
    idempotency: { replay: intent }
    outcomes: { ok: response.status == 200 }
    inquire: resend
"#;

struct Acme;

#[async_trait]
impl Connector for Acme {
    async fn invoke(&self, _: &Invocation) -> Outcome {
        Outcome::Ok { result: json!({}) }
    }

    async fn inquire(&self, _: &Invocation) -> Outcome {
        Outcome::NotFound
    }
}

async fn start() -> Executor {
    let read = |name: &str, text: &str| {
        let connectors = BTreeMap::from([("acme".to_owned(), ACME.to_owned())]);
        let sources =
            Sources { path: format!("{name}.yaml"), workflow: text.to_owned(), connectors, schemas: BTreeMap::new() };
        Arc::new(load(sources).unwrap_or_else(|problems| panic!("{problems:#?}")))
    };
    let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
    connectors.register("acme".into(), Arc::new(Acme));
    let workflows = vec![read("payment", PAYMENT), read("back", REFUND)];
    let store = Arc::new(MemoryStore::new());
    Executor::start(store, Arc::new(SystemClock), connectors, workflows, Options::default()).await.unwrap()
}

async fn ended(executor: &Executor, workflow: &str, input: Value) -> Arc<Snapshot> {
    let submission = Submission { workflow: workflow.into(), input, key: None, child: None };
    let order = executor.submit(submission).await.unwrap().snapshot.id;
    if workflow == "payment" {
        let (id, name, source) = (EventId::new("e1"), "shop.gave_back".into(), "api".to_owned());
        executor.apply(order, Event::Received { id, name, payload: json!({}), source }).await.unwrap();
    }
    executor.wait(order, Duration::from_secs(20)).await.expect("it ends")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_payment_itself_gave_back_is_not_refunded_again() {
    let executor = start().await;
    let payment = ended(&executor, "payment", json!({})).await;
    assert_eq!((payment.state.as_str(), payment.money.captured, payment.money.refunded), ("done", 1200, 300));
    let back = |amount: i64| ended(&executor, "back", json!({ "payment": payment.id.to_string(), "amount": amount }));
    let too_much = back(901).await;
    let said = json!({ "reason": "refund_exceeds_captured", "left": 900 });
    assert_eq!((too_much.state.as_str(), &*too_much.data), ("refused", &said));
    assert_eq!(back(900).await.state.as_str(), "reserved");
    assert_eq!(back(1).await.state.as_str(), "refused");
}
