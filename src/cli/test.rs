//! `paystate test`: scenarios and recorded journals.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::Verdict;
use super::boot::read_workflows;
use crate::sim::suite::{self, Coverage, Results};

/// Runs scenarios: virtual time, scripted providers, no network. Prints how much of each workflow they walk.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate test scenarios --workflows workflows --crashes --junit report.xml")]
pub(super) struct Args {
    /// Scenario files, or folders of them.
    #[arg(default_value = "scenarios")]
    paths: Vec<PathBuf>,
    /// The folder of workflows that the scenarios are about.
    #[arg(long, default_value = "workflows")]
    workflows: PathBuf,
    /// Run each scenario again with a crash after every commit, before and after sending.
    #[arg(long)]
    crashes: bool,
    /// Fail unless every state and transition of the workflows is walked.
    #[arg(long)]
    full_coverage: bool,
    /// Write the results as JUnit XML.
    #[arg(long)]
    junit: Option<PathBuf>,
    /// Print each scenario's journal.
    #[arg(long)]
    show: bool,
    /// Print one JSON object for each scenario.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let workflows = read_workflows(&args.workflows)?;
    let files = suite::find(&args.paths).map_err(anyhow::Error::msg)?;
    if files.is_empty() {
        bail!("there is no scenario (*.yaml) in {}", list(&args.paths));
    }
    let mut results = Results::default();
    for file in &files {
        suite::run_file(file, &workflows, args.crashes, &mut results);
        if let Some(outcome) = results.outcomes.last() {
            print_outcome(outcome, args);
        }
    }
    let coverage = results.coverage(&workflows);
    let tested = |coverage: &&Coverage| coverage.states.0 > 0 || args.full_coverage;
    let tested: Vec<&Coverage> = coverage.iter().filter(tested).collect();
    if !args.json {
        print_coverage(&tested);
        println!("\n{} passed, {} failed", results.passed(), results.failed());
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, results.junit()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let whole = tested.iter().all(|coverage| coverage.missing.is_empty() && coverage.missing_states.is_empty());
    Ok(if results.failed() == 0 && (whole || !args.full_coverage) { Verdict::Yes } else { Verdict::No })
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
        println!("{line}");
        return;
    }
    let crashes = if outcome.crashes > 0 { format!(", {} crashes", outcome.crashes) } else { String::new() };
    println!("{}  {} ({}{crashes})", if ok { "ok  " } else { "FAIL" }, outcome.title, outcome.path.display());
    for failure in &outcome.failures {
        println!("      {failure}");
    }
    if args.show || !ok {
        for line in &outcome.journal {
            println!("      {line}");
        }
    }
}

fn print_coverage(tested: &[&Coverage]) {
    println!();
    for coverage in tested {
        let (states, transitions) = (coverage.states, coverage.transitions);
        println!(
            "{:<22} states {:>3} of {:<3}  transitions {:>3} of {:<3}",
            coverage.workflow, states.0, states.1, transitions.0, transitions.1
        );
        for missing in &coverage.missing {
            println!("    not walked: {missing}");
        }
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
