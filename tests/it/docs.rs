//! The documentation is loaded, and what is shipped fits the schemas for editors.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use paystate::definition::{RULES, SCHEDULES, Sources, Style, load, load_connector, render};
use paystate::types::parse_duration;
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

/// Parts of a connector stand in blocks of their own: each is put into one that is whole.
#[test]
fn every_part_of_a_connector_in_the_documentation_is_clean() {
    const BEGINS: [&str; 5] = ["auth:", "sign:", "verify:", "decrypt:", "encrypt:"];
    let text = fs::read_to_string("docs/connectors.md").unwrap();
    let mut seen = BTreeMap::<&str, usize>::new();
    for (line, block) in blocks(&text, "yaml") {
        let mut parts: Vec<String> = Vec::new();
        for text in block.lines() {
            match parts.last_mut() {
                Some(part) if !BEGINS.iter().any(|begin| text.starts_with(begin)) => *part = format!("{part}\n{text}"),
                _ => parts.push(text.to_owned()),
            }
        }
        for part in parts {
            let begin =
                BEGINS.iter().find(|begin| part.starts_with(*begin)).unwrap_or_else(|| panic!("{line}: {part}"));
            let indented = |by: &str| part.replace('\n', &format!("\n{by}"));
            let (own, of_call, of_hooks) = match *begin {
                "auth:" | "sign:" => (part.clone(), String::new(), String::new()),
                "encrypt:" => (String::new(), format!("    {}", indented("    ")), String::new()),
                "verify:" => (String::new(), String::new(), format!("  {}", indented("  "))),
                _ => (
                    String::new(),
                    String::new(),
                    format!(
                        "  verify: {{ scheme: basic, username: a, secret: \"${{secret.b}}\" }}\n  {}",
                        indented("  ")
                    ),
                ),
            };
            let hooks = if of_hooks.is_empty() {
                String::new()
            } else {
                format!("webhooks:\n{of_hooks}\n  events: [ {{ event: a.b, correlate: body.a, id: body.b }} ]\n")
            };
            let body = "{ card: 1, holder: { address: 2 }, login: { password: '' }, amount: 3 }";
            let connector = format!(
                "connector: part\nbase_url: https://bank.example\n{own}\noperations:\n  call:\n    post: /call\n    body: {body}\n{of_call}\n    \
                 outcomes: {{ ok: response.status == 200 }}\n{hooks}"
            );
            let problems = load_connector("part.yaml", &connector).err().unwrap_or_default();
            let told: String = problems.iter().map(|problem| render(problem, &connector, Style::Plain)).collect();
            assert!(problems.is_empty(), "docs/connectors.md:{line}: {told}");
            *seen.entry(begin).or_default() += 1;
        }
    }
    assert!(BEGINS.iter().all(|begin| seen.contains_key(begin)), "{seen:?}");
}

/// A schedule is what its owner publishes, and what the documentation says of it.
#[test]
fn the_schedules_are_those_of_the_documentation() {
    let text = fs::read_to_string("docs/connectors.md").unwrap();
    for (name, seconds) in SCHEDULES {
        let line = text.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).expect("a row");
        let told = line.split('|').nth(2).unwrap().trim();
        let (told, times) = told.split_once(", twelve times").map_or((told, 1), |(once, _)| (once, 12));
        let once: Vec<u64> = told.split(", ").map(|delay| parse_duration(delay).unwrap().as_secs()).collect();
        assert_eq!(once.repeat(times), *seconds, "{name}");
    }
    assert_eq!(SCHEDULES.len(), 5, "each of them has a row");
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
