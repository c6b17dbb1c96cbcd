//! A provider that is paused is sent nothing, one that is drained only what settles a doubt, and no order loses a try by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, Options, PauseError, Provider, Submission, SystemClock};
use paystate::machine::{Event, Snapshot, Status};
use paystate::store::{SledOptions, SledStore};
use paystate::types::{ConnectorName, Pause, Timestamp};
use serde_json::{Value, json};

const WORKFLOW: &str = r#"
workflow: pay
input: { type: object }
deadline: 7d
initial: created
on: { cancel: stopped }
states:
  created:
    invoke:
      call: bank.pay
      with: { amount: "${input.amount}", currency: EUR }
      timeout: { attempt: 200ms, total: "${TOTAL}" }
      retry: { attempts: 3, initial: 50ms, factor: 1, max: 50ms, jitter: none }
    on: { ok: paid, declined: stopped, failed: stopped }
  paid: { final: success }
  stopped: { final: failure }
"#;
const CONNECTOR: &str = r#"
connector: bank
title: The bank
base_url: "${env.BANK_URL}"
operations:
  pay:
    post: /pay
    body: { reference: "${key}", amount: "${with.amount}", currency: "${with.currency}" }
    money: purchase
    idempotency: { replay: reject_duplicate, not_found_final_after: 50ms }
    outcomes: { ok: response.status == 200, declined: response.status == 402 }
    inquire:
      get: /payments/${key}
      outcomes: { ok: response.status == 200, not_found: response.status == 404 }
      schedule: [50ms]
"#;

/// References that were paid, and what was asked, in its order.
#[derive(Default)]
struct Bank {
    paid: Vec<String>,
    asked: Vec<&'static str>,
    /// Does what it is asked for, and answers nothing.
    mute: bool,
}

type Shared = Arc<Mutex<Bank>>;

async fn pay(State(bank): State<Shared>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let mute = {
        let mut bank = bank.lock().unwrap();
        let reference = body["reference"].as_str().unwrap().to_owned();
        bank.asked.push("pay");
        if bank.paid.contains(&reference) {
            return (StatusCode::CONFLICT, Json(json!({})));
        }
        bank.paid.push(reference);
        bank.mute
    };
    if mute {
        std::future::pending::<()>().await;
    }
    (StatusCode::OK, Json(json!({})))
}

async fn payment(State(bank): State<Shared>, Path(key): Path<String>) -> StatusCode {
    let mut bank = bank.lock().unwrap();
    bank.asked.push("inquire");
    if bank.paid.contains(&key) { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

struct World {
    executor: Executor,
    bank: Shared,
    url: String,
    dir: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let bank = Shared::default();
        let router = Router::new().route("/pay", post(pay)).route("/payments/{key}", get(payment));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = router.with_state(Arc::clone(&bank));
        tokio::spawn(async move { axum::serve(listener, served).await });
        let dir = tempfile::tempdir().unwrap();
        let executor = executor(dir.path(), &url, "10m").await;
        Self { executor, bank, url, dir }
    }

    async fn restart(&mut self, total: &str) {
        self.executor.shutdown(Duration::from_secs(2)).await.unwrap();
        self.executor = executor(self.dir.path(), &self.url, total).await;
    }

    async fn submit(&self) -> Arc<Snapshot> {
        let input = json!({ "amount": 100 });
        let submission = Submission { workflow: "pay".into(), input, key: None, child: None };
        self.executor.submit(submission).await.unwrap().snapshot
    }

    async fn pause(&self, drain: bool) {
        self.executor.pause(&bank(), Some(why(drain))).await.unwrap();
    }

    async fn resume(&self) {
        self.executor.pause(&bank(), None).await.unwrap();
    }

    async fn provider(&self) -> Provider {
        self.executor.providers(true).await.unwrap().into_iter().find(|provider| provider.name == bank()).unwrap()
    }

    async fn waits(&self, count: usize) {
        wait_for("calls that wait", || async { self.provider().await.traffic.waiting == count }).await;
    }

    async fn ends(&self, order: &Snapshot) -> Arc<Snapshot> {
        self.executor.wait(order.id, Duration::from_secs(20)).await.expect("it ends")
    }

    fn asked(&self) -> Vec<&'static str> {
        self.bank.lock().unwrap().asked.clone()
    }
}

async fn executor(dir: &std::path::Path, url: &str, total: &str) -> Executor {
    let workflow = load(Sources {
        path: "pay.yaml".to_owned(),
        workflow: WORKFLOW.replace("${TOTAL}", total),
        connectors: BTreeMap::from([("bank".to_owned(), CONNECTOR.to_owned())]),
        schemas: BTreeMap::new(),
    });
    let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
    let mut config = ConnectorConfig::new(Arc::new(|| SystemClock.now()));
    config.env = BTreeMap::from([("BANK_URL".to_owned(), url.to_owned())]);
    let connectors = Arc::new(Connectors::new(config));
    let fold = Arc::new(paystate::executor::Refold::default());
    let store = Arc::new(SledStore::open(dir, SledOptions::default(), fold).unwrap());
    Executor::start(store, Arc::new(SystemClock), connectors, vec![workflow], Options::default()).await.unwrap()
}

async fn wait_for<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    for _ in 0..1_000 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: it did not come about");
}

fn doubt(provider: &Provider) -> u64 {
    provider.doubt.unwrap().calls
}

fn bank() -> ConnectorName {
    ConnectorName::new("bank")
}

fn why(drain: bool) -> Pause {
    Pause {
        drain,
        by: "kim".to_owned(),
        note: "maintenance".to_owned(),
        since: Timestamp::from_unix_ms(1),
        in_force: None,
    }
}

#[tokio::test]
async fn what_is_paused_is_sent_nothing_also_after_a_restart_and_goes_on_when_it_may() {
    let mut world = World::start().await;
    world.pause(false).await;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(world.submit().await);
    }
    world.waits(5).await;
    world.restart("10m").await;
    let kept = world.provider().await.pause.expect("it is paused");
    assert!(kept.in_force.is_some_and(|from| from > kept.since));
    assert_eq!(Pause { in_force: None, ..kept }, why(false));
    orders.push(world.submit().await);
    // Those from before the restart began in the pause: that they have not been sent is known.
    world.waits(6).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(world.asked(), [""; 0]);
    let provider = world.provider().await;
    assert_eq!((doubt(&provider), provider.traffic.under_way, provider.title.as_str()), (0, 0, "The bank"));

    world.resume().await;
    for order in &orders {
        let ended = world.ends(order).await;
        assert_eq!((ended.state.as_str(), ended.attempts), ("paid", 1), "its wait was no try");
    }
    assert_eq!(world.bank.lock().unwrap().paid.len(), 6);
    world.restart("10m").await;
    assert_eq!(world.provider().await.pause, None);
}

/// Nobody is charged to be given the money back.
#[tokio::test]
async fn what_is_cancelled_while_it_waits_is_never_sent() {
    let world = World::start().await;
    world.pause(false).await;
    let (cancelled, kept) = (world.submit().await, world.submit().await);
    world.waits(2).await;
    let cancel = Event::CancelRequested { id: "c1".into(), by: "kim".to_owned(), reason: String::new() };
    world.executor.apply(cancelled.id, cancel).await.unwrap();
    world.resume().await;
    assert_eq!(world.ends(&cancelled).await.state.as_str(), "stopped");
    assert_eq!(world.ends(&kept).await.state.as_str(), "paid");
    assert_eq!((world.asked(), world.bank.lock().unwrap().paid.len()), (vec!["pay"], 1));
}

#[tokio::test]
async fn what_is_drained_is_still_asked_about() {
    let world = World::start().await;
    world.bank.lock().unwrap().mute = true;
    let doubtful = world.submit().await;
    wait_for("the request", || async { !world.asked().is_empty() }).await;
    world.pause(true).await;
    let fresh = world.submit().await;
    assert_eq!(world.ends(&doubtful).await.state.as_str(), "paid", "the inquiry says so");
    assert_eq!(world.asked(), ["pay", "inquire"]);
    let provider = world.provider().await;
    assert_eq!((doubt(&provider), provider.traffic.under_way, provider.traffic.waiting), (0, 0, 1));
    world.bank.lock().unwrap().mute = false;
    world.resume().await;
    assert_eq!(world.ends(&fresh).await.attempts, 1);
}

#[tokio::test]
async fn a_pause_asks_nothing_and_the_doubt_is_settled_afterwards() {
    let world = World::start().await;
    world.bank.lock().unwrap().mute = true;
    let order = world.submit().await;
    wait_for("the request", || async { !world.asked().is_empty() }).await;
    world.pause(false).await;
    world.waits(1).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!((world.asked(), doubt(&world.provider().await)), (vec!["pay"], 1));
    world.resume().await;
    assert_eq!(world.ends(&order).await.state.as_str(), "paid");
    assert_eq!(world.asked(), ["pay", "inquire"]);
}

#[tokio::test]
async fn a_call_does_not_wait_longer_than_it_may() {
    let mut world = World::start().await;
    world.restart("600ms").await;
    world.pause(false).await;
    let order = world.submit().await;
    let ended = world.ends(&order).await;
    assert_eq!((ended.state.as_str(), ended.status), ("stopped", Status::Failed));
    assert_eq!(world.asked(), [""; 0]);
}

#[tokio::test]
async fn only_what_is_called_can_be_paused() {
    let world = World::start().await;
    let refused = world.executor.pause(&ConnectorName::new("bnak"), Some(why(false))).await;
    let Err(PauseError::Unknown { name, known }) = refused else { panic!("{refused:?}") };
    assert_eq!((name.as_str(), known), ("bnak", vec![bank()]));
    assert_eq!(world.executor.pauses(), BTreeMap::new());
}
