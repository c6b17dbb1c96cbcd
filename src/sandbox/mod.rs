//! The sandbox: a bank, a payment gateway and a shop as real servers on the loopback interface, to try things on.
//!
//! **Invariant.** It stands for the world outside: it uses `types` and nothing else of Paystate, so that it can be the
//! judge of what Paystate did with the money.

mod bank;
mod clock;
mod customer;
mod folder;
mod gateway;
pub mod jwe;
mod keys;
mod lines;
mod look;
mod samples;
pub mod shop;
mod start;
mod strict;
pub mod tls;

pub use clock::{ClearingDay, Clock};
pub use gateway::{GatewayError, GatewayOptions};
pub use samples::{Customer, METHODS, SampleError};
pub use start::{Options, Sandbox, SandboxError};
