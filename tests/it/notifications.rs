//! What orders tell others: signed by every secret, waiting for a receiver that wants no more, given up where nobody
//! answers, and sent once more where it was lost. One receiver holds up no other.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use paystate::api::{Server, ServerOptions};
use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, Options, RedeliverError, Submission, SystemClock};
use paystate::machine::{Event, Outcome, Snapshot};
use paystate::store::MemoryStore;
use paystate::types::{ConnectorName, EventId, Secret};
use serde_json::json;

use crate::support::paystate;

const WORKFLOW: &str = r#"
workflow: pay
input: { type: object }
deadline: 7d
initial: settled
retries: { soon: { attempts: 2, initial: 20ms, factor: 1, max: 20ms, jitter: none } }
states:
  settled:
    entry:
      - { call: shop.tell, with: { text: paid }, retry: soon }
      - { call: customer.tell, with: { text: thank you }, retry: soon }
    on: { notified: notified }
    after: { 1d: notified }
  notified: { final: success }
"#;
const CONNECTOR: &str = r#"
connector: NAME
base_url: "${env.URL}/NAME"
auth: { standard-webhooks: ["${secret.new}", "${secret.old}"] }
limits: { concurrency: 1 }
operations:
  tell:
    post: /hook
    body: { id: "${key}", text: "${with.text}" }
    repeat: safe
    outcomes: { ok: response.status == 204, gone: response.status == 410 }
"#;
const NEW: &str = "whsec_bmV3LW5ldy1uZXctbmV3LW5ldy1uZXctbmV3IQ==";
const OLD: &str = "whsec_b2xkLW9sZC1vbGQtb2xkLW9sZC1vbGQtb2xkIQ==";

#[derive(Default)]
struct Inbox {
    answers: BTreeMap<String, u16>,
    /// Who was told, and under which id.
    told: Vec<(String, String)>,
    /// Notifications that either secret does not vouch for.
    unsigned: usize,
    /// Who answers nothing.
    mute: Option<String>,
}

type Shared = Arc<Mutex<Inbox>>;

async fn hook(State(inbox): State<Shared>, Path(name): Path<String>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let signed = [id.as_bytes(), b".", at.as_bytes(), b".", &body].concat();
    let signatures = header("webhook-signature");
    let vouches = |secret: &str| {
        let key = base64(secret.strip_prefix("whsec_").unwrap());
        signatures.split(' ').any(|one| {
            let tag = base64(one.strip_prefix("v1,").unwrap());
            hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), &signed, &tag).is_ok()
        })
    };
    let (answer, mute) = {
        let mut inbox = inbox.lock().unwrap();
        inbox.unsigned += usize::from(!vouches(NEW) || !vouches(OLD));
        inbox.told.push((name.clone(), id));
        (inbox.answers.get(&name).copied().unwrap_or(204), inbox.mute.as_ref() == Some(&name))
    };
    if mute {
        std::future::pending::<()>().await;
    }
    StatusCode::from_u16(answer).unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

struct World {
    executor: Executor,
    store: Arc<MemoryStore>,
    inbox: Shared,
    url: String,
}

impl World {
    async fn start() -> Self {
        let inbox = Shared::default();
        let router = Router::new().route("/{name}/hook", post(hook)).with_state(Arc::clone(&inbox));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let store = Arc::new(MemoryStore::new());
        let executor = Self::executor(&store, &url).await;
        Self { executor, store, inbox, url }
    }

    async fn executor(store: &Arc<MemoryStore>, url: &str) -> Executor {
        let connector = |name: &str| (name.to_owned(), CONNECTOR.replace("NAME", name));
        let workflow = load(Sources {
            path: "pay.yaml".to_owned(),
            workflow: WORKFLOW.to_owned(),
            connectors: BTreeMap::from([connector("shop"), connector("customer")]),
            schemas: BTreeMap::new(),
        });
        let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
        let mut config = ConnectorConfig::new(Arc::new(|| SystemClock.now()));
        config.env = BTreeMap::from([("URL".to_owned(), url.to_owned())]);
        let secret = |name: &str, text: &str| (name.to_owned(), Secret::new(text));
        config.secrets = BTreeMap::from([secret("new", NEW), secret("old", OLD)]);
        let (store, clock) = (Arc::clone(store), Arc::new(SystemClock));
        let connectors = Arc::new(Connectors::new(config));
        Executor::start(store, clock, connectors, vec![workflow], Options::default()).await.unwrap()
    }

    /// As after a crash: what was under way is not waited for.
    async fn restart(&mut self) {
        self.executor.shutdown(Duration::ZERO).await.unwrap();
        self.executor = Self::executor(&self.store, &self.url).await;
    }

    async fn submit(&self) -> Arc<Snapshot> {
        let submission = Submission { workflow: "pay".into(), input: json!({}), key: None, child: None };
        self.executor.submit(submission).await.unwrap().snapshot
    }

    async fn ends(&self, order: &Snapshot) -> Arc<Snapshot> {
        self.executor.wait(order.id, Duration::from_secs(20)).await.expect("it ends, or needs a person")
    }

    fn answers(&self, name: &str, status: u16) {
        self.inbox.lock().unwrap().answers.insert(name.to_owned(), status);
    }

    fn told(&self, name: &str) -> Vec<String> {
        let inbox = self.inbox.lock().unwrap();
        inbox.told.iter().filter(|(to, _)| to == name).map(|(_, id)| id.clone()).collect()
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        for _ in 0..1_000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: it did not come about");
    }
}

#[tokio::test]
async fn every_secret_signs_and_what_was_acknowledged_can_be_sent_once_more() {
    let world = World::start().await;
    let order = world.submit().await;
    assert_eq!(world.ends(&order).await.state.as_str(), "notified");
    assert_eq!(world.inbox.lock().unwrap().unsigned, 0);
    let notices = world.executor.notices(order.id).await.unwrap().unwrap();
    let names: Vec<&str> = notices.iter().map(|notice| notice.name.as_str()).collect();
    assert_eq!(names, ["shop.tell", "customer.tell"]);
    assert!(notices.iter().all(|notice| notice.acknowledged_at.is_some() && !notice.given_up));
    let (again, outcome) = world.executor.redeliver(order.id, notices[0].call).await.unwrap();
    assert_eq!(outcome, Outcome::Ok { result: json!(null) });
    assert_eq!(world.told("shop"), [again.key.clone(), again.key], "its receiver knows it by the same id");
    assert_eq!(world.told("customer").len(), 1);
    assert_eq!(world.executor.order(order.id).await.unwrap().unwrap().attempts, 2, "and the order does not move");
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_is_sent_no_more_and_nothing_is_lost() {
    let world = World::start().await;
    world.answers("shop", 410);
    let first = world.submit().await;
    world.until("the pause", || !world.executor.pauses().is_empty()).await;
    let (name, pause) = world.executor.pauses().pop_first().unwrap();
    assert_eq!((name.as_str(), pause.by.as_str(), pause.drain), ("shop", "the receiver", false));
    let second = world.submit().await;
    world.until("the other receiver", || world.told("customer").len() == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(world.told("shop").len(), 1);
    let sent = world.executor.notices(second.id).await.unwrap().unwrap();
    assert!(sent[0].acknowledged_at.is_none() && sent[1].acknowledged_at.is_some());
    let refused = world.executor.redeliver(second.id, sent[0].call).await;
    assert!(matches!(refused, Err(RedeliverError::NotNow(_))), "{refused:?}");

    world.answers("shop", 204);
    world.executor.pause(&ConnectorName::new("shop"), None).await.unwrap();
    for order in [first, second] {
        assert_eq!(world.ends(&order).await.state.as_str(), "notified");
    }
    assert_eq!(world.told("shop").len(), 3);
}

/// A receiver is told of what happened before it wanted no more, and after: in this process or in the next.
#[tokio::test]
async fn what_waits_for_a_receiver_outlives_a_restart() {
    let mut world = World::start().await;
    world.answers("shop", 410);
    let mut orders = vec![world.submit().await];
    world.until("the pause", || !world.executor.pauses().is_empty()).await;
    for _ in 0..5 {
        orders.push(world.submit().await);
    }
    world.until("the other receiver", || world.told("customer").len() == 6).await;
    for _ in 0..3 {
        world.restart().await;
    }
    world.answers("shop", 204);
    world.executor.pause(&ConnectorName::new("shop"), None).await.unwrap();
    for order in orders {
        let ended = world.ends(&order).await;
        assert_eq!(ended.state.as_str(), "notified", "{:?}", ended.incident);
    }
}

/// What a person at the terminal does about it.
#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_and_taken_up_and_one_is_sent_once_more() {
    let world = World::start().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = Server::start(Arc::new(world.executor.clone()), listener, ServerOptions::default()).unwrap();
    let url = format!("http://{}", server.address());
    let paystate = async |arguments: &[&str]| {
        let mut command = Command::new(paystate());
        command.args(arguments).args(["--server", &url]).env("NO_COLOR", "1");
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    world.answers("shop", 500);
    let orders = [world.submit().await, world.submit().await];
    for order in &orders {
        assert!(world.ends(order).await.incident.is_some());
    }
    let (ids, id) = (orders.each_ref().map(|order| order.id.to_string()), orders[0].id.to_string());
    let listed = paystate(&["incidents", "--call", "shop", "--json"]).await;
    assert!(ids.iter().all(|id| listed.contains(id)), "{listed}");
    assert_eq!(paystate(&["incidents", "--call", "customer", "--json"]).await.trim(), "");
    world.answers("shop", 204);
    paystate(&["retry", "--call", "shop", "--by", "kim", "--note", "it is back"]).await;
    for order in &orders {
        assert_eq!(world.ends(order).await.state.as_str(), "notified");
    }
    let told = world.told("shop").len();
    let notices = world.executor.notices(orders[0].id).await.unwrap().unwrap();
    let number = notices[0].call.to_string();
    assert!(paystate(&["notifications", &id]).await.contains("shop.tell"));
    paystate(&["notifications", &id, "--redeliver", &number, "--by", "kim"]).await;
    let after = world.told("shop");
    assert_eq!((after.len(), after.last()), (told + 1, Some(&notices[0].key)), "under the same id");
}

#[tokio::test]
async fn what_nobody_acknowledges_is_given_up_and_can_be_taken_up_again() {
    let world = World::start().await;
    world.answers("shop", 500);
    let order = world.submit().await;
    let stuck = world.ends(&order).await;
    assert!(stuck.incident.as_ref().unwrap().reason.contains("shop.tell was not acknowledged"));
    let notices = world.executor.notices(order.id).await.unwrap().unwrap();
    assert!(notices[0].given_up && notices[0].attempts.0 == 2 && notices[1].acknowledged_at.is_some());
    world.answers("shop", 204);
    let retry = Event::RetryRequested { id: EventId::new("r"), by: "kim".to_owned(), note: String::new() };
    world.executor.apply(order.id, retry).await.unwrap();
    assert_eq!(world.ends(&order).await.state.as_str(), "notified");
    let told = world.told("shop");
    assert!(told.len() == 3 && told.iter().all(|id| *id == told[0]), "{told:?}");
}

#[tokio::test]
async fn one_receiver_holds_up_no_other() {
    let world = World::start().await;
    world.inbox.lock().unwrap().mute = Some("shop".to_owned());
    for _ in 0..20 {
        world.submit().await;
    }
    world.until("the other receiver", || world.told("customer").len() == 20).await;
    assert!(world.told("shop").len() <= 4, "one at a time in each loop");
}
