//! Notifications as providers sign, encrypt and write them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use paystate::connector::{Arrived, Notification, TranslateError, WebhookConfig, WebhookError, receive};
use paystate::definition::load_connector;
use paystate::types::{Secret, Timestamp};
use serde_json::{Value, json};

const NOW: i64 = 1_700_000_000;

struct Hook {
    yaml: String,
    secrets: BTreeMap<String, Secret>,
}

fn hook(webhooks: &str, secrets: &[(&str, &str)]) -> Hook {
    let yaml = format!(
        "connector: acme\nbase_url: https://acme.example\noperations: {{ ping: {{ get: /ping, outcomes: {{ ok: \
         response.status == 200 }} }} }}\nwebhooks:\n{webhooks}"
    );
    let secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
    Hook { yaml, secrets }
}

impl Hook {
    fn at(&self, seconds: i64, headers: &[(&str, &str)], body: &str) -> Result<Vec<Notification>, TranslateError> {
        let connector =
            load_connector("acme.yaml", &self.yaml).unwrap_or_else(|problems| panic!("{problems:#?}\n{}", self.yaml));
        let env = BTreeMap::new();
        let config = WebhookConfig { secrets: &self.secrets, env: &env };
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let arrived = Arrived { headers: &headers, query: &json!({}), path: "", body: body.as_bytes(), from: None };
        let now = [Timestamp::from_unix_ms(seconds * 1_000)];
        receive(&connector, connector.webhooks.as_ref().unwrap(), &config, &arrived, &now)
            .map(|understood| understood.told)
    }

    #[track_caller]
    fn takes(&self, headers: &[(&str, &str)], body: &str) -> Notification {
        self.at(NOW, headers, body).unwrap().remove(0)
    }

    #[track_caller]
    fn refuses(&self, headers: &[(&str, &str)], body: &str) {
        assert_eq!(self.at(NOW, headers, body), Err(TranslateError::Unverified(WebhookError::Signature)));
    }
}

fn mac(algorithm: hmac::Algorithm, key: &[u8], message: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes()).as_ref().to_vec()
}

const EVENTS: &str = "  events: [ { event: payment.done, correlate: body.ref, id: body.id } ]\n";
const BODY: &str = r#"{"ref": "r1", "id": "e1"}"#;

#[test]
fn stripe_signs_a_time_and_the_body_with_each_of_its_secrets() {
    let hook = hook(
        &format!(
            "  verify:\n    scheme: hmac-sha256\n    secrets: ['${{secret.new}}', '${{secret.old}}']\n    \
             content: '${{param(headers[\"stripe-signature\"], \",\", \"t\")}}.${{raw}}'\n    \
             signature: 'params(headers[\"stripe-signature\"], \",\", \"v1\")'\n    \
             timestamp: 'param(headers[\"stripe-signature\"], \",\", \"t\")'\n{EVENTS}"
        ),
        &[("new", "whsec_new"), ("old", "whsec_old")],
    );
    let signed = |secret: &str, at: i64, body: &str| {
        hex::encode(mac(hmac::HMAC_SHA256, secret.as_bytes(), &format!("{at}.{body}")))
    };
    for secret in ["whsec_new", "whsec_old"] {
        let header = format!("t={NOW},v1={},v0=abc", signed(secret, NOW, BODY));
        assert_eq!(hook.takes(&[("stripe-signature", &header)], BODY).id.as_str(), "e1");
    }
    let both = format!("t={NOW},v1={},v1={}", "00".repeat(32), signed("whsec_old", NOW, BODY));
    hook.takes(&[("stripe-signature", &both)], BODY);
    hook.refuses(&[("stripe-signature", &format!("t={NOW},v1={}", signed("whsec_other", NOW, BODY)))], BODY);
    hook.refuses(
        &[("stripe-signature", &format!("t={NOW},v1={}", signed("whsec_new", NOW, BODY)))],
        &BODY.replace(' ', ""),
    );
    hook.refuses(&[("stripe-signature", &format!("t={NOW},v0={}", signed("whsec_new", NOW, BODY)))], BODY);
    // A time that was moved, and one that is signed and old or of the future.
    hook.refuses(&[("stripe-signature", &format!("t={},v1={}", NOW + 1, signed("whsec_new", NOW, BODY)))], BODY);
    for at in [NOW - 301, NOW + 301] {
        let header = format!("t={at},v1={}", signed("whsec_new", at, BODY));
        let told = hook.at(NOW, &[("stripe-signature", &header)], BODY);
        assert_eq!(told, Err(TranslateError::Unverified(WebhookError::Timestamp)), "{at}");
    }
    let many = format!("t={NOW}{}", format!(",v1={}", "00".repeat(32)).repeat(6));
    let told = hook.at(NOW, &[("stripe-signature", &many)], BODY);
    assert_eq!(told, Err(TranslateError::Unverified(WebhookError::TooManySignatures)));
    let told = hook.at(NOW, &[], BODY);
    assert!(matches!(told, Err(TranslateError::Unverified(WebhookError::Unreadable(_)))), "{told:?}");
}

/// What a sender shows for a value of the secret.
type Show<'a> = &'a dyn Fn(&str) -> String;

/// One name, two values while the one replaces the other: no connector is changed for it.
#[test]
fn each_value_of_a_secret_that_is_being_replaced_is_believed() {
    let token = |value: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("hook:{value}")));
    let digest = |value: &str| {
        hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("{BODY}{value}").as_bytes()))
    };
    let tag = |value: &str| hex::encode(mac(hmac::HMAC_SHA256, value.as_bytes(), BODY));
    let schemes: [(&str, &str, Show<'_>); 4] = [
        (
            "{ scheme: hmac-sha256, secret: '${secret.a}', content: '${raw}', signature: 'headers[\"x-tag\"]' }",
            "x-tag",
            &tag,
        ),
        ("{ scheme: digest-sha256, content: '${raw}${secret.a}', signature: 'headers[\"x-tag\"]' }", "x-tag", &digest),
        ("{ scheme: shared-secret, secret: '${secret.a}', given: 'headers[\"x-tag\"]' }", "x-tag", &str::to_owned),
        ("{ scheme: basic, username: hook, secret: '${secret.a}' }", "authorization", &token),
    ];
    for (scheme, header, shown) in schemes {
        let mut hook = hook(&format!("  verify: {scheme}\n{EVENTS}"), &[]);
        let rotated = Secret::new("value-2026").beside(vec![Secret::new("value-2025")]);
        hook.secrets.insert("a".to_owned(), rotated);
        for value in ["value-2026", "value-2025"] {
            assert_eq!(hook.takes(&[(header, &shown(value))], BODY).id.as_str(), "e1", "{scheme}");
        }
        hook.refuses(&[(header, &shown("value-2024"))], BODY);
        hook.secrets.insert("a".to_owned(), Secret::new("value-2026"));
        hook.refuses(&[(header, &shown("value-2025"))], BODY);
    }
}

#[test]
fn a_secret_that_both_know_and_a_login_are_compared() {
    let shared = hook(
        &format!(
            "  verify: {{ scheme: shared-secret, secrets: ['${{secret.a}}', '${{secret.b}}'], given: 'headers[\"x-token\"]' }}\n{EVENTS}"
        ),
        &[("a", "token-a"), ("b", "token-b")],
    );
    shared.takes(&[("x-token", "token-b")], BODY);
    shared.refuses(&[("x-token", "token-")], BODY);
    shared.refuses(&[("x-token", "")], BODY);
    let basic = hook(
        &format!("  verify: {{ scheme: basic, username: bank, secret: '${{secret.a}}' }}\n{EVENTS}"),
        &[("a", "pass:word")],
    );
    let login = |pair: &str| format!("Basic {}", BASE64_STANDARD.encode(pair));
    basic.takes(&[("authorization", &login("bank:pass:word"))], BODY);
    for wrong in [login("bank:password"), login("other:pass:word"), "Bearer x".to_owned()] {
        basic.refuses(&[("authorization", &wrong)], BODY);
    }
    basic.refuses(&[], BODY);
}

#[test]
fn fields_of_a_form_are_signed_in_their_order() {
    let hook = hook(
        "  verify:\n    scheme: digest-md5\n    encoding: HEX\n    signature: body.sign\n    \
         content: '${sorted_params(body, [\"sign\"])}&key=${secret.key}'\n  body: form\n  acknowledge: { body: success }\n  \
         events: [ { when: body.status == \"PAID\", event: payment.done, correlate: body.out_trade_no, id: body.trade_no } ]\n",
        &[("key", "192006250b4c09247ec02edce69f6a2d")],
    );
    let digest = |text: &str| {
        use md5::Digest as _;
        hex::encode_upper(md5::Md5::digest(text))
    };
    let sign = digest("out_trade_no=r 1&status=PAID&trade_no=t9&key=192006250b4c09247ec02edce69f6a2d");
    let body = format!("trade_no=t9&status=PAID&sign={sign}&empty=&out_trade_no=r+1");
    let told = hook.takes(&[], &body);
    assert_eq!((told.correlate.as_str(), told.id.as_str()), ("r 1", "t9"));
    hook.refuses(&[], &body.replace("t9", "t8"));
    assert_eq!(
        hook.at(
            NOW,
            &[],
            &format!("status=PENDING&sign={}", digest("status=PENDING&key=192006250b4c09247ec02edce69f6a2d"))
        ),
        Ok(Vec::new())
    );
}

#[test]
fn what_is_encrypted_is_opened_once_it_is_believed() {
    const KEY: &str = "0123456789abcdef0123456789abcdef";
    let hook = hook(
        "  verify: { scheme: hmac-sha256, secret: '${secret.mac}', signature: 'headers[\"x-sign\"]', content: '${raw}' }\n  \
         decrypt: { scheme: aes-256-gcm, secret: '${secret.key}', text: body.resource.ciphertext, nonce: body.resource.nonce, associated_data: body.resource.associated_data }\n  \
         events: [ { when: decrypted.trade_state == \"SUCCESS\", event: payment.done, correlate: decrypted.out_trade_no, id: body.id, payload: { amount: '${decrypted.amount.total}' } } ]\n",
        &[("key", KEY), ("mac", "mac-secret")],
    );
    let sealed = |plain: &Value, aad: &str| {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, KEY.as_bytes()).unwrap());
        let mut text = plain.to_string().into_bytes();
        let nonce = Nonce::try_assume_unique_for_key(b"fdasflkja484").unwrap();
        key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut text).unwrap();
        BASE64_STANDARD.encode(text)
    };
    let plain = json!({"trade_state": "SUCCESS", "out_trade_no": "r1", "amount": {"total": 100}});
    let body = |aad: &str| {
        json!({"id": "e1", "resource": {"ciphertext": sealed(&plain, "transaction"), "nonce": "fdasflkja484", "associated_data": aad}})
            .to_string()
    };
    let send = |body: &str| {
        let sign = hex::encode(mac(hmac::HMAC_SHA256, b"mac-secret", body));
        hook.at(NOW, &[("x-sign", &sign)], body)
    };
    let told = send(&body("transaction")).unwrap().remove(0);
    assert_eq!((told.correlate.as_str(), told.payload), ("r1", json!({"amount": 100})));
    assert_eq!(send(&body("other")), Err(TranslateError::Encrypted("it cannot be decrypted".to_owned())));
    hook.refuses(&[("x-sign", "00")], &body("transaction"));
}

#[test]
fn an_hmac_over_fields_in_base64_with_a_key_in_hex_as_adyen_has_it() {
    let key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056";
    let hook = hook(
        "  verify:\n    scheme: hmac-sha256\n    secret: '${secret.key}'\n    key_format: hex\n    encoding: base64\n    \
         signature: item.NotificationRequestItem.additionalData.hmacSignature\n    \
         content: '${item.NotificationRequestItem.pspReference}:${item.NotificationRequestItem.merchantReference}'\n  \
         each: body.notificationItems\n  \
         events: [ { event: payment.done, correlate: item.NotificationRequestItem.merchantReference, id: item.NotificationRequestItem.pspReference } ]\n",
        &[("key", key)],
    );
    let tag = BASE64_STANDARD.encode(mac(hmac::HMAC_SHA256, &hex::decode(key).unwrap(), "psp1:r1"));
    let item = |tag: &str| json!({"NotificationRequestItem": {"pspReference": "psp1", "merchantReference": "r1", "additionalData": {"hmacSignature": tag}}});
    let told = hook.takes(&[], &json!({"notificationItems": [item(&tag)]}).to_string());
    assert_eq!((told.correlate.as_str(), told.id.as_str()), ("r1", "psp1"));
    hook.refuses(&[], &json!({"notificationItems": [item("AAAA")]}).to_string());
    // Each is signed: a forged one beside a good one spoils both.
    hook.refuses(&[], &json!({"notificationItems": [item(&tag), item("AAAA")]}).to_string());
}

#[test]
fn message_signatures_of_rfc_9421_are_checked_over_the_body_that_came() {
    use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    let text = std::fs::read_to_string("docs/connectors.md").unwrap();
    let blocks = crate::docs::blocks(&text, "yaml connector");
    let (_, yaml) = blocks.into_iter().find(|(_, block)| block.contains("connector: message_hooks")).unwrap();
    let keys = Ed25519KeyPair::generate().unwrap();
    let public: PublicKeyX509Der<'_> = keys.public_key().as_der().unwrap();
    let secrets =
        BTreeMap::from([("bank_public_key".to_owned(), Secret::new(BASE64_STANDARD.encode(public.as_ref())))]);
    let hook = Hook { yaml, secrets };
    let body = r#"{"reference": "r1",  "id": "e1"}"#;
    let digest = |body: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        format!("sha-256=:{}:", BASE64_STANDARD.encode(digest))
    };
    let date = "Tue, 14 Nov 2023 22:13:20 GMT";
    let signed = |components: &[(&str, &str)]| {
        let names: Vec<String> = components.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let input = format!("({});created={NOW};keyid=\"bank-2026\"", names.join(" "));
        let lines: String = components.iter().map(|(name, value)| format!("\"{name}\": {value}\n")).collect();
        let base = format!("{lines}\"@signature-params\": {input}");
        let tag = BASE64_STANDARD.encode(keys.sign(base.as_bytes()));
        (format!("sig1={input}"), format!("sig1=:{tag}:"))
    };
    let told = digest(body);
    let (input, tag) = signed(&[("content-digest", &told), ("date", date)]);
    let headers = [("content-digest", told.as_str()), ("date", date), ("signature-input", &input), ("signature", &tag)];
    assert_eq!(hook.takes(&headers, body).id.as_str(), "e1");
    // Another body under the digest that was signed, and a signature that covers less.
    hook.refuses(&headers, &body.replace("r1", "r2"));
    let (input, tag) = signed(&[("date", date)]);
    let headers = [("content-digest", told.as_str()), ("date", date), ("signature-input", &input), ("signature", &tag)];
    hook.refuses(&headers, body);
}

#[test]
fn what_has_no_id_of_its_own_counts_each_time() {
    let hook = hook(
        "  verify: { scheme: shared-secret, secret: '${secret.hook}', given: 'headers[\"x-token\"]' }\n  body: form\n  \
         each: '[body, body]'\n  events: [ { event: payment.changed, correlate: item.id, id: nonce } ]\n",
        &[("hook", "between-us")],
    );
    let told = [1, 2].map(|_| hook.at(NOW, &[("x-token", "between-us")], "id=tr_7").unwrap()).concat();
    let ids: std::collections::BTreeSet<String> = told.iter().map(|told| told.id.to_string()).collect();
    assert_eq!((told.len(), ids.len()), (4, 4), "{told:?}");
    assert!(told.iter().all(|told| told.correlate == "tr_7"));
}

/// A provider who says everything in the address, and wants to hear it again.
#[test]
fn what_comes_by_get_is_signed_in_its_query_and_answered_in_its_words() {
    let hook = hook(
        "  verify:\n    scheme: hmac-sha512\n    secret: '${secret.hook}'\n    content: '${sorted_params(query, [\"hash\"])}'\n    \
         signature: query.hash\n  body: text\n  acknowledge: { body: { RspCode: '00', Id: '${query.id}' } }\n  \
         events: [ { event: payment.done, correlate: query.ref, id: query.id } ]\n",
        &[("hook", "k3y")],
    );
    let tag = hex::encode(mac(hmac::HMAC_SHA512, b"k3y", "id=e1&ref=r1"));
    let come = |query: Value| {
        let connector = load_connector("acme.yaml", &hook.yaml).unwrap();
        let (env, headers) = (BTreeMap::new(), BTreeMap::new());
        let config = WebhookConfig { secrets: &hook.secrets, env: &env };
        let arrived = Arrived { headers: &headers, query: &query, path: "", body: b"", from: None };
        let now = [Timestamp::from_unix_ms(NOW * 1_000)];
        receive(&connector, connector.webhooks.as_ref().unwrap(), &config, &arrived, &now)
    };
    let understood = come(json!({"ref": "r1", "id": "e1", "hash": tag})).unwrap();
    assert_eq!((understood.told.len(), understood.told[0].correlate.as_str()), (1, "r1"));
    assert_eq!(understood.acknowledge.body.as_deref(), Some(r#"{"RspCode":"00","Id":"e1"}"#));
    assert_eq!(understood.acknowledge.content_type, "application/json");
    let forged = come(json!({"ref": "r2", "id": "e1", "hash": tag}));
    assert_eq!(forged, Err(TranslateError::Unverified(WebhookError::Signature)));
}

/// Payments are signed over one set of fields, refunds over another, and one address takes both.
#[test]
fn kinds_of_notifications_may_be_signed_in_different_ways() {
    let way = |fields: &str| {
        format!("    - {{ scheme: digest-sha256, content: '{fields}${{secret.hook}}', signature: body.sign }}\n")
    };
    let ways = way("${body.ref}|${body.amount}|") + &way("${body.ref}|${body.refund}|");
    let hook = hook(&format!("  verify:\n{ways}{EVENTS}"), &[("hook", "k3y")]);
    let sum = |text: &str| hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes()));
    let body = |more: &str, sign: &str| format!(r#"{{"ref": "r1", "id": "e1", {more}, "sign": "{sign}"}}"#);
    for (more, signed) in [(r#""amount": 5"#, "r1|5|k3y"), (r#""refund": "f1""#, "r1|f1|k3y")] {
        assert_eq!(hook.takes(&[], &body(more, &sum(signed))).correlate, "r1");
        hook.refuses(&[], &body(more, &sum("r1|6|k3y")));
        hook.refuses(&[], &body(more, ""));
    }
}

/// Some providers add to the address that they were given, and some are sent back what they sent.
#[test]
fn what_stands_behind_the_name_and_the_text_itself_are_read() {
    let hook = hook(
        "  verify: { scheme: shared-secret, secret: '${secret.hook}', given: 'headers[\"x-key\"] + path' }\n  events:\n    \
         - { when: path == \"/pix\", event: payment.done, correlate: body.ref, id: body.id, payload: { raw: '${raw}', at: '${path}' } }\n",
        &[("hook", "a-shared-k3y/pix")],
    );
    let connector = load_connector("acme.yaml", &hook.yaml).unwrap();
    let config = WebhookConfig { secrets: &hook.secrets, env: &BTreeMap::new() };
    let headers = BTreeMap::from([("x-key".to_owned(), "a-shared-k3y".to_owned())]);
    let come = |path: &str| {
        let arrived = Arrived { headers: &headers, query: &json!({}), path, body: BODY.as_bytes(), from: None };
        receive(&connector, connector.webhooks.as_ref().unwrap(), &config, &arrived, &[Timestamp::from_unix_ms(0)])
    };
    assert_eq!(come("/pix").unwrap().told[0].payload, json!({ "raw": BODY, "at": "/pix" }));
    assert_eq!(come(""), Err(TranslateError::Unverified(WebhookError::Signature)));
}
