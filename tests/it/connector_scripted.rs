//! The scripted provider: honest, and told what to answer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use paystate::connector::{Answer, Connector as _, Invocation, Script, ScriptedConnector};
use paystate::machine::Outcome;
use paystate::types::Value;
use serde_json::json;

use crate::connector_support::call;

fn keyed(key: &str) -> Invocation {
    Invocation { key: key.to_owned(), ..call() }
}

fn scripted(script: &Value) -> ScriptedConnector {
    let connector = ScriptedConnector::new();
    connector.load(&json!({ "authorize": script })).unwrap();
    connector
}

fn ok(id: &str) -> Outcome {
    Outcome::Ok { result: json!({ "id": id }) }
}

#[tokio::test]
async fn without_a_script_it_succeeds_once_per_key_and_tells_the_truth() {
    let connector = ScriptedConnector::new();
    assert_eq!(connector.inquire(&keyed("a")).await, Outcome::NotFound);
    for _ in 0..3 {
        assert_eq!(connector.invoke(&keyed("a")).await, ok("authorize-1"));
    }
    assert_eq!(connector.invoke(&keyed("b")).await, ok("authorize-2"));
    assert_eq!(connector.inquire(&keyed("a")).await, ok("authorize-1"));
    assert_eq!(connector.succeeded("authorize"), 2);
    assert_eq!(connector.recorded().len(), 6);
    assert!(connector.effects().iter().all(|effect| effect.times == 1 && effect.with["amount"] == 600));
}

#[tokio::test]
async fn an_effect_whose_answer_is_lost_is_there_when_asked() {
    let connector = scripted(&json!([{"unknown": "applied"}, {"unknown": {"declined": "no_funds"}}, "unknown"]));
    for key in ["applied", "declined", "lost"] {
        assert!(matches!(connector.invoke(&keyed(key)).await, Outcome::Unknown { .. }), "{key}");
    }
    assert_eq!(connector.inquire(&keyed("applied")).await, ok("authorize-1"));
    let declined = connector.inquire(&keyed("declined")).await;
    assert!(matches!(declined, Outcome::Declined { code, .. } if code == "no_funds"));
    assert_eq!(connector.inquire(&keyed("lost")).await, Outcome::NotFound);
    assert_eq!(connector.invoke(&keyed("applied")).await, ok("authorize-1"));
    assert_eq!(connector.succeeded("authorize"), 1);
}

#[tokio::test]
async fn queues_are_used_up_in_order_and_then_the_default_holds() {
    let connector = scripted(&json!({
        "invoke": [{"not_sent": {"reason": "refused", "retry_after": "5s"}}, {"pending": "p1"}],
        "inquire": ["not_found", {"pending": "p1"}, {"ok": {"id": "a1"}}],
        "default": {"declined": {"code": "later", "soft": true}},
    }));
    let first = connector.invoke(&keyed("a")).await;
    assert_eq!(first, Outcome::NotSent { reason: "refused".into(), retry_after_ms: Some(5_000) });
    assert_eq!(connector.effects(), vec![]);
    assert!(matches!(connector.invoke(&keyed("a")).await, Outcome::Pending { .. }));
    assert_eq!(connector.unused(), vec![("authorize".into(), 0, 3)]);
    assert_eq!(connector.inquire(&keyed("a")).await, Outcome::NotFound);
    assert!(matches!(connector.inquire(&keyed("a")).await, Outcome::Pending { .. }));
    assert_eq!(connector.inquire(&keyed("a")).await, ok("a1"));
    assert_eq!(connector.inquire(&keyed("a")).await, ok("a1"), "the truth from here on");
    assert_eq!(connector.invoke(&keyed("a")).await, ok("a1"), "the key has its answer");
    assert!(matches!(connector.invoke(&keyed("b")).await, Outcome::Declined { soft: true, .. }));
    assert_eq!(connector.succeeded("authorize"), 1);
}

#[tokio::test]
async fn an_inquiry_that_tells_of_success_makes_it_an_effect() {
    let connector = scripted(&json!({"invoke": ["unknown"], "inquire": [{"ok": {"id": "a9"}}]}));
    connector.invoke(&keyed("a")).await;
    assert_eq!(connector.inquire(&keyed("a")).await, ok("a9"));
    assert_eq!(connector.invoke(&keyed("a")).await, ok("a9"));
    assert_eq!(connector.succeeded("authorize"), 1);
}

#[tokio::test]
async fn a_provider_without_keys_does_it_again() {
    let connector = scripted(&json!({"replay": "none"}));
    connector.invoke(&keyed("a")).await;
    connector.invoke(&keyed("a")).await;
    assert_eq!(connector.succeeded("authorize"), 2);
    assert_eq!(connector.effects()[0].times, 2);
}

#[test]
fn scripts_that_are_wrong_say_where() {
    let message = |script: Value| ScriptedConnector::new().load(&json!({"authorize": script})).unwrap_err().to_string();
    assert_eq!(
        message(json!(["ok", "declind"])),
        "authorize.1: unknown answer declind, did you mean declined? (known: ok, declined, unknown, not_sent, pending, \
         action_required, not_found, auto)"
    );
    let cases = [
        (
            json!({"invoke": [{"declined": {"kode": "x"}}]}),
            "authorize.invoke.0.declined: unknown key kode, did you mean code?",
        ),
        (
            json!({"invoke": ["ok"], "inquiry": []}),
            "authorize.inquiry: unknown key of a script inquiry, did you mean inquire?",
        ),
        (json!({"unknown": "aplied"}), "authorize.unknown: unknown answer aplied"),
        (json!({"unknown": "not_sent"}), "authorize.unknown: expected `applied`, or the answer that was lost"),
        (json!({"not_sent": {"retry_after": "5"}}), "authorize.not_sent.retry_after: a duration carries a unit"),
        (json!({"pending": 7}), "authorize.pending: expected a reference"),
        (json!({"not_found": 1}), "authorize.not_found: takes nothing"),
        (json!({"declined": {"soft": "yes"}}), "authorize.declined.soft: expected true or false"),
        (json!({"replay": "sometimes"}), "authorize.replay: expected stored or none"),
        (json!("auto"), "authorize: only an inquiry is answered so"),
        (json!(["not_found"]), "authorize.0: only an inquiry is answered so"),
        (json!(7), "authorize: expected an answer: ok, declined"),
        (json!({"ok": 1, "declined": 2}), "authorize: expected an answer"),
    ];
    for (script, expected) in cases {
        let message = message(script);
        assert!(message.starts_with(expected), "{message}");
    }
    assert_eq!(Script::parse(&json!({"inquire": "auto"})).unwrap().inquire, vec![Answer::Auto]);
}
