//! Paystate: a workflow state-machine orchestrator for payments.
//!
//! A payment method is a YAML file of states and transitions; a durable executor drives every order through it. The
//! rooms below use one another in one direction only; docs/architecture.md has the map.

// A program that embeds Paystate has its own output; the commands print through `cli/output.rs`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
pub mod fault;

pub mod api;
pub mod cli;
pub mod connector;
pub mod definition;
pub mod executor;
pub mod journal;
pub mod ledger;
pub mod machine;
pub mod sandbox;
pub mod sim;
pub mod store;
pub mod types;
