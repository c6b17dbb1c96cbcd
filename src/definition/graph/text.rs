//! Mermaid and DOT.

use super::{Chart, Class};

pub(super) fn mermaid(chart: &Chart) -> String {
    let mut out = format!("---\ntitle: {}\n---\nflowchart TD\n", quoted(&chart.title));
    for node in &chart.nodes {
        let label: Vec<String> = node.lines.iter().map(|line| entity(line)).collect();
        let (open, close) = match node.class {
            Class::Success | Class::Failure => ("([", "])"),
            Class::Any => ("((", "))"),
            _ => ("[", "]"),
        };
        let id = id(&node.name);
        out.push_str(&format!("  {id}{open}\"{}\"{close}:::{}\n", label.join("<br/>"), node.class.name()));
        if node.initial {
            out.push_str(&format!("  start(( )) --> {id}\n"));
        }
    }
    for edge in &chart.edges {
        let arrow = if edge.dashed { "-.->" } else { "-->" };
        let label = edge.label();
        let label = if label.is_empty() { String::new() } else { format!("|\"{}\"|", entity(&label)) };
        out.push_str(&format!("  {} {arrow}{label} {}\n", id(&edge.from), id(&edge.to)));
    }
    for class in Class::ALL {
        let (fill, stroke) = class.colors();
        out.push_str(&format!("  classDef {} fill:{fill},stroke:{stroke},color:#111\n", class.name()));
    }
    out
}

pub(super) fn dot(chart: &Chart) -> String {
    let mut out = format!("digraph workflow {{\n  label={};\n  rankdir=TB;\n", quoted(&chart.title));
    out.push_str("  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=11];\n");
    out.push_str("  edge [fontname=\"sans-serif\", fontsize=9];\n");
    for node in &chart.nodes {
        let (fill, stroke) = node.class.colors();
        let width = if node.initial { 2 } else { 1 };
        out.push_str(&format!(
            "  {} [id={}, label={}, fillcolor=\"{fill}\", color=\"{stroke}\", penwidth={width}];\n",
            quoted(&node.name),
            quoted(&format!("state-{}", node.name)),
            quoted(&node.lines.join("\n")),
        ));
    }
    for edge in &chart.edges {
        let style = if edge.dashed { ", style=dashed" } else { "" };
        let label = quoted(&edge.label());
        out.push_str(&format!("  {} -> {} [label={label}{style}];\n", quoted(&edge.from), quoted(&edge.to)));
    }
    out.push_str("}\n");
    out
}

/// Mermaid has words of its own (`end`, `class`), which a prefix keeps apart from names of states.
fn id(name: &str) -> String {
    if name == super::ANY { "any".to_owned() } else { format!("state_{}", name.replace('-', "__")) }
}

fn entity(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("#quot;"),
            '#' => out.push_str("#35;"),
            '<' => out.push_str("#lt;"),
            '>' => out.push_str("#gt;"),
            '&' => out.push_str("#amp;"),
            '\n' | '\r' => out.push(' '),
            '`' | '|' | '{' | '}' | '[' | ']' => out.push_str(&format!("#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\r', " ").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
