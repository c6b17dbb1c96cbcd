//! Records as JSON, with the version of the format in each.

use serde::{Deserialize, Serialize};

use super::error::JournalError;
use super::{Entry, FORMAT_VERSION, Lost, Record};
use crate::definition::Sources;
use crate::types::{Timestamp, Version, WorkflowName};

/// The parser gives up at 128 levels. What is nested deeper than this is refused before it is written, because it
/// could never be read again.
pub const MAX_DEPTH: usize = 100;

/// Bytes that are not a record.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("format version {0} is newer than {FORMAT_VERSION}, the newest that this Paystate reads")]
    Newer(u32),
    #[error("not a record: {0}")]
    Malformed(String),
}

/// `Record` without owning its parts.
#[derive(Serialize)]
#[serde(tag = "record", rename_all = "snake_case")]
enum Borrowed<'a> {
    Definition { v: u32, workflow: &'a WorkflowName, version: &'a Version, at: Timestamp, sources: &'a Sources },
    Entry(&'a Entry),
    Lost(&'a Lost),
}

/// The version alone: what can be read of a record whose shape is not known.
#[derive(Deserialize)]
struct Probe {
    v: u32,
}

/// Appends the record's JSON.
pub fn encode(record: &Record, into: &mut Vec<u8>) -> Result<(), JournalError> {
    match record {
        Record::Entry(entry) => encode_entry(entry, into),
        Record::Lost(lost) => write(&Borrowed::Lost(lost), into),
        Record::Definition { v, workflow, version, at, sources } => {
            write(&Borrowed::Definition { v: *v, workflow, version, at: *at, sources }, into)
        }
    }
}

pub(super) fn encode_entry(entry: &Entry, into: &mut Vec<u8>) -> Result<(), JournalError> {
    write(&Borrowed::Entry(entry), into)
}

/// Reads a record. Never panics, whatever the bytes are.
pub fn decode(bytes: &[u8]) -> Result<Record, CodecError> {
    let record = match serde_json::from_slice::<Record>(bytes) {
        Ok(record) => record,
        Err(error) => {
            return Err(match serde_json::from_slice::<Probe>(bytes) {
                Ok(Probe { v }) if v > FORMAT_VERSION => CodecError::Newer(v),
                _ => CodecError::Malformed(error.to_string()),
            });
        }
    };
    let (Record::Definition { v, .. } | Record::Entry(Entry { v, .. }) | Record::Lost(Lost { v, .. })) = record;
    if v > FORMAT_VERSION { Err(CodecError::Newer(v)) } else { Ok(record) }
}

fn write(record: &Borrowed<'_>, into: &mut Vec<u8>) -> Result<(), JournalError> {
    let start = into.len();
    if let Err(error) = serde_json::to_writer(&mut *into, record) {
        into.truncate(start);
        return Err(JournalError::Record { position: 0, why: error.to_string() });
    }
    let depth = depth(&into[start..]);
    if depth > MAX_DEPTH {
        into.truncate(start);
        return Err(JournalError::TooDeep { depth, limit: MAX_DEPTH });
    }
    Ok(())
}

/// How deep JSON is nested.
pub(crate) fn depth(json: &[u8]) -> usize {
    // Counting brackets is almost free, and few brackets cannot nest deeply.
    let brackets = json.iter().filter(|&&byte| byte == b'{' || byte == b'[').count();
    if brackets <= MAX_DEPTH {
        return brackets;
    }
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}
