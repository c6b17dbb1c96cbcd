#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::*;
use crate::definition::{Sources, load};

fn workflow() -> Workflow {
    let workflow = r#"
workflow: small
title: Small & "quoted" <b>
input: { type: object }
initial: start
on: { cancel: gone }
states:
  start:
    title: 开始
    invoke: { call: orders.start, with: { workflow: other, input: {} } }
    on:
      ok: [ { target: end, when: 'result.state == "settled" && 1 < 2' }, { target: gone } ]
      declined: gone
  end: { final: success, late: { back.again: start } }
  gone: { final: failure }
"#;
    let sources = Sources {
        path: "small.yaml".to_owned(),
        workflow: workflow.to_owned(),
        connectors: BTreeMap::new(),
        schemas: BTreeMap::new(),
    };
    load(sources).unwrap()
}

#[test]
fn names_and_labels_are_escaped() {
    let workflow = workflow();
    let mermaid = graph(&workflow, GraphFormat::Mermaid);
    assert!(mermaid.contains("state_end([\"end\"]):::success"), "{mermaid}");
    assert!(mermaid.contains("state_start -->|\"ok #91;result.state == #quot;settled#quot;"), "{mermaid}");
    assert!(mermaid.contains("any -.->|\"cancel\"| state_gone"), "{mermaid}");
    let dot = graph(&workflow, GraphFormat::Dot);
    assert!(dot.contains("label=\"Small & \\\"quoted\\\" <b>\""), "{dot}");
    let svg = graph(&workflow, GraphFormat::Svg);
    assert!(svg.contains("<title>Small &amp; &quot;quoted&quot; &lt;b&gt;</title>"), "{svg}");
    assert!(svg.contains("<g id=\"state-start\" class=\"state work initial\">"), "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("<b>"), "{svg}");
}

#[test]
fn the_same_workflow_gives_the_same_bytes() {
    for format in [GraphFormat::Mermaid, GraphFormat::Dot, GraphFormat::Svg] {
        assert_eq!(graph(&workflow(), format), graph(&workflow(), format));
    }
}
