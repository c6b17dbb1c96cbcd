//! Calls of operations: the invokes of a state, what undoes them, and the effects of the outbox.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::{Ctx, Fields, retry};
use crate::definition::document::{Kind, Node};
use crate::definition::expr::{Expr, Template};
use crate::definition::{
    CallRef, Compensate, Connector, Effect, Idempotency, Invoke, Operation, Outcomes, Replay, RetryPolicy, rules,
    suggest,
};
use crate::types::{ConnectorName, OperationName, Value};

const WITH_ROOTS: &[&str] = &["input", "data", "order"];
const UNDO_ROOTS: &[&str] = &["input", "data", "order", "with", "call", "result"];
/// What a call is left as on purpose, in place of what undoes it.
const NOTHING: &str = "none";
const CALL_KEYS: &[&str] = &["call", "with", "timeout", "retry", "compensate"];
const UNDO_KEYS: &[&str] = &["call", "with", "timeout", "retry"];
pub(super) const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The name of an operation that does not exist. The problem has been reported; nothing more is said about it.
pub(in crate::definition) const UNKNOWN: &str = "?";

/// What calls refer to.
pub(super) struct Catalog<'a> {
    pub(super) connectors: &'a BTreeMap<ConnectorName, Arc<Connector>>,
    /// Connectors whose files have problems of their own.
    pub(super) broken: &'a BTreeSet<ConnectorName>,
    pub(super) retries: BTreeMap<String, RetryPolicy>,
    pub(super) used: RefCell<BTreeSet<String>>,
}

impl Ctx<'_> {
    /// One call, or a map of named branches.
    pub(super) fn invokes(&self, node: &Node, head: &Range<usize>, catalog: &Catalog<'_>) -> Vec<Invoke> {
        let parallel = matches!(node.kind, Kind::Map(_))
            && node.get("call").is_none()
            && !node.entries().is_empty()
            && node.entries().iter().all(|entry| matches!(entry.node.kind, Kind::Map(_)) && !is_call_key(&entry.key));
        if !parallel {
            return self.invoke(node, head, "", catalog).into_iter().collect();
        }
        let branches = node.entries().iter();
        let branches = branches.filter(|entry| self.name(&entry.key, &entry.key_span, "the name of a branch", ""));
        branches.filter_map(|entry| self.invoke(&entry.node, &entry.key_span, &entry.key, catalog)).collect()
    }

    fn invoke(&self, node: &Node, head: &Range<usize>, branch: &str, catalog: &Catalog<'_>) -> Option<Invoke> {
        let what = "a call";
        if node.text().is_some() {
            let (call, operation) = self.call_ref(node, catalog)?;
            return Some(Invoke {
                branch: branch.to_owned(),
                call,
                operation,
                with: empty(),
                timeout_attempt: ATTEMPT_TIMEOUT,
                timeout_total: None,
                retry: retry::of_calls(),
                compensate: None,
                left: false,
            });
        }
        let fields = self.fields(node, head, what, CALL_KEYS)?;
        let (call, operation) = self.call_ref(fields.required(self, what, "call")?, catalog)?;
        let with = fields.get("with").map_or_else(empty, |node| self.arguments(node, WITH_ROOTS));
        let (timeout_attempt, timeout_total) = self.timeout(&fields);
        let retry = self.retry(&fields, catalog).unwrap_or_else(retry::of_calls);
        let said = fields.entry("compensate");
        let left = said.is_some_and(|entry| entry.node.text() == Some(NOTHING));
        let compensate =
            said.filter(|_| !left).and_then(|entry| self.compensate(&entry.node, &entry.key_span, &with, catalog));
        Some(Invoke {
            branch: branch.to_owned(),
            call,
            operation,
            with,
            timeout_attempt,
            timeout_total,
            retry,
            compensate,
            left,
        })
    }

    fn compensate(&self, node: &Node, head: &Range<usize>, of: &Template, catalog: &Catalog<'_>) -> Option<Compensate> {
        if node.text().is_some() {
            let (call, operation) = self.call_ref(node, catalog)?;
            return Some(Compensate {
                call,
                with: undo_arguments(of),
                retry: within_window(retry::of_undoing(), &operation),
                operation,
                timeout_attempt: ATTEMPT_TIMEOUT,
                needs_result: false,
            });
        }
        let fields = self.fields(node, head, "`compensate`", UNDO_KEYS)?;
        let (call, operation) = self.call_ref(fields.required(self, "`compensate`", "call")?, catalog)?;
        let with = fields.get("with").map_or_else(|| undo_arguments(of), |node| self.arguments(node, UNDO_ROOTS));
        let reads_result =
            |expr: &&Expr| expr.required_paths().iter().any(|path| path.first().is_some_and(|root| root == "result"));
        let needs_result = with.expressions().iter().any(reads_result);
        let retry = self.retry(&fields, catalog);
        let retry = retry.unwrap_or_else(|| within_window(retry::of_undoing(), &operation));
        let (timeout_attempt, _) = self.timeout(&fields);
        Some(Compensate { call, operation, with, retry, timeout_attempt, needs_result })
    }

    /// `entry: [ notify.merchant, { call: notify.customer, with: … } ]`
    pub(super) fn effects(&self, node: &Node, catalog: &Catalog<'_>) -> Vec<Effect> {
        match &node.kind {
            Kind::List(items) => items.iter().filter_map(|item| self.effect(item, catalog)).collect(),
            Kind::Scalar(_) | Kind::Map(_) => {
                self.wrong_type(node, "`entry` is a list of calls");
                Vec::new()
            }
        }
    }

    fn effect(&self, node: &Node, catalog: &Catalog<'_>) -> Option<Effect> {
        if node.text().is_some() {
            let (call, operation) = self.call_ref(node, catalog)?;
            let retry = within_window(retry::of_effects(), &operation);
            return Some(Effect { call, operation, with: empty(), retry, timeout_attempt: ATTEMPT_TIMEOUT });
        }
        let fields = self.fields(node, &node.span, "an effect", UNDO_KEYS)?;
        let (call, operation) = self.call_ref(fields.required(self, "an effect", "call")?, catalog)?;
        let with = fields.get("with").map_or_else(empty, |node| self.arguments(node, WITH_ROOTS));
        let retry = self.retry(&fields, catalog);
        let retry = retry.unwrap_or_else(|| within_window(retry::of_effects(), &operation));
        let (timeout_attempt, _) = self.timeout(&fields);
        Some(Effect { call, operation, with, retry, timeout_attempt })
    }

    fn arguments(&self, node: &Node, roots: &[&str]) -> Template {
        match &node.kind {
            Kind::Map(_) | Kind::Scalar(Value::String(_)) => self.template(node, roots),
            Kind::List(_) | Kind::Scalar(_) => {
                self.wrong_type(node, "`with` is a map of arguments");
                empty()
            }
        }
    }

    fn timeout(&self, fields: &Fields<'_>) -> (Duration, Option<Duration>) {
        let Some(entry) = fields.entry("timeout") else { return (ATTEMPT_TIMEOUT, None) };
        if !matches!(entry.node.kind, Kind::Map(_)) {
            return (self.duration(&entry.node, "`timeout`").unwrap_or(ATTEMPT_TIMEOUT), None);
        }
        let Some(fields) = self.fields(&entry.node, &entry.key_span, "`timeout`", &["attempt", "total"]) else {
            return (ATTEMPT_TIMEOUT, None);
        };
        let read = |key: &str| fields.get(key).and_then(|node| self.duration(node, &format!("`{key}`")));
        let total = read("total");
        let unsaid = total.map_or(ATTEMPT_TIMEOUT, |total| total.min(ATTEMPT_TIMEOUT));
        (read("attempt").unwrap_or(unsaid), total)
    }

    fn retry(&self, fields: &Fields<'_>, catalog: &Catalog<'_>) -> Option<RetryPolicy> {
        let entry = fields.entry("retry")?;
        let Some(name) = entry.node.text() else { return self.retry_policy(&entry.node, &entry.key_span) };
        catalog.used.borrow_mut().insert(name.to_owned());
        let found = catalog.retries.get(name).cloned();
        if found.is_none() {
            let near = suggest::nearest(name, catalog.retries.keys().map(String::as_str)).map(str::to_owned);
            // It is meant, and told of once.
            catalog.used.borrow_mut().extend(near.clone());
            let help = near.as_ref().map_or_else(
                || "policies are named under `retries`, or written here as a map".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            let problem =
                self.problem(rules::UNKNOWN_RETRY, &entry.node.span, format!("there is no retry policy `{name}`"));
            self.add(problem.with_help(help).with_fix(near));
        }
        found
    }

    fn call_ref(&self, node: &Node, catalog: &Catalog<'_>) -> Option<(CallRef, Arc<Operation>)> {
        let text = self.text(node, "a call")?;
        let Some((connector, operation)) = text.split_once('.').filter(|(_, operation)| !operation.contains('.'))
        else {
            let message = format!("a call is `connector.operation`; this is `{text}`");
            self.report(rules::UNKNOWN_CALL, &node.span, message);
            return None;
        };
        let call = CallRef { connector: ConnectorName::from(connector), operation: OperationName::from(operation) };
        let Some(known) = catalog.connectors.get(&call.connector) else {
            if !catalog.broken.contains(&call.connector) {
                let near = suggest::did_you_mean(connector, catalog.connectors.keys().map(ConnectorName::as_str));
                let help = near.or_else(|| Some(format!("its file would be connectors/{connector}.yaml")));
                let problem =
                    self.problem(rules::UNKNOWN_CALL, &node.span, format!("there is no connector `{connector}`"));
                self.add(problem.with_help(help));
            }
            return Some((call, unknown_operation()));
        };
        if let Some(found) = known.operations.get(operation) {
            return Some((call, Arc::clone(found)));
        }
        let near = suggest::nearest(operation, known.operations.keys().map(OperationName::as_str));
        let help = near.map_or_else(
            || {
                format!(
                    "it has {}",
                    suggest::one_of(known.operations.keys().map(OperationName::as_str)).replace(" or ", " and ")
                )
            },
            |near| format!("did you mean `{connector}.{near}`?"),
        );
        let problem =
            self.problem(rules::UNKNOWN_CALL, &node.span, format!("`{connector}` has no operation `{operation}`"));
        self.add(problem.with_help(help).with_fix(near.map(|near| format!("{connector}.{near}"))));
        Some((call, unknown_operation()))
    }
}

/// Nobody has asked for more retries than the provider remembers the key for.
fn within_window(mut retry: RetryPolicy, operation: &Operation) -> RetryPolicy {
    retry.within = operation.idempotency.window;
    retry
}

fn is_call_key(key: &str) -> bool {
    CALL_KEYS.iter().any(|known| suggest::nearest(key, [*known]).is_some() || *known == key)
}

fn empty() -> Template {
    Template::Literal(Value::Object(serde_json::Map::new()))
}

/// What undoes a call knows what the call knew, and `undoes`: the key of the call.
fn undo_arguments(of: &Template) -> Template {
    let names: Vec<&str> = match of {
        Template::Object(fields) => fields.iter().map(|(name, _)| name.as_str()).collect(),
        Template::Literal(Value::Object(fields)) => fields.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    let quoted = |name: &str| Value::from(name).to_string();
    let fields = names.into_iter().filter(|name| *name != "undoes");
    let mut fields: Vec<(String, String)> =
        fields.map(|name| (name.to_owned(), format!("with[{}]", quoted(name)))).collect();
    fields.push(("undoes".to_owned(), "call.key".to_owned()));
    let compiled = fields
        .into_iter()
        .filter_map(|(name, text)| Expr::compile(&text, UNDO_ROOTS).ok().map(|expr| (name, Template::Expr(expr))));
    Template::Object(compiled.collect())
}

pub(in crate::definition) fn unknown_operation() -> Arc<Operation> {
    Arc::new(Operation {
        name: OperationName::from(UNKNOWN),
        request: None,
        money: None,
        asks: false,
        integrity: Vec::new(),
        outcomes: Outcomes::default(),
        inquire: None,
        idempotency: Idempotency {
            header: None,
            natural_key: Vec::new(),
            replay: Replay::None,
            window: None,
            not_found_final_after: Duration::ZERO,
        },
        poll: Vec::new(),
        follow_up: None,
        auth: Default::default(),
        sign: None,
        verify: None,
    })
}
