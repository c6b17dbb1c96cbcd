//! What is sent to a provider, and how its replies are read.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use paystate::connector::{Connector as _, ConnectorSetupError, HttpConnector, verify_standard_webhook};
use paystate::definition::{EnvPart, EnvText, Login, Method, OutcomeKind, Outcomes, SecretRef, Template};
use paystate::machine::Outcome;
use paystate::types::{Secret, Timestamp};
use serde_json::{Value, json};

use crate::connector_signing::connector;
use crate::connector_support::*;

async fn outcome_of(status: &str, headers: &[(&str, &str)], body: &str) -> Outcome {
    let server = Server::start(vec![Play::Reply(reply(status, headers, body))]).await;
    let outcome = gateway(&server).invoke(&call()).await;
    assert_eq!(server.requests().len(), 1);
    outcome
}

fn reason_of(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Unknown { reason, .. } | Outcome::NotSent { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_carries_key_credentials_and_body_and_a_good_reply_is_ok() {
    let server = Server::replying("201 Created", APPROVED).await;
    let outcome = gateway(&server).invoke(&call()).await;
    assert_eq!(outcome, Outcome::Ok { result: serde_json::from_str(APPROVED).unwrap() });
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /v1/authorizations http/1.1"), "{head}");
    for line in ["idempotency-key: 0707-1-0", "content-type: application/json", "content-length: "] {
        assert!(head.contains(line), "{head}");
    }
    assert!(!head.contains("chunked"), "{head}");
    assert!(head.contains(&format!("authorization: bearer {SECRET}")), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body, json!({"reference": "0707-1-0", "amount": 600, "currency": "CNY"}));
}

#[tokio::test]
async fn definite_replies() {
    let declined = outcome_of("402 Payment Required", &[], r#"{"code": "insufficient_funds"}"#).await;
    let Outcome::Declined { code, soft, .. } = &declined else { panic!("{declined:?}") };
    assert_eq!((code.as_str(), *soft), ("insufficient_funds", false));
    let soft = outcome_of("402 Payment Required", &[], r#"{"code": "try_later"}"#).await;
    assert!(matches!(soft, Outcome::Declined { soft: true, .. }), "{soft:?}");
    let bare = outcome_of("402 Payment Required", &[], "").await;
    assert!(matches!(&bare, Outcome::Declined { code, soft: false, .. } if code == "declined"), "{bare:?}");
    let card = outcome_of("402 Payment Required", &[], r#"{"code": "card 4111111111111111"}"#).await;
    assert!(matches!(&card, Outcome::Declined { code, .. } if code == "card ***"), "{card:?}");
    let pending = outcome_of("202 Accepted", &[], r#"{"id": "p1", "status": "wait"}"#).await;
    assert!(matches!(&pending, Outcome::Pending { reference: Some(id), .. } if id == "p1"), "{pending:?}");
    let action = outcome_of("202 Accepted", &[], r#"{"status": "challenge", "url": "https://x"}"#).await;
    assert!(matches!(&action, Outcome::ActionRequired { result } if result["url"] == "https://x"), "{action:?}");
}

#[tokio::test]
async fn retry_after_is_carried_and_capped_even_beside_a_page_of_html() {
    let headers = [("content-type", "text/html"), ("retry-after", "7")];
    let busy = outcome_of("429 Too Many Requests", &headers, "<h1>slow down</h1>").await;
    assert!(matches!(busy, Outcome::NotSent { retry_after_ms: Some(7_000), .. }), "{busy:?}");
    let long = outcome_of("503 Service Unavailable", &[("retry-after", "999999")], "").await;
    assert!(matches!(long, Outcome::NotSent { retry_after_ms: Some(3_600_000), .. }), "{long:?}");
    let odd = outcome_of("500 Oops", &[("retry-after", "2")], "").await;
    assert!(matches!(odd, Outcome::Unknown { retry_after_ms: Some(2_000), .. }), "{odd:?}");
}

#[tokio::test]
async fn what_is_not_understood_is_unknown() {
    let html = [("content-type", "text/html")];
    let deep = format!(r#"{{"status": "approved", "x": {}1{}}}"#, "[".repeat(100), "]".repeat(100));
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("500 Oops", &[], "{}", "no rule fits"),
        ("201 Created", &[], r#"{"status": "approve"#, "not JSON"),
        ("201 Created", &[], "", "`ok` could not be evaluated"),
        ("201 Created", &[], "null", "`ok` could not be evaluated"),
        ("201 Created", &html, APPROVED, "not JSON"),
        ("402 Payment Required", &html, "<h1>pay for the airport wifi</h1>", "reads as declined"),
        ("201 Created", &[("content-type", "application/json; charset=utf-16")], APPROVED, "not JSON"),
        ("201 Created", &[], r#"{"status": "declined", "status": "approved"}"#, "a key twice"),
        ("201 Created", &[], &deep, "nested too deeply"),
        ("201 Created", &[], r#"{"status": NaN}"#, "not JSON"),
        ("200 OK", &[("content-encoding", "gzip")], APPROVED, "cut off"),
        ("302 Found", &[("location", "http://127.0.0.1:9/")], APPROVED, "redirects are not followed"),
        ("304 Not Modified", &[], "", "redirects"),
        ("404 Not Found", &[], "{}", "no rule fits"),
        ("404 Not Found", &html, "<h1>nothing</h1>", "status 404, the body is not JSON: no rule fits"),
    ];
    for (status, headers, body, why) in cases {
        let outcome = outcome_of(status, headers, body).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{status} {body}: {outcome:?}");
        assert!(reason_of(&outcome).contains(why), "{status} {body}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_number_is_the_same_however_it_is_written() {
    let outcome = outcome_of("201 Created", &[], r#"{"status": "approved", "amount": 600.0, "currency": "CNY"}"#).await;
    assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
}

/// A provider that answers with a redirect and says in its body what it did.
#[tokio::test]
async fn a_redirect_is_read_by_a_rule_that_names_it_and_by_no_other() {
    let answered = |rule: &'static str| async move {
        let location = [("location", "http://127.0.0.1:9/elsewhere")];
        let server = Server::start(vec![Play::Reply(reply("302 Found", &location, r#"{"id": "o1"}"#))]).await;
        let what = format!(
            "operations:\n  pay: {{ post: /pay, outcomes: {{ ok: '{rule}', result: '${{response.body.id}}' }} }}\n"
        );
        let outcome = connector(&server, &what, &[]).invoke(&call_to("pay")).await;
        assert_eq!(server.requests().len(), 1, "nobody goes there");
        outcome
    };
    let read = answered("response.status in [201, 302] && has(response.body.id)").await;
    assert_eq!(read, Outcome::Ok { result: json!("o1") });
    for other in ["response.status < 400 && has(response.body.id)", "response.status != 3020 && response.status < 400"]
    {
        let outcome = answered(other).await;
        assert!(
            reason_of(&outcome).contains("redirects are not followed, and no rule that names it fits"),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn an_answer_about_other_money_is_never_a_success() {
    let other = |body: &'static str| outcome_of("201 Created", &[], body);
    for (body, why) in [
        (r#"{"status": "approved", "amount": 6000, "currency": "CNY"}"#, "integrity: amount differs"),
        (r#"{"status": "approved", "amount": "600", "currency": "CNY"}"#, "integrity: amount differs"),
        (r#"{"status": "approved", "amount": 600.5, "currency": "CNY"}"#, "integrity: amount differs"),
        (r#"{"status": "approved", "amount": 600.0000000001, "currency": "CNY"}"#, "integrity: amount differs"),
        (r#"{"status": "approved", "amount": 600, "currency": "JPY"}"#, "integrity: currency differs"),
        (r#"{"status": "approved", "amount": 600}"#, "integrity: currency is not answered"),
    ] {
        let outcome = other(body).await;
        assert!(matches!(&outcome, Outcome::Unknown { reason, .. } if reason == why), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_inquiry_reads_replies_as_the_operation_does_and_never_says_not_sent() {
    let inquire = |status: &'static str, body: &'static str| async move {
        let server = Server::replying(status, body).await;
        let outcome = gateway(&server).inquire(&call()).await;
        let request = server.requests().remove(0);
        assert!(request.starts_with("GET /v1/authorizations?reference=0707-1-0 HTTP/1.1\r\n"), "{request}");
        assert!(!request.to_ascii_lowercase().contains("idempotency-key"), "{request}");
        outcome
    };
    assert!(matches!(inquire("200 OK", APPROVED).await, Outcome::Ok { .. }));
    assert_eq!(inquire("404 Not Found", "{}").await, Outcome::NotFound);
    let refused = inquire("429 Too Many Requests", "").await;
    assert!(matches!(refused, Outcome::Unknown { .. }), "{refused:?}");
    let other = inquire("200 OK", r#"{"status": "approved", "amount": 1, "currency": "CNY"}"#).await;
    assert_eq!(reason_of(&other), "integrity: amount differs");

    let page = Server::start(vec![Play::Reply(reply("404 Not Found", &[("content-type", "text/html")], "<h1>"))]).await;
    let outcome = gateway(&page).inquire(&call()).await;
    assert!(matches!(outcome, Outcome::Unknown { .. }), "a proxy's page is no \"not found\": {outcome:?}");
    let down = connect(http("http://127.0.0.1:1"), authorize()).inquire(&call()).await;
    assert!(matches!(down, Outcome::Unknown { .. }), "{down:?}");
}

#[tokio::test]
async fn results_are_chosen_by_template_bounded_and_required() {
    let with_result = |result: Value| {
        let mut operation = authorize();
        operation.integrity.clear();
        let compiled = Template::compile(&result, &["response", "with", "key"]).unwrap();
        operation.outcomes.result = Some(compiled);
        operation
    };
    let run = |operation, body: String| async move {
        let server = Server::start(vec![Play::Reply(reply("201 Created", &[], &body))]).await;
        connect(http(&format!("http://{}", server.address)), operation).invoke(&call()).await
    };
    let picked = run(with_result(json!({"id": "${response.body.id}", "n": "${with.amount}"})), APPROVED.into()).await;
    assert_eq!(picked, Outcome::Ok { result: json!({"id": "a1", "n": 600}) });
    let missing = run(with_result(json!({"id": "${response.body.token}"})), APPROVED.into()).await;
    assert!(reason_of(&missing).contains("its result has no value"), "{missing:?}");
    let huge = json!({"status": "approved", "x": "y".repeat(20_000)}).to_string();
    let huge = run(with_result(json!("${response.body}")), huge).await;
    assert!(matches!(&huge, Outcome::Ok { result } if result["truncated"] == true), "{huge:?}");
}

#[tokio::test]
async fn only_calls_that_move_no_money_may_be_answered_in_plain_text() {
    let mut operation = authorize();
    operation.money = None;
    operation.integrity.clear();
    operation.outcomes =
        Outcomes { rules: rules(&[(OutcomeKind::Ok, "response.status == 200")]), ..Outcomes::default() };
    let server = Server::start(vec![Play::Reply(reply("200 OK", &[("content-type", "text/plain")], "OK"))]).await;
    let outcome = connect(http(&format!("http://{}", server.address)), operation).invoke(&call()).await;
    assert_eq!(outcome, Outcome::Ok { result: Value::Null });
}

#[tokio::test]
async fn values_in_path_and_query_are_encoded_and_cannot_leave_their_place() {
    let server = Server::start(vec![Play::Keep(reply("500 Oops", &[], "{}"))]).await;
    let mut operation = authorize();
    operation.request = Some(request(Method::Put, "/v1/x/${with.id}/void?a=${with.id}", None));
    let query = operation.request.as_mut().unwrap();
    query.query = vec![("b c".into(), template("${with.id}".into())), ("n".into(), template("${with.none}".into()))];
    let connector = connect(http(&format!("http://{}/base/", server.address)), operation);
    let run = |id: Value| {
        let mut invocation = call();
        invocation.with = Arc::new(json!({"id": id, "none": null}));
        let connector = &connector;
        async move { connector.invoke(&invocation).await }
    };
    run(json!("a/../b?c#d é&=%")).await;
    let sent = "a%2F..%2Fb%3Fc%23d%20%C3%A9%26%3D%25";
    let line = format!("PUT /base/v1/x/{sent}/void?a={sent}&b%20c={sent} HTTP/1.1\r\n");
    assert!(server.requests()[0].starts_with(&line), "{}", server.requests()[0]);
    run(json!(42)).await;
    assert_eq!(server.requests().len(), 2);
    for id in [json!(".."), json!("."), json!(""), json!(null), json!({"a": 1}), json!("x".repeat(9_000))] {
        let outcome = run(id.clone()).await;
        assert!(matches!(outcome, Outcome::NotSent { .. }), "{id}: {outcome:?}");
    }
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_header_cannot_begin_another() {
    let server = Server::replying("201 Created", APPROVED).await;
    let mut operation = authorize();
    operation.request.as_mut().unwrap().headers = vec![("X-Name".into(), template("${with.name}".into()))];
    let connector = connect(http(&format!("http://{}", server.address)), operation);
    for name in ["a\r\nx-admin: 1", "a\nb", "a\0b", "\u{7f}", "é", &"x".repeat(9_000)] {
        let mut invocation = call();
        invocation.with = Arc::new(json!({"name": name, "amount": 600, "currency": "CNY"}));
        let outcome = connector.invoke(&invocation).await;
        assert!(matches!(outcome, Outcome::NotSent { .. }), "{name:?}: {outcome:?}");
    }
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn a_body_is_a_form_where_the_definition_says_so() {
    let server = Server::replying("201 Created", APPROVED).await;
    let mut operation = authorize();
    let request = operation.request.as_mut().unwrap();
    let kind = json!("application/x-www-form-urlencoded");
    request.headers = vec![("Content-Type".into(), template(kind))];
    request.body = Some(template(json!({"amount": "${with.amount}", "note": "a&b=c ${with.currency}", "none": null})));
    connect(http(&format!("http://{}", server.address)), operation).invoke(&call()).await;
    let request = server.requests().remove(0);
    assert!(request.ends_with("\r\n\r\namount=600&note=a%26b%3Dc%20CNY"), "{request}");
    assert_eq!(request.to_ascii_lowercase().matches("content-type").count(), 1);
}

#[tokio::test]
async fn an_echo_of_our_credentials_is_not_kept() {
    let body = format!(r#"{{"status": "approved", "amount": 600, "currency": "CNY", "echo": "Bearer {SECRET}"}}"#);
    let outcome = outcome_of("201 Created", &[("x-echo", SECRET)], &body).await;
    assert!(matches!(&outcome, Outcome::Ok { result } if result["echo"].as_str().unwrap().starts_with("Bearer ***")));
    assert!(!format!("{outcome:?}").contains(SECRET));
}

#[tokio::test]
async fn a_signed_request_verifies() {
    let server = Server::replying("201 Created", APPROVED).await;
    let mut http = http(&format!("http://{}", server.address));
    http.auth = login(Login::StandardWebhooks(vec![SecretRef("hook".into())]));
    let mut config = config();
    config.secrets.insert("hook".into(), Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    let connector = HttpConnector::new(Arc::new(definition(http, authorize())), &config).unwrap();
    connector.invoke(&call()).await;
    let request = server.requests().remove(0);
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let headers = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let (names, tolerance) = ([SecretRef("hook".into())], Duration::from_secs(300));
    let now = Timestamp::from_unix_ms(NOW_MS);
    let verified = verify_standard_webhook(&names, tolerance, &config.secrets, &headers, body.as_bytes(), now).unwrap();
    assert_eq!(verified.id, "0707-1-0");
}

#[test]
fn setup_refuses_what_can_never_be_right() {
    let setup = |change: &dyn Fn(&mut paystate::definition::Http, &mut paystate::connector::ConnectorConfig)| {
        let (mut http, mut config) = (http("https://gateway.example"), config());
        change(&mut http, &mut config);
        HttpConnector::new(Arc::new(definition(http, authorize())), &config).map(|_| ()).unwrap_err()
    };
    let bad_url = |url: &'static str| setup(&move |http, _| http.base_url = env_text(url));
    for url in [
        "http://gateway.example",
        "ftp://x",
        "gateway",
        "https://u:p@x",
        "https://x/?a",
        "https://x/#a",
        "file:///etc",
        "https://169.254.169.254",
        "https://[fe80::1]",
        "https://0.0.0.0",
        "https://2852039166",
        "http://localhost.",
    ] {
        assert!(matches!(bad_url(url), ConnectorSetupError::BaseUrl(_)), "{url}");
    }
    assert_eq!(setup(&|_, config| config.secrets.clear()), ConnectorSetupError::Secret("gateway_key".into()));
    let env =
        |http: &mut paystate::definition::Http, _: &mut _| http.base_url = EnvText(vec![EnvPart::Env("GW".into())]);
    assert_eq!(setup(&env), ConnectorSetupError::Env("GW".into()));
    let plain = setup(&|http, config| {
        config.env.insert("GW".into(), "http://gateway.example".into());
        http.base_url = EnvText(vec![EnvPart::Env("GW".into())]);
    });
    assert!(plain.to_string().contains("plain http is for this machine alone"), "{plain}");
    let elsewhere = setup(&|_, config| config.allowed_hosts = Some(vec!["gateway.example:8443".into()]));
    assert_eq!(elsewhere, ConnectorSetupError::HostNotAllowed("gateway.example:443".into()));
    let line = setup(&|_, config| drop(config.secrets.insert("gateway_key".into(), Secret::new("a\r\nb"))));
    assert!(matches!(line, ConnectorSetupError::UnfitSecret(..)) && !format!("{line} {line:?}").contains('\n'));
    let no_ca = setup(&|http, _| http.tls.ca = Some(env_text("/nowhere/ca.pem")));
    assert!(matches!(no_ca, ConnectorSetupError::Ca { .. }));
    let host = setup(&|http, _| {
        http.auth = login(Login::Header { name: "Host".into(), value: SecretRef("gateway_key".into()) })
    });
    assert!(matches!(host, ConnectorSetupError::Header(..)));

    let mut allowed = config();
    allowed.allowed_hosts = Some(vec!["GATEWAY.example".into()]);
    let connector = HttpConnector::new(Arc::new(definition(http("https://gateway.example"), authorize())), &allowed);
    let shown = format!("{:?} {allowed:?}", connector.unwrap());
    assert!(!shown.contains(SECRET), "{shown}");
}

#[tokio::test]
async fn a_connector_written_in_yaml_talks_to_its_provider() {
    let yaml = r#"
connector: gateway
title: Gateway
base_url: "${env.GATEWAY_URL}"
auth: { bearer: "${secret.gateway_key}" }
idempotency: { header: Idempotency-Key, replay: stored, window: 24h, not_found_final_after: 25m }
limits: { concurrency: 64, rate: 500/s, breaker: { failures: 20, open: 10s } }
operations:
  authorize:
    post: /v1/authorizations
    body: { reference: "${key}", amount: "${with.amount}", currency: "${with.currency}" }
    money: hold
    integrity: [amount, currency]
    outcomes:
      ok: response.status == 201 && response.body.status == "approved"
      declined: response.status == 402
      not_sent: response.status == 429
    inquire: { get: "/v1/authorizations?reference=${key}", outcomes: { not_found: response.status == 404 } }
"#;
    let server = Server::start(vec![
        Play::Keep(reply("201 Created", &[], APPROVED)),
        Play::Keep(reply("404 Not Found", &[], "{}")),
        Play::Keep(reply("201 Created", &[], APPROVED)),
    ])
    .await;
    let definition = paystate::definition::load_connector("gateway.yaml", yaml).unwrap();
    let mut config = config();
    config.env.insert("GATEWAY_URL".into(), format!("http://{}", server.address));
    let connectors = paystate::connector::Connectors::new(config);
    let version = definition.version.clone();
    connectors.define(Arc::new(definition));
    let connector = connectors.get(&"gateway".into(), &version).unwrap();
    assert!(matches!(connector.invoke(&call()).await, Outcome::Ok { .. }));
    assert_eq!(connector.inquire(&call()).await, Outcome::NotFound);
    assert!(matches!(connector.inquire(&call()).await, Outcome::Ok { .. }));
    let requests = server.requests();
    assert!(requests[0].contains(r#"{"reference":"0707-1-0","amount":600,"currency":"CNY"}"#), "{}", requests[0]);
    assert!(requests[1].starts_with("GET /v1/authorizations?reference=0707-1-0 "), "{}", requests[1]);
}
