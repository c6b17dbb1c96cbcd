//! A payment and its refunds, an order and its children lead to each other: in the API, in `paystate show`, and in a daemon that was started again.

use serde_json::{Value, json};

use crate::api::World;
use crate::api_fake::Fake;
use crate::cli::{run, text, url};
use crate::support::Daemon;

#[tokio::test]
async fn a_payment_shows_its_refunds_and_a_refund_its_payment() {
    let world = World::start();
    let open = |amount: i64| world.fake.open(json!({"amount": amount, "currency": "CNY"}));
    let (payment, first, second) = (open(1_200), open(500), open(900));
    world.fake.receive(second, "customer.refused");
    world.fake.refunds.lock().unwrap().extend([(payment, first), (payment, second)]);
    let (_, shown) = world.get(&format!("/v1/orders/{payment}")).await;
    let refunds = shown["refunds"].as_array().unwrap();
    let told = |refund: &Value| ["order", "workflow", "state", "status"].map(|field| refund[field].clone());
    assert_eq!(
        refunds.iter().map(told).collect::<Vec<_>>(),
        [
            [json!(second), json!("card"), json!("cancelled"), json!("failed")],
            [json!(first), json!("card"), json!("verified"), json!("waiting")],
        ]
    );
    assert_eq!(refunds[1]["amount"], json!({"amount": 500, "currency": "CNY", "text": "5.00 CNY"}));
    assert_eq!(shown["refund_of"], Value::Null);
    let (_, refund) = world.get(&format!("/v1/orders/{first}")).await;
    assert_eq!((&refund["refund_of"], &refund["refunds"]), (&json!(payment), &Value::Null));
    let (_, document) = world.get("/openapi.json").await;
    let order = &document["components"]["schemas"]["Order"]["properties"];
    assert_eq!(order["refunds"]["items"]["$ref"], "#/components/schemas/RelatedOrder");
    assert!(order["refund_of"].is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_are_shown_for_people() {
    let fake = Fake::new();
    let server = fake.serve();
    let open = |amount: i64| fake.open(json!({"amount": amount, "currency": "CNY"}));
    let (payment, refund) = (open(1_200), open(500));
    fake.refunds.lock().unwrap().push((payment, refund));
    let shown = text(&run(&url(&server), &["show", &payment.to_string()]).stdout);
    assert!(shown.ends_with(&format!("\n\nrefunds\n  {refund}  card  5.00 CNY  waiting: verified\n")), "{shown}");
    let shown = text(&run(&url(&server), &["show", &refund.to_string()]).stdout);
    assert!(shown.contains(&format!("\nrefund of   {payment}\n")), "{shown}");
    // What is asked of an order answers with the order, whole.
    let cancelled = run(&url(&server), &["cancel", &payment.to_string(), "--by", "ops", "--json"]);
    let cancelled: Value = serde_json::from_slice(&cancelled.stdout).unwrap();
    assert_eq!(cancelled["refunds"][0]["order"], json!(refund));
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_shown_with_their_parent() {
    let fake = Fake::new();
    let server = fake.serve();
    let open = |amount: i64| fake.open(json!({"amount": amount, "currency": "CNY"}));
    let (parent, child) = (open(1_200), open(500));
    fake.children.lock().unwrap().push((parent, child));
    let shown = text(&run(&url(&server), &["show", &parent.to_string()]).stdout);
    assert!(shown.ends_with(&format!("\n\nchildren\n  {child}  card  5.00 CNY  waiting: verified\n")), "{shown}");
}

/// The daemon and the shipped top-up, whose bank leg is an order of its own.
#[test]
fn a_daemon_shows_the_bank_leg_of_a_top_up() {
    let mut daemon = Daemon::start();
    let dir = daemon.sandbox_dir().display().to_string();
    let sample = text(&run("", &["sandbox", "--dir", &dir, "--sample", "third_party_topup"]).stdout);
    let top_up = run(&daemon.url, &["submit", "third_party_topup", "--input", &sample, "--json"]);
    let top_up: Value = serde_json::from_slice(&top_up.stdout).expect("an order");
    let id = top_up["id"].as_str().expect("an id");
    let show = |daemon: &Daemon, id: &str| -> Value {
        serde_json::from_slice(&run(&daemon.url, &["show", id, "--json"]).stdout).expect("an order")
    };
    let begun = std::time::Instant::now();
    let child = loop {
        if let Some(child) = show(&daemon, id)["children"][0]["order"].as_str() {
            break child.to_owned();
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(120), "its bank leg is never begun");
        std::thread::sleep(std::time::Duration::from_millis(50));
    };
    assert_eq!(show(&daemon, &child)["parent"]["order"], top_up["id"]);
    daemon.again();
    let shown = show(&daemon, id);
    assert_eq!(shown["children"].as_array().map(Vec::len), Some(1));
    let told = [&shown["children"][0]["order"], &shown["children"][0]["workflow"]];
    assert_eq!(told, [&json!(child), &json!("online_banking")]);
}

/// The daemon, its store on disk, and the shipped refund.
#[test]
fn a_daemon_knows_the_refunds_of_a_payment_also_when_it_is_started_again() {
    let mut daemon = Daemon::start();
    let pay = |daemon: &Daemon, workflow: &str, input: &str| {
        let arguments = ["submit", workflow, "--input", input, "--wait=60s", "--json"];
        serde_json::from_slice::<Value>(&run(&daemon.url, &arguments).stdout).expect("an order")
    };
    let dir = daemon.sandbox_dir().display().to_string();
    let sample = text(&run("", &["sandbox", "--dir", &dir, "--sample", "credit_card", "--amount", "10000"]).stdout);
    let payment = pay(&daemon, "credit_card", &sample);
    assert_eq!(payment["status"], "succeeded", "{payment}");
    let id = payment["id"].as_str().unwrap();
    let refund = |daemon: &Daemon, amount: i64| {
        pay(daemon, "refund", &json!({"payment": id, "amount": amount, "currency": "CNY"}).to_string())
    };
    let orders = [refund(&daemon, 4_000), refund(&daemon, 6_001)];
    assert_eq!(orders.each_ref().map(|order| &order["state"]), ["notified", "refused"]);
    assert_eq!(orders.each_ref().map(|order| &order["refund_of"]), [id, id]);
    check(&daemon, id, &orders);
    daemon.again();
    check(&daemon, id, &orders);
}

fn check(daemon: &Daemon, payment: &str, orders: &[Value; 2]) {
    let show = |id: &str| serde_json::from_slice::<Value>(&run(&daemon.url, &["show", id, "--json"]).stdout).unwrap();
    let shown = show(payment);
    let told = |refund: &Value| (refund["order"].clone(), refund["state"].clone(), refund["amount"]["amount"].clone());
    let of = |order: &Value| (order["id"].clone(), order["state"].clone(), order["amount"]["amount"].clone());
    let expected: Vec<_> = orders.iter().rev().map(of).collect();
    assert_eq!(shown["refunds"].as_array().unwrap().iter().map(told).collect::<Vec<_>>(), expected);
    for order in orders {
        assert_eq!(show(order["id"].as_str().unwrap())["refund_of"], payment);
    }
}
