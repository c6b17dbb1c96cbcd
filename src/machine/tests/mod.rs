//! The machine, one event at a time, on a small method that has everything.

mod cancel;
mod events;
mod incidents;
mod join;
mod ladder;
mod properties;
mod settles;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Command, Decision, Event, Outcome, Rejection, Snapshot, Timer, start, transition};
use crate::definition::{self, Sources, Workflow};
use crate::types::{Attempt, CallId, EventId, OrderId, Timestamp, Value};

const METHOD: &str = include_str!("method.yaml");
const ACQUIRER: &str = include_str!("acquirer.yaml");

/// An order that is driven by hand.
struct Story {
    workflow: Arc<Workflow>,
    order: Snapshot,
    commands: Vec<Command>,
    now: Timestamp,
    events: u32,
}

fn method(text: &str) -> Arc<Workflow> {
    method_at(text, ACQUIRER)
}

fn method_at(text: &str, acquirer: &str) -> Arc<Workflow> {
    let sources = Sources {
        path: "method.yaml".to_owned(),
        workflow: text.to_owned(),
        connectors: BTreeMap::from([("acquirer".to_owned(), acquirer.to_owned())]),
        schemas: BTreeMap::new(),
    };
    // They are in small: nothing asks for what the customer has confirmed, as the checker would want before a capture.
    Arc::new(definition::load_kept(sources).expect("the method of the tests can be read"))
}

impl Story {
    fn new() -> Self {
        Self::of(METHOD)
    }

    fn of(text: &str) -> Self {
        Self::on(method(text))
    }

    fn on(workflow: Arc<Workflow>) -> Self {
        let now = Timestamp::from_unix_ms(1_767_225_600_000);
        let input = json!({ "amount": 1000, "currency": "CNY" });
        let decision = start(&workflow, OrderId::from_bytes([7; 16]), input, None, now).expect("the order opens");
        Self { workflow, order: decision.snapshot, commands: decision.commands, now, events: 0 }
    }

    #[track_caller]
    fn apply(&mut self, event: &Event) -> &mut Self {
        let decision = self.try_apply(event).expect("the event applies");
        self.order = decision.snapshot;
        self.commands = decision.commands;
        self
    }

    fn try_apply(&self, event: &Event) -> Result<Decision, Rejection> {
        transition(&self.workflow, &self.order, event, self.now)
    }

    /// The answer to the newest try of a call.
    #[track_caller]
    fn settle(&mut self, call: u32, outcome: Outcome) -> &mut Self {
        let attempt = self.order.calls.get(&CallId(call)).expect("the call is open").attempt;
        self.apply(&Event::Settled { call: CallId(call), attempt, outcome })
    }

    #[track_caller]
    fn inquired(&mut self, call: u32, outcome: Outcome) -> &mut Self {
        let inquiry = self.order.calls.get(&CallId(call)).expect("the call is open").inquiries;
        self.apply(&Event::Inquired { call: CallId(call), inquiry, outcome })
    }

    /// Lets the next timer fire at its moment.
    #[track_caller]
    fn fire(&mut self) -> &mut Self {
        let (&timer, &at) = self.order.timers.iter().min_by_key(|&(timer, at)| (*at, *timer)).expect("a timer");
        self.now = self.now.max(at);
        self.apply(&Event::TimerFired { timer })
    }

    fn receive(&mut self, name: &str) -> &mut Self {
        self.events += 1;
        let id = EventId::new(format!("e{}", self.events));
        let source = "test".to_owned();
        self.apply(&Event::Received { id, name: name.into(), payload: json!({}), source })
    }

    fn cancel(&mut self) -> &mut Self {
        let (by, reason) = ("kim".to_owned(), String::new());
        self.apply(&Event::CancelRequested { id: "cancel".into(), by, reason })
    }

    #[track_caller]
    fn in_state(&mut self, state: &str) -> &mut Self {
        let incident = &self.order.incident;
        assert_eq!(self.order.state.as_str(), state, "incident: {incident:?}, calls: {:?}", self.order.calls);
        self
    }

    fn invoked(&self) -> Vec<(u32, u32)> {
        let invoke = |command: &Command| match command {
            Command::Invoke { call, attempt } => Some((call.0, attempt.0)),
            _ => None,
        };
        self.commands.iter().filter_map(invoke).collect()
    }

    fn key(&self, call: u32) -> String {
        self.order.key(CallId(call), &self.order.calls[&CallId(call)])
    }

    fn due_in(&self, timer: Timer) -> Duration {
        self.order.timers[&timer].since(self.now)
    }
}

fn ok() -> Outcome {
    Outcome::Ok { result: json!({ "id": "a1" }) }
}

fn declined() -> Outcome {
    Outcome::Declined { code: "insufficient_funds".to_owned(), soft: false, result: Value::Null }
}

fn unknown() -> Outcome {
    Outcome::Unknown { reason: "no answer".to_owned(), retry_after_ms: None }
}

fn not_sent() -> Outcome {
    Outcome::NotSent { reason: "refused".to_owned(), retry_after_ms: None }
}

fn pending() -> Outcome {
    Outcome::Pending { reference: Some("p1".to_owned()), result: Value::Null }
}

#[test]
fn the_good_path() {
    let mut story = Story::new();
    assert_eq!(story.invoked(), [(1, 1)]);
    story.in_state("authorizing").settle(1, ok()).in_state("capturing");
    assert_eq!(story.order.money.held, 1000);
    assert_eq!(story.order.data["authorization"], "a1");
    story.settle(2, ok()).in_state("settled");
    assert_eq!((story.order.money.held, story.order.money.captured), (0, 1000));
    assert_eq!(story.invoked(), [(3, 1), (4, 1)], "both notifications go out at once");
    story.settle(3, ok()).in_state("settled").settle(4, ok()).in_state("notified");
    assert!(!story.order.is_open());
    assert_eq!(story.order.seq.0, 5);
}

#[test]
fn a_decline_ends_the_order() {
    let mut story = Story::new();
    story.settle(1, declined()).in_state("declined");
    assert_eq!(story.order.outcome, "declined: insufficient_funds");
    assert_eq!(story.order.money.held, 0);
}

#[test]
fn a_settled_call_takes_no_second_answer() {
    let mut story = Story::new();
    story.settle(1, ok());
    let again = Event::Settled { call: CallId(1), attempt: Attempt(1), outcome: declined() };
    assert_eq!(story.try_apply(&again), Err(Rejection::Stale));
}
