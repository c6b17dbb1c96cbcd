//! The names that the expressions of a workflow can see.

use serde_json::json;

use super::event::Outcome;
use super::run::Run;
use super::snapshot::Snapshot;
use crate::definition::{LateValue, Scope};
use crate::types::Value;

pub(super) static NULL: Value = Value::Null;

/// What an event brings into a transition's scope.
#[derive(Clone, Debug, Default)]
pub(super) struct Given {
    pub(super) result: Option<Value>,
    pub(super) decline: Option<Value>,
    pub(super) event: Option<Value>,
    /// How the transition is told in `Snapshot::outcome`.
    pub(super) label: String,
}

impl Given {
    pub(super) fn outcome(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Ok { result } => Self { result: Some(result.clone()), label: "ok".to_owned(), ..Self::default() },
            Outcome::ActionRequired { result } => {
                Self { result: Some(result.clone()), label: "action_required".to_owned(), ..Self::default() }
            }
            Outcome::Pending { reference, result } => Self {
                result: Some(json!({ "reference": reference, "body": result })),
                label: "pending".to_owned(),
                ..Self::default()
            },
            Outcome::Declined { code, soft, result } => Self {
                result: Some(result.clone()),
                decline: Some(json!({ "code": code, "soft": soft })),
                label: format!("declined: {code}"),
                ..Self::default()
            },
            Outcome::NotSent { reason, .. } | Outcome::Unknown { reason, .. } => Self {
                decline: Some(json!({ "code": reason, "soft": true })),
                label: format!("failed: {reason}"),
                ..Self::default()
            },
            Outcome::NotFound => Self { label: "not_found".to_owned(), ..Self::default() },
        }
    }

    pub(super) fn event(name: &str, payload: &Value) -> Self {
        Self { event: Some(payload.clone()), label: name.to_owned(), ..Self::default() }
    }
}

impl Run<'_> {
    /// The scope of a transition, an entry effect or an invoke.
    pub(super) fn scope<'a>(&'a self, given: &'a Given) -> Scope<'a> {
        Scope::new()
            .with("input", &self.snapshot.input)
            .with("data", &self.snapshot.data)
            .with_late("order", self)
            .with("result", given.result.as_ref().unwrap_or(&NULL))
            .with("decline", given.decline.as_ref().unwrap_or(&NULL))
            .with("event", given.event.as_ref().unwrap_or(&NULL))
    }
}

impl LateValue for Run<'_> {
    fn value(&self) -> &Value {
        self.order_value()
    }
}

/// What expressions see as `order`.
pub fn order_value(snapshot: &Snapshot) -> Value {
    json!({
        "id": snapshot.id.to_string(),
        "workflow": snapshot.workflow.as_str(),
        "version": snapshot.version.as_str(),
        "state": snapshot.state.as_str(),
        "created_at": snapshot.created_at.to_string(),
        "amount": snapshot.amount.map(|money| money.amount),
        "currency": snapshot.amount.map(|money| money.currency.code()),
    })
}
