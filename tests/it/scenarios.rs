//! Every scenario of the shipped methods: as it is told, with a crash after every commit, and against its golden journal.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use paystate::definition::{Library, Workflow, load};
use paystate::sim::suite::{self, Options, Results};
use paystate::types::WorkflowName;

use crate::support::root;

#[test]
fn the_shipped_methods_do_what_their_scenarios_say() {
    let results = run("tests/scenarios", "workflows", Some("tests/golden"));
    let workflows = workflows("workflows");
    let mut missing = Vec::new();
    for coverage in results.coverage(&workflows) {
        missing.extend(coverage.missing.iter().map(|transition| format!("{}: {transition}", coverage.workflow)));
        missing.extend(coverage.missing_states.iter().map(|state| format!("{}: state {state}", coverage.workflow)));
    }
    assert!(missing.is_empty(), "no scenario walks:\n{}", missing.join("\n"));
}

#[test]
fn the_example_does_what_its_scenario_says() {
    run("examples/acme/scenarios", "examples/acme", None);
}

/// A provider that accepts a capture, and says in a notification what became of it.
const ACCEPTS: &str = r#"
connector: accepts
base_url: https://bank.example
operations:
  capture:
    post: /captures
    body: { reference: "${key}" }
    money: purchase
    idempotency: { replay: stored, window: 7d }
    outcomes: { pending: response.status == 201, declined: response.status == 422, reference: response.body.id }
    inquire: resend
webhooks:
  verify: { scheme: standard-webhooks, secret: "${secret.hook}" }
  events:
    - { event: capture.done, settles: ok, correlate: body.reference, id: body.id, payload: { reference: "${body.id}" } }
"#;
const CAPTURED_LATER: &str = r#"
workflow: captured_later
input: { type: object, required: [amount], additionalProperties: false, properties: { amount: { type: integer, minimum: 1 } } }
money: { amount: "${input.amount}", currency: EUR }
deadline: 1d
tests: stories/
initial: capturing
states:
  capturing:
    invoke: { call: accepts.capture }
    on: { ok: captured, declined: refused, failed: refused }
  captured: { final: success, late: { capture.done: ignore } }
  refused: { final: failure, late: { capture.done: ignore } }
"#;

/// What is wrong with a story of a capture, run with crashes.
fn wrong(accepts: &str, answer: &str, steps: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let story = folder.path().join("stories/story.yaml");
    fs::write(folder.path().join("captured_later.yaml"), CAPTURED_LATER).unwrap();
    for name in ["connectors", "stories"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("connectors/accepts.yaml"), accepts).unwrap();
    let head = "scenario: It is told\nworkflow: captured_later\ninput: { amount: 5 }";
    fs::write(&story, format!("{head}\nanswers: {{ accepts.capture: {answer} }}\nsteps: [{steps}]\n")).unwrap();
    let workflows = workflows(folder.path().to_str().unwrap());
    let mut results = Results::default();
    suite::run_file(&story, &workflows, Options { crashes: true, as_recorded: false }, &mut results);
    results.outcomes.remove(0).failures.join("\n")
}

#[test]
fn what_a_provider_says_of_a_call_settles_it() {
    let told = |event: &str, state: &str| {
        wrong(ACCEPTS, "{ pending: a1 }", &format!("{{ event: {event} }}, {{ expect: {{ state: {state} }} }}"))
    };
    assert_eq!(told("{ name: capture.done, about: accepts.capture }", "captured"), "");
    assert_eq!(told("{ name: capture.done, payload: { reference: a1 } }", "captured"), "");
    assert_eq!(told("{ name: capture.done, payload: { reference: a2 } }", "capturing"), "");
    let wrong = told("{ name: cancel.done, about: accepts.captures }", "capturing");
    for said in ["never calls `accepts.captures`", "settles no call", "handles no event `cancel.done`"] {
        assert!(wrong.contains(said), "{wrong}");
    }
}

#[test]
fn who_cannot_be_asked_is_waited_for_and_then_a_person_is_called() {
    let accepts =
        ACCEPTS.replace("inquire: resend", "inquire: told").replace("replay: stored, window: 7d", "replay: none");
    let lost = "{ invoke: [{ unknown: applied }] }";
    let waits = "{ advance: 10m }, { expect: { state: capturing, status: waiting, calls: { accepts.capture: 1 } } }";
    let told =
        "{ event: { name: capture.done, about: accepts.capture } }, { expect: { state: captured, incident: none } }";
    assert_eq!(wrong(&accepts, lost, &format!("{waits}, {told}")), "");
    let person = "{ advance: 1h }, { expect: { status: incident, incident: no notification has told of it } }";
    assert_eq!(wrong(&accepts, lost, &format!("{waits}, {person}, {told}")), "", "also after a person was called");
    // What was accepted waits for as long as the order does.
    let long = "{ advance: 20h }, { expect: { state: capturing, status: waiting } }";
    assert_eq!(wrong(&accepts, "{ pending: a1 }", &format!("{long}, {told}")), "");
}

fn run(scenarios: &str, folder: &str, golden: Option<&str>) -> Results {
    let workflows = workflows(folder);
    let mut results = Results::default();
    let files = suite::find(&[root().join(scenarios)]).expect("the scenarios are there");
    assert!(!files.is_empty());
    for file in &files {
        suite::run_file(file, &workflows, Options { crashes: true, as_recorded: false }, &mut results);
    }
    let mut wrong = Vec::new();
    for outcome in &results.outcomes {
        wrong.extend(outcome.failures.iter().map(|failure| format!("{}: {failure}", shown(&outcome.path))));
        if let (Some(golden), true) = (golden, outcome.failures.is_empty()) {
            wrong.extend(differs(outcome, scenarios, golden));
        }
    }
    assert!(wrong.is_empty(), "{} of {} scenarios:\n{}", results.failed(), files.len(), wrong.join("\n"));
    results
}

/// Compares the journal with the one that was looked at by a person. `UPDATE_GOLDEN=1` writes it anew, to be read in a diff.
fn differs(outcome: &suite::Outcome, scenarios: &str, golden: &str) -> Option<String> {
    let relative = outcome.path.strip_prefix(root().join(scenarios)).expect("below the scenarios");
    let path = root().join(golden).join(relative).with_extension("journal");
    let text = golden_text(&outcome.journal);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, &text).expect("the golden journal is written");
        return None;
    }
    let recorded = fs::read_to_string(&path).unwrap_or_default();
    (recorded != text).then(|| {
        let line = recorded.lines().zip(text.lines()).take_while(|(then, now)| then == now).count();
        format!(
            "{}: the journal differs from line {}:\n  then {}\n  now  {}",
            shown(&path),
            line + 1,
            recorded.lines().nth(line).unwrap_or("(nothing)"),
            text.lines().nth(line).unwrap_or("(nothing)")
        )
    })
}

/// A person reads a golden journal: of one that polls for days, the beginning and the end are enough.
fn golden_text(journal: &[String]) -> String {
    const SHOWN: usize = 250;
    if journal.len() <= 2 * SHOWN {
        return journal.join("\n") + "\n";
    }
    let (begin, end) = (&journal[..SHOWN], &journal[journal.len() - SHOWN..]);
    let left_out = journal.len() - 2 * SHOWN;
    format!("{}\n... {left_out} entries more ...\n{}\n", begin.join("\n"), end.join("\n"))
}

pub fn workflows(folder: &str) -> BTreeMap<WorkflowName, Arc<Workflow>> {
    let library = Library::read_dir(&root().join(folder)).expect("the workflows are readable");
    let load = |sources: paystate::definition::Sources| {
        let path = sources.path.clone();
        let workflow = load(sources).unwrap_or_else(|problems| panic!("{path}: {problems:#?}"));
        (workflow.name.clone(), Arc::new(workflow))
    };
    library.workflows.into_iter().map(load).collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).map(PathBuf::from).unwrap_or_else(|_| path.to_owned()).display().to_string()
}
