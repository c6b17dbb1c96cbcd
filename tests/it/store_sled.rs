//! The working store may be lost, older, foreign or broken: the journal puts it right, or the store says why it stops.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use paystate::definition::Sources;
use paystate::journal::{Entry, JournalOptions};
use paystate::machine::Snapshot;
use paystate::store::conformance::sample::{Next, SampleFold, Samples, order_id, posting};
use paystate::store::{
    Commit, KeyRecord, Link, OpenOrder, OrderQuery, SledOptions, SledStore, Store, StoreError, Stored,
};
use paystate::types::{Currency, EventId, OrderId, Pauses, Position, Seq, Timestamp, Version, WorkflowName};
use tokio::sync::RwLock;

pub(crate) fn options() -> SledOptions {
    SledOptions {
        journal: JournalOptions { segment_size: 256 * 1024, ..JournalOptions::default() },
        cache: 8 * 1024 * 1024,
        every: Duration::from_millis(3),
        ..SledOptions::default()
    }
}

fn open(dir: &Path) -> SledStore {
    SledStore::open(dir, options(), Arc::new(SampleFold)).unwrap()
}

/// How a store ends before it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Never,
    Closed,
    Dropped,
    Rebuilt,
}

/// A sled store that ends and begins again before every call.
pub(crate) struct Reopening {
    dir: tempfile::TempDir,
    store: RwLock<Option<SledStore>>,
    how: How,
}

impl Reopening {
    pub(crate) fn new(how: How) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = RwLock::new(Some(open(dir.path())));
        Self { dir, store, how }
    }

    pub(crate) async fn restart(&self, how: How) {
        if how == How::Never {
            return;
        }
        let mut store = self.store.write().await;
        let old = store.take().unwrap();
        if how == How::Closed {
            old.close().await.unwrap();
        }
        drop(old);
        if how == How::Rebuilt {
            fs::remove_dir_all(self.dir.path().join("sled")).unwrap();
        }
        *store = Some(open(self.dir.path()));
        assert!(how == How::Rebuilt || !self.dir.path().join("sled.aside").exists(), "it was rebuilt without need");
    }

    /// Takes out of the working store what has ended, and packs the journal.
    pub(crate) async fn archive(&self) {
        let store = self.store.read().await;
        let store = store.as_ref().unwrap();
        // What is still to be written stays; most of it is written by then.
        tokio::time::sleep(Duration::from_millis(20)).await;
        store.archive(Timestamp::from_unix_ms(1_800_000_000_000), false).await.unwrap();
        let mut from = 0;
        while store.log().pack_next(&mut from).unwrap().is_some() {}
    }

    async fn store(&self) -> tokio::sync::RwLockReadGuard<'_, SledStore> {
        self.restart(self.how).await;
        tokio::sync::RwLockReadGuard::map(self.store.read().await, |store| store.as_ref().unwrap())
    }
}

#[async_trait]
impl Store for Reopening {
    async fn commit(&self, batch: Arc<Vec<Commit>>) -> Result<Vec<Position>, StoreError> {
        self.store().await.commit(batch).await
    }
    async fn keep_definition(
        &self,
        workflow: &WorkflowName,
        version: &Version,
        sources: &Sources,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.store().await.keep_definition(workflow, version, sources, at).await
    }
    async fn definitions(&self) -> Result<Vec<(WorkflowName, Version, Sources)>, StoreError> {
        self.store().await.definitions().await
    }
    async fn keep_pauses(&self, pauses: &Pauses) -> Result<(), StoreError> {
        self.store().await.keep_pauses(pauses).await
    }
    async fn pauses(&self) -> Result<Pauses, StoreError> {
        self.store().await.pauses().await
    }
    async fn order(&self, id: OrderId) -> Result<Option<Stored>, StoreError> {
        self.store().await.order(id).await
    }
    async fn journal(&self, id: OrderId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.store().await.journal(id, after, limit).await
    }
    async fn list(&self, query: &OrderQuery) -> Result<Vec<Arc<Snapshot>>, StoreError> {
        self.store().await.list(query).await
    }
    async fn open_orders(&self, after: Option<OrderId>, limit: usize) -> Result<Vec<OpenOrder>, StoreError> {
        self.store().await.open_orders(after, limit).await
    }
    async fn seen(&self, order: OrderId, event: &EventId) -> Result<Option<Seq>, StoreError> {
        self.store().await.seen(order, event).await
    }
    async fn last_at(&self) -> Result<Option<Timestamp>, StoreError> {
        self.store().await.last_at().await
    }
    async fn key(&self, key: &str) -> Result<Option<KeyRecord>, StoreError> {
        self.store().await.key(key).await
    }
    async fn balance(&self, account: &str, currency: Currency) -> Result<i64, StoreError> {
        self.store().await.balance(account, currency).await
    }
    async fn linked(&self, link: Link, to: OrderId, limit: usize) -> Result<Vec<OrderId>, StoreError> {
        self.store().await.linked(link, to, limit).await
    }
    async fn refund_of(&self, order: OrderId) -> Result<Option<OrderId>, StoreError> {
        self.store().await.refund_of(order).await
    }
    async fn close(&self) -> Result<(), StoreError> {
        self.store().await.close().await
    }
}

/// Moves one order by one step, as its owner does: knowing where its last entry is.
async fn go_on(store: &SledStore, samples: &mut Samples, order: u64, tip: &mut Option<Position>) {
    let mut commit = samples.next(order_id(order), &Next { to: "a".into(), ..Next::default() }).unwrap();
    commit.entry.prev = *tip;
    *tip = store.commit(Arc::new(vec![commit])).await.unwrap().pop();
}

/// Moves each of `orders` `steps` times; the amount posted is the same at every step.
async fn work(store: &SledStore, samples: &mut Samples, orders: std::ops::Range<u64>, steps: u64) {
    for step in 0..steps {
        let batch = orders.clone().map(|n| {
            let next = Next {
                to: if step + 1 == steps && n % 2 == 0 { "done".into() } else { "a".into() },
                event: Some(format!("evt_{step}")),
                postings: posting("merchant", 1, "CNY").into_iter().collect(),
                key: Some((format!("key_{n}"), "hash".into())),
                ..Next::default()
            };
            samples.next(order_id(n), &next).unwrap()
        });
        store.commit(Arc::new(batch.collect())).await.unwrap();
    }
}

async fn check(store: &SledStore, samples: &Samples, orders: u64, steps: u64) {
    for n in 0..orders {
        let stored = store.order(order_id(n)).await.unwrap().unwrap();
        assert_eq!(stored.snapshot.seq, samples.seq(order_id(n)));
        assert_eq!(store.journal(order_id(n), Seq(0), 1000).await.unwrap().len() as u64, steps);
        assert_eq!(store.key(&format!("key_{n}")).await.unwrap().unwrap().order, order_id(n));
    }
    let balance = store.balance("merchant", "CNY".parse().unwrap()).await.unwrap();
    assert_eq!(balance.unsigned_abs(), orders * steps);
    let open = store.open_orders(None, 10_000).await.unwrap();
    assert_eq!(open.len() as u64, orders / 2);
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

/// A directory with 50 orders of 6 entries, and a copy of its working store from when they had 3.
async fn sample() -> (tempfile::TempDir, Samples, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let mut samples = Samples::new();
    let store = open(dir.path());
    work(&store, &mut samples, 0..50, 3).await;
    store.close().await.unwrap();
    drop(store);
    let older = dir.path().join("older");
    copy_tree(&dir.path().join("sled"), &older);
    let store = open(dir.path());
    work(&store, &mut samples, 0..50, 3).await;
    store.close().await.unwrap();
    (dir, samples, older)
}

#[tokio::test]
async fn a_lost_working_store_is_rebuilt() {
    let (dir, samples, _) = sample().await;
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    check(&open(dir.path()), &samples, 50, 6).await;
}

#[tokio::test]
async fn an_older_working_store_catches_up() {
    let (dir, samples, older) = sample().await;
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    fs::rename(older, dir.path().join("sled")).unwrap();
    check(&open(dir.path()), &samples, 50, 6).await;
    assert!(!dir.path().join("sled.aside").exists());
}

#[tokio::test]
async fn a_working_store_of_another_journal_is_rebuilt() {
    let (dir, samples, _) = sample().await;
    let foreign = tempfile::tempdir().unwrap();
    let store = open(foreign.path());
    work(&store, &mut Samples::new(), 100..130, 6).await;
    store.close().await.unwrap();
    drop(store);
    fs::remove_dir_all(dir.path().join("sled")).unwrap();
    copy_tree(&foreign.path().join("sled"), &dir.path().join("sled"));
    let store = open(dir.path());
    check(&store, &samples, 50, 6).await;
    assert!(store.order(order_id(100)).await.unwrap().is_none());
    assert!(dir.path().join("sled.aside").exists());
}

#[tokio::test]
async fn a_broken_working_store_is_rebuilt() {
    let (dir, samples, _) = sample().await;
    for damage in 0..6_u64 {
        let db = dir.path().join("sled").join("db");
        let mut bytes = fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        match damage {
            0 => bytes.clear(),
            1 => bytes.truncate(used / 2),
            2 => bytes[..4096].fill(0),
            3 => bytes[..used].fill(0xa5),
            4 => fs::write(dir.path().join("sled").join("snap.00000000.generating"), b"half").unwrap(),
            _ => fs::write(dir.path().join("sled").join("conf"), b"nonsense").unwrap(),
        }
        fs::write(&db, bytes).unwrap();
        let store = open(dir.path());
        check(&store, &samples, 50, 6).await;
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn after_a_power_cut_it_is_rebuilt() {
    let (dir, samples, _) = sample().await;
    fs::write(dir.path().join("working"), "in use since boot 00000000-0000-0000-0000-000000000000\n").unwrap();
    check(&open(dir.path()), &samples, 50, 6).await;
    assert!(dir.path().join("sled.aside").exists());
}

#[tokio::test]
async fn a_second_daemon_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let begun = Instant::now();
    let error = SledStore::open(dir.path(), options(), Arc::new(SampleFold)).unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(1));
    let expected = format!("another daemon uses {} (process {})", dir.path().display(), std::process::id());
    assert_eq!(error.to_string(), expected);
    first.close().await.unwrap();
    drop(open(dir.path()));
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("data");
    let store = open(&dir);
    work(&store, &mut Samples::new(), 0..3, 2).await;
    store.close().await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("journal")), 0o700);
    assert_eq!(mode(&dir.join("sled")), 0o700);
    for file in ["lock", "tip", "working", "journal/00000000000000000000.journal"] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
}

#[tokio::test]
async fn an_order_that_moved_often_is_written_once_and_lag_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut samples = Samples::new();
    let small = SledOptions { lag: 64, ..options() };
    let store = SledStore::open(dir.path(), small, Arc::new(SampleFold)).unwrap();
    work(&store, &mut samples, 0..40, 20).await;
    check(&store, &samples, 40, 20).await;
    // A batch that is larger than all of the lag is taken too.
    work(&store, &mut samples, 100..300, 1).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_under_the_working_store_refuses_new_orders_and_recovers() {
    let dir = tempfile::tempdir().unwrap();
    let mut samples = Samples::new();
    // However long it takes until the trouble is met, there is memory left for those that were accepted.
    let options = SledOptions { lag: 100_000, ..options() };
    let writes = Arc::clone(&options.index_writes);
    let store = SledStore::open(dir.path(), options, Arc::new(SampleFold)).unwrap();
    work(&store, &mut samples, 0..10, 1).await;
    writes.store(0, Ordering::Relaxed);
    let mut opened = 10;
    loop {
        let next = Next { to: "a".into(), ..Next::default() };
        let mut trial = Samples::new();
        match store.commit(Arc::new(vec![trial.next(order_id(opened), &next).unwrap()])).await {
            Ok(_) => opened += 1,
            Err(StoreError::Full) => break,
            Err(other) => panic!("{other}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // Orders that were accepted go on, and can be read.
    work(&store, &mut samples, 0..10, 2).await;
    assert_eq!(store.order(order_id(3)).await.unwrap().unwrap().snapshot.seq, Seq(3));
    writes.store(usize::MAX, Ordering::Relaxed);
    let begun = Instant::now();
    let mut trial = Samples::new();
    let commit = trial.next(order_id(500), &Next { to: "a".into(), ..Next::default() }).unwrap();
    while store.commit(Arc::new(vec![commit.clone()])).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not recover");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    work(&store, &mut samples, 0..10, 40).await;
    assert_eq!(store.order(order_id(3)).await.unwrap().unwrap().snapshot.seq, Seq(43));
    store.close().await.unwrap();
}

/// A layer is written again wherever its writing stopped, the first one too, of which nothing tells how far it got.
#[tokio::test]
async fn a_layer_that_is_written_in_part_is_written_again() {
    for first in [0, 2] {
        for allowed in [0, 1, 4, 9] {
            let (dir, mut samples) = (tempfile::tempdir().unwrap(), Samples::new());
            let options = options();
            let writes = Arc::clone(&options.index_writes);
            let store = SledStore::open(dir.path(), options, Arc::new(SampleFold)).unwrap();
            if first > 0 {
                work(&store, &mut samples, 0..10, first).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            writes.store(allowed, Ordering::Relaxed);
            work(&store, &mut samples, 0..10, 1).await;
            let begun = Instant::now();
            let next = Next { to: "a".into(), ..Next::default() };
            while writes.load(Ordering::Relaxed) > 0 {
                assert!(begun.elapsed() < Duration::from_secs(60), "nothing is written");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            writes.store(usize::MAX, Ordering::Relaxed);
            let commit = samples.next(order_id(500), &next).unwrap();
            while let Err(error) = store.commit(Arc::new(vec![commit.clone()])).await {
                assert!(matches!(error, StoreError::Full), "{error}");
                assert!(begun.elapsed() < Duration::from_secs(60), "it did not recover");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let moves = first + 1;
            assert_eq!(store.order(order_id(3)).await.unwrap().unwrap().snapshot.seq, Seq(moves));
            assert_eq!(store.failure(), None);
            store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut samples = Samples::new();
    let commit =
        samples.next(order_id(1), &Next { to: "a".into(), note: "x".repeat(130_000), ..Next::default() }).unwrap();
    let error = store.commit(Arc::new(vec![commit])).await.unwrap_err();
    assert!(matches!(&error, StoreError::TooLarge(why) if why.contains("and 122880 can be kept")), "{error}");
    assert!(store.order(order_id(1)).await.unwrap().is_none());
    let fits =
        samples.next(order_id(2), &Next { to: "a".into(), note: "x".repeat(110_000), ..Next::default() }).unwrap();
    store.commit(Arc::new(vec![fits.clone()])).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    assert_eq!(open(dir.path()).order(order_id(2)).await.unwrap().unwrap().snapshot, fits.snapshot);
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_happens_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let mut samples = Samples::new();
    for n in 0..50 {
        let commit = samples.next(order_id(n), &Next { to: "a".into(), ..Next::default() }).unwrap();
        let store = Arc::clone(&store);
        let task = tokio::spawn(async move { store.commit(Arc::new(vec![commit])).await });
        tokio::task::yield_now().await;
        task.abort();
    }
    let marker = samples.next(order_id(99), &Next { to: "a".into(), ..Next::default() }).unwrap();
    store.commit(Arc::new(vec![marker])).await.unwrap();
    let listed = store.list(&OrderQuery { limit: 100, ..OrderQuery::default() }).await.unwrap();
    for snapshot in &listed {
        assert_eq!(store.journal(snapshot.id, Seq(0), 10).await.unwrap().len(), 1);
        // Nothing is left claimed.
        let next = samples.next(snapshot.id, &Next { to: "b".into(), ..Next::default() }).unwrap();
        store.commit(Arc::new(vec![next])).await.unwrap();
    }
    assert!(!listed.is_empty());
}

/// Every file of the store meets a disk that is really full.
#[tokio::test]
#[ignore = "needs a file system of about 100 MiB, named by PAYSTATE_TEST_SMALL_DISK"]
async fn a_small_disk_runs_full_and_recovers() {
    let small = PathBuf::from(std::env::var("PAYSTATE_TEST_SMALL_DISK").unwrap());
    let dir = small.join("data");
    let options = SledOptions {
        journal: JournalOptions { segment_size: 4 * 1024 * 1024, ..JournalOptions::default() },
        ..options()
    };
    let store = SledStore::open(&dir, options.clone(), Arc::new(SampleFold)).unwrap();
    let mut accepted = Samples::new();
    let mut written = 0;
    let mut tips = [None; 10];
    for (n, tip) in tips.iter_mut().enumerate() {
        go_on(&store, &mut accepted, n as u64, tip).await;
    }
    let filler = small.join("filler");
    let mut opened = 1000;
    let refused = loop {
        if opened == 3000 {
            // All that is left, but for a little.
            let mut file = fs::File::create(&filler).unwrap();
            while std::io::Write::write_all(&mut file, &[1; 64 * 1024]).is_ok() {}
        }
        let next = Next { to: "a".into(), note: "n".repeat(1500), ..Next::default() };
        match store.commit(Arc::new(vec![Samples::new().next(order_id(opened), &next).unwrap()])).await {
            Ok(_) => opened += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full), "{refused}");
    for _ in 0..20 {
        for (n, tip) in tips.iter_mut().enumerate() {
            go_on(&store, &mut accepted, n as u64, tip).await;
        }
        written += 1;
    }
    fs::remove_file(&filler).unwrap();
    let begun = Instant::now();
    let commit = Samples::new().next(order_id(opened), &Next { to: "a".into(), ..Next::default() }).unwrap();
    while let Err(error) = store.commit(Arc::new(vec![commit.clone()])).await {
        assert!(matches!(error, StoreError::Full), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30), "it did not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    store.close().await.unwrap();
    drop(store);
    let store = SledStore::open(&dir, options, Arc::new(SampleFold)).unwrap();
    assert_eq!(store.order(order_id(3)).await.unwrap().unwrap().snapshot.seq, Seq(written + 1));
    for n in 1000..=opened {
        assert!(store.order(order_id(n)).await.unwrap().is_some());
    }
}
