//! Secrets and numbers of cards are pushed in wherever something comes in; then everything that came out is searched.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::cli::run;
use crate::support::paystate;

/// Written into the answers and the data, so that the search is known to find what is there.
const MARKER: &str = "marker-7e0c";
/// With letters that every encoding writes otherwise.
const SECRETS: [(&str, &str); 6] = [
    ("acme_password", "canary-pass/word+1"),
    ("acme_header", "canary-header-2"),
    ("acme_query", "canary query/3="),
    ("acme_field", "canary\"field&4"),
    ("acme_sign", "canary-sign-5"),
    ("acme_hook", "canary-hook/6"),
];
const CARDS: [&str; 6] = [
    "4111111111111111",
    "5555 5555 5555 4444",
    "3782-822463-10005",
    "6011111111111117",
    "3530111333300000",
    "6200000000000005",
];

const CONNECTOR: &str = r#"
connector: acme
base_url: "${env.ACME_URL}"
auth:
  basic: { username: "${env.ACME_USER}", password: "${secret.acme_password}" }
  headers: { X-Key: "${secret.acme_header}" }
  query: { api_key: "${secret.acme_query}" }
  fields: { pwd: "${secret.acme_field}" }
sign: { scheme: digest-sha256, content: "${request.body}&key=${secret.acme_sign}", header: X-Sign }
operations:
  charge:
    post: /charge
    body: { kind: "${with.kind}" }
    repeat: safe
    outcomes:
      ok: response.status == 200
      declined: response.status == 402
      code: response.body.code
webhooks:
  verify: { scheme: shared-secret, secret: "${secret.acme_hook}", given: body.token }
  events: [ { event: acme.told, correlate: body.order, id: body.id } ]
"#;

const WORKFLOW: &str = r#"
workflow: charging
input: { type: object }
deadline: 30d
initial: charged
on: { acme.told: { assign: { told: "${event}" } } }
states:
  charged:
    invoke:
      call: acme.charge
      with: { kind: "${input.kind}" }
      timeout: { attempt: 2s, total: 20s }
      retry: { attempts: 2, initial: 1s, factor: 1, max: 1s, jitter: none }
    on:
      ok: { target: waits, assign: { kept: "${result}" } }
      declined: { target: refused, assign: { why: "${decline.code}", kept: "${result}" } }
      failed: refused
  waits: { on: { order.done: done }, after: { 20d: done } }
  done: { final: success, late: { acme.told: ignore } }
  refused: { final: failure, late: { acme.told: ignore } }
"#;

/// A provider that repeats whatever it is sent, and adds numbers of cards, in every part of its answers.
async fn provider() -> String {
    let answer = |uri: Uri, headers: HeaderMap, body: Bytes| async move { said(&uri, &headers, &body) };
    let router = Router::new().fallback(answer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

fn said(uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let sent: Value = serde_json::from_slice(body).unwrap();
    let echo: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned())))
        .collect();
    let query = uri.query().unwrap_or_default();
    let decoded = reqwest::Url::parse(&format!("http://x.invalid/?{query}")).unwrap();
    let decoded: Vec<String> = decoded.query_pairs().map(|(_, value)| value.into_owned()).collect();
    let plain: Vec<&str> = SECRETS.iter().map(|(_, secret)| *secret).collect();
    let all = json!({
        "code": format!("card {} refused for {}", CARDS[0], SECRETS[0].1), "cards": CARDS, "number": 4_111_111_111_111_111_u64,
        CARDS[0]: {"text": format!("{MARKER}: paid by {}, then by {}.", CARDS[1], CARDS[2])},
        "headers": echo, "query": decoded, "secrets": plain, "sent": sent,
    });
    let json = [(header::CONTENT_TYPE, "application/json")];
    match sent["kind"].as_str().unwrap_or_default() {
        "ok" => (StatusCode::OK, [("x-echo", CARDS[0])], json, all.to_string()).into_response(),
        "declined" => (StatusCode::PAYMENT_REQUIRED, json, all.to_string()).into_response(),
        "broken" => (StatusCode::OK, json, format!("{{{all}")).into_response(),
        "page" => (StatusCode::BAD_GATEWAY, format!("<h1>{all}</h1>")).into_response(),
        "moved" => {
            (StatusCode::FOUND, [(header::LOCATION, format!("http://127.0.0.1:9/{}", CARDS[0]))]).into_response()
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, json, all.to_string()).into_response(),
    }
}

struct World {
    folder: tempfile::TempDir,
    child: Child,
    url: String,
    http: reqwest::Client,
    /// Everything that was answered or printed.
    out: Vec<(String, String)>,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("workflows/connectors/acme.yaml", CONNECTOR);
        write("workflows/charging.yaml", WORKFLOW);
        let mut config = format!("env: {{ ACME_URL: \"{}\", ACME_USER: acme }}\nsecrets:\n", provider().await);
        for (name, secret) in SECRETS {
            write(&format!("secrets/{name}"), &format!("{secret}\n"));
            config.push_str(&format!("  {name}: {{ file: secrets/{name} }}\n"));
        }
        write("paystate.yaml", &config);
        let mut child = Command::new(paystate())
            .args(["serve", "--config", "paystate.yaml", "--json", "--listen", "127.0.0.1:0", "--data", "data"])
            .current_dir(folder.path())
            // As much as there is, also of the libraries.
            .env("PAYSTATE_LOG", "trace")
            .stdout(Stdio::piped())
            .stderr(fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).expect("it says where it listens");
        let url = ready["api"].as_str().unwrap().to_owned();
        Self { folder, child, url, http: reqwest::Client::new(), out: Vec::new() }
    }

    async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> (u16, Value) {
        let mut request = self.http.request(method.to_uppercase().parse().unwrap(), format!("{}{path}", self.url));
        request = request.timeout(Duration::from_secs(20));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        let shown = format!("{:?}", answer.headers());
        let text = answer.text().await.unwrap();
        let value = serde_json::from_str(&text).unwrap_or(Value::Null);
        self.out.push((format!("{method} {path}"), format!("{shown}\n{text}")));
        (status, value)
    }

    async fn post(&mut self, path: &str, body: Value) -> (u16, Value) {
        self.send("post", path, &[], Some(body.to_string())).await
    }

    async fn open(&mut self, kind: &str) -> String {
        let order = json!({"workflow": "charging", "input": {"kind": kind, "note": MARKER}});
        let (status, order) = self.post("/v1/orders", order).await;
        assert_eq!(status, 201, "{kind}: {order}");
        order["id"].as_str().unwrap().to_owned()
    }

    /// Until the provider was asked, and asked again.
    async fn is_over(&mut self, id: &str) {
        for _ in 0..300 {
            let (_, order) = self.send("get", &format!("/v1/orders/{id}"), &[], None).await;
            if order["state"] != "charged" || order["status"] == "incident" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{}", self.out.last().unwrap().1);
    }

    fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join("log")).unwrap()).into_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each secret and each card as somebody could find it.
fn needles() -> Vec<String> {
    let mut needles = vec![BASE64_STANDARD.encode(format!("acme:{}", SECRETS[0].1))];
    for (_, secret) in SECRETS {
        let quoted = serde_json::to_string(secret).unwrap();
        let url = reqwest::Url::parse_with_params("http://x.invalid/", [("a", secret)]).unwrap();
        needles.extend([
            secret.to_owned(),
            quoted.trim_matches('"').to_owned(),
            hex::encode(secret),
            BASE64_STANDARD.encode(secret),
        ]);
        needles.push(url.query().unwrap().trim_start_matches("a=").to_owned());
        needles.push(url.query().unwrap().trim_start_matches("a=").replace('+', "%20"));
    }
    for card in CARDS {
        let digits: String = card.chars().filter(char::is_ascii_digit).collect();
        needles.extend([
            card.to_owned(),
            digits.clone(),
            card.replace([' ', '-'], "%20"),
            BASE64_STANDARD.encode(&digits),
        ]);
    }
    needles.sort();
    needles.dedup();
    needles
}

/// What is no text in them cannot be a part of what is looked for.
fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            // Room that is kept free is zeros, a hundred megabytes of them.
            let bytes = fs::read(&path).unwrap();
            let parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty()).collect();
            let text = String::from_utf8_lossy(&parts.join(&b'\n')).into_owned();
            found.push((path.display().to_string(), text));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_kept_or_told_has_a_secret_or_a_card() {
    let mut world = World::start().await;
    let mut orders = Vec::new();
    for kind in ["ok", "declined", "broken", "page", "moved", "error"] {
        orders.push(world.open(kind).await);
    }
    for order in &orders {
        world.is_over(order).await;
    }
    let settled = orders.remove(0);
    cards_come_in(&mut world, &settled).await;
    notifications_come_in(&mut world, &settled).await;
    everything_is_asked_for(&mut world, &settled).await;

    let World { folder, child, .. } = &mut world;
    let term = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(term.success() && child.wait().unwrap().success(), "it stops in order");
    let data = folder.path().join("data").display().to_string();
    for arguments in
        [vec!["doctor", "--data", &data], vec!["replay", "--data", &data], vec!["replay", "--data", &data, "--json"]]
    {
        let output = run("http://127.0.0.1:1", &arguments);
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        world.out.push((format!("{arguments:?}"), told));
    }
    let mut kept = Vec::new();
    files(&world.folder.path().join("data"), &mut kept);
    assert!(
        kept.iter().any(|(name, text)| name.contains("journal") && text.contains(MARKER)),
        "the journal is searched"
    );
    kept.push(("the log".to_owned(), world.log()));
    kept.append(&mut world.out);
    assert!(kept.iter().any(|(name, text)| name.starts_with("get ") && text.contains(MARKER)), "answers are searched");
    assert!(world.log().contains("TRACE"), "the log says what it can");

    let mut found = Vec::new();
    for needle in needles() {
        for (name, _) in kept.iter().filter(|(_, text)| text.contains(&needle)) {
            found.push(format!("{needle} in {name}"));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// Into every field, key and header of what clients send.
async fn cards_come_in(world: &mut World, order: &str) {
    let opened = |input: Value| json!({"workflow": "charging", "input": input});
    for card in CARDS {
        for (path, body) in [
            ("/v1/orders", opened(json!({"kind": "ok", "card": card}))),
            ("/v1/orders", opened(json!({"kind": "ok", "note": format!("call me, {card} 12/30")}))),
            ("/v1/orders", opened(json!({"kind": "ok", "deep": [[{"x": [card]}]]}))),
            ("/v1/orders", opened(json!({"kind": "ok", card: true}))),
            ("/v1/orders", json!({"workflow": card, "input": {}})),
            ("/v1/orders", json!({"workflow": "charging", "input": {}, card: 1})),
            ("/v1/orders", json!({"workflow": [card], "input": {}})),
            ("events", json!({"event": "order.done", "payload": {"card": card}})),
            ("events", json!({"event": "order.done", "payload": {}, "id": card})),
            ("events", json!({"event": card, "payload": {}})),
            ("cancel", json!({"by": card, "reason": "x"})),
            ("cancel", json!({"by": "kim", "reason": card})),
            ("retry", json!({"by": "kim", "note": card})),
            ("resolve", json!({"by": "kim", "note": "x", "as": "ok", "result": {"card": card}})),
            ("resolve", json!({"by": "kim", "note": "x", "as": "declined", "code": card})),
            ("resolve", json!({"by": "kim", "note": "x", "as": "state", "state": card})),
        ] {
            let path = if path.starts_with('/') { path.to_owned() } else { format!("/v1/orders/{order}/{path}") };
            let (status, problem) = world.post(&path, body).await;
            assert_eq!(
                (status, &problem["type"]),
                (422, &json!("urn:paystate:problem:card-number")),
                "{path}: {problem}"
            );
        }
    }
    let number = opened(json!({"kind": "ok", "card": 4_111_111_111_111_111_u64}));
    assert_eq!(world.post("/v1/orders", number).await.0, 422);
    let good = opened(json!({"kind": "ok"})).to_string();
    let key = [("idempotency-key", CARDS[0])];
    assert_eq!(world.send("post", "/v1/orders", &key, Some(good.clone())).await.0, 400);
    let id = [("x-request-id", CARDS[0]), ("x-other", CARDS[0]), ("user-agent", CARDS[0])];
    assert_eq!(world.send("get", "/v1/orders", &id, None).await.0, 200);
    for path in [
        format!("/v1/orders/{}", CARDS[0]),
        format!("/v1/workflows/{}", CARDS[0]),
        format!("/{}", CARDS[0]),
        format!("/assets/{}", CARDS[0]),
        format!("/v1/orders?state={}", CARDS[0]),
        format!("/v1/orders?{}=1", CARDS[0]),
        format!("/v1/orders?limit={}", CARDS[0]),
        format!("/v1/orders?after={}", CARDS[0]),
    ] {
        let (status, _) = world.send("get", &path, &[], None).await;
        assert!((400..500).contains(&status), "{path}: {status}");
    }
    // Not JSON, and not to the end.
    for body in [format!("{{\"workflow\": \"{}", CARDS[0]), CARDS[0].to_owned(), format!("[\"{}\"]", CARDS[0])] {
        assert!(world.send("post", "/v1/orders", &[], Some(body)).await.0 >= 400);
    }
}

/// Good ones and forged ones, and what they bring with them.
async fn notifications_come_in(world: &mut World, order: &str) {
    let told = json!({"order": order, "id": "evt_1", "token": SECRETS[5].1, "cards": CARDS, "text": format!("{MARKER} {}", CARDS[1]),
        "number": 4_111_111_111_111_111_u64, "secrets": SECRETS.map(|(_, secret)| secret)});
    let (status, answer) = world.post("/hooks/acme", told).await;
    assert_eq!(status, 200, "{answer}");
    for token in [json!(SECRETS[4].1), json!(CARDS[0]), json!(null), json!({"a": SECRETS[5].1})] {
        let forged = json!({"order": CARDS[0], "id": CARDS[0], "token": token, "text": CARDS[1]});
        assert_eq!(world.post("/hooks/acme", forged).await.0, 401);
    }
    let stranger = json!({"order": "somebody else's", "id": "evt_2", "token": SECRETS[5].1, "text": CARDS[1]});
    assert_eq!(world.post("/hooks/acme", stranger).await.0, 200);
    let unread = json!({"order": {"a": CARDS[1]}, "id": "evt_3", "token": SECRETS[5].1});
    assert_eq!(world.post("/hooks/acme", unread).await.0, 400);
    let query = format!("/hooks/acme?card={}", CARDS[0]);
    world.send("post", &query, &[("authorization", SECRETS[0].1)], Some("{}".to_owned())).await;
    let path = format!("/hooks/{}", CARDS[0]);
    assert_eq!(world.post(&path, json!({})).await.0, 404);
}

/// Every answer and every command.
async fn everything_is_asked_for(world: &mut World, order: &str) {
    let (_, page) = world.send("get", "/v1/orders", &[], None).await;
    let mut ids: Vec<String> =
        page["orders"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()).collect();
    assert!(ids.len() >= 6 && ids.contains(&order.to_owned()));
    ids.push("unknown".to_owned());
    for (method, path) in paystate::api::paths() {
        if method != "get" || path == "/v1/stream" {
            continue;
        }
        for id in &ids {
            let path = path.replace("{id}", id).replace("{name}", "charging").replace("{file}", "app.js");
            world.send("get", &path, &[], None).await;
            if !path.contains(id.as_str()) {
                break;
            }
        }
    }
    let kept = world.send("get", &format!("/v1/orders/{order}"), &[], None).await.1;
    assert_eq!(kept["data"]["kept"]["number"], "411111******1111", "enough to know the card by: {kept}");
    assert_eq!(kept["data"]["kept"]["cards"][1], "5555 55** **** 4444");
    assert_eq!(kept["data"]["told"]["token"], "***");

    let config = world.folder.path().join("paystate.yaml");
    let text = fs::read_to_string(&config)
        .unwrap()
        .replace("file: secrets", &format!("file: {}/secrets", world.folder.path().display()));
    fs::write(&config, text).unwrap();
    let (config, connector) = (
        config.display().to_string(),
        world.folder.path().join("workflows/connectors/acme.yaml").display().to_string(),
    );
    let recording = world.folder.path().join("data/recording.jsonl").display().to_string();
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["list"],
        vec!["incidents"],
        vec!["connector", "try", &connector, "charge", "--with", "{\"kind\": \"ok\"}", "--config", &config],
        vec!["connector", "try", &connector, "charge", "--with", "{\"kind\": \"ok\"}", "--config", &config, "--send"],
        vec![
            "connector",
            "try",
            &connector,
            "charge",
            "--with",
            "{\"kind\": \"error\"}",
            "--config",
            &config,
            "--send",
        ],
    ];
    for id in &ids {
        commands.push(vec!["show", id]);
        commands.push(vec!["journal", id]);
    }
    for arguments in commands {
        for arguments in [arguments.clone(), [arguments, vec!["--json"]].concat()] {
            let output = run(&world.url, &arguments);
            let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            world.out.push((format!("{arguments:?}"), told));
        }
    }
    run(&world.url, &["journal", order, "--record", &recording]);
    assert!(fs::read_to_string(&recording).unwrap().contains(MARKER), "what is recorded is searched");
}

/// Who asks for it has them: an installation whose references look like cards.
#[tokio::test]
async fn an_operator_can_let_card_numbers_in() {
    let mut options = paystate::api::ServerOptions::default();
    options.limits.card_numbers = true;
    let world = crate::api::World::with(options);
    let order = json!({"workflow": "card", "input": {"amount": 1, "currency": "CNY", "note": CARDS[0]}});
    assert_eq!(world.post("/v1/orders", order).await.0, 201);

    let server = crate::connector_support::Server::replying("200 OK", &json!({"id": CARDS[0]}).to_string()).await;
    let yaml = format!(
        "base_url: http://{}\noperations: {{ pay: {{ post: /pay, outcomes: {{ ok: response.status == 200 }} }} }}",
        server.address
    );
    for (keeps, expected) in [(true, CARDS[0]), (false, "411111******1111")] {
        let connector = super::build(&yaml, |config| config.card_numbers = keeps).unwrap();
        let outcome = super::pay(&connector, json!({})).await;
        assert_eq!(outcome, paystate::machine::Outcome::Ok { result: json!({ "id": expected }) });
    }
}
