//! Expressions on data that somebody chose: what they may cost, and what they can see.

use paystate::connector::HttpConnector;
use paystate::definition::{Expr, Scope, load_connector};
use paystate::machine::Outcome;
use paystate::types::Value;
use serde_json::json;

use super::{build, pay};
use crate::connector_support::*;

const WORKFLOW: &[&str] = &["input", "data", "order", "result", "decline", "event"];

/// `input` as an order or a provider could have it: long, wide, and all alike.
fn hostile() -> Value {
    let items: Vec<Value> = (0..1_000).map(|number| json!({"id": number, "text": "a".repeat(40)})).collect();
    let wide: serde_json::Map<String, Value> = (0..1_000).map(|number| (format!("k{number}"), json!("v"))).collect();
    json!({
        "a": "a", "long": "a".repeat(50_000), "half": "a".repeat(25_000) + "b", "items": items,
        "nested": { "n".repeat(20_000): wide }, "many": vec!["a"; 1_001], "texts": vec!["a".repeat(20); 1_000],
    })
}

fn eval(text: &str, input: &Value) -> Result<Value, String> {
    let expr = Expr::compile(text, WORKFLOW).unwrap_or_else(|error| panic!("{text}: {error}"));
    expr.eval(&Scope::new().with("input", input)).map_err(|error| error.message)
}

/// Each of these would make or read some hundred thousand times what it is given, and most can be made worse by a digit.
#[test]
fn what_grows_or_repeats_without_end_has_no_value() {
    let input = hostile();
    let ten = "'aaaaaaaaaa'";
    let multiplied = format!("size({ten}{})", format!(".replace('a', {ten})").repeat(7));
    for text in [
        multiplied.as_str(),
        "input.long.replace('a', input.long)",
        "size(input.long.replace('', input.long))",
        "size(input.texts.join(input.long))",
        "size(input.long.split('').join(input.half))",
        "input.items.map(i, input.long)",
        "input.items.map(i, i.text + input.long)",
        "input.items.map(i, {'a': [input.long]})",
        "input.items.exists(i, input.long.contains(i.text + 'b'))",
        "input.items.exists(i, input.long.lowerAscii() == i.text)",
        "input.items.filter(i, size(input.long.split('')) == 0)",
        "input.items.all(i, hash(input.long, 'sha256') != i.text)",
        "input.long.lastIndexOf(input.half) == 1",
        "input.long.indexOf(input.half, 1) == 1",
        "form(input.nested)",
        "input.many.map(i, i)",
    ] {
        let refused = eval(text, &input).unwrap_err();
        let why = ["too much text", "so many elements", "too large", "at most"];
        assert!(why.iter().any(|why| refused.contains(why)), "{text}: {refused}");
        assert!(refused.len() < 200, "and no data is in the message: {refused}");
    }
    let sum = format!("size(input.long{})", " + input.long".repeat(60));
    assert!(eval(&sum, &input).unwrap_err().contains("too much text"), "a sum of sums");
}

#[test]
fn what_connectors_do_with_large_answers_is_not_refused() {
    let input = hostile();
    for (text, expected) in [
        ("input.items.filter(i, i.id == 7)[0].text.upperAscii().substring(0, 3)", json!("AAA")),
        ("size(input.items.map(i, i.text + '-' + i.text))", json!(1_000)),
        ("input.items.exists(i, i.text == input.a)", json!(false)),
        ("size(input.long.replace('a', 'bb'))", json!(100_000)),
        ("size(input.long.replace('a', 'b', 2) + input.half)", json!(75_001)),
        ("'a-b-c'.replace('-', '+', 1) + 'a-b'.replace('-', '', -1)", json!("a+b-cab")),
        ("['a', 'b'].join() + ['a', 'b'].join(', ')", json!("aba, b")),
        ("size(input.long.split('')) + size(input.texts.join(','))", json!(70_999)),
        ("input.long.indexOf('b') + input.long.lastIndexOf('a')", json!(49_998)),
        ("size(hash(input.long, 'sha256'))", json!(64)),
    ] {
        assert_eq!(eval(text, &input), Ok(expected), "{text}");
    }
    // Each evaluation has a purse of its own.
    for _ in 0..50 {
        assert!(eval("size(input.long.lowerAscii()) == 50000", &input).is_ok());
    }
}

/// Names that nest are written again for everything inside of them.
#[tokio::test]
async fn a_form_does_not_grow_beyond_what_it_is_made_of() {
    let server = Server::replying("200 OK", "{}").await;
    let yaml = format!(
        "base_url: http://{}\nencoding: form\noperations: {{ pay: {{ post: /pay, body: {{ metadata: \"${{with.nested}}\" }}, outcomes: {{ ok: response.status == 200 }} }} }}",
        server.address
    );
    let outcome = pay(&build(&yaml, |_| {}).unwrap(), hostile()).await;
    assert!(matches!(&outcome, Outcome::NotSent { reason, .. } if reason.contains("2 MiB")), "{outcome:?}");
    assert!(server.requests().is_empty());
}

/// No clock, no dice, no files, no environment, no secrets, no other orders: the names do not exist, nor do functions of
/// CEL that are not listed.
#[test]
fn there_is_nothing_to_read_but_what_is_listed() {
    for text in [
        "env.PATH",
        "env['PATH']",
        "environ",
        "secret.gateway_key",
        "secrets",
        "order_of('x')",
        "orders[0]",
        "process.env",
        "self",
        "this",
        "now",
        "now()",
        "nonce",
        "timestamp('2026-01-01T00:00:00Z')",
        "duration('1s')",
        "random()",
        "rand()",
        "getenv('PATH')",
        "file('/etc/passwd')",
        "read('/etc/passwd')",
        "include('x')",
        "http('https://a.example')",
        "eval('1')",
        "type(input.a)",
        "dyn(input.a)",
        "bytes(input.a)",
        "optional.of(1)",
        "input.a.matches('(a+)+$')",
        "'%s'.format([input.a])",
        "input.a.reverse()",
        "strings.quote(input.a)",
        "google.protobuf.Value{}",
        "@0",
        "__result__",
    ] {
        assert!(Expr::compile(text, WORKFLOW).is_err(), "{text}");
    }
    let order = eval("order", &json!({})).unwrap_err();
    assert!(order.contains("there is no `order`"), "a name that is known has what it was given: {order}");
}

/// In a connector `env` is what the file names, one value at a time; secrets have no name at all.
#[tokio::test]
async fn a_connector_sees_the_values_that_it_names() {
    let pay_with = |value: &str| {
        format!(
            "connector: gateway\nbase_url: https://a.example\nauth: {{ bearer: \"${{secret.gateway_key}}\" }}\noperations: {{ pay: {{ post: /pay, body: {{ value: '{value}' }}, outcomes: {{ ok: response.status == 200 }} }} }}"
        )
    };
    for value in ["${secret.gateway_key}", "${json(secret)}", "${json(secrets)}", "x ${secret[\"gateway_key\"]}"] {
        assert!(load_connector("gateway.yaml", &pay_with(value)).is_err(), "{value}");
    }
    let server = Server::replying("200 OK", "{}").await;
    let connector = |value: &str| -> HttpConnector {
        let yaml = pay_with(value).replace("https://a.example", &format!("http://{}", server.address));
        build(yaml.strip_prefix("connector: gateway\n").unwrap(), |config| {
            config.env.insert("MERCHANT".into(), "M-1".into());
            config.env.insert("OTHER".into(), "none-of-its-business".into());
        })
        .unwrap()
    };
    for value in ["${env.MERCHANT}", "${json(order)} ${json(with)} ${json(tables)} ${env.MERCHANT}"] {
        pay(&connector(value), json!({"a": 1})).await;
    }
    let sent = server.requests().join("\n");
    assert!(sent.contains("M-1") && !sent.contains("none-of-its"), "{sent}");
    let body = sent.to_ascii_lowercase().replace(&format!("authorization: bearer {}", SECRET.to_ascii_lowercase()), "");
    assert!(!body.contains(&SECRET.to_ascii_lowercase()), "{sent}");
    for whole in ["${json(env)}", "${env}"] {
        // Whether it is refused or not, there is nothing else in it.
        if load_connector("gateway.yaml", &pay_with(whole)).is_ok() {
            pay(&connector(whole), json!({})).await;
        }
    }
    assert!(!server.requests().join("\n").contains("none-of-its"));
}
