//! The sandbox: a bank, a payment gateway and a shop as real servers on the loopback interface, to try things on.
//!
//! **Invariant.** It stands for the world outside: it uses `types` and nothing else of Paystate, so that it can be the
//! judge of what Paystate did with the money.

pub mod clock;
pub mod jwe;
pub mod shop;
pub mod tls;
