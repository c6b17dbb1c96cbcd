//! The documentation is loaded, and what is shipped fits the schemas for editors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use paystate::definition::{RULES, Sources, Style, load, load_connector, render};
use serde_json::Value;

/// The blocks of a document that are marked with `tag`, and their first lines.
pub(crate) fn blocks(text: &str, tag: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            Some(_) if line == "```" => found.extend(open.take()),
            Some((_, block)) => {
                block.push_str(line);
                block.push('\n');
            }
            None if line == format!("```{tag}") => open = Some((number + 2, String::new())),
            None => {}
        }
    }
    found
}

fn documents() -> Vec<PathBuf> {
    let entries = fs::read_dir("docs").unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "md")).collect();
    paths.push(PathBuf::from("README.md"));
    paths.retain(|path| path.is_file());
    paths
}

fn schema(name: &str) -> (boon::Schemas, boon::SchemaIndex) {
    let text = fs::read_to_string(format!("workflows/schema/{name}.schema.json")).unwrap();
    let mut compiler = boon::Compiler::new();
    compiler.add_resource("memory://schema.json", serde_json::from_str(&text).unwrap()).unwrap();
    let mut schemas = boon::Schemas::new();
    let index = compiler.compile("memory://schema.json", &mut schemas).unwrap();
    (schemas, index)
}

#[track_caller]
fn fits(name: &str, text: &str, shown: &str) {
    let (schemas, index) = schema(name);
    let value: Value = serde_yaml::from_str(text).unwrap();
    if let Err(error) = schemas.validate(&value, index) {
        panic!("{shown} does not fit {name}.schema.json: {error:#}");
    }
}

#[test]
fn every_example_in_the_documentation_is_clean() {
    let mut seen = 0;
    for path in documents() {
        let text = fs::read_to_string(&path).unwrap();
        let mut connectors = BTreeMap::new();
        for (line, block) in blocks(&text, "yaml connector") {
            let shown = format!("{}:{line}", path.display());
            let connector = load_connector(&shown, &block).unwrap_or_else(|problems| {
                panic!("{}", problems.iter().map(|p| render(p, &block, Style::Plain)).collect::<String>())
            });
            fits("connector", &block, &shown);
            connectors.insert(connector.name.to_string(), block);
            seen += 1;
        }
        for (line, block) in blocks(&text, "yaml workflow") {
            let shown = format!("{}:{line}", path.display());
            let (connectors, schemas) = (connectors.clone(), BTreeMap::new());
            let sources = Sources { path: shown.clone(), workflow: block.clone(), connectors, schemas };
            if let Err(problems) = load(sources) {
                panic!("{}", problems.iter().map(|p| render(p, &block, Style::Plain)).collect::<String>());
            }
            fits("workflow", &block, &shown);
            seen += 1;
        }
    }
    assert!(seen > 5, "the examples are not found");
}

#[test]
fn every_rule_is_documented() {
    let text = fs::read_to_string("docs/workflow-format.md").unwrap();
    for rule in RULES {
        let row = format!("| `{}` | {} |", rule.id, rule.explanation);
        assert!(text.contains(&row), "missing in docs/workflow-format.md: {row}");
    }
}

#[test]
fn what_is_shipped_fits_the_schemas_for_editors() {
    for (dir, name) in [("workflows", "workflow"), ("workflows/connectors", "connector")] {
        if !Path::new(dir).is_dir() {
            continue;
        }
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "yaml") {
                fits(name, &fs::read_to_string(&path).unwrap(), &path.display().to_string());
            }
        }
    }
}

/// The schemas are for people: every key says what it means and shows what stands there, and what is shown fits.
#[test]
fn every_key_of_the_schemas_is_described_with_an_example() {
    for name in ["workflow", "connector"] {
        let text = fs::read_to_string(format!("workflows/schema/{name}.schema.json")).unwrap();
        let schema: Value = serde_json::from_str(&text).unwrap();
        let mut examples = Vec::new();
        described(&schema, &schema, "", &mut examples);
        assert!(examples.len() > 30, "the examples are not found");
        for (pointer, example) in examples {
            let mut compiler = boon::Compiler::new();
            compiler.add_resource("memory://schema.json", schema.clone()).unwrap();
            let mut schemas = boon::Schemas::new();
            let index = compiler.compile(&format!("memory://schema.json#{pointer}"), &mut schemas).unwrap();
            if let Err(error) = schemas.validate(&example, index) {
                panic!("{name}{pointer}: the example {example} does not fit: {error:#}");
            }
        }
    }
}

fn described(root: &Value, node: &Value, at: &str, examples: &mut Vec<(String, Value)>) {
    let target = |node: &Value| root.pointer(node.get("$ref")?.as_str()?.get(1..)?).cloned();
    for (name, property) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let target = target(property).unwrap_or_default();
        let has = |key: &str| property.get(key).is_some() || target.get(key).is_some();
        assert!(has("description"), "{at}/{name} has no description");
        let shown = ["examples", "enum", "const", "default"].into_iter().any(has) || property["type"] == "boolean";
        assert!(shown, "{at}/{name} has no example");
    }
    for example in node.get("examples").and_then(Value::as_array).into_iter().flatten() {
        examples.push((at.to_owned(), example.clone()));
    }
    match node {
        Value::Object(fields) => {
            for (name, field) in fields.iter().filter(|(name, _)| *name != "examples") {
                described(root, field, &format!("{at}/{}", name.replace('/', "~1")), examples);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                described(root, item, &format!("{at}/{index}"), examples);
            }
        }
        _ => {}
    }
}
