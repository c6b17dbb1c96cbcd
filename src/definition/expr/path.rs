//! Bare paths: `input.amount`, `data.items[0]`, `response.headers["retry-after"]`.

use std::fmt;

use super::Scope;
use crate::types::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    root: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Field(String),
    Index(usize),
}

/// Where a lookup ended: names from the definition, never data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing(String);

impl Path {
    pub(super) fn new(root: String, steps: Vec<Step>) -> Self {
        Self { root, steps }
    }

    /// None when the text is not a bare path (it may still be an expression).
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (root, mut rest) = take_name(text)?;
        if matches!(root, "true" | "false" | "null" | "in") {
            return None;
        }
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = take_step(rest)?;
            steps.push(step);
            rest = after;
        }
        Some(Self { root: root.to_owned(), steps })
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn names(&self) -> Vec<String> {
        let steps = self.steps.iter().map(|step| match step {
            Step::Field(name) => name.clone(),
            Step::Index(index) => index.to_string(),
        });
        std::iter::once(self.root.clone()).chain(steps).collect()
    }

    /// It is `other`, or something inside of it.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        self.root == other.root && self.steps.starts_with(&other.steps)
    }

    pub(super) fn lookup<'a>(&self, scope: &Scope<'a>) -> Result<&'a Value, Missing> {
        let mut at = scope.get(&self.root).ok_or_else(|| self.missing(0))?;
        for (passed, step) in self.steps.iter().enumerate() {
            let next = match step {
                Step::Field(name) => at.as_object().and_then(|map| map.get(name)),
                Step::Index(index) => at.as_array().and_then(|list| list.get(*index)),
            };
            at = next.ok_or_else(|| self.missing(passed + 1))?;
        }
        Ok(at)
    }

    fn missing(&self, length: usize) -> Missing {
        let steps = self.steps.iter().take(length).cloned().collect();
        Missing(Self { root: self.root.clone(), steps }.to_string())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        for step in &self.steps {
            match step {
                Step::Field(name) if take_name(name).is_some_and(|(_, rest)| rest.is_empty()) => write!(f, ".{name}")?,
                Step::Field(name) => write!(f, "[{name:?}]")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no `{}`", self.0)
    }
}

fn take_name(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_alphanumeric() && byte != b'_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let first = name.bytes().next()?;
    (!first.is_ascii_digit()).then_some((name, rest))
}

fn take_step(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix('.') {
        let (name, rest) = take_name(rest)?;
        return Some((Step::Field(name.to_owned()), rest));
    }
    let rest = text.strip_prefix('[')?;
    let quote = rest.chars().next()?;
    if quote == '"' || quote == '\'' {
        let inner = rest.get(1..)?;
        let end = inner.find(quote)?;
        let (name, rest) = inner.split_at(end);
        if name.contains('\\') {
            return None;
        }
        return Some((Step::Field(name.to_owned()), rest.get(1..)?.strip_prefix(']')?));
    }
    let (digits, rest) = rest.split_once(']')?;
    if digits.len() > 6 || digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some((Step::Index(digits.parse().ok()?), rest))
}
