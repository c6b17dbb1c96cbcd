//! A call gives what the operation reads, and nothing that it does not.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Check, call_span};
use crate::definition::document::{Entry, Node};
use crate::definition::expr::{Expr, Template};
use crate::definition::read::UNKNOWN;
use crate::definition::{CallRef, Operation, Outcomes, Request, builtin, rules, suggest};
use crate::types::Value;

/// What an operation reads of `with`.
#[derive(Default)]
struct Reads {
    required: BTreeSet<String>,
    all: BTreeSet<String>,
    /// It passes `with` on as a whole.
    whole: bool,
}

/// A call, and where it is written.
struct Call<'a> {
    call: &'a CallRef,
    operation: &'a Operation,
    with: &'a Template,
    node: Option<&'a Node>,
    otherwise: Range<usize>,
}

impl Check<'_> {
    pub(super) fn arguments(&self) {
        for state in &self.workflow.states {
            let key = self.state_key(state);
            for invoke in state.invokes() {
                let node = self.invoke_node(state, &invoke.branch);
                let (call, operation, with) = (&invoke.call, &*invoke.operation, &invoke.with);
                self.call(&Call { call, operation, with, node, otherwise: key.clone() });
                if let Some(undo) = &invoke.compensate {
                    let node = node.and_then(|node| node.get("compensate"));
                    let (call, operation, with) = (&undo.call, &*undo.operation, &undo.with);
                    self.call(&Call { call, operation, with, node, otherwise: key.clone() });
                }
            }
            let nodes = self.state_node(state).and_then(|node| node.get("entry")).map(Node::items).unwrap_or_default();
            for (effect, node) in state.entry.iter().zip(nodes) {
                let (call, operation, with) = (&effect.call, &*effect.operation, &effect.with);
                self.call(&Call { call, operation, with, node: Some(node), otherwise: key.clone() });
            }
        }
    }

    fn call(&self, call: &Call<'_>) {
        let Some(given) = names(call.with).filter(|_| call.operation.name.as_str() != UNKNOWN) else { return };
        let reads = reads(call.call, call.operation);
        for name in reads.required.iter().filter(|name| !given.contains(*name)) {
            let at = call_span(call.node, call.otherwise.clone());
            let problem =
                self.ctx.problem(rules::MISSING_ARGUMENT, &at, format!("`{}` needs `with.{name}`", call.call));
            self.ctx.add(problem.with_help(format!("add `{name}` under `with`")));
        }
        // Arguments that are taken over from the call which is undone stand nowhere, and may be unused.
        let Some(with) = call.node.and_then(|node| node.get("with")).filter(|_| !reads.whole) else { return };
        // How much it moves is said also where its request does not say it.
        let booked = |key: &str| call.operation.money.is_some() && matches!(key, "amount" | "currency");
        let unread = |entry: &&Entry| !reads.all.contains(&entry.key) && !booked(&entry.key);
        for entry in with.entries().iter().filter(unread) {
            let near = suggest::nearest(&entry.key, reads.all.iter().map(String::as_str));
            let message = format!("`{}` never reads `with.{}`", call.call, entry.key);
            let problem = self.ctx.problem(rules::UNUSED_ARGUMENT, &entry.key_span, message);
            let help = near.map(|near| format!("did you mean `{near}`?"));
            self.ctx.add(problem.with_help(help).with_fix(near.map(str::to_owned)));
        }
    }
}

/// The arguments that a call gives, where they can be told.
fn names(with: &Template) -> Option<BTreeSet<String>> {
    match with {
        Template::Object(fields) => Some(fields.iter().map(|(name, _)| name.clone()).collect()),
        Template::Literal(Value::Object(fields)) => Some(fields.keys().cloned().collect()),
        _ => None,
    }
}

fn reads(call: &CallRef, operation: &Operation) -> Reads {
    let mut reads = Reads::default();
    if let Some((required, optional)) = builtin::arguments(call.connector.as_str(), call.operation.as_str()) {
        reads.required = required.iter().map(|&name| name.to_owned()).collect();
        reads.all = required.iter().chain(optional).map(|&name| name.to_owned()).collect();
        return reads;
    }
    operation.request.iter().for_each(|request| reads.request(request));
    reads.outcomes(&operation.outcomes);
    for inquiry in operation.inquiries() {
        inquiry.request.iter().for_each(|request| reads.request(request));
        reads.outcomes(&inquiry.outcomes);
    }
    operation.integrity.iter().for_each(|field| {
        reads.expr(&field.expected);
        reads.expr(&field.actual);
    });
    reads
}

impl Reads {
    fn request(&mut self, request: &Request) {
        let pairs = request.query.iter().chain(&request.headers).map(|(_, template)| template);
        for template in std::iter::once(&request.path).chain(pairs).chain(&request.body) {
            template.expressions().into_iter().for_each(|expr| self.expr(expr));
        }
    }

    fn outcomes(&mut self, outcomes: &Outcomes) {
        let rules = outcomes.rules.iter().map(|rule| &rule.when);
        let single = [&outcomes.code, &outcomes.soft, &outcomes.reference].into_iter().flatten();
        let result = outcomes.result.iter().flat_map(Template::expressions);
        rules.chain(single).chain(result).for_each(|expr| self.expr(expr));
    }

    fn expr(&mut self, expr: &Expr) {
        self.required.extend(argument_names(&expr.required_paths()));
        let paths = expr.paths();
        self.whole |= paths.iter().any(|path| path.len() == 1 && path.first().is_some_and(|root| root == "with"));
        self.all.extend(argument_names(&paths));
    }
}

fn argument_names(paths: &[Vec<String>]) -> Vec<String> {
    let with = paths.iter().filter(|path| path.first().is_some_and(|root| root == "with"));
    with.filter_map(|path| path.get(1).cloned()).collect()
}
