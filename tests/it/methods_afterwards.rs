//! What becomes of payments after they succeeded: Paystate hears of it, looks into it, and agrees with the bank's books.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use paystate::definition::{Sources, Workflow, load};
use paystate::machine::{Event, Resolution, Snapshot, Status};
use paystate::types::{EventId, EventName, OrderId};
use serde_json::json;

use super::methods::World;

impl World {
    async fn advance(&self, by: &str) {
        let url = format!("{}/admin/clock", self.sandbox.gateway_url());
        let moved = self.sandbox.client().post(url).json(&json!({ "advance": by })).send().await.unwrap();
        assert!(moved.status().is_success());
    }

    /// Waits until the order is in the state and at rest: final states are left again when news comes.
    async fn comes_to(&self, order: OrderId, state: &str) -> Arc<Snapshot> {
        for _ in 0..800 {
            let snapshot = self.executor.order(order).await.unwrap().unwrap();
            if snapshot.state.as_str() == state && !snapshot.is_open() {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let snapshot = self.executor.order(order).await.unwrap().unwrap();
        self.ends(&snapshot, state).await;
        panic!("still open: {snapshot:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_fails_afterwards_is_no_success() {
    let world = World::start(None).await;
    for method in ["credit_card", "bank_card"] {
        let input = world.sample(method, 10_090).await;
        let paid = world.pay(method, input).await;
        world.ends(&paid, "notified").await;
        world.agree(&paid);
        world.advance("2h").await;
        let failed = world.comes_to(paid.id, "capture_failed").await;
        assert_eq!(failed.status, Status::Failed);
        assert_eq!((failed.money.captured, failed.money.released), (0, 10_090));
        world.agree(&failed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_comes_back_can_be_asked_for_again() {
    let world = World::start(None).await;
    let input = world.sample("credit_card", 20_000).await;
    let paid = world.pay("credit_card", input).await;
    let refund = |amount: i64| json!({ "payment": paid.id.to_string(), "amount": amount, "currency": "CNY" });
    let first = world.pay("refund", refund(10_092)).await;
    world.ends(&first, "notified").await;
    world.agree(&first);
    world.advance("3d").await;
    let returned = world.comes_to(first.id, "returned").await;
    assert_eq!((returned.status, returned.money.refunded), (Status::Failed, 0));
    world.agree(&returned);
    // All of it is free again: only then does the whole payment fit.
    let again = world.pay("refund", refund(20_000)).await;
    world.ends(&again, "notified").await;
    world.agree(&again);
    let truth = world.sandbox.oracle(&paid.id.to_string());
    assert_eq!((&truth["refunded"], &truth["returned"]), (&json!(30_092), &json!(10_092)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charged_back_payment_is_not_refunded_as_well() {
    let world = World::start(None).await;
    for method in ["credit_card", "bank_card"] {
        let input = world.sample(method, 10_099).await;
        let paid = world.pay(method, input).await;
        world.ends(&paid, "notified").await;
        let refund = json!({ "payment": paid.id.to_string(), "amount": 99, "currency": "CNY" });
        let part = world.pay("refund", refund.clone()).await;
        world.ends(&part, "notified").await;

        world.advance("30d").await;
        let charged_back = world.comes_to(paid.id, "charged_back").await;
        assert_eq!((charged_back.status, charged_back.money.charged_back), (Status::Failed, 10_000));
        let refused = world.pay("refund", refund).await;
        world.ends(&refused, "refused").await;
        assert_eq!(refused.data["reason"], "payment_charged_back");
        let truth = world.sandbox.oracle(&paid.id.to_string());
        assert_eq!((&truth["charged_back"], &truth["refunded"]), (&json!(10_000), &json!(99)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_a_chargeback_overtakes_is_declined_by_the_bank() {
    let world = World::start(None).await;
    let input = world.sample("bank_card", 10_099).await;
    let paid = world.pay("bank_card", input).await;
    world.sandbox.notify(None);
    world.advance("30d").await;
    while world.sandbox.oracle(&paid.id.to_string())["charged_back"] != 10_099 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refund = json!({ "payment": paid.id.to_string(), "amount": 4_000, "currency": "CNY" });
    let refund = world.pay("refund", refund).await;
    world.ends(&refund, "failed").await;
    assert_eq!(refund.data["reason"], "too_much");
    world.agree(&refund);
}

fn reported(name: &str, reference: &str) -> Event {
    Event::Received {
        id: EventId::new(name),
        name: EventName::new(name),
        payload: json!({ "reference": reference }),
        source: "test".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_with_an_incident_is_not_refunded_until_a_person_has_ended_it() {
    let world = World::start(None).await;
    let input = world.sample("bank_card", 10_000).await;
    let paid = world.pay("bank_card", input).await;
    // Nothing of this payment was refunded, so that nobody knows what to make of it.
    let strange = world.executor.apply(paid.id, reported("refund.returned", "r-1")).await.unwrap().snapshot;
    assert_eq!(strange.status, Status::Incident, "{strange:?}");
    let refund = json!({ "payment": paid.id.to_string(), "amount": 4_000, "currency": "CNY" });
    let refused = world.pay("refund", refund.clone()).await;
    world.ends(&refused, "refused").await;
    assert_eq!(refused.data["reason"], "payment_not_refundable");
    let ended = Event::Resolved {
        id: EventId::new("kim-1"),
        by: "kim".to_owned(),
        note: "not ours".to_owned(),
        resolution: Resolution::Dismissed,
    };
    world.executor.apply(paid.id, ended).await.unwrap();
    let refunded = world.pay("refund", refund).await;
    world.ends(&refunded, "notified").await;
    world.agree(&refunded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cheque_that_was_cleared_stays_paid_whatever_is_reported() {
    let world = World::start(None).await;
    let input = world.sample("e_cheque", 10_000).await;
    let paid = world.pay("e_cheque", input).await;
    world.ends(&paid, "notified").await;
    let reference = paid.data["payment"].as_str().unwrap();
    let after = world.executor.apply(paid.id, reported("echeque.returned", reference)).await.unwrap().snapshot;
    assert_eq!((after.state.as_str(), after.status, after.money.captured), ("notified", Status::Succeeded, 10_000));
    world.agree(&after);
}

/// A provider whose "not found" proves nothing, and to which nothing is sent twice: what it does not answer is undone.
fn impatient() -> Workflow {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/connectors"));
    let gateway = std::fs::read_to_string(folder.join("gateway.yaml")).unwrap();
    let gateway = gateway
        .replace("      outcomes: { not_found: response.status == 404 }\n", "")
        .replace("replay: stored", "replay: none");
    let patient = "schedule: [1s, 2s, 5s, 10s, 30s, 1m, 5m, 10m, 30m]";
    let gateway = gateway.replace(patient, "schedule: [200ms, 500ms, 2500ms]");
    let workflow = r#"
workflow: bank_card
input: { type: object, properties: { amount: { type: integer, minimum: 1 }, currency: { type: string } } }
money: { amount: "${input.amount}", currency: "${input.currency}" }
initial: verified
states:
  verified:
    invoke:
      call: gateway.forward
      with:
        merchant_order: "${input.merchant_order}"
        amount: "${input.amount}"
        currency: "${input.currency}"
        method: bank_card
        payment: "${input.payment}"
    on: { ok: { target: forwarded, assign: { session: "${result.session}" } }, declined: declined }
  forwarded:
    invoke:
      call: gateway.purchase
      with: { session: "${data.session}", amount: "${input.amount}", currency: "${input.currency}", challenge: null }
      compensate:
        call: gateway.reverse
        with: { original: "${call.key}", amount: "${with.amount}", currency: "${with.currency}" }
    on: { ok: notified, action_required: declined, declined: declined, reversed: undone }
  notified: { final: success }
  declined: { final: failure }
  undone: { final: failure }
"#;
    let sources = Sources {
        path: "impatient.yaml".to_owned(),
        workflow: workflow.to_owned(),
        connectors: BTreeMap::from([("gateway".to_owned(), gateway)]),
        schemas: BTreeMap::new(),
    };
    load(sources).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_that_lands_after_its_reversal_charges_nothing() {
    let world = World::with(None, vec![impatient()]).await;
    let input = world.sample("bank_card", 10_093).await;
    let order = world.pay("bank_card", input).await;
    world.ends(&order, "undone").await;
    let truth = world.sandbox.oracle(&order.id.to_string());
    assert_eq!((&truth["purchased"], &truth["effects"]), (&json!(0), &json!([])), "{truth}");
    world.agree(&order);
    let url = format!("{}/v1/operations?reference={}-2-1", world.sandbox.gateway_url(), order.id);
    let key = world.sandbox.secrets()["gateway_key"].reveal();
    let original = world.sandbox.client().get(url).bearer_auth(key).send().await.unwrap();
    let original: serde_json::Value = original.json().await.unwrap();
    assert_eq!(original["code"], "reversed", "{original}");
}
