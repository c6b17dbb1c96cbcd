//! What those who write methods and connectors type: `paystate new`, `paystate connector try`.

use std::path::Path;
use std::process::{Command, Output};

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
