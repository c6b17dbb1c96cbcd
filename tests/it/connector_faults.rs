//! Faults between us and a provider: each has its outcome, and nothing is sent twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use paystate::connector::Connector as _;
use paystate::machine::Outcome;
use tokio::net::TcpListener;

use crate::connector_support::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn is_unknown(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unknown { .. })
}

fn is_not_sent(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::NotSent { .. })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_the_request_may_have_been_written_every_fault_is_unknown() {
    let good = reply("201 Created", &[], APPROVED);
    let cut = good[..good.len() - 10].to_vec();
    let bomb = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..64 {
            encoder.write_all(&[b' '; 1 << 20]).unwrap();
        }
        raw_reply("201 Created", &[("content-encoding", "gzip")], &encoder.finish().unwrap())
    };
    assert!(bomb.len() < 100_000);
    let plays = [
        Play::Close,
        Play::Reset,
        Play::Silent,
        Play::Reply(cut),
        Play::Reply(b"garbage that is not HTTP\r\n\r\n".to_vec()),
        Play::Reply(b"HTTP/1.1 201 Cre".to_vec()),
        Play::Reply(b"HTTP/1.1 201 Created\r\ncontent-length: 99999999999999999999\r\n\r\n".to_vec()),
        Play::Reply([b"HTTP/1.1 201 Created\r\n".to_vec(), b"x: y\r\n".repeat(10_000), b"\r\n".to_vec()].concat()),
        Play::Reply(reply("201 Created", &[], &format!("{APPROVED}{}", " ".repeat(2 << 20)))),
        Play::Reply(bomb),
        Play::Endless,
        Play::Drip(good, ms(100)),
    ];
    let check = |play: Play| async move {
        let shown = format!("{play:?}").chars().take(60).collect::<String>();
        let server = Server::start(vec![play]).await;
        let connector = gateway(&server);
        let started = Instant::now();
        let outcome = connector.invoke(&invocation(ms(1_500))).await;
        assert!(is_unknown(&outcome), "{shown}: {outcome:?}");
        assert!(started.elapsed() < ms(15_000), "{shown}: {:?}", started.elapsed());
        tokio::time::sleep(ms(20)).await;
        assert_eq!(server.requests().len(), 1, "{shown}: sent once");
        assert!(!format!("{outcome:?} {connector:?}").contains(SECRET), "{shown}");
    };
    futures_util::future::join_all(plays.map(check)).await;
}

#[tokio::test]
async fn a_connection_that_closes_before_it_reads_is_not_taken_for_unsent() {
    let server = Server::start(vec![Play::CloseAtOnce]).await;
    let outcome = gateway(&server).invoke(&call()).await;
    assert!(is_unknown(&outcome), "{outcome:?}");
}

#[tokio::test]
async fn what_never_connected_is_not_sent() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().port()
    };
    let refused = connect(http(&format!("http://127.0.0.1:{port}")), authorize()).invoke(&call()).await;
    assert!(is_not_sent(&refused), "{refused:?}");
    assert!(format!("{refused:?}").contains("refused"), "{refused:?}");

    let nowhere = connect(http(&format!("https://{}.invalid", "x".repeat(64))), authorize()).invoke(&call()).await;
    assert!(is_not_sent(&nowhere), "{nowhere:?}");

    // Accepts, and never says a word of TLS: the deadline comes first, and the body was not taken yet.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://127.0.0.1:{}", mute.local_addr().unwrap().port());
    let started = Instant::now();
    let outcome = connect(http(&base), authorize()).invoke(&invocation(ms(300))).await;
    assert!(is_not_sent(&outcome), "{outcome:?}");
    assert!(started.elapsed() < ms(9_000));
}

#[tokio::test]
async fn a_kept_connection_that_breaks_under_a_request_does_not_send_it_again() {
    let good = reply("201 Created", &[], APPROVED);
    for fault in [Play::Close, Play::Reset, Play::Silent] {
        let server = Server::start(vec![Play::Keep(good.clone()), fault, Play::Keep(good.clone())]).await;
        let connector = gateway(&server);
        assert!(matches!(connector.invoke(&call()).await, Outcome::Ok { .. }));
        tokio::time::sleep(ms(20)).await;
        let second = connector.invoke(&invocation(ms(500))).await;
        assert!(is_unknown(&second), "{second:?}");
        tokio::time::sleep(ms(50)).await;
        assert_eq!(server.requests().len(), 2, "sent once each");
        assert!(matches!(connector.invoke(&call()).await, Outcome::Ok { .. }));
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let good = reply("201 Created", &[], APPROVED);
    let server = Server::start(vec![Play::KeepThenClose(good)]).await;
    let connector = gateway(&server);
    for _ in 0..3 {
        assert!(matches!(connector.invoke(&call()).await, Outcome::Ok { .. }));
        tokio::time::sleep(ms(600)).await;
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn requests_racing_with_closing_connections_arrive_at_most_once_each() {
    let good = reply("201 Created", &[], APPROVED);
    // The server closes after about 50 ms, and the requests come after about 50 ms.
    let server = Server::start(vec![Play::KeepThenClose(good)]).await;
    let connector = Arc::new(gateway(&server));
    let mut told_ok = 0;
    for index in 0..40_u64 {
        let mut invocation = invocation(ms(1_000));
        invocation.key = format!("race-{index}");
        match connector.invoke(&invocation).await {
            Outcome::Ok { .. } => told_ok += 1,
            Outcome::Unknown { .. } => {}
            other => panic!("{other:?}"),
        }
        tokio::time::sleep(Duration::from_micros(48_000 + index * 100)).await;
    }
    let requests = server.requests();
    for index in 0..40 {
        let key = format!("idempotency-key: race-{index}\r\n");
        let times = requests.iter().filter(|request| request.to_ascii_lowercase().contains(&key)).count();
        assert!(times <= 1, "race-{index} arrived {times} times");
    }
    assert!(told_ok > 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let target = Server::replying("201 Created", APPROVED).await;
    let location = format!("http://{}/v1/authorizations", target.address);
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
        let bytes = reply(status, &[("location", location.as_str())], "");
        let server = Server::start(vec![Play::Reply(bytes)]).await;
        assert!(is_unknown(&gateway(&server).invoke(&call()).await), "{status}");
    }
    assert!(target.requests().is_empty());
}

#[tokio::test]
async fn a_compressed_answer_is_read() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(APPROVED.as_bytes()).unwrap();
    let bytes = raw_reply("201 Created", &[("content-encoding", "gzip")], &encoder.finish().unwrap());
    let server = Server::start(vec![Play::Reply(bytes)]).await;
    assert!(matches!(gateway(&server).invoke(&call()).await, Outcome::Ok { .. }));
}

#[tokio::test]
async fn reasons_show_nothing_of_the_provider_or_of_us() {
    let canary = "CANARY-9c2e 4111111111111111";
    let status = format!("599 {canary} {SECRET}");
    let body = format!(r#"{{"status": "{canary}", "echo": "{SECRET}"}}"#);
    let server = Server::start(vec![Play::Reply(reply(&status, &[("x-echo", SECRET)], &body))]).await;
    let shown = format!("{:?}", gateway(&server).invoke(&call()).await);
    for secret in ["CANARY", "4111", SECRET] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
