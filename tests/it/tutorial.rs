//! The tutorial is done: its files are written, its commands are run, and its method pays at a provider that knows nothing
//! of Paystate and does what the tutorial quotes.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::Engine as _;
use serde_json::{Value, json};

use crate::readme::{Block, blocks};
use crate::support::paystate;

const KEY: &str = "pomelo-test-key";

#[derive(Default)]
struct Pomelo {
    charges: BTreeMap<String, Value>,
    refunds: BTreeMap<String, Value>,
    /// The next charge is made, and its answer is lost.
    loses_answer: bool,
    forged: usize,
}

type Shared = Arc<Mutex<Pomelo>>;

async fn pomelo(State(books): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 16).await.unwrap();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let target = parts.uri.path_and_query().unwrap().as_str();
    let signed = format!("{}.{}.{target}.{}", header("x-pomelo-time"), parts.method, String::from_utf8_lossy(&body));
    let tag = hex::decode(header("x-pomelo-signature")).unwrap_or_default();
    let key = hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes());
    if hmac::verify(&key, signed.as_bytes(), &tag).is_err() || header("x-pomelo-merchant") != "m_1" {
        books.lock().unwrap().forged += 1;
        return (StatusCode::UNAUTHORIZED, Json(json!({}))).into_response();
    }
    let fields: BTreeMap<String, String> = url_fields(&String::from_utf8_lossy(&body));
    let asked = url_fields(parts.uri.query().unwrap_or_default());
    let path: Vec<&str> = parts.uri.path().trim_start_matches('/').split('/').collect();
    let (status, answer, lost) = {
        let mut books = books.lock().unwrap();
        let lost = parts.method == "POST" && std::mem::take(&mut books.loses_answer);
        let (status, answer) = done(&mut books, parts.method.as_str(), &path, &fields, &asked);
        (status, answer, lost)
    };
    if lost {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    (StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
}

fn done(
    books: &mut Pomelo,
    method: &str,
    path: &[&str],
    fields: &BTreeMap<String, String>,
    asked: &BTreeMap<String, String>,
) -> (u16, Value) {
    let of = |book: &BTreeMap<String, Value>| match book.get(&asked["ref"]) {
        Some(found) => (200, found.clone()),
        None => (404, json!({ "reason": "not_found" })),
    };
    let valid = |reference: &str| reference.len() <= 32 && reference.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match (method, path) {
        ("GET", ["charges"]) => of(&books.charges),
        ("GET", ["refunds"]) => of(&books.refunds),
        ("POST", ["charges"]) if !valid(&fields["ref"]) => (402, json!({ "reason": "bad_ref" })),
        ("POST", ["charges"]) if books.charges.contains_key(&fields["ref"]) => (409, json!({})),
        ("POST", ["charges"]) => {
            let id = format!("ch_{}", books.charges.len() + 1);
            let charge =
                json!({ "charge_id": id, "status": "captured", "amount": fields["amount"], "ref": fields["ref"] });
            books.charges.insert(fields["ref"].clone(), charge.clone());
            (200, charge)
        }
        ("POST", ["charges", _, "refunds"]) if books.refunds.contains_key(&fields["ref"]) => (409, json!({})),
        ("POST", ["charges", id, "refunds"]) => {
            let refund = json!({ "refund_id": format!("re_{id}"), "amount": fields["amount"] });
            books.refunds.insert(fields["ref"].clone(), refund.clone());
            (200, refund)
        }
        _ => (404, json!({ "reason": "no_such_path" })),
    }
}

fn url_fields(text: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://form.invalid/?{text}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// Runs the commands, and holds each against what stands below it: every line is somewhere in what it prints.
fn follow(folder: &Path, blocks: &[Block], language: &str, environment: &[(&str, &str)]) -> usize {
    let (mut printed, mut ran) = (String::new(), 0);
    for block in blocks {
        match block.info.as_str() {
            info if info == language => {
                printed.clear();
                for line in block.text.lines().filter(|line| !line.contains("paystate serve")) {
                    let line = line.replacen("paystate", &paystate().display().to_string(), 1);
                    let mut command = Command::new("sh");
                    command.arg("-c").arg(&line).current_dir(folder).envs(environment.iter().copied());
                    let output = command.output().unwrap();
                    let told = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(output.status.success(), "{line}: {told}");
                    printed.push_str(&String::from_utf8_lossy(&output.stdout));
                    ran += 1;
                }
            }
            "text" if !printed.is_empty() => {
                for line in block.text.lines() {
                    assert!(printed.contains(line), "`{line}` is not in:\n{printed}");
                }
                printed.clear();
            }
            _ => {}
        }
    }
    ran
}

fn write(folder: &Path, blocks: &[Block]) {
    for block in blocks {
        let Some(file) = &block.file else { continue };
        let path = folder.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &block.text).unwrap();
    }
}

#[test]
fn its_files_are_clean_and_its_commands_print_what_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = blocks("docs/tutorial.md");
    write(folder.path(), &blocks);
    assert_eq!(follow(folder.path(), &blocks, "sh", &[]), 7);
}

struct Daemon {
    child: Child,
    api: String,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(folder: &Path) -> Daemon {
    let mut command = Command::new(paystate());
    command.args(["serve", "--config", "paystate.yaml", "--json", "--listen", "127.0.0.1:0"]).current_dir(folder);
    let mut child = command.env("POMELO_KEY", KEY).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("it says where it listens");
    Daemon { api: ready["api"].as_str().unwrap().to_owned(), child }
}

async fn comes_to(api: &str, id: &str, state: &str) -> Value {
    for _ in 0..600 {
        let order = get(&format!("{api}/v1/orders/{id}")).await;
        if order["state"] == state {
            return order;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not come to {state}: {}", get(&format!("{api}/v1/orders/{id}")).await);
}

async fn get(url: &str) -> Value {
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_method_pays_at_the_provider_that_it_describes() {
    let books = Shared::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().fallback(pomelo).with_state(Arc::clone(&books));
    tokio::spawn(async move { axum::serve(listener, router).await });

    let folder = tempfile::tempdir().unwrap();
    let mut blocks = blocks("docs/tutorial.md");
    for block in &mut blocks {
        block.text = block.text.replace("https://api.pomelo.example/v2", &format!("http://{address}"));
        block.text = block.text.replace("api.pomelo.example", &address.to_string());
        // An attempt that is not answered is over sooner.
        block.text = block.text.replace("attempt: 20s", "attempt: 1s");
    }
    write(folder.path(), &blocks);
    let daemon = tokio::task::block_in_place(|| serve(folder.path()));
    let environment = [("POMELO_KEY", KEY), ("PAYSTATE_SERVER", daemon.api.as_str())];
    let ran = tokio::task::block_in_place(|| follow(folder.path(), &blocks, "sh provider", &environment));
    assert_eq!(ran, 3);
    let listed = get(&format!("{}/v1/orders", daemon.api)).await;
    let first = listed["orders"][0]["id"].as_str().unwrap().to_owned();
    comes_to(&daemon.api, &first, "settled").await;
    let (charges, forged) = {
        let books = books.lock().unwrap();
        (books.charges.len(), books.forged)
    };
    assert_eq!((charges, forged), (2, 0), "one by hand, one by order");

    // An answer that is lost, a notification that is theirs, one that is not, and the money back.
    books.lock().unwrap().loses_answer = true;
    let input = json!({ "workflow": "pomelo_card", "input": { "amount": 990, "currency": "EUR", "token": "tok_2" } });
    let http = reqwest::Client::new();
    let url = format!("{}/v1/orders", daemon.api);
    let order: Value = http.post(&url).json(&input).send().await.unwrap().json().await.unwrap();
    let id = order["id"].as_str().unwrap();
    comes_to(&daemon.api, id, "settled").await;
    let charges = books.lock().unwrap().charges.clone();
    let ours: Vec<&String> =
        charges.iter().filter(|(_, charge)| charge["amount"] == "9.90").map(|(reference, _)| reference).collect();
    assert_eq!(ours.len(), 1, "it was charged once");
    let body = json!({ "id": "evt_1", "type": "charge.captured", "ref": ours[0] }).to_string();
    let hook = |key: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), body.as_bytes());
        let tag = base64::prelude::BASE64_STANDARD.encode(tag);
        http.post(format!("{}/hooks/pomelo", daemon.api)).header("x-pomelo-signature", tag).body(body.clone()).send()
    };
    let (theirs, forged) = (hook(KEY).await.unwrap(), hook("another key").await.unwrap());
    assert_eq!((theirs.status().as_u16(), forged.status().as_u16()), (200, 401));
    assert_eq!(theirs.text().await.unwrap(), "OK");
    let cancel = http.post(format!("{}/v1/orders/{id}/cancel", daemon.api)).json(&json!({ "by": "kim" }));
    assert!(cancel.send().await.unwrap().status().is_success());
    comes_to(&daemon.api, id, "cancelled").await;
    let refunds: Vec<Value> = books.lock().unwrap().refunds.values().map(|refund| refund["amount"].clone()).collect();
    assert_eq!(refunds, [json!("9.90")]);
}
