//! A scenario: a story of one order, told in YAML, with what must be true along the way.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Map;

use crate::connector::Script;
use crate::definition::Workflow;
use crate::machine::{Call, Event, Resolution, Snapshot, Status};
use crate::types::{EventId, EventName, StateName, Value, WorkflowName};

/// A story, with what its folder has in common filled in.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What the story shows, in a few words.
    pub scenario: String,
    pub workflow: WorkflowName,
    /// What is submitted.
    pub input: Value,
    /// How the providers answer, by operation, such as `gateway.authorize`.
    pub answers: BTreeMap<String, Answers>,
    /// Whether a run with a crash must end in the same state with the same money; not where the story hangs on who comes
    /// first. Even then such a run must come to an end or to an incident, with nothing done twice.
    pub crashes: bool,
    pub steps: Vec<Step>,
}

impl Step {
    /// What this step sends to the order, and whether that must be refused; nothing for the other steps. `number` is its
    /// place in the story, from 1; `order` is the order as it stands.
    pub fn event(&self, number: usize, workflow: &Workflow, order: Option<&Snapshot>) -> Option<(Event, bool)> {
        let id = || EventId::new(format!("step-{number}"));
        let by = |by: &str| if by.is_empty() { "operator".to_owned() } else { by.to_owned() };
        Some(match &self.act {
            Act::Event(event) => {
                let id = event.id.as_deref().map_or_else(id, EventId::from);
                (event.received(id, workflow, order), event.refused)
            }
            Act::Cancel(Person { by: who, note, refused }) => {
                (Event::CancelRequested { id: id(), by: by(who), reason: note.clone() }, *refused)
            }
            Act::Retry(Person { by: who, note, refused }) => {
                (Event::RetryRequested { id: id(), by: by(who), note: note.clone() }, *refused)
            }
            Act::Resolve(ResolveStep { by: who, note, refused, resolution }) => {
                let (by, note, resolution) = (by(who), note.clone(), resolution.clone());
                (Event::Resolved { id: id(), by, note, resolution }, *refused)
            }
            Act::Advance(_) | Act::Crash | Act::Expect(_) => return None,
        })
    }
}

/// How one operation answers.
#[derive(Clone, Debug)]
pub struct Answers {
    pub script: Script,
    /// It stands in the scenario itself, where every answer must be asked for; answers of the folder are for all.
    pub own: bool,
}

/// One step of a story.
#[derive(Clone, Debug)]
pub struct Step {
    /// The line that it begins on.
    pub line: u32,
    pub act: Act,
}

#[derive(Clone, Debug)]
pub enum Act {
    Advance(Duration),
    Event(EventStep),
    Cancel(Person),
    Retry(Person),
    Resolve(ResolveStep),
    Crash,
    Expect(Box<Expect>),
}

#[derive(Clone, Debug, Deserialize)]
pub struct EventStep {
    pub name: EventName,
    /// The call that it settles, such as `adyen.capture`: the last of these that the order has under way.
    #[serde(default)]
    pub about: Option<String>,
    /// The sender's id; a number in the order of the steps when it is not given.
    pub id: Option<String>,
    #[serde(default)]
    pub payload: Value,
    /// The event must be refused.
    #[serde(default)]
    pub refused: bool,
}

impl EventStep {
    /// What settles a call comes from the provider of that call, with its key.
    fn received(&self, id: EventId, workflow: &Workflow, order: Option<&Snapshot>) -> Event {
        let settling = || {
            workflow.connectors.iter().find(|(_, connector)| connector.settling_events().any(|name| *name == self.name))
        };
        let told = self.about.as_deref().and_then(|call| call.split_once('.')).map(|(connector, _)| connector);
        let connector = told.or_else(|| settling().map(|(name, _)| name.as_str()));
        let source = connector.map_or_else(|| "scenario".to_owned(), |connector| format!("hook:{connector}"));
        let mut payload = self.payload.clone();
        if let (Some(about), Some(order)) = (&self.about, order) {
            let is_it = |call: &Call| *about == format!("{}.{}", call.connector, call.operation);
            let key = order.calls.iter().rev().find(|(_, call)| is_it(call)).map(|(&id, call)| order.key(id, call));
            if payload.is_null() {
                payload = Value::Object(Map::new());
            }
            if let (Some(key), Some(fields)) = (key, payload.as_object_mut()) {
                fields.insert("call".to_owned(), Value::String(key));
            }
        }
        Event::Received { id, name: self.name.clone(), payload, source }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Person {
    pub by: String,
    pub note: String,
    /// It must be refused.
    pub refused: bool,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ResolveStep {
    #[serde(default)]
    pub by: String,
    #[serde(default)]
    pub note: String,
    /// It must be refused.
    #[serde(default)]
    pub refused: bool,
    #[serde(flatten)]
    pub resolution: Resolution,
}

/// What must be true now. Only what is written is looked at.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    pub state: Option<StateName>,
    pub status: Option<Status>,
    /// Each field must have this value; others may be there too.
    pub data: BTreeMap<String, Value>,
    /// How often each operation took effect at the provider.
    pub effects: BTreeMap<String, u32>,
    /// Part of the incident's reason; `none` means that there is none. An incident that is not expected is a failure.
    pub incident: Option<String>,
    /// `held`, `captured`, `released`, `refunded`, `charged_back`, in minor units.
    pub money: BTreeMap<String, i64>,
    /// How many events wait in the inbox.
    pub inbox: Option<usize>,
    /// How often each operation was called, repeats included.
    pub calls: BTreeMap<String, u32>,
}
