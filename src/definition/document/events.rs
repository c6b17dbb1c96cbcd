//! The first reading: events → a tree of places, or every structural problem.

use std::collections::HashSet;
use std::ops::Range;

use saphyr_parser::{Event, Parser, Span};

use super::{Entry, Kind, Node};
use crate::definition::rules;
use crate::definition::source::{Problems, Source};
use crate::types::Value;

const DEPTH_MAX: usize = 64;
const NODES_MAX: usize = 50_000;

pub(super) fn tree(source: &Source<'_>, problems: &Problems) -> Option<Node> {
    let skipped = if source.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let text = source.text.get(skipped..).unwrap_or_default();
    let mut builder = Builder {
        source,
        problems,
        bytes: Bytes::new(text, skipped),
        open: Vec::new(),
        root: None,
        nodes: 0,
        documents: 0,
        sound: true,
    };
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        match event {
            Ok((event, span)) => builder.take(event, span)?,
            Err(error) => {
                let at = builder.bytes.of(error.marker().index());
                builder.unreadable(at, error.info());
                return None;
            }
        }
    }
    if builder.root.is_none() && builder.sound {
        builder.problem(rules::YAML_SYNTAX, &(0..0), "the file is empty".to_owned());
    }
    builder.root.filter(|_| builder.sound)
}

struct Builder<'a> {
    source: &'a Source<'a>,
    problems: &'a Problems,
    bytes: Bytes,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
    /// No problem so far. The tree is built to the end all the same, so that all problems are found.
    sound: bool,
}

/// A list or map whose end has not come yet.
struct Open {
    start: usize,
    kind: Kind,
    /// The keys of a map so far.
    keys: HashSet<String>,
    /// The key that waits for its value.
    key: Option<(String, Range<usize>)>,
}

impl Builder<'_> {
    /// None stops the reading: what follows would only cost time.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        let span = self.bytes.of(span.start.index())..self.bytes.of(span.end.index());
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    self.problem(rules::YAML_FEATURE, &span, "a file holds one document".to_owned());
                    return None;
                }
            }
            Event::Alias(_) => {
                self.feature(&span, "aliases");
                self.value(Node { span, kind: Kind::Scalar(Value::Null) });
            }
            Event::Scalar(text, _, anchor, tag) => {
                self.count(&span)?;
                self.decorated(&span, anchor, tag.is_some());
                self.scalar(text.into_owned(), self.trimmed(&span));
            }
            Event::SequenceStart(anchor, tag) => {
                self.decorated(&span, anchor, tag.is_some());
                self.begin(Kind::List(Vec::new()), &span)?;
            }
            Event::MappingStart(anchor, tag) => {
                self.decorated(&span, anchor, tag.is_some());
                self.begin(Kind::Map(Vec::new()), &span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let span = open.start..self.end_of(&open);
                    self.value(Node { span, kind: open.kind });
                }
            }
        }
        Some(())
    }

    fn begin(&mut self, kind: Kind, span: &Range<usize>) -> Option<()> {
        self.count(span)?;
        let is_key = self.open.last().is_some_and(|open| matches!(open.kind, Kind::Map(_)) && open.key.is_none());
        if is_key {
            self.problem(rules::YAML_FEATURE, span, "a key is a text, not a list or a map".to_owned());
            return None;
        }
        if self.open.len() >= DEPTH_MAX {
            self.problem(rules::TOO_LARGE, span, format!("lists and maps nest at most {DEPTH_MAX} deep"));
            return None;
        }
        self.open.push(Open { start: span.start, kind, keys: HashSet::new(), key: None });
        Some(())
    }

    fn scalar(&mut self, text: String, span: Range<usize>) {
        let Some(open) = self.open.last_mut() else {
            return self.value(Node { span, kind: Kind::Scalar(Value::Null) });
        };
        if !matches!(open.kind, Kind::Map(_)) || open.key.is_some() {
            return self.value(Node { span, kind: Kind::Scalar(Value::Null) });
        }
        let twice = !open.keys.insert(text.clone());
        open.key = Some((text.clone(), span.clone()));
        if twice {
            let message = format!("`{text}` stands twice in this map");
            self.problems.add(self.source.problem(rules::DUPLICATE_KEY, &span, message));
        }
        if text == "<<" {
            self.feature(&span, "merge keys");
        }
    }

    fn value(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => match &mut open.kind {
                Kind::List(items) => items.push(node),
                Kind::Map(entries) => match open.key.take() {
                    Some((key, key_span)) => entries.push(Entry { key, key_span, node }),
                    // An alias where a key should be.
                    None => open.key = Some((String::new(), node.span)),
                },
                Kind::Scalar(_) => {}
            },
        }
    }

    fn count(&mut self, span: &Range<usize>) -> Option<()> {
        self.nodes += 1;
        if self.nodes <= NODES_MAX {
            return Some(());
        }
        self.problem(rules::TOO_LARGE, span, format!("a definition has at most {NODES_MAX} keys and values"));
        None
    }

    fn decorated(&mut self, span: &Range<usize>, anchor: usize, tag: bool) {
        if anchor != 0 {
            self.feature(span, "anchors");
        }
        if tag {
            self.feature(span, "tags");
        }
    }

    fn feature(&mut self, span: &Range<usize>, what: &str) {
        self.sound = false;
        let mut problem =
            self.source.problem(rules::YAML_FEATURE, span, format!("{what} are not part of the language"));
        problem.help = Some("write it out: a definition is read by people, one state at a time".to_owned());
        self.problems.add(problem);
    }

    fn unreadable(&mut self, at: usize, info: &str) {
        // The parser looks ahead, and has a limit of its own.
        if info == "recursion limit exceeded" {
            let message = format!("lists and maps nest at most {DEPTH_MAX} deep");
            return self.problem(rules::TOO_LARGE, &(at..at + 1), message);
        }
        match tab_from(self.source.text, at) {
            Some(tab) => {
                let message = "a tab cannot indent: YAML is indented with spaces".to_owned();
                self.problem(rules::YAML_SYNTAX, &(tab..tab + 1), message);
            }
            None => {
                self.sound = false;
                let mut problem = self.source.problem(rules::YAML_SYNTAX, &(at..at + 1), format!("not YAML: {info}"));
                problem.help = help(info).map(str::to_owned);
                self.problems.add(problem);
            }
        }
    }

    fn problem(&mut self, rule: &'static str, span: &Range<usize>, message: String) {
        self.sound = false;
        self.problems.add(self.source.problem(rule, span, message));
    }

    /// Behind the last part and, in flow style, behind the bracket that closes it. (The parser's own end of a map
    /// takes comments in.)
    fn end_of(&self, open: &Open) -> usize {
        let last = match &open.kind {
            Kind::List(items) => items.last().map(|item| item.span.end),
            Kind::Map(entries) => entries.last().map(|entry| entry.node.span.end.max(entry.key_span.end)),
            Kind::Scalar(_) => None,
        };
        let text = |from: usize| self.source.text.get(from..).unwrap_or_default();
        let flow = text(open.start).starts_with(['{', '[']);
        let from = last.unwrap_or(open.start + usize::from(flow));
        if !flow {
            return from;
        }
        let rest = text(from);
        let closing = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        from + (rest.len() - closing.len()) + usize::from(closing.starts_with(['}', ']']))
    }

    fn trimmed(&self, span: &Range<usize>) -> Range<usize> {
        let end = self.source.text.len().min(span.end);
        let text = self.source.text.get(span.start..end).unwrap_or_default();
        span.start..span.start + text.trim_end().len()
    }
}

/// The tab that a line is indented with: the line of a mistake, or the next one that is not empty. The parser finds
/// some of them only when it has gone on.
fn tab_from(text: &str, at: usize) -> Option<usize> {
    let mut start = text.get(..at)?.rfind('\n').map_or(0, |end| end + 1);
    let lines = text.get(start..)?.split_inclusive('\n');
    let mut read = 0;
    for line in lines {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        if let Some(tab) = line.get(..indent).and_then(|indent| indent.find('\t')) {
            return Some(start + tab);
        }
        read += usize::from(!line.trim().is_empty());
        if read > 1 {
            return None;
        }
        start += line.len();
    }
    None
}

/// Turns the parser's character positions into bytes.
enum Bytes {
    Ascii { skipped: usize, length: usize },
    Table(Vec<usize>),
}

impl Bytes {
    fn new(text: &str, skipped: usize) -> Self {
        if text.is_ascii() {
            return Self::Ascii { skipped, length: text.len() };
        }
        let ends = std::iter::once(text.len());
        Self::Table(text.char_indices().map(|(at, _)| at).chain(ends).map(|at| at + skipped).collect())
    }

    fn of(&self, index: usize) -> usize {
        match self {
            Self::Ascii { skipped, length } => index.min(*length) + skipped,
            Self::Table(table) => table.get(index).or(table.last()).copied().unwrap_or(0),
        }
    }
}

/// What is meant most often where the parser says so. An expression has quotes of its own, brackets and colons.
fn help(info: &str) -> Option<&'static str> {
    if info.contains("trailing content after double-quoted scalar") {
        return Some(
            "a text with quotation marks in it stands in marks of the other kind: `'${hash(key, \"sha256\")}'`",
        );
    }
    let flow = info.contains("did not find expected ',' or") || info.contains("mapping values are not allowed");
    let unquoted = flow || info.contains("unexpected character");
    unquoted.then_some(
        "a bracket may be missing; or a text with `[`, `{`, `,`, `: `, `@` or a quotation mark in it wants marks around it: \
         `'headers[\"x-sign\"]'`",
    )
}
