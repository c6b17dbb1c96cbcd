//! What expressions read can be there.

use std::collections::{BTreeMap, BTreeSet};

use super::{Check, transitions};
use crate::definition::document::Node;
use crate::definition::read::Use;
use crate::definition::{Late, StateKind, Transition, rules, suggest};
use crate::types::Value;

const ORDER: &[&str] = &["id", "workflow", "version", "state", "created_at", "amount", "currency"];
const DECLINE: &[&str] = &["code", "soft"];
const CALL: &[&str] = &["key"];
const DEPTH_MAX: usize = 32;

impl Check<'_> {
    pub(super) fn names(&self, uses: &[Use]) {
        let assigned = self.assigned();
        let files = self.schemas();
        for used in uses {
            let Some((root, rest)) = used.path.split_first() else { continue };
            let Some(first) = rest.first() else { continue };
            let known: Vec<String> = match root.as_str() {
                "data" => assigned.iter().map(|&name| name.to_owned()).collect(),
                "order" => owned(ORDER),
                "decline" => owned(DECLINE),
                "call" => owned(CALL),
                "input" => {
                    if let Some((name, known)) = unknown_property(self.workflow.input.source(), &files, rest) {
                        self.unknown(used, "input", &name, &known);
                    }
                    continue;
                }
                "result" => match self.branches_at(used) {
                    Some(branches) => branches,
                    None => continue,
                },
                _ => continue,
            };
            if !known.contains(first) {
                self.unknown(used, root, first, &known);
            }
        }
    }

    fn unknown(&self, used: &Use, root: &str, name: &str, known: &[String]) {
        let known = || known.iter().map(String::as_str);
        let message = match root {
            "data" => format!("no transition assigns `data.{name}`"),
            "result" => format!("the state has no branch `{name}`"),
            _ => format!("`{root}` has no `{name}`"),
        };
        let near = suggest::nearest(name, known());
        let help = near.map_or_else(
            || {
                if known().next().is_some() {
                    Some(format!("it has {}", suggest::one_of(known()).replace(" or ", " and ")))
                } else {
                    None
                }
            },
            |near| Some(format!("did you mean `{near}`?")),
        );
        let text = self.ctx.source.text.get(used.span.clone()).unwrap_or_default();
        let fix = near.filter(|_| text.matches(name).count() == 1).map(|near| text.replace(name, near));
        self.ctx.add(self.ctx.problem(rules::UNKNOWN_VARIABLE, &used.span, message).with_help(help).with_fix(fix));
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

    fn schemas(&self) -> BTreeMap<String, Value> {
        let files = self.workflow.sources.schemas.iter();
        files.filter_map(|(name, text)| Some((name.clone(), serde_json::from_str(text).ok()?))).collect()
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// The first name of a path that a closed schema does not have, and those that it has.
fn unknown_property(schema: &Value, files: &BTreeMap<String, Value>, path: &[String]) -> Option<(String, Vec<String>)> {
    let mut schema = schema;
    let mut path = path.iter();
    let mut name = path.next()?;
    for _ in 0..DEPTH_MAX {
        let object = schema.as_object()?;
        if let Some(reference) = object.get("$ref") {
            schema = files.get(reference.as_str()?)?;
            continue;
        }
        if let (Ok(_), Some(items)) = (name.parse::<usize>(), object.get("items")) {
            schema = items;
            name = path.next()?;
            continue;
        }
        let properties = object.get("properties")?.as_object()?;
        if let Some(found) = properties.get(name) {
            schema = found;
            name = path.next()?;
            continue;
        }
        let open = ["allOf", "anyOf", "oneOf", "if", "patternProperties", "dependentSchemas"];
        let closed = object.get("additionalProperties") == Some(&Value::Bool(false));
        let closed = closed && !open.iter().any(|key| object.contains_key(*key));
        return closed.then(|| (name.clone(), properties.keys().cloned().collect()));
    }
    None
}
