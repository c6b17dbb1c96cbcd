use std::fmt;
use std::io;
use std::path::Path;

use super::disk::is_full;

/// Why the journal did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// A write or a sync failed. What is on disk is not known any more, so nothing is written after this.
    #[error("the journal could not be written: {0}")]
    Fatal(String),
    /// Nothing of the batch was written; it may be tried again when there is room.
    #[error("the disk is full")]
    Full,
    #[error("the journal is damaged: {0}")]
    Damaged(Damage),
    /// A newer Paystate wrote this. The files were not touched.
    #[error("{place} has format version {found}, and this Paystate reads up to {known}: use a newer one")]
    Newer { place: String, found: u32, known: u32 },
    #[error("{what} has {bytes} bytes, and at most {limit} can be kept")]
    TooLarge { what: &'static str, bytes: usize, limit: usize },
    #[error("the record is nested {depth} levels deep, and at most {limit} can be read again")]
    TooDeep { depth: usize, limit: usize },
    #[error("{what} {path}: {why}")]
    Io { what: &'static str, path: String, why: String },
    #[error("the record at {position} cannot be read: {why}")]
    Record { position: u64, why: String },
}

/// What is wrong with the files, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub why: String,
    /// The records that are lost or doubtful; the list ends after a bounded number of places.
    pub places: Vec<Place>,
}

/// A stretch of a segment that does not hold what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub segment: String,
    /// Bytes from the beginning of the segment's file.
    pub offset: u64,
    /// The number of the first record that should be here.
    pub seq: u64,
    /// The number of the last one, where it is known.
    pub last: Option<u64>,
}

impl Damage {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self { why: why.into(), places: Vec::new() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)?;
        for (n, place) in self.places.iter().enumerate() {
            f.write_str(if n == 0 { ": " } else { "; " })?;
            write!(f, "{} at offset {}, record {}", place.segment, place.offset, place.seq)?;
            match place.last {
                Some(last) if last > place.seq => write!(f, " to {last}")?,
                Some(_) => {}
                None => f.write_str(" and what follows")?,
            }
        }
        Ok(())
    }
}

impl JournalError {
    pub(crate) fn damaged(why: impl Into<String>) -> Self {
        Self::Damaged(Damage::new(why))
    }

    pub(crate) fn io(what: &'static str, path: &Path, error: &io::Error) -> Self {
        if is_full(error) {
            return Self::Full;
        }
        if error.kind() == io::ErrorKind::InvalidData {
            return Self::damaged(format!("{what} {}: {error}", path.display()));
        }
        Self::Io { what, path: path.display().to_string(), why: error.to_string() }
    }
}
