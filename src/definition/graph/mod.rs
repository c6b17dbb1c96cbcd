//! A workflow as a picture: Mermaid, DOT or SVG.

mod svg;
mod text;

use super::{Activity, Late, State, StateKind, Transition, Verdict, Workflow};
use crate::types::{StateName, format_duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GraphFormat {
    Mermaid,
    Dot,
    Svg,
}

/// Draws a workflow. The same workflow gives the same bytes.
pub fn graph(workflow: &Workflow, format: GraphFormat) -> String {
    let chart = Chart::of(workflow);
    match format {
        GraphFormat::Mermaid => text::mermaid(&chart),
        GraphFormat::Dot => text::dot(&chart),
        GraphFormat::Svg => svg::svg(&chart),
    }
}

struct Chart {
    title: String,
    nodes: Vec<Node>,
    edges: Vec<Edge>,
}

struct Node {
    /// The name of the state; `*` stands for every state that is not final.
    name: String,
    lines: Vec<String>,
    class: Class,
    initial: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Makes a call that moves money.
    Money,
    /// Makes another call.
    Work,
    /// Waits, or only passes on.
    Wait,
    Undo,
    Success,
    Failure,
    /// Not a state: every open one.
    Any,
}

/// All transitions from one state to another.
struct Edge {
    from: String,
    to: String,
    labels: Vec<String>,
    /// Timers, late events, and what holds for every state.
    dashed: bool,
}

const ANY: &str = "*";

impl Chart {
    fn of(workflow: &Workflow) -> Self {
        let mut chart = Self { title: workflow.title.clone(), nodes: Vec::new(), edges: Vec::new() };
        for state in &workflow.states {
            chart.nodes.push(node(state, state.name == workflow.initial));
        }
        workflow.states.iter().for_each(|state| chart.state(state));
        for (event, transitions) in &workflow.on {
            transitions.iter().for_each(|transition| chart.edge(ANY, transition, event.as_str(), true));
        }
        if let Some(deadline) = &workflow.deadline {
            chart.edge(ANY, &deadline.transition, &format!("after {}", format_duration(deadline.delay)), true);
        }
        if chart.edges.iter().any(|edge| edge.from == ANY) {
            let lines = vec!["any open state".to_owned()];
            chart.nodes.push(Node { name: ANY.to_owned(), lines, class: Class::Any, initial: false });
        }
        chart
    }

    fn state(&mut self, state: &State) {
        let from = state.name.as_str();
        for (event, transitions) in &state.on {
            transitions.iter().for_each(|transition| self.edge(from, transition, event.as_str(), false));
        }
        state.always.iter().for_each(|transition| self.edge(from, transition, "", false));
        for after in &state.after {
            self.edge(from, &after.transition, &format!("after {}", format_duration(after.delay)), true);
        }
        if let StateKind::Final { late, .. } = &state.kind {
            for (event, late) in late {
                Late::transitions(late).iter().for_each(|transition| self.edge(from, transition, event.as_str(), true));
            }
        }
    }

    fn edge(&mut self, from: &str, transition: &Transition, event: &str, dashed: bool) {
        let Some(to) = transition.target.as_ref().map(StateName::as_str) else { return };
        let guard = transition.when.as_ref().map(|when| format!("[{}]", when.source()));
        let label = [Some(event.to_owned()), guard].into_iter().flatten().filter(|part| !part.is_empty());
        let label = label.collect::<Vec<_>>().join(" ");
        match self.edges.iter_mut().find(|edge| edge.from == from && edge.to == to && edge.dashed == dashed) {
            Some(known) if known.labels.contains(&label) => {}
            Some(known) => known.labels.push(label),
            None => {
                self.edges.push(Edge { from: from.to_owned(), to: to.to_owned(), labels: vec![label], dashed });
            }
        }
    }
}

fn node(state: &State, initial: bool) -> Node {
    let mut lines = vec![state.title.clone().unwrap_or_else(|| state.name.to_string())];
    lines.extend(state.invokes().iter().map(|invoke| invoke.call.to_string()));
    lines.extend(state.entry.iter().map(|effect| format!("> {}", effect.call)));
    let class = match (&state.kind, &state.activity) {
        (StateKind::Final { verdict: Verdict::Success, .. }, _) => Class::Success,
        (StateKind::Final { verdict: Verdict::Failure, .. }, _) => Class::Failure,
        (StateKind::Open, Activity::Compensate) => Class::Undo,
        (StateKind::Open, Activity::None) => Class::Wait,
        (StateKind::Open, Activity::Invoke(invokes)) => {
            if invokes.iter().any(|invoke| invoke.operation.money.is_some()) { Class::Money } else { Class::Work }
        }
    };
    if class == Class::Undo {
        lines.push("undo everything".to_owned());
    }
    Node { name: state.name.to_string(), lines, class, initial }
}

impl Class {
    const ALL: [Self; 7] = [Self::Money, Self::Work, Self::Wait, Self::Undo, Self::Success, Self::Failure, Self::Any];

    const fn name(self) -> &'static str {
        match self {
            Self::Money => "money",
            Self::Work => "work",
            Self::Wait => "wait",
            Self::Undo => "undo",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Any => "any",
        }
    }

    /// Fill and stroke. Readable in black on any of them.
    const fn colors(self) -> (&'static str, &'static str) {
        match self {
            Self::Money => ("#fff3c4", "#b7791f"),
            Self::Work => ("#e3edfb", "#3267b1"),
            Self::Wait => ("#f1f1f4", "#7a7a85"),
            Self::Undo => ("#f6e3fb", "#8b3aa8"),
            Self::Success => ("#dcf5e3", "#2b8a4b"),
            Self::Failure => ("#fde2e1", "#c0392b"),
            Self::Any => ("#ffffff", "#9a9aa5"),
        }
    }
}

impl Edge {
    fn label(&self) -> String {
        self.labels.iter().filter(|label| !label.is_empty()).cloned().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests;
