//! A real process, killed while it commits: what it had acknowledged is there, again and again in the same directory.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use paystate::store::conformance::sample::{Next, SampleFold, Samples, order_id, posting};
use paystate::store::{SledStore, Store};
use paystate::types::Seq;

use crate::journal_disk::Dice;
use crate::store_sled::options;

const DIR: &str = "PAYSTATE_TEST_KILL_DIR";
const FIRST: &str = "PAYSTATE_TEST_KILL_FIRST";
const STREAMS: u64 = 4;

#[tokio::test]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let (mut dice, mut acknowledged, mut first) = (Dice(11), Vec::new(), 0_u64);
    for _ in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store_kill::child", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .env(FIRST, first.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut until = None;
        for line in lines {
            let Some((order, seq)) = line.unwrap().strip_prefix("ack ").and_then(parse) else { continue };
            acknowledged.push((order, seq));
            first = first.max(order + 1);
            let until = *until.get_or_insert_with(|| Instant::now() + Duration::from_millis(dice.roll(400)));
            if Instant::now() > until {
                // Its end closes the pipe; until then what it said is read.
                let _ = child.kill();
            }
        }
        child.wait().unwrap();
        first += STREAMS;
        verify(dir.path(), &acknowledged).await;
    }
    assert!(acknowledged.len() > 100, "{} entries were acknowledged", acknowledged.len());
    assert!(!dir.path().join("sled.aside").exists(), "the working store had to be rebuilt");
}

async fn verify(dir: &Path, acknowledged: &[(u64, u64)]) {
    let store = SledStore::open(dir, options(), Arc::new(SampleFold)).unwrap();
    let mut sum = 0;
    for &(order, seq) in acknowledged {
        let stored = store.order(order_id(order)).await.unwrap().unwrap();
        assert!(stored.snapshot.seq >= Seq(seq), "order {order} had {seq}, has {}", stored.snapshot.seq);
    }
    let open = store.open_orders(None, 1_000_000).await.unwrap();
    let query = paystate::store::OrderQuery { limit: 1_000_000, ..Default::default() };
    for snapshot in store.list(&query).await.unwrap() {
        let entries = store.journal(snapshot.id, Seq(0), 1000).await.unwrap();
        assert_eq!(entries.len() as u64, snapshot.seq.0);
        sum += entries.len() as i64;
        assert_eq!(open.iter().any(|open| open.id == snapshot.id), !snapshot.status.is_final());
    }
    assert_eq!(store.balance("merchant", "CNY".parse().unwrap()).await.unwrap(), sum);
    // Not closed: the next one must manage with what a crash leaves.
    drop(store);
}

fn parse(text: &str) -> Option<(u64, u64)> {
    let (order, seq) = text.split_once(' ')?;
    Some((order.parse().ok()?, seq.parse().ok()?))
}

/// The process that is killed. Does nothing unless it was started for that.
#[tokio::test]
#[ignore = "started by another test"]
async fn child() {
    let (Ok(dir), Ok(first)) = (std::env::var(DIR), std::env::var(FIRST)) else { return };
    let first: u64 = first.parse().unwrap();
    let store = Arc::new(SledStore::open(Path::new(&dir), options(), Arc::new(SampleFold)).unwrap());
    let streams = (0..STREAMS).map(|stream| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut samples = Samples::new();
            for round in 0..1000 {
                let order = first + round * STREAMS + stream;
                for step in 1..=4_u64 {
                    let next = Next {
                        to: if step == 4 { "done".into() } else { "a".into() },
                        postings: posting("merchant", 1, "CNY").into_iter().collect(),
                        ..Next::default()
                    };
                    store.commit(Arc::new(vec![samples.next(order_id(order), &next).unwrap()])).await.unwrap();
                    println!("ack {order} {step}");
                }
            }
        })
    });
    for stream in streams.collect::<Vec<_>>() {
        stream.await.unwrap();
    }
}
