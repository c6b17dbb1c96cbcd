//! Any text as a workflow and as a connector. Nothing panics or hangs, every problem points into its text and can be
//! shown, and what is accepted can be drawn, and checks inputs.

use std::collections::BTreeMap;

use paystate::definition::{GraphFormat, Problem, Sources, Style, graph, load, load_connector, render, render_github};
use serde_json::json;

const NAME: &str = "any.yaml";
const GATEWAY: &str = include_str!("../../../tests/invalid/connectors/gateway.yaml");

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match load(sources(text)) {
        Ok(workflow) => {
            for format in [GraphFormat::Mermaid, GraphFormat::Dot, GraphFormat::Svg] {
                assert!(!graph(&workflow, format).is_empty());
            }
            for input in [json!(null), json!({"amount": 1, "currency": "CNY", "items": [{"name": "x"}, 1.5, ""]})] {
                let _ = workflow.input.validate(&input);
            }
            assert_eq!(load(sources(text)).map(|again| again.version), Ok(workflow.version));
        }
        Err(problems) => shown(&problems, text),
    }
    if let Err(problems) = load_connector(NAME, text) {
        shown(&problems, text);
    }
}

fn sources(text: &str) -> Sources {
    Sources {
        path: NAME.to_owned(),
        workflow: text.to_owned(),
        connectors: BTreeMap::from([("gateway".to_owned(), GATEWAY.to_owned())]),
        schemas: BTreeMap::from([("other.json".to_owned(), r#"{"type":"object"}"#.to_owned())]),
    }
}

fn shown(problems: &[Problem], text: &str) {
    assert!(!problems.is_empty(), "refused without a reason");
    for problem in problems.iter().filter(|problem| problem.file == NAME) {
        assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
        assert!(problem.line >= 1 && problem.column >= 1, "{problem:?}");
    }
    // Drawing all of them would be most of the work.
    for problem in problems.iter().filter(|problem| problem.file == NAME).take(3) {
        assert!(render(problem, text, Style::Plain).contains(problem.rule));
        assert!(!render_github(problem).contains('\n'));
    }
}
