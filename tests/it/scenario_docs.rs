//! The reference of scenarios tells the truth, and mistakes in a scenario are all shown at their places.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use paystate::definition::Library;
use paystate::sim::suite::{self, Options, Results};

use crate::docs::blocks;
use crate::support::root;

fn run(files: &[std::path::PathBuf], options: Options) -> Results {
    let (loaded, problems) = Library::read_dir(&root().join("workflows")).unwrap().load();
    assert!(problems.is_empty());
    let workflows: BTreeMap<_, _> = loaded.into_iter().map(|one| (one.name.clone(), Arc::new(one))).collect();
    let mut results = Results::default();
    for file in files {
        suite::run_file(file, &workflows, options, &mut results);
    }
    results
}

#[test]
fn every_scenario_of_the_reference_passes() {
    let text = fs::read_to_string(root().join("docs/scenarios.md")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    fs::copy(root().join("tests/scenarios/bank_card/_common.yaml"), dir.path().join("_common.yaml")).unwrap();
    let mut files = Vec::new();
    for (line, block) in blocks(&text, "yaml scenario") {
        let file = dir.path().join(format!("line-{line:04}.yaml"));
        fs::write(&file, block).unwrap();
        files.push(file);
    }
    assert!(files.len() > 3, "the examples are not found");
    let results = run(&files, Options { crashes: true, as_recorded: false });
    for outcome in &results.outcomes {
        let (title, failures, journal) = (&outcome.title, outcome.failures.join("\n"), outcome.journal.join("\n"));
        assert!(outcome.failures.is_empty(), "{title}:\n{failures}\n{journal}");
        assert!(outcome.crashes > 10, "{title}");
    }
}

#[test]
fn a_broken_scenario_shows_every_mistake_at_its_place() {
    let folder = root().join("tests/broken_scenario");
    let results = run(&[folder.join("story.yaml")], Options::default());
    let shown = results.outcomes[0].failures.concat();
    let shown = shown.replace(&format!("{}/", folder.display()), "");
    let expected = folder.join("story.expected");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(&expected, &shown).unwrap();
    }
    assert_eq!(shown, fs::read_to_string(&expected).unwrap_or_default());
}

#[test]
fn an_incident_is_expected_by_its_status_alone() {
    let dir = tempfile::tempdir().unwrap();
    let folder = root().join("tests/scenarios/refund");
    fs::copy(folder.join("_common.yaml"), dir.path().join("_common.yaml")).unwrap();
    let text = fs::read_to_string(folder.join("customer_told_by_hand.yaml")).unwrap();
    let (reason, other) = (r#", incident: "notify.customer was not acknowledged""#, ", incident: something else");
    assert!(text.contains(reason));
    for (name, with, passes) in [("alone", "", true), ("other", other, false)] {
        let file = dir.path().join(format!("{name}.yaml"));
        fs::write(&file, text.replace(reason, with)).unwrap();
        let results = run(&[file], Options::default());
        assert_eq!(results.failed() == 0, passes, "{name}: {:?}", results.outcomes[0].failures);
    }
}

#[test]
fn answers_that_nobody_asks_for_are_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(root().join("tests/scenarios/bank_card/_common.yaml"), dir.path().join("_common.yaml")).unwrap();
    let story = dir.path().join("story.yaml");
    let text =
        "scenario: s\nworkflow: bank_card\nanswers:\n  gateway.purchase: { invoke: [ok, ok], inquire: [unknown] }\n";
    fs::write(&story, text).unwrap();
    let results = run(&[story], Options::default());
    assert_eq!(
        results.outcomes[0].failures,
        [
            "answers of gateway.purchase: the last 1 are left over; it was not called so often",
            "answers of gateway.purchase: the last 1 are left over; it was not inquired about so often",
        ]
    );
}
