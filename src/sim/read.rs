//! A scenario's text → the scenario, or every mistake in it, at its place.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::rules;
use super::scenario::{Act, Answers, EventStep, Expect, Person, ResolveStep, Scenario, Step};
use crate::connector::Script;
use crate::definition::{Problem, Style, Workflow, YamlText, render};
use crate::machine::{Resolution, known_events};
use crate::types::{EventName, Value, WorkflowName, parse_duration};

/// The largest scenario.
const SIZE_MAX: u64 = 1 << 20;

const KEYS: &[&str] = &["scenario", "workflow", "input", "answers", "crashes", "steps"];
const COMMON_KEYS: &[&str] = &["input", "answers"];
const STEPS: &[&str] = &["advance", "event", "cancel", "retry", "resolve", "crash", "expect"];
const EVENT_KEYS: &[&str] = &["name", "about", "id", "payload", "refused"];
const PERSON_KEYS: &[&str] = &["by", "note", "refused"];
const RESOLVE_KEYS: &[&str] = &["by", "note", "refused", "as", "result", "code", "state", "data"];
const EXPECT_KEYS: &[&str] = &["state", "status", "data", "effects", "incident", "money", "inbox", "calls"];
const MONEY: &[&str] = &["held", "captured", "released", "refunded", "charged_back"];

/// The present workflows, by name.
pub(super) type Workflows = BTreeMap<WorkflowName, Arc<Workflow>>;

/// What could be read of a scenario, and what is wrong with it, as a person reads it.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) title: Option<String>,
    pub(super) workflow: Option<WorkflowName>,
    /// None when anything is wrong.
    pub(super) scenario: Option<Scenario>,
    pub(super) problems: Vec<String>,
}

/// Reads a scenario, with what its folder has in common, and checks that all names in it are known.
pub(super) fn read(path: &Path, workflows: &Workflows) -> Read {
    let mut read = Read::default();
    let common = path.with_file_name("_common.yaml");
    let (common, own) = match (open(&common, common.exists()), open(path, true)) {
        (Ok(common), Ok(Some(own))) => (common, own),
        (common, own) => {
            read.problems.extend([common.err(), own.err()].into_iter().flatten());
            return read;
        }
    };
    let mut own = Reader::new(own, workflows);
    let (title, workflow) = own.head();
    (read.title, read.workflow) = (title.clone(), workflow.clone());
    own.of = workflow.as_ref().and_then(|name| workflows.get(name)).cloned();
    let mut scenario = own.scenario(title.unwrap_or_default(), workflow.unwrap_or_else(|| WorkflowName::from("")));
    if let Some(common) = common {
        let mut common = Reader::new(common, workflows);
        common.keys(&[], "what the scenarios of a folder have in common", COMMON_KEYS);
        scenario.input = merged(common.get(&[], "input").unwrap_or_default(), scenario.input);
        for (operation, answers) in common.answers(false) {
            scenario.answers.entry(operation).or_insert(answers);
        }
        read.problems.extend(common.shown());
    }
    own.check_input(&scenario.input);
    read.problems.extend(own.shown());
    read.scenario = read.problems.is_empty().then_some(scenario);
    read
}

fn open(path: &Path, there: bool) -> Result<Option<YamlText>, String> {
    if !there {
        return Ok(None);
    }
    let shown = path.display().to_string();
    let size = fs::metadata(path).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > SIZE_MAX {
        return Err(format!("{shown}: a scenario has at most {SIZE_MAX} bytes; this one has {size}"));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
    let rendered = |problems: Vec<Problem>| {
        problems.iter().map(|problem| render(problem, &text, Style::Plain)).collect::<String>()
    };
    YamlText::read(&shown, &text).map(Some).map_err(rendered)
}

fn merged(common: Value, own: Value) -> Value {
    match (common, own) {
        (Value::Object(mut common), Value::Object(own)) => {
            common.extend(own);
            Value::Object(common)
        }
        (common, Value::Null) => common,
        (_, own) => own,
    }
}

struct Reader<'w> {
    text: YamlText,
    value: Value,
    workflows: &'w Workflows,
    /// The workflow that the story is about.
    of: Option<Arc<Workflow>>,
    problems: Vec<Problem>,
}

type At = Vec<String>;

fn at(path: &[String], more: &str) -> At {
    path.iter().cloned().chain([more.to_owned()]).collect()
}

impl<'w> Reader<'w> {
    fn new(text: YamlText, workflows: &'w Workflows) -> Self {
        Self { value: text.value(), text, workflows, of: None, problems: Vec::new() }
    }

    fn shown(mut self) -> Vec<String> {
        self.problems.sort_by_key(|problem| problem.span.start);
        self.problems.iter().map(|problem| render(problem, self.text.text(), Style::Plain)).collect()
    }

    fn report(&mut self, rule: &'static str, path: &[String], message: impl Into<String>) {
        self.problems.push(self.text.problem(rule, path, message));
    }

    fn keys(&mut self, path: &[String], what: &str, allowed: &[&str]) {
        self.problems.extend(self.text.unknown_keys(path, what, allowed));
    }

    fn get(&self, path: &[String], key: &str) -> Option<Value> {
        let above = path.iter().try_fold(&self.value, |value, step| match value {
            Value::Array(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            other => other.get(step),
        });
        above?.get(key).cloned()
    }

    /// Reads a value, and reports what is wrong at its place.
    fn take<T: DeserializeOwned>(&mut self, path: &[String], value: Value) -> Option<T> {
        match serde_path_to_error::deserialize::<_, T>(value) {
            Ok(read) => Some(read),
            Err(error) => {
                let inside = error.path().iter().map(|segment| segment.to_string());
                let path: At = path.iter().cloned().chain(inside.filter(|step| step != "?")).collect();
                let path: At = path.iter().map(|step| step.trim_matches(['[', ']']).to_owned()).collect();
                self.report(rules::WRONG_TYPE, &path, error.into_inner().to_string());
                None
            }
        }
    }

    fn head(&mut self) -> (Option<String>, Option<WorkflowName>) {
        if !self.value.is_object() {
            self.report(rules::WRONG_TYPE, &[], "a scenario is a map");
            return (None, None);
        }
        self.keys(&[], "a scenario", KEYS);
        let title = self.required("scenario").and_then(|value| self.take::<String>(&at(&[], "scenario"), value));
        let name = self.required("workflow").and_then(|value| self.take::<String>(&at(&[], "workflow"), value));
        if let Some(name) = name.as_deref().filter(|name| !self.workflows.contains_key(*name)) {
            let problem = self.text.problem(
                rules::UNKNOWN_WORKFLOW,
                &at(&[], "workflow"),
                format!("there is no workflow `{name}` in the folder of workflows"),
            );
            let known: Vec<&str> = self.workflows.keys().map(WorkflowName::as_str).collect();
            self.problems.push(problem.with_nearest(name, known, "there are"));
        }
        (title, name.map(WorkflowName::new))
    }

    fn required(&mut self, key: &str) -> Option<Value> {
        let value = self.get(&[], key);
        if value.is_none() {
            self.report(rules::MISSING_KEY, &[], format!("a scenario needs the key `{key}`"));
        }
        value
    }

    fn scenario(&mut self, scenario: String, workflow: WorkflowName) -> Scenario {
        let crashes = self.get(&[], "crashes").and_then(|value| self.take(&at(&[], "crashes"), value)).unwrap_or(true);
        let input = self.get(&[], "input").unwrap_or_default();
        Scenario { scenario, workflow, input, answers: self.answers(true), crashes, steps: self.steps() }
    }

    fn answers(&mut self, own: bool) -> BTreeMap<String, Answers> {
        let mut answers = BTreeMap::new();
        let all = self.get(&[], "answers").unwrap_or_default();
        let path = at(&[], "answers");
        if !all.is_object() && !all.is_null() {
            self.report(rules::WRONG_TYPE, &path, "`answers` is a map from operations to answers");
        }
        for (operation, script) in all.as_object().into_iter().flatten() {
            let place = at(&path, operation);
            self.check_operation(&path, operation);
            match Script::parse(script) {
                Ok(script) => {
                    answers.insert(operation.clone(), Answers { script, own });
                }
                Err(error) => {
                    let inside: At = place.into_iter().chain(error.path).collect();
                    self.report(rules::BAD_VALUE, &inside, error.message);
                }
            }
        }
        answers
    }

    fn steps(&mut self) -> Vec<Step> {
        let steps = self.get(&[], "steps").unwrap_or_default();
        let path = at(&[], "steps");
        let Some(steps) = steps.as_array() else {
            if !steps.is_null() {
                self.report(rules::WRONG_TYPE, &path, "`steps` is a list");
            }
            return Vec::new();
        };
        let mut read = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            let path = at(&path, &index.to_string());
            let line = self.text.line(&path);
            read.extend(self.act(&path, step).map(|act| Step { line, act }));
        }
        read
    }

    fn act(&mut self, path: &[String], step: &Value) -> Option<Act> {
        let one = step.as_object().filter(|fields| fields.len() == 1).and_then(|fields| fields.iter().next());
        let Some((kind, value)) = one else {
            self.report(rules::WRONG_TYPE, path, format!("a step is a map with one key: {}", STEPS.join(", ")));
            return None;
        };
        let (path, value) = (at(path, kind), value.clone());
        match kind.as_str() {
            "advance" => {
                let parsed = value.as_str().map(parse_duration);
                let said = || "`advance` takes a duration, such as 30s".to_owned();
                match parsed.unwrap_or_else(|| parse_duration("")) {
                    Ok(by) => Some(Act::Advance(by)),
                    Err(error) => {
                        let message = if value.is_string() { error.to_string() } else { said() };
                        self.report(rules::BAD_DURATION, &path, message);
                        None
                    }
                }
            }
            "event" => self.event(&path, value).map(Act::Event),
            "cancel" => self.person(&path, value).map(Act::Cancel),
            "retry" => self.person(&path, value).map(Act::Retry),
            "resolve" => {
                let resolve: ResolveStep = self.fields(&path, "`resolve`", RESOLVE_KEYS, value)?;
                if let Resolution::State { state, .. } = &resolve.resolution {
                    self.check_state(&at(&path, "state"), state.as_str());
                }
                Some(Act::Resolve(resolve))
            }
            "crash" => Some(Act::Crash),
            "expect" => self.expect(&path, &value).map(|expect| Act::Expect(Box::new(expect))),
            other => {
                let problem = self.text.key_problem(rules::UNKNOWN_KEY, &path, format!("there is no step `{other}`"));
                self.problems.push(problem.with_nearest(other, STEPS.iter().copied(), "there are"));
                None
            }
        }
    }

    /// Reads a map with known keys.
    fn fields<T: DeserializeOwned>(
        &mut self,
        path: &[String],
        what: &str,
        allowed: &[&str],
        value: Value,
    ) -> Option<T> {
        self.keys(path, what, allowed);
        self.take(path, value)
    }

    fn event(&mut self, path: &[String], value: Value) -> Option<EventStep> {
        let (event, place) = match value {
            Value::String(name) => {
                let name = EventName::new(name);
                (EventStep { name, about: None, id: None, payload: Value::Null, refused: false }, path.to_vec())
            }
            other => (self.fields::<EventStep>(path, "`event`", EVENT_KEYS, other)?, at(path, "name")),
        };
        if let Some(about) = &event.about {
            self.check_operation(path, about);
            self.check_settles(&at(path, "about"), about, &event.name);
            if !event.payload.is_null() && !event.payload.is_object() {
                self.report(rules::WRONG_TYPE, &at(path, "payload"), "the payload of what settles a call is a map");
            }
        }
        if let Some(workflow) = self.of.clone().filter(|_| !event.refused) {
            let known = known_events(&workflow);
            if event.name.as_str() == "cancel" {
                self.report(rules::UNKNOWN_EVENT, &place, "a cancel is a step of its own: `cancel: { by: … }`");
            } else if !known.contains(&event.name) {
                let message = format!("`{}` handles no event `{}`", workflow.name, event.name);
                let problem = self.text.problem(rules::UNKNOWN_EVENT, &place, message);
                let known: Vec<&str> = known.iter().map(EventName::as_str).filter(|name| *name != "cancel").collect();
                self.problems.push(problem.with_nearest(event.name.as_str(), known, "it handles"));
            }
        }
        Some(event)
    }

    fn check_settles(&mut self, path: &[String], about: &str, event: &EventName) {
        let of = self.of.clone();
        let connector = of.as_ref().zip(about.split_once('.')).and_then(|(of, (name, _))| of.connectors.get(name));
        if connector.is_some_and(|connector| connector.settling_events().all(|name| name != event)) {
            let message = format!("`{event}` settles no call: no webhook of that connector says so with `settles`");
            self.report(rules::BAD_VALUE, path, message);
        }
    }

    fn person(&mut self, path: &[String], value: Value) -> Option<Person> {
        match value {
            Value::Null | Value::Bool(true) => Some(Person::default()),
            other => self.fields(path, "a request by a person", PERSON_KEYS, other),
        }
    }

    /// Reads one field of a map, so that each field's mistakes are found.
    fn optional<T: DeserializeOwned>(&mut self, path: &[String], key: &str) -> Option<T> {
        self.get(path, key).and_then(|value| self.take(&at(path, key), value))
    }

    fn expect(&mut self, path: &[String], value: &Value) -> Option<Expect> {
        if !value.is_object() {
            self.report(rules::WRONG_TYPE, path, "`expect` is a map");
            return None;
        }
        self.keys(path, "`expect`", EXPECT_KEYS);
        let expect = Expect {
            state: self.optional(path, "state"),
            status: self.optional(path, "status"),
            data: self.optional(path, "data").unwrap_or_default(),
            effects: self.optional(path, "effects").unwrap_or_default(),
            incident: self.optional(path, "incident"),
            money: self.optional(path, "money").unwrap_or_default(),
            inbox: self.optional(path, "inbox"),
            calls: self.optional(path, "calls").unwrap_or_default(),
        };
        if let Some(state) = &expect.state {
            self.check_state(&at(path, "state"), state.as_str());
        }
        self.keys(&at(path, "money"), "the position of an order's money", MONEY);
        for (key, counts) in [("effects", &expect.effects), ("calls", &expect.calls)] {
            for operation in counts.keys() {
                self.check_operation(&at(path, key), operation);
            }
        }
        Some(expect)
    }

    fn check_state(&mut self, path: &[String], state: &str) {
        let Some(workflow) = self.of.clone() else { return };
        if !workflow.states.iter().any(|known| known.name.as_str() == state) {
            let message = format!("`{}` has no state `{state}`", workflow.name);
            let problem = self.text.problem(rules::UNKNOWN_STATE, path, message);
            self.problems.push(problem.with_nearest(state, workflow.states.iter().map(|s| s.name.as_str()), "it has"));
        }
    }

    /// An operation must be one that the workflow calls, or, in what is for several, one that some workflow calls.
    fn check_operation(&mut self, path: &[String], operation: &str) {
        let known: BTreeSet<String> = match &self.of {
            Some(workflow) => calls(workflow).collect(),
            None => self.workflows.values().flat_map(|workflow| calls(workflow)).collect(),
        };
        if !known.contains(operation) && !known.is_empty() {
            let who =
                self.of.as_ref().map_or("no workflow".to_owned(), |workflow| format!("`{}` never", workflow.name));
            let message = format!("{who} calls `{operation}`");
            let problem = self.text.key_problem(rules::UNKNOWN_CALL, &at(path, operation), message);
            self.problems.push(problem.with_nearest(operation, known.iter().map(String::as_str), "it calls"));
        }
    }

    fn check_input(&mut self, input: &Value) {
        let Some(workflow) = self.of.clone() else { return };
        for violation in workflow.input.validate(input).err().into_iter().flatten() {
            let inside = violation.pointer.split('/').skip(1).map(str::to_owned);
            let path: At = ["input".to_owned()].into_iter().chain(inside).collect();
            let shown = violation.pointer.trim_start_matches('/').replace('/', ".");
            let shown = if shown.is_empty() { String::new() } else { format!("`{shown}`: ") };
            self.report(
                rules::BAD_INPUT,
                &path,
                format!("the input does not fit the workflow: {shown}{}", violation.message),
            );
        }
    }
}

/// Every operation that a workflow calls.
fn calls(workflow: &Workflow) -> impl Iterator<Item = String> + '_ {
    let invokes = workflow.states.iter().flat_map(|state| state.invokes());
    let invoked = invokes.flat_map(|invoke| [Some(&invoke.call), invoke.compensate.as_ref().map(|undo| &undo.call)]);
    let effects = workflow.states.iter().flat_map(|state| &state.entry).map(|effect| Some(&effect.call));
    invoked.chain(effects).flatten().map(|call| format!("{}.{}", call.connector, call.operation))
}
