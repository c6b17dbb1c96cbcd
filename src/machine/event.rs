//! What can happen to an order. Every event is journaled before it has any effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::types::{Attempt, CallId, EventId, EventName, Money, OrderId, StateName, Timestamp, Value};

/// An input of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The order was submitted.
    Started {
        input: Value,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<Parent>,
    },
    /// Somebody said something: a customer, a provider's notification, a child order.
    Received {
        id: EventId,
        name: EventName,
        payload: Value,
        source: String,
    },
    /// A call was answered, or is known to have been cut off.
    Settled {
        call: CallId,
        attempt: Attempt,
        outcome: Outcome,
    },
    /// An inquiry about a call was answered.
    Inquired {
        call: CallId,
        inquiry: Attempt,
        outcome: Outcome,
    },
    TimerFired {
        timer: Timer,
    },
    /// A person or the shop wants the order undone.
    CancelRequested {
        id: EventId,
        by: String,
        reason: String,
    },
    /// A person wants the incident's call to be taken up again.
    RetryRequested {
        id: EventId,
        by: String,
        note: String,
    },
    /// The engine itself could not go on with this order.
    Parked {
        reason: String,
    },
    /// Entries of the order's journal are lost: nothing is sent for it until a person has looked into it.
    Halted {
        reason: String,
    },
    /// A person says how the incident ends.
    Resolved {
        id: EventId,
        by: String,
        note: String,
        resolution: Resolution,
    },
}

impl Event {
    /// The sender's id, under which the same event is recognised again.
    pub fn id(&self) -> Option<&EventId> {
        match self {
            Self::Received { id, .. }
            | Self::CancelRequested { id, .. }
            | Self::RetryRequested { id, .. }
            | Self::Resolved { id, .. } => Some(id),
            Self::Started { .. }
            | Self::Settled { .. }
            | Self::Inquired { .. }
            | Self::TimerFired { .. }
            | Self::Parked { .. }
            | Self::Halted { .. } => None,
        }
    }
}

/// The order whose call this order is the work of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    pub order: OrderId,
    pub call: CallId,
}

/// How a person closes an incident.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "as", rename_all = "snake_case")]
pub enum Resolution {
    /// The call did succeed, with this result.
    Ok { result: Value },
    /// The call did not happen.
    Declined { code: String },
    /// Go on in this state, with this data.
    State {
        state: StateName,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        data: BTreeMap<String, Value>,
    },
    /// It has been dealt with elsewhere: the order stays where it is.
    Dismissed,
}

/// How the reason of an outcome begins that is unknown because the answer names another order, amount or currency.
pub const INTEGRITY: &str = "integrity: ";

/// The classified answer of a provider. Everything that is not understood is `Unknown`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    Ok {
        result: Value,
    },
    /// The provider said no, and nothing happened.
    Declined {
        code: String,
        soft: bool,
        #[serde(default, skip_serializing_if = "Value::is_null")]
        result: Value,
    },
    /// It is certain that the provider did nothing; it may be sent again without asking.
    NotSent {
        reason: String,
        /// How long the provider asked us to wait.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Accepted; the answer comes later, by inquiry or by notification.
    Pending {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reference: Option<String>,
        #[serde(default, skip_serializing_if = "Value::is_null")]
        result: Value,
    },
    /// The customer must do something first.
    ActionRequired {
        result: Value,
    },
    /// It may or may not have happened.
    Unknown {
        reason: String,
        /// How long the provider asked us to wait before we ask again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Only from an inquiry: the provider does not know the reference.
    NotFound,
}

/// Which timer of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "timer", rename_all = "snake_case")]
pub enum Timer {
    /// The n-th `after` of the state.
    After { index: u32 },
    /// The order's deadline.
    Deadline,
    /// The next try of a call.
    Retry { call: CallId },
    /// The next inquiry about a call.
    Inquire { call: CallId },
}

/// What the machine asks for. A command leaves only after the entry that holds it is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Send the call. The entry that holds this is the intent.
    Invoke {
        call: CallId,
        attempt: Attempt,
    },
    /// Ask what became of the call.
    Inquire {
        call: CallId,
        inquiry: Attempt,
    },
    StartTimer {
        timer: Timer,
        at: Timestamp,
    },
    CancelTimer {
        timer: Timer,
    },
    /// Tell the parent order how this one ended.
    Report {
        parent: Parent,
        outcome: Outcome,
    },
    OpenIncident {
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_stake: Option<Money>,
    },
    CloseIncident,
}
