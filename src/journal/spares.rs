//! Segments filled with zeros ahead of use, by a thread of their own. The last one is a reserve: when the disk is full,
//! it lets orders that were accepted come to their end.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::error::JournalError;
use super::open::SharedDisk;
use super::segment;
use super::tip::TipFile;

/// One to roll into, and the reserve.
const WANTED: usize = 2;
const RESERVE: usize = 1;
pub(crate) const PREFIX: &str = "spare-";

#[derive(Debug)]
pub(crate) struct Spares {
    dir: PathBuf,
    disk: SharedDisk,
    size: u64,
    /// How long after a failure for want of room it is tried again; also how often the tip is synced.
    pause: Duration,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<PathBuf>,
    next: u64,
    full: bool,
    /// The segment in use was the reserve.
    on_reserve: bool,
    failed: Option<String>,
    stop: bool,
}

impl Spares {
    pub(crate) fn new(dir: PathBuf, disk: SharedDisk, size: u64, pause: Duration, ready: Vec<PathBuf>) -> Self {
        // A number that an earlier run has used is not used again: its file may be about to become a segment.
        let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse::<u64>().ok();
        let next = ready.iter().filter_map(number).max().map_or(0, |last| last + 1);
        let state = State { ready: ready.into(), next, ..State::default() };
        Self { dir, disk, size, pause, state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Takes a spare, and waits for it if one can still be made. The reserve is not for new orders.
    pub(crate) fn take(&self, opening: bool) -> Result<PathBuf, JournalError> {
        let mut state = self.lock();
        loop {
            if let Some(why) = &state.failed {
                return Err(JournalError::Fatal(why.clone()));
            }
            let surplus = state.ready.len() > RESERVE;
            // At the end of the thread too nobody makes another one.
            let last = state.full || state.stop;
            if surplus || (last && !opening) {
                state.on_reserve = !surplus;
                let spare = state.ready.pop_front();
                self.changed.notify_all();
                return spare.ok_or(JournalError::Full);
            }
            if last {
                return Err(JournalError::Full);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether what is being written now is the reserve, so that new orders must wait.
    pub(crate) fn on_reserve(&self) -> bool {
        self.lock().on_reserve
    }

    /// Why nothing more may be acknowledged, if the thread has met a failure.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().failed.clone()
    }

    pub(crate) fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// The work of the thread: keeps spares ready and the tip synced.
    pub(crate) fn run(&self, tip: &TipFile) {
        loop {
            if let Err(error) = tip.sync() {
                self.fail(error.to_string());
            }
            let mut state = self.lock();
            if state.stop || state.failed.is_some() {
                return;
            }
            if state.ready.len() >= WANTED || state.full {
                let waited = self.changed.wait_timeout(state, self.pause);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                if state.stop {
                    return;
                }
            }
            if state.ready.len() < WANTED {
                let number = state.next;
                state.next += 1;
                drop(state);
                self.make(number);
            }
        }
    }

    fn make(&self, number: u64) {
        let path = self.dir.join(format!("{PREFIX}{number}"));
        let made = segment::preallocate(&*self.disk, &path, self.size).and_then(|()| {
            fault_point!("spares::named");
            self.disk.sync_dir(&self.dir)
        });
        let mut state = self.lock();
        match made.map_err(|error| JournalError::io("could not prepare", &path, &error)) {
            Ok(()) => {
                state.ready.push_back(path);
                state.full = false;
                state.on_reserve = false;
            }
            Err(JournalError::Full) => {
                if !state.full {
                    tracing::error!(path = %path.display(), "the disk is full: new orders will be refused");
                }
                state.full = true;
                // It may have failed after it had got its name.
                let _ = self.disk.remove(&path);
            }
            Err(error) => state.failed = Some(error.to_string()),
        }
        self.changed.notify_all();
    }

    fn fail(&self, why: String) {
        self.lock().failed = Some(why);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the thread.
pub(crate) fn start(spares: Arc<Spares>, tip: Arc<TipFile>) -> std::io::Result<thread::JoinHandle<()>> {
    thread::Builder::new().name("journal-ahead".to_owned()).spawn(move || spares.run(&tip))
}
