//! Providers that are not known to be whom they say.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;

use paystate::definition::load_connector;
use paystate::machine::Outcome;
use serde_json::json;

use super::{build, pay};

const PAY: &str =
    "operations: { pay: { post: /pay, body: { secret: canary }, outcomes: { ok: response.status == 200 } } }";

/// What a client sent before and after the answer.
type Sent = (Vec<u8>, Vec<u8>);

/// A server that answers the first flight of a client with these bytes, and hands on what it was sent.
fn raw(answer: Vec<u8>) -> (SocketAddr, mpsc::Receiver<Sent>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut hello).unwrap();
        stream.write_all(&answer).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).ok();
        send.send((hello, rest)).unwrap();
    });
    (address, receive)
}

/// The answer of a server that would go on with an older version, and a cipher of its time.
fn server_hello(version: u16) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    // No session, ECDHE with AES-128-CBC, no compression.
    body.extend([0, 0xc0, 0x13, 0]);
    let mut handshake = vec![2, 0, 0, u8::try_from(body.len()).unwrap()];
    handshake.extend(body);
    let mut record = vec![22];
    record.extend(version.to_be_bytes());
    record.extend(u16::try_from(handshake.len()).unwrap().to_be_bytes());
    record.extend(handshake);
    record
}

/// `supported_versions` (43) of a client's hello.
fn offered(hello: &[u8]) -> Vec<u16> {
    let number = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
    // Type and length, version, random; then session, ciphers and compressions, each behind its length.
    let mut at = 4 + 2 + 32;
    at += 1 + usize::from(hello[at]);
    at += 2 + number(at);
    at += 1 + usize::from(hello[at]) + 2;
    while number(at) != 43 {
        at += 4 + number(at + 2);
    }
    let versions = &hello[at + 5..at + 5 + usize::from(hello[at + 4])];
    versions.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
}

#[tokio::test]
async fn old_versions_of_tls_are_neither_offered_nor_taken() {
    let alert = vec![21, 3, 1, 0, 2, 2, 70];
    for (what, answer) in [
        ("TLS 1.1", server_hello(0x0302)),
        ("TLS 1.0", server_hello(0x0301)),
        ("SSL 3", server_hello(0x0300)),
        ("a server that knows nothing newer", alert),
    ] {
        let (address, sent) = raw(answer);
        let yaml = format!("base_url: https://localhost:{}\n{PAY}", address.port());
        let outcome = pay(&build(&yaml, |_| {}).unwrap(), json!({})).await;
        assert!(matches!(&outcome, Outcome::NotSent { reason, .. } if reason.contains("TLS")), "{what}: {outcome:?}");
        let (hello, rest) = sent.recv().unwrap();
        let mut versions = offered(&hello);
        versions.sort_unstable();
        assert_eq!(versions, [0x0303, 0x0304], "TLS 1.2 and 1.3");
        // At most an alert: its record is 21, and one with data is 23.
        assert!(rest.is_empty() || rest[0] == 21, "{what}: {rest:?}");
        assert!(!rest.windows(4).any(|part| part == b"POST"), "{what}");
    }
}

#[tokio::test]
async fn a_certificate_that_vouches_for_itself_proves_nothing() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (address, served) = crate::connector_tls::serve_with(made.cert.der().clone(), &made.signing_key);
    let yaml = format!("base_url: https://localhost:{}\n{PAY}", address.port());
    let outcome = pay(&build(&yaml, |_| {}).unwrap(), json!({})).await;
    assert!(matches!(&outcome, Outcome::NotSent { reason, .. } if reason.contains("TLS")), "{outcome:?}");
    assert_eq!(served.load(std::sync::atomic::Ordering::SeqCst), 0);
}

/// There is no word for "do not look": not in a connector, and not on the command line.
#[test]
fn nothing_turns_the_checks_off() {
    for key in ["insecure: true", "verify: false", "skip_verify: true", "min_version: '1.0'", "danger: true"] {
        let yaml = format!("connector: gateway\nbase_url: https://a.example\ntls: {{ {key} }}\n{PAY}");
        let problems = load_connector("gateway.yaml", &yaml).unwrap_err();
        assert!(problems.iter().any(|problem| problem.rule == "unknown-key"), "{key}: {problems:#?}");
    }
    let help = std::process::Command::new(crate::support::paystate()).args(["serve", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap().to_ascii_lowercase();
    assert!(help.contains("--listen") && !help.contains("insecure") && !help.contains("verify"), "{help}");
}
