//! Entries, their versioned encoding, the files they are in, and replay: fold and compare with what was recorded.
//!
//! **Invariant.** What was acknowledged is on disk, in the order of the numbers, each record tied to the one before it
//! by a hash. The journal is the truth: everything else can be rebuilt from it. docs/journal-format.md has the bytes.

mod batch;
mod codec;
mod cursor;
mod disk;
mod doctor;
mod entry;
mod error;
mod files;
mod frame;
mod line;
mod log;
mod open;
mod packed;
mod packing;
mod reader;
mod recording;
mod replay;
mod segment;
mod spares;
mod tip;
mod writer;

pub use batch::{Batch, Prev};
pub use codec::{CodecError, MAX_DEPTH, decode, encode};
pub(crate) use disk::is_full;
pub use disk::{Disk, DiskFile, RealDisk};
pub use doctor::{Examined, Finding, Remedy, examine};
pub use entry::{Entry, FORMAT_VERSION, Lost, Opening, Record};
pub use error::{Damage, JournalError, Place};
pub use line::{event_text, lines, outcome_text};
pub use log::{Journal, JournalOptions, JournalStats, Mark, Written};
pub use packing::Packing;
pub use reader::{JournalReader, Read, Scan, Stretch};
pub use recording::{Recording, RecordingError, read_recording, recording_line};
pub use replay::{Divergence, replay, replay_with};
