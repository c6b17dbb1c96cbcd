//! Power cuts, failing disks and full disks under the real daemon.
//!
//! A shim (tests/power/shim.c) sees what the daemon writes; only what it synced survives. `PAYSTATE_CUTS` says how often
//! the power is cut in each way; the test command runs 15.
#![allow(clippy::print_stdout, reason = "the figures go where a report can collect them")]

mod cuts;
mod disk;
mod faults;
mod full;
mod load;
mod log;
mod oracle;
mod rig;
mod shim;
mod tree;
