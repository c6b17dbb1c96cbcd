//! A scenario: a story of one order, told in YAML, with what must be true along the way.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::machine::{Resolution, Status};
use crate::types::{EventName, StateName, Value, WorkflowName, parse_duration};

/// The file, as it is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What the story shows, in a few words.
    pub scenario: String,
    pub workflow: WorkflowName,
    /// What is submitted. Fields that are not given come from the folder's `_common.yaml`.
    #[serde(default)]
    pub input: Value,
    /// How the provider answers, by operation, such as `gateway.authorize: [unknown, ok]`.
    #[serde(default)]
    pub answers: BTreeMap<String, Value>,
    /// Whether a run with a crash must end in the same state with the same money; not where the story hangs on who comes
    /// first. Even then such a run must come to an end or to an incident, with nothing done twice.
    #[serde(default = "yes")]
    pub crashes: bool,
    #[serde(default)]
    pub steps: Vec<Step>,
}

fn yes() -> bool {
    true
}

/// What every scenario of a folder has in common: its `_common.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Common {
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub answers: BTreeMap<String, Value>,
}

/// One step. Each is a map with one key, so that a story reads as a list.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "BTreeMap<String, Value>")]
pub enum Step {
    Advance(Duration),
    Event(EventStep),
    Cancel(Person),
    Retry(Person),
    Resolve(ResolveStep),
    Crash,
    Expect(Box<Expect>),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventStep {
    pub name: EventName,
    /// The sender's id; a number in the order of the steps when it is not given.
    pub id: Option<String>,
    #[serde(default)]
    pub payload: Value,
    /// The event must be refused.
    #[serde(default)]
    pub refused: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
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
    #[serde(flatten)]
    pub resolution: Resolution,
}

/// What must be true now. Only what is written is looked at.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    pub state: Option<StateName>,
    pub status: Option<Status>,
    /// Each field must have this value; others may be there too.
    pub data: BTreeMap<String, Value>,
    /// How often each operation took effect at the provider.
    pub effects: BTreeMap<String, u32>,
    /// Part of the incident's reason; `none` means that there is none.
    pub incident: Option<String>,
    /// `held`, `captured`, `released`, `refunded`, in minor units.
    pub money: BTreeMap<String, i64>,
    /// How many events wait in the inbox.
    pub inbox: Option<usize>,
    /// How often each operation was called, repeats included.
    pub calls: BTreeMap<String, u32>,
}

impl TryFrom<BTreeMap<String, Value>> for Step {
    type Error = String;

    fn try_from(map: BTreeMap<String, Value>) -> Result<Self, String> {
        const KINDS: &str = "advance, event, cancel, retry, resolve, crash, expect";
        let mut entries = map.into_iter();
        let (Some((kind, value)), None) = (entries.next(), entries.next()) else {
            return Err(format!("a step has one key, one of {KINDS}"));
        };
        let step = match kind.as_str() {
            "advance" => {
                let text = value.as_str().ok_or("advance takes a duration, such as 30s")?;
                Self::Advance(parse_duration(text).map_err(|error| error.to_string())?)
            }
            "event" => match value {
                Value::String(name) => {
                    let name = EventName::new(name);
                    Self::Event(EventStep { name, id: None, payload: Value::Null, refused: false })
                }
                other => Self::Event(read(other)?),
            },
            "cancel" => Self::Cancel(person(value)?),
            "retry" => Self::Retry(person(value)?),
            "resolve" => Self::Resolve(read(value)?),
            "crash" => Self::Crash,
            "expect" => Self::Expect(Box::new(read(value)?)),
            other => return Err(format!("there is no step `{other}`; there are {KINDS}")),
        };
        Ok(step)
    }
}

fn read<T: for<'de> Deserialize<'de>>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| error.to_string())
}

fn person(value: Value) -> Result<Person, String> {
    match value {
        Value::Null | Value::Bool(true) => Ok(Person::default()),
        other => read(other),
    }
}
