//! Notifications from those who are not the provider, and from the provider too often.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use paystate::api::{Engine, Server, ServerOptions};
use paystate::connector::{Arrived, Connector as _, sign_standard_webhook, verify_standard_webhook};
use paystate::definition::SecretRef;
use paystate::executor::{Clock, Executor, Hooked, Submission, SystemClock};
use paystate::machine::Event;
use paystate::types::{OrderId, Secret, Seq, Timestamp};
use serde_json::json;

use super::{build, executor};
use crate::connector_support::{self as support, Server as Provider};

const HOOK: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEXT: &str = "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcy4u";
const OTHER: &str = "whsec_b3RoZXIgc2VjcmV0IG9mIDI0IGJ5dGVz";
const CONNECTOR: &str = r#"
connector: shop
base_url: https://shop.invalid
operations: { ping: { get: /ping, outcomes: { ok: response.status == 200 } } }
webhooks:
  verify: { scheme: standard-webhooks, secrets: ["${secret.hook}", "${secret.next}"] }
  events: [ { event: shop.told, correlate: body.order, id: body.id } ]
"#;
const WORKFLOW: &str = r#"
workflow: waiting
input: { type: object }
deadline: 30d
initial: waits
states:
  waits:
    on: { shop.told: { assign: { told: "${event.text}" } }, order.ask: asks }
    after: { 20d: given_up }
  asks:
    invoke: { call: shop.ping }
    on: { ok: done, declined: given_up }
  done: { final: success, late: { shop.told: ignore } }
  given_up: { final: failure, late: { shop.told: ignore } }
"#;

async fn world() -> (Executor, OrderId) {
    let executor = executor(WORKFLOW, CONNECTOR, &[("hook", HOOK), ("next", NEXT)]).await;
    let submission = Submission { workflow: "waiting".into(), input: json!({}), key: None, child: None };
    let order = executor.submit(submission).await.unwrap().snapshot.id;
    (executor, order)
}

fn stamp(at: Timestamp) -> String {
    (at.unix_ms() / 1_000).to_string()
}

fn signed(secret: &str, id: &str, at: Timestamp, body: &str) -> Vec<(&'static str, String)> {
    let signature = sign_standard_webhook(&Secret::new(secret), id, at, body.as_bytes()).unwrap();
    vec![("webhook-id", id.to_owned()), ("webhook-timestamp", stamp(at)), ("webhook-signature", signature)]
}

fn changed(
    headers: &[(&'static str, String)],
    name: &str,
    value: impl Fn(&str) -> Option<String>,
) -> Vec<(&'static str, String)> {
    let change = |(known, old): &(&'static str, String)| {
        let new = if *known == name { value(old) } else { Some(old.clone()) };
        new.map(|new| (*known, new))
    };
    headers.iter().filter_map(change).collect()
}

type Headers = Vec<(&'static str, String)>;

/// What is wrong with it, and what is sent.
fn bad(good: &Headers, now: Timestamp, body: &str) -> Vec<(&'static str, Headers, String)> {
    let tag = good[2].1.clone();
    let with = |value: &str| changed(good, "webhook-signature", |_| Some(value.to_owned()));
    let bare = tag.strip_prefix("v1,").unwrap();
    let minutes = |minutes: i64| Timestamp::from_unix_ms(now.unix_ms() + minutes * 60_000);
    let mut cases = vec![
        ("another endpoint's secret", signed(OTHER, "msg_1", now, body), body.to_owned()),
        ("another body", good.clone(), body.replace("good", "evil")),
        ("the same JSON, written again", good.clone(), body.replace(':', ": ")),
        ("a line end more", good.clone(), format!("{body}\n")),
        ("no body", good.clone(), String::new()),
        ("an old one", signed(HOOK, "msg_1", minutes(-6), body), body.to_owned()),
        ("one of the future", signed(HOOK, "msg_1", minutes(6), body), body.to_owned()),
        ("another id", changed(good, "webhook-id", |_| Some("msg_2".to_owned())), body.to_owned()),
        ("a dot in the id", changed(good, "webhook-id", |_| Some(format!("msg_1.{}", stamp(now)))), body.to_owned()),
        ("another time", changed(good, "webhook-timestamp", |_| Some(stamp(minutes(1)))), body.to_owned()),
        ("a time that is none", changed(good, "webhook-timestamp", |old| Some(format!("{old}.0"))), body.to_owned()),
        ("no signature in it", with("v1,"), body.to_owned()),
        ("cut off", with(&tag[..tag.len() - 5]), body.to_owned()),
        ("no version", with(bare), body.to_owned()),
        ("version 0", with(&format!("v0,{bare}")), body.to_owned()),
        ("a key pair's version", with(&format!("v1a,{bare}")), body.to_owned()),
        ("not base64", with("v1,!!!"), body.to_owned()),
        ("a hundred", with(&[tag.as_str(); 100].join(" ")), body.to_owned()),
        ("a hundred wrong ones", with(&["v1,AAAA"; 100].join(" ")), body.to_owned()),
        ("nothing is parsed before", good.clone(), "{\"order\": ".to_owned()),
        ("however deep it is", good.clone(), "[".repeat(100_000)),
        ("nor a key twice", good.clone(), body.replace("\"id\"", "\"id\": 1, \"id\"")),
        ("no headers", Vec::new(), body.to_owned()),
    ];
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        cases.push(("a header that is missing", changed(good, name, |_| None), body.to_owned()));
        cases.push(("a header that is empty", changed(good, name, |_| Some(String::new())), body.to_owned()));
        let mut twice = good.clone();
        twice.extend(good.iter().filter(|(known, _)| *known == name && name != "webhook-signature").cloned());
        if twice.len() > good.len() {
            cases.push(("a header that is there twice", twice, body.to_owned()));
        }
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_notification_has_the_same_answer() {
    let (executor, order) = world().await;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let engine: Arc<dyn Engine> = Arc::new(executor.clone());
    let server = Server::start(engine, listener, ServerOptions::default()).unwrap();
    let (http, url) = (reqwest::Client::new(), format!("http://{}/hooks/shop", server.address()));
    let send = |headers: Vec<(&'static str, String)>, body: String| {
        let request = headers.into_iter().fold(http.post(&url), |request, (name, value)| request.header(name, value));
        async move {
            let answer = request.body(body).send().await.unwrap();
            let mut shown: BTreeMap<String, String> = BTreeMap::new();
            for (name, value) in answer.headers() {
                shown.insert(name.to_string(), value.to_str().unwrap().to_owned());
            }
            // These two are about this one answer.
            shown.retain(|name, _| name != "date" && name != "x-request-id");
            (answer.status().as_u16(), shown, answer.text().await.unwrap())
        }
    };
    let now = SystemClock.wall();
    let body = json!({"order": order, "id": "evt_1", "text": "good"}).to_string();
    let good = signed(HOOK, "msg_1", now, &body);
    let mut answers = Vec::new();
    for (what, headers, body) in bad(&good, now, &body) {
        let answer = send(headers, body).await;
        assert_eq!(answer.0, 401, "{what}: {answer:?}");
        answers.push((what, answer));
    }
    let (_, first) = answers[0].clone();
    for (what, answer) in answers {
        assert_eq!(answer, first, "{what}");
    }
    assert!(!first.2.contains("msg_1") && !first.2.contains("tolerance"), "{}", first.2);
    assert_eq!(told(&executor, order).await, 0, "nothing came of them");

    let answer = send(good, body.clone()).await;
    assert_eq!(answer.0, 200, "{answer:?}");
    assert_eq!(send(signed(NEXT, "msg_2", now, &body), body.clone()).await.0, 200, "the next secret is good too");
    assert_eq!(told(&executor, order).await, 1);
    let unread = "not JSON";
    assert_eq!(
        send(signed(HOOK, "msg_3", now, unread), unread.to_owned()).await.0,
        400,
        "authentic, and not understood"
    );
}

/// How often the order was told something.
async fn told(executor: &Executor, order: OrderId) -> usize {
    let entries = executor.journal(order, Seq(0), 5_000).await.unwrap();
    entries
        .iter()
        .filter(|entry| matches!(&entry.event, Event::Received { name, .. } if name.as_str() == "shop.told"))
        .count()
}

async fn hook(executor: &Executor, headers: &[(&'static str, String)], body: &str) -> Vec<Hooked> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let arrived = Arrived { headers: &headers, query: &json!({}), path: "", body: body.as_bytes(), from: None };
    executor.hook("shop", &arrived).await.unwrap().told
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_counts_once() {
    let (executor, order) = world().await;
    let body = json!({"order": order, "id": "evt_1", "text": "once"}).to_string();
    let good = signed(HOOK, "msg_1", SystemClock.wall(), &body);
    // Whoever recorded it, and the provider, who signs it anew each time it sends it.
    let again = signed(HOOK, "msg_1", SystemClock.wall().plus(Duration::from_secs(2)), &body);
    let all = (0..1_000).map(|number| {
        let (executor, body) = (executor.clone(), body.clone());
        let headers = if number % 2 == 0 { good.clone() } else { again.clone() };
        tokio::spawn(async move { hook(&executor, &headers, &body).await })
    });
    for one in futures_util::future::join_all(all).await {
        let one = one.unwrap();
        assert!(matches!(one.as_slice(), [Hooked::Applied { .. }]), "each is acknowledged: {one:?}");
    }
    assert_eq!(told(&executor, order).await, 1);
    // What the provider sends as another event is another one, and the first is known behind it.
    let other = json!({"order": order, "id": "evt_2", "text": "twice"}).to_string();
    hook(&executor, &signed(HOOK, "msg_2", SystemClock.wall(), &other), &other).await;
    hook(&executor, &good, &body).await;
    assert_eq!(told(&executor, order).await, 2);
    let snapshot = executor.order(order).await.unwrap().unwrap();
    assert_eq!(snapshot.data["told"], "twice");
}

#[tokio::test]
async fn while_a_secret_is_replaced_both_sign() {
    let provider = Provider::replying("200 OK", "{}").await;
    let call = |names: &'static [&'static str]| {
        let secrets: Vec<String> = names.iter().map(|name| format!("\"${{secret.{name}}}\"")).collect();
        let yaml = format!(
            "base_url: http://{}\nauth: {{ standard-webhooks: [{}] }}\noperations: {{ pay: {{ post: /pay, body: {{ a: 1 }}, outcomes: {{ ok: response.status == 200 }} }} }}",
            provider.address,
            secrets.join(", ")
        );
        let connector = build(&yaml, |config| {
            config.secrets.extend([("old".to_owned(), Secret::new(HOOK)), ("new".to_owned(), Secret::new(NEXT))]);
        });
        let mut call = support::call();
        call.operation = "pay".into();
        async move {
            connector.unwrap().invoke(&call).await;
        }
    };
    call(&["old", "new"]).await;
    call(&["new"]).await;
    let known = BTreeMap::from([("old".to_owned(), Secret::new(HOOK)), ("new".to_owned(), Secret::new(NEXT))]);
    let believed = |request: &str, name: &str| {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let headers = head.lines().filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let (names, now) = ([SecretRef(name.to_owned())], Timestamp::from_unix_ms(support::NOW_MS));
        verify_standard_webhook(&names, Duration::from_secs(300), &known, &headers, body.as_bytes(), now).is_ok()
    };
    let requests = provider.requests();
    assert!(believed(&requests[0], "old") && believed(&requests[0], "new"), "{}", requests[0]);
    assert!(!believed(&requests[1], "old") && believed(&requests[1], "new"), "{}", requests[1]);
    let signatures = requests[0].lines().find_map(|line| line.strip_prefix("webhook-signature: ")).unwrap();
    assert_eq!(signatures.split(' ').count(), 2);
}
