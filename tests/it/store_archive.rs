//! Orders that have left the working store are read as before, and may come alive again.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use paystate::journal::{Entry, JournalOptions, Remedy};
use paystate::machine::Snapshot;
use paystate::store::conformance::sample::{Next, SampleFold, Samples, order_id, posting};
use paystate::store::{Archived, CheckupOptions, OrderQuery, SledOptions, SledStore, Store, checkup};
use paystate::types::{EventId, OrderId, Position, Seq, Timestamp};

const ORDERS: u64 = 40;
const STEPS: u64 = 5;

fn options() -> SledOptions {
    SledOptions {
        journal: JournalOptions { segment_size: 64 * 1024, ..JournalOptions::default() },
        cache: 8 * 1024 * 1024,
        every: Duration::from_millis(3),
        ..SledOptions::default()
    }
}

fn open(dir: &Path) -> SledStore {
    open_with(dir, options())
}

fn open_with(dir: &Path, options: SledOptions) -> SledStore {
    SledStore::open(dir, options, Arc::new(SampleFold)).unwrap()
}

fn later() -> Timestamp {
    Timestamp::from_unix_ms(1_800_000_000_000)
}

/// Done to a file.
type Damage = fn(&Path);

/// What everybody can see of an order.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    snapshot: Arc<Snapshot>,
    tip: Position,
    entries: Vec<Entry>,
    events: Vec<Option<Seq>>,
}

/// Every second order has ended, and has had the same events.
async fn fill(store: &SledStore, samples: &mut Samples) {
    for step in 0..STEPS {
        let batch = (0..ORDERS).map(|n| step_of(samples, n, step, step + 1 == STEPS && n % 2 == 0));
        let batch = batch.collect();
        store.commit(Arc::new(batch)).await.unwrap();
    }
}

fn step_of(samples: &mut Samples, order: u64, step: u64, ends: bool) -> paystate::store::Commit {
    let next = Next {
        to: if ends { "done".into() } else { "a".into() },
        event: Some(format!("evt_{step}")),
        postings: posting("merchant", 1, "CNY").into_iter().collect(),
        key: Some((format!("key_{order}"), "hash".into())),
        note: "n".repeat(200),
        ..Next::default()
    };
    samples.next(order_id(order), &next).unwrap()
}

async fn see(store: &SledStore) -> BTreeMap<OrderId, Seen> {
    let mut all = BTreeMap::new();
    for id in (0..ORDERS).map(order_id) {
        let stored = store.order(id).await.unwrap().unwrap_or_else(|| panic!("{id} is gone"));
        let entries = store.journal(id, Seq(0), 100).await.unwrap();
        let mut events = Vec::new();
        for step in 0..=STEPS + 1 {
            events.push(store.seen(id, &EventId::new(format!("evt_{step}"))).await.unwrap());
        }
        all.insert(id, Seen { snapshot: stored.snapshot, tip: stored.tip, entries, events });
    }
    all
}

async fn listed(store: &SledStore) -> usize {
    let query = OrderQuery { limit: 1000, ..OrderQuery::default() };
    store.list(&query).await.unwrap().len()
}

async fn balance(store: &SledStore) -> u64 {
    store.balance("merchant", "CNY".parse().unwrap()).await.unwrap().unsigned_abs()
}

/// Archives what has ended; what is still being written is not at rest.
async fn archive(store: &SledStore) -> Archived {
    let mut sum = Archived::default();
    for _ in 0..200 {
        let done = store.archive(later(), false).await.unwrap();
        sum.orders += done.orders;
        if listed(store).await as u64 <= ORDERS / 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sum
}

fn look(dir: &Path, repair: bool) -> Vec<String> {
    let options = CheckupOptions { repair, backup: None, store: options() };
    let found = checkup(dir, &options, &SampleFold).unwrap();
    assert!(found.findings.iter().all(|finding| !matches!(finding.remedy, Remedy::Person(_))), "{found:?}");
    assert!(!repair || found.repaired || found.findings.is_empty(), "{found:?}");
    found.findings.into_iter().map(|finding| finding.to_string()).collect()
}

/// A closed directory whose ended orders are archived, and what can be seen of all orders.
async fn sample() -> (tempfile::TempDir, Samples, BTreeMap<OrderId, Seen>) {
    let (dir, mut samples) = (tempfile::tempdir().unwrap(), Samples::new());
    let store = open(dir.path());
    fill(&store, &mut samples).await;
    let before = see(&store).await;
    assert_eq!(archive(&store).await, Archived { orders: ORDERS / 2, kept: 0 });
    store.close().await.unwrap();
    (dir, samples, before)
}

#[tokio::test]
async fn an_archived_order_is_read_as_before() {
    let (dir, mut samples) = (tempfile::tempdir().unwrap(), Samples::new());
    let store = open(dir.path());
    fill(&store, &mut samples).await;
    let before = see(&store).await;
    // Nothing is old enough.
    let early = Timestamp::from_unix_ms(1_700_000_000_000);
    assert_eq!(store.archive(early, false).await.unwrap(), Archived::default());
    while store.archive(later(), true).await.unwrap().orders < ORDERS / 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(listed(&store).await as u64, ORDERS, "counting changes nothing");
    assert_eq!(archive(&store).await, Archived { orders: ORDERS / 2, kept: 0 });
    let mut first = Some(store);
    for round in 0..3 {
        let store = first.take().unwrap_or_else(|| open(dir.path()));
        let store = &store;
        assert!(see(store).await == before, "round {round}");
        assert_eq!(listed(store).await as u64, ORDERS / 2);
        assert_eq!(balance(store).await, ORDERS * STEPS);
        assert_eq!(store.key("key_0").await.unwrap(), None, "its key is forgotten with it");
        assert_eq!(store.key("key_1").await.unwrap().unwrap().order, order_id(1));
        assert!(store.order(order_id(999)).await.unwrap().is_none());
        assert_eq!(store.open_orders(None, 1000).await.unwrap().len() as u64, ORDERS / 2);
        let page = store.journal(order_id(2), Seq(2), 2).await.unwrap();
        assert_eq!(page.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), [3, 4]);
        store.close().await.unwrap();
        if round == 1 {
            fs::remove_dir_all(dir.path().join("sled")).unwrap();
        }
    }
    assert_eq!(look(dir.path(), false), Vec::<String>::new());
}

#[tokio::test]
async fn a_late_event_brings_an_order_back() {
    for how in ["written", "killed", "rebuilt"] {
        let (dir, mut samples, mut before) = sample().await;
        // What is not closed stays as far behind as it was.
        let every = if how == "killed" { Duration::from_secs(3600) } else { Duration::from_millis(3) };
        let store = open_with(dir.path(), SledOptions { every, ..options() });
        let id = order_id(4);
        // It is a repeat, and known to be one.
        assert_eq!(store.seen(id, &EventId::new("evt_2")).await.unwrap(), Some(Seq(3)));
        assert_eq!(store.seen(id, &EventId::new("evt_5")).await.unwrap(), None);
        let mut commit = step_of(&mut samples, 4, STEPS, true);
        commit.entry.opening = None;
        commit.entry.prev = Some(before[&id].tip);
        let tip = store.commit(Arc::new(vec![commit])).await.unwrap().pop().unwrap();
        let seen = before.get_mut(&id).unwrap();
        seen.tip = tip;
        seen.snapshot = store.order(id).await.unwrap().unwrap().snapshot;
        seen.entries = store.journal(id, Seq(0), 100).await.unwrap();
        seen.events[usize::try_from(STEPS).unwrap()] = Some(Seq(STEPS + 1));
        assert_eq!((seen.snapshot.seq, seen.entries.len() as u64), (Seq(STEPS + 1), STEPS + 1));
        assert!(see(&store).await == before, "{how}");
        if how != "killed" {
            store.close().await.unwrap();
        }
        drop(store);
        if how == "rebuilt" {
            fs::remove_dir_all(dir.path().join("sled")).unwrap();
        }
        let store = open(dir.path());
        assert!(see(&store).await == before, "{how}");
        assert_eq!(listed(&store).await as u64, ORDERS / 2 + 1, "{how}");
        assert_eq!(balance(&store).await, ORDERS * STEPS + 1);
        // And once more, with its new end.
        assert_eq!(archive(&store).await.orders, 1);
        assert!(see(&store).await == before, "{how}");
        store.close().await.unwrap();
        assert_eq!(look(dir.path(), false), Vec::<String>::new());
        fs::remove_dir_all(dir.path().join("sled")).unwrap();
        let store = open(dir.path());
        assert!(see(&store).await == before, "{how}");
        assert_eq!(listed(&store).await as u64, ORDERS / 2, "{how}");
        store.close().await.unwrap();
    }
}

/// Whatever row was written or removed last, every order is there and is found again by the next archiving.
#[tokio::test]
async fn archiving_may_be_cut_off_at_every_step() {
    let (base, mut samples) = (tempfile::tempdir().unwrap(), Samples::new());
    let store = open(base.path());
    fill(&store, &mut samples).await;
    let before = see(&store).await;
    store.close().await.unwrap();
    drop(store);
    let mut cut = 0;
    for allowed in (0..180).step_by(7) {
        let dir = tempfile::tempdir().unwrap();
        copy_tree(base.path(), dir.path());
        let options = options();
        let writes = Arc::clone(&options.index_writes);
        let store = open_with(dir.path(), options);
        writes.store(allowed, Ordering::Relaxed);
        cut += usize::from(store.archive(later(), false).await.is_err());
        writes.store(usize::MAX, Ordering::Relaxed);
        // The working store may be being opened again at this moment.
        drop(store);
        assert_eq!(look(dir.path(), false), Vec::<String>::new(), "after {allowed} writes");
        let store = open(dir.path());
        assert!(see(&store).await == before, "after {allowed} writes");
        archive(&store).await;
        assert!(see(&store).await == before, "after {allowed} writes");
        assert_eq!((listed(&store).await as u64, balance(&store).await), (ORDERS / 2, ORDERS * STEPS));
        store.close().await.unwrap();
        assert_eq!(look(dir.path(), false), Vec::<String>::new(), "after {allowed} writes");
    }
    assert!(cut > 10, "{cut}");
}

#[tokio::test]
async fn a_damaged_or_missing_file_of_the_archive_costs_no_order() {
    let damages: [(&str, Damage); 5] = [
        ("cut", |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..5000]).unwrap();
        }),
        ("header", |file| flip(file, 40)),
        ("page", |file| flip(file, 4096 + 100)),
        ("wrong", |file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[4096 + 20] ^= 1;
            let crc = crc32c::crc32c(&bytes[4096..8188]);
            bytes[8188..8192].copy_from_slice(&crc.to_le_bytes());
            fs::write(file, bytes).unwrap();
        }),
        ("missing", |file| fs::remove_file(file).unwrap()),
    ];
    for (name, damage) in damages {
        for repaired in [true, false] {
            let (dir, _, before) = sample().await;
            let files = index_files(dir.path());
            assert_eq!(files.len(), 1);
            damage(&files[0]);
            let found = look(dir.path(), false);
            assert!(found.iter().any(|what| what.contains("archive")), "{name}: {found:?}");
            if repaired {
                look(dir.path(), true);
                assert_eq!(look(dir.path(), false), Vec::<String>::new(), "{name}");
            } else if name == "page" || name == "wrong" {
                // It is met when it is read: an error, and no other order in its place.
                let store = open(dir.path());
                assert!(store.order(order_id(0)).await.is_err(), "{name}");
                continue;
            }
            let store = open(dir.path());
            assert!(see(&store).await == before, "{name}");
            assert_eq!(listed(&store).await as u64, ORDERS, "{name}: all of them are back");
            archive(&store).await;
            assert!(see(&store).await == before, "{name}");
            store.close().await.unwrap();
            assert_eq!(look(dir.path(), false), Vec::<String>::new(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_working_store_is_made_smaller() {
    let (dir, _, before) = sample().await;
    SledStore::compact(dir.path(), &options()).unwrap();
    assert!(!dir.path().join("sled.aside").exists() && !dir.path().join("sled.doctor").exists());
    assert_eq!(look(dir.path(), false), Vec::<String>::new());
    let store = open(dir.path());
    assert!(!dir.path().join("sled.aside").exists(), "it was rebuilt");
    assert!(see(&store).await == before);
    assert_eq!((listed(&store).await as u64, balance(&store).await), (ORDERS / 2, ORDERS * STEPS));
    assert!(SledStore::compact(dir.path(), &options()).unwrap_err().to_string().starts_with("another daemon uses"));
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_newer_archive_is_refused_and_not_touched() {
    let (dir, ..) = sample().await;
    let file = index_files(dir.path()).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..72]);
    bytes[72..76].copy_from_slice(&crc.to_le_bytes());
    fs::write(&file, &bytes).unwrap();
    let error = SledStore::open(dir.path(), options(), Arc::new(SampleFold)).unwrap_err().to_string();
    assert!(error.contains("archive has format version 2, and this Paystate reads up to 1"), "{error}");
    assert!(fs::read(&file).unwrap() == bytes);
}

/// Small files become one, and a file that was cut off while it was written is removed.
#[tokio::test]
async fn it_archives_and_packs_by_itself() {
    let (dir, mut samples) = (tempfile::tempdir().unwrap(), Samples::new());
    let by_itself = SledOptions {
        archive_after: Some(Duration::from_secs(3600)),
        archive_every: Duration::from_millis(5),
        ..options()
    };
    let store = open_with(dir.path(), by_itself.clone());
    fill(&store, &mut samples).await;
    let before = see(&store).await;
    store.close().await.unwrap();
    drop(store);
    fs::write(dir.path().join("archive/00000000000000000099.next"), "half").unwrap();
    let store = open_with(dir.path(), by_itself);
    let packed = |dir: &Path| names(&dir.join("journal")).iter().filter(|name| name.ends_with(".packed")).count();
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    let mut order = 1;
    while listed(&store).await > 2 || packed(dir.path()) == 0 || store.archived().unwrap().len() as u64 != ORDERS {
        assert!(std::time::Instant::now() < deadline, "{} are listed", listed(&store).await);
        // The others end one after the other, so that each has a file of its own.
        if order < ORDERS {
            let mut commit = step_of(&mut samples, order, STEPS, true);
            commit.entry.opening = None;
            commit.entry.prev = store.order(order_id(order)).await.unwrap().map(|stored| stored.tip);
            store.commit(Arc::new(vec![commit])).await.unwrap();
            order += 2;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let merged = || index_files(dir.path()).len() < 8;
    while !merged() {
        assert!(std::time::Instant::now() < deadline, "{:?}", index_files(dir.path()));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = see(&store).await;
    assert!(
        before.iter().filter(|(_, seen)| seen.snapshot.state.as_str() == "done").all(|(id, seen)| after[id] == *seen)
    );
    assert!(after.values().all(|seen| seen.snapshot.state.as_str() == "done"));
    assert!(!dir.path().join("archive/00000000000000000099.next").exists());
    store.close().await.unwrap();
    let store = open(dir.path());
    assert!(see(&store).await == after);
    store.close().await.unwrap();
    assert_eq!(look(dir.path(), false), Vec::<String>::new());
}

/// An order whose journal has a gap is known to the working store alone.
#[tokio::test]
async fn an_order_with_a_damaged_journal_stays() {
    let (dir, mut samples) = (tempfile::tempdir().unwrap(), Samples::new());
    let options = SledOptions { journal: JournalOptions { verify: 0, ..options().journal }, ..options() };
    let store = open_with(dir.path(), options.clone());
    fill(&store, &mut samples).await;
    // So that the damaged record is not in the segment that a start reads.
    for n in (100..400).step_by(30) {
        let next = Next { to: "a".into(), note: "x".repeat(400), ..Next::default() };
        let batch = (n..n + 30).map(|n| samples.next(order_id(n), &next));
        let batch: Vec<_> = batch.map(Option::unwrap).collect();
        store.commit(Arc::new(batch)).await.unwrap();
    }
    let before = see(&store).await;
    let position = before[&order_id(0)].entries[2].prev.unwrap().0;
    store.close().await.unwrap();
    drop(store);
    let segment = dir.path().join("journal/00000000000000000000.journal");
    flip(&segment, usize::try_from(position).unwrap() + 100);
    let store = open_with(dir.path(), options);
    assert_eq!(store.archive(later(), false).await.unwrap(), Archived { orders: ORDERS / 2 - 1, kept: 1 });
    assert!(store.order(order_id(0)).await.unwrap().unwrap().snapshot == before[&order_id(0)].snapshot);
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 4;
    fs::write(file, bytes).unwrap();
}

fn names(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn index_files(dir: &Path) -> Vec<PathBuf> {
    names(&dir.join("archive"))
        .into_iter()
        .filter(|name| name.ends_with(".index"))
        .map(|name| dir.join("archive").join(name))
        .collect()
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
