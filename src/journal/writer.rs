//! The one thread that writes: it takes whatever waits, writes it in one piece, syncs once, and then answers all.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::batch::{Batch, Prev};
use super::disk::write_all;
use super::error::JournalError;
use super::files::Files;
use super::frame::{self, Chain};
use super::open::SharedDisk;
use super::segment::{FIRST, Head, Segment};
use super::spares::Spares;
use super::tip::{Tip, TipFile};
use super::{Mark, Written};
use crate::types::Position;

/// What is written between two syncs. Beyond this a sync costs less than the wait for it is worth.
const GROUP_BYTES: usize = 1024 * 1024;
const GROUP_BATCHES: usize = 512;

pub(super) type Done = Box<dyn FnOnce(Result<Written, JournalError>) + Send>;

/// A batch, and whom to tell. `done` runs on the writer's thread, in the order of the journal.
pub(super) struct Submission {
    pub(super) batch: Batch,
    pub(super) done: Done,
}

pub(super) struct Writer {
    pub(super) dir: PathBuf,
    pub(super) disk: SharedDisk,
    pub(super) files: Arc<Files>,
    pub(super) spares: Arc<Spares>,
    pub(super) tip: Arc<TipFile>,
    pub(super) turn: u64,
    pub(super) segment_size: u64,
    pub(super) segment: Segment,
    /// Where the group begins in the segment.
    pub(super) offset: u64,
    /// The number of the next record.
    pub(super) seq: u64,
    pub(super) chain: Chain,
    pub(super) group: Group,
    pub(super) failed: Option<String>,
    pub(super) counts: Arc<Counts>,
}

/// What has been written since the journal was opened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) syncs: AtomicU64,
}

/// What will be written next.
#[derive(Default)]
pub(super) struct Group {
    bytes: Vec<u8>,
    last: u64,
    waiting: Vec<(Done, Vec<Position>, Mark)>,
}

impl Writer {
    /// Works until the last sender is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Submission>) {
        let mut waiting = Vec::with_capacity(GROUP_BATCHES);
        while queue.blocking_recv_many(&mut waiting, GROUP_BATCHES) > 0 {
            for submission in waiting.drain(..) {
                self.take(submission);
                if self.group.bytes.len() >= GROUP_BYTES {
                    self.write();
                }
            }
            self.write();
        }
        if self.failed.is_none()
            && let Err(error) = self.tip.sync()
        {
            tracing::warn!(%error, "the tip could not be synced at the end");
        }
    }

    fn take(&mut self, submission: Submission) {
        let Submission { batch, done } = submission;
        match self.make_room(&batch) {
            Ok(()) => self.place(batch, done),
            Err(error) => done(Err(error)),
        }
    }

    /// Sees to it that the segment in use has room for all of the batch.
    fn make_room(&mut self, batch: &Batch) -> Result<(), JournalError> {
        let need = batch.bytes.len() as u64;
        let limit = self.segment_size - FIRST;
        if need > limit {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            return Err(JournalError::TooLarge { what: "the batch", bytes: batch.bytes.len(), limit });
        }
        if batch.opening && self.spares.on_reserve() {
            return Err(JournalError::Full);
        }
        if self.end_in_segment() + need <= self.segment.head.capacity {
            return self.healthy();
        }
        self.write();
        self.healthy()?;
        let spare = self.spares.take(batch.opening)?;
        fault_point!("journal::before-roll");
        let head = Head { base: self.segment.end(), capacity: self.segment_size, seq: self.seq, chain: self.chain };
        match Segment::begin(&*self.disk, &self.dir, &spare, head) {
            Ok(segment) => {
                fault_point!("journal::rolled");
                self.files.add(&segment);
                self.segment = segment;
                self.offset = FIRST;
                Ok(())
            }
            Err(error) => Err(self.fail(&error)),
        }
    }

    /// Gives every record of the batch its place in the group.
    fn place(&mut self, mut batch: Batch, done: Done) {
        let base = self.segment.head.base + self.end_in_segment();
        let first = if self.group.bytes.is_empty() { self.seq } else { self.seq - self.group.last };
        let mut positions: Vec<Position> = Vec::with_capacity(batch.records.len());
        for index in 0..batch.records.len() {
            let (start, prev) = (batch.records[index].start, batch.records[index].prev);
            let end = batch.records.get(index + 1).map_or(batch.bytes.len(), |next| next.start);
            let prev = match prev {
                Prev::None => 0,
                Prev::At(position) => position.0,
                Prev::Record(earlier) => positions.get(earlier).map_or(0, |position| position.0),
            };
            self.chain = frame::seal(&mut batch.bytes[start..end], self.seq, first, prev, &self.chain);
            self.seq += 1;
            positions.push(Position(base + start as u64));
        }
        self.group.last += batch.records.len() as u64;
        self.group.bytes.extend_from_slice(&batch.bytes);
        let position = positions.last().copied().unwrap_or_default();
        let mark = Mark { position, seq: self.seq - 1, chain: self.chain };
        self.group.waiting.push((done, positions, mark));
    }

    /// Writes the group, makes it durable, and answers. After a failure nothing is written ever again: what reached
    /// the disk is not known, and a second sync would report success without having written anything.
    fn write(&mut self) {
        if self.group.waiting.is_empty() {
            return;
        }
        self.failed = self.failed.take().or_else(|| self.spares.failure());
        let written = self.healthy().and_then(|()| self.write_group());
        let failed = written.err().map(|error| self.fail(&error));
        self.group.bytes.clear();
        self.group.last = 0;
        for (done, positions, mark) in self.group.waiting.drain(..) {
            done(failed.clone().map_or(Ok(Written { positions, mark }), Err));
        }
    }

    fn write_group(&mut self) -> Result<(), JournalError> {
        let path = &self.segment.path;
        fault_point!("journal::before-write");
        write_all(&*self.segment.file, &self.group.bytes, self.offset)
            .map_err(|error| JournalError::io("could not write", path, &error))?;
        fault_point!("journal::between-write-and-sync");
        self.segment.file.sync_data().map_err(|error| JournalError::io("could not sync", path, &error))?;
        fault_point!("journal::after-sync-before-tip");
        self.counts.syncs.fetch_add(1, Ordering::Relaxed);
        self.counts.records.fetch_add(self.group.last, Ordering::Relaxed);
        self.counts.bytes.fetch_add(self.group.bytes.len() as u64, Ordering::Relaxed);
        self.offset = self.end_in_segment();
        let end = self.segment.head.base + self.offset;
        if let Some((_, _, mark)) = self.group.waiting.iter().rev().find(|(_, positions, _)| !positions.is_empty()) {
            self.tip.write(&Tip { mark: *mark, end }, self.turn)?;
            self.turn = self.turn.saturating_add(1);
        }
        fault_point!("journal::after-tip");
        self.files.advance(end);
        Ok(())
    }

    fn end_in_segment(&self) -> u64 {
        self.offset + self.group.bytes.len() as u64
    }

    fn healthy(&self) -> Result<(), JournalError> {
        self.failed.as_ref().map_or(Ok(()), |why| Err(JournalError::Fatal(why.clone())))
    }

    fn fail(&mut self, error: &JournalError) -> JournalError {
        let why = match error {
            JournalError::Fatal(why) => why.clone(),
            // A disk that is full where zeros had been written ahead does not do what was promised.
            error => error.to_string(),
        };
        if self.failed.is_none() {
            tracing::error!(%why, "the journal has stopped for good");
        }
        self.failed.get_or_insert_with(|| why.clone());
        JournalError::Fatal(why)
    }
}
