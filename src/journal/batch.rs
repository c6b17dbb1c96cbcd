//! Records that are written together, encoded by whoever wants them written: the writer only puts them in their places.

use super::error::JournalError;
use super::frame::{self, Kind, MAX_PAYLOAD};
use super::{Entry, Record, codec};
use crate::types::Position;

/// Encoded records without a place.
#[derive(Debug, Default)]
pub struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) records: Vec<Pending>,
    pub(super) opening: bool,
}

/// Where the previous entry of an entry's order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prev {
    /// It is the first.
    None,
    At(Position),
    /// It is this record of the same batch.
    Record(usize),
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) start: usize,
    pub(super) prev: Prev,
}

impl Batch {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn with_capacity(records: usize) -> Self {
        Self { bytes: Vec::with_capacity(records * 512), records: Vec::with_capacity(records), opening: false }
    }

    /// Encodes an entry. Its own `prev` is not looked at.
    pub fn push_entry(&mut self, entry: &Entry, prev: Prev) -> Result<(), JournalError> {
        if entry.prev.is_some() {
            let entry = Entry { prev: None, ..entry.clone() };
            return self.push_entry(&entry, prev);
        }
        self.opening |= entry.is_new_order();
        self.push(Kind::Entry, prev, |into| codec::encode_entry(entry, into))
    }

    /// Encodes a record that is about no order.
    pub fn push_record(&mut self, record: &Record) -> Result<(), JournalError> {
        match record {
            Record::Entry(entry) => self.push_entry(entry, entry.prev.map_or(Prev::None, Prev::At)),
            Record::Definition { .. } => self.push(Kind::Definition, Prev::None, |into| codec::encode(record, into)),
            Record::Lost(_) => {
                let why = "it takes the place of others, and is never appended".to_owned();
                Err(JournalError::Record { position: 0, why })
            }
        }
    }

    /// Whether some entry of it opens a new order, which a full disk does not allow.
    pub fn is_opening(&self) -> bool {
        self.opening
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn push(
        &mut self,
        kind: Kind,
        prev: Prev,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), JournalError>,
    ) -> Result<(), JournalError> {
        let start = frame::begin(&mut self.bytes);
        if let Err(error) = encode(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        let len = frame::end(&mut self.bytes, start, kind);
        if len > MAX_PAYLOAD {
            self.bytes.truncate(start);
            return Err(JournalError::TooLarge { what: "the record", bytes: len, limit: MAX_PAYLOAD });
        }
        self.records.push(Pending { start, prev });
        Ok(())
    }
}
