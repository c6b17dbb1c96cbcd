//! What those who write methods and connectors type: `paystate new`, `paystate connector try` and `receive`.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};

use paystate::types::short_key_of;
use serde_json::{Value, json};

use crate::support::paystate;

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(paystate()).current_dir(folder).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[track_caller]
fn good(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn what_is_new_is_clean_and_its_scenarios_pass() {
    let folder = tempfile::tempdir().unwrap();
    let told = good(&run(folder.path(), &["new", "method", "acme_card", "--in", "my-method"]));
    assert!(told.contains("wrote my-method/acme_card.yaml"), "{told}");
    assert_eq!(good(&run(folder.path(), &["check", "my-method"])), "");
    let told = good(&run(folder.path(), &["test", "--workflows", "my-method", "--crashes"]));
    assert!(told.contains("3 passed, 0 failed"), "{told}");

    let again = run(folder.path(), &["new", "method", "acme_card", "--in", "my-method"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("acme_card.yaml is there already: nothing was written"));
    let second = good(&run(folder.path(), &["new", "method", "other", "--in", "my-method", "--json"]));
    let written = serde_json::from_str::<Value>(&second).unwrap()["written"].as_array().unwrap().len();
    assert_eq!(written, 4, "the connector is there");
    good(&run(folder.path(), &["new", "connector", "bank", "--in", "my-method"]));
    assert_eq!(good(&run(folder.path(), &["check", "my-method/connectors/bank.yaml"])), "");
    let ours = run(folder.path(), &["new", "method", "paid", "--connector", "orders", "--in", "my-method"]);
    assert!(text(&ours.stderr).contains("`orders` is a part of Paystate"), "{}", text(&ours.stderr));
    for name in ["../up", "a b", "1st", ""] {
        let refused = run(folder.path(), &["new", "connector", name, "--in", "my-method"]);
        assert!(text(&refused.stderr).contains("is no name"), "{name}: {}", text(&refused.stderr));
    }
}

#[test]
fn a_connector_is_tried_out_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    good(&run(folder.path(), &["new", "connector", "acme", "--in", "."]));
    let with = r#"{"amount": 1250, "currency": "EUR", "token": "tok_1"}"#;
    let arguments = ["connector", "try", "connectors/acme.yaml", "authorize", "--with", with];
    let tried = run(folder.path(), &arguments);
    let told = good(&tried);
    for part in [
        "POST https://acme-url.invalid/v1/payments",
        "authorization: Bearer ***",
        "idempotency-key: ",
        r#""amount":1250"#,
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(text(&tried.stderr).contains("made up, for want of --config or --env: env.ACME_URL, secret.acme_hook"));

    let response = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\r\n\
                    {\"status\": \"authorized\", \"id\": \"pay_1\", \"amount\": 1250, \"currency\": \"EUR\"}";
    std::fs::write(folder.path().join("reply.http"), response).unwrap();
    std::fs::write(folder.path().join("reply.json"), r#"{"code": "insufficient_funds"}"#).unwrap();
    let understood = |more: &[&str]| {
        let told = good(&run(folder.path(), &[&arguments[..], more, &["--json"]].concat()));
        serde_json::from_str::<Value>(&told).unwrap()["understood"].clone()
    };
    let ok = understood(&["--reply", "reply.http"]);
    assert_eq!(ok["outcome"], json!({"outcome": "ok", "result": {"id": "pay_1"}}));
    assert_eq!(ok["rules"][0]["held"], true);
    let declined = understood(&["--reply", "reply.json", "--status", "402"]);
    assert_eq!(
        (&declined["outcome"]["outcome"], &declined["outcome"]["code"]),
        (&json!("declined"), &json!("insufficient_funds"))
    );
    let unknown = understood(&["--reply", "reply.json", "--status", "500"]);
    assert_eq!(unknown["outcome"]["outcome"], "unknown");
    assert_eq!(unknown["rules"].as_array().unwrap().len(), 3, "every rule is told when none holds");
    let lost = understood(&["--reply", "reply.json", "--status", "404", "--inquire"]);
    assert_eq!(lost["outcome"]["outcome"], "not_found");

    let refused = run(folder.path(), &["connector", "try", "connectors/acme.yaml", "authorize", "--with", "{}"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        text(&refused.stdout).contains("it would not be sent: request: body: with.amount: there is no `with.amount`")
    );
    let unknown = run(folder.path(), &["connector", "try", "connectors/acme.yaml", "charge"]);
    assert!(
        text(&unknown.stderr).contains("there is no operation `charge`: the connector has authorize, capture, void")
    );
    let send = run(folder.path(), &[&arguments[..], &["--send"]].concat());
    assert!(text(&send.stderr).contains("to send it, env.ACME_URL"), "{}", text(&send.stderr));
}

/// Whoever only looks has no key of the provider: one that fits is made up, also where it signs.
#[test]
fn what_is_shipped_is_tried_out_without_any_key() {
    let connectors = Path::new("workflows/connectors").canonicalize().unwrap();
    let tried = |connector: &str, operation: &str, with: &str, more: &[&str]| {
        let file = connectors.join(connector).display().to_string();
        run(Path::new("."), &[&["connector", "try", &file, operation, "--with", with], more].concat())
    };
    let money = r#"{"amount": 100, "currency": "CNY", "subject": "tea", "description": "tea", "minutes": 30}"#;
    for (connector, operation, signature) in [
        ("wechatpay.yaml", "native", "authorization: WECHATPAY2-SHA256-RSA2048 mchid="),
        ("alipay.yaml", "precreate", "sign="),
        ("unionpay_gateway.yaml", "app", "signature="),
    ] {
        let told = good(&tried(connector, operation, money, &[]));
        assert!(told.contains(signature), "{connector}: {told}");
    }
    let folder = tempfile::tempdir().unwrap();
    let reply = folder.path().join("reply.json").display().to_string();
    std::fs::write(&reply, r#"{"code_url": "weixin://wxpay/1"}"#).unwrap();
    let understood = tried("wechatpay.yaml", "native", money, &["--reply", &reply, "--json"]);
    let told: Value = serde_json::from_str(&good(&understood)).unwrap();
    assert_eq!(told["understood"]["outcome"]["outcome"], "ok", "{told}");
    assert!(text(&understood.stderr).contains("whether the reply is the provider's was not looked at"));
    // What is signed is not enough: it has to be about this order.
    let ours = json!({"code": "10000", "trade_status": "TRADE_SUCCESS", "total_amount": "1.00", "trade_no": "1",
        "out_trade_no": short_key_of("019ab1c2-7d4e-7000-8000-0242ac120002")});
    for (name, number, outcome) in [("ours", &ours["out_trade_no"], "ok"), ("theirs", &json!("other"), "unknown")] {
        let mut answer = ours.clone();
        answer["out_trade_no"] = number.clone();
        std::fs::write(&reply, json!({"alipay_trade_query_response": answer}).to_string()).unwrap();
        let understood = tried("alipay.yaml", "trade", r#"{"amount": 100}"#, &["--reply", &reply, "--json"]);
        let told: Value = serde_json::from_str(&good(&understood)).unwrap();
        assert_eq!(told["understood"]["outcome"]["outcome"], outcome, "{name}: {told}");
    }
}

/// Each try at a provider is a payment of its own, unless a key is given to repeat one.
#[test]
fn what_is_tried_at_a_provider_has_a_key_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let provider = TcpListener::bind("127.0.0.1:0").unwrap();
    let connector = format!(
        "connector: bank\nbase_url: http://{}\nidempotency: {{ header: Idempotency-Key, replay: stored, window: 1d }}\n\
         operations: {{ note: {{ post: /notes, outcomes: {{ ok: response.status == 200 }} }} }}\n",
        provider.local_addr().unwrap()
    );
    std::fs::write(folder.path().join("bank.yaml"), connector).unwrap();
    let answering =
        std::thread::spawn(move || (0..3).map(|_| answer(&provider.accept().unwrap().0)).collect::<Vec<_>>());
    let send = ["connector", "try", "bank.yaml", "note", "--send"];
    for more in [&[][..], &[], &["--key", "order-4711"]] {
        good(&run(folder.path(), &[&send[..], more].concat()));
    }
    let keys = answering.join().unwrap();
    assert_ne!(keys[0], keys[1]);
    assert_eq!(keys[2], "order-4711");
}

/// Answers one request with 200, and tells the key that it had.
fn answer(mut stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let headers: Vec<_> = lines.collect();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
    let key = headers.iter().find_map(|line| line.to_lowercase().strip_prefix("idempotency-key: ").map(str::to_owned));
    key.expect("a key")
}

const NOTIFIED: &str = r#"
connector: bank
base_url: https://bank.example
operations:
  charge:
    post: /charges
    body: { reference: "${key}", amount: "${with.amount}" }
    money: purchase
    idempotency: { replay: intent }
    outcomes: { ok: response.status == 200 }
    inquire: told
webhooks:
  verify: { scheme: hmac-sha256, secret: "${secret.hook}", content: "${raw}.${query.at}", signature: 'headers["x-sign"]' }
  acknowledge: { status: 202, body: "got ${body.id}" }
  events:
    - { when: body.what.paid, event: charge.paid, settles: ok, correlate: body.reference, id: body.id }
    - { when: body.kind == "paid", event: charge.paid, settles: ok, correlate: body.reference, id: body.id }
    - { when: body.kind == "back", event: charge.back, correlate: body.reference, id: body.id }
"#;

#[test]
fn a_notification_is_tried_out_without_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("bank.yaml", NOTIFIED);
    write("config.yaml", "secrets: { hook: { env: HOOK } }");
    let body = r#"{"kind": "paid", "id": "n1", "reference": "019ab1c2-7d4e-7000-8000-0242ac120002-1-1", "amount": 5}"#;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"a key of theirs");
    let sign = hex::encode(aws_lc_rs::hmac::sign(&key, format!("{body}.7").as_bytes()));
    write("n.http", &format!("POST /hooks/bank?at=7 HTTP/1.1\r\nHost: x\r\nX-Sign: {sign}\r\n\r\n{body}"));
    let receive = |more: &[&str]| {
        let mut command = Command::new(paystate());
        command.current_dir(folder.path()).env("NO_COLOR", "1").env("HOOK", "a key of theirs");
        command.args([&["connector", "receive", "bank.yaml"], more].concat()).output().unwrap()
    };
    let told = good(&receive(&["n.http", "--config", "config.yaml"]));
    for part in [
        "believed\n",
        "about order 019ab1c2-7d4e-7000-8000-0242ac120002, by 019ab1c2-7d4e-7000-8000-0242ac120002-1-1",
        "charge.paid (settles: ok): body.what.paid\n    has no value: there is no `body.what`",
        "charge.paid (settles: ok): body.kind == \"paid\"\n    holds",
        "answered with status 202\n  got n1",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // A body alone, as an editor saved it; and what would be taken is told although it would not be believed.
    write("n.json", &format!("{body}\n"));
    let header = format!("x-sign: {sign}");
    let alone = ["n.json", "--header", header.as_str(), "--config", "config.yaml", "--query"];
    let told = good(&receive(&[&alone[..], &["at=7"]].concat()));
    assert!(told.starts_with("believed, without the line break at the end of the file\n"), "{told}");
    let forged = receive(&[&alone[..], &["at=8", "--json"]].concat());
    assert_eq!(forged.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&forged.stdout).unwrap();
    assert_eq!(told["disbelieved"], "no signature fits");
    assert_eq!(told["signed"], json!([format!("{body}\n.8")]));
    assert_eq!(
        (&told["events"][0]["event"], &told["events"][0]["payload"]["amount"]),
        (&json!("charge.paid"), &json!(5))
    );

    write("other.json", r#"{"kind": "back", "id": "n2", "reference": "4711"}"#);
    let told = text(&receive(&["other.json", "--query", "at=7"]).stdout);
    assert!(told.contains("about no order, since 4711 is no reference of Paystate's"), "{told}");
    write("strange.json", r#"{"kind": "new", "id": "n3"}"#);
    let told = text(&receive(&["strange.json", "--query", "at=7"]).stdout);
    assert!(told.contains("no rule asks for it"), "{told}");
    write("broken.json", "<html>");
    let told = text(&receive(&["broken.json", "--query", "at=7"]).stdout);
    assert!(told.contains("not understood: the body is not JSON"), "{told}");
}

#[test]
fn a_secret_in_the_configuration_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    good(&run(folder.path(), &["new", "connector", "acme", "--in", "."]));
    for (said, value) in
        [("PLAINSECRET99", "PLAINSECRET99"), ("[PLAINSECRET99]", "PLAINSECRET99"), ("4711471147", "4711471147")]
    {
        std::fs::write(folder.path().join("config.yaml"), format!("secrets:\n  acme_key: {said}\n")).unwrap();
        let arguments = ["connector", "try", "connectors/acme.yaml", "authorize", "--config", "config.yaml"];
        for more in [&[][..], &["--json"]] {
            let refused = run(folder.path(), &[&arguments[..], more].concat());
            let told = text(&refused.stdout) + &text(&refused.stderr);
            assert!(!refused.status.success() && told.contains("a secret is not written in this file"), "{told}");
            assert!(!told.contains(value), "{told}");
        }
    }
}
