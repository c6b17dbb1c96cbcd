//! What is volatile reaches the provider and nothing else: no journal, no working store, no answer, no hash.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use paystate::api::{Server, ServerOptions};
use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, Options, SystemClock};
use paystate::store::{SledOptions, SledStore};
use serde_json::{Value, json};

const WORKFLOW: &str = r#"
workflow: pay
input:
  type: object
  required: [amount, currency, card]
  properties:
    amount: { type: integer, minimum: 1 }
    currency: { type: string }
    card: { type: object, required: [number, cvv], properties: { number: { type: string }, cvv: { type: string } } }
volatile: [card.number, card.cvv]
money: { amount: "${input.amount}", currency: "${input.currency}" }
deadline: 7d
initial: created
states:
  created:
    invoke:
      call: acme.pay
      with: { amount: "${input.amount}", currency: "${input.currency}", card: "${input.card}" }
      retry: { attempts: 2, initial: 50ms, factor: 1, max: 50ms, jitter: none }
    on: { ok: paid, declined: stopped, failed: stopped }
  paid: { final: success }
  stopped: { final: failure }
"#;
const CONNECTOR: &str = r#"
connector: acme
base_url: "${env.ACME_URL}"
operations:
  pay:
    post: /pay
    body: { reference: "${key}", amount: "${with.amount}", currency: "${with.currency}", number: "${with.card.number}", cvv: "${with.card.cvv}" }
    money: purchase
    idempotency: { replay: intent, not_found_final_after: 50ms }
    outcomes: { ok: response.status == 200, declined: response.status == 402, not_sent: response.status == 503 }
    inquire: { get: "/pay/${key}", outcomes: { not_found: response.status == 404 }, schedule: [50ms] }
"#;
const PAN: &str = "4111111111111111";
const CVV: &str = "cvv-731";

#[derive(Default)]
struct Acme {
    seen: Vec<Value>,
    busy: usize,
}

/// A provider that repeats what it is sent, as some do.
async fn pay(State(acme): State<Arc<Mutex<Acme>>>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let mut acme = acme.lock().unwrap();
    acme.seen.push(body.clone());
    if acme.busy > 0 {
        acme.busy -= 1;
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body));
    }
    (StatusCode::OK, Json(json!({ "id": "p1", "echo": { "number": body["number"] } })))
}

async fn start(dir: &Path, url: &str) -> (Executor, Server) {
    let workflow = load(Sources {
        path: "pay.yaml".to_owned(),
        workflow: WORKFLOW.to_owned(),
        connectors: BTreeMap::from([("acme".to_owned(), CONNECTOR.to_owned())]),
        schemas: BTreeMap::new(),
    });
    let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
    let mut config = ConnectorConfig::new(Arc::new(|| SystemClock.now()));
    config.env = BTreeMap::from([("ACME_URL".to_owned(), url.to_owned())]);
    let fold = Arc::new(paystate::executor::Refold::default());
    let store = Arc::new(SledStore::open(dir, SledOptions::default(), fold).unwrap());
    let (clock, connectors) = (Arc::new(SystemClock), Arc::new(Connectors::new(config)));
    let executor = Executor::start(store, clock, connectors, vec![workflow], Options::default()).await.unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(Arc::new(executor.clone()), listener, ServerOptions::default()).unwrap();
    (executor, server)
}

async fn submit(server: &Server, key: &str) -> Value {
    let input = json!({ "amount": 500, "currency": "EUR", "card": { "number": PAN, "cvv": CVV } });
    let url = format!("http://{}/v1/orders?wait=10s", server.address());
    let request = reqwest::Client::new().post(url).header("idempotency-key", key);
    let answer = request.json(&json!({ "workflow": "pay", "input": input })).send().await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(!text.contains(PAN) && !text.contains(CVV), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Every file below, as it is on the disk.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    all
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

async fn provider(busy: usize) -> (Arc<Mutex<Acme>>, String) {
    let acme = Arc::new(Mutex::new(Acme { busy, ..Acme::default() }));
    let router = Router::new().route("/pay", post(pay)).with_state(Arc::clone(&acme));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (acme, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_sent_and_written_nowhere() {
    let (acme, url) = provider(1).await;
    let dir = tempfile::tempdir().unwrap();
    let (executor, server) = start(dir.path(), &url).await;
    let order = submit(&server, "k1").await;
    assert_eq!(
        (&order["state"], &order["input"]["card"]["cvv"]),
        (&json!("paid"), &json!({ "$volatile": "card.cvv" }))
    );
    let seen = acme.lock().unwrap().seen.clone();
    assert!(seen.len() == 2 && seen.iter().all(|body| body["number"] == PAN && body["cvv"] == CVV), "{seen:?}");
    // The same request is the same order, and its hash tells nothing of what is not written down.
    assert_eq!(submit(&server, "k1").await["id"], order["id"]);
    let id = order["id"].as_str().unwrap().parse().unwrap();
    let journal = executor.journal(id, paystate::types::Seq(0), 100).await.unwrap();
    let journal = serde_json::to_string(&journal).unwrap();
    assert!(journal.contains("$volatile") && !journal.contains(PAN) && !journal.contains(CVV), "{journal}");
    executor.shutdown(Duration::from_secs(2)).await.unwrap();
    let files = files(dir.path());
    assert!(files.iter().any(|(_, bytes)| holds(bytes, "$volatile")), "the journal is looked at");
    for (path, bytes) in files {
        assert!(!holds(&bytes, PAN) && !holds(&bytes, CVV), "{path}");
    }
}

/// Another card would be charged under the key of the first.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_with_another_card_is_another_request() {
    let (acme, url) = provider(0).await;
    let dir = tempfile::tempdir().unwrap();
    let (executor, server) = start(dir.path(), &url).await;
    pause(&executor).await;
    let url = format!("http://{}/v1/orders", server.address());
    let send = async |number: &str| {
        let input = json!({ "amount": 500, "currency": "EUR", "card": { "number": number, "cvv": CVV } });
        let request = reqwest::Client::new().post(&url).header("idempotency-key", "k1");
        request.json(&json!({ "workflow": "pay", "input": input })).send().await.unwrap().status().as_u16()
    };
    assert_eq!(
        [send(PAN).await, send(PAN).await, send("4242424242424242").await, send(PAN).await],
        [201, 200, 422, 200]
    );
    executor.pause(&"acme".into(), None).await.unwrap();
    while acme.lock().unwrap().seen.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(acme.lock().unwrap().seen.iter().all(|body| body["number"] == PAN));
}

async fn pause(executor: &Executor) {
    let (by, note, since) = ("kim".to_owned(), String::new(), SystemClock.now());
    let pause = paystate::types::Pause { drain: false, by, note, since, in_force: None };
    executor.pause(&"acme".into(), Some(pause)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restart_has_forgotten_is_not_sent() {
    let (acme, url) = provider(0).await;
    let dir = tempfile::tempdir().unwrap();
    let (executor, server) = start(dir.path(), &url).await;
    pause(&executor).await;
    let input = json!({ "amount": 500, "currency": "EUR", "card": { "number": PAN, "cvv": CVV } });
    let submission = paystate::executor::Submission { workflow: "pay".into(), input, key: None, child: None };
    let order = executor.submit(submission).await.unwrap().snapshot;
    executor.shutdown(Duration::from_millis(100)).await.unwrap();
    drop(server);
    let (executor, _server) = start(dir.path(), &url).await;
    executor.pause(&"acme".into(), None).await.unwrap();
    let ended = executor.wait(order.id, Duration::from_secs(20)).await.expect("it ends, or needs a person");
    assert!(acme.lock().unwrap().seen.is_empty(), "a mark is no card");
    let trouble = ended.incident.as_ref().map(|incident| incident.reason.clone()).unwrap_or_default();
    assert!(ended.state.as_str() == "stopped" || !trouble.is_empty(), "{} {trouble}", ended.state);
}
