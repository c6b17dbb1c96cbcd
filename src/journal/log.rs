//! The journal as the rest of Paystate sees it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::cursor::Cursor;
use super::disk::RealDisk;
use super::error::JournalError;
use super::files::Files;
use super::frame::{self, Chain, Header};
use super::open::{self, Opened, SharedDisk};
use super::segment::FIRST;
use super::spares::{self, Spares};
use super::tip::TipFile;
use super::writer::{Counts, Group, Submission, Writer};
use super::{Record, codec};
use crate::types::Position;

/// Batches that wait for the writer.
const QUEUE: usize = 1024;

/// How a journal is opened.
#[derive(Clone, Debug)]
pub struct JournalOptions {
    /// Bytes of a segment. A batch must fit into one.
    pub segment_size: u64,
    /// How much of the journal's end is checked when it is opened, in bytes; at least the newest segment is.
    pub verify: u64,
    /// How long after the disk was full room is looked for again; also how often the tip is synced.
    pub pause: Duration,
    pub disk: SharedDisk,
}

/// What has been written since the journal was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalStats {
    pub records: u64,
    pub bytes: u64,
    /// How often the disk was asked to make it durable.
    pub syncs: u64,
}

/// A record's identity: no two journals agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub position: Position,
    /// The number of the record in the journal; the first is 1.
    pub seq: u64,
    /// SHA-256 over everything up to and with the record.
    pub chain: [u8; 32],
}

/// A batch is on disk.
#[derive(Clone, Debug)]
pub struct Written {
    /// Of each record of the batch.
    pub positions: Vec<Position>,
    /// The last record of the batch.
    pub mark: Mark,
}

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Read {
    pub mark: Mark,
    pub record: Record,
}

/// The files of one data directory. One writer, any number of readers.
#[derive(Debug)]
pub struct Journal {
    queue: Mutex<Option<mpsc::Sender<Submission>>>,
    files: Arc<Files>,
    spares: Arc<Spares>,
    tip: Arc<TipFile>,
    counts: Arc<Counts>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Mark {
    /// Before the first record.
    pub const START: Self = Self { position: Position(0), seq: 0, chain: [0; 32] };
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_size: 64 * 1024 * 1024,
            verify: 1024 * 1024 * 1024,
            pause: Duration::from_secs(1),
            disk: Arc::new(RealDisk),
        }
    }
}

impl Journal {
    /// Opens the journal of a data directory, or makes one. Whoever calls this holds the directory's lock.
    pub fn open(data: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        let smallest = FIRST + 4096;
        let segment_size = options.segment_size.max(smallest).next_multiple_of(4096);
        let options = JournalOptions { segment_size, ..options.clone() };
        let dir = data.join("journal");
        let Opened { segments, offset, seq, chain, tip, turn, spares } = open::open(data, &dir, &options)?;
        let Some(segment) = segments.last().cloned() else {
            return Err(JournalError::damaged("there is no segment"));
        };
        let files = Arc::new(Files::new(Arc::clone(&options.disk), &segments, segment.head.base + offset));
        let disk = Arc::clone(&options.disk);
        let spares = Arc::new(Spares::new(dir.clone(), Arc::clone(&disk), segment_size, options.pause, spares));
        let (tip, group, counts) = (Arc::new(tip), Group::default(), Arc::new(Counts::default()));
        let writer = Writer {
            dir,
            disk,
            files: Arc::clone(&files),
            spares: Arc::clone(&spares),
            tip: Arc::clone(&tip),
            turn,
            segment_size,
            segment,
            offset,
            seq,
            chain,
            group,
            failed: None,
            counts: Arc::clone(&counts),
        };
        let (sender, receiver) = mpsc::channel(QUEUE);
        let started = (|| {
            let ahead = spares::start(Arc::clone(&spares), Arc::clone(&tip))?;
            let writer = thread::Builder::new().name("journal-write".to_owned()).spawn(move || writer.run(receiver))?;
            Ok(vec![writer, ahead])
        })();
        let threads = started.map_err(|error: std::io::Error| JournalError::io("no thread for", data, &error))?;
        Ok(Self { queue: Mutex::new(Some(sender)), files, spares, tip, counts, threads: Mutex::new(threads) })
    }

    pub fn stats(&self) -> JournalStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Counts { records, bytes, syncs } = &*self.counts;
        JournalStats { records: read(records), bytes: read(bytes), syncs: read(syncs) }
    }

    /// Writes a batch. On return all of it is on disk.
    pub async fn append(&self, batch: Batch) -> Result<Written, JournalError> {
        let (sender, receiver) = oneshot::channel();
        // Whoever waited may have gone; the batch is written all the same.
        self.submit(batch, |written| drop(sender.send(written))).await;
        receiver.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Hands a batch to the writer, and waits only for room in its queue. `done` is called exactly once, on the
    /// writer's thread and in the order of the journal; it must be quick. Dropping the future before it is ready
    /// drops `done` without calling it, and nothing is written.
    pub async fn submit(&self, batch: Batch, done: impl FnOnce(Result<Written, JournalError>) + Send + 'static) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(queue) = queue else {
            return done(Err(closed()));
        };
        match queue.reserve().await {
            Ok(permit) => permit.send(Submission { batch, done: Box::new(done) }),
            Err(_) => done(Err(closed())),
        }
    }

    /// The record at a position, checked by its checksum.
    pub fn read(&self, position: Position) -> Result<Read, JournalError> {
        let mut buffer = Vec::new();
        let header = self.files.read(position.0, &mut buffer)?;
        let mark = Mark { position, seq: header.seq, chain: header.chain };
        let json = &buffer[frame::HEADER + frame::PREV..frame::HEADER + header.len];
        Ok(Read { mark, record: decode(mark, header.prev, json)? })
    }

    /// Where the entry before the one at `position` is, without reading what it says.
    pub fn prev(&self, position: Position) -> Result<Option<Position>, JournalError> {
        let prev = self.files.read(position.0, &mut Vec::new())?.prev;
        Ok((prev != 0).then_some(Position(prev)))
    }

    /// Whether this very record is in this journal.
    pub fn holds(&self, mark: &Mark) -> bool {
        *mark == Mark::START || self.header(mark.position).is_some_and(|header| same(&header, mark))
    }

    /// Every record after `mark`, up to what was durable when this was called, each checked against the one before.
    pub fn scan(&self, after: Mark) -> Result<Scan<'_>, JournalError> {
        let end = self.files.end();
        let cursor = if after == Mark::START {
            Cursor::new(self.files.segment(0)?)
        } else {
            let header = self.header(after.position).filter(|header| same(header, &after));
            let header = header.ok_or_else(|| JournalError::Record {
                position: after.position.0,
                why: "it is not the record that was expected there".to_owned(),
            })?;
            Cursor::behind(self.files.segment(after.position.0)?, &after, frame::total(header.len) as u64)
        };
        Ok(Scan { files: &self.files, cursor, end, over: false })
    }

    /// Where the journal ends.
    pub fn end(&self) -> Position {
        Position(self.files.end())
    }

    /// Why the next batch will be refused, if the thread that prepares files has met a failure.
    pub fn failure(&self) -> Option<String> {
        self.spares.failure()
    }

    /// Writes what waits, and ends the threads. Everything after this answers `Fatal`.
    pub fn close(&self) -> Result<(), JournalError> {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.spares.stop();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                return Err(JournalError::Fatal("a thread of the journal has panicked".to_owned()));
            }
        }
        self.tip.sync()
    }

    fn header(&self, position: Position) -> Option<Header> {
        self.files.read(position.0, &mut Vec::new()).ok()
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the journal was not closed cleanly");
        }
    }
}

/// Records in their order. Ends after the first error.
#[derive(Debug)]
pub struct Scan<'a> {
    files: &'a Files,
    cursor: Cursor,
    end: u64,
    over: bool,
}

impl Iterator for Scan<'_> {
    type Item = Result<Read, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.advance().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Scan<'_> {
    fn advance(&mut self) -> Result<Option<Read>, JournalError> {
        // A segment holds at least one record, so that this ends after two turns.
        while self.cursor.end() < self.end {
            match self.cursor.next()? {
                Ok(found) => {
                    let record = decode(found.mark, found.prev, self.cursor.json(&found))?;
                    return Ok(Some(Read { mark: found.mark, record }));
                }
                Err(why) => {
                    let next = self.files.segment(self.cursor.segment.end());
                    let follows = |head: (u64, Chain)| head == (self.cursor.seq, self.cursor.chain);
                    match next {
                        Ok(next) if follows((next.head.seq, next.head.chain)) => self.cursor = Cursor::new(next),
                        Ok(next) => return Err(JournalError::Damaged(self.cursor.damage(why, Some(next.head.seq))?)),
                        Err(_) => return Err(JournalError::Damaged(self.cursor.damage(why, None)?)),
                    }
                }
            }
        }
        Ok(None)
    }
}

fn decode(mark: Mark, prev: u64, json: &[u8]) -> Result<Record, JournalError> {
    let position = mark.position.0;
    let mut record = codec::decode(json).map_err(|error| match error {
        codec::CodecError::Newer(found) => {
            let place = format!("the record at {position}");
            JournalError::Newer { place, found, known: super::FORMAT_VERSION }
        }
        error @ codec::CodecError::Malformed(_) => JournalError::Record { position, why: error.to_string() },
    })?;
    if let Record::Entry(entry) = &mut record {
        entry.prev = (prev != 0).then_some(Position(prev));
    }
    Ok(record)
}

fn same(header: &Header, mark: &Mark) -> bool {
    (header.seq, header.chain) == (mark.seq, mark.chain)
}

fn closed() -> JournalError {
    JournalError::Fatal("the journal is closed".to_owned())
}
