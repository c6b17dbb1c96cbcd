//! Access tokens: of OAuth 2, and of providers that have a request of their own kind; and logins that are signed by nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paystate::connector::Connector as _;
use paystate::machine::Outcome;
use serde_json::{Value, json};

use crate::connector_signing::{Seen, connector, operation, parse, pay, seen};
use crate::connector_support::*;

#[tokio::test]
async fn access_tokens_are_kept_renewed_and_forgotten_when_they_are_refused() {
    let token = |text: &str| {
        Play::Reply(reply(
            "200 OK",
            &[],
            &json!({"access_token": text, "token_type": "bearer", "expires_in": 3600}).to_string(),
        ))
    };
    let answer = |status: &str| Play::Reply(reply(status, &[], "{}"));
    let server = Server::start(vec![
        token("first-token"),
        answer("200 OK"),
        answer("200 OK"),
        answer("401 Unauthorized"),
        token("second-token"),
        Play::Reply(reply("200 OK", &[], r#"{"echo": "second-token"}"#)),
        answer("200 OK"),
    ])
    .await;
    let what = operation(
        "auth: { oauth2: { token_url: /oauth/token, client_id: 'id with space', client_secret: '${secret.client}', scope: payments } }\n",
    )
    .replace("response.status == 200 }", "response.status == 200, not_sent: response.status == 401 }");
    let connector = connector(&server, &what, &[("client", "s3cret/ä")]);
    for expected in ["ok", "ok", "not_sent"] {
        let outcome = pay(&connector).await;
        let fits = match expected {
            "ok" => matches!(outcome, Outcome::Ok { .. }),
            _ => matches!(outcome, Outcome::NotSent { .. }),
        };
        assert!(fits, "{expected}: {outcome:?}");
    }
    assert_eq!(
        pay(&connector).await,
        Outcome::Ok { result: json!({"echo": "***"}) },
        "a token is masked like a secret"
    );
    let requests: Vec<Seen> = server.requests().iter().map(|request| parse(request)).collect();
    assert_eq!(requests[0].line, "POST /api/oauth/token HTTP/1.1");
    assert_eq!(requests[0].body, "grant_type=client_credentials&scope=payments");
    let basic = BASE64_STANDARD.encode("id%20with%20space:s3cret%2F%C3%A4");
    assert_eq!(requests[0].headers["authorization"], format!("Basic {basic}"));
    let bearers: Vec<&str> =
        [1, 2, 3, 5].into_iter().map(|nth| requests[nth].headers["authorization"].as_str()).collect();
    assert_eq!(bearers, ["Bearer first-token", "Bearer first-token", "Bearer first-token", "Bearer second-token"]);
    assert_eq!(requests.len(), 6);
}

#[tokio::test]
async fn without_an_access_token_nothing_is_sent() {
    for status in ["401 Unauthorized", "500 Oops"] {
        let server = Server::replying(status, r#"{"access_token": "x"}"#).await;
        let what = operation(
            "auth: { oauth2: { token_url: /t, client_id: a, client_secret: '${secret.client}', credentials: body } }\n",
        );
        let outcome = pay(&connector(&server, &what, &[("client", "s3cret-value")])).await;
        let code = &status[..3];
        let told = matches!(&outcome, Outcome::NotSent { reason, .. } if reason.ends_with(&format!("status {code}")));
        assert!(told, "{outcome:?}");
        assert_eq!(seen(&server).body, "grant_type=client_credentials&client_id=a&client_secret=s3cret-value");
    }
}

/// A provider whose tokens come by `get`, with a name and a password.
#[tokio::test]
async fn a_token_is_fetched_as_the_provider_wants_to_be_asked() {
    let token = json!({"access_token": "an-access-token", "expires_in": "3599"}).to_string();
    let server = Server::start(vec![
        Play::Reply(reply("200 OK", &[], &token)),
        Play::Reply(reply("200 OK", &[], "{}")),
        Play::Reply(reply("200 OK", &[], "{}")),
    ])
    .await;
    let what = operation(
        "auth:\n  token:\n    get: /oauth/generate\n    query: { grant_type: client_credentials }\n    \
         basic: { username: '${env.MERCHANT}', password: '${secret.client}' }\n",
    );
    let connector = connector(&server, &what, &[("client", "s3cret-value")]);
    for _ in 0..2 {
        assert!(matches!(pay(&connector).await, Outcome::Ok { .. }));
    }
    let requests: Vec<Seen> = server.requests().iter().map(|request| parse(request)).collect();
    assert_eq!((requests.len(), requests[0].body.as_str()), (3, ""));
    assert_eq!(requests[0].line, "GET /api/oauth/generate?grant_type=client_credentials HTTP/1.1");
    assert_eq!(requests[0].headers["authorization"], format!("Basic {}", BASE64_STANDARD.encode("M-1:s3cret-value")));
    assert_eq!(requests[1].headers["authorization"], "Bearer an-access-token");
}

/// A provider that wants its keys in headers and fields, and answers in words of its own.
#[tokio::test]
async fn a_token_is_read_where_the_answer_has_it_and_put_where_it_belongs() {
    let token = json!({"data": {"token": "an-access-token", "until": 1}}).to_string();
    let asked = Play::Reply(reply("201 Created", &[], &token));
    let answer = || Play::Reply(reply("200 OK", &[], r#"{"echo": "an-access-token"}"#));
    let server = Server::start(vec![asked.clone(), answer(), asked, answer()]).await;
    let what = operation(
        "auth:\n  token:\n    post: /login\n    headers: { X-Client: '${env.MERCHANT}', X-Key: '${secret.client}' }\n    \
         fields: { apiKey: 'k-${secret.client}' }\n    read: data.token\n    expires_at: data.until\n    \
         header: X-Auth-Token\n    refused: 404\n",
    );
    let connector = connector(&server, &what, &[("client", "s3cret-value")]);
    for _ in 0..2 {
        assert_eq!(pay(&connector).await, Outcome::Ok { result: json!({"echo": "***"}) });
    }
    let requests: Vec<Seen> = server.requests().iter().map(|request| parse(request)).collect();
    assert_eq!(requests.len(), 4, "a token that is over is fetched anew");
    let (login, call) = (&requests[0], &requests[1]);
    assert_eq!((login.headers["x-client"].as_str(), login.headers["x-key"].as_str()), ("M-1", "s3cret-value"));
    assert_eq!(serde_json::from_str::<Value>(&login.body).unwrap(), json!({"apiKey": "k-s3cret-value"}));
    assert_eq!((call.headers["x-auth-token"].as_str(), call.headers.get("authorization")), ("an-access-token", None));
    let shown = connector.preview(&call_to("pay"), false).unwrap();
    let shown = format!("{shown:?}");
    assert!(
        shown.contains("x-auth-token") && !shown.contains("an-access-token") && !shown.contains("s3cret"),
        "{shown}"
    );
}

#[tokio::test]
async fn an_answer_without_the_token_is_no_token() {
    let server = Server::replying("200 OK", r#"{"token": {"text": "an-access-token"}}"#).await;
    let what = operation("auth: { token: { post: /login, fields: { k: '${secret.client}' }, read: token.value } }\n");
    let outcome = pay(&connector(&server, &what, &[("client", "s3cret-value")])).await;
    let Outcome::NotSent { reason, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(reason.ends_with("the answer has no `token.value` that is one"), "{reason}");
}

/// A password that is the base64 of a text with a secret in it.
#[tokio::test]
async fn a_secret_travels_in_base64_and_is_seen_nowhere() {
    let echo = BASE64_STANDARD.encode("M-1s3cret-value7");
    let server = Server::replying("200 OK", &json!({"you said": echo}).to_string()).await;
    let what = operation("    body: { Timestamp: '7' }\n")
        + "sign: { scheme: plain, content: '${env.MERCHANT}${secret.pass}${request.fields.Timestamp}', field: Password }\n";
    let connector = connector(&server, &what, &[("pass", "s3cret-value")]);
    assert_eq!(pay(&connector).await, Outcome::Ok { result: json!({"you said": "***"}) });
    let body: Value = serde_json::from_str(&seen(&server).body).unwrap();
    assert_eq!(body, json!({"Timestamp": "7", "Password": echo}));
    let shown = connector.preview(&call_to("pay"), false).unwrap();
    assert_eq!(shown.body.as_deref(), Some(r#"{"Timestamp":"7","Password":"***"}"#));
}

#[tokio::test]
async fn a_key_may_be_the_name_of_a_login_without_a_password() {
    let server = Server::replying("200 OK", "{}").await;
    let what = operation("auth: { basic: { username: '${secret.key}', password: '' } }\n");
    pay(&connector(&server, &what, &[("key", "s3cret-value")])).await;
    let login = &seen(&server).headers["authorization"];
    assert_eq!(*login, format!("Basic {}", BASE64_STANDARD.encode("s3cret-value:")));
    let echo = json!({ "you said": login }).to_string();
    let server = Server::replying("200 OK", &echo).await;
    let outcome = pay(&connector(&server, &what, &[("key", "s3cret-value")])).await;
    assert_eq!(outcome, Outcome::Ok { result: json!({"you said": "Basic ***"}) });
}

#[tokio::test]
async fn a_secret_is_put_where_the_body_has_its_place() {
    let server = Server::replying("200 OK", "{}").await;
    let what = operation("    body: { request: { login: { key: '' }, id: 7 } }\n")
        + "auth: { fields: { /request/login/key: '${secret.key}', /request/more/a~1b: '${secret.key}' } }\n";
    pay(&connector(&server, &what, &[("key", "s3cret")])).await;
    let body = r#"{"request":{"login":{"key":"s3cret"},"id":7,"more":{"a/b":"s3cret"}}}"#;
    assert_eq!(seen(&server).body, body, "in the order that the body has");
    let what = operation(
        "    encoding: xml\n    body: { 's:Envelope': { 's:Header': { 'w:Password': { '@Type': text } }, 's:Body': x } }\n",
    ) + "auth: { fields: { '/s:Envelope/s:Header/w:Password/#text': '${secret.key}' } }\n";
    pay(&connector(&server, &what, &[("key", "s3cret")])).await;
    let header = r#"<s:Header><w:Password Type="text">s3cret</w:Password></s:Header>"#;
    assert!(seen(&server).body.contains(header), "{}", seen(&server).body);
    // A request with another root is left alone.
    let what = operation("    body: { other: 1 }\n") + "auth: { fields: { /request/login/key: '${secret.key}' } }\n";
    pay(&connector(&server, &what, &[("key", "s3cret")])).await;
    assert_eq!(seen(&server).body, r#"{"other":1}"#);
    let what = operation("    body: { request: text }\n") + "auth: { fields: { /request/key: '${secret.key}' } }\n";
    let outcome = pay(&connector(&server, &what, &[("key", "s3cret")])).await;
    let Outcome::NotSent { reason, .. } = &outcome else { panic!("{outcome:?}") };
    assert!(reason.contains("the body has no place /request/key"), "{reason}");
}

#[tokio::test]
async fn an_operation_may_be_signed_otherwise_or_not_and_show_secrets_of_its_own() {
    let what = "sign: { scheme: digest-sha256, content: 'a${secret.pass}', header: X-Check }\n\
                auth: { fields: { all: '${secret.pass}' } }\n\
                operations:\n  \
                pay: { post: /pay, body: {}, outcomes: { ok: response.status == 200 } }\n  \
                bare: { post: /bare, body: {}, sign: none, auth: { fields: { pin: '${secret.pin}' }, headers: { X-Pin: '${secret.pin}' } }, outcomes: { ok: response.status == 200 } }\n  \
                other:\n    post: /other\n    body: {}\n    outcomes: { ok: response.status == 200 }\n    \
                sign: { scheme: digest-sha256, content: 'b${secret.pass}', header: X-Check, headers: { X-Not: '${null}' } }\n    \
                inquire: { get: '/other/${key}' }\n";
    let server = Server::start(vec![Play::Reply(reply("200 OK", &[], "{}")); 4]).await;
    let connector = connector(&server, what, &[("pass", "s3cret-value"), ("pin", "p1n-value")]);
    for operation in ["pay", "bare", "other"] {
        assert!(matches!(connector.invoke(&call_to(operation)).await, Outcome::Ok { .. }), "{operation}");
    }
    assert!(matches!(connector.inquire(&call_to("other")).await, Outcome::Ok { .. }));
    let requests: Vec<Seen> = server.requests().iter().map(|request| parse(request)).collect();
    let sum = |text: &str| hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()));
    let check = |nth: usize| requests[nth].headers.get("x-check").cloned();
    assert_eq!(check(0), Some(sum("as3cret-value")));
    assert_eq!((check(1), requests[1].headers["x-pin"].as_str()), (None, "p1n-value"));
    assert_eq!((check(2), check(3)), (Some(sum("bs3cret-value")), Some(sum("bs3cret-value"))));
    let bodies: Vec<&str> = requests.iter().map(|request| request.body.as_str()).collect();
    let all = r#"{"all":"s3cret-value"}"#;
    assert_eq!(bodies, [all, r#"{"all":"s3cret-value","pin":"p1n-value"}"#, all, ""], "a question without a body");
}

#[tokio::test]
async fn an_answer_need_not_be_signed_where_the_operation_says_so() {
    let what = "verify: { scheme: digest-sha256, content: '${raw}${secret.pass}', signature: 'headers[\"x-check\"]' }\n\
                operations:\n  \
                pay: { post: /pay, outcomes: { ok: response.status == 200 } }\n  \
                ping: { get: /ping, verify: none, outcomes: { ok: response.status == 200 } }\n";
    let server = Server::start(vec![Play::Reply(reply("200 OK", &[], "{}")); 2]).await;
    let connector = connector(&server, what, &[("pass", "s3cret-value")]);
    assert!(matches!(connector.invoke(&call_to("pay")).await, Outcome::Unknown { .. }));
    assert!(matches!(connector.invoke(&call_to("ping")).await, Outcome::Ok { .. }));
}

#[tokio::test]
async fn a_token_is_forgotten_by_the_answers_that_the_provider_gives_without_one() {
    let token = |text: &str| Play::Reply(reply("200 OK", &[], &json!({ "access_token": text }).to_string()));
    let answer = |status: &str| Play::Reply(reply(status, &[], "{}"));
    let plays = vec![token("first-token"), answer("404 Not Found"), token("second-token"), answer("200 OK")];
    let server = Server::start(plays).await;
    let what = operation("auth: { token: { post: /login, fields: { k: '${secret.client}' }, refused: [401, 404] } }\n");
    let connector = connector(&server, &what, &[("client", "s3cret-value")]);
    assert!(matches!(pay(&connector).await, Outcome::Unknown { .. }));
    assert!(matches!(pay(&connector).await, Outcome::Ok { .. }));
    let last = parse(&server.requests()[3]);
    assert_eq!(last.headers["authorization"], "Bearer second-token");
}

#[tokio::test]
async fn a_question_shows_the_secrets_for_which_it_keeps_a_place() {
    let kept = [("{ pin: '' }", r#"{"pin":"p1n-value"}"#), ("{ number: 1 }", r#"{"number":1}"#)];
    for (body, expected) in kept.into_iter().chain([("{ in: { pin: '' } }", r#"{"in":{"pin":""}}"#)]) {
        let what = format!(
            "operations:\n  pay:\n    post: /pay\n    body: {{}}\n    auth: {{ fields: {{ pin: '${{secret.pin}}' }} }}\n    {OK}\n    \
             inquire: {{ post: '/ask/${{key}}', body: {body} }}\n",
            OK = "outcomes: { ok: response.status == 200 }"
        );
        let server = Server::replying("200 OK", "{}").await;
        let connector = connector(&server, &what, &[("pin", "p1n-value")]);
        connector.inquire(&call_to("pay")).await;
        assert_eq!(seen(&server).body, expected);
    }
}

#[tokio::test]
async fn a_question_may_be_signed_and_show_secrets_in_its_own_way() {
    let what = "sign: { scheme: digest-sha256, content: 'a${secret.pass}', header: X-Check }\n\
                operations:\n  pay:\n    post: /pay\n    body: { pay: { key: '' } }\n    \
                auth: { fields: { /pay/key: '${secret.pin}' } }\n    outcomes: { ok: response.status == 200 }\n    \
                inquire:\n      post: '/ask/${key}'\n      body: { ask: {} }\n      sign: none\n      \
                auth: { fields: { /ask/key: '${secret.pin}' }, headers: { X-Pin: '${secret.pin}' } }\n";
    let server = Server::start(vec![Play::Reply(reply("200 OK", &[], "{}")); 2]).await;
    let connector = connector(&server, what, &[("pass", "s3cret-value"), ("pin", "p1n-value")]);
    assert!(matches!(connector.invoke(&call_to("pay")).await, Outcome::Ok { .. }));
    assert!(matches!(connector.inquire(&call_to("pay")).await, Outcome::Ok { .. }));
    let requests: Vec<Seen> = server.requests().iter().map(|request| parse(request)).collect();
    let shown = |nth: usize| {
        let Seen { headers, body, .. } = &requests[nth];
        (headers.contains_key("x-check"), headers.get("x-pin").map(String::as_str), body.as_str())
    };
    assert_eq!(shown(0), (true, None, r#"{"pay":{"key":"p1n-value"}}"#));
    assert_eq!(shown(1), (false, Some("p1n-value"), r#"{"ask":{"key":"p1n-value"}}"#));
}

#[tokio::test]
async fn a_question_is_asked_again_at_once_with_a_fresh_token() {
    let token = |text: &str| Play::Reply(reply("200 OK", &[], &json!({ "access_token": text }).to_string()));
    let answer = |status: &str| Play::Reply(reply(status, &[], "{}"));
    let plays = vec![token("first-token"), answer("401 Unauthorized"), token("second-token"), answer("200 OK")];
    let server = Server::start(plays).await;
    let what = "auth: { token: { post: /login, fields: { k: '${secret.client}' } } }\noperations:\n  pay:\n    \
                post: /pay\n    outcomes: { ok: response.status == 200, not_sent: response.status == 401 }\n    \
                inquire: { get: '/pay/${key}' }\n";
    let connector = connector(&server, what, &[("client", "s3cret-value")]);
    assert!(matches!(connector.inquire(&call_to("pay")).await, Outcome::Ok { .. }));
    let last = parse(&server.requests()[3]);
    assert_eq!(last.headers["authorization"], "Bearer second-token");
}

/// A provider that is too busy to look says so unsigned; what bears another's signature is nobody's word.
#[tokio::test]
async fn a_refusal_may_be_unsigned_and_not_wrongly_signed() {
    let what = "verify: { scheme: digest-sha256, content: '${raw}${secret.pass}', signature: 'headers[\"x-check\"]' }\n\
                operations:\n  pay: { post: /pay, outcomes: { ok: response.status == 200, not_sent: response.status == 429 } }\n";
    let busy = |headers: &[(&str, &str)]| Play::Reply(reply("429 Too Many Requests", headers, "{}"));
    let server = Server::start(vec![busy(&[]), busy(&[("x-check", &"0".repeat(64))])]).await;
    let connector = connector(&server, what, &[("pass", "s3cret-value")]);
    assert!(matches!(connector.invoke(&call_to("pay")).await, Outcome::NotSent { .. }));
    let forged = connector.invoke(&call_to("pay")).await;
    assert!(matches!(&forged, Outcome::Unknown { reason, .. } if reason.contains("not believed")), "{forged:?}");
}

/// Money that a request only looks for is asked about by the same request, with all that is on it.
#[tokio::test]
async fn what_only_asks_is_its_own_question() {
    let what = "operations:\n  find:\n    post: /find\n    body: { pin: '', number: '${with.amount}' }\n    \
                auth: { fields: { key: '${secret.pin}' } }\n    repeat: asks\n    money: purchase\n    \
                outcomes: { ok: response.status == 200, pending: response.status == 202 }\n";
    let server = Server::start(vec![Play::Reply(reply("200 OK", &[], "{}")); 2]).await;
    let connector = connector(&server, what, &[("pin", "p1n-value")]);
    assert!(matches!(connector.invoke(&call_to("find")).await, Outcome::Ok { .. }));
    assert!(matches!(connector.inquire(&call_to("find")).await, Outcome::Ok { .. }));
    let bodies: Vec<String> = server.requests().iter().map(|request| parse(request).body).collect();
    assert_eq!(bodies[0], bodies[1]);
    assert!(bodies[0].contains("p1n-value"), "{}", bodies[0]);
}
