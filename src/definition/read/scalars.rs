//! Texts, numbers, durations, names.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Ctx;
use crate::definition::document::{Kind, Node};
use crate::definition::{SCHEDULES, presets, rules, suggest};
use crate::types::{Value, parse_duration};

/// Longer than anything that a payment waits for, and far from the end of what clocks can hold.
const DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

impl Ctx<'_> {
    pub(super) fn text<'n>(&self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = node.text();
        if text.is_none() {
            self.wrong_type(node, &format!("{what} is a text"));
        }
        text
    }

    pub(super) fn integer(&self, node: &Node, what: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let Kind::Scalar(Value::Number(number)) = &node.kind else {
            self.wrong_type(node, &format!("{what} is a whole number"));
            return None;
        };
        let found = number.as_u64().filter(|integer| range.contains(integer));
        if found.is_none() {
            let message = format!("{what} is a whole number from {} to {}", range.start(), range.end());
            self.report(rules::BAD_VALUE, &node.span, message);
        }
        found
    }

    pub(super) fn factor(&self, node: &Node, what: &str) -> Option<f64> {
        let number = match &node.kind {
            Kind::Scalar(Value::Number(number)) => number.as_f64(),
            _ => None,
        };
        let found = number.filter(|factor| (1.0..=100.0).contains(factor));
        if found.is_none() {
            self.report(rules::BAD_VALUE, &node.span, format!("{what} is a number from 1 to 100"));
        }
        found
    }

    pub(super) fn duration(&self, node: &Node, what: &str) -> Option<Duration> {
        match &node.kind {
            Kind::Scalar(Value::String(text)) => self.duration_text(text, &node.span, what),
            Kind::Scalar(Value::Number(number)) => {
                let problem = self.problem(rules::BAD_DURATION, &node.span, format!("{what} needs a unit"));
                self.add(problem.with_help(format!("write `{number}s`, `{number}m` or `{number}h`")));
                None
            }
            _ => {
                self.wrong_type(node, &format!("{what} is a duration such as `30s`"));
                None
            }
        }
    }

    pub(super) fn duration_text(&self, text: &str, span: &std::ops::Range<usize>, what: &str) -> Option<Duration> {
        let read = parse_duration(text).map_err(|error| error.to_string());
        let read = read.and_then(|duration| match duration {
            Duration::ZERO => Err("it is more than nothing".to_owned()),
            long if long > DURATION_MAX => Err("ten years is the longest".to_owned()),
            fine => Ok(fine),
        });
        match read {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.report(rules::BAD_DURATION, span, format!("{what}: {error}"));
                None
            }
        }
    }

    /// A list of durations, at most 64 of them.
    /// A list of durations, or the name of a schedule that a provider publishes.
    pub(super) fn durations(&self, node: &Node, what: &str) -> Option<Vec<Duration>> {
        if let Kind::Scalar(Value::String(name)) = &node.kind {
            return self.preset(node, name, what);
        }
        let Kind::List(items) = &node.kind else {
            self.wrong_type(node, &format!("{what} is a list of durations"));
            return None;
        };
        if items.is_empty() || items.len() > 64 {
            self.report(rules::BAD_VALUE, &node.span, format!("{what} has 1 to 64 durations"));
            return None;
        }
        let read: Vec<Duration> = items.iter().filter_map(|item| self.duration(item, what)).collect();
        (read.len() == items.len()).then_some(read)
    }

    fn preset(&self, node: &Node, name: &str, what: &str) -> Option<Vec<Duration>> {
        let found = presets::schedule(name);
        if found.is_none() {
            let names = || SCHEDULES.iter().map(|(name, _)| *name);
            let near = suggest::nearest(name, names());
            let message = format!("{what} is a list of durations, or {}", suggest::one_of(names()));
            let problem = self.problem(rules::BAD_VALUE, &node.span, message);
            let help = near.map(|near| format!("did you mean `{near}`?"));
            self.add(problem.with_help(help).with_fix(near.map(str::to_owned)));
        }
        found
    }

    /// One word of a table.
    pub(super) fn word<T: Copy>(&self, node: &Node, what: &str, table: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = table.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let words = || table.iter().map(|(word, _)| *word);
            let message = format!("{what} is {}", suggest::one_of(words()));
            let near = suggest::nearest(text, words());
            let problem = self.problem(rules::BAD_VALUE, &node.span, message);
            let help = near.map(|near| format!("did you mean `{near}`?"));
            self.add(problem.with_help(help).with_fix(near.map(str::to_owned)));
        }
        found
    }

    /// A name: letters, digits, `_` and what is in `extra`, beginning with a letter.
    pub(super) fn name(&self, text: &str, span: &std::ops::Range<usize>, what: &str, extra: &str) -> bool {
        let fits = text.len() <= 64
            && text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || extra.contains(c));
        if !fits {
            let more: String = extra.chars().map(|c| format!(", `{c}`")).collect();
            let message = format!("{what} has up to 64 letters, digits, `_`{more} and begins with a letter");
            self.report(rules::BAD_NAME, span, message);
        }
        fits
    }
}
