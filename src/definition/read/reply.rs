//! How a reply is read.

use super::operation::REPLY_ROOTS;
use super::{Ctx, LABEL, TRUTH};
use crate::definition::document::{Entry, Node};
use crate::definition::{OutcomeKind, OutcomeRule, Outcomes, rules};

const KEYS: &[&str] = &[
    "ok",
    "action_required",
    "declined",
    "pending",
    "not_sent",
    "gone",
    "not_found",
    "unknown",
    "code",
    "soft",
    "result",
    "reference",
];

/// The outcome that a rule is about; none for what describes one.
pub(in crate::definition) fn outcome_kind(key: &str) -> Option<OutcomeKind> {
    match key {
        "ok" => Some(OutcomeKind::Ok),
        "action_required" => Some(OutcomeKind::ActionRequired),
        "declined" => Some(OutcomeKind::Declined),
        "pending" => Some(OutcomeKind::Pending),
        "not_sent" => Some(OutcomeKind::NotSent),
        "gone" => Some(OutcomeKind::Gone),
        "not_found" => Some(OutcomeKind::NotFound),
        "unknown" => Some(OutcomeKind::Unknown),
        _ => None,
    }
}

impl Ctx<'_> {
    /// `shared` are the outcomes of the operation, which an inquiry has too unless it says otherwise.
    pub(super) fn outcomes(&self, node: &Node, shared: Option<&Node>, inquiry: bool) -> Outcomes {
        let Some(fields) = self.fields(node, &node.span, "`outcomes`", KEYS) else { return Outcomes::default() };
        if let (Some(entry), false) = (fields.entry("not_found"), inquiry) {
            let problem = self.problem(rules::BAD_VALUE, &entry.key_span, "`not_found` is the answer to an inquiry");
            self.add(problem.with_help("write it under `inquire: { outcomes: … }`".to_owned()));
        }
        let mut rules: Vec<OutcomeRule> = node.entries().iter().filter_map(|entry| self.outcome_rule(entry)).collect();
        // An inquiry that only says when nothing was found reads everything else as the operation does.
        let own = rules.iter().any(|rule| rule.outcome != OutcomeKind::NotFound);
        if !own {
            let shared = shared.map(Node::entries).unwrap_or_default();
            rules.extend(shared.iter().filter_map(|entry| self.outcome_rule(entry)));
        }
        let either = |key: &str| fields.get(key).or_else(|| shared.and_then(|node| node.get(key)));
        Outcomes {
            rules,
            code: either("code").and_then(|node| self.expr(node, "`code`", REPLY_ROOTS, LABEL)),
            soft: either("soft").and_then(|node| self.expr(node, "`soft`", REPLY_ROOTS, TRUTH)),
            result: either("result").map(|node| self.template(node, REPLY_ROOTS)),
            reference: either("reference").and_then(|node| self.expr(node, "`reference`", REPLY_ROOTS, LABEL)),
        }
    }

    fn outcome_rule(&self, entry: &Entry) -> Option<OutcomeRule> {
        let outcome = outcome_kind(&entry.key)?;
        let when = self.expr(&entry.node, "the rule of an outcome", REPLY_ROOTS, TRUTH)?;
        if outcome == OutcomeKind::Ok && when.is_literally_true() {
            let problem = self.problem(rules::ALWAYS_OK, &entry.node.span, "every reply would count as success");
            self.add(problem.with_help("say what a success looks like, such as `response.status == 200`".to_owned()));
        }
        Some(OutcomeRule { outcome, when })
    }
}
