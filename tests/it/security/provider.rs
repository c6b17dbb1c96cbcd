//! A provider that was taken over: what it sends is bounded, ignored, and harmless where it is shown.

use std::sync::Arc;
use std::time::{Duration, Instant};

use paystate::connector::Connector as _;
use paystate::machine::{Outcome, Snapshot};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{build, pay};
use crate::api_fake::Fake;
use crate::cli::{run, url};
use crate::connector_support::*;

/// Clears the screen, sets the title, asks the terminal to type, turns the writing round; in one byte and in two.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{9d}0;x\u{9c}\u{202e}txt\u{2066}\r\nfaked: line\u{7f}\u{85}\0<script>alert(1)</script>";

/// What a terminal would obey, but for line ends and colours of ours.
fn commands(text: &str) -> Vec<char> {
    let odd = |c: &char| {
        (c.is_control() && *c != '\n') || ('\u{202a}'..='\u{202e}').contains(c) || ('\u{2066}'..='\u{2069}').contains(c)
    };
    text.chars().filter(odd).collect()
}

/// Writes the head, and then the same for as long as it is read.
async fn endless(head: &'static [u8], same: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let same = same.clone();
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                stream.write_all(head).await.ok();
                while stream.write_all(&same).await.is_ok() {}
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_without_end_are_cut_off() {
    let headers = || -> Vec<u8> { (0..1_000).flat_map(|number| format!("x-{number}: y\r\n").into_bytes()).collect() };
    let ok: &[u8] = b"HTTP/1.1 200 OK\r\n";
    let chunked: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let cases: Vec<(&str, &'static [u8], Vec<u8>)> = vec![
        ("headers", ok, headers()),
        ("one header", b"HTTP/1.1 200 OK\r\nx: ", vec![b'y'; 0x4000]),
        ("the name of a header", ok, vec![b'y'; 0x4000]),
        ("a status line", b"HTTP/1.1 200 ", vec![b'y'; 0x4000]),
        ("empty lines", b"\r\n", b"\r\n".repeat(0x2000)),
        ("cookies", ok, b"set-cookie: a=b\r\n".repeat(1_000)),
        (
            "interim answers",
            b"HTTP/1.1 103 Early Hints\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(100),
        ),
        ("a chunk's extension", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", vec![b'y'; 0x4000]),
        ("a chunk's length", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", vec![b'0'; 0x4000]),
        ("trailers", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", headers()),
        ("small chunks", chunked, b"1\r\n \r\n".repeat(1_000)),
        ("no length", b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", vec![b' '; 0x4000]),
    ];
    let check = |(what, head, same): (&'static str, &'static [u8], Vec<u8>)| async move {
        let base = endless(head, same).await;
        let connector = connect(http(&base), authorize());
        let begun = Instant::now();
        let outcome = connector.invoke(&invocation(Duration::from_millis(2_000))).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{what}: {outcome:?}");
        // The deadline is two seconds; a machine may be slow.
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}: {:?}", begun.elapsed());
        what
    };
    let ended = futures_util::future::join_all(cases.into_iter().map(check)).await;
    assert_eq!(ended.len(), 12);
}

#[tokio::test]
async fn a_million_headers_are_none() {
    let head = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\n".to_vec();
    let many = [head, b"x: y\r\n".repeat(1_000_000), format!("\r\n{APPROVED}").into_bytes()].concat();
    let server = Server::start(vec![Play::Reply(many)]).await;
    let outcome = gateway(&server).invoke(&call()).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
}

#[tokio::test]
async fn deep_answers_are_not_read_in_any_format() {
    let deep = 100_000;
    let json = format!("{{\"x\": {}1{}}}", "[".repeat(deep), "]".repeat(deep));
    let xml = format!("{}1{}", "<a>".repeat(deep), "</a>".repeat(deep));
    let form = format!("a{}=1", "[b]".repeat(deep));
    let entity = "<!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;&b;\">]><a>&c;</a>".to_owned();
    for (format, body) in [("json", json), ("xml", xml), ("form", form), ("xml", entity)] {
        let server = Server::start(vec![Play::Reply(reply("200 OK", &[], &body))]).await;
        let yaml = format!(
            "base_url: http://{}\nreply: {format}\noperations: {{ pay: {{ post: /pay, outcomes: {{ ok: \"response.status == 200 && has(response.body.status)\" }} }} }}",
            server.address
        );
        let outcome = pay(&build(&yaml, |_| {}).unwrap(), json!({})).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{format}: {outcome:?}");
    }
}

#[tokio::test]
async fn cookies_are_not_sent_back() {
    let sets = [
        ("set-cookie", "session=tracked; Path=/"),
        ("set-cookie2", "x=tracked"),
        ("location", "http://127.0.0.1:9/tracked"),
        ("refresh", "0; url=http://127.0.0.1:9/tracked"),
        ("alt-svc", "h2=\"127.0.0.1:9\""),
        ("link", "<http://127.0.0.1:9/>; rel=preload"),
        ("strict-transport-security", "max-age=1"),
        ("connection", "upgrade"),
        ("www-authenticate", "Basic realm=tracked"),
    ];
    let server = Server::start(vec![Play::Keep(reply("201 Created", &sets, APPROVED))]).await;
    let connector = gateway(&server);
    for _ in 0..2 {
        assert!(matches!(connector.invoke(&call()).await, Outcome::Ok { .. }));
    }
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests.iter().all(|request| !request.contains("tracked") && request.starts_with("POST /v1/authorizations "))
    );
}

/// A decline's code and a reason are one short line; what is kept as data is data.
#[tokio::test]
async fn what_people_read_is_one_plain_line() {
    let said = json!({"code": format!("{HOSTILE}{}", "y".repeat(5_000)), "id": "a1"}).to_string();
    let server = Server::start(vec![Play::Reply(reply("402 Payment Required", &[], &said))]).await;
    let Outcome::Declined { code, .. } = gateway(&server).invoke(&call()).await else { panic!() };
    assert!(code.len() <= 256 && !code.chars().any(char::is_control), "{code:?}");
    let status = "500 \u{1b}[2Jowned <script>";
    let server = Server::start(vec![Play::Reply(reply(status, &[], "{}"))]).await;
    let shown = format!("{:?}", gateway(&server).invoke(&call()).await);
    assert!(!shown.contains("owned") && !shown.contains("script"), "{shown}");
}

fn shown(fake: &Arc<Fake>, order: &Snapshot) -> Vec<(String, String)> {
    let server = fake.serve();
    let id = order.id.to_string();
    let folder = tempfile::tempdir().unwrap();
    let recording = folder.path().join("recorded.jsonl").display().to_string();
    let mut all = Vec::new();
    for arguments in [
        vec!["show", &id],
        vec!["list"],
        vec!["incidents"],
        vec!["journal", &id],
        vec!["journal", &id, "--record", &recording],
        vec!["retry", &id, "--by", HOSTILE.trim_end_matches(|c| c != '>').split('\0').next().unwrap()],
        vec!["cancel", &id, "--by", "kim", "--reason", "\u{1b}[2J"],
        vec!["resolve", &id, "--as", "\u{9b}31m", "--by", "kim", "--note", "x"],
        vec!["send", &id, "\u{1b}[2J.x"],
        vec!["show", "\u{1b}]0;x\u{7}"],
    ] {
        let json = [arguments.clone(), vec!["--json"]].concat();
        for arguments in [arguments, json] {
            let output = run(&url(&server), &arguments);
            let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
            all.push((format!("{arguments:?}"), told.concat()));
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_obeys_nothing_that_a_provider_said() {
    let fake = Fake::new();
    let hostile = || json!({ "id": HOSTILE, HOSTILE: [HOSTILE], "deep": { "x": HOSTILE } });
    let parked = fake.open(json!({"amount": 1_200, "currency": "CNY", "note": HOSTILE}));
    let parked = fake.park(parked, HOSTILE);
    let settled = fake.open(json!({"amount": 1_200, "currency": "CNY", "note": HOSTILE}));
    fake.receive(settled, "customer.confirmed");
    let settled = fake.settle(settled, Outcome::Ok { result: hostile() });
    let declined = fake.open(json!({"amount": 1_200, "currency": "CNY"}));
    fake.receive(declined, "customer.confirmed");
    let declined =
        fake.settle(declined, Outcome::Declined { code: HOSTILE.to_owned(), soft: false, result: hostile() });
    let mut seen = String::new();
    for order in [&parked, &settled, &declined] {
        for (command, told) in shown(&fake, order) {
            assert_eq!(commands(&told), Vec::<char>::new(), "{command}: {told:?}");
            seen.push_str(&told);
        }
    }
    assert!(seen.contains("alert(1)"), "it is shown, as text");
    // What is escaped in JSON is still the same value.
    let server = fake.serve();
    let output = run(&url(&server), &["show", &settled.id.to_string(), "--json"]);
    let order: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(order["data"]["charge"], HOSTILE);
}

#[test]
fn a_reply_that_is_tried_out_is_shown_without_commands() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let connector = file(
        "gateway.yaml",
        "connector: gateway\nbase_url: https://a.example\nauth: { query: { key: \"${secret.query_key}\" }, fields: { pwd: \"${secret.query_key}\" } }\nencoding: form\noperations: { pay: { post: /pay, body: { note: \"${with.note}\" }, outcomes: { ok: response.status == 200 } } }\n",
    );
    let secret = file("secret", "se/cret+with\"odd letters");
    let config = file("paystate.yaml", &format!("secrets: {{ query_key: {{ file: {secret} }} }}"));
    let reply = file("reply.json", &json!({ "text": HOSTILE }).to_string());
    let with = json!({ "note": HOSTILE }).to_string();
    for json in [&[][..], &["--json"][..]] {
        let arguments =
            ["connector", "try", &connector, "pay", "--with", &with, "--config", &config, "--reply", &reply];
        let output = run("http://127.0.0.1:1", &[&arguments[..], json].concat());
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(told.contains("alert"), "{told}");
        assert_eq!(commands(&told), Vec::<char>::new(), "{told:?}");
        for part in ["se/cret", "se%2Fcret", "se\\/cret", "odd letters", "odd%20letters", "odd+letters"] {
            assert!(!told.contains(part), "{part}: {told}");
        }
    }
}

#[tokio::test]
async fn pages_cannot_run_what_they_show() {
    let fake = Fake::new();
    let server = fake.serve();
    let http = reqwest::Client::new();
    let order = fake.open(json!({"amount": 1, "currency": "CNY", "note": "<script>alert(1)</script>"}));
    for path in ["/", "/assets/app.js", &format!("/v1/orders/{order}"), "/v1/workflows/card/graph.svg", "/v1/<script>"]
    {
        let answer = http.get(format!("{}{path}", url(&server))).send().await.unwrap();
        let header =
            |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        let (kind, policy) = (header("content-type"), header("content-security-policy"));
        let runs = kind.starts_with("text/html") || kind.starts_with("image/svg");
        if runs {
            assert!(
                !policy.is_empty() && !policy.contains("unsafe-eval") && !policy.contains("script-src 'unsafe-inline'"),
                "{path}: {policy}"
            );
        } else {
            assert!(kind.contains("json") || kind.contains("javascript"), "{path}: {kind}");
        }
    }
}
