//! Recorded journals as tests: orders that really happened, replayed on their own version and on the present one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::suite::{Outcome, Results, call_names};
use crate::definition::{self, Workflow};
use crate::journal::{self, Entry, Recording};
use crate::types::{Version, WorkflowName};

/// The workflows as they are now; none to replay on nothing but what is recorded.
pub(super) type Present<'a> = Option<&'a BTreeMap<WorkflowName, Arc<Workflow>>>;

/// The versions that a file brings along, or why one cannot be read any more.
type Versions = BTreeMap<Version, Result<Arc<Workflow>, String>>;

/// Replays every order of a file; each is an outcome of its own.
pub(super) fn run_file(path: &Path, present: Present<'_>, results: &mut Results) {
    let read = fs::read_to_string(path).map_err(|error| error.to_string());
    match read.and_then(|text| journal::read_recording(&text).map_err(|error| error.to_string())) {
        Ok(recording) => {
            let versions = versions(&recording);
            for entries in &recording.orders {
                let outcome = run_order(path, entries, &versions, present, results);
                results.outcomes.push(outcome);
            }
        }
        Err(error) => {
            let mut outcome = Outcome::new(path, path.display().to_string());
            outcome.failures.push(format!("{}: {error}", path.display()));
            results.outcomes.push(outcome);
        }
    }
}

fn versions(recording: &Recording) -> Versions {
    let mut versions = Versions::new();
    for (version, (name, sources)) in &recording.versions {
        let workflow = definition::load_kept(sources.clone()).map_err(|problems| {
            let first = problems.first().map_or_else(String::new, |problem| problem.message.clone());
            format!("version {version} of {name}, on which it is recorded, can no longer be read: {first}")
        });
        versions.insert(version.clone(), workflow.map(Arc::new));
    }
    versions
}

fn run_order(
    path: &Path,
    entries: &[Entry],
    versions: &Versions,
    present: Present<'_>,
    results: &mut Results,
) -> Outcome {
    let mut outcome = Outcome::new(path, path.display().to_string());
    let Some((first, opening)) = entries.first().and_then(|first| Some((first, first.opening.as_ref()?))) else {
        return outcome;
    };
    outcome.title = format!("order {}, recorded, {} entries", first.order, entries.len());
    outcome.workflow = Some(opening.workflow.clone());
    outcome.entries = entries.to_vec();
    let own = versions.get(&opening.version);
    match own {
        Some(Ok(workflow)) => replay_on(workflow, "on its own version", entries, &mut outcome, results),
        Some(Err(error)) => outcome.failures.push(error.clone()),
        None => {}
    }
    let now = present.and_then(|workflows| workflows.get(&opening.workflow));
    match now {
        Some(workflow) if own.is_none() || workflow.version != opening.version => {
            replay_on(workflow, "on the present version", entries, &mut outcome, results);
        }
        None if own.is_none() => outcome.failures.push(format!(
            "the file has no text of version {} of {}, and no present one is given",
            opening.version, opening.workflow
        )),
        _ => {}
    }
    outcome
}

fn replay_on(workflow: &Arc<Workflow>, which: &str, entries: &[Entry], outcome: &mut Outcome, results: &mut Results) {
    let mut walked = Vec::new();
    let mut states = Vec::new();
    let replayed = journal::replay_with(workflow, entries, &mut |decision| {
        states.push(decision.snapshot.state.clone());
        states.extend(decision.walked.iter().map(|walked| walked.state.clone()));
        walked.extend(decision.walked.iter().cloned());
    });
    if let Err(divergence) = replayed {
        outcome.failures.push(format!("{which}: {divergence}"));
    }
    if outcome.journal.is_empty() {
        let names = call_names(entries, workflow);
        outcome.journal = journal::lines(entries, &|_, call| names.get(&call).cloned());
    }
    results.saw(workflow, walked, states);
}
