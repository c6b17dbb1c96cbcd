//! Bodies, logins and signatures as a definition says: what leaves is checked by other code than what made it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeys, KeySize};
use aws_lc_rs::signature::{self, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use paystate::connector::{Connector as _, HttpConnector};
use paystate::definition::load_connector;
use paystate::machine::Outcome;
use paystate::types::Secret;
use serde_json::{Value, json};

use crate::connector_support::*;

/// A request as it arrived.
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

pub(crate) fn seen(server: &Server) -> Seen {
    parse(&server.requests().pop().expect("a request arrived"))
}

pub(crate) fn parse(request: &str) -> Seen {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines();
    let line = lines.next().unwrap().to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Seen { line, headers, body: body.to_owned() }
}

/// A connector with one operation, `pay`; `what` is all but its name and address.
pub(crate) fn connector(server: &Server, what: &str, secrets: &[(&str, &str)]) -> HttpConnector {
    let yaml = format!("connector: gateway\nbase_url: \"${{env.GATEWAY}}\"\n{what}");
    let definition = load_connector("gateway.yaml", &yaml).unwrap_or_else(|problems| panic!("{problems:#?}\n{yaml}"));
    let mut config = config();
    config.env.insert("GATEWAY".into(), format!("http://{}/api", server.address));
    config.env.insert("MERCHANT".into(), "M-1".into());
    config.secrets.extend(secrets.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))));
    HttpConnector::new(Arc::new(definition), &config).unwrap()
}

pub(crate) async fn pay(connector: &HttpConnector) -> Outcome {
    let mut call = call();
    call.operation = "pay".into();
    connector.invoke(&call).await
}

const OK: &str = "outcomes: { ok: response.status == 200 }";

pub(crate) fn operation(rest: &str) -> String {
    format!("operations:\n  pay:\n    post: /pay\n    {OK}\n{rest}")
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A key pair, in the forms that are asked for.
pub(crate) struct Rsa {
    pub(crate) private: String,
    pub(crate) public: String,
    pub(crate) public_der: Vec<u8>,
    pub(crate) keys: RsaKeys,
}

pub(crate) fn rsa() -> Rsa {
    let keys = RsaKeys::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der<'_> = keys.as_der().unwrap();
    let public: PublicKeyX509Der<'_> = keys.public_key().as_der().unwrap();
    Rsa {
        private: pem("PRIVATE KEY", private.as_ref()),
        public: pem("PUBLIC KEY", public.as_ref()),
        public_der: public.as_ref().to_vec(),
        keys,
    }
}

#[tokio::test]
async fn bodies_are_written_in_the_encoding_that_is_asked_for() {
    let body = "    body: { amount: 12, list: [a, { b: c d }], nested: { x: '1&2' }, none: null }\n";
    for (encoding, kind, expected) in [
        ("json", "application/json", r#"{"amount":12,"list":["a",{"b":"c d"}],"nested":{"x":"1&2"},"none":null}"#),
        (
            "form",
            "application/x-www-form-urlencoded",
            "amount=12&list%5B0%5D=a&list%5B1%5D%5Bb%5D=c%20d&nested%5Bx%5D=1%262",
        ),
        (
            "form-brackets",
            "application/x-www-form-urlencoded",
            "amount=12&list%5B%5D=a&list%5B%5D%5Bb%5D=c%20d&nested%5Bx%5D=1%262",
        ),
    ] {
        let server = Server::replying("200 OK", "{}").await;
        let outcome = pay(&connector(&server, &operation(&format!("    encoding: {encoding}\n{body}")), &[])).await;
        assert!(matches!(outcome, Outcome::Ok { .. }), "{outcome:?}");
        let seen = seen(&server);
        assert_eq!((seen.headers["content-type"].as_str(), seen.body.as_str()), (kind, expected));
    }
    let server = Server::replying("200 OK", "{}").await;
    let xml = "    encoding: xml\n    body: { pay: { '@v': 1, amount: '${with.amount}', note: 'a<b', '#text': '' } }\n";
    pay(&connector(&server, &operation(xml), &[])).await;
    let expected =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><pay v=\"1\"><amount>600</amount><note>a&lt;b</note></pay>";
    assert_eq!(seen(&server).body, expected);
}

#[tokio::test]
async fn answers_are_read_in_the_format_that_is_asked_for_whatever_they_say_that_they_are() {
    let result = "result: { id: '${response.body.r.id}' }";
    for (format, answer) in
        [("json", "\u{feff}{\"r\": {\"id\": \"7\"}}"), ("xml", "<ns:r xmlns:ns='urn:x'><id>7</id></ns:r>")]
    {
        let server = Server::start(vec![Play::Reply(reply("200 OK", &[("content-type", "text/html")], answer))]).await;
        let what = format!(
            "reply: {format}\noperations: {{ pay: {{ post: /pay, money: purchase, idempotency: {{ replay: none }},\n  \
             outcomes: {{ ok: response.status == 200, declined: response.status == 402, {result} }},\n  \
             inquire: {{ get: \"/pay?key=${{key}}\", outcomes: {{ not_found: response.status == 404 }} }} }} }}"
        );
        let outcome = pay(&connector(&server, &what, &[])).await;
        assert_eq!(outcome, Outcome::Ok { result: json!({"id": "7"}) }, "{format}");
        let broken = Server::start(vec![Play::Reply(reply("200 OK", &[], "<r><id>7</r>"))]).await;
        let outcome = pay(&connector(&broken, &what, &[])).await;
        assert!(
            matches!(&outcome, Outcome::Unknown { reason, .. } if reason.contains("the body is not")),
            "{outcome:?}"
        );
    }
    let server =
        Server::start(vec![Play::Reply(reply("200 OK", &[("content-type", "text/html")], "respCode=00&a=b+c"))]);
    let server = server.await;
    let what = "reply: form\noperations: { pay: { post: /pay, outcomes: { ok: response.body.respCode == \"00\" } } }";
    let outcome = pay(&connector(&server, what, &[])).await;
    assert_eq!(outcome, Outcome::Ok { result: json!({"respCode": "00", "a": "b c"}) });
}

#[tokio::test]
async fn secrets_go_into_headers_the_query_and_fields_and_no_signature_sees_them() {
    let server = Server::replying("200 OK", "{}").await;
    let what = operation(
        "    body: { amount: '${with.amount}' }\n\
         auth:\n  headers: { X-Key: 'Key ${secret.api_key}' }\n  query: { k: '${secret.api_key}' }\n  \
         fields: { USER: '${env.MERCHANT}', PWD: '${secret.api_key}' }\n\
         sign: { scheme: digest-sha256, content: '${request.target}|${request.body}|${secret.salt}', header: X-Sign }\n",
    );
    pay(&connector(&server, &what, &[("api_key", "k3y+secret"), ("salt", "pepper42")])).await;
    let seen = seen(&server);
    assert_eq!(seen.line, "POST /api/pay?k=k3y%2Bsecret HTTP/1.1");
    assert_eq!(seen.headers["x-key"], "Key k3y+secret");
    assert_eq!(
        serde_json::from_str::<Value>(&seen.body).unwrap(),
        json!({"amount": 600, "USER": "M-1", "PWD": "k3y+secret"})
    );
    let signed = digest::digest(&digest::SHA256, b"/api/pay|{\"amount\":600}|pepper42");
    assert_eq!(seen.headers["x-sign"], hex::encode(signed));
}

#[tokio::test]
async fn an_hmac_is_made_over_any_part_of_the_request() {
    let server = Server::replying("200 OK", "{}").await;
    let what = operation(
        "    query: { b: 2, a: 'x y' }\n    body: { z: 1, amount: '${with.amount}', empty: '', sign: old }\n    \
         encoding: form\n\
         sign:\n  scheme: hmac-sha512\n  key: '${secret.mac}'\n  key_format: hex\n  encoding: base64\n  \
         content: \"${request.method}\\n${request.path}\\n${sorted_params(request.params)}\\n${sorted_params(request.fields, ['sign'])}\\n${env.MERCHANT}\"\n  \
         field: sign\n",
    );
    pay(&connector(&server, &what, &[("mac", "00ff10")])).await;
    let key = hmac::Key::new(hmac::HMAC_SHA512, &[0, 255, 16]);
    let tag = hmac::sign(&key, b"POST\n/api/pay\na=x y&b=2\namount=600&z=1\nM-1");
    let sign = BASE64_STANDARD.encode(tag).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    assert_eq!(seen(&server).body, format!("z=1&amount=600&empty=&sign={sign}"));
}

#[tokio::test]
async fn wechat_pay_can_be_signed_and_its_answers_verified() {
    let (ours, theirs) = (rsa(), rsa());
    let answer = r#"{"prepay_id":"wx26"}"#;
    let stamp = (NOW_MS / 1_000).to_string();
    let message = format!("{stamp}\nn0nce\n{answer}\n");
    let mut tag = vec![0; theirs.keys.public_modulus_len()];
    theirs
        .keys
        .sign(&signature::RSA_PKCS1_SHA256, &aws_lc_rs::rand::SystemRandom::new(), message.as_bytes(), &mut tag)
        .unwrap();
    let tag = BASE64_STANDARD.encode(tag);
    let headers = |serial: &'static str, tag: &str| {
        let all = [("wechatpay-timestamp", stamp.as_str()), ("wechatpay-nonce", "n0nce"), ("wechatpay-serial", serial)];
        let mut all: Vec<(&str, &str)> = all.to_vec();
        all.push(("wechatpay-signature", tag));
        reply("200 OK", &all, answer)
    };
    let what = operation(
        "    body: { out_trade_no: '${short_key(order.id)}', amount: { total: '${with.amount}' } }\n\
         sign:\n  scheme: rsa-sha256\n  key: '${secret.private}'\n  \
         content: \"${request.method}\\n${request.target}\\n${unix(now)}\\n${nonce}\\n${request.body}\\n\"\n  \
         header: Authorization\n  \
         value: 'WECHATPAY2-SHA256-RSA2048 mchid=\"${env.MERCHANT}\",nonce_str=\"${nonce}\",signature=\"${signature}\",timestamp=\"${unix(now)}\"'\n\
         verify:\n  scheme: rsa-sha256\n  keys: { PUB_1: '${secret.public}' }\n  key_id: headers[\"wechatpay-serial\"]\n  \
         content: \"${headers['wechatpay-timestamp']}\\n${headers['wechatpay-nonce']}\\n${raw}\\n\"\n  \
         signature: headers[\"wechatpay-signature\"]\n  timestamp: headers[\"wechatpay-timestamp\"]\n",
    );
    let secrets = [("private", ours.private.as_str()), ("public", theirs.public.as_str())];
    let server = Server::start(vec![
        Play::Reply(headers("PUB_1", &tag)),
        Play::Reply(headers("PUB_2", &tag)),
        Play::Reply(headers("PUB_1", &BASE64_STANDARD.encode([1; 256]))),
        Play::Reply(reply("200 OK", &[], answer)),
    ])
    .await;
    let connector = connector(&server, &what, &secrets);
    assert_eq!(pay(&connector).await, Outcome::Ok { result: json!({"prepay_id": "wx26"}) });
    for case in ["of another key", "forged", "missing"] {
        let outcome = pay(&connector).await;
        let told = matches!(&outcome, Outcome::Unknown { reason, .. } if reason.contains("not believed"));
        assert!(told, "{case}: {outcome:?}");
    }
    let seen = parse(&server.requests()[0]);
    let authorization = &seen.headers["authorization"];
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=\"")).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    let signed = format!("POST\n/api/pay\n{}\n{}\n{}\n", part("timestamp"), part("nonce_str"), seen.body);
    let public: PublicKeyX509Der<'_> = ours.keys.public_key().as_der().unwrap();
    let public = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, public.as_ref().to_vec());
    public.verify(signed.as_bytes(), &BASE64_STANDARD.decode(part("signature")).unwrap()).unwrap();
    assert_eq!((part("timestamp"), part("mchid")), (stamp, "M-1".to_owned()));
}

#[tokio::test]
async fn message_signatures_are_what_rfc_9421_says() {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
    let keys = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let text = std::fs::read_to_string("docs/connectors.md").unwrap();
    let (_, example) = crate::docs::blocks(&text, "yaml connector")
        .into_iter()
        .find(|(_, block)| block.contains("connector: message_signatures"))
        .unwrap();
    let server = Server::replying("201 Created", "{}").await;
    let example = example.replace("https://bank.example", &format!("http://{}", server.address));
    let definition = load_connector("message_signatures.yaml", &example).unwrap();
    let mut config = config();
    config.env.insert("BANK_KEY_ID".into(), "key-1".into());
    config.secrets.insert("bank_private_key".into(), Secret::new(pem("PRIVATE KEY", pkcs8.as_ref())));
    pay(&HttpConnector::new(Arc::new(definition), &config).unwrap()).await;
    let seen = seen(&server);
    let body = digest::digest(&digest::SHA256, seen.body.as_bytes());
    let content = format!("sha-256=:{}:", BASE64_STANDARD.encode(body));
    assert_eq!(seen.headers["content-digest"], content);
    let input = seen.headers["signature-input"].strip_prefix("sig1=").unwrap();
    assert_eq!(
        input,
        format!("(\"@method\" \"@target-uri\" \"content-digest\");created={};keyid=\"key-1\"", NOW_MS / 1_000)
    );
    let base = format!(
        "\"@method\": POST\n\"@target-uri\": http://{}/payments\n\"content-digest\": {content}\n\"@signature-params\": {input}",
        server.address
    );
    let signature = seen.headers["signature"].strip_prefix("sig1=:").unwrap().strip_suffix(':').unwrap();
    let public = UnparsedPublicKey::new(&signature::ED25519, keys.public_key().as_ref());
    public.verify(base.as_bytes(), &BASE64_STANDARD.decode(signature).unwrap()).unwrap();
}

#[tokio::test]
async fn each_curve_signs_with_its_hash() {
    use signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaKeyPair};
    let curves = [
        ("es256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING, &ECDSA_P256_SHA256_FIXED),
        ("es384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING, &ECDSA_P384_SHA384_FIXED),
        ("es512", &signature::ECDSA_P521_SHA512_FIXED_SIGNING, &ECDSA_P521_SHA512_FIXED),
    ];
    for (scheme, signs, checks) in curves {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signs, &aws_lc_rs::rand::SystemRandom::new()).unwrap();
        let keys = EcdsaKeyPair::from_pkcs8(signs, pkcs8.as_ref()).unwrap();
        let public: PublicKeyX509Der<'_> = keys.public_key().as_der().unwrap();
        let (private, public) = (pem("PRIVATE KEY", pkcs8.as_ref()), pem("PUBLIC KEY", public.as_ref()));
        // The answer is the signature that came: it is checked by the connector as well, over the same text.
        let what = operation("    body: { a: 1 }\n")
            + &format!(
                "sign: {{ scheme: {scheme}, key: '${{secret.private}}', content: 'text', header: X-Signature }}\n"
            );
        let secrets = [("private", private.as_str()), ("public", public.as_str())];
        let server = Server::replying("200 OK", "{}").await;
        pay(&connector(&server, &what, &secrets)).await;
        let tag = seen(&server).headers["x-signature"].clone();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&tag).unwrap();
        UnparsedPublicKey::new(checks, keys.public_key().as_ref()).verify(b"text", &bytes).unwrap();
        for (content, believed) in [("text", true), ("other", false)] {
            let what = operation("")
                + &format!(
                    "verify: {{ scheme: {scheme}, secret: '${{secret.public}}', content: \"{content}${{raw.substring(2)}}\", signature: 'headers[\"x-tag\"]' }}\n"
                );
            let answer = reply("200 OK", &[("x-tag", &tag)], "{}");
            let server = Server::start(vec![Play::Reply(answer)]).await;
            let outcome = pay(&connector(&server, &what, &secrets)).await;
            assert_eq!(matches!(outcome, Outcome::Ok { .. }), believed, "{scheme} {content}: {outcome:?}");
        }
    }
}

#[tokio::test]
async fn a_json_web_token_can_be_made() {
    let server = Server::replying("200 OK", "{}").await;
    let what = operation(
        "    body: { a: 1 }\n\
         sign:\n  scheme: hmac-sha256\n  key: '${secret.mac}'\n  encoding: base64url\n  \
         content: '${base64url(json({\"alg\": \"HS256\"}))}.${base64url(json({\"iat\": unix(now), \"sub\": key}))}'\n  \
         header: Authorization\n  value: 'Bearer ${content}.${signature}'\n",
    );
    pay(&connector(&server, &what, &[("mac", "a secret of some length")])).await;
    let token = seen(&server).headers["authorization"].strip_prefix("Bearer ").unwrap().to_owned();
    let (content, tag) = token.rsplit_once('.').unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret of some length");
    hmac::verify(&key, content.as_bytes(), &BASE64_URL_SAFE_NO_PAD.decode(tag).unwrap()).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(content.split_once('.').unwrap().1).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&claims).unwrap()["iat"], NOW_MS / 1_000);
}

#[tokio::test]
async fn parts_of_a_body_are_sealed_for_the_provider_and_its_answers_opened() {
    let (theirs, ours) = (rsa(), rsa());
    let server = Server::replying("200 OK", "{}").await;
    let what = operation(
        "    body: { card: { number: '4111111111111111' }, note: open, absent: null }\n    \
         encrypt: { key: '${secret.public}', key_id: '${env.MERCHANT}', fields: [card, absent] }\n",
    );
    pay(&connector(&server, &what, &[("public", &theirs.public)])).await;
    let body: Value = serde_json::from_str(&seen(&server).body).unwrap();
    assert_eq!((&body["note"], &body["absent"]), (&json!("open"), &Value::Null));
    let sealed = body["card"].as_str().unwrap();
    let header: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(sealed.split('.').next().unwrap()).unwrap()).unwrap();
    assert_eq!(header, json!({"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "M-1"}));

    // What was sealed for a provider is opened by the key that belongs to it, here as an answer to us.
    let to_us = Server::replying("200 OK", "{}").await;
    let what = operation("    body: { it: { id: 7 } }\n    encrypt: { key: '${secret.public}', fields: [it] }\n");
    pay(&connector(&to_us, &what, &[("public", &ours.public)])).await;
    let sealed = serde_json::from_str::<Value>(&seen(&to_us).body).unwrap()["it"].as_str().unwrap().to_owned();
    let what = operation("decrypt: { scheme: jwe, secret: '${secret.private}', text: body.sealed }\n")
        .replace("response.status == 200 }", "response.status == 200, result: { id: '${response.decrypted.id}' } }");
    let answers = [json!({"sealed": sealed}), json!({"sealed": sealed.replace('.', "..")}), json!({})];
    let plays = answers.iter().map(|answer| Play::Reply(reply("200 OK", &[], &answer.to_string()))).collect();
    let server = Server::start(plays).await;
    let connector = connector(&server, &what, &[("private", &ours.private)]);
    assert_eq!(pay(&connector).await, Outcome::Ok { result: json!({"id": 7}) });
    for _ in 1..answers.len() {
        assert!(matches!(pay(&connector).await, Outcome::Unknown { .. }));
    }
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_told_when_the_connector_is_built() {
    let server = Server::replying("200 OK", "{}").await;
    for scheme in ["rsa-sha256", "ed25519", "es256", "ecdsa-p256-sha256"] {
        let what =
            operation(&format!("sign: {{ scheme: {scheme}, key: '${{secret.key}}', content: x, header: X-Sign }}\n"));
        let yaml = format!("connector: gateway\nbase_url: http://{}\n{what}", server.address);
        let definition = load_connector("gateway.yaml", &yaml).unwrap();
        let mut config = config();
        config.secrets.insert("key".into(), Secret::new("no key of any kind"));
        let error = HttpConnector::new(Arc::new(definition), &config).unwrap_err().to_string();
        assert!(error.starts_with("secret key cannot be used: not ") && !error.contains("of any kind"), "{error}");
    }
}

#[tokio::test]
async fn what_the_customer_sends_is_signed_and_stays_here() {
    let key = rsa();
    let server = Server::replying("200 OK", "{}").await;
    let form = "    sent_by: customer\n    encoding: form\n    query: { a: x y }\n    \
        body: { order: { amount: '${with.amount}' }, none: null, at: \"${format_time(sent_at, '%H%M')}\" }\n";
    let sign = "sign: { scheme: rsa-sha256, key: \"${secret.ours}\", content: \"${request.body}\", field: tag }\n";
    let connector = connector(&server, &format!("{sign}{}", operation(form)), &[("ours", &key.private)]);
    let Outcome::Ok { result } = pay(&connector).await else { panic!("it is made") };
    assert!(server.requests().is_empty(), "and not sent");
    assert_eq!((&result["method"], result["url"].as_str().unwrap()), (&json!("POST"), url(&server).as_str()));
    let at = call().sent_at.to_string()[11..16].replace(':', "");
    let signed = format!("order%5Bamount%5D=600&at={at}");
    let tag = BASE64_STANDARD.decode(result["fields"]["tag"].as_str().unwrap()).unwrap();
    let public = UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &key.public_der);
    public.verify(signed.as_bytes(), &tag).unwrap();
    assert_eq!((&result["fields"]["order[amount]"], &result["fields"]["at"]), (&json!("600"), &json!(at)));
    assert_eq!(result["fields"].as_object().unwrap().len(), 3);
}

fn url(server: &Server) -> String {
    format!("http://{}/api/pay?a=x%20y", server.address)
}

#[tokio::test]
async fn the_time_at_which_a_key_was_first_sent_is_the_same_for_repeats_and_inquiries() {
    let server = Server::replying("200 OK", "{}").await;
    let form = "    body: { at: '${sent_at}' }\n    inquire: { post: '/ask?of=${key}', body: { at: '${sent_at}' } }\n";
    let connector = connector(&server, &operation(form), &[]);
    let mut call = call();
    call.operation = "pay".into();
    call.sent_at = paystate::types::Timestamp::from_unix_ms(1_700_000_000_000);
    connector.invoke(&call).await;
    call.attempt = paystate::types::Attempt(7);
    connector.invoke(&call).await;
    connector.inquire(&call).await;
    let bodies: Vec<String> = server.requests().iter().map(|request| parse(request).body).collect();
    assert_eq!(bodies, [r#"{"at":"2023-11-14T22:13:20.000Z"}"#; 3]);
}
