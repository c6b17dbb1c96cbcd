//! Every outcome that a connector reads can be told from a reply, and no reply is taken for what it does not say.

use super::fields;
use crate::definition::document::{Entry, Kind, Node};
use crate::definition::read::{Ctx, outcome_kind};
use crate::definition::{Operation, OutcomeKind, OutcomeRule, Outcomes, Replay, Scope, rules};
use crate::types::Value;

/// Statuses that rules are mostly about, so that most rules are understood at once.
const COMMON: &[u16] = &[200, 201, 202, 204, 400, 401, 402, 403, 404, 409, 410, 422, 425, 429, 500, 502, 503, 504];
/// Replies that never are a success: nobody was let in, or the provider or a proxy broke down.
const REFUSALS: &[u16] = &[401, 403, 429, 500, 502, 503, 504];
/// Replies of a proxy on the way, which cannot know what became of the request.
const GATEWAYS: &[u16] = &[502, 504];

/// Whether the reply is to the call itself or to the question what became of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Call,
    Inquiry,
    FollowUp,
}

/// `settled`: notifications say what became of what was accepted.
pub(super) fn of_operation(ctx: &Ctx<'_>, entry: &Entry, operation: &Operation, settled: bool) {
    if let Some(outcomes) = entry.node.entry("outcomes") {
        let name = entry.key.as_str();
        outcomes_of(ctx, name, outcomes, &operation.outcomes, operation, (Asked::Call, settled));
    }
    let questions = [("inquire", &operation.inquire, Asked::Inquiry), ("poll", &operation.follow_up, Asked::FollowUp)];
    for (key, inquiry, asked) in questions {
        let own = entry.node.get(key).and_then(|inquire| inquire.entry("outcomes"));
        if let (Some(outcomes), Some(inquiry)) = (own, inquiry) {
            let name = format!("{}: {key}", entry.key);
            outcomes_of(ctx, &name, outcomes, &inquiry.outcomes, operation, (asked, settled));
        }
    }
}

fn outcomes_of(
    ctx: &Ctx<'_>,
    name: &str,
    entry: &Entry,
    read: &Outcomes,
    operation: &Operation,
    (asked, settled): (Asked, bool),
) {
    if !matches!(entry.node.kind, Kind::Map(_)) {
        return;
    }
    let own: Vec<&Entry> = entry.node.entries().iter().filter(|entry| outcome_kind(&entry.key).is_some()).collect();
    // An inquiry that only knows when nothing was found reads everything else as the operation does.
    let shared = asked != Asked::Call && own.iter().all(|entry| entry.key == "not_found");
    // What was accepted is told of by a notification, or by a question of its own.
    let told = settled || operation.follow_up.is_some() && asked != Asked::FollowUp;
    let later = told && own.iter().any(|entry| entry.key == "pending");
    if !shared && !later && own.iter().all(|entry| entry.key != "ok") {
        let message = format!("`{name}` has no rule `ok`: whatever is answered, it never succeeds");
        let problem = ctx.problem(rules::OUTCOME_NEVER_READ, &entry.key_span, message);
        let help = "say what a success looks like, such as `ok: response.status == 200`".to_owned();
        ctx.add(problem.with_help(help));
    }
    for (place, rule) in own.iter().zip(own_rules(read, &own)) {
        never_holds(ctx, &place.node, rule);
    }
    // An `ok` that always holds is reported as such.
    let last =
        own.iter().zip(own_rules(read, &own)).position(|(_, rule)| always(rule) && rule.outcome != OutcomeKind::Ok);
    if let Some(next) = last.and_then(|at| own.get(at + 1)) {
        let message = format!("the rule before this one always holds, so that `{}` is never tried", next.key);
        ctx.report(rules::UNREACHABLE_TRANSITION, &next.key_span, message);
    }
    if let Some(gone) = own.iter().find(|entry| entry.key == "gone" && operation.idempotency.replay != Replay::Safe) {
        let message = format!("`gone` closes a receiver of notifications, and `{name}` is not `repeat: safe`");
        let problem = ctx.problem(rules::CONTRADICTING_VALUES, &gone.key_span, message);
        ctx.add(problem.with_help("a provider that refuses a call gives a `declined` or `not_sent`".to_owned()));
    }
    for &status in REFUSALS {
        guessed(ctx, &entry.node, &read.rules, status, operation, asked);
    }
}

/// The rules as the file has them; none when one of them could not be read, and their places are not known.
fn own_rules<'r>(read: &'r Outcomes, own: &[&Entry]) -> &'r [OutcomeRule] {
    let rules = read.rules.get(..own.len()).unwrap_or_default();
    let same = rules.iter().zip(own).all(|(rule, entry)| outcome_kind(&entry.key) == Some(rule.outcome));
    if same { rules } else { &[] }
}

fn always(rule: &OutcomeRule) -> bool {
    rule.when.is_literally_true()
}

/// A rule about nothing but the status, which no status fits.
fn never_holds(ctx: &Ctx<'_>, node: &Node, rule: &OutcomeRule) {
    let paths = rule.when.paths();
    // Types that cannot work are reported as such.
    if rule.when.type_of(&fields::type_of).is_err() {
        return;
    }
    if paths.is_empty() || paths.iter().any(|path| path.join(".") != "response.status") {
        return;
    }
    // Redirects are never followed, and never read.
    let mut statuses = COMMON.iter().copied().chain(200..300).chain(400..600);
    let holds = |status: u16| {
        let response = serde_json::json!({ "status": status });
        rule.when.eval_bool(&Scope::new().with("response", &response)) != Ok(false)
    };
    if !statuses.any(holds) {
        let problem = ctx.problem(rules::OUTCOME_NEVER_READ, &node.span, "no status fits this rule");
        let help = "a status is a number from 200 to 599, and redirects (3xx) are unknown without a rule".to_owned();
        ctx.add(problem.with_help(help));
    }
}

/// What an empty reply with a status that tells nothing is taken for.
fn guessed(ctx: &Ctx<'_>, node: &Node, rules: &[OutcomeRule], status: u16, operation: &Operation, asked: Asked) {
    let response = serde_json::json!({ "status": status, "headers": {}, "body": null });
    let (with, key) = (Value::Object(serde_json::Map::new()), Value::from("key"));
    let scope = Scope::new().with("with", &with).with("key", &key).with("response", &response);
    let Some(rule) = rules.iter().find(|rule| rule.when.eval_bool(&scope) == Ok(true)) else { return };
    let Some(entry) = node.entries().iter().find(|entry| outcome_kind(&entry.key) == Some(rule.outcome)) else {
        return;
    };
    if always(rule) && rule.outcome == OutcomeKind::Ok {
        return;
    }
    let money = operation.money.is_some() && GATEWAYS.contains(&status);
    let (id, message) = match rule.outcome {
        OutcomeKind::Ok => (rules::ALWAYS_OK, format!("an empty reply with status {status} would count as success")),
        OutcomeKind::Declined | OutcomeKind::NotFound if money => (
            rules::GUESSED_OUTCOME,
            format!("status {status} comes from a proxy on the way, which cannot know that nothing happened"),
        ),
        OutcomeKind::NotSent if money && asked == Asked::Call => (
            rules::GUESSED_OUTCOME,
            format!("status {status} comes from a proxy on the way: the request may have been carried out"),
        ),
        _ => return,
    };
    if ctx.problems.any(&ctx.source.name, &entry.node.span, &[id]) {
        return;
    }
    let help = match rule.outcome {
        OutcomeKind::Ok => "say what a success looks like, such as `response.status == 200`",
        _ => "leave it out: what no rule fits is unknown, and is asked about",
    };
    ctx.add(ctx.problem(id, &entry.node.span, message).with_help(help.to_owned()));
}
