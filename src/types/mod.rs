//! The shared vocabulary: names, ids, sequence numbers, timestamps, money.
//!
//! **Invariant.** This room uses no other room, does no I/O and reads no clock. Everything in it is a value.

mod card;
mod duration;
mod id;
mod money;
mod name;
mod pause;
mod reference;
mod secret;
mod time;

pub use card::{card_number_in, mask_card_numbers, mask_card_numbers_in};
pub use duration::{DurationError, format_duration, parse_duration};
pub use id::{Attempt, CallId, Epoch, OrderId, OrderIdError, Position, Seq};
pub use money::{Currency, Money, MoneyError};
pub use name::{ConnectorName, EventId, EventName, OperationName, StateName, Version, WorkflowName};
pub use pause::{Pause, Pauses};
pub use reference::{call_of_reference, order_of_reference, short_key_of};
pub use secret::Secret;
pub use time::Timestamp;

/// JSON as it travels through Paystate: inputs, results, data of an order.
pub type Value = serde_json::Value;
