//! A top-up is one order to merchant and customer, though it is three at Paystate: the whole, the bank's part, the refund.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Connector, Invocation};
use paystate::executor::Submission;
use paystate::machine::{Event, Outcome, Snapshot};
use paystate::store::OrderQuery;
use paystate::types::{EventId, EventName, OrderId};
use serde_json::{Value, json};

use super::methods::{PATIENCE, World};

/// Takes the notices in the shop's place: to whom, of what, of which order.
#[derive(Default)]
struct Shop(Mutex<Vec<(String, String, OrderId)>>);

#[async_trait]
impl Connector for Shop {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let kind = invocation.with["type"].as_str().unwrap().to_owned();
        self.0.lock().unwrap().push((invocation.operation.to_string(), kind, invocation.order));
        Outcome::Ok { result: Value::Null }
    }

    async fn inquire(&self, _: &Invocation) -> Outcome {
        Outcome::NotFound
    }
}

impl Shop {
    fn of(world: &World) -> Arc<Self> {
        let shop = Arc::new(Self::default());
        world.executor.connectors().register("notify".into(), Arc::<Self>::clone(&shop));
        shop
    }

    /// Each once, whichever came first.
    fn was_told(&self, kind: &str, order: OrderId) {
        let mut told = self.0.lock().unwrap().clone();
        told.sort();
        let notice = |to: &str| (to.to_owned(), kind.to_owned(), order);
        assert_eq!(told, [notice("customer"), notice("merchant")]);
    }

    fn was_told_nothing(&self) {
        assert_eq!(*self.0.lock().unwrap(), []);
    }
}

impl World {
    /// Orders that are the work of another's calls.
    async fn children(&self, workflow: &str, of: OrderId) -> Vec<Arc<Snapshot>> {
        let query = OrderQuery { workflow: Some(workflow.into()), state: None, status: None, after: None, limit: 10 };
        let mut orders = self.executor.list(&query).await.unwrap();
        orders.retain(|order| order.parent.as_ref().is_some_and(|parent| parent.order == of));
        orders
    }

    async fn child(&self, workflow: &str, of: OrderId) -> Arc<Snapshot> {
        let children = self.children(workflow, of).await;
        assert_eq!(children.len(), 1, "{children:?}");
        Arc::clone(&children[0])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_top_up_is_told_once_when_the_account_is_credited() {
    let world = World::start(Some(Duration::from_millis(20))).await;
    let shop = Shop::of(&world);
    let input = world.sample("third_party_topup", 12_000).await;
    let order = world.pay("third_party_topup", input).await;
    world.ends(&order, "notified").await;
    shop.was_told("payment.succeeded", order.id);
    let bank = world.child("online_banking", order.id).await;
    world.ends(&bank, "notified").await;
    assert_eq!(bank.stages.len(), 6, "{:?}", bank.stages);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_top_up_that_cannot_be_credited_is_told_as_its_refund_and_as_no_payment() {
    let world = World::start(Some(Duration::from_millis(20))).await;
    let shop = Shop::of(&world);
    let input = world.sample("third_party_topup", 12_000).await;
    // Under the merchant's number: the gateway hears it from the request.
    let script = json!({
        "order": input["merchant_order"], "operation": "credit", "fault": ["decline:account_closed"],
    });
    let url = format!("{}/admin/scripts", world.sandbox.gateway_url());
    assert_eq!(world.sandbox.client().post(url).json(&script).send().await.unwrap().status(), 201);
    let order = world.pay("third_party_topup", input).await;
    world.ends(&order, "refunded").await;
    assert_eq!(order.data["reason"], "account_closed");
    let refund = world.child("refund", order.id).await;
    shop.was_told("refund.succeeded", refund.id);
    let bank = world.child("online_banking", order.id).await;
    assert_eq!(world.sandbox.oracle(&bank.id.to_string())["refunded"], 12_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_top_up_that_nobody_pays_nothing_is_told() {
    let world = World::start(Some(Duration::from_millis(20))).await;
    let shop = Shop::of(&world);
    let input = world.sample("third_party_topup", 10_051).await;
    let order = world.pay("third_party_topup", input).await;
    world.ends(&order, "declined").await;
    assert_eq!(order.data["reason"], "insufficient_funds");
    shop.was_told_nothing();

    let world = World::start(None).await;
    let shop = Shop::of(&world);
    let input = world.sample("third_party_topup", 12_000).await;
    let submission = Submission { workflow: "third_party_topup".into(), input, key: None, child: None };
    let order = world.executor.submit(submission).await.unwrap().snapshot.id;
    let bank = loop {
        match world.children("online_banking", order).await.pop() {
            Some(bank) if bank.state.as_str() == "awaiting_approval" => break bank.id,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let clock = format!("{}/admin/clock", world.sandbox.gateway_url());
    world.sandbox.client().post(clock).json(&json!({ "advance": "16m" })).send().await.unwrap();
    // So that nobody waits until Paystate asks by itself.
    let event = Event::Received {
        id: EventId::new("1"),
        name: EventName::new("ebank.failed"),
        payload: json!({}),
        source: "test".to_owned(),
    };
    world.executor.apply(bank, event).await.unwrap();
    let ended = world.executor.wait(order, PATIENCE).await.unwrap();
    world.ends(&ended, "declined").await;
    assert_eq!(ended.data["reason"], "expired");
    shop.was_told_nothing();
}
