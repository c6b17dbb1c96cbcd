//! How the API stops: what is under way is answered, what waits is told how it stands, what comes is told to come again.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};

use crate::api::{World, order, problem, read};
use crate::support::paystate;

#[tokio::test]
async fn what_waits_is_answered_with_the_order_as_it_stands() {
    let world = World::start();
    let ends = world.post("/v1/orders?wait=1ms", order()).await;
    let mut changes = paystate::api::Engine::subscribe(&*world.fake);
    let waiting = world.post("/v1/orders?wait=1m", order());
    let stopping = async {
        let id = changes.recv().await.unwrap().id;
        world.server.drain().await;
        id
    };
    let (told, id) = tokio::join!(waiting, stopping);
    assert_eq!((told.0, &told.1["id"], &told.1["status"]), (201, &json!(id), &json!("waiting")));
    let fields = |answer: &(u16, Value)| answer.1.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&told), fields(&ends), "it is the answer of a wait whose time is over");
    world.server.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_under_way_is_finished_and_what_comes_is_refused() {
    let world = World::start();
    let address = world.server.address();
    let body = order().to_string();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\n\r\n",
        body.len()
    );
    // The server asks for the body: the request is under way.
    let begun = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(head.as_bytes()).unwrap();
        let mut answer = BufReader::new(socket);
        let (mut line, mut blank) = (String::new(), String::new());
        answer.read_line(&mut line).unwrap();
        answer.read_line(&mut blank).unwrap();
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
        answer
    });
    let mut under_way = begun.await.unwrap();
    let draining = world.server.drain();
    let come = async {
        loop {
            let (status, _) = world.get("/readyz").await;
            if status == 503 {
                break;
            }
        }
        let refused = world.http.post(world.url("/v1/orders")).json(&order()).send().await.unwrap();
        let headers = ["retry-after", "connection"].map(|name| refused.headers()[name].to_str().unwrap().to_owned());
        let refused = read(refused).await;
        assert_eq!((problem(&refused).0, problem(&refused).1), (503, "shutting-down"));
        assert_eq!(headers, ["5", "close"]);
        for path in ["/v1/orders", "/v1/stream", "/"] {
            assert_eq!(problem(&world.get(path).await).1, "shutting-down", "{path}");
        }
        let hook = world.http.post(world.url("/hooks/gateway")).body("{}").send().await.unwrap();
        assert_eq!(problem(&read(hook).await).1, "shutting-down", "the provider sends it again");
        assert_eq!(world.get("/healthz").await.0, 200, "the process lives");
        tokio::task::spawn_blocking(move || {
            under_way.get_mut().write_all(body.as_bytes()).unwrap();
            let mut answer = String::new();
            under_way.read_to_string(&mut answer).unwrap();
            answer
        })
        .await
        .unwrap()
    };
    let ((), answer) = tokio::join!(draining, come);
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    world.server.stop().await.unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

/// A daemon whose only provider takes a request and is silent.
struct Silent {
    daemon: Child,
    url: String,
    provider: TcpListener,
}

impl Silent {
    fn start(folder: &Path) -> Self {
        let provider = TcpListener::bind("127.0.0.1:0").unwrap();
        std::fs::create_dir_all(folder.join("workflows/connectors")).unwrap();
        std::fs::write(folder.join("workflows/connectors/acme.yaml"), CONNECTOR).unwrap();
        std::fs::write(folder.join("workflows/asking.yaml"), WORKFLOW).unwrap();
        let config = format!("env: {{ ACME_URL: 'http://{}' }}\n", provider.local_addr().unwrap());
        std::fs::write(folder.join("paystate.yaml"), config).unwrap();
        let mut daemon = Command::new(paystate())
            .args(["serve", "--config", "paystate.yaml", "--json", "--listen", "127.0.0.1:0"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self { daemon, url: ready["api"].as_str().unwrap().to_owned(), provider }
    }

    /// The provider's side of the next request.
    async fn called(&self) -> TcpStream {
        let provider = self.provider.try_clone().unwrap();
        tokio::task::spawn_blocking(move || provider.accept().unwrap().0).await.unwrap()
    }

    fn terminate(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.daemon.id().to_string()]).status().unwrap().success());
    }

    fn ended(&mut self) -> ExitStatus {
        self.daemon.wait().unwrap()
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // It has ended where the test came to its end.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

#[tokio::test]
async fn a_daemon_that_is_terminated_leaves_nobody_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    let mut silent = Silent::start(folder.path());
    // A client that goes away must not keep the daemon from its end.
    let http = Client::builder().timeout(Duration::from_secs(120)).pool_max_idle_per_host(0).build().unwrap();
    let url = |path: &str| format!("{}{path}", silent.url);
    let mut stream = http.get(url("/v1/stream")).send().await.unwrap();
    stream.chunk().await.unwrap().expect("the stream has begun");
    let body = json!({"workflow": "asking", "input": {"amount": 1}});
    let submit = || http.post(url("/v1/orders?wait=1m")).header("Idempotency-Key", "o-1").json(&body).send();
    let terminated = async {
        let call = silent.called().await;
        silent.terminate();
        call
    };
    let (told, call) = tokio::join!(submit(), terminated);
    let told = read(told.unwrap()).await;
    assert_eq!((told.0, &told.1["state"], &told.1["status"]), (201, &json!("asked"), &json!("running")));
    let id = told.1["id"].as_str().unwrap();
    while stream.chunk().await.expect("the stream ends in order").is_some() {}
    // The call is waited for, and whoever comes meanwhile is told.
    let again = submit().await.unwrap();
    assert_eq!(again.headers()["retry-after"], "5");
    assert_eq!(problem(&read(again).await).1, "shutting-down");
    assert_eq!(problem(&read(http.get(url(&format!("/v1/orders/{id}"))).send().await.unwrap()).await).0, 503);
    assert_eq!(http.get(url("/healthz")).send().await.unwrap().status(), 200);
    assert_eq!(http.get(url("/metrics")).send().await.unwrap().status(), 200);
    drop(call);
    assert!(silent.ended().success());
}

const CONNECTOR: &str = r#"
connector: acme
title: Acme
base_url: "${env.ACME_URL}"
auth: none
idempotency: { header: Idempotency-Key, replay: stored, window: 24h, not_found_final_after: 5m }
operations:
  ask: { get: "/ask?amount=${with.amount}", outcomes: { ok: response.status == 200 } }
"#;

const WORKFLOW: &str = r#"
workflow: asking
title: Asking
input: { type: object, required: [amount], properties: { amount: { type: integer } } }
deadline: 1d
initial: asked
states:
  asked:
    invoke:
      call: acme.ask
      with: { amount: "${input.amount}" }
      timeout: { attempt: 2m, total: 1h }
      retry: { attempts: 2, initial: 1s, factor: 2, max: 5s, jitter: none }
    on: { ok: done, declined: refused, failed: refused }
  done: { final: success }
  refused: { final: failure }
"#;
