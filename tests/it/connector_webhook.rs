//! Notifications: forged, replayed, shifted, rotated, and what they mean.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::time::Duration;

use paystate::connector::{
    Arrived, Notification, TranslateError, WebhookConfig, WebhookError, receive, sign_standard_webhook,
    verify_standard_webhook,
};
use paystate::definition::{SecretRef, load_connector};
use paystate::types::{Secret, Timestamp};
use serde_json::json;

// The vector that the specification's reference libraries are tested with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const STAMP: i64 = 1_614_265_330;
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
const NEW_SECRET: &str = "whsec_bmV3IHNlY3JldCBvZiAyNCBieXRlcy4u";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_ms(seconds * 1_000)
}

fn headers(id: &str, stamp: &str, signature: &str) -> BTreeMap<String, String> {
    [("webhook-id", id), ("webhook-timestamp", stamp), ("webhook-signature", signature)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn check(names: &[&str], headers: &BTreeMap<String, String>, body: &[u8], now: i64) -> Result<String, WebhookError> {
    let secrets = [("old", SECRET), ("new", NEW_SECRET), ("short", "whsec_c2hvcnQ="), ("plain", "not base64!")]
        .map(|(name, text)| (name.to_owned(), Secret::new(text)))
        .into();
    let names: Vec<SecretRef> = names.iter().map(|name| SecretRef((*name).to_owned())).collect();
    let tolerance = Duration::from_secs(300);
    verify_standard_webhook(&names, tolerance, &secrets, headers, body, at(now)).map(|verified| verified.id)
}

#[test]
fn the_published_vector_signs_and_verifies() {
    assert_eq!(sign_standard_webhook(&Secret::new(SECRET), ID, at(STAMP), BODY).unwrap(), SIGNATURE);
    let headers = headers(ID, &STAMP.to_string(), SIGNATURE);
    assert_eq!(check(&["old"], &headers, BODY, STAMP).unwrap(), ID);
}

#[test]
fn forged_shifted_and_malformed_notifications_are_refused() {
    let stamp = STAMP.to_string();
    let good = headers(ID, &stamp, SIGNATURE);
    for (body, why) in [(&b"{\"test\":2432232314}"[..], "re-serialised"), (b"", "empty"), (b"{\"test\": 1}", "other")] {
        assert_eq!(check(&["old"], &good, body, STAMP), Err(WebhookError::Signature), "{why}");
    }
    assert_eq!(check(&["new"], &good, BODY, STAMP), Err(WebhookError::Signature), "another endpoint's secret");
    for now in [STAMP - 301, STAMP + 301] {
        assert_eq!(check(&["old"], &good, BODY, now), Err(WebhookError::Timestamp));
    }
    for now in [STAMP - 300, STAMP + 300] {
        assert!(check(&["old"], &good, BODY, now).is_ok());
    }
    let signature = |signature: &str| check(&["old"], &headers(ID, &stamp, signature), BODY, STAMP);
    let tag = SIGNATURE.strip_prefix("v1,").unwrap();
    for text in [
        "v1,",
        "v1",
        "x",
        tag,
        &SIGNATURE[..SIGNATURE.len() - 5],
        &format!("v0,{tag}"),
        &format!("v1a,{tag}"),
        &format!("V1,{tag}"),
        &format!("v1,,{tag}"),
        &format!("{SIGNATURE},{SIGNATURE}"),
    ] {
        assert_eq!(signature(text), Err(WebhookError::Signature), "{text}");
    }
    assert_eq!(signature(&[SIGNATURE; 6].join(" ")), Err(WebhookError::TooManySignatures));
    assert!(signature(&format!("v1,AAAA v1a,BBBB {SIGNATURE}")).is_ok());
    for stamp in ["", "+1614265330", " 1614265330", "1614265330.0", "1e9", "-1", "99999999999999999999"] {
        let refused = check(&["old"], &headers(ID, stamp, SIGNATURE), BODY, STAMP);
        assert_eq!(refused, Err(WebhookError::Header("webhook-timestamp")), "{stamp:?}");
    }
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let mut headers = good.clone();
        headers.remove(name);
        assert_eq!(check(&["old"], &headers, BODY, STAMP), Err(WebhookError::Header(name)));
    }
    let moved = headers("msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330", "1614265330", SIGNATURE);
    assert_eq!(check(&["old"], &moved, BODY, STAMP), Err(WebhookError::Header("webhook-id")));
    assert_eq!(check(&["old"], &headers("other", &stamp, SIGNATURE), BODY, STAMP), Err(WebhookError::Signature));
}

#[test]
fn secrets_rotate() {
    let stamp = STAMP.to_string();
    let fresh = sign_standard_webhook(&Secret::new(NEW_SECRET), ID, at(STAMP), BODY).unwrap();
    for signature in [SIGNATURE.to_owned(), fresh.clone(), format!("{SIGNATURE} {fresh}")] {
        let headers = headers(ID, &stamp, &signature);
        assert!(check(&["old", "new"], &headers, BODY, STAMP).is_ok());
    }
    assert_eq!(check(&["new"], &headers(ID, &stamp, SIGNATURE), BODY, STAMP), Err(WebhookError::Signature));
}

#[test]
fn our_own_mistakes_are_told_apart_and_show_no_secret() {
    let good = headers(ID, &STAMP.to_string(), SIGNATURE);
    assert_eq!(check(&["gone"], &good, BODY, STAMP), Err(WebhookError::NoSecret("gone".to_owned())));
    for name in ["short", "plain"] {
        let error = check(&[name], &good, BODY, STAMP).unwrap_err();
        assert_eq!(error, WebhookError::UnfitSecret);
        assert!(!format!("{error} {error:?}").contains("base64!"));
    }
    assert_eq!(check(&[], &good, BODY, STAMP), Err(WebhookError::Signature), "no secret believes nobody");
}

const SHOP: &str = r#"
connector: shop
base_url: https://shop.example
operations: { ping: { get: /ping, outcomes: { ok: response.status == 200 } } }
webhooks:
  verify: { scheme: sender-address }
  allow_from: [192.0.2.0/24]
  events:
    - { when: body.type == "payment.succeeded", event: payment.succeeded, correlate: body.reference, id: body.id }
    - { when: body.data.kind == "refund", event: refund.done, correlate: body.reference, id: body.id, payload: { amount: "${body.data.amount}" } }
"#;

fn told(yaml: &str, body: &[u8], from: &str) -> Result<Vec<Notification>, TranslateError> {
    let connector = load_connector("shop.yaml", yaml).unwrap();
    let (secrets, env) = (BTreeMap::new(), BTreeMap::new());
    let config = WebhookConfig { secrets: &secrets, env: &env };
    let headers = BTreeMap::new();
    let arrived = Arrived { headers: &headers, query: &json!({}), path: "", body, from: from.parse().ok() };
    receive(&connector, connector.webhooks.as_ref().unwrap(), &config, &arrived, &[at(STAMP)])
        .map(|understood| understood.told)
}

fn of_shop(body: &serde_json::Value) -> Result<Vec<Notification>, TranslateError> {
    told(SHOP, body.to_string().as_bytes(), "192.0.2.7")
}

#[test]
fn a_notification_becomes_the_first_event_that_fits() {
    let body = json!({"type": "payment.succeeded", "reference": "0707-1-0", "id": "evt_1"});
    let said = of_shop(&body).unwrap().remove(0);
    assert_eq!(
        (said.event.as_str(), said.correlate.as_str(), said.id.as_str()),
        ("payment.succeeded", "0707-1-0", "evt_1")
    );
    assert_eq!(said.payload, body);
    let refund = json!({"type": "x", "data": {"kind": "refund", "amount": 5}, "reference": "r", "id": 77});
    let said = of_shop(&refund).unwrap().remove(0);
    assert_eq!((said.event.as_str(), said.id.as_str(), said.payload), ("refund.done", "77", json!({"amount": 5})));
    assert_eq!(of_shop(&json!({"type": "ping"})), Ok(Vec::new()));
    assert_eq!(of_shop(&json!(null)), Ok(Vec::new()));
    for broken in
        [json!({"type": "payment.succeeded"}), json!({"type": "payment.succeeded", "reference": "", "id": "e"})]
    {
        assert!(of_shop(&broken).is_err(), "{broken}");
    }
    let long = json!({"type": "payment.succeeded", "reference": "r".repeat(201), "id": "e"});
    assert_eq!(of_shop(&long), Err(TranslateError::NotText("correlate")));
    assert!(told(SHOP, br#"{"id": 1, "id": 2}"#, "192.0.2.7").is_err());
}

#[test]
fn only_the_addresses_that_are_listed_may_send() {
    for from in ["192.0.3.7", "::1", "nobody"] {
        assert_eq!(told(SHOP, b"{}", from), Err(TranslateError::Unverified(WebhookError::Sender)), "{from}");
    }
    assert_eq!(told(SHOP, b"{}", "::ffff:192.0.2.9"), Ok(Vec::new()));
}

#[test]
fn one_notification_can_tell_of_several_things() {
    let yaml =
        SHOP.replace("  events:", "  each: body.items").replace("  each: body.items", "  each: body.items\n  events:");
    let yaml = yaml
        .replace("body.type", "item.type")
        .replace("body.reference", "item.reference")
        .replace("body.id", "item.id");
    let item = |id: &str, kind: &str| json!({"type": kind, "reference": "r", "id": id});
    let body = json!({"items": [item("1", "payment.succeeded"), item("2", "ping"), item("3", "payment.succeeded")]});
    let said = told(&yaml, body.to_string().as_bytes(), "192.0.2.7").unwrap();
    assert_eq!(said.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["1", "3"]);
    assert_eq!(said[0].payload, item("1", "payment.succeeded"));
    for none in [json!({"items": 1}), json!({"items": vec![1; 101]})] {
        assert_eq!(told(&yaml, none.to_string().as_bytes(), "192.0.2.7"), Err(TranslateError::NotAList));
    }
}
