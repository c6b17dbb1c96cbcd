//! The one thread that writes into the working store, behind the journal.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::Shared;
use super::archive::{Archiver, Request};
use super::index::{Index, Trouble};
use super::overlay::Layer;
use super::reserve::Reserve;
use crate::journal::Mark;
use crate::store::StoreError;
use crate::types::Timestamp;

/// A pass that takes longer than this is worth a word: sled may have stopped moving.
const SLOW: Duration = Duration::from_secs(30);
/// How long it archives before it looks whether there is something to write, and how long it rests then.
const PORTION: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// There is much to write.
    Now,
    /// Write everything, and end.
    Finish,
    /// End, as if the process had died.
    Abandon,
}

pub(super) struct Behind {
    pub(super) shared: Weak<Shared>,
    pub(super) wake: Receiver<Wake>,
    /// How long changes of an order are gathered before they are written.
    pub(super) every: Duration,
    pub(super) path: PathBuf,
    pub(super) reserve: Reserve,
    /// Whether room has been looked for since the start.
    pub(super) looked: bool,
    /// When room was last looked for in vain.
    pub(super) full_at: Option<Instant>,
    pub(super) archiver: Archiver,
    /// When orders to archive were last looked for.
    pub(super) looked_for_old: Option<Instant>,
}

impl Behind {
    pub(super) fn run(mut self) {
        let mut passed = Instant::now();
        loop {
            fault_point!("behind::waiting");
            let until_pass = self.every.saturating_sub(passed.elapsed());
            let pause = if self.archiver.is_busy() { until_pass.min(self.rest()) } else { until_pass };
            let wake = match self.wake.recv_timeout(pause) {
                Ok(wake) => Some(wake),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some(shared) = self.shared.upgrade() else { return };
            let last = wake == Some(Wake::Finish);
            if wake == Some(Wake::Abandon) {
                return;
            }
            if wake.is_some() || passed.elapsed() >= self.every {
                if !self.pass(&shared, last) || last {
                    return;
                }
                passed = Instant::now();
            }
            if !self.archive(&shared) {
                return;
            }
        }
    }

    /// Archives for a moment, unless very much waits to be written. False when the thread is to end.
    fn archive(&mut self, shared: &Shared) -> bool {
        if !self.archiver.is_busy() {
            let asked = shared.requests.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(request) = asked.or_else(|| self.old(shared)) else { return true };
            self.archiver.begin(request);
        }
        if self.full_at.is_some() {
            self.archiver.end(Err(StoreError::Full));
        }
        let begun = Instant::now();
        // There is room for what is committed meanwhile, or those who commit come first.
        while self.archiver.is_busy() && begun.elapsed() < PORTION && shared.overlay().waiting() <= shared.lag / 2 {
            if let Some(trouble) = self.archiver.step(shared) {
                // Between two passes nothing is being written.
                return self.repair(shared, &Arc::new(Layer::new(shared.written_mark())), trouble);
            }
        }
        true
    }

    /// What is archived by itself, if it is time to look for it.
    fn old(&mut self, shared: &Shared) -> Option<Request> {
        let after = shared.options.archive_after?;
        if self.looked_for_old.is_some_and(|at| at.elapsed() < shared.options.archive_every) {
            return None;
        }
        self.looked_for_old = Some(Instant::now());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let before = i64::try_from(now.checked_sub(after)?.as_millis()).ok()?;
        Some(Request { before: Timestamp::from_unix_ms(before), dry: false, reply: None })
    }

    /// Between two portions. Who asked for it has nothing else to do meanwhile.
    fn rest(&self) -> Duration {
        if self.archiver.is_urgent() { Duration::ZERO } else { PORTION }
    }

    /// Writes what waits. False when the thread is to end.
    fn pass(&mut self, shared: &Shared, last: bool) -> bool {
        if !self.has_room(shared) {
            return true;
        }
        let Some(layer) = shared.overlay_mut().begin_writing() else { return true };
        fault_point!("behind::before-layer");
        let begun = Instant::now();
        let result = shared.index().map_err(|error| Trouble { full: false, why: error.to_string() });
        if let Err(trouble) = result.and_then(|index| index.write(&layer)) {
            if last {
                // The next start folds it from the journal.
                tracing::warn!(reason = %trouble.why, "the working store could not be written at the end");
                shared.set_index(None);
                return false;
            }
            if !self.repair(shared, &layer, trouble) {
                return false;
            }
        }
        if begun.elapsed() > SLOW {
            tracing::error!(seconds = begun.elapsed().as_secs(), "the working store is very slow");
        }
        shared.set_written_mark(layer.mark);
        shared.overlay_mut().written();
        shared.room.add_permits(layer.entries.min(shared.lag));
        true
    }

    /// Looks for room, and says so when that changes. Without it everything stays in the journal and in memory: orders
    /// that were accepted go on for as long as there is memory for them, and new ones are refused.
    fn has_room(&mut self, shared: &Shared) -> bool {
        if self.looked && self.full_at.is_none() && shared.overlay().waiting() == 0 {
            return true;
        }
        if self.full_at.is_some_and(|at| at.elapsed() < self.every) {
            return false;
        }
        self.looked = true;
        match self.reserve.keep() {
            Ok(true) => {
                if self.full_at.take().is_some() {
                    tracing::info!("the disk has room again");
                    shared.set_trouble(None);
                }
                true
            }
            Ok(false) => {
                if self.full_at.is_none() {
                    tracing::error!(path = %self.path.display(), "the disk is full: new orders are refused");
                }
                self.full_at = Some(Instant::now());
                shared.set_trouble(Some(Trouble { full: true, why: "the disk is full".to_owned() }));
                false
            }
            Err(error) => {
                // Without a reserve it is as safe, only less patient.
                tracing::warn!(%error, "room for the working store could not be reserved");
                true
            }
        }
    }

    /// After a failed write sled refuses everything, so it is closed and opened again until the layer can be written.
    /// Meanwhile everything is in the journal and in memory.
    fn repair(&mut self, shared: &Shared, layer: &Arc<Layer>, trouble: Trouble) -> bool {
        tracing::error!(reason = %trouble.why, "the working store cannot be written; it will be tried again");
        let mut trouble = trouble;
        shared.set_trouble(Some(trouble.clone()));
        shared.set_index(None);
        if trouble.full {
            self.reserve.give_up();
            match self.reopen(shared, layer) {
                Ok(index) => {
                    shared.set_index(Some(Arc::new(index)));
                    // Whether there is room again is for the next pass to find out.
                    self.full_at = Some(Instant::now());
                    return true;
                }
                Err(again) => trouble = again,
            }
        }
        loop {
            shared.set_trouble(Some(trouble.clone()));
            match self.wake.recv_timeout(self.every) {
                Ok(Wake::Finish | Wake::Abandon) | Err(RecvTimeoutError::Disconnected) => return false,
                Ok(Wake::Now) => thread::sleep(self.every),
                Err(RecvTimeoutError::Timeout) => {}
            }
            match self.reopen(shared, layer) {
                Ok(index) => {
                    shared.set_index(Some(Arc::new(index)));
                    shared.set_trouble(None);
                    tracing::info!("the working store can be written again");
                    return true;
                }
                Err(again) => trouble = again,
            }
        }
    }

    fn reopen(&self, shared: &Shared, layer: &Layer) -> Result<Index, Trouble> {
        let options = &shared.options;
        let allowed = Arc::clone(&options.index_writes);
        let index = Index::open(&self.path, options.cache, options.open_within, allowed)?;
        let applied = index.applied().map_err(|error| Trouble { full: false, why: error.to_string() })?;
        // A part of the very first layer has no mark yet.
        let applied = applied.unwrap_or(Mark::START);
        if applied != shared.written_mark() && applied != layer.mark {
            // Only a restart can fold what is missing.
            let why = "it has lost what was written before".to_owned();
            shared.fail(&why);
            return Err(Trouble { full: false, why });
        }
        index.write(layer)?;
        Ok(index)
    }
}
