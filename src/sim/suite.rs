//! Many scenarios and recorded journals: found on disk, run, and told as a table, as coverage and as JUnit.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::run::{Report, run, run_crashes};
use super::scenario::Scenario;
use super::{read, recorded};
use crate::definition::Workflow;
use crate::journal::{self, Entry};
use crate::machine::{Walked, all_transitions};
use crate::types::{CallId, StateName, WorkflowName};

/// The ending of a recorded journal: JSON lines.
const RECORDED: &str = "jsonl";
/// Folders below a path that is searched for scenarios.
const DEPTH_MAX: usize = 8;

/// What came of one scenario, or of one recorded order.
#[derive(Debug)]
pub struct Outcome {
    pub path: PathBuf,
    pub title: String,
    pub workflow: Option<WorkflowName>,
    pub failures: Vec<String>,
    /// How many runs with a crash there were.
    pub crashes: usize,
    pub entries: Vec<Entry>,
    /// The journal, a line an entry.
    pub journal: Vec<String>,
}

/// What came of all of them.
#[derive(Debug, Default)]
pub struct Results {
    pub outcomes: Vec<Outcome>,
    walked: BTreeMap<WorkflowName, BTreeSet<Walked>>,
    states: BTreeMap<WorkflowName, BTreeSet<StateName>>,
}

/// How much of a workflow the scenarios walk.
#[derive(Debug)]
pub struct Coverage {
    pub workflow: WorkflowName,
    pub states: (usize, usize),
    pub transitions: (usize, usize),
    /// `state -- trigger --> target` of every transition that no scenario walks.
    pub missing: Vec<String>,
    pub missing_states: Vec<StateName>,
}

impl Coverage {
    pub fn is_whole(&self) -> bool {
        self.missing.is_empty() && self.missing_states.is_empty()
    }
}

/// How scenarios and recorded journals are run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Run each scenario again with a crash after every commit.
    pub crashes: bool,
    /// Replay recorded journals on nothing but the version that is recorded in them.
    pub as_recorded: bool,
}

/// The scenarios (`*.yaml`) and recorded journals (`*.jsonl`) below each path, sorted. Files whose name begins with `_` are
/// parts of others.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for path in paths {
        if !path.exists() {
            return Err(format!("{}: no such file or folder", path.display()));
        }
        collect(path, DEPTH_MAX, &mut found).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Reads a scenario, or tells every mistake in it.
pub fn read_scenario(path: &Path, workflows: &BTreeMap<WorkflowName, Arc<Workflow>>) -> Result<Scenario, Vec<String>> {
    let told = read::read(path, workflows);
    told.scenario.ok_or(told.problems)
}

/// Runs one file: a scenario, or the orders of a recorded journal.
pub fn run_file(
    path: &Path,
    workflows: &BTreeMap<WorkflowName, Arc<Workflow>>,
    options: Options,
    results: &mut Results,
) {
    if path.extension().is_some_and(|extension| extension == RECORDED) {
        return recorded::run_file(path, (!options.as_recorded).then_some(workflows), results);
    }
    let mut outcome = Outcome::new(path, path.display().to_string());
    let told = read::read(path, workflows);
    outcome.title = told.title.unwrap_or(outcome.title);
    outcome.workflow = told.workflow;
    outcome.failures = told.problems;
    if let Some(scenario) = &told.scenario
        && let Some(workflow) = workflows.get(&scenario.workflow)
    {
        run_one(scenario, workflow, options.crashes, &mut outcome, results);
    }
    results.outcomes.push(outcome);
}

fn run_one(scenario: &Scenario, workflow: &Arc<Workflow>, crashes: bool, outcome: &mut Outcome, results: &mut Results) {
    let report = run(scenario, workflow);
    outcome.journal = story(&report, workflow);
    outcome.failures.extend(report.failures.iter().cloned());
    if crashes && report.failures.is_empty() {
        let (runs, failures) = run_crashes(scenario, workflow, &report);
        outcome.crashes = runs;
        outcome.failures.extend(failures);
    }
    outcome.entries = report.entries;
    results.saw(workflow, report.walked, report.states);
}

impl Outcome {
    pub(super) fn new(path: &Path, title: String) -> Self {
        let (failures, entries, journal) = (Vec::new(), Vec::new(), Vec::new());
        Self { path: path.to_owned(), title, workflow: None, failures, crashes: 0, entries, journal }
    }
}

impl Results {
    /// A run has been through these transitions and states.
    pub(super) fn saw(
        &mut self,
        workflow: &Workflow,
        walked: impl IntoIterator<Item = Walked>,
        states: impl IntoIterator<Item = StateName>,
    ) {
        self.walked.entry(workflow.name.clone()).or_default().extend(walked);
        self.states.entry(workflow.name.clone()).or_default().extend(states);
    }

    pub fn passed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.failures.is_empty()).count()
    }

    pub fn failed(&self) -> usize {
        self.outcomes.len() - self.passed()
    }

    /// How much of each workflow that has scenarios was walked.
    pub fn coverage(&self, workflows: &BTreeMap<WorkflowName, Arc<Workflow>>) -> Vec<Coverage> {
        let empty = BTreeSet::new();
        let none = BTreeSet::new();
        let covered = |(name, walked): (&WorkflowName, &BTreeSet<Walked>)| {
            let workflow = workflows.get(name)?;
            let all = all_transitions(workflow);
            let missing: Vec<String> = all
                .iter()
                .filter(|(transition, _)| !walked.contains(transition))
                .map(|(transition, target)| {
                    let target = target.as_ref().map_or("(stays)", StateName::as_str);
                    format!("{} -- {} --> {target}", transition.state, transition.trigger)
                })
                .collect();
            let seen = self.states.get(name).unwrap_or(&empty);
            let missing_states: Vec<StateName> =
                workflow.states.iter().map(|state| state.name.clone()).filter(|state| !seen.contains(state)).collect();
            Some(Coverage {
                workflow: name.clone(),
                states: (workflow.states.len() - missing_states.len(), workflow.states.len()),
                transitions: (all.len() - missing.len(), all.len()),
                missing,
                missing_states,
            })
        };
        let unseen = workflows.keys().filter(|name| !self.walked.contains_key(*name)).map(|name| (name, &none));
        self.walked.iter().chain(unseen).filter_map(covered).collect()
    }

    /// The results as JUnit XML, which CI servers read.
    pub fn junit(&self) -> String {
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"paystate\" tests=\"{}\" failures=\"{}\">\n",
            self.outcomes.len(),
            self.failed()
        );
        for outcome in &self.outcomes {
            let class = outcome.workflow.as_ref().map_or("-", WorkflowName::as_str);
            out.push_str(&format!(
                "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\"",
                escaped(class),
                escaped(&outcome.title),
                escaped(&outcome.path.display().to_string())
            ));
            if outcome.failures.is_empty() {
                out.push_str("/>\n");
            } else {
                let text = escaped(&outcome.failures.join("\n"));
                out.push_str(&format!(">\n      <failure>{text}</failure>\n    </testcase>\n"));
            }
        }
        out.push_str("  </testsuite>\n</testsuites>\n");
        out
    }
}

fn story(report: &Report, workflow: &Workflow) -> Vec<String> {
    let names = call_names(&report.entries, workflow);
    journal::lines(&report.entries, &|_, call| names.get(&call).cloned())
}

/// The operation of each call: folded again, since a journal names calls by number.
pub fn call_names(entries: &[Entry], workflow: &Workflow) -> BTreeMap<CallId, String> {
    let mut names = BTreeMap::new();
    let mut learn = |decision: &crate::machine::Decision| {
        for (&id, call) in &decision.snapshot.calls {
            names.entry(id).or_insert_with(|| format!("{}.{}", call.connector, call.operation));
        }
    };
    // A journal that diverges still has names for what came before.
    let _ = journal::replay_with(workflow, entries, &mut learn);
    names
}

fn collect(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if path.is_file() {
        found.push(path.to_owned());
        return Ok(());
    }
    if depth == 0 {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is = |wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
        if path.is_dir() {
            collect(&path, depth - 1, found)?;
        } else if (is("yaml") || is("yml") || is(RECORDED)) && !name.starts_with('_') {
            found.push(path);
        }
    }
    Ok(())
}

fn escaped(text: &str) -> String {
    let keep = |character: char| character == '\n' || character == '\t' || !character.is_control();
    let text: String = text.chars().filter(|&character| keep(character)).collect();
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
