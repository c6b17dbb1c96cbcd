//! The JSON Schema of the input. What JSON Schema itself would pass over, such as a keyword that it does not know, is a
//! mistake here: the check that somebody meant would never be made.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;

use super::{Ctx, Fields, Judged};
use crate::definition::document::{self, Entry, Kind, Node};
use crate::definition::schema::{InputSchema, NotASchema};
use crate::definition::source::{Problems, Source};
use crate::definition::{Sources, rules, suggest};
use crate::types::Value;

/// Keywords whose value is a schema.
const SCHEMA: &[&str] = &[
    "additionalProperties",
    "contains",
    "contentSchema",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];
/// Keywords whose value is a list of schemas.
const SCHEMAS: &[&str] = &["allOf", "anyOf", "oneOf", "prefixItems"];
/// Keywords whose value is a map of schemas.
const NAMED: &[&str] = &["$defs", "definitions", "dependentSchemas", "patternProperties", "properties"];
/// All other keywords.
const PLAIN: &[&str] = &[
    "$anchor",
    "$comment",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "$vocabulary",
    "const",
    "contentEncoding",
    "contentMediaType",
    "default",
    "dependentRequired",
    "deprecated",
    "description",
    "enum",
    "examples",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "readOnly",
    "required",
    "title",
    "type",
    "uniqueItems",
    "writeOnly",
];
const TYPES: &[&str] = &["array", "boolean", "integer", "null", "number", "object", "string"];
const FORMATS: &[&str] = &[
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

impl Ctx<'_> {
    pub(super) fn input(&self, fields: &Fields<'_>, sources: &Sources) -> InputSchema {
        let Some(entry) = fields.entry("input") else {
            let problem = self.problem(rules::BAD_SCHEMA, &fields.head, "a workflow says what its input looks like");
            self.add(
                problem
                    .with_help("add `input:` with a JSON Schema, or `input: { $ref: schemas/order.json }`".to_owned()),
            );
            return InputSchema::anything();
        };
        if !matches!(entry.node.kind, Kind::Map(_)) {
            self.wrong_type(&entry.node, "`input` is a JSON Schema");
            return InputSchema::anything();
        }
        let read: BTreeMap<&str, Option<(Value, Node)>> = sources
            .schemas
            .iter()
            .map(|(name, text)| (name.as_str(), self.schema_file(&sources.schema_path(name), text)))
            .collect();
        let mut sound = self.words_are_sound(self.source, &entry.node);
        for (name, file) in &read {
            let (Some((_, node)), Some(text)) = (file, sources.schemas.get(*name)) else {
                sound = false;
                continue;
            };
            sound &= self.words_are_sound(&Source::new(sources.schema_path(name), text), node);
        }
        let files =
            read.iter().filter_map(|(name, file)| Some(((*name).to_owned(), file.as_ref()?.0.clone()))).collect();
        InputSchema::compile(entry.node.to_json(), &files).unwrap_or_else(|error| {
            // A keyword that is misspelt has been reported, with what is meant.
            if sound {
                self.no_schema(entry, &error, sources, &read);
            }
            InputSchema::anything()
        })
    }

    fn words_are_sound(&self, source: &Source<'_>, node: &Node) -> bool {
        Words { source, problems: self.problems, judged: self.judged, wrong: Cell::new(false) }.are_sound(node)
    }

    /// A file as a value, and as a tree with places. What is no JSON is a problem in that file.
    fn schema_file(&self, path: &str, text: &str) -> Option<(Value, Node)> {
        let source = Source::new(path, text);
        match serde_json::from_str::<Value>(text) {
            Ok(value) => {
                // JSON is YAML, but for a few texts that nobody writes; those have no places.
                let places = document::parse(&source, &Problems::default());
                Some((value, places.unwrap_or(Node { span: 0..0, kind: Kind::Scalar(Value::Null) })))
            }
            Err(error) => {
                let line = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
                let at = line + error.column().saturating_sub(1);
                let what = error.to_string();
                let what = what.split(" at line ").next().unwrap_or_default();
                self.add(source.problem(rules::BAD_SCHEMA, &(at..at + 1), format!("this is not JSON: {what}")));
                None
            }
        }
    }

    /// Reports where a schema is none: in the workflow, or in the file that it refers to.
    fn no_schema(
        &self,
        entry: &Entry,
        error: &NotASchema,
        sources: &Sources,
        files: &BTreeMap<&str, Option<(Value, Node)>>,
    ) {
        let file = error.file.as_deref().and_then(|file| Some((file, sources.schemas.get(file)?, files.get(file)?)));
        let problem = match file {
            Some((name, text, file)) => {
                let span = file.as_ref().and_then(|(_, node)| place(node, &error.path)).unwrap_or(0..0);
                Source::new(sources.schema_path(name), text).problem(rules::BAD_SCHEMA, &span, error.message.as_str())
            }
            None => {
                let span = place(&entry.node, &error.path).filter(|_| !error.path.is_empty());
                self.problem(rules::BAD_SCHEMA, &span.unwrap_or_else(|| entry.key_span.clone()), error.message.as_str())
            }
        };
        self.add(problem);
    }
}

/// The deepest place of a path that is there.
fn place(node: &Node, path: &[String]) -> Option<Range<usize>> {
    (0..=path.len()).rev().find_map(|length| node.at(path.get(..length)?)).map(|node| node.span.clone())
}

/// Looks at the words of a schema.
struct Words<'a> {
    source: &'a Source<'a>,
    problems: &'a Problems,
    judged: Judged,
    /// Something was wrong.
    wrong: Cell<bool>,
}

impl Words<'_> {
    /// Reports what is wrong. True when nothing is.
    fn are_sound(&self, node: &Node) -> bool {
        if self.judged == Judged::Now {
            self.schema(node);
        }
        !self.wrong.get()
    }

    fn schema(&self, node: &Node) {
        node.entries().iter().for_each(|entry| self.keyword(node, entry));
    }

    fn keyword(&self, schema: &Node, entry: &Entry) {
        let (key, node) = (entry.key.as_str(), &entry.node);
        match key {
            _ if SCHEMA.contains(&key) => self.schema(node),
            _ if SCHEMAS.contains(&key) => node.items().iter().for_each(|part| self.schema(part)),
            _ if NAMED.contains(&key) => node.entries().iter().for_each(|part| self.schema(&part.node)),
            "type" => std::iter::once(node).chain(node.items()).for_each(|name| self.word(name, "type", TYPES)),
            "format" => self.word(node, "format", FORMATS),
            "minimum" | "minLength" | "minItems" | "minProperties" => self.bounds(schema, entry),
            "required" => node.items().iter().for_each(|name| self.required(schema, name)),
            _ if PLAIN.contains(&key) || key.starts_with("x-") => {}
            _ => {
                let known = || [SCHEMA, SCHEMAS, NAMED, PLAIN].into_iter().flatten().copied();
                let message = format!("JSON Schema has no keyword `{key}`: it would be passed over");
                self.report(&entry.key_span, message, suggest::nearest(key, known()));
            }
        }
    }

    /// A least that is more than the most.
    fn bounds(&self, schema: &Node, least: &Entry) {
        let most = least.key.replacen("min", "max", 1);
        let number = |node: Option<&Node>| node.and_then(|node| node.to_json().as_f64());
        if let (Some(low), Some(high)) = (number(Some(&least.node)), number(schema.get(&most)))
            && low > high
        {
            self.report(&least.node.span, format!("this is more than `{most}`: nothing would ever fit"), None);
        }
    }

    fn word(&self, node: &Node, what: &str, known: &[&str]) {
        if let Some(text) = node.text().filter(|text| !known.contains(text)) {
            let message = format!("JSON Schema has no {what} `{text}`");
            self.report(&node.span, message, suggest::nearest(text, known.iter().copied()));
        }
    }

    /// A field that must be there, and that a closed object does not have.
    fn required(&self, schema: &Node, name: &Node) {
        let (Some(text), Some(properties)) = (name.text(), schema.get("properties")) else { return };
        let closed = schema.get("additionalProperties").is_some_and(|node| node.to_json() == Value::Bool(false));
        if closed && schema.get("patternProperties").is_none() && properties.get(text).is_none() {
            let message = format!("`{text}` is required, and no field of that name is allowed: nothing would ever fit");
            let near = suggest::nearest(text, properties.entries().iter().map(|entry| entry.key.as_str()));
            self.report(&name.span, message, near);
        }
    }

    fn report(&self, at: &Range<usize>, message: String, near: Option<&str>) {
        self.wrong.set(true);
        let problem = self.source.problem(rules::BAD_SCHEMA, at, message);
        // A text in quotation marks is put in place of one.
        let quoted = self.source.text.get(at.clone()).is_some_and(|text| text.starts_with('"'));
        let fix = near.map(|near| if quoted { format!("\"{near}\"") } else { near.to_owned() });
        self.problems.add(problem.with_help(near.map(|near| format!("did you mean `{near}`?"))).with_fix(fix));
    }
}
