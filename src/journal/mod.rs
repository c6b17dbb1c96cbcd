//! Entries, their versioned encoding, and replay: fold and compare with what was recorded.

mod entry;

pub use entry::{Entry, FORMAT_VERSION, Opening, Record};
