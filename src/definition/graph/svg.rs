//! SVG, laid out by `dagre`.

use dagre::graph::{Graph, GraphOptions};
use dagre::{EdgeLabel, LayoutOptions, NodeLabel, Point, RankDir};

use super::{Chart, Class, Edge, Node};

const LINE: f64 = 16.0;
const MARGIN: f64 = 16.0;

pub(super) fn svg(chart: &Chart) -> String {
    let laid_out = layout(chart);
    let (mut width, mut height) = (0.0_f64, 0.0_f64);
    let mut body = String::new();
    for (index, edge) in chart.edges.iter().enumerate() {
        let Some(drawn) = laid_out.edge(&edge.from, &edge.to, Some(&index.to_string())) else { continue };
        drawn.points.iter().for_each(|point| (width, height) = (width.max(point.x), height.max(point.y)));
        if let Some(x) = drawn.x {
            width = width.max(x + drawn.width / 2.0);
        }
        body.push_str(&draw_edge(edge, drawn));
    }
    for node in &chart.nodes {
        let Some(drawn) = laid_out.node(&node.name) else { continue };
        let (x, y) = (drawn.x.unwrap_or(0.0), drawn.y.unwrap_or(0.0));
        width = width.max(x + drawn.width / 2.0);
        height = height.max(y + drawn.height / 2.0);
        body.push_str(&draw_node(node, x, y, drawn.width, drawn.height));
    }
    let (width, height) = (width + MARGIN, height + MARGIN);
    let title = escape(&chart.title);
    let style = style();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" role=\"img\" class=\"workflow\">\n<title>{title}</title>\n<style>{style}</style>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto-start-reverse\"><path d=\"M0,0 L8,4 L0,8 z\" fill=\"#66666f\"/></marker></defs>\n{body}</svg>\n"
    )
}

fn layout(chart: &Chart) -> Graph<NodeLabel, EdgeLabel> {
    let mut graph = Graph::with_options(GraphOptions { directed: true, multigraph: true, compound: false });
    for node in &chart.nodes {
        let wide = node.lines.iter().map(|line| text_width(line, 7.0)).fold(60.0, f64::max);
        let height = LINE.mul_add(f64::from(u32::try_from(node.lines.len()).unwrap_or(1)), 14.0);
        let label = NodeLabel { width: wide + 24.0, height, ..NodeLabel::default() };
        graph.set_node(node.name.clone(), Some(label));
    }
    for (index, edge) in chart.edges.iter().enumerate() {
        let text = edge.label();
        let (width, height) = if text.is_empty() { (0.0, 0.0) } else { (text_width(&text, 5.6) + 8.0, LINE) };
        let labelpos = dagre::layout::types::LabelPos::Center;
        let label = EdgeLabel { width, height, labelpos, ..EdgeLabel::default() };
        graph.set_edge(edge.from.clone(), edge.to.clone(), Some(label), Some(&index.to_string()));
    }
    let options = LayoutOptions {
        rankdir: RankDir::TB,
        nodesep: 40.0,
        ranksep: 40.0,
        edgesep: 20.0,
        marginx: MARGIN,
        marginy: MARGIN,
        ..LayoutOptions::default()
    };
    dagre::layout(&mut graph, Some(options));
    graph
}

fn draw_node(node: &Node, x: f64, y: f64, width: f64, height: f64) -> String {
    let (left, top) = (x - width / 2.0, y - height / 2.0);
    let radius = if matches!(node.class, Class::Success | Class::Failure) { height / 2.0 } else { 6.0 };
    let initial = if node.initial { " initial" } else { "" };
    let id = if node.name == super::ANY { "any".to_owned() } else { format!("state-{}", escape(&node.name)) };
    let mut out = format!(
        "<g id=\"{id}\" class=\"state {}{initial}\"><title>{}</title><rect x=\"{left:.1}\" y=\"{top:.1}\" \
         width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius:.1}\"/>",
        node.class.name(),
        escape(&node.name),
    );
    let mut baseline = top + 7.0 + LINE * 0.75;
    for (at, line) in node.lines.iter().enumerate() {
        let class = if at == 0 { "name" } else { "call" };
        let line = escape(line);
        out.push_str(&format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{baseline:.1}\">{line}</text>"));
        baseline += LINE;
    }
    out.push_str("</g>\n");
    out
}

fn draw_edge(edge: &Edge, drawn: &EdgeLabel) -> String {
    let from = if edge.from == super::ANY { "any" } else { &edge.from };
    let dashed = if edge.dashed { " dashed" } else { "" };
    let mut out = format!(
        "<g class=\"edge{dashed}\" data-from=\"{}\" data-to=\"{}\"><path d=\"{}\" marker-end=\"url(#arrow)\"/>",
        escape(from),
        escape(&edge.to),
        curve(&drawn.points),
    );
    let label = edge.label();
    if let (false, Some(x), Some(y)) = (label.is_empty(), drawn.x, drawn.y) {
        out.push_str(&format!("<text x=\"{x:.1}\" y=\"{:.1}\">{}</text>", y + 3.5, escape(&label)));
    }
    out.push_str("</g>\n");
    out
}

/// Through the middles between the points, so that corners are round.
fn curve(points: &[Point]) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    let mut out = format!("M{:.1},{:.1}", first.x, first.y);
    for pair in points.windows(2).skip(1) {
        if let [at, next] = pair {
            let (x, y) = (f64::midpoint(at.x, next.x), f64::midpoint(at.y, next.y));
            out.push_str(&format!(" Q{:.1},{:.1} {x:.1},{y:.1}", at.x, at.y));
        }
    }
    out.push_str(&format!(" L{:.1},{:.1}", last.x, last.y));
    out
}

/// Chinese, Japanese and Korean characters are about twice as wide as Latin ones.
fn text_width(text: &str, latin: f64) -> f64 {
    text.chars().map(|c| if u32::from(c) >= 0x1100 { latin * 1.8 } else { latin }).sum()
}

fn style() -> String {
    let mut css = ".workflow text{font:11px system-ui,sans-serif;text-anchor:middle;fill:#111}\
         .workflow .name{font-size:12px;font-weight:600}.workflow .call{font-family:ui-monospace,monospace;font-size:10.5px}\
         .workflow rect{stroke-width:1.2}.workflow .initial rect{stroke-width:3}\
         .workflow .edge path{fill:none;stroke:#66666f;stroke-width:1.2}.workflow .dashed path{stroke-dasharray:5 4}\
         .workflow .edge text{font-size:10px;fill:#333;paint-order:stroke;stroke:#fff;stroke-width:3px}"
        .to_owned();
    for class in Class::ALL {
        let (fill, stroke) = class.colors();
        css.push_str(&format!(".workflow .{} rect{{fill:{fill};stroke:{stroke}}}", class.name()));
    }
    css
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
