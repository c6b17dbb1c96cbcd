//! Definitions on disk: what is found, what is left alone, and what a version is.

use std::fs;
use std::path::Path;

use paystate::definition::{GraphFormat, Library, ReadError, graph, load};
use serde_json::json;

const WORKFLOW: &str = "
workflow: small
input: { $ref: schemas/order.json }
initial: asking
states:
  asking:
    invoke: { call: bank.ask, with: { amount: \"${input.amount}\" } }
    on: { ok: done }
  done: { final: success }
tests: scenarios/small/
";
const BANK: &str = "
connector: bank
base_url: https://bank.example
operations:
  ask: { get: \"/ask?amount=${with.amount}\", outcomes: { ok: response.status == 200 } }
";

fn library(dir: &Path) {
    for sub in ["connectors", "schemas", "schema"] {
        fs::create_dir(dir.join(sub)).unwrap();
    }
    fs::write(dir.join("small.yaml"), WORKFLOW).unwrap();
    fs::write(dir.join("connectors/bank.yaml"), BANK).unwrap();
    fs::write(dir.join("connectors/unused.yaml"), BANK.replace("connector: bank", "connector: unused")).unwrap();
    let order = json!({"type": "object", "required": ["amount"], "properties": {"amount": {"$ref": "amount.json"}}});
    fs::write(dir.join("schemas/order.json"), order.to_string()).unwrap();
    fs::write(dir.join("schemas/amount.json"), json!({"type": "integer"}).to_string()).unwrap();
}

#[test]
fn a_workflow_is_read_with_everything_it_refers_to() {
    let dir = tempfile::tempdir().unwrap();
    library(dir.path());
    let found = Library::read_dir(dir.path()).unwrap();
    let (workflows, problems) = found.load();
    assert_eq!(problems, []);
    let [workflow] = workflows.as_slice() else { panic!("one workflow") };
    assert_eq!(workflow.sources.connectors.keys().collect::<Vec<_>>(), ["bank"]);
    assert_eq!(workflow.sources.schemas.keys().collect::<Vec<_>>(), ["schemas/amount.json", "schemas/order.json"]);
    assert_eq!(workflow.sources.tests().as_deref(), Some("scenarios/small/"));
    assert_eq!(workflow.connectors.len(), 1);
    assert_eq!(found.connectors.len(), 2, "connectors that no workflow uses are checked too");
    let violations = workflow.input.validate(&json!({"amount": "secret"})).unwrap_err();
    assert_eq!(violations[0].pointer, "/amount");
    assert!(!violations[0].message.contains("secret"));
}

#[test]
fn a_version_is_its_content_and_not_its_place() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    library(one.path());
    library(other.path());
    let version = |dir: &Path| load(Library::read_file(&dir.join("small.yaml")).unwrap()).unwrap().version;
    assert_eq!(version(one.path()), version(other.path()));
    assert_eq!(version(one.path()).as_str().len(), 16);
    fs::write(other.path().join("connectors/bank.yaml"), BANK.replace("/ask?", "/v2/ask?")).unwrap();
    assert_ne!(version(one.path()), version(other.path()), "another connector is another behaviour");
}

#[test]
fn nothing_outside_of_the_directory_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("workflows");
    fs::create_dir(&inner).unwrap();
    library(&inner);
    fs::write(dir.path().join("outside.json"), "{}").unwrap();
    let path = inner.join("small.yaml");
    for reference in ["../outside.json", "schemas/../../outside.json", "/etc/passwd", "file:///etc/passwd"] {
        fs::write(&path, WORKFLOW.replace("schemas/order.json", reference)).unwrap();
        let sources = Library::read_file(&path).unwrap();
        assert!(sources.schemas.is_empty(), "{reference}");
        assert!(load(sources).is_err(), "{reference}");
    }
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(dir.path().join("outside.json"), inner.join("schemas/link.json")).unwrap();
        fs::write(&path, WORKFLOW.replace("order.json", "link.json")).unwrap();
        assert!(Library::read_file(&path).unwrap().schemas.is_empty(), "a link leads outside");
    }
    fs::write(&path, WORKFLOW.replace("bank.ask", "../../outside.ask")).unwrap();
    assert!(Library::read_file(&path).unwrap().connectors.is_empty());
}

#[test]
fn what_cannot_be_read_is_an_error_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.yaml");
    assert!(matches!(Library::read_file(&path), Err(ReadError::Io { .. })));
    fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(Library::read_file(&path), Err(ReadError::NotText(_))));
    fs::write(&path, "x".repeat((1 << 20) + 1)).unwrap();
    assert!(matches!(Library::read_file(&path), Err(ReadError::TooLarge(_))));
    assert!(matches!(Library::read_file(dir.path()), Err(ReadError::NotAFile(_))));
}

/// Whatever lies in a folder, the files beside it are examined.
#[test]
fn a_file_that_cannot_be_read_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    library(dir.path());
    let folder = dir.path();
    fs::write(folder.join("a.yaml"), [b'a', 0xff]).unwrap();
    fs::write(folder.join("b.yaml"), "x".repeat((1 << 20) + 1)).unwrap();
    fs::write(folder.join("c.yaml"), format!("workflow: {}", "[".repeat(300))).unwrap();
    fs::create_dir(folder.join("folder.yaml")).unwrap();
    let mut expected = vec![("a.yaml", "unreadable-file"), ("b.yaml", "too-large"), ("c.yaml", "too-large")];
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.join("nowhere"), folder.join("d.yaml")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", folder.join("e.yaml")).unwrap();
        let made = std::process::Command::new("mkfifo").arg(folder.join("connectors/f.yaml")).status().unwrap();
        assert!(made.success());
        let linked = folder.join("g.yaml");
        std::os::unix::fs::symlink(folder.join("connectors/f.yaml"), linked).unwrap();
        expected.extend(["connectors/f.yaml", "d.yaml", "e.yaml", "g.yaml"].map(|file| (file, "unreadable-file")));
    }
    expected.push(("small.yaml", "missing-tests"));
    expected.sort_unstable();
    let found = Library::read_dir(folder).unwrap();
    let problems = found.check();
    let told: Vec<(String, &str)> = problems
        .iter()
        .map(|problem| (problem.file.trim_start_matches(&format!("{}/", folder.display())).to_owned(), problem.rule))
        .collect();
    assert_eq!(told, expected.iter().map(|(file, rule)| ((*file).to_owned(), *rule)).collect::<Vec<_>>());
    let (workflows, problems) = found.load();
    assert_eq!(workflows.len(), 1, "the good one is there");
    assert!(problems.iter().all(|problem| problem.rule != "missing-tests"), "a daemon needs no scenarios");
}

#[test]
fn the_scenarios_of_a_workflow_are_found_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    library(dir.path());
    let sources = Library::read_file(&dir.path().join("small.yaml")).unwrap();
    assert_eq!(sources.scenarios(), Some(dir.path().join("scenarios/small/")));
    fs::create_dir_all(dir.path().join("scenarios/small/more")).unwrap();
    fs::write(dir.path().join("scenarios/small/_common.yaml"), "").unwrap();
    let empty = Library::read_dir(dir.path()).unwrap().check();
    assert_eq!(empty.iter().map(|problem| problem.rule).collect::<Vec<_>>(), ["missing-tests"]);
    assert!(empty[0].message.starts_with("there is no scenario (*.yaml) in the folder "), "{}", empty[0].message);
    fs::write(dir.path().join("scenarios/small/more/one.yaml"), "").unwrap();
    assert_eq!(Library::read_dir(dir.path()).unwrap().check(), []);
    let shipped = Library::read_dir(Path::new("workflows")).unwrap();
    assert!(shipped.workflows.iter().all(|sources| sources.scenarios().is_some_and(|folder| folder.is_dir())));
    assert!(shipped.workflows.iter().all(|sources| sources.scenarios().unwrap().starts_with("tests/scenarios")));
}

/// A mistake in a schema is shown where it is, in a file of its own too.
#[test]
fn a_mistake_in_a_schema_is_shown_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    library(dir.path());
    let file = dir.path().join("schemas/amount.json");
    let told = |text: &str| {
        fs::write(&file, text).unwrap();
        let library = Library::read_dir(dir.path()).unwrap();
        let problems = library.load().1;
        let [problem] = problems.as_slice() else { panic!("one problem: {problems:?}") };
        assert_eq!(problem.file, file.display().to_string());
        assert_eq!(library.text(&problem.file), Some(text));
        (problem.rule, problem.line, problem.column, problem.fix.clone())
    };
    let fix = |text: &str| Some(text.to_owned());
    assert_eq!(told("{\n  \"type\": \"integr\"\n}"), ("bad-schema", 2, 11, fix("\"integer\"")));
    assert_eq!(told("{\n  \"type\": \"integer\",\n  \"minimun\": 1\n}"), ("bad-schema", 3, 3, fix("\"minimum\"")));
    assert_eq!(told("{\n  \"type\": \"integer\",\n  \"minimum\": \"1\"\n}"), ("bad-schema", 3, 14, None));
    assert_eq!(told("{\n  \"type\": \"string\",\n  \"pattern\": \"[\"\n}"), ("bad-schema", 3, 14, None));
    assert_eq!(told("{\n  \"type\" \"integer\"\n}"), ("bad-schema", 2, 10, None));
}

#[test]
fn every_shipped_workflow_can_be_drawn() {
    let (workflows, problems) = Library::read_dir(Path::new("workflows")).unwrap().load();
    assert_eq!(problems, []);
    for workflow in &workflows {
        let svg = graph(workflow, GraphFormat::Svg);
        for state in &workflow.states {
            assert!(svg.contains(&format!("id=\"state-{}\"", state.name)), "{} {}", workflow.name, state.name);
        }
        assert!(!svg.contains("NaN"));
        assert!(graph(workflow, GraphFormat::Mermaid).starts_with("---\ntitle: "));
        assert!(graph(workflow, GraphFormat::Dot).starts_with("digraph workflow {"));
    }
}
