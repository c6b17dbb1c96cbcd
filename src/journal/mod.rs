//! Entries, their versioned encoding, and replay: fold and compare with what was recorded.

mod entry;
mod line;
mod replay;

pub use entry::{Entry, FORMAT_VERSION, Opening, Record};
pub use line::{event_text, lines, outcome_text};
pub use replay::{Divergence, replay, replay_with};
