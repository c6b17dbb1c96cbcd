//! What earlier builds have written is read and replays to the same decisions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use paystate::executor::{Refold, read_versions};
use paystate::journal;
use paystate::sim::suite::{self, Options, Results};
use paystate::store::{SledOptions, SledStore, Store};
use paystate::types::{OrderId, Seq};
use serde_json::Value;

use crate::support::root;

fn sets() -> Vec<PathBuf> {
    let folders = fs::read_dir(root().join("tests/histories")).unwrap().map(|entry| entry.unwrap().path());
    let sets: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    assert!(!sets.is_empty());
    sets
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn frozen_files_are_never_written_anew() {
    for set in sets() {
        let listed = fs::read_to_string(set.join("sha256sums")).unwrap();
        let listed: BTreeMap<&str, &str> =
            listed.lines().filter_map(|line| line.split_once("  ./").map(|(sum, name)| (name, sum))).collect();
        let mut found = 0;
        for file in files(&set).iter().filter(|file| !file.ends_with("sha256sums")) {
            let name = file.strip_prefix(&set).unwrap().to_str().unwrap();
            let sum = digest::digest(&digest::SHA256, &fs::read(file).unwrap());
            let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(listed.get(name), Some(&sum.as_str()), "{}", file.display());
            found += 1;
        }
        assert_eq!(found, listed.len(), "{}: a file is gone", set.display());
    }
}

#[test]
fn frozen_journals_replay_as_they_were_recorded() {
    for set in sets() {
        let mut results = Results::default();
        for file in suite::find(std::slice::from_ref(&set)).unwrap() {
            let options = Options { crashes: false, as_recorded: true };
            if file.parent() == Some(&set) {
                suite::run_file(&file, &BTreeMap::new(), options, &mut results);
            }
        }
        for outcome in &results.outcomes {
            assert!(outcome.failures.is_empty(), "{}: {:?}", outcome.path.display(), outcome.failures);
        }
        assert!(results.passed() > 100, "{}: {} orders", set.display(), results.passed());
    }
}

/// The files of a daemon that was stopped, without the working store: everything is rebuilt from the journal.
#[tokio::test]
async fn a_frozen_data_directory_opens_with_every_order() {
    for set in sets() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("journal")).unwrap();
        for file in files(&set.join("data")).iter().filter(|file| file.extension().is_some_and(|end| end == "gz")) {
            let name = file.file_stem().unwrap();
            let folder = if name == "tip" { dir.path().to_owned() } else { dir.path().join("journal") };
            let mut unpacked = flate2::read::GzDecoder::new(fs::File::open(file).unwrap());
            std::io::copy(&mut unpacked, &mut fs::File::create(folder.join(name)).unwrap()).unwrap();
        }
        let store = SledStore::open(dir.path(), SledOptions::default(), Arc::new(Refold::default())).unwrap();
        let versions = read_versions(&store).await.unwrap();
        let told = fs::read_to_string(set.join("data/orders.jsonl")).unwrap();
        let mut orders = 0;
        for order in told.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let id: OrderId = order["id"].as_str().unwrap().parse().unwrap();
            let stored = store.order(id).await.unwrap().unwrap_or_else(|| panic!("{id} is lost"));
            assert_eq!(stored.snapshot.state.as_str(), order["state"], "{id}");
            assert_eq!(serde_json::to_value(stored.snapshot.status).unwrap(), order["status"], "{id}");
            let entries = store.journal(id, Seq(0), usize::MAX).await.unwrap();
            let workflow = versions.version(&stored.snapshot.version).unwrap();
            let replayed = journal::replay(&workflow, &entries).unwrap();
            assert_eq!(replayed, *stored.snapshot, "{id}");
            orders += 1;
        }
        assert!(orders >= 11, "{}: {orders} orders", set.display());
        store.close().await.unwrap();
    }
}
