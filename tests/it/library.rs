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
