//! A workflow's diagram, as plain SVG: states in columns by their distance from the beginning.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use crate::definition::{State, StateKind, Verdict, Workflow};
use crate::types::StateName;

const WIDE: usize = 150;
const HIGH: usize = 44;
const GAP_X: usize = 70;
const GAP_Y: usize = 28;

/// Elements are `<g class="state" data-state="NAME">` and `<path class="edge" data-from data-to>`.
pub(super) fn svg(workflow: &Workflow) -> String {
    let places = places(workflow);
    let columns = places.values().map(|place| place.0).max().unwrap_or(0) + 1;
    let rows = places.values().map(|place| place.1).max().unwrap_or(0) + 1;
    let (width, height) = (columns * (WIDE + GAP_X) + GAP_X, rows * (HIGH + GAP_Y) + GAP_Y);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" font-family=\"sans-serif\" font-size=\"12\">"
    );
    let corner = |name: &StateName| {
        places.get(name).map(|&(x, y)| (GAP_X / 2 + x * (WIDE + GAP_X), GAP_Y / 2 + y * (HIGH + GAP_Y)))
    };
    for state in &workflow.states {
        for target in targets(state) {
            let (Some(from), Some(to)) = (corner(&state.name), corner(&target)) else { continue };
            let (x1, y1) = (from.0 + WIDE, from.1 + HIGH / 2);
            let (x2, y2) = (to.0, to.1 + HIGH / 2);
            let _ = write!(
                out,
                "<path class=\"edge\" data-from=\"{}\" data-to=\"{}\" fill=\"none\" stroke=\"#8892a6\" \
                 d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\"/>",
                escape(state.name.as_str()),
                escape(target.as_str()),
                x1 + GAP_X / 2,
                x2.saturating_sub(GAP_X / 2)
            );
        }
    }
    for state in &workflow.states {
        let Some((x, y)) = corner(&state.name) else { continue };
        let kind = match state.kind {
            StateKind::Open => "open",
            StateKind::Final { verdict: Verdict::Success, .. } => "success",
            StateKind::Final { verdict: Verdict::Failure, .. } => "failure",
        };
        let name = escape(state.name.as_str());
        let _ = write!(
            out,
            "<g class=\"state {kind}\" data-state=\"{name}\"><rect x=\"{x}\" y=\"{y}\" width=\"{WIDE}\" height=\"{HIGH}\" \
             rx=\"8\" fill=\"#ffffff\" stroke=\"#8892a6\"/><text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{name}</text></g>",
            x + WIDE / 2,
            y + HIGH / 2 + 4
        );
    }
    out.push_str("</svg>");
    out
}

fn places(workflow: &Workflow) -> BTreeMap<StateName, (usize, usize)> {
    let mut places = BTreeMap::new();
    let mut rows: Vec<usize> = Vec::new();
    let mut waiting = VecDeque::from([(workflow.initial.clone(), 0)]);
    let first = workflow.states.iter().map(|state| (state.name.clone(), 0));
    let mut rest: VecDeque<(StateName, usize)> = first.collect();
    while let Some((name, column)) = waiting.pop_front().or_else(|| rest.pop_front()) {
        if places.contains_key(&name) {
            continue;
        }
        if rows.len() <= column {
            rows.resize(column + 1, 0);
        }
        places.insert(name.clone(), (column, rows[column]));
        rows[column] += 1;
        if let Some(state) = workflow.state(&name) {
            waiting.extend(targets(state).into_iter().map(|target| (target, column + 1)));
        }
    }
    places
}

fn targets(state: &State) -> Vec<StateName> {
    let on = state.on.values().flatten();
    let after = state.after.iter().map(|after| &after.transition);
    let all = on.chain(after).chain(&state.always);
    all.filter_map(|transition| transition.target.clone()).collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
