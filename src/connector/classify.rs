//! A reply → an `Outcome`. Pure: no network, no clock.
//!
//! **Invariant.** What no rule understands is `Unknown`. A body that cannot be read never supports a definite outcome.

use super::reason::{mask_cards, reason};
use crate::definition::{Expr, Inquiry, Operation, OutcomeKind, OutcomeRule, Outcomes, Scope, Template};
use crate::machine::{INTEGRITY, Outcome};
use crate::types::Value;

/// Why a call of a receiver that wants no more was not carried out. The connector is closed by it.
pub(super) const GONE: &str = "the receiver wants no more of them";
const RESULT_MAX: usize = 16 * 1024;
const CODE_MAX: usize = 64;
const REFERENCE_MAX: usize = 200;

/// A provider's reply, read but not yet understood.
#[derive(Debug)]
pub(super) struct Reply {
    pub status: u16,
    /// Lower-case names.
    pub headers: Value,
    pub body: Body,
    /// The part of it that was encrypted; null when none was.
    pub decrypted: Value,
    /// Why it is not known to be the provider's, where answers are signed.
    pub doubted: Option<Doubt>,
    pub retry_after_ms: Option<u64>,
}

#[derive(Debug)]
pub(super) enum Body {
    Json(Value),
    Empty,
    /// It says that it is JSON and is not, so this is not the provider speaking as agreed.
    Broken(&'static str),
    /// Text, HTML, XML, where JSON is expected. For a call that moves money that may be a proxy or a login page on the way.
    Foreign,
}

/// Whether the reply is to the call itself or to the question what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question<'a> {
    Invoke,
    Inquire(&'a Inquiry),
}

/// What expressions see beside `response`.
#[derive(Clone, Debug)]
pub(super) struct Names<'a> {
    pub with: &'a Value,
    pub order: &'a Value,
    pub key: Value,
    /// The provider's own, of a call that it has accepted.
    pub reference: Value,
    /// When the key was first sent: the same for every try of it, and for the inquiry about it.
    pub sent_at: Value,
    pub attempt: Value,
    pub env: &'a Value,
    pub tables: &'a Value,
    /// The moment of the request, and a number that is used once.
    pub now: Value,
    pub nonce: Value,
}

impl Names<'_> {
    pub(super) fn scope(&self) -> Scope<'_> {
        Scope::new()
            .with("with", self.with)
            .with("order", self.order)
            .with("key", &self.key)
            .with("reference", &self.reference)
            .with("sent_at", &self.sent_at)
            .with("attempt", &self.attempt)
            .with("env", self.env)
            .with("tables", self.tables)
            .with("now", &self.now)
            .with("nonce", &self.nonce)
    }
}

/// Why an answer is not known to be the provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    pub(super) why: String,
    /// It bears no signature; else it bears one that does not fit.
    pub(super) unsigned: bool,
}

/// What a reply means, and what each rule said to it up to the one that held.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Understood {
    pub outcome: Outcome,
    pub rules: Vec<RuleTold>,
}

/// A rule of `outcomes`, and whether it held.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RuleTold {
    pub outcome: &'static str,
    pub when: String,
    pub held: bool,
    pub error: Option<String>,
}

impl From<Outcome> for Understood {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, rules: Vec::new() }
    }
}

/// The same as `classify`, with the reasons.
pub(super) fn explain(operation: &Operation, question: Question<'_>, names: &Names<'_>, reply: Reply) -> Understood {
    let body = match &reply.body {
        Body::Json(value) => value.clone(),
        Body::Empty | Body::Broken(_) | Body::Foreign => Value::Null,
    };
    let response = response(reply.status, reply.headers.clone(), body, reply.decrypted.clone());
    let scope = names.scope().with("response", &response);
    let mut rules = Vec::new();
    for rule in Rules::of(operation, question).about(reply.status).rules {
        let held = rule.when.eval_bool(&scope);
        rules.push(RuleTold {
            outcome: name(rule.outcome),
            when: rule.when.source().to_owned(),
            held: held == Ok(true),
            error: held.as_ref().err().map(|error| error.message.clone()),
        });
        if held == Ok(true) {
            break;
        }
    }
    Understood { outcome: classify(operation, question, names, reply), rules }
}

/// `response` of an expression.
fn response(status: u16, headers: Value, body: Value, decrypted: Value) -> Value {
    let mut response = serde_json::json!({ "status": status, "headers": headers, "body": body });
    if !decrypted.is_null() {
        response["decrypted"] = decrypted;
    }
    response
}

/// Reads a reply by the rules of its operation.
pub(super) fn classify(operation: &Operation, question: Question<'_>, names: &Names<'_>, reply: Reply) -> Outcome {
    let Reply { status, headers, body, decrypted, doubted, retry_after_ms } = reply;
    let unknown = |text: &str| Outcome::Unknown { reason: reason(text), retry_after_ms };
    let foreign = match &body {
        Body::Broken(why) => Some(*why),
        Body::Foreign => Some("not JSON"),
        Body::Json(_) | Body::Empty => None,
    };
    let (body, unreadable) = match body {
        Body::Json(value) => (value, None),
        Body::Empty => (Value::Null, None),
        Body::Broken(why) => (Value::Null, Some(why)),
        Body::Foreign if operation.money.is_some() => (Value::Null, Some("not JSON")),
        Body::Foreign => (Value::Null, None),
    };
    let response = response(status, headers, body, decrypted);
    let scope = names.scope().with("response", &response);

    let rules = Rules::of(operation, question).about(status);
    let kind = match rules.first_match(&scope) {
        Ok(kind) => kind,
        Err(_) if is_redirect(status) => {
            return unknown(&format!("status {status}: redirects are not followed, and no rule that names it fits"));
        }
        // Rules about a body that is not there have no value, which is no mistake of theirs.
        Err(_) if let Some(body) = foreign => {
            return unknown(&format!("status {status}, the body is {body}: no rule fits"));
        }
        Err(why) => return unknown(&format!("status {status}: {why}")),
    };
    // Whoever could answer in the provider's place could say "paid", and "declined" to have it paid again. That it was too
    // busy to look at a request it says without a signature, as whatever stands before it does.
    let busy = matches!(kind, OutcomeKind::NotSent | OutcomeKind::Gone);
    if let Some(Doubt { why, unsigned }) = doubted
        && kind != OutcomeKind::Unknown
        && !(unsigned && busy)
    {
        return unknown(&format!("status {status} reads as {}, but the answer is not believed: {why}", name(kind)));
    }
    if let Some(why) = unreadable
        && !matches!(kind, OutcomeKind::NotSent | OutcomeKind::Gone | OutcomeKind::Unknown)
    {
        return unknown(&format!("status {status} reads as {}, but the body is {why}", name(kind)));
    }
    build(operation, question, &rules, kind, &scope, &response, retry_after_ms)
}

fn is_redirect(status: u16) -> bool {
    (300..400).contains(&status)
}

/// The rules and readings in force: an inquiry that has none of its own reads replies as the operation does.
struct Rules<'a> {
    rules: Vec<&'a OutcomeRule>,
    own: &'a Outcomes,
    fallback: &'a Outcomes,
}

impl<'a> Rules<'a> {
    fn of(operation: &'a Operation, question: Question<'a>) -> Self {
        let general = &operation.outcomes;
        match question {
            Question::Invoke => Self { rules: general.rules.iter().collect(), own: general, fallback: general },
            Question::Inquire(inquiry) => {
                let own = &inquiry.outcomes;
                let mut rules: Vec<_> = own.rules.iter().collect();
                if own.rules.iter().all(|rule| rule.outcome == OutcomeKind::NotFound) {
                    rules.extend(&general.rules);
                }
                Self { rules, own, fallback: general }
            }
        }
    }

    /// A redirect is an answer only for a rule that names its status: one about everything below 400, or all but 200, does
    /// not mean it.
    fn about(mut self, status: u16) -> Self {
        if is_redirect(status) {
            let named =
                |text: &str| text.split(|c: char| !c.is_ascii_digit()).any(|number| number == status.to_string());
            self.rules.retain(|rule| named(rule.when.source()));
        }
        self
    }

    /// The first rule that holds. One that cannot be evaluated does not hold, but is told of when no other does.
    fn first_match(&self, scope: &Scope<'_>) -> Result<OutcomeKind, String> {
        let mut broken = None;
        for rule in &self.rules {
            match rule.when.eval_bool(scope) {
                Ok(true) => return Ok(rule.outcome),
                Ok(false) => {}
                Err(error) => broken = broken.or(Some((rule.outcome, error))),
            }
        }
        Err(broken.map_or_else(
            || "no rule fits".to_owned(),
            |(kind, error)| format!("no rule fits, and `{}` could not be evaluated: {error}", name(kind)),
        ))
    }

    fn expr(&self, pick: impl Fn(&'a Outcomes) -> Option<&'a Expr>) -> Option<&'a Expr> {
        pick(self.own).or_else(|| pick(self.fallback))
    }

    fn template(&self) -> Option<&'a Template> {
        self.own.result.as_ref().or(self.fallback.result.as_ref())
    }

    /// What is kept of the reply. Too much of it is dropped and said so: the outcome is known all the same.
    fn result(&self, scope: &Scope<'_>, response: &Value) -> Result<Value, String> {
        let result = match self.template() {
            Some(template) => template.render(scope).map_err(|error| error.to_string())?,
            None => response["body"].clone(),
        };
        let size = serde_json::to_vec(&result).map_or(usize::MAX, |text| text.len());
        if size > RESULT_MAX { Ok(serde_json::json!({ "truncated": true, "bytes": size })) } else { Ok(result) }
    }
}

fn build(
    operation: &Operation,
    question: Question<'_>,
    rules: &Rules<'_>,
    kind: OutcomeKind,
    scope: &Scope<'_>,
    response: &Value,
    retry_after_ms: Option<u64>,
) -> Outcome {
    let unknown = |text: String| Outcome::Unknown { reason: reason(&text), retry_after_ms };
    let status = &response["status"];
    match (kind, question) {
        (OutcomeKind::Ok, _) => match (integrity(operation, question, scope), rules.result(scope, response)) {
            (Err(why), _) => unknown(why),
            // A success without what it promises cannot be worked with, and an inquiry may tell more.
            (_, Err(why)) => unknown(format!("status {status} reads as ok, but its result has no value: {why}")),
            (Ok(()), Ok(result)) => Outcome::Ok { result },
        },
        (OutcomeKind::ActionRequired, _) => match rules.result(scope, response) {
            Ok(result) => Outcome::ActionRequired { result },
            Err(why) => unknown(format!("status {status} reads as action_required, but: {why}")),
        },
        (OutcomeKind::Declined, _) => Outcome::Declined {
            code: code(rules.expr(|outcomes| outcomes.code.as_ref()), scope),
            soft: rules
                .expr(|outcomes| outcomes.soft.as_ref())
                .is_some_and(|soft| soft.eval_bool(scope).unwrap_or(false)),
            result: rules.result(scope, response).unwrap_or(Value::Null),
        },
        (OutcomeKind::Pending, _) => Outcome::Pending {
            reference: rules
                .expr(|outcomes| outcomes.reference.as_ref())
                .and_then(|reference| text(&reference.eval(scope).ok()?))
                .map(|reference| reference.chars().take(REFERENCE_MAX).collect()),
            result: rules.result(scope, response).unwrap_or(Value::Null),
        },
        (OutcomeKind::NotSent, Question::Invoke) => {
            Outcome::NotSent { reason: reason(&format!("the provider refused it: status {status}")), retry_after_ms }
        }
        (OutcomeKind::Gone, Question::Invoke) => Outcome::NotSent { reason: GONE.to_owned(), retry_after_ms },
        (OutcomeKind::Gone, Question::Inquire(_)) => unknown(format!("the inquiry was refused: status {status}")),
        // The inquiry was not carried out, which says nothing about the call.
        (OutcomeKind::NotSent, Question::Inquire(_)) => unknown(format!("the inquiry was refused: status {status}")),
        (OutcomeKind::NotFound, Question::Inquire(_)) => Outcome::NotFound,
        (OutcomeKind::NotFound, Question::Invoke) => unknown(format!("status {status}: not_found outside an inquiry")),
        (OutcomeKind::Unknown, _) => unknown(format!("status {status}: unknown by rule")),
    }
}

/// An answer for another order, another amount or another currency is never a success.
fn integrity(operation: &Operation, question: Question<'_>, scope: &Scope<'_>) -> Result<(), String> {
    let own = match question {
        Question::Invoke => None,
        Question::Inquire(inquiry) => inquiry.integrity.as_ref(),
    };
    for check in own.unwrap_or(&operation.integrity) {
        let expected =
            check.expected.eval(scope).map_err(|_| format!("{INTEGRITY}{} was not asked for", check.field))?;
        let actual = check.actual.eval(scope).map_err(|_| format!("{INTEGRITY}{} is not answered", check.field))?;
        if !same(&expected, &actual) {
            return Err(format!("{INTEGRITY}{} differs", check.field));
        }
    }
    Ok(())
}

/// 12 and 12.0 are one number, however they are written.
fn same(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => one.as_f64() == other.as_f64(),
        _ => expected == actual,
    }
}

fn code(expr: Option<&Expr>, scope: &Scope<'_>) -> String {
    let code = expr.and_then(|code| text(&code.eval(scope).ok()?)).unwrap_or_default();
    let code: String = code.chars().filter(|c| !c.is_control()).take(CODE_MAX).collect();
    if code.is_empty() { "declined".to_owned() } else { mask_cards(&code) }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

pub(super) const fn name(kind: OutcomeKind) -> &'static str {
    match kind {
        OutcomeKind::Ok => "ok",
        OutcomeKind::ActionRequired => "action_required",
        OutcomeKind::Declined => "declined",
        OutcomeKind::Pending => "pending",
        OutcomeKind::NotSent => "not_sent",
        OutcomeKind::Gone => "gone",
        OutcomeKind::NotFound => "not_found",
        OutcomeKind::Unknown => "unknown",
    }
}
