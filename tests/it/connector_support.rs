//! A provider made of raw sockets, and definitions to reach it with.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use paystate::connector::{ConnectorConfig, HttpConnector, Invocation};
use paystate::definition::{
    Auth, Breaker, Connector, ConnectorKind, EnvPart, EnvText, Expr, Http, Idempotency, Inquiry, Integrity, Limits,
    Login, Method, MoneyKind, Needs, Operation, OutcomeKind, OutcomeRule, Outcomes, Replay, Request, SecretRef,
    Template, Tls,
};
use paystate::types::{Attempt, OrderId, Secret, Timestamp, Value};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

pub(crate) const SECRET: &str = "sk_live_canary_5e1f";
pub(crate) const NOW_MS: i64 = 1_614_265_330_000;
const REQUEST_ROOTS: &[&str] = &["with", "key", "attempt", "order"];
const REPLY_ROOTS: &[&str] = &["with", "key", "attempt", "order", "response"];

/// What the server does with one connection or, where it says so, with one request.
#[derive(Clone, Debug)]
pub(crate) enum Play {
    /// Reads the request, writes these bytes, closes.
    Reply(Vec<u8>),
    /// The same, but goes on with the next request on the connection.
    Keep(Vec<u8>),
    /// Writes these bytes, and closes after a while, when the connection is idle.
    KeepThenClose(Vec<u8>),
    /// Closes before it reads anything.
    CloseAtOnce,
    /// Reads the request and closes.
    Close,
    /// Reads the request and sends a TCP reset.
    Reset,
    /// Reads the request and never answers.
    Silent,
    /// Writes one byte after each pause.
    Drip(Vec<u8>, Duration),
    /// Chunks without end.
    Endless,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// The n-th request is played as the n-th of `plays`; the last one goes on for ever.
    pub(crate) async fn start(plays: Vec<Play>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), requests: Arc::default() };
        let (requests, turn) = (Arc::clone(&server.requests), Arc::new(Mutex::new(0_usize)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (plays, turn, requests) = (plays.clone(), Arc::clone(&turn), Arc::clone(&requests));
                tokio::spawn(serve(stream, plays, turn, requests));
            }
        });
        server
    }

    pub(crate) async fn replying(status: &str, body: &str) -> Self {
        Self::start(vec![Play::Reply(reply(status, &[], body))]).await
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, plays: Vec<Play>, turn: Arc<Mutex<usize>>, requests: Arc<Mutex<Vec<String>>>) {
    loop {
        let next = || {
            let mut turn = turn.lock().unwrap();
            let play = plays[(*turn).min(plays.len() - 1)].clone();
            *turn += 1;
            play
        };
        let first = plays[(*turn.lock().unwrap()).min(plays.len() - 1)].clone();
        if matches!(first, Play::CloseAtOnce) {
            next();
            return;
        }
        let Some(request) = read_request(&mut stream).await else { return };
        requests.lock().unwrap().push(request);
        match next() {
            Play::Reply(bytes) => {
                stream.write_all(&bytes).await.ok();
                stream.shutdown().await.ok();
                return;
            }
            Play::Keep(bytes) => stream.write_all(&bytes).await.unwrap(),
            Play::KeepThenClose(bytes) => {
                stream.write_all(&bytes).await.unwrap();
                sleep(Duration::from_millis(50)).await;
                return;
            }
            Play::CloseAtOnce | Play::Close => return,
            Play::Reset => {
                stream.set_zero_linger().unwrap();
                return;
            }
            Play::Silent => sleep(Duration::from_secs(60)).await,
            Play::Drip(bytes, pause) => {
                for byte in bytes {
                    sleep(pause).await;
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                }
                return;
            }
            Play::Endless => {
                stream.write_all(HEAD_OF_CHUNKS).await.unwrap();
                while stream.write_all(&chunk()).await.is_ok() {}
                return;
            }
        }
    }
}

const HEAD_OF_CHUNKS: &[u8] =
    b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";

fn chunk() -> Vec<u8> {
    format!("4000\r\n{}\r\n", " ".repeat(0x4000)).into_bytes()
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0_u8; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// An answer as bytes, JSON unless `headers` say otherwise.
pub(crate) fn reply(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    raw_reply(status, headers, body.as_bytes())
}

pub(crate) fn raw_reply(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        head.push_str("content-type: application/json; charset=utf-8\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

pub(crate) fn env_text(text: &str) -> EnvText {
    EnvText(vec![EnvPart::Text(text.to_owned())])
}

pub(crate) fn expr(text: &str) -> Expr {
    Expr::compile(text, REPLY_ROOTS).unwrap()
}

pub(crate) fn template(value: Value) -> Template {
    Template::compile(&value, REQUEST_ROOTS).unwrap()
}

pub(crate) fn rules(rules: &[(OutcomeKind, &str)]) -> Vec<OutcomeRule> {
    rules.iter().map(|(outcome, when)| OutcomeRule { outcome: *outcome, when: expr(when) }).collect()
}

pub(crate) fn request(method: Method, path: &str, body: Option<Value>) -> Request {
    Request {
        method,
        path: template(path.into()),
        query: Vec::new(),
        headers: Vec::new(),
        body: body.map(template),
        encoding: Default::default(),
        reply: Default::default(),
        encrypt: None,
        by_customer: false,
    }
}

/// `authorize` as a gateway would offer it.
pub(crate) fn authorize() -> Operation {
    let same = |field: &str| Integrity {
        field: field.to_owned(),
        expected: expr(&format!("with.{field}")),
        actual: expr(&format!("response.body.{field}")),
    };
    Operation {
        asks: false,
        follow_up: None,
        auth: Default::default(),
        sign: None,
        verify: None,
        name: "authorize".into(),
        request: Some(request(
            Method::Post,
            "/v1/authorizations",
            Some(json!({"reference": "${key}", "amount": "${with.amount}", "currency": "${with.currency}"})),
        )),
        money: Some(MoneyKind::Hold),
        integrity: vec![same("amount"), same("currency")],
        outcomes: Outcomes {
            rules: rules(&[
                (OutcomeKind::Ok, "response.status in [200, 201] && response.body.status == 'approved'"),
                (OutcomeKind::ActionRequired, "response.status == 202 && response.body.status == 'challenge'"),
                (OutcomeKind::Pending, "response.status == 202"),
                (OutcomeKind::Declined, "response.status == 402"),
                (OutcomeKind::NotSent, "response.status == 429 || response.status == 503"),
            ]),
            code: Some(expr("response.body.code")),
            soft: Some(expr("response.body.code == 'try_later'")),
            result: None,
            reference: Some(expr("response.body.id")),
        },
        inquire: Some(Inquiry {
            request: Some(request(Method::Get, "/v1/authorizations?reference=${key}", None)),
            outcomes: Outcomes {
                rules: rules(&[(OutcomeKind::NotFound, "response.status == 404")]),
                ..Outcomes::default()
            },
            integrity: None,
            auth: None,
            sign: None,
            same: false,
            schedule: Vec::new(),
        }),
        idempotency: Idempotency {
            header: Some("Idempotency-Key".to_owned()),
            natural_key: Vec::new(),
            replay: Replay::Stored,
            window: None,
            not_found_final_after: Duration::from_secs(60),
        },
        poll: Vec::new(),
    }
}

pub(crate) fn login(login: Login) -> Auth {
    Auth { login, ..Auth::default() }
}

pub(crate) fn http(base_url: &str) -> Http {
    Http {
        base_url: env_text(base_url),
        auth: login(Login::Bearer(SecretRef("gateway_key".to_owned()))),
        decrypt: None,
        tls: Tls::default(),
        limits: Limits {
            concurrency: 8,
            rate_per_second: None,
            breaker: Breaker { failures: 20, open: Duration::from_millis(200) },
            body_max: 1 << 20,
        },
    }
}

pub(crate) fn definition(http: Http, operation: Operation) -> Connector {
    Connector {
        name: "gateway".into(),
        version: "v1".into(),
        title: "Gateway".to_owned(),
        kind: ConnectorKind::Http(Box::new(http)),
        operations: BTreeMap::from([(operation.name.clone(), Arc::new(operation))]),
        webhooks: None,
        tables: Value::Null,
        needs: Needs { env: Default::default(), secrets: ["gateway_key".to_owned()].into() },
    }
}

pub(crate) fn config() -> ConnectorConfig {
    let mut config = ConnectorConfig::new(Arc::new(|| Timestamp::from_unix_ms(NOW_MS)));
    config.secrets.insert("gateway_key".to_owned(), Secret::new(SECRET));
    config
}

pub(crate) fn connect(http: Http, operation: Operation) -> HttpConnector {
    HttpConnector::new(Arc::new(definition(http, operation)), &config()).unwrap()
}

/// A connector to `server` with the usual operation.
pub(crate) fn gateway(server: &Server) -> HttpConnector {
    connect(http(&format!("http://{}", server.address)), authorize())
}

pub(crate) fn invocation(timeout: Duration) -> Invocation {
    Invocation {
        reference: None,
        hidden: paystate::connector::Hidden::None,
        order: OrderId::from_bytes([7; 16]),
        connector: "gateway".into(),
        operation: "authorize".into(),
        version: "0123456789abcdef".into(),
        key: "0707-1-0".to_owned(),
        attempt: Attempt(1),
        with: Arc::new(json!({"amount": 600, "currency": "CNY"})),
        context: Arc::new(json!({"id": "019ab1c2-7d4e-7000-8000-0242ac120002"})),
        timeout,
        sent_at: Timestamp::from_unix_ms(NOW_MS),
    }
}

pub(crate) fn call() -> Invocation {
    invocation(Duration::from_secs(5))
}

pub(crate) fn call_to(operation: &str) -> Invocation {
    Invocation { operation: operation.into(), ..call() }
}

/// The answer that `authorize` takes for a success.
pub(crate) const APPROVED: &str = r#"{"id": "a1", "status": "approved", "amount": 600, "currency": "CNY"}"#;
