//! The rules: (workflow, snapshot, event, now) → decision.
//!
//! **Invariant.** No async, no clock, no I/O, no randomness: the same arguments give the same decision for ever.

mod event;
mod snapshot;

pub use event::{Command, Event, Outcome, Parent, Resolution, Timer};
pub use snapshot::{Call, Early, Incident, MoneyPosition, Phase, Role, Snapshot, Status, Undo};

use crate::ledger::Posting;

/// What an event leads to: the order afterwards, and what is to be done once that is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub snapshot: Snapshot,
    pub commands: Vec<Command>,
    pub postings: Vec<Posting>,
}
