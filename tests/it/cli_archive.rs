//! `paystate archive`, and what the configuration says of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use paystate::journal::JournalOptions;
use paystate::store::conformance::sample::{Next, SampleFold, Samples, order_id};
use paystate::store::{OrderQuery, SledOptions, SledStore, Store};
use serde_json::Value;

use crate::cli::{fails, run, text};
use crate::support::paystate;

fn open(dir: &Path) -> SledStore {
    let journal = JournalOptions { segment_size: 64 * 1024, ..JournalOptions::default() };
    SledStore::open(dir, SledOptions { journal, ..SledOptions::default() }, Arc::new(SampleFold)).unwrap()
}

/// 300 orders from long ago, 200 of which have ended.
async fn fill(dir: &Path) {
    let (store, mut samples) = (open(dir), Samples::new());
    for step in 0..3_u64 {
        for from in (0..300).step_by(50) {
            let batch = (from..from + 50).map(|n| {
                let to = if step == 2 && n % 3 != 0 { "done" } else { "a" };
                let next = Next {
                    to: to.into(),
                    event: Some(format!("evt_{step}")),
                    note: "x".repeat(200),
                    ..Next::default()
                };
                samples.next(order_id(n), &next).unwrap()
            });
            store.commit(Arc::new(batch.collect())).await.unwrap();
        }
    }
    store.close().await.unwrap();
}

fn archive(dir: &Path, more: &[&str]) -> Output {
    let data = dir.to_str().unwrap();
    Command::new(paystate()).args([&["archive", "--data", data], more].concat()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_archives_what_has_ended() {
    let folder = tempfile::tempdir().unwrap();
    fails(
        &archive(folder.path(), &[]),
        2,
        &format!("error: there are no orders in {}: no daemon has used it with --data", folder.path().display()),
    );
    let short = archive(folder.path(), &["--older-than", "6d"]);
    assert_eq!(short.status.code(), Some(2));
    assert!(text(&short.stderr).contains("6d is too short: 7d at the least"), "{}", text(&short.stderr));

    fill(folder.path()).await;
    let store = open(folder.path());
    let locked = archive(folder.path(), &["--json"]);
    let problem: Value = serde_json::from_slice(&locked.stderr).expect("a problem");
    assert_eq!(locked.status.code(), Some(2));
    assert!(problem["detail"].as_str().unwrap().starts_with("another daemon uses "), "{problem}");
    store.close().await.unwrap();
    drop(store);

    let dry = archive(folder.path(), &["--dry-run"]);
    let segments = text(&dry.stdout).lines().nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap();
    assert!(segments > 1, "{}", text(&dry.stdout));
    let expected = format!(
        "200 orders that have not changed for 30d would be archived\n{segments} segments of the journal would be packed\n"
    );
    assert_eq!(text(&dry.stdout), expected);
    let done = archive(folder.path(), &["--older-than", "14d", "--json"]);
    let done: Value = serde_json::from_slice(&done.stdout).unwrap_or_else(|_| panic!("{}", text(&done.stderr)));
    assert_eq!((&done["orders_archived"], &done["orders_kept"]), (&200.into(), &0.into()), "{done}");
    assert_eq!((&done["segments_packed"], &done["dry_run"]), (&segments.into(), &false.into()), "{done}");
    assert!(done["bytes_after"].as_u64() < done["bytes_before"].as_u64(), "{done}");
    let again = archive(folder.path(), &[]);
    let said = text(&again.stdout);
    assert!(said.starts_with("0 orders that have not changed for 30d are archived\n0 segments"), "{said}");

    let store = open(folder.path());
    let query = OrderQuery { limit: 1000, ..OrderQuery::default() };
    assert_eq!(store.list(&query).await.unwrap().len(), 100);
    assert_eq!(store.order(order_id(1)).await.unwrap().unwrap().snapshot.state.as_str(), "done");
    assert_eq!(store.archived().unwrap().len(), 200);
    store.close().await.unwrap();
}

#[test]
fn a_retention_that_is_too_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (given, said) in [("1h", "1h is too short: 7d at the least"), ("30", "a duration carries a unit")] {
        let config = folder.path().join("paystate.yaml");
        std::fs::write(&config, format!("archive: {{ after: \"{given}\" }}\n")).unwrap();
        let output = run("", &["serve", "--config", config.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(said), "{}", text(&output.stderr));
    }
}
