//! The journal as the rest of Paystate sees it.

use std::ops::Deref;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::disk::RealDisk;
use super::error::JournalError;
use super::files::Files;
use super::open::{self, Opened, SharedDisk};
use super::reader::JournalReader;
use super::segment::{self, FIRST};
use super::spares::{self, Spares};
use super::tip::TipFile;
use super::writer::{Counts, Group, Submission, Writer};
use crate::types::Position;

/// Batches that wait for the writer.
const QUEUE: usize = 1024;
/// Below the data directory.
const DIR: &str = "journal";

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

/// The files of one data directory. One writer, any number of readers.
#[derive(Debug)]
pub struct Journal {
    queue: Mutex<Option<mpsc::Sender<Submission>>>,
    reader: JournalReader,
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
    /// A data directory has a journal. Looks, and touches nothing.
    pub fn is_in(data: &Path) -> bool {
        let entries = std::fs::read_dir(data.join(DIR)).into_iter().flatten().flatten();
        let names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        !segment::among(&names).is_empty()
    }

    /// Opens the journal of a data directory, or makes one. Whoever calls this holds the directory's lock.
    pub fn open(data: &Path, options: &JournalOptions) -> Result<Self, JournalError> {
        let smallest = FIRST + 4096;
        let segment_size = options.segment_size.max(smallest).next_multiple_of(4096);
        let options = JournalOptions { segment_size, ..options.clone() };
        let dir = data.join(DIR);
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
        let reader = JournalReader::new(files);
        Ok(Self { queue: Mutex::new(Some(sender)), reader, spares, tip, counts, threads: Mutex::new(threads) })
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
}

impl Deref for Journal {
    type Target = JournalReader;

    fn deref(&self) -> &JournalReader {
        &self.reader
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the journal was not closed cleanly");
        }
    }
}

fn closed() -> JournalError {
    JournalError::Fatal("the journal is closed".to_owned())
}
