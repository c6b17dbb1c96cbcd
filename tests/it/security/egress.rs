//! Where requests go: to the host that the connector's file and the configuration name, and not inside.

use std::net::TcpListener;
use std::time::Duration;

use paystate::connector::{ConnectorSetupError, HttpConnector};
use paystate::definition::load_connector;
use paystate::machine::Outcome;
use serde_json::{Value, json};

use super::{build, pay};
use crate::connector_support::*;

const PAY: &str = "operations: { pay: { post: /pay, outcomes: { ok: response.status == 200 } } }";

/// The address comes from the configuration, which no check of the file has seen.
fn to(base_url: &str) -> Result<HttpConnector, ConnectorSetupError> {
    build(&format!("base_url: \"${{env.ADDRESS}}\"\n{PAY}"), |config| {
        config.env.insert("ADDRESS".into(), base_url.into());
    })
}

fn is_not_sent(outcome: &Outcome, why: &str) -> bool {
    matches!(outcome, Outcome::NotSent { reason, .. } if reason.contains(why))
}

/// A socket of this machine that nobody may connect to.
fn trap() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn no_spelling_of_an_address_inside_is_connected_to() {
    // Where clouds keep their credentials: by no name, and not by anybody's leave.
    for host in [
        "169.254.169.254",
        "2852039166",
        "0251.0376.0251.0376",
        "0xa9fea9fe",
        "0xa9.0xfe.0251.254",
        "169.254.43518",
        "169\u{3002}254\u{3002}169\u{3002}254",
        "\u{ff11}69.254.169.254",
        "[::ffff:169.254.169.254]",
        "[::ffff:0:a9fe:a9fe]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::1]",
        "[fe80::1]",
        "[ff02::1]",
        "[::]",
        "0.0.0.0",
        "0",
        "255.255.255.255",
    ] {
        for address in [format!("https://{host}"), format!("https://{host}:8443/x")] {
            let refused = to(&address).unwrap_err();
            assert!(matches!(refused, ConnectorSetupError::BaseUrl(_)), "{address}: {refused}");
        }
        let listed = build(&format!("base_url: \"https://{host}\"\n{PAY}"), |config| {
            config.allowed_hosts = Some(vec![host.to_owned(), "169.254.169.254".to_owned()]);
        });
        assert!(listed.is_err(), "{host}");
    }
    // Who is in front of the @ is not the host, and belongs into `auth`.
    for address in ["https://provider.example@127.0.0.1", "https://127.0.0.1@provider.example", "https://a:b@c.example"]
    {
        assert!(matches!(to(address), Err(ConnectorSetupError::BaseUrl(_))), "{address}");
    }
    // Names that lead to this machine, and are not the one that says so. Which of them it knows is its own affair.
    let (trap, port) = trap();
    let known = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let known = known.lines().filter(|line| line.starts_with("127.") || line.starts_with("::1"));
    let known: Vec<&str> = known.flat_map(|line| line.split_ascii_whitespace().skip(1)).collect();
    for host in ["localhost.", "LocalHost.", "localhost.localdomain"].into_iter().chain(known) {
        if host == "localhost" {
            continue;
        }
        let outcome = pay(&to(&format!("https://{host}:{port}")).unwrap(), json!({})).await;
        let refused =
            ["not one that may be connected to", "does not resolve"].iter().any(|why| is_not_sent(&outcome, why));
        assert!(refused, "{host}: {outcome:?}");
    }
    assert!(trap.accept().is_err(), "nobody came");
    let own = to(&format!("https://localhost:{port}")).unwrap();
    let mut call = call();
    (call.operation, call.timeout) = ("pay".into(), Duration::from_millis(300));
    paystate::connector::Connector::invoke(&own, &call).await;
    assert!(trap.accept().is_ok(), "and by its own name it would have been found");
}

#[tokio::test]
async fn plain_http_is_for_this_machine_alone() {
    for host in [
        "provider.example",
        "10.0.0.1",
        "localhost.",
        "localhost.example",
        "[::ffff:10.0.0.1]",
        "127.0.0.1.nip.example",
    ] {
        assert!(matches!(to(&format!("http://{host}")), Err(ConnectorSetupError::BaseUrl(_))), "{host}");
    }
    for host in ["localhost", "127.0.0.1", "[::1]", "127.1", "0x7f000001"] {
        assert!(to(&format!("http://{host}:1")).is_ok(), "{host}");
    }
}

#[tokio::test]
async fn a_redirect_of_a_token_endpoint_is_not_followed() {
    let target = Server::replying("200 OK", r#"{"access_token": "stolen"}"#).await;
    let location = format!("http://{}/token", target.address);
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let server = Server::start(vec![Play::Reply(reply(status, &[("location", location.as_str())], "{}"))]).await;
        let yaml = format!(
            "base_url: http://{}\nauth: {{ oauth2: {{ token_url: /token, client_id: a, client_secret: '${{secret.gateway_key}}' }} }}\n{PAY}",
            server.address
        );
        let outcome = pay(&build(&yaml, |_| {}).unwrap(), json!({})).await;
        assert!(is_not_sent(&outcome, &format!("status {}", &status[..3])), "{status}: {outcome:?}");
        assert_eq!(server.requests().len(), 1, "the token was asked for, and nothing was paid");
    }
    assert!(target.requests().is_empty());
}

/// Every value of an order stays one piece of the path or of the query, below the address of the connector.
#[tokio::test]
async fn an_order_chooses_no_host() {
    let elsewhere = Server::replying("200 OK", "{}").await;
    let server = Server::start(vec![Play::Keep(reply("200 OK", &[], "{}"))]).await;
    let host = elsewhere.address.to_string();
    let hostile = [
        format!("//{host}/x"),
        format!("http://{host}/x"),
        format!("@{host}/"),
        format!(":80@{host}/"),
        format!("\\\\{host}\\x"),
        format!(".{host}"),
        format!("#@{host}"),
        format!("?x=//{host}"),
        "../../admin".to_owned(),
        "%2e%2e%2fadmin".to_owned(),
        "..;/admin".to_owned(),
        "x\t@evil".to_owned(),
    ];
    for path in ["\"/${with.value}\"", "\"/a/${with.value}/b\"", "\"/a?b=${with.value}\""] {
        let yaml = format!(
            "base_url: http://{}/base\noperations: {{ pay: {{ post: {path}, outcomes: {{ ok: response.status == 200 }} }} }}",
            server.address
        );
        let connector = build(&yaml, |_| {}).unwrap();
        for value in &hostile {
            let before = server.requests().len();
            let outcome = pay(&connector, json!({ "value": value })).await;
            let sent = server.requests().split_off(before);
            let line = sent.first().and_then(|request| request.lines().next()).unwrap_or_default();
            let stays =
                matches!(outcome, Outcome::Ok { .. }) && line.starts_with("POST /base/") && !line.contains("/admin");
            assert!(stays || sent.is_empty(), "{path} {value}: {line} {outcome:?}");
        }
    }
    assert!(elsewhere.requests().is_empty());
    for (place, yaml) in [
        ("base_url", format!("base_url: \"https://${{with.host}}\"\n{PAY}")),
        ("post", format!("base_url: https://a.example\n{}", PAY.replace("/pay", "\"${with.path}\""))),
        ("post", format!("base_url: https://a.example\n{}", PAY.replace("/pay", "\"//${with.path}\""))),
        ("base_url", format!("base_url: \"https://${{order.id}}.example\"\n{PAY}")),
        (
            "token_url",
            format!(
                "base_url: https://a.example\nauth: {{ oauth2: {{ token_url: \"https://${{with.host}}\", client_id: a, client_secret: \"${{secret.s}}\" }} }}\n{PAY}"
            ),
        ),
        ("ca", format!("base_url: https://a.example\ntls: {{ ca: \"${{with.ca}}\" }}\n{PAY}")),
    ] {
        assert!(load_connector("gateway.yaml", &format!("connector: gateway\n{yaml}")).is_err(), "{place}: {yaml}");
    }
}

#[tokio::test]
async fn what_would_break_out_of_its_place_is_not_sent() {
    let server = Server::start(vec![Play::Keep(reply("200 OK", &[], "{}"))]).await;
    let yaml = |rest: &str| {
        format!(
            "base_url: http://{}/base\noperations: {{ pay: {{ post: {rest}, outcomes: {{ ok: response.status == 200 }} }} }}",
            server.address
        )
    };
    let large = "x".repeat(1 << 20);
    let breaks = ["a\r\nx-admin: 1", "a\nx-admin: 1", "a\rb", "a\0b", "a\u{1b}b", "\u{85}x", large.as_str()];
    for header in ["x-name", "cookie"] {
        let connector = build(&yaml(&format!("/pay, headers: {{ {header}: \"a${{with.value}}\" }}")), |_| {}).unwrap();
        for value in breaks {
            let outcome = pay(&connector, json!({ "value": value })).await;
            assert!(is_not_sent(&outcome, "header"), "{header} {:?}: {outcome:?}", &value[..value.len().min(20)]);
        }
    }
    // Each is short enough, and all of them together are not.
    let several = "/pay, headers: { a: \"${with.value}\", b: \"${with.value}\", c: \"${with.value}\" }";
    let several = build(&yaml(several), |_| {}).unwrap();
    assert!(is_not_sent(&pay(&several, json!({"value": "x".repeat(3_000)})).await, "too large"));
    assert!(server.requests().is_empty());

    for path in ["\"/a/${with.value}\"", "\"/a?b=${with.value}\""] {
        let connector = build(&yaml(path), |_| {}).unwrap();
        for value in breaks {
            let before = server.requests().len();
            let outcome = pay(&connector, json!({ "value": value })).await;
            let Some(request) = server.requests().split_off(before).pop() else {
                assert!(is_not_sent(&outcome, "too long"), "{path}: {outcome:?}");
                continue;
            };
            let line = request.lines().next().unwrap();
            assert!(line.starts_with("POST /base/a") && line.ends_with(" HTTP/1.1") && line.is_ascii(), "{line}");
            assert!(!request.to_ascii_lowercase().contains("x-admin: 1"), "{request}");
        }
    }
    for value in [Value::Null, json!({"a": 1}), json!(["a"])] {
        let connector = build(&yaml("\"/a/${with.value}\""), |_| {}).unwrap();
        assert!(is_not_sent(&pay(&connector, json!({ "value": value })).await, "path"));
    }
}

#[test]
fn only_listed_hosts_are_called() {
    let oauth = "auth: { oauth2: { token_url: \"https://login.example/token\", client_id: a, client_secret: \"${secret.gateway_key}\" } }";
    let with = |base_url: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        build(&format!("base_url: {base_url}\n{oauth}\n{PAY}"), |config| config.allowed_hosts = Some(hosts)).map(drop)
    };
    let refused = |host: &str| Err(ConnectorSetupError::HostNotAllowed(format!("{host}:443")));
    assert_eq!(with("https://api.example", &[]), refused("api.example"), "an empty list allows nobody");
    assert_eq!(with("https://api.example", &["api.example"]), refused("login.example"), "tokens come from a host too");
    assert_eq!(with("https://api.example", &["api.example", "login.example"]), Ok(()));
    for near in ["x.api.example", "api.example.evil", "api.example.", "apixexample", "api.example:8443"] {
        assert_eq!(with("https://api.example", &[near, "login.example"]), refused("api.example"), "{near}");
    }
    // Listed by an address inside, it may be called there: the list is the operator's word.
    assert_eq!(with("https://10.1.2.3", &["10.1.2.3", "login.example"]), Ok(()));
}
