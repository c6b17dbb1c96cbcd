//! One broken file for every rule, with the exact text that a person sees. `UPDATE_EXPECT=1` rewrites the texts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use paystate::definition::{Library, Problem, RULES, Sources, Style, load, load_connector, render, render_github};
use proptest::prelude::*;

const DIR: &str = "tests/invalid";

fn problems_of(path: &Path) -> (Vec<Problem>, String) {
    let mut library = Library::default();
    library.add(&Path::new(DIR).join("peers/twice.yaml"));
    library.add(path);
    let problems = library.check();
    let of = |problem: &Problem| library.text(&problem.file).unwrap_or_default().to_owned();
    let rendered = problems.iter().map(|problem| render(problem, &of(problem), Style::Plain)).collect::<Vec<_>>();
    (problems, rendered.join("\n"))
}

#[test]
fn every_rule_has_a_file_with_its_exact_message() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for rule in RULES {
        let path = Path::new(DIR).join(format!("{}.yaml", rule.id));
        assert!(path.is_file(), "{} has no file {}", rule.id, path.display());
        let (problems, rendered) = problems_of(&path);
        let rules: BTreeSet<&str> = problems.iter().map(|problem| problem.rule).collect();
        if rules != BTreeSet::from([rule.id]) {
            wrong.push(format!("{} breaks {rules:?}:\n{rendered}", path.display()));
        }
        let expected = path.with_extension("expected");
        if update {
            fs::write(&expected, &rendered).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        if expected != rendered {
            wrong.push(format!("{}: the message has changed\n{expected}\n{rendered}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n----\n"));
}

#[test]
fn no_file_is_left_without_a_rule() {
    let known: BTreeSet<String> = RULES.iter().map(|rule| rule.id.to_owned()).collect();
    for entry in fs::read_dir(DIR).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(path.is_dir() || known.contains(&stem), "{} belongs to no rule", path.display());
    }
    assert_eq!(known.len(), RULES.len(), "an id stands twice");
}

fn sources(workflow: String) -> Sources {
    let connectors = ["gateway", "later"].map(|name| {
        let path = format!("{DIR}/connectors/{name}.yaml");
        (name.to_owned(), fs::read_to_string(path).unwrap())
    });
    Sources { path: "any.yaml".to_owned(), workflow, connectors: BTreeMap::from(connectors), schemas: BTreeMap::new() }
}

/// Nothing panics, every span is inside the text, and every problem can be shown.
fn survives(text: &str) {
    let workflow = load(sources(text.to_owned())).err().unwrap_or_default();
    let connector = load_connector("any.yaml", text).err().unwrap_or_default();
    for problem in workflow.iter().chain(&connector).filter(|problem| problem.file == "any.yaml") {
        assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
        assert!(problem.line >= 1 && problem.column >= 1);
        for style in [Style::Plain, Style::Colored] {
            assert!(render(problem, text, style).contains(problem.rule));
        }
        assert!(!render_github(problem).contains('\n'));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn arbitrary_yaml_never_panics(text in "[a-z0-9:{}\\[\\],\"'${}.&*!|>#\\- \n\u{4e2d}é]{0,200}") {
        survives(&text);
    }

    /// A good file with a few characters taken out, put in or exchanged: where most mistakes are.
    #[test]
    fn a_mutilated_workflow_never_panics(
        file in prop::sample::select(RULES.iter().map(|rule| rule.id).collect::<Vec<_>>()),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "[a-z:{}\\[\\]\"$ \n]{0,4}"), 1..6),
    ) {
        let bytes = fs::read(format!("{DIR}/{file}.yaml")).unwrap();
        let mut text: Vec<char> = String::from_utf8_lossy(&bytes).chars().collect();
        for (at, length, new) in cuts {
            let from = at.index(text.len() + 1);
            let to = (from + length).min(text.len());
            text.splice(from..to, new.chars());
        }
        survives(&text.into_iter().collect::<String>());
    }
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        laughs.push_str(&format!("a{level}: &a{level} [{}]\n", [alias.as_str(); 9].join(", ")));
    }
    let bombs = [
        laughs,
        "[".repeat(1_000_000),
        "{a: ".repeat(250_000),
        "- ".repeat(400_000),
        "a: ".repeat(300_000),
        "x".repeat(1 << 21),
        format!("workflow: {}", "\"".repeat(100_001)),
        format!("states: {{{}}}", "a: {}, ".repeat(100_000)),
        format!(
            "states: {{{}}}",
            (0..24_000).map(|n| format!("s{n}: {{after: {{1h: s{}}}}}, ", n + 1)).collect::<String>()
        ),
    ];
    for bomb in bombs {
        let begun = std::time::Instant::now();
        assert!(load(sources(bomb)).is_err());
        assert!(begun.elapsed().as_secs() < 20, "a bomb takes too long to be refused");
    }
}
