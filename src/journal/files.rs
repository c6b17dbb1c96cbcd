//! The segments, for readers: which one holds a position, and how far it may be read.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::disk::{DiskFile, read_full};
use super::error::JournalError;
use super::frame::{self, Header, Parsed};
use super::open::SharedDisk;
use super::segment::{FIRST, Head, Segment};

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
            let read = read_full(&*segment.file, buffer, offset);
            buffer.truncate(read.map_err(|error| JournalError::io("could not read", &segment.path, &error))?);
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
        let found = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            segments.range(..=position).next_back().map(|(_, (head, path))| (*head, path.clone()))
        };
        let Some((head, path)) = found.filter(|(head, _)| position < head.base + head.capacity) else {
            return Err(JournalError::Record { position, why: "no segment reaches there".to_owned() });
        };
        let file = self.file(head.base, &path).map_err(|error| JournalError::io("could not open", &path, &error))?;
        Ok(Segment { head, path, file })
    }

    fn file(&self, base: u64, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = open.get(&base) {
            return Ok(Arc::clone(file));
        }
        if open.len() >= MAX_OPEN {
            open.clear();
        }
        let file = self.disk.open(path, false)?;
        open.insert(base, Arc::clone(&file));
        Ok(file)
    }
}
