//! `paystate test`: scenarios and recorded journals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};

use super::boot::read_workflows;
use super::{Verdict, output};
use crate::definition::Workflow;
use crate::journal::{Record, recording_line};
use crate::sim::suite::{self, Coverage, Options, Results};
use crate::types::WorkflowName;

/// Runs scenarios and replays recorded journals: virtual time, scripted providers, no network. Prints how much of each
/// workflow they walk.
///
/// A scenario is a story in YAML. A recorded journal (*.jsonl, made by `paystate journal ORDER --record FILE`) is an order
/// that really happened: it must replay the same on the version that it was recorded on, and on the present one.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  paystate test --crashes --junit report.xml\n  \
    paystate test recorded --workflows workflows")]
pub(super) struct Args {
    /// Scenarios (*.yaml), recorded journals (*.jsonl), or folders of them; without any, the folders that the workflows
    /// name with `tests:`.
    paths: Vec<PathBuf>,
    /// The folder of workflows that the scenarios are about.
    #[arg(long, default_value = "workflows")]
    workflows: PathBuf,
    /// Run each scenario again with a crash after every commit, before and after sending.
    #[arg(long)]
    crashes: bool,
    /// Replay recorded journals only on the version that they were recorded on, not on the present one.
    #[arg(long)]
    as_recorded: bool,
    /// Fail unless every state and transition of the workflows is walked.
    #[arg(long)]
    full_coverage: bool,
    /// Write the results as JUnit XML.
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Write the journals of everything that passed into this file, as a recorded journal.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Print each scenario's journal.
    #[arg(long)]
    show: bool,
    /// Print one JSON object for each scenario and each recorded order, and then one for the coverage of each workflow.
    #[arg(long)]
    json: bool,
}

/// Entries that are shown of what failed.
const JOURNAL_END: usize = 20;

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let workflows = read_workflows(&args.workflows)?;
    let paths = if args.paths.is_empty() { named_folders(&workflows)? } else { args.paths.clone() };
    let files = suite::find(&paths).map_err(anyhow::Error::msg)?;
    if files.is_empty() {
        bail!("there is no scenario (*.yaml) and no recorded journal (*.jsonl) in {}", list(&paths));
    }
    let mut results = Results::default();
    let options = Options { crashes: args.crashes, as_recorded: args.as_recorded };
    for file in &files {
        let told = results.outcomes.len();
        suite::run_file(file, &workflows, options, &mut results);
        results.outcomes.iter().skip(told).for_each(|outcome| print_outcome(outcome, args));
    }
    if let Some(path) = &args.record {
        record(path, &results, &workflows)?;
    }
    let coverage = results.coverage(&workflows);
    let tested = |coverage: &&Coverage| coverage.states.0 > 0 || args.full_coverage;
    let tested: Vec<&Coverage> = coverage.iter().filter(tested).collect();
    if args.json {
        tested.iter().for_each(|coverage| print_coverage_json(coverage));
    } else {
        // Orders of production are not there to walk every transition.
        let all_recorded = files.iter().all(|file| file.extension().is_some_and(|kind| kind == "jsonl"));
        print_coverage(&tested, args.full_coverage || !all_recorded);
        output::out(&format!("\n{} passed, {} failed\n", results.passed(), results.failed()));
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, results.junit()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let gaps = tested.iter().filter(|coverage| !coverage.is_whole()).count();
    if args.full_coverage && gaps > 0 && !args.json {
        let are = if gaps == 1 { "workflow is" } else { "workflows are" };
        output::out(&format!("{gaps} {are} not walked in full, as --full-coverage wants\n"));
    }
    Ok(if results.failed() == 0 && (gaps == 0 || !args.full_coverage) { Verdict::Yes } else { Verdict::No })
}

/// The folders of scenarios that the workflows themselves name.
fn named_folders(workflows: &BTreeMap<WorkflowName, Arc<Workflow>>) -> anyhow::Result<Vec<PathBuf>> {
    let folders: Vec<PathBuf> = workflows.values().filter_map(|workflow| workflow.sources.scenarios()).collect();
    if folders.is_empty() {
        bail!("say which scenarios: `paystate test FOLDER`, or name their folder in the workflow: `tests: FOLDER`");
    }
    Ok(folders)
}

fn print_outcome(outcome: &suite::Outcome, args: &Args) {
    let ok = outcome.failures.is_empty();
    if args.json {
        let line = serde_json::json!({
            "path": outcome.path.display().to_string(),
            "scenario": outcome.title,
            "workflow": outcome.workflow,
            "passed": ok,
            "crash_runs": outcome.crashes,
            "failures": outcome.failures,
        });
        output::json(&line);
        return;
    }
    let crashes = if outcome.crashes > 0 { format!(", {} crashes", outcome.crashes) } else { String::new() };
    let mut text =
        format!("{}  {} ({}{crashes})\n", if ok { "ok  " } else { "FAIL" }, outcome.title, outcome.path.display());
    for line in outcome.failures.iter().flat_map(|failure| failure.lines()) {
        text.push_str(&format!("      {line}\n"));
    }
    let journal = &outcome.journal;
    let shown = match (args.show, ok) {
        (true, _) => journal.len(),
        (false, false) => JOURNAL_END,
        (false, true) => 0,
    };
    let left_out = journal.len().saturating_sub(shown);
    if shown > 0 && left_out > 0 {
        text.push_str(&format!("      ... {left_out} entries before these; --show prints them\n"));
    }
    for line in journal.iter().skip(left_out) {
        text.push_str(&format!("      {line}\n"));
    }
    output::out(&text);
}

/// The file holds what it needs: the text of every version, then the orders.
fn record(path: &Path, results: &Results, workflows: &BTreeMap<WorkflowName, Arc<Workflow>>) -> anyhow::Result<()> {
    let passed: Vec<&suite::Outcome> =
        results.outcomes.iter().filter(|outcome| outcome.failures.is_empty() && !outcome.entries.is_empty()).collect();
    let mut text = String::new();
    for workflow in workflows.values() {
        let of_it = |outcome: &&&suite::Outcome| outcome.workflow.as_ref() == Some(&workflow.name);
        let Some(first) = passed.iter().find(of_it).and_then(|outcome| outcome.entries.first()) else { continue };
        text.push_str(&recording_line(Record::definition(workflow, first.at))?);
    }
    for entry in passed.iter().flat_map(|outcome| &outcome.entries) {
        text.push_str(&recording_line(Record::Entry(entry.clone()))?);
    }
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn print_coverage(tested: &[&Coverage], gaps: bool) {
    output::out("\n");
    for coverage in tested {
        let (states, transitions) = (coverage.states, coverage.transitions);
        let mut text = format!(
            "{:<22} states {:>3} of {:<3}  transitions {:>3} of {:<3}\n",
            coverage.workflow, states.0, states.1, transitions.0, transitions.1
        );
        for missing in coverage.missing.iter().filter(|_| gaps) {
            text.push_str(&format!("    not walked: {missing}\n"));
        }
        for missing in coverage.missing_states.iter().filter(|_| gaps) {
            text.push_str(&format!("    never in: {missing}\n"));
        }
        output::out(&text);
    }
}

fn print_coverage_json(coverage: &Coverage) {
    let count = |(walked, all): (usize, usize)| serde_json::json!({ "walked": walked, "all": all });
    output::json(&serde_json::json!({
        "coverage": coverage.workflow,
        "states": count(coverage.states),
        "transitions": count(coverage.transitions),
        "not_walked": coverage.missing,
        "never_in": coverage.missing_states,
    }));
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
