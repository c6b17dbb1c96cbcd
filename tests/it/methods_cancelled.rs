//! What customers and merchants see when a payment is cancelled while its customer is asked.

use std::sync::Arc;
use std::time::Duration;

use paystate::executor::Submission;
use paystate::machine::{Event, Snapshot};
use paystate::types::{EventId, OrderId};
use serde_json::{Value, json};

use super::methods::{PATIENCE, World};

const AMOUNT: i64 = 12_000;

impl World {
    /// The input of an order whose customer is asked on a page.
    async fn asked(&self, method: &str) -> Value {
        let mut input = self.sample(method, AMOUNT).await;
        let details = match method {
            "bank_card" | "credit_card" => json!({ "type": "card", "number": "4000002760003184", "expiry": "12/49" }),
            "e_wallet" => json!({ "type": "wallet", "account": "wallet-3" }),
            _ => return input,
        };
        let number = input["merchant_order"].as_str().unwrap();
        input["payment"] = json!(self.sandbox.customer().seal(number, AMOUNT, "CNY", method, &details).unwrap());
        input
    }

    /// Submits it and returns it with the address of its page.
    async fn waits_for_its_customer(&self, method: &str) -> (OrderId, String) {
        let submission =
            Submission { workflow: method.into(), input: self.asked(method).await, key: None, child: None };
        let order = self.executor.submit(submission).await.unwrap().snapshot.id;
        for _ in 0..2000 {
            let snapshot = self.executor.order(order).await.unwrap().unwrap();
            if let Some(url) = snapshot.data["customer_url"].as_str() {
                return (order, url.to_owned());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{method} never asks its customer");
    }

    pub(crate) async fn cancel(&self, order: OrderId) -> Arc<Snapshot> {
        let id = EventId::new(format!("cancel-{order}"));
        let cancel = Event::CancelRequested { id, by: "shop".to_owned(), reason: String::new() };
        self.executor.apply(order, cancel).await.unwrap().snapshot
    }

    async fn page(&self, url: &str) -> String {
        self.sandbox.client().get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Presses the button, as a page does that was loaded before.
    async fn press(&self, url: &str) -> String {
        let form = self.sandbox.client().post(url).header("content-type", "application/x-www-form-urlencoded");
        form.body("decision=confirm").send().await.unwrap().text().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_cancelled_payment_says_so_and_takes_no_confirmation() {
    let world = World::start(None).await;
    let methods = [
        "bank_card",
        "credit_card",
        "e_wallet",
        "unionpay_online",
        "online_banking",
        "third_party_mobile",
        "third_party_phone",
    ];
    for method in methods {
        let (order, url) = world.waits_for_its_customer(method).await;
        assert!(world.page(&url).await.contains("<form"), "{method}");
        world.cancel(order).await;
        let ended = world.executor.wait(order, PATIENCE).await.unwrap();
        world.ends(&ended, "cancelled").await;
        for page in [world.page(&url).await, world.press(&url).await, world.page(&url).await] {
            assert!(page.contains("The payment was cancelled") && !page.contains("<form"), "{method}: {page}");
        }
        let after = world.executor.order(order).await.unwrap().unwrap();
        assert_eq!((after.state.as_str(), after.seq), ("cancelled", ended.seq), "{method}");
        let truth = world.sandbox.oracle(&order.to_string());
        assert_eq!((&truth["purchased"], &truth["captured"], &truth["held"]), (&json!(0), &json!(0), &json!(0)));
        world.agree(&after);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_time_is_over_takes_no_confirmation() {
    let world = World::start(None).await;
    let mut open = Vec::new();
    for method in ["bank_card", "unionpay_online"] {
        open.push(world.waits_for_its_customer(method).await);
    }
    let clock = format!("{}/admin/clock", world.sandbox.gateway_url());
    world.sandbox.client().post(clock).json(&json!({ "advance": "16m" })).send().await.unwrap();
    for (order, url) in open {
        for page in [world.press(&url).await, world.page(&url).await] {
            assert!(page.contains("Too late") && page.contains("nothing is paid"), "{page}");
        }
        assert_eq!(world.sandbox.oracle(&order.to_string())["effects"], json!([]));
    }
}
