//! Times of one call that contradict each other, and those that would be ignored.

use std::time::Duration;

use super::Check;
use crate::definition::document::{Kind, Node};
use crate::definition::read::{INITIAL, MAX};
use crate::definition::rules;
use crate::types::{format_duration, parse_duration};

impl Check<'_> {
    pub(super) fn timing(&self) {
        let policies = self.node(&["retries"]).map(Node::entries).unwrap_or_default();
        policies.iter().for_each(|policy| self.delays(&policy.node));
        for state in &self.workflow.states {
            for invoke in state.invokes() {
                let Some(node) = self.invoke_node(state, &invoke.branch) else { continue };
                node.get("retry").into_iter().for_each(|policy| self.delays(policy));
                node.get("timeout").into_iter().for_each(|timeout| self.attempts_fit(timeout));
                node.get("compensate").into_iter().for_each(|undo| self.without_total(undo));
            }
            let effects = self.state_node(state).and_then(|node| node.get("entry")).map(Node::items);
            effects.unwrap_or_default().iter().for_each(|effect| self.without_total(effect));
        }
    }

    fn attempts_fit(&self, timeout: &Node) {
        let (Some(attempt), Some(total)) = (said(timeout, "attempt"), said(timeout, "total")) else { return };
        if attempt > total {
            let (attempt, total) = (format_duration(attempt), format_duration(total));
            let message = format!("one attempt may take {attempt}, and all attempts together {total}");
            self.contradiction(timeout, "attempt", message, "`total` is at least as long as `attempt`");
        }
    }

    fn delays(&self, policy: &Node) {
        if !matches!(policy.kind, Kind::Map(_)) || policy.get("schedule").is_some() {
            return;
        }
        let (initial, max) = (said(policy, "initial"), said(policy, "max"));
        if initial.is_none() && max.is_none() {
            return;
        }
        let (initial, longest) = (initial.unwrap_or(INITIAL), max.unwrap_or(MAX));
        if initial > longest {
            let (first, longest) = (format_duration(initial), format_duration(longest));
            let unsaid = if max.is_none() { ", which is so where `max` is not said" } else { "" };
            let message = format!("the first delay is {first}, and no delay is longer than {longest}{unsaid}");
            let key = if max.is_some() { "max" } else { "initial" };
            self.contradiction(policy, key, message, "`max` is at least as long as `initial`");
        }
    }

    /// What undoes a call, and what a state only tells, is tried until its retries are used up.
    fn without_total(&self, call: &Node) {
        call.get("retry").into_iter().for_each(|policy| self.delays(policy));
        if let Some(total) = call.get("timeout").and_then(|timeout| timeout.entry("total")) {
            let message = "`total` is for the call of a state: here the retries alone say when it ends".to_owned();
            let problem = self.ctx.problem(rules::UNKNOWN_KEY, &total.key_span, message);
            self.ctx.add(problem.with_help("write `retry: { …, within: 1h }`, or name such a policy".to_owned()));
        }
    }

    fn contradiction(&self, node: &Node, key: &str, message: String, help: &str) {
        let at = node.entry(key).map_or_else(|| node.span.clone(), |entry| entry.node.span.clone());
        self.ctx.add(self.ctx.problem(rules::CONTRADICTING_VALUES, &at, message).with_help(help.to_owned()));
    }
}

fn said(node: &Node, key: &str) -> Option<Duration> {
    node.get(key).and_then(Node::text).and_then(|text| parse_duration(text).ok())
}
