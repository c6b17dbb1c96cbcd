//! A deterministic world: virtual time, faults, and the scenarios that users write for their own methods.
//!
//! **Invariant.** Nothing here reads the clock or draws a random number: a run can always be repeated.

mod read;
mod recorded;
mod rules;
mod run;
mod scenario;
mod stage;
pub mod suite;
mod world;

pub use run::{Endings, REST, Report, run, run_crashes};
pub use scenario::{Act, Answers, EventStep, Expect, Person, ResolveStep, Scenario, Step};
pub use stage::Stage;
pub use world::{Crash, World, WorldError};
