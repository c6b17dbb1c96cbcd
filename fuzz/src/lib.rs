//! The rooms of Paystate that read what others wrote, without the rest of it: soon compiled for coverage, and without
//! any server. `targets` says what each fuzz target does with its input; tests/it/fuzz.rs takes the same files.
#![allow(dead_code, unexpected_cfgs, unreachable_pub, reason = "the rooms are read as a part of another crate")]

extern crate self as paystate;

#[macro_use]
#[path = "../../src/fault.rs"]
pub mod fault;

#[path = "../../src/definition/mod.rs"]
pub mod definition;
#[path = "../../src/journal/mod.rs"]
pub mod journal;
#[path = "../../src/ledger/mod.rs"]
pub mod ledger;
#[path = "../../src/machine/mod.rs"]
pub mod machine;
#[path = "../../src/types/mod.rs"]
pub mod types;

pub mod stack;
pub mod targets {
    pub mod definition;
    pub mod expression;
    pub mod journal_decoder;
}
