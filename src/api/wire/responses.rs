use serde::{Deserialize, Serialize};
use serde_json::Map;
use utoipa::ToSchema;

use super::order::Order;
use crate::types::{self, Currency, OrderId, Timestamp, Value};

/// Minor units of a currency: 600 is CNY 6.00 and JPY 600.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    #[schema(example = 1200)]
    pub amount: i64,
    #[schema(example = "CNY")]
    pub currency: String,
    /// The same for people: `12.00 CNY`.
    pub text: String,
}

impl From<types::Money> for Money {
    fn from(money: types::Money) -> Self {
        Self { amount: money.amount, currency: money.currency.code().to_owned(), text: money.to_string() }
    }
}

impl Money {
    /// An amount of minor units for people; without a known currency just the number.
    pub fn text_of(amount: i64, currency: Option<&str>) -> String {
        match currency.and_then(|code| code.parse::<Currency>().ok()) {
            Some(currency) => types::Money::new(amount, currency).to_string(),
            None => amount.to_string(),
        }
    }
}

/// A page of orders, newest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct OrderPage {
    pub orders: Vec<Order>,
    /// Give it as `after` to get the next page; none on the last one.
    #[schema(value_type = Option<String>)]
    pub next: Option<OrderId>,
}

/// A page of an order's journal, oldest first.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JournalPage {
    #[schema(value_type = String)]
    pub order: OrderId,
    pub entries: Vec<Entry>,
    /// Give it as `after` to get the next page; none on the last one.
    pub next: Option<u64>,
}

/// One event of an order, and what was decided.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = JournalEntry)]
pub struct Entry {
    pub seq: u64,
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The event in a few words.
    #[schema(example = "gateway.authorize #1: ok")]
    pub summary: String,
    /// The state before; none for the first entry.
    #[serde(default)]
    pub from: Option<String>,
    /// The state afterwards.
    pub to: String,
    /// The operation that the event is about, such as `gateway.authorize`.
    #[serde(default)]
    pub call: Option<String>,
    /// The event as it was journaled. Sealed payments are cut down. `{"type": "lost", "count": 2}` stands for entries that
    /// are lost.
    pub event: Value,
    /// What was decided, such as `{"do": "invoke", "call": 1, "attempt": 1}`.
    pub commands: Vec<Value>,
    /// What was booked.
    pub postings: Vec<Value>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentPage {
    pub incidents: Vec<IncidentItem>,
    /// What is at stake in the incidents of this page, by currency.
    pub at_stake: Vec<Money>,
    #[schema(value_type = Option<String>)]
    pub next: Option<OrderId>,
}

/// An order that needs a person.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = IncidentSummary)]
pub struct IncidentItem {
    /// The order's.
    #[schema(value_type = String)]
    pub id: OrderId,
    pub workflow: String,
    pub title: String,
    pub state: String,
    pub reason: String,
    #[schema(value_type = String, format = DateTime)]
    pub opened_at: Timestamp,
    #[serde(default)]
    pub at_stake: Option<Money>,
    #[serde(default)]
    pub call: Option<String>,
    #[serde(default)]
    pub amount: Option<Money>,
    pub attempts: u32,
    /// What that call is: `invoke`, `effect`, `compensation` or `reversal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What `result` must have when it is resolved as `ok`: the fields that the workflow reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// How a person can end it: `retry`, and `ok`, `declined`, `state` or `dismissed` to resolve it as.
    #[serde(default)]
    pub ways: Vec<String>,
}

/// What became of an event.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Delivery {
    /// `applied`, `waiting`, `duplicate` or `ignored`.
    pub result: String,
    pub order: Order,
}

/// What became of a notification.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct HookResult {
    /// `applied`, `waiting`, `duplicate` or `ignored`.
    pub result: String,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub order: Option<OrderId>,
    #[serde(default)]
    pub event: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkflowList {
    pub workflows: Vec<WorkflowItem>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = WorkflowSummary)]
pub struct WorkflowItem {
    pub workflow: String,
    pub version: String,
    pub title: String,
    pub description: String,
    pub states: usize,
    pub stages: Vec<String>,
    /// The connectors that it uses.
    pub connectors: Vec<String>,
    /// Where its diagram is.
    pub graph: String,
}

/// A workflow with its states.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkflowDetail {
    pub workflow: String,
    pub version: String,
    pub title: String,
    pub description: String,
    pub stages: Vec<String>,
    pub connectors: Vec<String>,
    pub graph: String,
    pub initial: String,
    pub states: Vec<StateView>,
    /// Events handled in every state that is not final.
    pub on: Vec<TransitionView>,
    /// The JSON Schema of the input.
    pub input: Value,
    /// The name that problems are reported under.
    pub path: String,
    /// The YAML that it was read from.
    pub source: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = State)]
pub struct StateView {
    pub name: String,
    #[serde(default)]
    pub title: Option<String>,
    #[serde(default)]
    pub stage: Option<String>,
    /// `success` or `failure` for a final state.
    #[serde(default, rename = "final")]
    pub verdict: Option<String>,
    /// What it invokes, such as `gateway.authorize`.
    pub calls: Vec<String>,
    /// Effects of its entry.
    pub entry: Vec<String>,
    pub transitions: Vec<TransitionView>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Transition)]
pub struct TransitionView {
    /// `ok`, `customer.confirmed`, `after 15m`, `always` or `late payment.succeeded`.
    pub on: String,
    /// Where it leads; none stays.
    #[serde(default)]
    pub target: Option<String>,
    /// Its guard.
    #[serde(default)]
    pub when: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`.
    pub status: String,
    /// The version of Paystate.
    pub version: String,
}

/// An error, as RFC 9457 says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Stable: `urn:paystate:problem:<id>`.
    #[serde(rename = "type")]
    #[schema(example = "urn:paystate:problem:order-not-found")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What happened this time, and what to do about it.
    pub detail: String,
    /// The places in the request that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// More of this kind of problem, such as `known` names.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub extra: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// A JSON Pointer into the body.
    pub pointer: String,
    pub detail: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl FieldError {
    pub(crate) fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), line: None, column: None }
    }
}
