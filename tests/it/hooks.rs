//! Notifications over HTTP: whose are taken, and what stands on disk when they are acknowledged.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use paystate::api::{Engine, Server, ServerOptions};
use paystate::connector::{ConnectorConfig, Connectors};
use paystate::definition::{Sources, load};
use paystate::executor::{Clock, Executor, Options, Submission, SystemClock};
use paystate::machine::Event;
use paystate::store::{MemoryStore, StoreError};
use serde_json::{Value, json};

use crate::support::paystate;

const CONNECTOR: &str = r#"
connector: acme
base_url: https://acme.invalid
operations: { ping: { get: /ping, outcomes: { ok: response.status == 200 } } }
webhooks:
  verify: { scheme: sender-address }
  allow_from: [SENDER]
  acknowledge: { body: "got ${body.id}" }
  events: [ { event: acme.told, correlate: body.order, id: body.id } ]
"#;
const WORKFLOW: &str = r#"
workflow: waiting
input: { type: object }
deadline: 30d
initial: waits
states:
  waits:
    on: { acme.told: { assign: { told: "${event.id}" } }, order.ask: asks }
    after: { 20d: given_up }
  asks:
    invoke: acme.ping
    on: { ok: done, declined: given_up }
  done: { final: success, late: { acme.told: ignore } }
  given_up: { final: failure, late: { acme.told: ignore } }
"#;

/// A server in this process, whose store can fail, and one order.
struct World {
    store: Arc<MemoryStore>,
    executor: Executor,
    http: reqwest::Client,
    url: String,
    order: String,
    _server: Server,
}

impl World {
    async fn start(sender: &str, proxies: &[&str]) -> Self {
        let connectors = BTreeMap::from([("acme".to_owned(), CONNECTOR.replace("SENDER", sender))]);
        let (path, workflow) = ("waiting.yaml".to_owned(), WORKFLOW.to_owned());
        let workflow = load(Sources { path, workflow, connectors, schemas: BTreeMap::new() });
        let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
        let store = Arc::new(MemoryStore::new());
        let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
        let (kept, clock) = (Arc::clone(&store), Arc::new(SystemClock));
        let executor = Executor::start(kept, clock, connectors, vec![workflow], Options::default()).await.unwrap();
        let submission = Submission { workflow: "waiting".into(), input: json!({}), key: None, child: None };
        let order = executor.submit(submission).await.unwrap().snapshot.id.to_string();
        let engine: Arc<dyn Engine> = Arc::new(executor.clone());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let proxies = proxies.iter().map(|proxy| proxy.parse().unwrap()).collect();
        let server = Server::start(engine, listener, ServerOptions { proxies, ..ServerOptions::default() }).unwrap();
        let url = format!("http://{}/hooks/acme", server.address());
        Self { store, executor, http: reqwest::Client::new(), url, order, _server: server }
    }

    async fn tell(&self, id: &str, forwarded: Option<&str>) -> (u16, String) {
        let request = self.http.post(&self.url).body(json!({"order": self.order, "id": id}).to_string());
        let request = forwarded.into_iter().fold(request, |request, from| request.header("x-forwarded-for", from));
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// How many events the order has taken.
    fn taken(&self) -> usize {
        self.store.entries().iter().filter(|entry| matches!(entry.event, Event::Received { .. })).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_down_is_not_acknowledged() {
    let world = World::start("127.0.0.1", &[]).await;
    world.store.fail_commits(|commit| matches!(commit.entry.event, Event::Received { .. }), StoreError::Full);
    // Senders wait for some seconds, and keep what nobody has acknowledged by then.
    let told = world.http.post(&world.url).body(json!({"order": world.order, "id": "evt_1"}).to_string());
    match told.timeout(Duration::from_secs(2)).send().await {
        Ok(answer) => assert!(answer.status().as_u16() >= 500, "its sender has to keep it: {}", answer.status()),
        Err(error) => assert!(error.is_timeout(), "{error}"),
    }
    assert_eq!(world.taken(), 0);
    world.store.heal();
    for _ in 0..3 {
        assert_eq!(world.tell("evt_1", None).await, (200, "got evt_1".to_owned()));
    }
    assert_eq!(world.taken(), 1, "what failed was not taken for a first time");
    let order = world.executor.order(world.order.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(order.data["told"], "evt_1");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_are_listed_are_heard() {
    let direct = World::start("127.0.0.1", &[]).await;
    assert_eq!(direct.tell("evt_1", None).await.0, 200);
    assert_eq!(direct.tell("evt_2", Some("203.0.113.7")).await.0, 200, "nobody speaks for others here");

    let far = World::start("203.0.113.0/24", &[]).await;
    for claimed in [None, Some("203.0.113.7"), Some("203.0.113.7, 203.0.113.8")] {
        assert_eq!(far.tell("evt_1", claimed).await.0, 401, "{claimed:?}: whoever calls can write that");
    }

    let proxied = World::start("203.0.113.0/24", &["127.0.0.1"]).await;
    for (claimed, status) in [
        (None, 401),
        (Some("203.0.113.7"), 200),
        (Some("198.51.100.1, 203.0.113.7"), 200),
        (Some("203.0.113.7, 198.51.100.1"), 401),
        (Some("203.0.113.7, 127.0.0.1"), 200),
        (Some("nobody"), 401),
    ] {
        assert_eq!(proxied.tell("evt_1", claimed).await.0, status, "{claimed:?}");
    }
    assert_eq!((direct.taken(), far.taken(), proxied.taken()), (2, 0, 1));
}

/// The daemon, killed whenever notifications are under way.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let workflows = folder.path().join("workflows");
    std::fs::create_dir_all(workflows.join("connectors")).unwrap();
    std::fs::write(workflows.join("waiting.yaml"), WORKFLOW).unwrap();
    std::fs::write(workflows.join("connectors/acme.yaml"), CONNECTOR.replace("SENDER", "127.0.0.1")).unwrap();
    let http = reqwest::Client::new();
    let mut daemon = Daemon::start(folder.path());
    let opened = http.post(format!("{}/v1/orders", daemon.url)).json(&json!({"workflow": "waiting", "input": {}}));
    let opened: Value = opened.send().await.unwrap().json().await.unwrap();
    let order = opened["id"].as_str().expect("an order").to_owned();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..5 {
        let url = format!("{}/hooks/acme", daemon.url);
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..4 {
            senders.spawn(send_until_refused(http.clone(), url.clone(), order.clone(), format!("{round}-{sender}")));
        }
        tokio::time::sleep(Duration::from_millis(60 + 40 * round)).await;
        daemon.kill();
        acknowledged.extend(senders.join_all().await.into_iter().flatten());
        daemon = Daemon::start(folder.path());
    }
    assert!(acknowledged.len() > 20, "there were some: {}", acknowledged.len());
    let journal = http.get(format!("{}/v1/orders/{order}/journal?limit=500", daemon.url)).send().await.unwrap();
    let journal = journal.text().await.unwrap();
    for id in acknowledged {
        assert_eq!(journal.matches(&format!("\"acme:{id}\"")).count(), 1, "{id} was acknowledged: {journal}");
    }
}

/// The ids of those that were acknowledged before the daemon was gone.
async fn send_until_refused(http: reqwest::Client, url: String, order: String, name: String) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for nth in 0..20 {
        let id = format!("evt-{name}-{nth}");
        let sent = http.post(&url).body(json!({"order": order, "id": id}).to_string()).send().await;
        match sent {
            Ok(answer) if answer.status() == 200 => acknowledged.push(id),
            Ok(answer) => panic!("{id}: {}", answer.status()),
            Err(_) => break,
        }
    }
    acknowledged
}

/// The program, on a folder that outlives it.
struct Daemon {
    child: Child,
    url: String,
}

impl Daemon {
    fn start(folder: &Path) -> Self {
        let mut child = Command::new(paystate())
            .args(["serve", "--listen", "127.0.0.1:0", "--json", "--data"])
            .arg(folder.join("data"))
            .arg("--workflows")
            .arg(folder.join("workflows"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = child.stdout.take().unwrap();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("it did not start: {line:?}"));
        Self { child, url: ready["api"].as_str().unwrap().to_owned() }
    }

    /// SIGKILL: nothing is flushed.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
