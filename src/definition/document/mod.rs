//! YAML text → a tree in which every key and every value knows where it stands.
//!
//! The text is read twice: an event parser checks size, depth, duplicate keys and forbidden features and notes the
//! places, and only then `serde_yaml` gives the scalars their types. Both must see the same tree.

mod events;
mod values;

use std::collections::HashSet;
use std::ops::Range;

use super::rules;
use super::source::{Problems, Source};
use crate::types::Value;

/// Bytes of one file.
pub(super) const TEXT_MAX: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// Null, a truth, a number or a text.
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) node: Node,
}

/// Reads one document. None when it has problems, all of which are added.
pub(super) fn parse(source: &Source<'_>, problems: &Problems) -> Option<Node> {
    if source.text.len() > TEXT_MAX {
        let message = format!("a definition has at most {TEXT_MAX} bytes; this one has {}", source.text.len());
        problems.add(source.problem(rules::TOO_LARGE, &(0..0), message));
        return None;
    }
    let mut tree = events::tree(source, problems)?;
    values::fill(&mut tree, source, problems)?;
    tree.without_doubles();
    Some(tree)
}

impl Node {
    /// Keeps the first of keys that stand twice: that has been reported, and hides nothing else.
    fn without_doubles(&mut self) {
        match &mut self.kind {
            Kind::Scalar(_) => {}
            Kind::List(items) => items.iter_mut().for_each(Self::without_doubles),
            Kind::Map(entries) => {
                let mut seen = HashSet::new();
                entries.retain(|entry| seen.insert(entry.key.clone()));
                entries.iter_mut().for_each(|entry| entry.node.without_doubles());
            }
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) => &[],
        }
    }

    pub(super) fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar(_) | Kind::Map(_) => &[],
        }
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar(value) => value.as_str(),
            Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The node that a path of keys and list positions leads to.
    pub(super) fn at(&self, path: &[String]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| match &node.kind {
            Kind::Map(_) => node.get(step),
            Kind::List(items) => step.parse::<usize>().ok().and_then(|index| items.get(index)),
            Kind::Scalar(_) => None,
        })
    }

    pub(super) fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Scalar(value) => value.clone(),
            Kind::List(items) => Value::Array(items.iter().map(Node::to_json).collect()),
            Kind::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.to_json())).collect())
            }
        }
    }

    /// What it is, in words of the language.
    pub(super) fn describe(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(Value::Null) => "nothing",
            Kind::Scalar(Value::Bool(_)) => "true or false",
            Kind::Scalar(Value::Number(_)) => "a number",
            Kind::Scalar(_) => "a text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}

#[cfg(test)]
mod tests;
