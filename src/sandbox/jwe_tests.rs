//! Sealed payments: what opens, what does not, and that a browser's cryptography makes the same bytes.

use std::process::Command;

use super::*;

const CARD: &[u8] = br#"{"card":"4111111111111111","expiry":"12/30"}"#;

fn digest_of_order() -> String {
    order_digest("shop-1", 1250, "CNY", "credit_card")
}

fn recode(compact: &str, part: usize, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut parts: Vec<String> = compact.split('.').map(str::to_owned).collect();
    let mut bytes = BASE64URL.decode(&parts[part]).unwrap();
    change(&mut bytes);
    parts[part] = BASE64URL.encode(bytes);
    parts.join(".")
}

#[test]
fn what_was_sealed_is_opened_with_its_header() {
    let key = PrivateKey::generate().unwrap();
    let compact = encrypt(key.public(), &digest_of_order(), CARD).unwrap();
    assert_eq!(compact.split('.').count(), 5);
    let opened = key.decrypt(&compact).unwrap();
    assert_eq!(&*opened.plaintext, CARD);
    assert_eq!(opened.header.order_digest, digest_of_order());
    assert_eq!(opened.header.kid.as_deref(), Some(key.public().kid.as_str()));
    assert_eq!(peek(&compact).unwrap(), opened.header);
    assert_eq!(opened.id, key.decrypt(&compact).unwrap().id);
    let again = encrypt(key.public(), &digest_of_order(), CARD).unwrap();
    assert_ne!(compact, again);
    assert_ne!(opened.id, key.decrypt(&again).unwrap().id);
}

#[test]
fn every_altered_part_is_refused_with_one_error() {
    let key = PrivateKey::generate().unwrap();
    let compact = encrypt(key.public(), &digest_of_order(), CARD).unwrap();
    for part in 1..5 {
        let altered = recode(&compact, part, |bytes| bytes[0] ^= 1);
        assert_eq!(key.decrypt(&altered).err(), Some(JweError::Refused), "part {part}");
    }
    let moved = recode(&compact, 0, |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let other = order_digest("shop-2", 1250, "CNY", "credit_card");
        *bytes = text.replace(&digest_of_order(), &other).into_bytes();
    });
    assert_eq!(key.decrypt(&moved).err(), Some(JweError::Refused));
    // The same JSON with other white space: the bytes of the header are authenticated, not their meaning.
    let spaced = recode(&compact, 0, |bytes| bytes.insert(1, b' '));
    assert_eq!(key.decrypt(&spaced).err(), Some(JweError::Refused));
}

#[test]
fn another_key_opens_nothing() {
    let key = PrivateKey::generate().unwrap();
    let other = PrivateKey::generate().unwrap();
    let compact = encrypt(key.public(), &digest_of_order(), CARD).unwrap();
    assert_eq!(other.decrypt(&compact).err(), Some(JweError::Refused));
}

#[test]
fn malformed_and_unsupported_texts_are_told_apart_from_altered_ones() {
    let key = PrivateKey::generate().unwrap();
    let compact = encrypt(key.public(), &digest_of_order(), CARD).unwrap();
    for text in ["", "....", "a.b.c", &format!("{compact}.x"), &format!("{compact}="), &"A".repeat(MAX_COMPACT + 1)] {
        assert_eq!(key.decrypt(text).err(), Some(JweError::Malformed), "{text}");
    }
    for (from, to) in [("RSA-OAEP-256", "RSA1_5"), ("A256GCM", "A128GCM"), (r#""enc""#, r#""crit":["b64"],"enc""#)] {
        let other = recode(&compact, 0, |bytes| {
            *bytes = String::from_utf8(bytes.clone()).unwrap().replace(from, to).into_bytes();
        });
        assert_eq!(key.decrypt(&other).err(), Some(JweError::Unsupported), "{to}");
    }
    let unknown = r#"{"alg":"RSA-OAEP-256","enc":"A256GCM","order_digest":"x","typ":"JOSE"}"#;
    let extended = recode(&compact, 0, |bytes| *bytes = unknown.as_bytes().to_vec());
    assert_eq!(peek(&extended).unwrap().order_digest, "x", "unknown members are ignored");
}

#[test]
fn the_digest_depends_on_every_part_of_the_order() {
    assert_eq!(digest_of_order().len(), 43);
    let others = [
        order_digest("shop-2", 1250, "CNY", "credit_card"),
        order_digest("shop-1", 1251, "CNY", "credit_card"),
        order_digest("shop-1", 1250, "USD", "credit_card"),
        order_digest("shop-1", 1250, "CNY", "bank_card"),
    ];
    assert!(others.iter().all(|other| *other != digest_of_order()));
}

/// The module of the shop's page runs in Node, whose WebCrypto is the one of browsers, and is opened here.
#[test]
fn what_the_shops_page_seals_is_opened() {
    let key = PrivateKey::generate().unwrap();
    let module = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sandbox/shop/page/seal.js");
    let script = format!(
        "import {{ orderDigest, seal }} from 'data:text/javascript;base64,{}';
         const key = {};
         const digest = await orderDigest({{ merchant_order: 'shop-1', amount: 1250, currency: 'CNY' }}, 'credit_card');
         console.log(await seal(key, digest, {{ card: '4111111111111111' }}));",
        base64::prelude::BASE64_STANDARD.encode(std::fs::read(module).unwrap()),
        serde_json::to_string(key.public()).unwrap(),
    );
    let Ok(output) = Command::new("node").args(["--input-type=module", "-e", &script]).output() else {
        eprintln!("skipped: 1 (no node)");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let opened = key.decrypt(String::from_utf8(output.stdout).unwrap().trim()).unwrap();
    assert_eq!(&*opened.plaintext, br#"{"card":"4111111111111111"}"#);
    assert_eq!(opened.header.order_digest, digest_of_order());
}
