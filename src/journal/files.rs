//! The segments, for readers: which one holds a position, and how far it may be read.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::disk::{DiskFile, read_full};
use super::error::JournalError;
use super::frame::{self, Header, Parsed};
use super::open::SharedDisk;
use super::segment::{FIRST, Head, Segment, open_file};

/// How many sealed segments are held open: there may be more of them than a process may open files.
const MAX_OPEN: usize = 64;
/// Read at once; almost every record is shorter.
const GUESS: usize = 2048;

#[derive(Debug)]
pub(crate) struct Files {
    disk: SharedDisk,
    segments: RwLock<BTreeMap<u64, (Head, PathBuf)>>,
    open: Mutex<BTreeMap<u64, Arc<dyn DiskFile>>>,
    /// Nothing from here on is durable.
    end: AtomicU64,
    /// Records that were read one by one.
    reads: AtomicU64,
}

impl Files {
    pub(crate) fn new(disk: SharedDisk, segments: &[Segment], end: u64) -> Self {
        let (end, reads) = (AtomicU64::new(end), AtomicU64::new(0));
        let files = Self { disk, segments: RwLock::default(), open: Mutex::default(), end, reads };
        for segment in segments {
            files.add(segment);
        }
        files
    }

    pub(crate) fn add(&self, segment: &Segment) {
        self.put(segment.head, segment.path.clone());
    }

    pub(crate) fn put(&self, head: Head, path: PathBuf) {
        let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
        segments.insert(head.base, (head, path));
    }

    pub(crate) fn advance(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Reads the record at a position into `buffer`, header and all.
    pub(crate) fn read(&self, position: u64, buffer: &mut Vec<u8>) -> Result<Header, JournalError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let bad = |why: &str| JournalError::Record { position, why: why.to_owned() };
        let segment = self.segment(position)?;
        let offset = position - segment.head.base;
        if position >= self.end() || offset < FIRST || !frame::is_aligned(offset) {
            return Err(bad("no record begins there"));
        }
        let room = segment.head.capacity - offset;
        let mut need = GUESS;
        loop {
            buffer.resize(need, 0);
            let read = read_full(&*segment.file, buffer, offset).map_err(|error| match error.kind() {
                io::ErrorKind::InvalidData => bad(&format!("{}: {error}", segment.path.display())),
                _ => JournalError::io("could not read", &segment.path, &error),
            });
            buffer.truncate(read?);
            match frame::parse(buffer, room) {
                Parsed::Frame(header) => return Ok(header),
                Parsed::Short(more) if buffer.len() == need && more > need => need = more,
                Parsed::Short(_) => return Err(bad("the file ends")),
                Parsed::Blank => return Err(bad("there is none")),
                Parsed::Bad(why) => return Err(bad(why)),
            }
        }
    }

    /// The segment that a position is in.
    pub(crate) fn segment(&self, position: u64) -> Result<Segment, JournalError> {
        let first = self.find(position)?;
        match self.open(&first) {
            // It has been packed since.
            Err(_) if self.find(position)?.1 != first.1 => self.open(&self.find(position)?),
            opened => opened,
        }
    }

    /// The sealed segments but for the newest `kept`, each with what the next one's header says, oldest first.
    pub(crate) fn sealed(&self, kept: usize) -> Vec<(Head, PathBuf, Head)> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let all: Vec<&(Head, PathBuf)> = segments.values().collect();
        let sealed = all.windows(2).map(|pair| (pair[0].0, pair[0].1.clone(), pair[1].0));
        sealed.take(all.len().saturating_sub(kept)).collect()
    }

    /// The file of a segment is another one from now on, with the same bytes.
    pub(crate) fn replace(&self, head: Head, path: PathBuf) {
        self.put(head, path);
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&head.base);
    }

    pub(crate) fn disk(&self) -> &SharedDisk {
        &self.disk
    }

    fn find(&self, position: u64) -> Result<(Head, PathBuf), JournalError> {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        let found = segments.range(..=position).next_back().map(|(_, found)| found.clone());
        found
            .filter(|(head, _)| position < head.base + head.capacity)
            .ok_or_else(|| JournalError::Record { position, why: "no segment reaches there".to_owned() })
    }

    fn open(&self, (head, path): &(Head, PathBuf)) -> Result<Segment, JournalError> {
        let opened = |file| Segment { head: *head, path: path.clone(), file };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&head.base) {
            return Ok(opened(Arc::clone(file)));
        }
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        let file = open_file(&*self.disk, path)?;
        open.insert(head.base, Arc::clone(&file));
        Ok(opened(file))
    }
}
