//! The shipped methods against the sandbox: the executor, real sockets, real notifications, and the oracle as judge.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path as Segment, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use paystate::connector::{Arrived, ConnectorConfig, Connectors};
use paystate::definition::{Library, Workflow, read_data};
use paystate::executor::{Clock, Executor, HookError, Options, Submission, SystemClock};
use paystate::machine::{Event, Snapshot, Status};
use paystate::sandbox::{self, GatewayOptions, METHODS, Sandbox};
use paystate::store::MemoryStore;
use paystate::types::{EventId, EventName};
use serde_json::{Value, json};

/// Long enough for a machine that does other things too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// A sandbox, and an executor that its notifications go to.
pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) executor: Executor,
    _dir: tempfile::TempDir,
}

impl World {
    /// A customer who confirms every page by himself, if there is a delay for it.
    pub(crate) async fn start(auto_customer: Option<Duration>) -> Self {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/workflows"));
        let (workflows, problems) = Library::read_dir(folder).unwrap().load();
        assert!(problems.is_empty());
        Self::with(auto_customer, workflows).await
    }

    /// The same with other workflows than the shipped ones.
    pub(crate) async fn with(auto_customer: Option<Duration>, workflows: Vec<Workflow>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gateway = GatewayOptions { auto_customer, ..GatewayOptions::default() };
        let sandbox = Sandbox::start(sandbox::Options { gateway, ..sandbox::Options::default() }).await.unwrap();
        let ca = dir.path().join("ca.pem");
        sandbox.write_ca(&ca).unwrap();

        let mut config = ConnectorConfig::new(Arc::new(|| SystemClock.now()));
        config.env = sandbox.env();
        config.env.insert("SANDBOX_CA".to_owned(), ca.display().to_string());
        config.secrets.clone_from(sandbox.secrets());
        let connectors = Arc::new(Connectors::new(config));
        let limits = concat!(env!("CARGO_MANIFEST_DIR"), "/workflows/data/payment_account_limits.yaml");
        let limits = std::fs::read_to_string(limits).unwrap();
        let options = Options { limits: Some(Arc::new(read_data("limits", &limits).unwrap())), ..Options::default() };
        let workflows = workflows.into_iter().map(Arc::new).collect();
        let store = Arc::new(MemoryStore::default());
        let executor = Executor::start(store, Arc::new(SystemClock), connectors, workflows, options).await.unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        sandbox.notify(Some(format!("http://{}", listener.local_addr().unwrap())));
        let router = axum::Router::new().route("/hooks/{connector}", post(hook)).with_state(executor.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { sandbox, executor, _dir: dir }
    }

    pub(crate) async fn pay(&self, method: &str, input: Value) -> Arc<Snapshot> {
        let submission = Submission { workflow: method.into(), input, key: None, child: None };
        self.executor.submit_and_wait(submission, PATIENCE).await.unwrap()
    }

    pub(crate) async fn sample(&self, method: &str, amount: i64) -> Value {
        self.sandbox.sample(method, amount, "CNY").await.unwrap()
    }

    /// What Paystate believes is what the bank did, and nothing was done twice.
    pub(crate) fn agree(&self, order: &Snapshot) {
        let truth = self.sandbox.oracle(&order.id.to_string());
        let number = |name: &str| truth[name].as_i64().unwrap();
        let money = order.money;
        let ours = (money.held, money.captured, money.refunded, money.charged_back);
        let given_back = truth["effects"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|effect| ["void", "reverse", "capture_failure"].contains(&effect["kind"].as_str().unwrap()))
            .map(|effect| effect["amount"].as_i64().unwrap())
            .sum::<i64>();
        let moved = number("purchased") + number("captured");
        let theirs = (
            number("held"),
            if moved == 0 { 0 } else { moved - given_back },
            number("refunded") - number("returned"),
            number("charged_back"),
        );
        assert_eq!(ours, theirs, "{} in {}: {truth}", order.workflow, order.state);
        for effect in truth["effects"].as_array().unwrap() {
            assert_eq!(effect["applied"], 1, "{truth}");
        }
    }

    async fn journal(&self, order: &Snapshot) -> String {
        let entries = self.executor.journal(order.id, Default::default(), 200).await.unwrap();
        entries.iter().map(|entry| format!("{entry:?}\n")).collect()
    }

    pub(crate) async fn ends(&self, order: &Snapshot, state: &str) {
        if order.state.as_str() != state {
            let journal = self.journal(order).await;
            panic!("{} is in {} ({:?}): {:?}\n{journal}", order.workflow, order.state, order.status, order.incident);
        }
    }
}

async fn hook(
    State(executor): State<Executor>,
    Segment(connector): Segment<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let headers: BTreeMap<String, String> =
        headers.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect();
    let arrived = Arrived { headers: &headers, query: &json!({}), path: "", body: &body, from: None };
    match executor.hook(&connector, &arrived).await {
        Ok(_) => StatusCode::OK,
        Err(HookError::Unverified(_)) => StatusCode::UNAUTHORIZED,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_method_is_paid_and_both_are_told() {
    let world = World::start(Some(Duration::from_millis(20))).await;
    for method in METHODS {
        let input = world.sample(method, 12_000).await;
        let order = world.pay(method, input).await;
        world.ends(&order, "notified").await;
        assert_eq!(order.status, Status::Succeeded);
        assert_eq!(order.stages.len(), 6, "{method}: {:?}", order.stages);
        world.agree(&order);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_orders_with_one_sealed_payment_are_paid_once() {
    let world = World::start(Some(Duration::from_millis(20))).await;
    let balances = async || -> Vec<Value> {
        let mut balances = Vec::new();
        for account in ["customer-1", "wallet-3", "thirdparty-3", "merchant-1"] {
            let url = format!("{}/accounts/{account}/balance", world.sandbox.bank_url());
            balances.push(world.sandbox.client().get(url).send().await.unwrap().json().await.unwrap());
        }
        balances
    };
    for method in METHODS {
        let input = world.sample(method, 12_000).await;
        let submission = |key: Option<&str>| Submission {
            workflow: method.into(),
            input: input.clone(),
            key: key.map(|key| (format!("{method}-{key}"), "the body's hash".to_owned())),
            child: None,
        };
        let first = world.executor.submit_and_wait(submission(Some("one")), PATIENCE).await.unwrap();
        world.ends(&first, "notified").await;
        let before = balances().await;
        for key in [Some("another"), None] {
            let second = world.executor.submit_and_wait(submission(key), PATIENCE).await.unwrap();
            assert_ne!(second.id, first.id);
            world.ends(&second, "declined").await;
            assert_eq!((second.status, &second.data["reason"]), (Status::Failed, &json!("payment_already_used")));
            assert_eq!(world.sandbox.oracle(&second.id.to_string())["effects"], json!([]));
        }
        assert_eq!(balances().await, before, "{method}");
        world.agree(&first);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_is_refunded_in_parts_and_never_beyond() {
    let world = World::start(None).await;
    let input = world.sample("credit_card", 10_000).await;
    let paid = world.pay("credit_card", input).await;
    world.ends(&paid, "notified").await;
    let refund = |amount: i64| json!({ "payment": paid.id.to_string(), "amount": amount, "currency": "CNY" });
    let first = world.pay("refund", refund(4_000)).await;
    world.ends(&first, "notified").await;
    let too_much = world.pay("refund", refund(6_001)).await;
    world.ends(&too_much, "refused").await;
    assert_eq!(too_much.data["reason"], "refund_exceeds_captured");
    let rest = world.pay("refund", refund(6_000)).await;
    world.ends(&rest, "notified").await;
    assert_eq!(world.sandbox.oracle(&paid.id.to_string())["refunded"], 10_000);
    world.agree(&rest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_payment_of_the_same_day_is_voided() {
    let world = World::start(None).await;
    let input = world.sample("bank_card", 10_000).await;
    let paid = world.pay("bank_card", input).await;
    let refund = json!({ "payment": paid.id.to_string(), "amount": 10_000, "currency": "CNY" });
    let order = world.pay("refund", refund).await;
    world.ends(&order, "notified").await;
    let truth = world.sandbox.oracle(&paid.id.to_string());
    assert_eq!(truth["refunded"], 10_000, "{truth}");
    world.agree(&order);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_at_the_gateway_charges_once_or_not_at_all() {
    let world = World::start(Some(Duration::from_millis(20))).await;
    let cases = [
        ("bank_card", 10_005, "declined"),
        ("credit_card", 10_051, "declined"),
        ("bank_card", 10_065, "notified"),
        ("bank_card", 10_068, "notified"),
        ("credit_card", 10_070, "notified"),
        ("bank_card", 10_069, "notified"),
        ("bank_card", 10_071, "notified"),
        ("bank_card", 10_091, "declined"),
        ("bank_card", 10_096, "notified"),
        ("e_wallet", 10_096, "notified"),
        ("third_party_phone", 10_096, "notified"),
        ("e_cash", 10_096, "declined"),
        ("e_cash", 10_091, "declined"),
        ("online_banking", 10_096, "declined"),
        ("third_party_mobile", 10_096, "declined"),
        ("credit_card", 10_072, "notified"),
        ("bank_card", 10_075, "notified"),
        ("credit_card", 10_093, "notified"),
        ("credit_card", 10_081, "notified"),
        ("credit_card", 10_080, "notified"),
        ("credit_card", 10_085, "notified"),
        ("e_wallet", 10_065, "notified"),
        ("e_wallet", 10_068, "notified"),
        ("e_cash", 10_070, "notified"),
        ("unionpay_online", 10_068, "notified"),
        ("unionpay_online", 10_084, "notified"),
        ("online_banking", 10_051, "declined"),
        ("third_party_mobile", 10_071, "notified"),
        ("third_party_topup", 10_068, "notified"),
    ];
    let paid = cases.map(|(method, amount, state)| {
        let world = &world;
        async move {
            let input = world.sample(method, amount).await;
            let order = world.pay(method, input).await;
            world.ends(&order, state).await;
            world.agree(&order);
        }
    });
    futures_util::future::join_all(paid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credit_card_is_captured_in_parts_and_the_rest_is_released() {
    let world = World::start(None).await;
    let mut input = world.sample("credit_card", 9_000).await;
    input["capture"] = json!("manual");
    let submission = Submission { workflow: "credit_card".into(), input, key: None, child: None };
    let order = world.executor.submit(submission).await.unwrap().snapshot;
    for (id, event, payload) in [
        ("1", "capture.requested", json!({ "amount": 4_000 })),
        ("2", "capture.requested", json!({ "amount": 6_000 })),
        ("3", "capture.requested", json!({ "amount": 2_000 })),
        ("4", "capture.finished", json!({})),
    ] {
        let event = Event::Received {
            id: EventId::new(id),
            name: EventName::new(event),
            payload,
            source: "merchant".to_owned(),
        };
        world.executor.apply(order.id, event).await.unwrap();
    }
    let order = world.executor.wait(order.id, PATIENCE).await.unwrap();
    world.ends(&order, "notified").await;
    assert_eq!(order.data["captured"], 6_000);
    assert_eq!(order.data["capture_refused"], 6_000);
    let truth = world.sandbox.oracle(&order.id.to_string());
    assert_eq!((&truth["captured"], &truth["released"]), (&json!(6_000), &json!(3_000)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_an_account_class_hold() {
    let world = World::start(None).await;
    let details = json!({ "type": "wallet", "account": "wallet-1", "password": "111101" });
    let input = |number: &str, amount: i64| {
        let payment = world.sandbox.customer().seal(number, amount, "CNY", "e_wallet", &details).unwrap();
        json!({ "merchant_order": number, "amount": amount, "currency": "CNY", "payment": payment })
    };
    let first = world.pay("e_wallet", input("demo-1", 60_000)).await;
    world.ends(&first, "notified").await;
    let second = world.pay("e_wallet", input("demo-2", 60_000)).await;
    world.ends(&second, "refused").await;
    assert_eq!(second.data["reason"], "limit_exceeded");
    let limit = "the limit of class I, 1000.00 CNY in the account's lifetime, has 400.00 CNY left, and the payment is 600.00 CNY";
    assert_eq!(second.data["limit"], limit);
    let third = world.pay("e_wallet", input("demo-3", 40_000)).await;
    world.ends(&third, "notified").await;
    assert_eq!(third.data["limits"], "2016-07-01");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_before_counts_when_the_account_changes_its_class() {
    let world = World::start(None).await;
    let pay = async |state: &str| {
        let input = world.sample("e_wallet", 60_000).await;
        let order = world.pay("e_wallet", input).await;
        world.ends(&order, state).await;
        order
    };
    let change = async |class: &str| {
        let url = format!("{}/admin/accounts/wallet-3", world.sandbox.bank_url());
        let changed = world.sandbox.client().post(url).json(&json!({ "class": class })).send().await.unwrap();
        assert_eq!(changed.status(), 200);
    };
    pay("notified").await;
    change("I").await;
    let refused = pay("refused").await;
    let limit = "the limit of class I, 1000.00 CNY in the account's lifetime, has 400.00 CNY left, and the payment is 600.00 CNY";
    assert_eq!((&refused.data["class"], &refused.data["limit"]), (&json!("I"), &json!(limit)));
    change("II").await;
    pay("notified").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_that_shows_after_it_was_given_up_is_given_back() {
    let world = World::start(Some(Duration::from_millis(20))).await;
    let input = world.sample("unionpay_online", 10_088).await;
    let submission = Submission { workflow: "unionpay_online".into(), input, key: None, child: None };
    let order = world.executor.submit(submission).await.unwrap().snapshot.id;
    while world.sandbox.oracle(&order.to_string())["purchased"] != 10_088 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let cancel = Event::CancelRequested { id: EventId::new("1"), by: "shop".to_owned(), reason: String::new() };
    world.executor.apply(order, cancel).await.unwrap();
    let ended = world.executor.wait(order, PATIENCE).await.unwrap();
    world.ends(&ended, "cancelled").await;

    let clock = format!("{}/admin/clock", world.sandbox.gateway_url());
    world.sandbox.client().post(clock).json(&json!({ "advance": "40m" })).send().await.unwrap();
    let mut snapshot = ended;
    for _ in 0..400 {
        snapshot = world.executor.order(order).await.unwrap().unwrap();
        if snapshot.state.as_str() == "returned" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.ends(&snapshot, "returned").await;
    let truth = world.sandbox.oracle(&order.to_string());
    let back = truth["released"].as_i64().unwrap() + truth["refunded"].as_i64().unwrap();
    assert_eq!(back, 10_088, "{truth}");
}
