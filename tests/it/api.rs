//! The HTTP API over real sockets, on an engine in memory.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use paystate::api::{EngineError, Limits, PROBLEMS, Server, ServerOptions};
use paystate::machine::Outcome;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::api_fake::{Fake, SEALED};

pub(crate) struct World {
    pub(crate) fake: Arc<Fake>,
    pub(crate) server: Server,
    pub(crate) http: Client,
}

impl World {
    pub(crate) fn start() -> Self {
        Self::with(ServerOptions::default())
    }

    pub(crate) fn with(options: ServerOptions) -> Self {
        let fake = Fake::new();
        let server = fake.serve_with(options);
        Self { fake, server, http: Client::new() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        read(self.http.get(self.url(path)).send().await.unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        read(self.http.post(self.url(path)).json(&body).send().await.unwrap()).await
    }

    async fn submit(&self, key: &str, body: Value) -> (u16, Value) {
        let request = self.http.post(self.url("/v1/orders")).header("Idempotency-Key", key).json(&body);
        read(request.send().await.unwrap()).await
    }
}

pub(crate) async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let wanted = if status < 400 { "application/json" } else { "application/problem+json" };
    assert_eq!(kind, wanted, "{status}");
    let body: Value = response.json().await.unwrap();
    if status >= 400 {
        let known = PROBLEMS.iter().find(|kind| body["type"] == kind.urn()).expect("a problem that is listed");
        assert_eq!((body["status"].as_u64(), status), (Some(u64::from(status)), known.status), "{body}");
    }
    (status, body)
}

pub(crate) fn problem(answer: &(u16, Value)) -> (u16, &str, &str) {
    let id = answer.1["type"].as_str().unwrap().strip_prefix("urn:paystate:problem:").unwrap();
    (answer.0, id, answer.1["detail"].as_str().unwrap())
}

pub(crate) fn order() -> Value {
    json!({"workflow": "card", "input": {"amount": 1200, "currency": "CNY"}})
}

#[tokio::test]
async fn an_order_is_opened_and_shown() {
    let world = World::start();
    let response = world.http.post(world.url("/v1/orders")).json(&order()).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let opened: Value = response.json().await.unwrap();
    assert_eq!(location, format!("/v1/orders/{}", opened["id"].as_str().unwrap()));
    let (status, shown) = world.get(&location).await;
    assert_eq!((status, &shown), (200, &opened));
    for field in ["id", "workflow", "version", "state", "status", "created_at", "updated_at", "data"] {
        assert!(!shown[field].is_null(), "{field} is part of the contract");
    }
    assert_eq!(shown["status"], "waiting");
    assert_eq!(shown["amount"], json!({"amount": 1200, "currency": "CNY", "text": "12.00 CNY"}));
    assert_eq!(shown["next_events"], json!(["cancel", "customer.confirmed", "customer.refused"]));
    assert_eq!(shown["spine"], json!(["verified", "authorized", "settled", "notified"]));
    assert_eq!(shown["timers"][0]["timer"], "after 15m");
}

#[tokio::test]
async fn the_same_key_and_body_are_the_same_order() {
    let world = World::start();
    let first = world.submit("k-1", order()).await;
    let reordered = json!({"input": {"currency": "CNY", "amount": 1200}, "workflow": "card"});
    let again = world.submit("\"k-1\"", reordered).await;
    assert_eq!((first.0, again.0, &first.1["id"]), (201, 200, &again.1["id"]));
    let other = world.submit("k-1", json!({"workflow": "card", "input": {"amount": 1201, "currency": "CNY"}})).await;
    assert_eq!((problem(&other).0, problem(&other).1), (422, "idempotency-key-reused"));
    assert_eq!(other.1["order"], first.1["id"]);
    *world.fake.in_flight.lock().unwrap() = Some("k-2".to_owned());
    let busy = world.submit("k-2", order()).await;
    assert_eq!((problem(&busy).0, problem(&busy).1), (409, "request-in-flight"));
    for bad in ["", "a b", &"x".repeat(256)] {
        assert_eq!(problem(&world.submit(bad, order()).await).1, "bad-idempotency-key");
    }
}

#[tokio::test]
async fn wait_answers_when_the_order_has_ended() {
    let world = World::start();
    let begun = Instant::now();
    let open = world.post("/v1/orders?wait=50ms", order()).await;
    assert_eq!((open.0, &open.1["status"]), (201, &json!("waiting")));
    assert!(begun.elapsed() >= Duration::from_millis(50));
    let fake = Arc::clone(&world.fake);
    let driver = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let id = paystate::store::OrderQuery { limit: 1, ..Default::default() };
        let newest = paystate::api::Engine::list(&*fake, id).await.unwrap()[0].id;
        fake.receive(newest, "customer.refused");
    });
    let ended = world.post("/v1/orders?wait=30s", order()).await;
    assert_eq!((ended.0, &ended.1["state"]), (201, &json!("cancelled")));
    driver.await.unwrap();
    assert_eq!(problem(&world.post("/v1/orders?wait=1h", order()).await).2, "`wait`: at most 1m");
    assert_eq!(problem(&world.post("/v1/orders?wait=10", order()).await).1, "bad-parameter");
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said_with_its_place() {
    let world = World::start();
    let send = |body: &str| {
        let request = world.http.post(world.url("/v1/orders")).header("content-type", "application/json");
        let request = request.body(body.to_owned());
        async move { read(request.send().await.unwrap()).await }
    };
    let cases = [
        ("{\"workflow\"", 400, "malformed-body", "EOF while parsing an object (line 1, column 11)"),
        (
            "{\"workflow\": 5, \"input\": 1}",
            400,
            "malformed-body",
            "/workflow: invalid type: integer `5`, expected a string (line 1, column 14)",
        ),
        (
            "{\"workflo\": \"card\"}",
            400,
            "malformed-body",
            "/workflo: there is no field `workflo`: did you mean `workflow`? (line 1, column 10)",
        ),
        (
            "{\"workflow\": \"card\",\n \"input\": {\"a\": 1, \"a\": 2}}",
            400,
            "malformed-body",
            "the key `a` stands twice (line 2, column 22)",
        ),
        (
            "{\"workflow\": \"cart\", \"input\": {}}",
            422,
            "unknown-workflow",
            "there is no workflow `cart`: did you mean `card`?",
        ),
        (
            "{\"workflow\": \"card\", \"input\": {\"amount\": 0}}",
            422,
            "invalid-input",
            "the input does not fit the workflow's schema: /input/amount must be at least 1",
        ),
    ];
    for (body, status, id, detail) in cases {
        let answer = send(body).await;
        assert_eq!(problem(&answer), (status, id, detail), "{body}");
    }
    let deep = format!("{{\"workflow\": \"card\", \"input\": {}1{}}}", "[".repeat(500), "]".repeat(500));
    assert!(problem(&send(&deep).await).2.contains("nested deeper than 32 levels"));
    let invalid = send("{\"workflow\": \"card\", \"input\": {\"amount\": 0, \"cvv\": \"123\"}}").await;
    let pointers: Vec<&str> =
        invalid.1["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/input/amount", "/input/currency", "/input/cvv"]);
    assert!(!invalid.1.to_string().contains("123"), "data is not repeated");
}

#[tokio::test]
async fn bodies_are_bounded_and_are_json() {
    let world = World::start();
    let large = vec![b' '; (1 << 20) + 1];
    let request = world.http.post(world.url("/v1/orders")).header("content-type", "application/json").body(large);
    assert_eq!(problem(&read(request.send().await.unwrap()).await).1, "body-too-large");
    // A page from elsewhere can send this type without being asked, and must not act here.
    let request =
        world.http.post(world.url("/v1/orders")).header("content-type", "text/plain").body(order().to_string());
    assert_eq!(problem(&read(request.send().await.unwrap()).await).1, "unsupported-media-type");
}

#[tokio::test]
async fn orders_are_listed_in_pages_and_by_filters() {
    let world = World::start();
    let ids: Vec<String> =
        (1..=5).map(|amount| world.fake.open(json!({"amount": amount, "currency": "CNY"})).to_string()).collect();
    let mut seen = Vec::new();
    let mut path = "/v1/orders?limit=2".to_owned();
    loop {
        let (status, page) = world.get(&path).await;
        assert_eq!(status, 200);
        seen.extend(page["orders"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/orders?limit=2&after={next}");
    }
    assert_eq!(seen, ids.iter().rev().cloned().collect::<Vec<_>>());
    world.fake.receive(ids[2].parse().unwrap(), "customer.refused");
    let (_, failed) = world.get("/v1/orders?status=failed&workflow=card&state=cancelled").await;
    assert_eq!(failed["orders"].as_array().unwrap().len(), 1);
    for (query, detail) in [
        ("stauts=failed", "there is no parameter `stauts`: did you mean `status`?"),
        ("status=done", "`status`: must be `running`, `waiting`, `succeeded`, `failed` or `incident`"),
        ("limit=0", "`limit`: must be a number from 1 to 500"),
        ("limit=1&limit=2", "`limit` stands twice"),
    ] {
        assert_eq!(problem(&world.get(&format!("/v1/orders?{query}")).await), (400, "bad-parameter", detail));
    }
}

#[tokio::test]
async fn the_journal_names_calls_and_keeps_payments_sealed() {
    let world = World::start();
    let id = world.fake.open(json!({"amount": 1200, "currency": "CNY", "payment": SEALED}));
    world.fake.receive(id, "customer.confirmed");
    world.fake.settle(id, Outcome::NotSent { reason: "connection refused".to_owned(), retry_after_ms: None });
    let (status, page) = world.get(&format!("/v1/orders/{id}/journal")).await;
    assert_eq!((status, page["next"].is_null()), (200, true));
    let entries = page["entries"].as_array().unwrap();
    let said: Vec<&str> = entries.iter().map(|entry| entry["summary"].as_str().unwrap()).collect();
    assert_eq!(
        said,
        [
            "started",
            "received customer.confirmed (customer.confirmed)",
            "gateway.charge #1: not sent (connection refused)"
        ]
    );
    assert_eq!((&entries[1]["from"], &entries[1]["to"]), (&json!("verified"), &json!("authorized")));
    assert_eq!(entries[2]["call"], "gateway.charge");
    let (_, shown) = world.get(&format!("/v1/orders/{id}")).await;
    let cut = format!("eyJhbGciOiJSU0Et... ({} characters, sealed)", SEALED.len());
    assert_eq!((&entries[0]["event"]["input"]["payment"], &shown["input"]["payment"]), (&json!(cut), &json!(cut)));
    let (_, second) = world.get(&format!("/v1/orders/{id}/journal?after=1&limit=1")).await;
    assert_eq!((second["entries"].as_array().unwrap().len(), &second["next"]), (1, &json!(2)));
    assert_eq!(second["entries"][0], entries[1], "a page is a part of the whole");
    assert_eq!(shown["calls"][0]["phase"], "backoff");
    assert_eq!(shown["calls"][0]["key"], format!("{id}-1-1"));
}

#[tokio::test]
async fn events_are_applied_once_wait_or_are_refused() {
    let world = World::start();
    let id = world.fake.open(json!({"amount": 1, "currency": "CNY"}));
    let path = format!("/v1/orders/{id}/events");
    let early = world.post(&path, json!({"event": "shop.shipped", "id": "s-1"})).await;
    assert_eq!((early.0, &early.1["result"]), (202, &json!("waiting")));
    assert_eq!(early.1["order"]["inbox"][0]["event"], "shop.shipped");
    let applied =
        world.post(&path, json!({"event": "customer.confirmed", "id": "c-1", "payload": {"by": "sms"}})).await;
    assert_eq!(
        (applied.0, &applied.1["result"], &applied.1["order"]["state"]),
        (200, &json!("applied"), &json!("authorized"))
    );
    let again = world.post(&path, json!({"event": "customer.confirmed", "id": "c-1"})).await;
    assert_eq!((again.0, &again.1["result"]), (200, &json!("duplicate")));
    let unknown = world.post(&path, json!({"event": "customer.confirmd"})).await;
    assert_eq!(
        problem(&unknown),
        (422, "unknown-event", "there is no event `customer.confirmd`: did you mean `customer.confirmed`?")
    );
    let nobody = world.post("/v1/orders/019ab1c2-7d4e-7000-8000-0242ac120002/events", json!({"event": "x"})).await;
    assert_eq!(problem(&nobody).1, "order-not-found");
    assert_eq!(problem(&world.get("/v1/orders/42").await).0, 404);
}

#[tokio::test]
async fn incidents_are_shown_retried_and_resolved() {
    let world = World::start();
    let id = world.fake.open(json!({"amount": 99_900, "currency": "CNY"}));
    let path = |what: &str| format!("/v1/orders/{id}/{what}");
    let early = world.post(&path("retry"), json!({"by": "kim"})).await;
    assert_eq!((problem(&early).0, problem(&early).1), (409, "no-incident"));
    world.fake.park(id, "timed out");
    let (_, incidents) = world.get("/v1/incidents").await;
    let incident = &incidents["incidents"][0];
    assert_eq!((&incident["id"], &incident["call"]), (&json!(id), &json!("gateway.charge")));
    assert_eq!(incidents["at_stake"][0]["text"], "999.00 CNY");
    let anonymous = world.post(&path("retry"), json!({"by": " "})).await;
    assert_eq!(problem(&anonymous).2, "`by` is 1 to 200 characters on one line");
    for (body, pointer) in [
        (json!({"by": "kim", "note": "", "as": "ok"}), "/note"),
        (json!({"by": "kim", "note": "n", "as": "maybe"}), "/as"),
        (json!({"by": "kim", "note": "n", "as": "ok", "code": "c"}), "/code"),
        (json!({"by": "kim", "note": "n", "as": "state"}), "/state"),
        (json!({"by": "kim", "note": "n", "as": "dismissed", "data": {"a": 1}}), "/data"),
    ] {
        let refused = world.post(&path("resolve"), body).await;
        assert_eq!((refused.0, &refused.1["errors"][0]["pointer"]), (400, &json!(pointer)));
    }
    let nowhere =
        world.post(&path("resolve"), json!({"by": "kim", "note": "n", "as": "state", "state": "setled"})).await;
    assert_eq!(problem(&nowhere).2, "there is no state `setled`: did you mean `settled`?");
    let resolved = world
        .post(
            &path("resolve"),
            json!({"by": "kim", "note": "seen at the bank ".repeat(100), "as": "ok", "result": {"id": "ch_1"}}),
        )
        .await;
    assert_eq!(
        (resolved.0, &resolved.1["state"], &resolved.1["data"]),
        (200, &json!("settled"), &json!({"charge": "ch_1"}))
    );
    let (_, none) = world.get("/v1/incidents").await;
    assert_eq!(none["incidents"], json!([]));
}

#[tokio::test]
async fn cancelling_undoes_and_is_refused_after_the_end() {
    let world = World::start();
    let id = world.fake.open(json!({"amount": 1, "currency": "CNY"}));
    let cancelled = world.post(&format!("/v1/orders/{id}/cancel"), json!({"by": "kim", "note": "asked to"})).await;
    assert_eq!((cancelled.0, &cancelled.1["status"]), (200, &json!("failed")));
    let again = world.post(&format!("/v1/orders/{id}/cancel"), json!({"by": "kim", "id": "2"})).await;
    assert_eq!((problem(&again).0, problem(&again).1), (409, "order-finished"));
}

#[tokio::test]
async fn workflows_are_shown_with_their_diagram() {
    let world = World::start();
    let (_, list) = world.get("/v1/workflows").await;
    assert_eq!(list["workflows"][0]["graph"], "/v1/workflows/card/graph.svg");
    let (_, card) = world.get("/v1/workflows/card").await;
    assert!(card["source"].as_str().unwrap().contains("workflow: card"));
    let state = &card["states"][1];
    assert_eq!((&state["calls"], &state["stage"]), (&json!(["gateway.charge"]), &json!("authorized")));
    assert!(
        card["states"][0]["transitions"]
            .as_array()
            .unwrap()
            .contains(&json!({"on": "after 15m", "target": "cancelled", "when": null}))
    );
    let svg = world.http.get(world.url("/v1/workflows/card/graph.svg")).send().await.unwrap();
    assert_eq!(svg.headers()["content-type"], "image/svg+xml; charset=utf-8");
    assert!(svg.text().await.unwrap().starts_with("<svg"));
    let wrong = world.get("/v1/workflows/crad").await;
    assert_eq!(problem(&wrong), (404, "workflow-not-found", "there is no workflow `crad`: did you mean `card`?"));
    assert_eq!(problem(&world.get("/v1/workflows/card?version=0").await).0, 404);
}

#[tokio::test]
async fn notifications_are_taken_or_refused() {
    let world = World::start();
    let send = |connector: &str, signature: &'static str, body: &'static str| {
        let request = world.http.post(world.url(&format!("/hooks/{connector}"))).header("webhook-signature", signature);
        async move { read(request.body(body).send().await.unwrap()).await }
    };
    assert_eq!(
        send("gateway", "good", "{}").await,
        (200, json!({"result": "applied", "order": null, "event": "payment.succeeded"}))
    );
    let below = send("gateway/pix/a%20b", "good", "{}").await;
    assert_eq!((below.0, &below.1["event"]), (200, &json!("payment.succeeded/pix/a b")));
    assert_eq!(problem(&send("gateway/pix", "bad", "{}").await).0, 401);
    let forged = send("gateway", "bad", "{}").await;
    assert_eq!((problem(&forged).0, problem(&forged).1), (401, "bad-signature"));
    assert!(!problem(&forged).2.contains("fits"), "the sender is not told why");
    assert_eq!(problem(&send("gateway", "good", "x").await).0, 400);
    assert_eq!(problem(&send("nobody", "good", "{}").await).0, 404);
}

#[tokio::test]
async fn trouble_of_the_engine_has_a_status_and_a_time_to_wait() {
    let world = World::start();
    for (trouble, status, id, wait) in [
        (EngineError::Overloaded { retry_after: Duration::from_millis(1_500) }, 429, "overloaded", Some("2")),
        (EngineError::Full, 507, "storage-full", Some("10")),
        (EngineError::ShuttingDown, 503, "shutting-down", Some("5")),
        (EngineError::Store("secret detail".to_owned()), 500, "internal-error", None),
    ] {
        *world.fake.trouble.lock().unwrap() = Some(trouble);
        let response = world.http.post(world.url("/v1/orders")).json(&order()).send().await.unwrap();
        assert_eq!(response.headers().get("retry-after").map(|value| value.to_str().unwrap()), wait);
        let answer = read(response).await;
        assert_eq!((problem(&answer).0, problem(&answer).1), (status, id));
        assert!(!answer.1.to_string().contains("secret"), "internals are for the log");
    }
    *world.fake.trouble.lock().unwrap() = Some(EngineError::Full);
    assert_eq!(problem(&world.get("/readyz").await).1, "not-ready");
    assert_eq!(world.get("/healthz").await.0, 200);
    world.fake.trouble.lock().unwrap().take();
    assert_eq!(world.get("/readyz").await.0, 200);
    let panic = world.post("/v1/orders", json!({"workflow": "panic", "input": {}})).await;
    assert_eq!((problem(&panic).0, problem(&panic).1), (500, "internal-error"));
}

#[tokio::test]
async fn slow_and_many_clients_are_bounded() {
    let limits = Limits {
        body_timeout: Duration::from_millis(200),
        request_timeout: Duration::from_secs(5),
        ..Limits::default()
    };
    let world = World::with(ServerOptions {
        limits,
        header_timeout: Duration::from_millis(300),
        connections_max: 2,
        ..ServerOptions::default()
    });
    let address = world.server.address();
    let ended = |bytes: &'static [u8]| {
        tokio::task::spawn_blocking(move || {
            let mut socket = TcpStream::connect(address).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            socket.write_all(bytes).unwrap();
            let mut answer = String::new();
            socket.read_to_string(&mut answer).unwrap();
            answer
        })
    };
    assert_eq!(ended(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap(), "", "a slow head is cut off");
    let slow = ended(b"POST /v1/orders HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{");
    assert!(slow.await.unwrap().starts_with("HTTP/1.1 408"), "a slow body is a problem");
    let idle = ended(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    assert!(idle.starts_with("HTTP/1.1 200"), "and an idle connection is closed");
    let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(address).unwrap()).collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    // A connection too many waits until there is room, and is answered then.
    let mut third = tokio::net::TcpStream::connect(address).await.unwrap();
    third.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    let early = tokio::time::timeout(Duration::from_millis(100), third.read_to_string(&mut answer)).await;
    assert!(early.is_err(), "there is room only when another one has gone: {answer}");
    drop(held);
    third.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered() {
    let limits = Limits { request_timeout: Duration::from_millis(100), requests_max: 1, ..Limits::default() };
    let world = World::with(ServerOptions { limits, ..ServerOptions::default() });
    *world.fake.delay.lock().unwrap() = Duration::from_secs(10);
    let (slow, busy) = tokio::join!(world.post("/v1/orders", order()), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        world.get("/v1/workflows").await
    });
    assert_eq!((problem(&slow).0, problem(&slow).1), (504, "timeout"));
    assert_eq!((problem(&busy).0, problem(&busy).1), (503, "too-many-requests"));
}

#[tokio::test]
async fn changes_are_streamed_until_the_server_stops() {
    let limits = Limits { streams_max: 1, ..Limits::default() };
    let world = World::with(ServerOptions { limits, ..ServerOptions::default() });
    let mut stream = world.http.get(world.url("/v1/stream")).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(problem(&world.get("/v1/stream").await).0, 503);
    let mut text = String::new();
    while !text.contains("retry") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    let id = world.fake.open(json!({"amount": 1, "currency": "CNY"}));
    while !text.contains("event: order") || !text.ends_with("\n\n") {
        text.push_str(&String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap()));
    }
    assert!(text.contains(&format!("id: {id}-1")), "{text}");
    let begun = Instant::now();
    world.server.stop().await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "a stream does not hold the server up");
    assert!(matches!(stream.chunk().await, Ok(None)), "the stream ended in order");
}

#[tokio::test]
async fn the_dashboard_is_in_the_binary_and_asks_nobody_else() {
    let world = World::start();
    let page = world.http.get(world.url("/")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    let mut wanted = vec![page.text().await.unwrap()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(text) = wanted.pop() {
        assert!(
            !text.contains("https://") && !text.contains("innerHTML"),
            "nothing from elsewhere, no markup from data"
        );
        let quoted =
            text.split('"').filter_map(|part| part.strip_prefix("/assets/").or_else(|| part.strip_prefix("./")));
        for file in quoted.map(str::to_owned).collect::<Vec<_>>() {
            if seen.insert(file.clone()) {
                let asset = world.http.get(world.url(&format!("/assets/{file}"))).send().await.unwrap();
                assert_eq!(asset.status(), StatusCode::OK, "{file}");
                wanted.push(asset.text().await.unwrap());
            }
        }
    }
    assert!(seen.len() >= 13, "{seen:?}");
}
