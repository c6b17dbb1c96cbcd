//! The log that the shim writes: what was done to the disk, in its order.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::path::Path;

const HEADER: usize = 56;
const MAGIC: u32 = 0x5257_5031;

/// What a record tells of. The fields are those of `struct record` in tests/power/shim.c.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) file: u64,
    pub(super) at: u64,
    pub(super) length: u64,
    pub(super) size: u64,
    fresh: Range<usize>,
    before: Range<usize>,
    place: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Write,
    Truncate,
    Sync,
    SyncFailed,
    Create,
    Mkdir,
    Rename,
    Remove,
}

impl Kind {
    /// It changes a directory, not a file.
    pub(super) fn is_name(self) -> bool {
        matches!(self, Self::Create | Self::Mkdir | Self::Rename | Self::Remove)
    }
}

/// What is certain about a change once the power is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Durable,
    /// Nothing is: it was never synced, or the sync failed.
    Open,
}

#[derive(Debug, Default)]
pub(super) struct Log {
    bytes: Vec<u8>,
    pub(super) records: Vec<Record>,
}

impl Log {
    /// Reads a log. A record that the kill has cut off had no effect, and is cut off for good.
    pub(super) fn read(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let mut log = Self { bytes, records: Vec::new() };
        let mut from = 0;
        while let Some((record, end)) = log.parse(from) {
            log.records.push(record);
            from = end;
        }
        if from < log.bytes.len() {
            log.bytes.truncate(from);
            OpenOptions::new().write(true).open(path).unwrap().set_len(from as u64).unwrap();
        }
        log
    }

    pub(super) fn fresh(&self, record: &Record) -> &[u8] {
        &self.bytes[record.fresh.clone()]
    }

    pub(super) fn before(&self, record: &Record) -> &[u8] {
        &self.bytes[record.before.clone()]
    }

    /// The names of a record about names: the one that counts now, and for a rename the one before.
    pub(super) fn names(&self, record: &Record) -> (&str, &str) {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        (text(self.fresh(record)), text(self.before(record)))
    }

    /// The fate of every change, by the file or directory whose sync decides it. A failed sync has dropped what it was
    /// for: the system marks it as written, and no later sync writes it. Names are different: a file system that cannot
    /// write its log stops for good, so that a sync of a directory that succeeds after one that failed counts.
    pub(super) fn fates(&self) -> HashMap<u64, Vec<(usize, Fate)>> {
        let mut fates: HashMap<u64, Vec<(usize, Option<Fate>)>> = HashMap::new();
        for (index, record) in self.records.iter().enumerate() {
            let changes = fates.entry(record.file).or_default();
            let fate = match record.kind {
                Kind::Sync => Fate::Durable,
                Kind::SyncFailed if changes.iter().any(|(change, _)| self.records[*change].kind.is_name()) => continue,
                Kind::SyncFailed => Fate::Open,
                _ => {
                    changes.push((index, None));
                    continue;
                }
            };
            // What came while the sync was under way is not covered by it.
            let covered = changes.iter_mut().rev().skip_while(|(change, _)| self.records[*change].place >= record.at);
            for (_, decided) in covered.take_while(|(_, decided)| decided.is_none()) {
                *decided = Some(fate);
            }
        }
        let known = |changes: Vec<(usize, Option<Fate>)>| {
            changes.into_iter().map(|(index, fate)| (index, fate.unwrap_or(Fate::Open))).collect()
        };
        fates.into_iter().map(|(file, changes)| (file, known(changes))).collect()
    }

    fn parse(&self, from: usize) -> Option<(Record, usize)> {
        let head = self.bytes.get(from..from + HEADER)?;
        let short = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
        let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
        assert_eq!((short(0), long(48)), (MAGIC, from as u64), "the log is not a log at {from}");
        let kinds = [
            Kind::Write,
            Kind::Truncate,
            Kind::Sync,
            Kind::SyncFailed,
            Kind::Create,
            Kind::Mkdir,
            Kind::Rename,
            Kind::Remove,
        ];
        let kind = kinds[short(4) as usize - 1];
        let fresh = from + HEADER..from + HEADER + short(40) as usize;
        let before = fresh.end..fresh.end + short(44) as usize;
        let end = before.end;
        let (file, at, length, size, place) = (long(8), long(16), long(24), long(32), from as u64);
        (end <= self.bytes.len()).then_some((Record { kind, file, at, length, size, fresh, before, place }, end))
    }
}
