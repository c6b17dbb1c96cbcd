//! Transitions, timers and what happens late.

use std::collections::BTreeMap;

use super::{Ctx, TRUTH};
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::{After, Late, Transition, rules};
use crate::types::{EventName, StateName};

pub(super) const ALWAYS_ROOTS: &[&str] = &["input", "data", "order"];
pub(super) const EVENT_ROOTS: &[&str] = &["input", "data", "order", "event"];
const RESULT_ROOTS: &[&str] = &["input", "data", "order", "result"];
const FAILED_ROOTS: &[&str] = &["input", "data", "order", "decline"];
const DECLINE_ROOTS: &[&str] = &["input", "data", "order", "result", "decline"];

const REASON_MAX: usize = 200;

/// The outcomes of calls; every other name under `on` is an event.
pub(in crate::definition) const OUTCOMES: &[&str] =
    &["ok", "declined", "action_required", "failed", "pending", "reversed", "compensated", "notified"];

/// What the expressions of a transition can see, by what leads to it.
fn roots_of(event: &str) -> &'static [&'static str] {
    match event {
        "ok" | "action_required" | "pending" => RESULT_ROOTS,
        "declined" => DECLINE_ROOTS,
        "failed" => FAILED_ROOTS,
        "reversed" | "compensated" | "notified" => ALWAYS_ROOTS,
        _ => EVENT_ROOTS,
    }
}

impl Ctx<'_> {
    pub(super) fn on(&self, node: &Node) -> BTreeMap<EventName, Vec<Transition>> {
        let entries = self.map(node, "`on`");
        let read = entries.iter().filter(|entry| self.event_name(entry));
        read.map(|entry| (EventName::from(entry.key.as_str()), self.transitions(entry, roots_of(&entry.key)))).collect()
    }

    /// One transition, or a list of those of which the first that fits is taken.
    pub(super) fn transitions(&self, entry: &Entry, roots: &[&str]) -> Vec<Transition> {
        match &entry.node.kind {
            Kind::List(items) => {
                if items.is_empty() {
                    self.report(rules::BAD_VALUE, &entry.node.span, "a list of transitions has at least one");
                }
                items.iter().filter_map(|item| self.transition(item, &item.span, roots)).collect()
            }
            Kind::Scalar(_) | Kind::Map(_) => {
                self.transition(&entry.node, &entry.key_span, roots).into_iter().collect()
            }
        }
    }

    pub(super) fn transition(&self, node: &Node, head: &std::ops::Range<usize>, roots: &[&str]) -> Option<Transition> {
        if let Some(target) = node.text() {
            return Some(to(target));
        }
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong_type(
                node,
                "a transition is the name of a state, or a map with `target`, `when`, `assign` and `incident`",
            );
            return None;
        }
        let fields = self.fields(node, head, "a transition", &["target", "when", "assign", "incident"])?;
        let target = fields.get("target").and_then(|node| self.text(node, "`target`"));
        let when = fields.get("when");
        let guard = when.and_then(|node| self.expr(node, "`when`", roots, TRUTH));
        if when.is_some() && guard.is_none() {
            return None;
        }
        let assign = fields.get("assign").map(|node| self.map(node, "`assign`")).unwrap_or_default();
        let assign = assign.iter().filter(|entry| self.name(&entry.key, &entry.key_span, "the name of data", ""));
        let assign = assign.map(|entry| (entry.key.clone(), self.template(&entry.node, roots))).collect();
        let incident = fields.get("incident").and_then(|node| self.reason(node));
        Some(Transition { target: target.map(StateName::from), when: guard, assign, incident })
    }

    /// What a person reads on a list, and in a log: nothing of an order is in it.
    fn reason(&self, node: &Node) -> Option<String> {
        let text = self.text(node, "`incident`")?;
        let length = text.chars().count();
        if length == 0 || length > REASON_MAX || text.chars().any(char::is_control) {
            let message = format!("why a person must see the order is one line of 1 to {REASON_MAX} characters");
            self.report(rules::BAD_VALUE, &node.span, message);
        }
        if text.contains("${") {
            self.report(
                rules::BAD_VALUE,
                &node.span,
                "`incident` is the same text for every order: it takes no `${…}`",
            );
        }
        Some(text.to_owned())
    }

    /// `after: { 15m: expired }`
    pub(super) fn after(&self, node: &Node) -> Vec<After> {
        let mut read = Vec::new();
        for entry in self.map(node, "`after`") {
            let Some(delay) = self.duration_text(&entry.key, &entry.key_span, "`after`") else { continue };
            let Some(transition) = self.transition(&entry.node, &entry.key_span, ALWAYS_ROOTS) else { continue };
            read.push(After { delay, transition });
        }
        read
    }

    pub(super) fn always(&self, entry: &Entry) -> Vec<Transition> {
        let read = self.transitions(entry, ALWAYS_ROOTS);
        if read.iter().any(|transition| transition.target.is_none()) {
            self.report(rules::MISSING_KEY, &entry.key_span, "each branch of `always` needs a `target`");
        }
        read
    }

    /// `deadline: 7d`, or `deadline: { after: 7d, target: expired }`.
    pub(super) fn deadline(&self, entry: &Entry) -> Option<After> {
        if !matches!(entry.node.kind, Kind::Map(_)) {
            let delay = self.duration(&entry.node, "`deadline`")?;
            return Some(After { delay, transition: Transition::default() });
        }
        let fields = self.fields(&entry.node, &entry.key_span, "a deadline", &["after", "target"])?;
        let delay = fields.required(self, "a deadline", "after").and_then(|node| self.duration(node, "`after`"))?;
        let target = fields.get("target").and_then(|node| self.text(node, "`target`"));
        Some(After { delay, transition: Transition { target: target.map(StateName::from), ..Transition::default() } })
    }

    pub(super) fn late(&self, node: &Node) -> BTreeMap<EventName, Late> {
        let mut read = BTreeMap::new();
        for entry in self.map(node, "`late`").iter().filter(|entry| self.event_name(entry)) {
            let late = match entry.node.text() {
                Some("ignore") => Late::Ignore,
                Some("incident") => Late::Incident,
                _ => Late::Transition(self.transitions(entry, EVENT_ROOTS)),
            };
            read.insert(EventName::from(entry.key.as_str()), late);
        }
        read
    }

    fn event_name(&self, entry: &Entry) -> bool {
        self.name(&entry.key, &entry.key_span, "the name of an event", ".-")
    }
}

fn to(target: &str) -> Transition {
    Transition { target: Some(StateName::from(target)), ..Transition::default() }
}
