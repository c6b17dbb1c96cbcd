//! Runs a scenario, once as it is told and once for every place where the process could die.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::scenario::{Act, Expect, Scenario, Step};
use super::stage::Stage;
use super::world::{Crash, World, WorldError};
use crate::definition::Workflow;
use crate::journal::Entry;
use crate::machine::{Snapshot, Status, Walked};
use crate::types::{StateName, Value};

/// How long a crashed run may take to come to rest: longer than any retry, inquiry or wait of a sane method.
pub const REST: Duration = Duration::from_secs(90 * 24 * 3_600);

/// Entries that all crash runs of one scenario may walk through.
const CRASH_ENTRIES_MAX: usize = 50_000;

/// What a run leaves behind.
#[derive(Debug)]
pub struct Report {
    pub entries: Vec<Entry>,
    /// The order as it stands at the end; none when it could not even begin.
    pub order: Option<Snapshot>,
    pub walked: BTreeSet<Walked>,
    pub states: BTreeSet<StateName>,
    /// What was not as the scenario says, each with the number of its step; empty is success.
    pub failures: Vec<String>,
}

/// Runs a scenario as it is told.
pub fn run(scenario: &Scenario, workflow: &Arc<Workflow>) -> Report {
    let provider = Arc::new(Stage::new(&scenario.answers));
    let mut world = World::new(Arc::clone(workflow), Arc::<Stage>::clone(&provider), None);
    let mut failures = Vec::new();
    if let Err(error) = world.submit(scenario.input.clone()) {
        failures.push(format!("submit: {error}"));
        return Report::of(&world, failures);
    }
    for (number, step) in (1..).zip(&scenario.steps) {
        take(&mut world, &provider, number, step, true, &mut failures);
        if !failures.is_empty() {
            return Report::of(&world, failures);
        }
    }
    let own = scenario.answers.iter().filter(|(_, answers)| answers.own);
    for (operation, _) in own {
        let (invocations, inquiries) = provider.unused(operation);
        for (left, asked) in [(invocations, "called"), (inquiries, "inquired about")] {
            if left > 0 {
                failures.push(format!(
                    "answers of {operation}: the last {left} are left over; it was not {asked} so often"
                ));
            }
        }
    }
    Report::of(&world, failures)
}

/// Runs a scenario again with a crash after every commit, before and after what it asks for was sent. The order must end
/// where it ended without the crash with the same money, or at least come to rest where the scenario says that crashes
/// change the story; and no key may have taken effect twice. Returns how many runs there were.
pub fn run_crashes(scenario: &Scenario, workflow: &Arc<Workflow>, expected: &Report) -> (usize, Vec<String>) {
    let Some(endings) = Endings::of(scenario, workflow, expected) else { return (0, Vec::new()) };
    let mut failures = Vec::new();
    let mut runs = 0;
    let entries = expected.entries.len();
    // A story that polls for days is cut at evenly spread places, so that the work stays bounded.
    let places = entries.min(CRASH_ENTRIES_MAX / entries.max(1) / 2).max(1);
    for after_commit in (0..places).map(|place| 1 + place * entries / places) {
        for sent in [false, true] {
            runs += 1;
            let crash = Crash { after_commit, sent };
            if let Err(error) = run_crash(scenario, workflow, crash, &endings) {
                let when = if sent { "after sending" } else { "before sending" };
                failures.push(format!("crash after entry {after_commit}, {when}: {error}"));
            }
        }
    }
    (runs, failures)
}

/// What a run with a crash must come to: the order at the end of the story as it is told, and when it has come to rest
/// after that.
#[derive(Debug)]
pub struct Endings {
    told: Snapshot,
    rested: Option<Snapshot>,
    /// A crash changes nothing but the way.
    same: bool,
}

impl Endings {
    /// An order that has come to rest, wherever the process died on its way.
    pub fn at(told: Snapshot) -> Self {
        Self { told, rested: None, same: true }
    }

    /// The endings of a scenario that was run as it is told; none when it could not even begin.
    pub fn of(scenario: &Scenario, workflow: &Arc<Workflow>, expected: &Report) -> Option<Self> {
        let told = expected.order.clone()?;
        let rested = if ended(&told) { None } else { at_rest(scenario, workflow) };
        Some(Self { told, rested, same: scenario.crashes })
    }

    /// Whether an order that has been through the story is where it belongs. If not, it is given `REST` first.
    pub fn is_settled(&self, order: &Snapshot) -> bool {
        if self.same { order.state == self.told.state } else { ended(order) || !ended(&self.told) }
    }

    /// What is wrong with how an order has ended, after `REST` if it had to be given that.
    pub fn judge(&self, order: &Snapshot, settled: bool, doubled: Option<(String, u32)>) -> Result<(), String> {
        if let Some((key, times)) = doubled {
            return Err(format!("{key} took effect {times} times"));
        }
        if self.same {
            let rested = self.rested.as_ref().filter(|_| !settled);
            return compare(order, rested.unwrap_or(&self.told));
        }
        if settled || ended(order) { Ok(()) } else { Err(format!("never comes to rest; it is in {}", order.state)) }
    }
}

fn run_crash(scenario: &Scenario, workflow: &Arc<Workflow>, crash: Crash, endings: &Endings) -> Result<(), String> {
    let provider = Arc::new(Stage::new(&scenario.answers));
    let shared = Arc::<Stage>::clone(&provider);
    let mut world = World::new(Arc::clone(workflow), shared, Some(crash));
    world.submit(scenario.input.clone()).map_err(|error| error.to_string())?;
    let mut failures = Vec::new();
    for (number, step) in (1..).zip(&scenario.steps) {
        take(&mut world, &provider, number, step, false, &mut failures);
    }
    let mut order = world.order().map_err(|error| error.to_string())?;
    let settled = endings.is_settled(&order);
    if !settled {
        world.advance(REST).map_err(|error| error.to_string())?;
        order = world.order().map_err(|error| error.to_string())?;
    }
    endings.judge(&order, settled, provider.doubled())
}

fn compare(order: &Snapshot, ending: &Snapshot) -> Result<(), String> {
    if order.state != ending.state {
        let incident = order.incident.as_ref().map_or_else(String::new, |incident| format!(" ({})", incident.reason));
        return Err(format!("ended in {} instead of {}{incident}", order.state, ending.state));
    }
    // A crash may make a cancel come before a hold instead of after it: what was held and given back counts as nothing.
    let kept = |order: &Snapshot| (order.money.held, order.money.captured - order.money.refunded);
    if kept(order) != kept(ending) {
        return Err(format!("holds and keeps {:?} instead of {:?}", kept(order), kept(ending)));
    }
    Ok(())
}

/// Where the story without a crash leads to, when its last step is not the end of the order.
fn at_rest(scenario: &Scenario, workflow: &Arc<Workflow>) -> Option<Snapshot> {
    let provider = Arc::new(Stage::new(&scenario.answers));
    let mut world = World::new(Arc::clone(workflow), Arc::<Stage>::clone(&provider), None);
    world.submit(scenario.input.clone()).ok()?;
    for (number, step) in (1..).zip(&scenario.steps) {
        take(&mut world, &provider, number, step, false, &mut Vec::new());
    }
    world.advance(REST).ok()?;
    world.order().ok()
}

fn ended(order: &Snapshot) -> bool {
    order.status.is_final() || order.incident.is_some()
}

fn take(world: &mut World, provider: &Stage, number: usize, step: &Step, strict: bool, failures: &mut Vec<String>) {
    let here = format!("line {}, step {number}", step.line);
    let (result, refused) = match &step.act {
        Act::Advance(by) => (world.advance(*by), false),
        Act::Crash => (world.crash(), false),
        Act::Expect(expect) => {
            if strict {
                let wrong = expectations(world, provider, expect);
                failures.extend(wrong.into_iter().map(|wrong| format!("{here}: {wrong}")));
            }
            return;
        }
        Act::Event(_) | Act::Cancel(_) | Act::Retry(_) | Act::Resolve(_) => {
            let order = world.order().ok();
            let Some((event, refused)) = step.event(number, world.workflow(), order.as_ref()) else { return };
            (world.event(event).map(drop), refused)
        }
    };
    match (result, refused) {
        (Ok(()), true) if strict => failures.push(format!("{here}: was not refused")),
        (Err(WorldError::Refused(_)), true) | (Ok(()), _) => {}
        (Err(WorldError::Refused(_)), false) if !strict => {}
        (Err(error), _) => failures.push(format!("{here}: {error}")),
    }
}

fn expectations(world: &World, provider: &Stage, expect: &Expect) -> Vec<String> {
    let order = match world.order() {
        Ok(order) => order,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong = Vec::new();
    let mut compare = |what: &str, expected: Value, found: Value| {
        if expected != found {
            wrong.push(format!("{what} is {}, expected {}", shown(&found), shown(&expected)));
        }
    };
    if let Some(state) = &expect.state {
        compare("state", state.as_str().into(), order.state.as_str().into());
    }
    if let Some(status) = expect.status {
        compare("status", serde_json::json!(status), serde_json::json!(order.status));
    }
    for (name, value) in &expect.data {
        let found = order.data.get(name).unwrap_or(&Value::Null);
        compare(&format!("data.{name}"), value.clone(), found.clone());
    }
    for (name, amount) in &expect.money {
        compare(&format!("money.{name}"), (*amount).into(), money(&order, name).into());
    }
    for (operation, times) in &expect.effects {
        compare(&format!("effects of {operation}"), (*times).into(), provider.effects(operation).into());
    }
    for (operation, times) in &expect.calls {
        compare(&format!("calls of {operation}"), (*times).into(), provider.calls(operation).into());
    }
    if let Some(inbox) = expect.inbox {
        compare("inbox", inbox.into(), order.inbox.len().into());
    }
    let reason = order.incident.as_ref().map(|incident| incident.reason.as_str());
    match (expect.incident.as_deref(), reason) {
        (Some(expected), Some(reason)) if reason.contains(expected) => {}
        (None, Some(_)) if expect.status == Some(Status::Incident) => {}
        (expected, found) => compare("incident", expected.unwrap_or("none").into(), found.unwrap_or("none").into()),
    }
    wrong
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn money(order: &Snapshot, name: &str) -> Option<i64> {
    match name {
        "held" => Some(order.money.held),
        "captured" => Some(order.money.captured),
        "released" => Some(order.money.released),
        "refunded" => Some(order.money.refunded),
        "charged_back" => Some(order.money.charged_back),
        _ => None,
    }
}

impl Report {
    fn of(world: &World, failures: Vec<String>) -> Self {
        let entries = world.entries().to_vec();
        let walked = world.walked().clone();
        let mut states: BTreeSet<StateName> = entries.iter().map(|entry| entry.to.clone()).collect();
        // A state that is passed through within one event is seen only in the transition out of it.
        states.extend(walked.iter().map(|walked| walked.state.clone()));
        Self { entries, order: world.order().ok(), walked, states, failures }
    }
}
