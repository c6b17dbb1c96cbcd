//! Whether the time that a comparison takes tells how much of a secret was guessed. Two kinds of guesses, one wrong at its
//! first byte and one at its last, are checked in random order, and Welch's t is taken of the times, as dudect does: below
//! 4.5 the two cannot be told apart. A comparison that stops at the first difference is measured too, to see that it would
//! be found. Prints a line of JSON each.
//!
//! `cargo bench --bench timing -- [samples]`: a million takes some minutes. Nothing else should run beside it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use paystate::connector::{Arrived, WebhookConfig, receive, sign_standard_webhook, verify_standard_webhook};
use paystate::definition::{SecretRef, load_connector};
use paystate::types::{Secret, Timestamp};
use serde_json::json;

const TOKEN: &str = "k3yTh4tIsLongEnoughToBeCompared-0123456789abcdefghijklmnopqrstuvwxyz-0123456789";
const HOOK: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: Timestamp = Timestamp::from_unix_ms(1_700_000_000_000);
/// Of one sample, so that the clock is fine enough.
const REPEATS: u32 = 4;

fn main() {
    let samples: u32 = std::env::args().skip(1).find_map(|text| text.parse().ok()).unwrap_or(1_000_000);
    told("a comparison that stops early", samples, |guess: &String| *guess == TOKEN, wrong(TOKEN));

    let secret = Secret::new(TOKEN);
    let [first, last] = wrong(TOKEN);
    told("Secret ==", samples, |guess: &Secret| *guess == secret, [Secret::new(first), Secret::new(last)]);

    let hook = "  verify: { scheme: shared-secret, secret: '${secret.token}', given: 'headers[\"x-token\"]' }";
    told("shared-secret", samples, arrives(hook), wrong(TOKEN).map(|guess| headers(&[("x-token", &guess)])));
    let hook = "  verify: { scheme: basic, username: bank, secret: '${secret.token}' }";
    let login = |guess: String| {
        use base64::Engine as _;
        format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("bank:{guess}")))
    };
    told("basic", samples, arrives(hook), wrong(TOKEN).map(|guess| headers(&[("authorization", &login(guess))])));
    let hook = "  verify: { scheme: hmac-sha256, secret: '${secret.token}', signature: 'headers[\"x-tag\"]', content: '${raw}' }";
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, TOKEN.as_bytes());
    let tag = hex::encode(aws_lc_rs::hmac::sign(&key, BODY));
    told("hmac-sha256", samples, arrives(hook), wrong(&tag).map(|guess| headers(&[("x-tag", &guess)])));

    let signature = sign_standard_webhook(&Secret::new(HOOK), "msg_1", NOW, BODY).unwrap();
    let guesses = wrong(signature.strip_prefix("v1,").unwrap().strip_suffix('=').unwrap());
    let guesses = guesses.map(|guess| {
        let signature = format!("v1,{guess}=");
        headers(&[("webhook-id", "msg_1"), ("webhook-timestamp", "1700000000"), ("webhook-signature", &signature)])
    });
    let (names, secrets) = ([SecretRef("hook".to_owned())], [("hook".to_owned(), Secret::new(HOOK))].into());
    let verify = |headers: &Headers| {
        verify_standard_webhook(&names, Duration::from_secs(300), &secrets, headers, BODY, NOW).is_ok()
    };
    told("standard-webhooks", samples, verify, guesses);
}

type Headers = BTreeMap<String, String>;

const BODY: &[u8] = br#"{"ref": "r1", "id": "e1"}"#;

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The same text, wrong at its first and at its last byte; both are digits or letters as before.
fn wrong(text: &str) -> [String; 2] {
    let other = |at: usize| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[at] = if bytes[at] == b'4' { b'8' } else { b'4' };
        String::from_utf8(bytes).unwrap()
    };
    [other(0), other(text.len() - 1)]
}

fn arrives(verify: &str) -> impl Fn(&Headers) -> bool {
    let yaml = format!(
        "connector: acme\nbase_url: https://acme.example\noperations: {{ ping: {{ get: /ping, outcomes: {{ ok: \
         response.status == 200 }} }} }}\nwebhooks:\n{verify}\n  events: [ {{ event: a.b, correlate: body.ref, id: body.id }} ]\n"
    );
    let connector = load_connector("acme.yaml", &yaml).unwrap();
    let secrets = BTreeMap::from([("token".to_owned(), Secret::new(TOKEN))]);
    move |headers| {
        let config = WebhookConfig { secrets: &secrets, env: &BTreeMap::new() };
        let arrived = Arrived { headers, query: &json!({}), path: "", body: BODY, from: None };
        receive(&connector, connector.webhooks.as_ref().unwrap(), &config, &arrived, &[NOW]).is_ok()
    }
}

fn told<T: Clone>(what: &str, samples: u32, check: impl Fn(&T) -> bool, guesses: [T; 2]) {
    assert!(guesses.iter().all(|guess| !check(guess)), "{what}: both are wrong");
    let mut times: [Vec<f64>; 2] = Default::default();
    for sample in 0..samples {
        let class = usize::from(rand::random::<bool>());
        // A copy of its own, so that not where a guess lies in memory is measured.
        let guess = guesses[class].clone();
        let begun = Instant::now();
        for _ in 0..REPEATS {
            black_box(check(black_box(&guess)));
        }
        let nanos = begun.elapsed().as_nanos() as f64;
        // The first ones warm up.
        if sample >= samples / 20 {
            times[class].push(nanos);
        }
    }
    // Interrupts come when they come: the slowest tenth of all is left out.
    let mut all: Vec<f64> = times.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let bound = all[all.len() * 9 / 10];
    let [first, last] = times.map(|times| moments(times.into_iter().filter(|time| *time <= bound)));
    let t = (first.mean - last.mean) / (first.variance / first.count + last.variance / last.count).sqrt();
    let ns = [first.mean / f64::from(REPEATS), last.mean / f64::from(REPEATS)];
    println!(
        "{}",
        json!({"what": what, "samples": samples, "ns_first": ns[0], "ns_last": ns[1], "t": t, "told_apart": t.abs() > 4.5})
    );
}

struct Moments {
    count: f64,
    mean: f64,
    variance: f64,
}

fn moments(times: impl Iterator<Item = f64>) -> Moments {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for time in times {
        count += 1.0;
        let delta = time - mean;
        mean += delta / count;
        squares += delta * (time - mean);
    }
    Moments { count, mean, variance: squares / (count - 1.0) }
}
