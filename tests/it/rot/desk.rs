//! A data directory of orders that were driven, some to their end and some not; and how they are driven on.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use paystate::connector::{Connector, ConnectorConfig, Connectors, Invocation};
use paystate::definition::{Library, Workflow, load};
use paystate::executor::{ApplyError, Clock, Executor, Options, Refold, Submission, SystemClock};
use paystate::journal::{Entry, JournalOptions, replay};
use paystate::machine::{Event, Outcome, Snapshot, Status};
use paystate::store::{OrderQuery, SledOptions, SledStore, Store};
use paystate::types::{OrderId, Seq, Timestamp};
use serde_json::json;

const CONNECTOR: &str = "
connector: bank
base_url: https://bank.example
idempotency: { header: Idempotency-Key, replay: stored, window: 24h, not_found_final_after: 5m }
operations:
  hold:
    post: /holds
    body: { reference: \"${key}\", amount: \"${with.amount}\", currency: \"${with.currency}\" }
    money: hold
    integrity: [amount, currency]
    outcomes: { ok: response.status == 201, declined: response.status == 402 }
    inquire:
      get: \"/holds?reference=${key}\"
      outcomes: { ok: response.status == 200, not_found: response.status == 404 }
      schedule: [1s, 5s]
  take:
    post: /captures
    body: { reference: \"${key}\", amount: \"${with.amount}\", currency: \"${with.currency}\" }
    money: capture
    integrity: [amount, currency]
    outcomes: { ok: response.status == 201, declined: response.status == 402 }
    inquire:
      get: \"/captures?reference=${key}\"
      outcomes: { ok: response.status == 200, not_found: response.status == 404 }
      schedule: [1s, 5s]
";
const WORKFLOW: &str = "
workflow: rot_order
input: { type: object, required: [amount], properties: { amount: { type: integer, minimum: 1 } } }
money: { amount: \"${input.amount}\", currency: CNY }
initial: holding
states:
  holding:
    invoke: { call: bank.hold, with: { amount: \"${input.amount}\", currency: CNY } }
    on: { ok: { target: waiting, assign: { hold: \"${result.id}\" } }, declined: declined, failed: declined }
  waiting:
    on: { shop.said: { target: waiting, assign: { note: \"${event.note}\" } }, shop.go: taking }
    after: { 30d: declined }
  taking:
    invoke:
      call: bank.take
      with: { amount: \"${input.amount}\", currency: CNY }
      retry: { attempts: 20, initial: 1h, factor: 1, max: 1h, jitter: none }
    on: { ok: { target: settled, assign: { paid: \"${result.id}\" } }, declined: declined, failed: declined }
  settled: { final: success }
  declined: { final: failure }
";
const SHARDS: usize = 1;
/// Whatever takes longer than this hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// What happened at the provider, by key.
pub(super) type Effects = Arc<Mutex<HashMap<String, u32>>>;

/// A provider that does a thing once under a key.
struct Bank {
    effects: Effects,
    /// Does not take anything at the moment.
    closed: bool,
}

/// The machine's clock, some hours ahead.
struct Later(Duration);

/// What a data directory holds, and what is known of it.
pub(super) struct Base {
    folder: tempfile::TempDir,
    /// An older copy of the whole directory.
    older: tempfile::TempDir,
    /// A copy from a moment before it was closed: the working store is far behind.
    killed: tempfile::TempDir,
    workflow: Arc<Workflow>,
    pub(super) orders: BTreeMap<OrderId, Truth>,
    effects: HashMap<String, u32>,
}

/// An order as it was before anything was damaged.
pub(super) struct Truth {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) entries: Vec<Entry>,
}

pub(super) fn options(verify: u64) -> SledOptions {
    SledOptions {
        journal: JournalOptions { segment_size: 16 * 1024, verify, ..JournalOptions::default() },
        cache: 4 * 1024 * 1024,
        // What is not closed stays as far behind as it was.
        every: Duration::from_secs(3600),
        open_within: Duration::from_secs(20),
        ..SledOptions::default()
    }
}

#[async_trait]
impl Connector for Bank {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        if self.closed && invocation.operation.as_str() == "take" {
            return Outcome::NotSent { reason: "closed".to_owned(), retry_after_ms: None };
        }
        *self.effects.lock().unwrap().entry(format!("{} {}", invocation.operation, invocation.key)).or_default() += 1;
        Outcome::Ok { result: json!({ "id": invocation.key }) }
    }

    async fn inquire(&self, invocation: &Invocation) -> Outcome {
        match self.effects.lock().unwrap().get(&format!("{} {}", invocation.operation, invocation.key)) {
            Some(_) => Outcome::Ok { result: json!({ "id": invocation.key }) },
            None => Outcome::NotFound,
        }
    }

    fn is_instant(&self) -> bool {
        true
    }
}

#[async_trait]
impl Clock for Later {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0)
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.since(self.now()).min(Duration::from_secs(1))).await;
    }

    fn order_id(&self) -> OrderId {
        SystemClock.order_id()
    }
}

/// What came of reading everything.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Read {
    /// Orders and journals that could not be read.
    pub(super) errors: Vec<String>,
    /// Journals that show a gap.
    pub(super) gaps: u64,
    /// Orders that are not there.
    pub(super) gone: Vec<OrderId>,
}

impl Base {
    /// Orders that have ended, that wait for an event, and whose call waits for its next try.
    pub(super) async fn new() -> Self {
        let texts = tempfile::tempdir().unwrap();
        fs::create_dir(texts.path().join("connectors")).unwrap();
        fs::write(texts.path().join("connectors/bank.yaml"), CONNECTOR).unwrap();
        fs::write(texts.path().join("rot_order.yaml"), WORKFLOW).unwrap();
        let workflow = load(Library::read_file(&texts.path().join("rot_order.yaml")).unwrap());
        let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
        let [folder, older, killed] = std::array::from_fn(|_| tempfile::tempdir().unwrap());
        let mut base = Self { folder, older, killed, workflow, orders: BTreeMap::new(), effects: HashMap::new() };
        let effects = Effects::default();
        for part in 0..3 {
            let driven =
                base.start(base.dir(), u64::MAX, Arc::clone(&effects), part == 2, Duration::ZERO).await.unwrap();
            for n in 0..6 {
                let key = Some((format!("key-{part}-{n}"), "hash".to_owned()));
                let input = json!({ "amount": 100 + n, "note": "x".repeat(40 * n) });
                let submission = Submission { workflow: "rot_order".into(), input, key, child: None };
                let order = driven.submit(submission).await.unwrap().snapshot.id;
                in_state(&driven, order, "waiting").await;
                say(&driven, order, "shop.said", &format!("said-{part}-{n}")).await.unwrap();
                if n % 2 == 0 || part == 2 {
                    say(&driven, order, "shop.go", &format!("go-{part}-{n}")).await.unwrap();
                }
            }
            let query = OrderQuery { limit: 1000, ..OrderQuery::default() };
            // Until everything has come to rest, the next copy could be of another moment than what is learnt.
            while driven.list(&query).await.unwrap().iter().any(|order| order.status == Status::Running) {
                tokio::task::yield_now().await;
            }
            if part == 2 {
                copy_tree(base.dir(), base.killed.path());
            }
            driven.shutdown(Duration::from_secs(5)).await.unwrap();
            if part == 1 {
                copy_tree(base.dir(), base.older());
            }
        }
        base.effects = effects.lock().unwrap().clone();
        base.learn().await;
        base
    }

    pub(super) fn dir(&self) -> &Path {
        self.folder.path()
    }

    /// Whether the segments are those of the directory as it was, to the byte.
    pub(super) fn has_segments_of(&self, dir: &Path) -> bool {
        let segments = |dir: &Path| {
            let all = contents(&dir.join("journal")).into_iter();
            let segments = all.filter(|(path, _)| path.extension().is_some_and(|end| end == "journal"));
            segments.map(|(path, bytes)| (path.file_name().map(ToOwned::to_owned), bytes)).collect::<Vec<_>>()
        };
        segments(self.dir()) == segments(dir)
    }

    /// The directory as it was after two thirds of what was done.
    pub(super) fn older(&self) -> &Path {
        self.older.path()
    }

    async fn learn(&mut self) {
        let copy = self.copy(false);
        let store = SledStore::open(copy.path(), options(u64::MAX), Arc::new(Refold::default())).unwrap();
        let query = OrderQuery { limit: 1000, ..OrderQuery::default() };
        for snapshot in store.list(&query).await.unwrap() {
            let entries = store.journal(snapshot.id, Seq(0), 1000).await.unwrap();
            assert_eq!(replay(&self.workflow, &entries).unwrap(), *snapshot);
            self.orders.insert(snapshot.id, Truth { snapshot, entries });
        }
        store.close().await.unwrap();
        let ended = self.orders.values().filter(|truth| truth.snapshot.status == Status::Succeeded).count();
        assert_eq!((self.orders.len(), ended), (18, 6));
    }

    /// A copy that may be damaged: of the directory as it was closed, or as if its daemon had been killed.
    pub(super) fn copy(&self, killed: bool) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        copy_tree(if killed { self.killed.path() } else { self.dir() }, copy.path());
        copy
    }

    /// A copy whose older segments are packed, and whose ended orders are archived.
    pub(super) async fn packed(&self) -> tempfile::TempDir {
        let copy = self.copy(false);
        let store = self.open(copy.path(), u64::MAX).await.unwrap();
        let archived = store.archive(SystemClock.now().plus(Duration::from_secs(60)), false).await.unwrap();
        assert_eq!((archived.orders, archived.kept), (6, 0));
        let (mut from, mut packed) = (0, 0);
        while store.log().pack_next(&mut from).unwrap().is_some() {
            packed += 1;
        }
        store.close().await.unwrap();
        assert!(packed >= 2, "{packed} segments are packed");
        copy
    }

    /// The provider as it was when the directory was left.
    pub(super) fn effects(&self) -> Effects {
        Arc::new(Mutex::new(self.effects.clone()))
    }

    /// The fold of a daemon that has the workflow's text.
    pub(super) fn fold(&self) -> Refold {
        Refold::knowing([Arc::clone(&self.workflow)])
    }

    pub(super) async fn open(&self, dir: &Path, verify: u64) -> Result<SledStore, String> {
        let (dir, refold) = (dir.to_owned(), Arc::new(self.fold()));
        let opened = tokio::task::spawn_blocking(move || SledStore::open(&dir, options(verify), refold)).await;
        opened.expect("opening does not panic").map_err(|error| error.to_string())
    }

    pub(super) async fn start(
        &self,
        dir: &Path,
        verify: u64,
        effects: Effects,
        closed: bool,
        later: Duration,
    ) -> Result<Executor, String> {
        let store = self.open(dir, verify).await?;
        let connectors = Arc::new(Connectors::new(ConnectorConfig::new(Arc::new(|| SystemClock.now()))));
        connectors.register("bank".into(), Arc::new(Bank { effects, closed }));
        let options = Options { shards: SHARDS, ..Options::default() };
        let workflows = vec![Arc::clone(&self.workflow)];
        let started = Executor::start(Arc::new(store), Arc::new(Later(later)), connectors, workflows, options).await;
        started.map_err(|error| error.to_string())
    }

    /// Reads every order and its journal. Panics on anything that is not as it was. What `named` names may be older than it was.
    ///
    /// An order of which every entry is among `lost` records is gone without a name.
    pub(super) async fn compare(&self, store: &dyn Store, named: &[OrderId], lost: u64) -> Read {
        let (mut read, mut missing) = (Read::default(), 0);
        for (&id, truth) in &self.orders {
            match store.order(id).await {
                Ok(Some(stored)) if named.contains(&id) => self.is_earlier(truth, &stored.snapshot),
                Ok(Some(stored)) => {
                    let (found, seq) = (&stored.snapshot, stored.snapshot.seq);
                    assert!(*found == truth.snapshot, "{id} is not as it was, but at {seq} in {}", found.state);
                }
                Ok(None) if named.contains(&id) => {}
                Ok(None) => {
                    read.gone.push(id);
                    missing += truth.entries.len() as u64;
                    continue;
                }
                Err(error) => read.errors.push(format!("{id}: {error}")),
            }
            match store.journal(id, Seq(0), 1000).await {
                Ok(entries) if named.contains(&id) => {
                    assert!(entries.iter().all(|entry| truth.entries.contains(entry)), "{id} has other entries");
                }
                Ok(entries) => {
                    let whole = entries.len() == truth.entries.len();
                    assert!(entries.iter().all(|entry| truth.entries.contains(entry)), "{id} has other entries");
                    // The working store may know what its journal has lost: then the numbers show the gap.
                    read.gaps += u64::from(!whole);
                }
                Err(error) => read.errors.push(format!("{id}: {error}")),
            }
        }
        assert!(missing <= lost, "{:?} are gone, and nobody says so", read.gone);
        read
    }

    /// It is what the first of its entries lead to.
    fn is_earlier(&self, truth: &Truth, found: &Snapshot) {
        let count = usize::try_from(found.seq.0).unwrap();
        let entries = truth.entries.get(..count).unwrap_or_else(|| panic!("{} has more entries than it had", found.id));
        assert_eq!(replay(&self.workflow, entries).unwrap(), *found, "{} is not what it ever was", found.id);
    }

    /// Drives every order on. Those that are not named must come to their end, each of them paid once.
    pub(super) async fn drive(&self, driven: &Executor, effects: &Effects, named: &[OrderId]) -> u64 {
        let mut refused = 0;
        for (&id, truth) in &self.orders {
            if truth.snapshot.state.as_str() != "waiting" {
                continue;
            }
            let sent = say(driven, id, "shop.go", &format!("late-{id}")).await;
            assert!(sent.is_ok() || named.contains(&id) || matches!(sent, Err(ApplyError::Store(_))), "{id}: {sent:?}");
            refused += u64::from(sent.is_err() && !named.contains(&id));
        }
        for &id in self.orders.keys().filter(|id| !named.contains(id)) {
            let ended = driven.wait(id, PATIENCE).await;
            match ended {
                Some(order) => {
                    assert_eq!(order.status, Status::Succeeded, "{id} in {}: {:?}", order.state, order.incident)
                }
                // It cannot be read: an error of this one order.
                None => refused += 1,
            }
        }
        let effects = effects.lock().unwrap();
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        for key in effects.keys().filter_map(|key| key.strip_prefix("take ")) {
            *taken.entry(&key[..36]).or_default() += 1;
        }
        assert!(taken.values().all(|&times| times == 1), "paid twice: {taken:?}");
        refused
    }
}

pub(super) async fn say(driven: &Executor, order: OrderId, name: &str, id: &str) -> Result<(), ApplyError> {
    let (source, payload) = ("test".to_owned(), json!({ "note": id }));
    driven.apply(order, Event::Received { id: id.into(), name: name.into(), payload, source }).await.map(|_| ())
}

async fn in_state(driven: &Executor, order: OrderId, state: &str) {
    loop {
        if driven.order(order).await.unwrap().unwrap().state.as_str() == state {
            return;
        }
        tokio::task::yield_now().await;
    }
}

pub(super) fn copy_tree(from: &Path, to: &Path) {
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

/// Every file below a folder, with what it holds, but for the lock.
pub(super) fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if path.file_name().is_some_and(|name| name != "lock") {
            found.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    found
}
