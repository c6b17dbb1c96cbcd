//! What expressions read can be there, and their types can work.

use std::collections::BTreeSet;

use super::fields::{self, Unknown};
use super::inputs::{Found, Inputs};
use super::{Check, transitions};
use crate::definition::document::{Entry, Node};
use crate::definition::expr::Type;
use crate::definition::read::{Ctx, Use};
use crate::definition::{Late, StateKind, Transition, rules};

impl Check<'_> {
    pub(super) fn names(&self, uses: &[Use], inputs: &Inputs<'_>) {
        if inputs.are_known() && inputs.type_of(&[]) != Type::Object {
            let problem =
                self.ctx.problem(rules::BAD_SCHEMA, &self.key(&["input"]), "the input of an order is an object");
            self.ctx.add(problem.with_help("add `type: object` to the schema".to_owned()));
        }
        let assigned = self.assigned();
        for used in uses {
            for path in used.expr.paths() {
                if let Some(unknown) = self.unknown(used, &path, &assigned, inputs) {
                    report(self.ctx, used, unknown);
                }
            }
        }
        self.references(&assigned);
        self.volatile(uses, inputs);
        types(self.ctx, uses, &|path| inputs.type_of_path(path));
    }

    /// A reference that nothing assigns finds no order.
    fn references(&self, assigned: &BTreeSet<&str>) {
        let nodes = self.root.get("references").map(Node::items).unwrap_or_default();
        for (node, name) in nodes.iter().filter_map(|node| Some((node, node.text()?))) {
            if !assigned.contains(name) {
                let unknown =
                    fields::among(format!("no transition assigns `data.{name}`"), name, assigned.iter().copied());
                let problem = self.ctx.problem(rules::UNKNOWN_VARIABLE, &node.span, unknown.message);
                self.ctx.add(problem.with_help(unknown.help));
            }
        }
    }

    /// A volatile field is carried as a whole: its mark is all that there is of it until a request is made.
    fn volatile(&self, uses: &[Use], inputs: &Inputs<'_>) {
        let nodes = self.root.get("volatile").map(Node::items).unwrap_or_default();
        for (node, path) in nodes.iter().zip(&self.workflow.volatile.0) {
            if let Found::Refused { name, known } = inputs.at(path) {
                let unknown =
                    fields::among(format!("`input` has no `{name}`"), &name, known.iter().map(String::as_str));
                let problem = self.ctx.problem(rules::UNKNOWN_VARIABLE, &node.span, unknown.message);
                self.ctx.add(problem.with_help(unknown.help));
            }
        }
        for used in uses {
            let carried = |path: &[String]| used.expr.as_path().is_some_and(|whole| whole == path);
            for path in
                used.expr.required_paths().iter().filter(|path| path.first().is_some_and(|root| root == "input"))
            {
                let inside = self.workflow.volatile.0.iter().find(|field| path[1..].starts_with(field));
                if let Some(field) = inside.filter(|field| field.len() + 1 < path.len() || !carried(path)) {
                    let field = field.join(".");
                    let message = format!("`input.{field}` is volatile, and is only put into a request");
                    let problem = self.ctx.problem(rules::VOLATILE_READ, &used.span, message);
                    let help = format!("give it to a call as a whole: `\"${{input.{field}}}\"`");
                    self.ctx.add(problem.with_help(help));
                }
            }
        }
    }

    fn unknown(&self, used: &Use, path: &[String], assigned: &BTreeSet<&str>, inputs: &Inputs<'_>) -> Option<Unknown> {
        let (root, rest) = path.split_first()?;
        let name = rest.first()?;
        match root.as_str() {
            "data" if !assigned.contains(name.as_str()) => {
                Some(fields::among(format!("no transition assigns `data.{name}`"), name, assigned.iter().copied()))
            }
            "input" => match inputs.at(rest) {
                Found::Refused { name, known } => {
                    Some(fields::among(format!("`input` has no `{name}`"), &name, known.iter().map(String::as_str)))
                }
                Found::Schemas(_) | Found::Unsaid => None,
            },
            "result" => {
                let branches = self.branches_at(used)?;
                let known = branches.iter().map(String::as_str);
                (!branches.contains(name))
                    .then(|| fields::among(format!("the state has no branch `{name}`"), name, known))
            }
            _ => fields::unknown(path),
        }
    }

    fn assigned(&self) -> BTreeSet<&str> {
        let mut all: Vec<&Transition> = self.workflow.on.values().flatten().collect();
        for state in &self.workflow.states {
            all.extend(transitions(state));
            if let StateKind::Final { late, .. } = &state.kind {
                all.extend(late.values().flat_map(Late::transitions));
            }
        }
        all.into_iter().flat_map(|transition| &transition.assign).map(|(name, _)| name.as_str()).collect()
    }

    /// The branches of the state whose outcome a `result` belongs to; none when it makes a single call.
    fn branches_at(&self, used: &Use) -> Option<Vec<String>> {
        let within = |node: &Node| node.span.start <= used.span.start && used.span.end <= node.span.end;
        let state = self.workflow.states.iter().find(|state| {
            let on = self.state_node(state).and_then(|node| node.get("on"));
            on.is_some_and(within)
        })?;
        let branches: Vec<String> = state.invokes().iter().map(|invoke| invoke.branch.clone()).collect();
        (!branches.is_empty() && branches.iter().all(|branch| !branch.is_empty())).then_some(branches)
    }
}

/// The expressions of a connector, which know nothing of any workflow.
pub(super) fn of_connector(ctx: &Ctx<'_>, tables: &[Entry]) {
    let uses = ctx.uses();
    let known = || tables.iter().map(|table| table.key.as_str());
    for used in &uses {
        let named = used.expr.paths().into_iter().filter(|path| path.first().is_some_and(|root| root == "tables"));
        for name in named.filter_map(|path| path.into_iter().nth(1)) {
            if known().all(|table| table != name) {
                report(ctx, used, fields::among(format!("there is no table `{name}`"), &name, known()));
            }
        }
        for unknown in used.expr.paths().iter().filter_map(|path| fields::unknown(path)) {
            report(ctx, used, unknown);
        }
    }
    types(ctx, &uses, &fields::type_of);
}

fn report(ctx: &Ctx<'_>, used: &Use, unknown: Unknown) {
    let text = ctx.source.text.get(used.span.clone()).unwrap_or_default();
    let fix = unknown.rename.filter(|(name, _)| text.matches(name).count() == 1);
    let fix = fix.map(|(name, other)| text.replace(&name, &other));
    ctx.add(ctx.problem(rules::UNKNOWN_VARIABLE, &used.span, unknown.message).with_help(unknown.help).with_fix(fix));
}

/// Expressions that can have no value, or never the one that their place is about.
fn types(ctx: &Ctx<'_>, uses: &[Use], of: &dyn Fn(&[String]) -> Type) {
    for used in uses {
        let message = match used.expr.type_of(of) {
            Err(message) => message,
            Ok(found) if !found.fits(used.wanted) => {
                let wanted = if used.wanted == [Type::Bool] { Type::Bool.name() } else { "a text or a number" };
                format!("`{}` is {}, where {wanted} is expected", used.expr.source(), found.name())
            }
            Ok(_) => continue,
        };
        ctx.report(rules::TYPE_MISMATCH, &used.span, message);
    }
}
