//! A text under examination, and the problems that are found in it.

use std::cell::RefCell;
use std::ops::Range;

use super::Problem;

/// More than this many at once help nobody.
const PROBLEMS_MAX: usize = 200;

/// A text with its name, and where its lines begin.
pub(super) struct Source<'a> {
    pub(super) name: String,
    pub(super) text: &'a str,
    lines: Vec<usize>,
}

/// The problems of a definition and of everything it refers to.
#[derive(Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl<'a> Source<'a> {
    pub(super) fn new(name: impl Into<String>, text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { name: name.into(), text, lines }
    }

    pub(super) fn problem(&self, rule: &'static str, span: &Range<usize>, message: impl Into<String>) -> Problem {
        let span = self.first_line_of(span);
        let line = self.lines.partition_point(|&start| start <= span.start).saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let column = self.text.get(start..span.start).unwrap_or_default().chars().count() + 1;
        Problem {
            rule,
            message: message.into(),
            file: self.name.clone(),
            span,
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            help: None,
            fix: None,
        }
    }

    /// A caret under one line says where; under twenty it says nothing.
    fn first_line_of(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end.max(start));
        let shown = self.text.get(start..end).unwrap_or_default();
        let shown = shown.split('\n').next().unwrap_or_default().trim_end();
        start..start + shown.len()
    }

    fn boundary(&self, at: usize) -> usize {
        (0..=at.min(self.text.len())).rev().find(|&at| self.text.is_char_boundary(at)).unwrap_or(0)
    }
}

impl Problems {
    pub(super) fn add(&self, problem: Problem) {
        let mut problems = self.0.borrow_mut();
        if problems.len() < PROBLEMS_MAX && !problems.contains(&problem) {
            problems.push(problem);
        }
    }

    /// Problems so far in a part of a file, of one of some rules.
    pub(super) fn any(&self, file: &str, span: &Range<usize>, rules: &[&str]) -> bool {
        let within = |problem: &Problem| span.start <= problem.span.start && problem.span.start <= span.end;
        self.0.borrow().iter().any(|p| p.file == file && rules.contains(&p.rule) && within(p))
    }

    /// Problems so far in a part of a file.
    pub(super) fn any_in(&self, file: &str, span: &Range<usize>) -> bool {
        self.0.borrow().iter().any(|p| p.file == file && span.contains(&p.span.start))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Sorted by file and place, as a person reads them.
    pub(super) fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort_by(|a, b| (&a.file, a.span.start, a.rule).cmp(&(&b.file, b.span.start, b.rule)));
        problems
    }
}
