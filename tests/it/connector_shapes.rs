//! Shapes of requests and answers that few providers have, as a definition says them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use paystate::machine::Outcome;
use serde_json::json;

use crate::connector_signing::{connector, pay, seen};
use crate::connector_support::*;

fn operation(what: &str) -> String {
    format!("operations:\n  pay:\n{what}\n    outcomes: {{ ok: response.status == 200 }}")
}

#[tokio::test]
async fn every_method_and_every_kind_of_body_leaves_as_it_is_said() {
    let list = "{ a: [1, 2], b: { c: x y } }";
    for (what, line, body) in [
        ("    put: /p", "PUT /api/p HTTP/1.1", String::new()),
        ("    patch: /p\n    body: { a: 1 }", "PATCH /api/p HTTP/1.1", r#"{"a":1}"#.to_owned()),
        ("    delete: /p?why=x%20y", "DELETE /api/p?why=x%20y HTTP/1.1", String::new()),
        (
            "    post: /p\n    encoding: text\n    body: \"A|${with.amount}|ü\"",
            "POST /api/p HTTP/1.1",
            "A|600|ü".to_owned(),
        ),
        (
            &format!("    post: /p\n    encoding: form\n    body: {list}"),
            "POST /api/p HTTP/1.1",
            "a%5B0%5D=1&a%5B1%5D=2&b%5Bc%5D=x+y".to_owned(),
        ),
        (
            &format!("    post: /p\n    encoding: form-brackets\n    body: {list}"),
            "POST /api/p HTTP/1.1",
            "a%5B%5D=1&a%5B%5D=2&b%5Bc%5D=x+y".to_owned(),
        ),
        (
            &format!("    post: /p\n    encoding: form-repeat\n    body: {list}"),
            "POST /api/p HTTP/1.1",
            "a=1&a=2&b%5Bc%5D=x+y".to_owned(),
        ),
    ] {
        let server = Server::start(vec![Play::Reply(reply("200 OK", &[], "{}"))]).await;
        let outcome = pay(&connector(&server, &operation(what), &[])).await;
        assert!(matches!(outcome, Outcome::Ok { .. }), "{what}: {outcome:?}");
        let sent = seen(&server);
        assert_eq!(sent.line, line, "{what}");
        // A blank in a form may be written in two ways.
        assert_eq!(sent.body.replace("%20", "+"), body, "{what}");
    }
}

#[tokio::test]
async fn a_header_can_say_what_an_answer_means() {
    let rules = "operations:\n  pay:\n    post: /p\n    outcomes:\n      \
                 ok: response.headers[\"x-result\"] == \"00\"\n      \
                 declined: response.headers[\"x-result\"].startsWith(\"5\")\n      \
                 code: response.headers[\"x-result\"]";
    for (result, expected) in [
        (Some("00"), Outcome::Ok { result: json!({}) }),
        (Some("51"), Outcome::Declined { code: "51".to_owned(), soft: false, result: json!({}) }),
    ] {
        let headers: Vec<(&str, &str)> = result.iter().map(|value| ("X-Result", *value)).collect();
        let server = Server::start(vec![Play::Reply(reply("200 OK", &headers, "{}"))]).await;
        assert_eq!(pay(&connector(&server, rules, &[])).await, expected, "{result:?}");
    }
    for headers in [vec![], vec![("X-Result", "99")]] {
        let server = Server::start(vec![Play::Reply(reply("200 OK", &headers, "{}"))]).await;
        let outcome = pay(&connector(&server, rules, &[])).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{headers:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_is_as_large_as_the_connector_says() {
    for (length, limit, fits) in [(2_000, "4KiB", true), (5_000, "4KiB", false), (5_000, "5100", true)] {
        let body = json!({ "text": "x".repeat(length) }).to_string();
        let server = Server::start(vec![Play::Reply(reply("200 OK", &[], &body))]).await;
        let what = format!("limits: {{ body: {limit} }}\n{}", operation("    post: /p"));
        let outcome = pay(&connector(&server, &what, &[])).await;
        assert_eq!(matches!(outcome, Outcome::Ok { .. }), fits, "{length} of {limit}: {outcome:?}");
    }
}
