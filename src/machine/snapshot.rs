//! An order as it stands: the fold of its journal.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::event::{Outcome, Parent, Timer};
use crate::definition::Stage;
use crate::types::{
    Attempt, CallId, ConnectorName, Currency, Epoch, EventId, EventName, Money, OperationName, OrderId, Seq, StateName,
    Timestamp, Value, Version, WorkflowName,
};

/// Everything that is known of an order. Serialized into the working store and, from there, into the API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: OrderId,
    pub workflow: WorkflowName,
    pub version: Version,
    /// The number of the last entry folded in.
    pub seq: Seq,
    pub state: StateName,
    pub status: Status,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// When the state was entered.
    pub entered_at: Timestamp,
    /// What was submitted.
    pub input: Arc<Value>,
    /// What transitions have assigned: a JSON object.
    pub data: Arc<Value>,
    /// What providers call it: the fields of `data` that the workflow names under `references`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<Money>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The stages of the spine that have been passed, in the order of passing.
    pub stages: Vec<Stage>,
    /// Calls that are not settled, and those of the present state that wait for their join.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub calls: BTreeMap<CallId, Call>,
    pub next_call: CallId,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", with = "timers_as_list")]
    pub timers: BTreeMap<Timer, Timestamp>,
    /// The last keys of ended calls that had more than one and move money.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub renewed: BTreeMap<CallId, Epoch>,
    /// What can be undone, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<Undo>,
    /// Timers of this state that fired while an outcome was open: they wait until it is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub due: Vec<Timer>,
    /// Events that came before the state that handles them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inbox: Vec<Early>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<Incident>,
    pub money: MoneyPosition,
    /// How many attempts at calls have been made in all.
    pub attempts: u32,
    /// The last outcome that decided anything, such as `declined: insufficient_funds`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub outcome: String,
}

impl Snapshot {
    /// Something is still to be done: the order is not final, or effects of it are not acknowledged.
    pub fn is_open(&self) -> bool {
        !matches!(self.status, Status::Succeeded | Status::Failed) || !self.calls.is_empty() || !self.timers.is_empty()
    }

    /// A request is on its way or an inquiry is being made: what a restart interrupts.
    pub fn is_under_way(&self) -> bool {
        self.calls_under_way().next().is_some()
    }

    /// The calls that are.
    pub fn calls_under_way(&self) -> impl Iterator<Item = CallId> {
        let under_way = |call: &Call| {
            matches!(call.phase, Phase::Sending | Phase::Unknown { asking: true } | Phase::Pending { asking: true, .. })
        };
        self.calls.iter().filter(move |(_, call)| under_way(call)).map(|(&id, _)| id)
    }

    /// The idempotency key of a call: our own reference at the provider, the same for every try of one epoch.
    pub fn key(&self, id: CallId, call: &Call) -> String {
        format!("{}-{}-{}", self.id, id, call.epoch)
    }

    /// Entries of its journal are lost, and no person has looked into it yet.
    pub fn is_halted(&self) -> bool {
        self.incident.as_ref().is_some_and(|incident| incident.halted)
    }

    /// The payments of which a call of this order reserves a refund.
    pub fn refunds_of(&self) -> impl Iterator<Item = OrderId> {
        let reserving = |call: &&Call| call.connector.as_str() == "refunds" && call.operation.as_str() == "reserve";
        let payment = |call: &Call| call.with.get("payment").and_then(Value::as_str)?.parse().ok();
        self.calls.values().filter(reserving).filter_map(payment)
    }

    /// The timer that is due next.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.timers.values().min().copied()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// A call is under way.
    Running,
    /// Waits for an event, a timer or a provider.
    Waiting,
    Succeeded,
    Failed,
    /// Parked: needs a person.
    Incident,
}

impl Status {
    /// The order has ended; nothing but a late event touches it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// A durable call and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub role: Role,
    /// The state that declares it, where the invoke, effect or compensation is found again.
    pub state: StateName,
    pub connector: ConnectorName,
    pub operation: OperationName,
    pub with: Arc<Value>,
    pub epoch: Epoch,
    pub attempt: Attempt,
    /// Attempts made before the present budget of the retry policy began.
    #[serde(default)]
    pub spent: u32,
    pub phase: Phase,
    /// When the call was first made.
    pub begun_at: Timestamp,
    /// When the present epoch was first sent, from which the idempotency window counts.
    pub sent_at: Timestamp,
    /// When its last attempt was sent, or ended: from then on "not found" becomes final.
    pub last_sent_at: Timestamp,
    /// No retry begins later than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Inquiries made since the last send.
    pub inquiries: Attempt,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trouble: String,
    /// A send of the present epoch ended without a known outcome: a later one that is not sent says nothing of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub doubtful: bool,
    /// The provider has accepted it under this key: that it does not know it any more does not mean that it never happened.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
    /// The provider has it under this earlier key: that it does not know the present one is no reason for another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_as: Option<Epoch>,
    /// Its reversal has been acknowledged, and is now being confirmed by inquiry.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reversed: bool,
}

impl Call {
    /// What was said of the old key says nothing of the new one, which is first sent at this time.
    pub(super) fn renew_key(&mut self, sent_at: Timestamp) {
        self.epoch = self.epoch.next();
        self.sent_at = sent_at;
        (self.doubtful, self.accepted) = (false, false);
    }
}

/// Why a call is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Role {
    /// The work of the state; the branch is empty for the one call of a state.
    Invoke { branch: String },
    /// An entry effect, by its place in the list.
    Effect { index: u32 },
    /// Undoes a call that succeeded; the branch is that of the invoke which declares it.
    Compensation { branch: String },
    /// Undoes a call whose outcome never became known.
    Reversal { branch: String, of: CallId },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    /// The intent is durable; the request may be anywhere. After a restart this is unknown.
    Sending,
    /// Known not to have happened; waits for its next try.
    Backoff,
    /// The outcome is not known; waits for the next inquiry, or for one that is under way.
    Unknown { asking: bool },
    /// Accepted by the provider; waits for its answer, which is also asked for.
    Pending { asking: bool, reference: Option<String> },
    /// Its unknown outcome is being undone by another call.
    Reversing { by: CallId },
    /// Settled; waits for the other branches.
    Done { outcome: Outcome },
    /// Given up; waits for a person. `unknown` says whether it may have happened.
    Parked { unknown: bool },
}

/// A call that succeeded and can be undone. Its compensation is declared at (state, branch).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    pub state: StateName,
    pub branch: String,
    /// The key of the call to undo.
    pub key: String,
    /// What the call was made with, and what it answered.
    pub with: Arc<Value>,
    pub result: Value,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Early {
    pub id: EventId,
    pub name: EventName,
    pub payload: Value,
    pub source: String,
    pub at: Timestamp,
}

/// An order that is parked and needs a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub reason: String,
    pub opened_at: Timestamp,
    /// The call that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// The money whose whereabouts are not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_stake: Option<Money>,
    /// The state was entered, and nothing of its work could begin.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unbegun: bool,
    /// Why the workflow asks for a person, beside what else is wrong: that the order goes on does not end it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<String>,
    /// What became of the order is not known: whatever comes for it waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub halted: bool,
}

/// What Paystate believes happened to the money of an order, in minor units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoneyPosition {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// Reserved and not yet captured or released.
    pub held: i64,
    /// Moved to the merchant, by capture or purchase.
    pub captured: i64,
    /// Given back out of what was held, a purchase undone on its day, or a capture that failed afterwards.
    pub released: i64,
    pub refunded: i64,
    /// Taken back by the customer's bank.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub charged_back: i64,
}

const fn is_zero(amount: &i64) -> bool {
    *amount == 0
}

/// JSON has no map with a structured key, so timers travel as a list.
mod timers_as_list {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Timer, Timestamp};

    #[derive(Serialize, Deserialize)]
    struct Due {
        #[serde(flatten)]
        timer: Timer,
        at: Timestamp,
    }

    pub(super) fn serialize<S: Serializer>(timers: &BTreeMap<Timer, Timestamp>, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(timers.iter().map(|(&timer, &at)| Due { timer, at }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<Timer, Timestamp>, D::Error> {
        let list = Vec::<Due>::deserialize(from)?;
        Ok(list.into_iter().map(|due| (due.timer, due.at)).collect())
    }
}
