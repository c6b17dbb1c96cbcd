//! Recorded journals: whole orders with the texts of their workflows' versions, in a file that anybody can keep and replay.
//!
//! One record of the journal on each line, as JSON: the definitions first, then entries. An entry with an `opening` begins
//! an order; what follows under the same id belongs to it.

use std::collections::BTreeMap;

use super::codec::{self, CodecError};
use super::entry::{Entry, Record};
use super::error::JournalError;
use crate::definition::Sources;
use crate::types::{OrderId, Version, WorkflowName};

/// What a recorded journal holds.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// The texts of each version, by its hash.
    pub versions: BTreeMap<Version, (WorkflowName, Sources)>,
    /// The journals, each from its first entry on, in the order in which they began.
    pub orders: Vec<Vec<Entry>>,
}

/// Why a file is not a recorded journal, and on which line.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    #[error("line {line}: {problem}")]
    Line { line: usize, problem: CodecError },
    #[error("line {line}: entry {seq} of order {order}, whose first entry is not in the file")]
    NoBeginning { line: usize, order: OrderId, seq: u64 },
    #[error("line {line}: entries of the order were lost, {count} of them, so that it cannot be replayed")]
    Lost { line: usize, count: u64 },
    #[error("there is no order in it")]
    Empty,
}

/// Reads a recorded journal. Blank lines are passed over.
pub fn read_recording(text: &str) -> Result<Recording, RecordingError> {
    let mut recording = Recording::default();
    let mut at: BTreeMap<OrderId, usize> = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        match codec::decode(text.as_bytes()).map_err(|problem| RecordingError::Line { line, problem })? {
            Record::Definition { workflow, version, sources, .. } => {
                recording.versions.insert(version, (workflow, sources));
            }
            Record::Entry(entry) if entry.opening.is_some() => {
                at.insert(entry.order, recording.orders.len());
                recording.orders.push(vec![entry]);
            }
            Record::Entry(entry) => {
                let (order, seq) = (entry.order, entry.seq.0);
                let journal = at.get(&order).and_then(|&at| recording.orders.get_mut(at));
                journal.ok_or(RecordingError::NoBeginning { line, order, seq })?.push(entry);
            }
            Record::Lost(lost) => return Err(RecordingError::Lost { line, count: lost.count }),
        }
    }
    if recording.orders.is_empty() { Err(RecordingError::Empty) } else { Ok(recording) }
}

/// One line of a recorded journal, with its line end. Where an entry stands in the journal that it was taken from means
/// nothing in another file, so that is left out.
pub fn recording_line(record: Record) -> Result<String, JournalError> {
    let record = match record {
        Record::Entry(entry) => Record::Entry(Entry { prev: None, ..entry }),
        other @ (Record::Definition { .. } | Record::Lost(_)) => other,
    };
    let mut line = Vec::new();
    codec::encode(&record, &mut line)?;
    line.push(b'\n');
    Ok(String::from_utf8_lossy(&line).into_owned())
}
