//! The tree → typed definitions. Every problem is collected, with its place; what could not be read is replaced by
//! something harmless, so that the rest is examined too.

mod auth;
mod call;
mod connector;
mod expressions;
mod input;
mod login;
mod operation;
mod reply;
mod retry;
mod scalars;
mod state;
mod transition;
mod verify;
mod webhook;
mod workflow;

use std::cell::RefCell;
use std::ops::Range;

pub(super) use self::call::{UNKNOWN, unknown_operation};
pub(super) use self::connector::connector;
pub(super) use self::operation::{RESEND, TOLD};
pub(super) use self::reply::outcome_kind;
pub(super) use self::retry::{INITIAL, MAX};
pub(super) use self::transition::OUTCOMES;
pub(super) use self::workflow::{Read, workflow};
use super::document::{Entry, Kind, Node};
use super::expr::{Expr, Type};
use super::source::{Problems, Source};
use super::{Needs, Problem, rules};

/// What reading needs everywhere: the text, and where problems go.
pub(super) struct Ctx<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) problems: &'a Problems,
    judged: Judged,
    /// The expressions read so far.
    uses: RefCell<Vec<Use>>,
    /// What the configuration must give.
    needs: RefCell<Needs>,
}

/// When a definition is examined for what it should not mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Now,
    /// It was, when it came.
    Before,
}

/// One expression, where it stands, and what its value must be; nothing is anything.
#[derive(Clone, Debug)]
pub(super) struct Use {
    pub(super) expr: Expr,
    pub(super) span: Range<usize>,
    pub(super) wanted: &'static [Type],
}

/// What a rule or a guard is about.
const TRUTH: &[Type] = &[Type::Bool];
/// What can be a code, a reference or an id.
const LABEL: &[Type] = &[Type::Text, Type::Int, Type::Double];

/// A map whose keys are known.
pub(super) struct Fields<'a> {
    entries: &'a [Entry],
    /// Where a missing key is reported.
    head: Range<usize>,
}

impl<'a> Ctx<'a> {
    pub(super) fn new(source: &'a Source<'a>, judged: Judged, problems: &'a Problems) -> Self {
        Self { source, problems, judged, uses: RefCell::default(), needs: RefCell::default() }
    }

    pub(super) fn problem(&self, rule: &'static str, span: &Range<usize>, message: impl Into<String>) -> Problem {
        self.source.problem(rule, span, message)
    }

    pub(super) fn add(&self, problem: Problem) {
        self.problems.add(problem);
    }

    pub(super) fn report(&self, rule: &'static str, span: &Range<usize>, message: impl Into<String>) {
        self.add(self.problem(rule, span, message));
    }

    pub(super) fn uses(&self) -> Vec<Use> {
        self.uses.borrow().clone()
    }

    /// The fields of a map. Keys that are not among `allowed` are problems; so is a node that is no map.
    fn fields<'n>(
        &self,
        node: &'n Node,
        head: &Range<usize>,
        what: &str,
        allowed: &'static [&'static str],
    ) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, &format!("{what} is a map"));
            return None;
        };
        for entry in entries.iter().filter(|entry| !allowed.contains(&entry.key.as_str())) {
            let problem =
                self.problem(rules::UNKNOWN_KEY, &entry.key_span, format!("{what} has no key `{}`", entry.key));
            self.add(problem.with_nearest(&entry.key, allowed.iter().copied(), "the keys here are"));
        }
        Some(Fields { entries, head: head.clone() })
    }

    /// The entries of a map whose keys are free.
    fn map<'n>(&self, node: &'n Node, what: &str) -> &'n [Entry] {
        match &node.kind {
            Kind::Map(entries) => entries,
            Kind::Scalar(_) | Kind::List(_) => {
                self.wrong_type(node, &format!("{what} is a map"));
                &[]
            }
        }
    }

    fn wrong_type(&self, node: &Node, wanted: &str) {
        self.report(rules::WRONG_TYPE, &node.span, format!("{wanted}; this is {}", node.describe()));
    }
}

impl<'a> Fields<'a> {
    fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    fn required(&self, ctx: &Ctx<'_>, what: &str, key: &str) -> Option<&'a Node> {
        if self.entry(key).is_none() {
            ctx.report(rules::MISSING_KEY, &self.head, format!("{what} needs the key `{key}`"));
        }
        self.get(key)
    }

    /// Reports the second of two keys that exclude each other.
    fn exclusive(&self, ctx: &Ctx<'_>, keys: &[&str]) {
        let mut present = self.entries.iter().filter(|entry| keys.contains(&entry.key.as_str()));
        let Some(first) = present.next() else { return };
        for other in present {
            let message = format!("`{}` and `{}` exclude each other", first.key, other.key);
            ctx.report(rules::CONFLICTING_KEYS, &other.key_span, message);
        }
    }
}
