//! What the schema of the input says about a path such as `input.items[0].amount`.

use std::collections::BTreeMap;

use super::fields;
use crate::definition::Workflow;
use crate::definition::expr::{Expr, Type};
use crate::definition::files::resolve;
use crate::types::Value;

/// References and compositions are followed this deep.
const DEPTH_MAX: usize = 32;
/// More schemas than this never stand for one field.
const PLACES_MAX: usize = 256;

/// The schema of a workflow's input, with the files that it refers to.
pub(super) struct Inputs<'a> {
    inline: &'a Value,
    files: BTreeMap<String, Value>,
}

/// What a path leads to.
pub(super) enum Found<'s> {
    /// Every schema that the value must fit.
    Schemas(Vec<&'s Value>),
    /// The schema says nothing of it.
    Unsaid,
    /// The schema refuses it: the name that it does not have, and those that it has.
    Refused { name: String, known: Vec<String> },
}

/// A schema, and the file that it is in; the workflow itself has no name.
#[derive(Clone, Copy)]
struct Place<'s> {
    schema: &'s Value,
    file: &'s str,
}

impl<'a> Inputs<'a> {
    pub(super) fn of(workflow: &'a Workflow) -> Self {
        let files = workflow.sources.schemas.iter();
        let files = files.filter_map(|(name, text)| Some((name.clone(), serde_json::from_str(text).ok()?)));
        Self { inline: workflow.input.source(), files: files.collect() }
    }

    /// There is a schema: one that is broken lets anything in.
    pub(super) fn are_known(&self) -> bool {
        self.inline.is_object()
    }

    /// `path` begins behind `input`.
    pub(super) fn at(&self, path: &[String]) -> Found<'_> {
        let mut places = self.expanded(Place { schema: self.inline, file: "" });
        for name in path {
            let mut next = Vec::new();
            for place in &places {
                if let Some(found) = inside(place.schema, name) {
                    next.extend(self.expanded(Place { schema: found, ..*place }));
                } else if let Some(known) = closed(place.schema) {
                    return Found::Refused { name: name.clone(), known };
                } else if matches!(type_of(place.schema), Type::Text | Type::Int | Type::Bool) {
                    return Found::Refused { name: name.clone(), known: Vec::new() };
                }
            }
            if next.is_empty() {
                return Found::Unsaid;
            }
            next.truncate(PLACES_MAX);
            places = next;
        }
        Found::Schemas(places.into_iter().map(|place| place.schema).collect())
    }

    pub(super) fn type_of(&self, path: &[String]) -> Type {
        match self.at(path) {
            Found::Schemas(schemas) => {
                schemas.into_iter().map(type_of).find(|found| *found != Type::Any).unwrap_or(Type::Any)
            }
            Found::Unsaid | Found::Refused { .. } => Type::Any,
        }
    }

    /// The type of any path of a workflow.
    pub(super) fn type_of_path(&self, path: &[String]) -> Type {
        match path.split_first() {
            Some((root, rest)) if root == "input" && !rest.is_empty() => self.type_of(rest),
            _ => fields::type_of(path),
        }
    }

    /// The type of an expression's value, as far as it is known.
    pub(super) fn value_of(&self, expr: &Expr) -> Type {
        expr.type_of(&|path| self.type_of_path(path)).unwrap_or(Type::Any)
    }

    /// The schema itself, and all that it refers to or is composed of.
    fn expanded<'s>(&'s self, place: Place<'s>) -> Vec<Place<'s>> {
        let mut found = Vec::new();
        let mut open = vec![(place, 0)];
        while let Some((place, depth)) = open.pop() {
            if depth > DEPTH_MAX || found.len() >= PLACES_MAX {
                continue;
            }
            found.push(place);
            let reference = place.schema.get("$ref").and_then(Value::as_str);
            open.extend(
                reference.and_then(|reference| self.referred(reference, place)).map(|place| (place, depth + 1)),
            );
            let parts = place.schema.get("allOf").and_then(Value::as_array).into_iter().flatten();
            open.extend(parts.map(|schema| (Place { schema, ..place }, depth + 1)));
        }
        found
    }

    fn referred<'s>(&'s self, reference: &str, from: Place<'s>) -> Option<Place<'s>> {
        let (name, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        let (file, root) = if name.is_empty() {
            (from.file, if from.file.is_empty() { self.inline } else { self.files.get(from.file)? })
        } else {
            self.files.get_key_value(&resolve(name, from.file)?).map(|(file, root)| (file.as_str(), root))?
        };
        Some(Place { schema: root.pointer(pointer)?, file })
    }
}

/// The schema of a field or an element.
fn inside<'s>(schema: &'s Value, name: &str) -> Option<&'s Value> {
    let element = || name.parse::<usize>().ok().and(schema.get("items"));
    schema.get("properties").and_then(|properties| properties.get(name)).or_else(element)
}

/// The fields of an object that takes no others.
fn closed(schema: &Value) -> Option<Vec<String>> {
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    let properties = schema.get("properties").and_then(Value::as_object)?;
    (closed && schema.get("patternProperties").is_none()).then(|| properties.keys().cloned().collect())
}

/// A value that fits is a whole number.
pub(super) fn is_whole(schema: &Value) -> bool {
    type_of(schema) == Type::Int || words(schema).is_some_and(|words| words.iter().all(|word| word.is_i64()))
}

/// A number that fits is not negative.
pub(super) fn is_not_negative(schema: &Value) -> bool {
    let at_least = |key: &str, least: f64| schema.get(key).and_then(Value::as_f64).is_some_and(|bound| bound >= least);
    let listed = words(schema).is_some_and(|words| words.iter().all(|word| word.as_i64().is_some_and(|n| n >= 0)));
    at_least("minimum", 0.0) || at_least("exclusiveMinimum", -1.0) || listed
}

/// The only values that fit, where a schema lists them.
fn words(schema: &Value) -> Option<Vec<&Value>> {
    let listed = schema.get("enum").and_then(Value::as_array).map(|words| words.iter().collect());
    listed.or_else(|| schema.get("const").map(|only| vec![only]))
}

fn type_of(schema: &Value) -> Type {
    let one_of_texts = || words(schema).is_some_and(|words| words.iter().all(|word| word.is_string()));
    match schema.get("type").and_then(Value::as_str) {
        Some("integer") => Type::Int,
        Some("string") => Type::Text,
        Some("boolean") => Type::Bool,
        Some("array") => Type::List,
        Some("object") => Type::Object,
        Some("null") => Type::Null,
        None if one_of_texts() => Type::Text,
        // A number may be whole or not.
        _ => Type::Any,
    }
}
