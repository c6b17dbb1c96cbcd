//! YAML texts beside the definitions, such as scenarios: what they say, and where it stands.

use std::ops::Range;

use super::document::{self, Node};
use super::source::{Problems, Source};
use super::{Problem, rules};
use crate::types::Value;

/// A text that was read, under the budgets of definitions. A place in it is a path of keys and list positions.
#[derive(Clone, Debug)]
pub struct YamlText {
    name: String,
    text: String,
    root: Node,
}

impl YamlText {
    /// Reads one document. `name` is what problems are reported under.
    pub fn read(name: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let problems = Problems::default();
        let root = document::parse(&Source::new(name, text), &problems);
        match root {
            Some(root) if problems.is_empty() => Ok(Self { name: name.to_owned(), text: text.to_owned(), root }),
            _ => Err(problems.into_sorted()),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn value(&self) -> Value {
        self.root.to_json()
    }

    /// The keys of the map at a place, as they are written.
    pub fn keys(&self, path: &[String]) -> Vec<&str> {
        let entries = self.root.at(path).map(Node::entries).unwrap_or_default();
        entries.iter().map(|entry| entry.key.as_str()).collect()
    }

    /// A problem with the value at a place, or with the nearest one around it that is there.
    pub fn problem(&self, rule: &'static str, path: &[String], message: impl Into<String>) -> Problem {
        let span = (0..=path.len()).rev().find_map(|length| self.span(path.get(..length)?));
        Source::new(&self.name, &self.text).problem(rule, &span.unwrap_or(0..0), message)
    }

    /// A problem with the key that a path ends in.
    pub fn key_problem(&self, rule: &'static str, path: &[String], message: impl Into<String>) -> Problem {
        let key = path.split_last().and_then(|(key, above)| self.root.at(above)?.entry(key));
        let Some(entry) = key else { return self.problem(rule, path, message) };
        Source::new(&self.name, &self.text).problem(rule, &entry.key_span, message)
    }

    /// The line of a place, counted from 1.
    pub fn line(&self, path: &[String]) -> u32 {
        self.problem(rules::BAD_VALUE, path, "").line
    }

    /// A problem for each key of the map at a place that is none of `allowed`.
    pub fn unknown_keys(&self, path: &[String], what: &str, allowed: &[&str]) -> Vec<Problem> {
        let unknown = self.keys(path).into_iter().filter(|key| !allowed.contains(key));
        let problem = |key: &str| {
            let path: Vec<String> = path.iter().cloned().chain([key.to_owned()]).collect();
            self.key_problem(rules::UNKNOWN_KEY, &path, format!("{what} has no key `{key}`")).with_nearest(
                key,
                allowed.iter().copied(),
                "the keys here are",
            )
        };
        unknown.map(problem).collect()
    }

    fn span(&self, path: &[String]) -> Option<Range<usize>> {
        self.root.at(path).map(|node| node.span.clone())
    }
}
