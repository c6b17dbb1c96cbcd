//! How fast the store commits, restarts and rebuilds. Prints one line of JSON.
//!
//! `cargo bench --bench journal -- [entries] [batch] [streams]`; the directory is that of the system's temporary files.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may panic")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use paystate::store::conformance::sample::{Next, SampleFold, Samples, order_id, posting};
use paystate::store::{Commit, SledOptions, SledStore, Store};
use paystate::types::Seq;

const STEPS: usize = 8;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let entries = numbers.first().copied().unwrap_or(200_000);
    let batch = numbers.get(1).copied().unwrap_or(128);
    let streams = numbers.get(2).copied().unwrap_or(8);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(run(entries, batch, streams));
}

async fn run(entries: usize, batch: usize, streams: usize) {
    let dir = tempfile::tempdir().unwrap();
    let work: Vec<Vec<Vec<Commit>>> =
        (0..streams).map(|stream| prepare(stream, entries / streams / batch / STEPS, batch)).collect();
    let count: usize = work.iter().flatten().map(Vec::len).sum();
    let store = Arc::new(SledStore::open(dir.path(), SledOptions::default(), Arc::new(SampleFold)).unwrap());
    // The first segments are being filled with zeros; that is not what is measured.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (cpu, begun, from) = (cpu(), Instant::now(), store.log().end());
    let tasks = work.into_iter().map(|batches| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut waits = Vec::with_capacity(batches.len());
            for batch in batches {
                let begun = Instant::now();
                store.commit(Arc::new(batch)).await.unwrap();
                waits.push(begun.elapsed());
            }
            waits
        })
    });
    let mut waits = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        waits.extend(task.await.unwrap());
    }
    let committed = begun.elapsed();
    let cpu_commit = self::cpu() - cpu;
    let bytes = store.log().end().0 - from.0;
    let reading = Instant::now();
    for n in 0..2000 {
        assert_eq!(store.journal(order_id(n), Seq(0), 100).await.unwrap().len(), STEPS);
    }
    let reading = reading.elapsed();
    let closing = Instant::now();
    store.close().await.unwrap();
    let (closed, cpu_all) = (closing.elapsed(), self::cpu() - cpu);
    drop(store);
    let opened = reopen(dir.path()).await;
    std::fs::remove_dir_all(dir.path().join("sled")).unwrap();
    let rebuilt = reopen(dir.path()).await;
    waits.sort_unstable();
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_micros();
    println!(
        "{{\"entries\":{count},\"batch\":{batch},\"streams\":{streams},\"entries_per_s\":{:.0},\"p50_us\":{},\"p99_us\":{},\
         \"cpu_us_per_entry\":{:.2},\"cpu_us_per_entry_with_close\":{:.2},\"journal_bytes_per_entry\":{},\
         \"close_ms\":{},\"open_ms\":{},\"rebuild_entries_per_s\":{:.0},\"history_of_8_us\":{}}}",
        count as f64 / committed.as_secs_f64(),
        at(0.5),
        at(0.99),
        cpu_commit.as_secs_f64() * 1e6 / count as f64,
        cpu_all.as_secs_f64() * 1e6 / count as f64,
        bytes / count as u64,
        closed.as_millis(),
        opened.as_millis(),
        count as f64 / rebuilt.as_secs_f64(),
        reading.as_micros() / 2000,
    );
}

/// Rounds of batches: each batch moves as many orders by one step.
fn prepare(stream: usize, rounds: usize, batch: usize) -> Vec<Vec<Commit>> {
    let mut samples = Samples::new();
    let mut batches = Vec::new();
    for round in 0..rounds {
        let first = (stream * rounds + round) * batch;
        for step in 0..STEPS {
            let orders = first..first + batch;
            batches.push(orders.map(|n| commit(&mut samples, n as u64, step)).collect());
        }
    }
    batches
}

fn commit(samples: &mut Samples, n: u64, step: usize) -> Commit {
    let postings = if step == 3 {
        [posting("customers", -600, "CNY"), posting("merchant", 600, "CNY")].into_iter().flatten().collect()
    } else {
        Vec::new()
    };
    let next = Next {
        to: if step == STEPS - 1 { "done".into() } else { format!("state_{step}") },
        event: (step == 5).then(|| format!("evt_{n}")),
        postings,
        key: Some((format!("order-{n}"), "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".into())),
        note: if step == 0 || step == 5 { "n".repeat(450) } else { String::new() },
        refund_of: None,
        child_of: None,
    };
    samples.next(order_id(n), &next).unwrap()
}

async fn reopen(dir: &std::path::Path) -> Duration {
    let begun = Instant::now();
    let store = SledStore::open(dir, SledOptions::default(), Arc::new(SampleFold)).unwrap();
    let opened = begun.elapsed();
    store.close().await.unwrap();
    opened
}

/// What the process has used so far, where the system tells.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let used: u64 = ticks.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(used * 10)
}
