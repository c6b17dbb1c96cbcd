//! The rules: (workflow, snapshot, event, now) → decision.
//!
//! **Invariant.** No async, no clock, no I/O, no randomness: the same arguments give the same decision for ever.

mod calls;
mod cancel;
mod event;
mod incident;
mod invariants;
mod ladder;
mod money;
mod next;
mod received;
mod retry;
mod route;
mod run;
mod scope;
mod settles;
mod snapshot;
mod transition;
mod undo;
mod ways;

#[cfg(test)]
mod tests;

pub use calls::{attempt_timeout, is_harmless_effect, is_repeatable, leaves_no_trace};
pub use event::{Command, Event, INTEGRITY, Outcome, Parent, Resolution, Timer};
pub use next::{all_transitions, known_events, next_events};
pub use route::CANCEL;
pub use scope::order_value;
pub use snapshot::{Call, Early, Incident, MoneyPosition, Phase, Role, Snapshot, Status, Undo};
pub use transition::{Rejection, start, transition};
pub use ways::{Way, at_stake, needed_of_result, ways};

use crate::ledger::Posting;

/// What an event leads to: the order afterwards, and what is to be done once that is durable.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub snapshot: Snapshot,
    pub commands: Vec<Command>,
    pub postings: Vec<Posting>,
    /// The transitions that were taken, for coverage. Not journaled: replay finds them again.
    pub walked: Vec<Walked>,
}

/// One transition of a workflow: the state that has it (`*` for the workflow itself), the key that it stands under
/// (`ok`, `customer.confirmed`, `after 0`, `always`, `late payment.succeeded`, `deadline`), and its place in that list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Walked {
    pub state: crate::types::StateName,
    pub trigger: String,
    pub index: usize,
}
