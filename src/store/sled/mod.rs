//! The store of production: the journal is the truth, sled is the working store behind it.
//!
//! **Invariant.** A commit is acknowledged when the journal is on disk, and only then. Everything else here can be lost
//! and is made again from the journal. This is the only place that names sled.

mod archive;
mod behind;
mod commit;
mod compact;
mod dir;
mod doctor;
mod gaps;
mod index;
mod overlay;
mod packing;
mod pauses;
mod read;
mod recover;
mod reserve;
mod store;
mod value;
mod waypoints;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot};

pub use self::archive::Archived;
use self::archive::{Archive, Archiver, Request};
use self::behind::{Behind, Wake};
pub use self::doctor::{Checkup, CheckupOptions, OrderNote, checkup};

use self::dir::Lock;
use self::index::{Index, Trouble, unreadable};
use self::overlay::Overlay;
use self::packing::Packing;
use self::reserve::Reserve;
use self::waypoints::Waypoints;
use super::StoreError;
use crate::definition::Sources;
use crate::journal::{Entry, Journal, JournalOptions, JournalStats, Mark};
use crate::machine::Snapshot;
use crate::types::{OrderId, Timestamp, Version, WorkflowName};

/// How entries become snapshots: the journal holds the former only.
pub trait Fold: Send + Sync + 'static {
    /// The order after the entry. Called in the order of the journal, after `define` for the order's version.
    fn fold(&self, before: Option<&Snapshot>, entry: &Entry) -> Result<Snapshot, String>;

    /// Makes a version known, for the orders that are of it.
    fn define(&self, workflow: &WorkflowName, version: &Version, sources: &Sources) -> Result<(), String>;
}

/// How a data directory is opened.
#[derive(Clone, Debug)]
pub struct SledOptions {
    pub journal: JournalOptions,
    /// Bytes of sled's cache; the memory it takes is a little more.
    pub cache: u64,
    /// How long sled may take to open before it is given up and rebuilt.
    pub open_within: Duration,
    /// Entries that may wait to be written into the working store: what a restart folds at most.
    pub lag: usize,
    /// How long changes of an order are gathered before they are written into the working store.
    pub every: Duration,
    /// How long after its last change an order that has ended leaves the working store by itself, and old segments of the
    /// journal are packed. None: not by itself.
    pub archive_after: Option<Duration>,
    /// How often that is looked for.
    pub archive_every: Duration,
    /// For tests: how many more writes into the working store succeed.
    #[doc(hidden)]
    pub index_writes: Arc<AtomicUsize>,
}

/// One data directory. A second one for the same directory is refused.
pub struct SledStore {
    shared: Arc<Shared>,
    threads: Mutex<Option<Running>>,
}

struct Running {
    behind: JoinHandle<()>,
    /// Packs and merges, if archiving is done by itself.
    packing: Option<Packing>,
    wake: SyncSender<Wake>,
    lock: Lock,
}

struct Shared {
    dir: PathBuf,
    options: SledOptions,
    lag: usize,
    journal: Journal,
    archive: Archive,
    fold: Arc<dyn Fold>,
    /// Asked for, and not begun.
    requests: Mutex<VecDeque<Request>>,
    overlay: RwLock<Overlay>,
    /// None while it cannot be used.
    index: RwLock<Option<Arc<Index>>>,
    trouble: RwLock<Option<Trouble>>,
    written: Mutex<Mark>,
    failed: RwLock<Option<String>>,
    /// Entries that may still be taken before some are written.
    room: Semaphore,
    waypoints: Mutex<Waypoints>,
    /// Tells those who wait for room that they need not any more.
    in_trouble: Notify,
    wake: SyncSender<Wake>,
}

impl Default for SledOptions {
    fn default() -> Self {
        Self {
            journal: JournalOptions::default(),
            cache: 256 * 1024 * 1024,
            open_within: Duration::from_secs(60),
            lag: 64 * 1024,
            every: Duration::from_secs(1),
            archive_after: None,
            archive_every: Duration::from_secs(600),
            index_writes: Arc::new(AtomicUsize::new(usize::MAX)),
        }
    }
}

impl SledStore {
    /// Opens the directory, or makes it; folds what the working store does not have yet, which is everything if it is
    /// missing, damaged or not of this journal. Takes its time: not to be called where nothing may block.
    pub fn open(dir: &Path, options: SledOptions, fold: Arc<dyn Fold>) -> Result<Self, StoreError> {
        let lock = Lock::take(dir)?;
        fault_point!("open::locked");
        let journal = Journal::open(dir, &options.journal)?;
        let reserve = Reserve::new(dir);
        let recovered = match recover::recover(dir, &options, &journal, &*fold) {
            Err(StoreError::Full) if reserve.give_up() => recover::recover(dir, &options, &journal, &*fold),
            recovered => recovered,
        };
        let (index, mut overlay, archive) = recovered?;
        let (lag, every) = (options.lag.clamp(1, Semaphore::MAX_PERMITS), options.every);
        let (wake, woken) = sync_channel(4);
        let mark = overlay.fresh().mark;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            options,
            lag,
            journal,
            archive,
            fold,
            requests: Mutex::default(),
            overlay: RwLock::new(overlay),
            index: RwLock::new(Some(Arc::new(index))),
            trouble: RwLock::default(),
            written: Mutex::new(mark),
            failed: RwLock::default(),
            room: Semaphore::new(lag),
            waypoints: Mutex::default(),
            in_trouble: Notify::new(),
            wake: wake.clone(),
        });
        let (path, shared_weakly) = (dir.join("sled"), Arc::downgrade(&shared));
        let behind = Behind {
            shared: shared_weakly,
            wake: woken,
            every,
            path,
            reserve,
            looked: false,
            full_at: None,
            archiver: Archiver::default(),
            looked_for_old: None,
        };
        let spawned = thread::Builder::new().name("store-behind".to_owned()).spawn(move || behind.run());
        let behind = spawned.map_err(|error| unreadable("the working store", &error.to_string()))?;
        let packing = shared.options.archive_after.map(|_| Packing::start(&shared)).transpose();
        let packing = packing.map_err(|error| unreadable("the archive", &error.to_string()))?;
        let threads = Mutex::new(Some(Running { behind, packing, wake, lock }));
        Ok(Self { shared, threads })
    }

    /// The directory that it uses.
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// What the journal has written since it was opened.
    pub fn stats(&self) -> JournalStats {
        self.shared.journal.stats()
    }

    /// Takes orders that have ended, and have not changed since `before`, out of the working store: they are read from the
    /// journal from then on. With `dry` they are only counted. Goes on beside commits.
    pub async fn archive(&self, before: Timestamp, dry: bool) -> Result<Archived, StoreError> {
        let (sender, receiver) = oneshot::channel();
        let request = Request { before, dry, reply: Some(sender) };
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push_back(request);
        // It is awake already when the channel is full.
        let _ = self.shared.wake.try_send(Wake::Now);
        receiver.await.unwrap_or_else(|_| Err(unreadable("the working store", "it is closed")))
    }

    /// Merges files of the archive once, if there are many of a size; false when there are not. Not while archiving goes on
    /// by itself, which does it too.
    pub fn merge_archive(&self) -> Result<bool, StoreError> {
        self.shared.archive.merge().map_err(|error| unreadable("the archive", &error.to_string()))
    }

    /// The ids of all archived orders, in their order; some may be in the working store again.
    pub fn archived(&self) -> Result<Vec<OrderId>, StoreError> {
        let mut ids = Vec::new();
        self.shared.archive.all(|(id, _)| {
            ids.push(id);
            Ok(())
        })?;
        Ok(ids)
    }

    /// For replay and audit: every record, in its order.
    pub fn log(&self) -> &Journal {
        &self.shared.journal
    }

    /// Ends the threads. With `Abandon` the files stay as a crash would leave them.
    fn stop(&self, how: Wake) -> Result<(), StoreError> {
        let running = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { behind, packing, wake, lock }) = running else { return Ok(()) };
        if let Some(packing) = packing {
            packing.stop();
        }
        fault_point!("close::before-journal");
        // First the journal: what it acknowledges last must be in the last pass.
        let journal = self.shared.journal.close();
        // A full channel or none at all: the thread ends when it sees that nobody is left to wake it.
        let _ = wake.send(how);
        if behind.join().is_err() {
            return Err(unreadable("the working store", "the thread that writes it has panicked"));
        }
        fault_point!("close::before-store");
        let index = self.shared.take_index();
        self.shared.room.close();
        let clean = how == Wake::Finish && self.shared.overlay().waiting() == 0;
        if let Some(index) = index.filter(|_| clean).and_then(Arc::into_inner) {
            let closed = index.close(&self.shared.dir.join("sled"));
            closed.map_err(|trouble| unreadable("the working store", &trouble.why))?;
        }
        drop(lock);
        Ok(journal?)
    }
}

impl Drop for SledStore {
    fn drop(&mut self) {
        if let Err(error) = self.stop(Wake::Abandon) {
            tracing::warn!(%error, "the store was not closed cleanly");
        }
    }
}

impl fmt::Debug for SledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SledStore").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl Shared {
    fn overlay(&self) -> RwLockReadGuard<'_, Overlay> {
        self.overlay.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn index(&self) -> Result<Arc<Index>, StoreError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner).clone();
        index.ok_or_else(|| {
            let trouble = self.trouble();
            if trouble.as_ref().is_some_and(|trouble| trouble.full) {
                return StoreError::Full;
            }
            let why = trouble.map_or_else(|| "it is closed".to_owned(), |trouble| trouble.why);
            unreadable("the working store", &why)
        })
    }

    fn set_index(&self, index: Option<Arc<Index>>) {
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
    }

    fn take_index(&self) -> Option<Arc<Index>> {
        self.index.write().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set_trouble(&self, trouble: Option<Trouble>) {
        *self.trouble.write().unwrap_or_else(PoisonError::into_inner) = trouble;
        self.in_trouble.notify_waiters();
    }

    fn trouble(&self) -> Option<Trouble> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn written_mark(&self) -> Mark {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_written_mark(&self, mark: Mark) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) = mark;
    }

    /// Nothing is taken any more after this.
    fn fail(&self, why: &str) {
        tracing::error!(why, "the store has stopped for good");
        self.failed.write().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| why.to_owned());
        // Nobody gives room back any more to those who wait for it.
        self.room.close();
    }

    fn waypoints(&self) -> MutexGuard<'_, Waypoints> {
        self.waypoints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn healthy(&self) -> Result<(), StoreError> {
        let failed = self.failed.read().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().map_or(Ok(()), |why| Err(StoreError::Fatal(why.clone())))
    }
}
