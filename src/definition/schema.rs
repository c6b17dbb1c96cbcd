//! JSON Schema for the input of orders. The only file that names the `boon` crate.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use boon::{CompileError, Compiler, Draft, ErrorKind, InstanceToken, SchemaIndex, Schemas, UrlLoader, ValidationError};

use crate::types::Value;

/// More than this many at once help nobody.
const VIOLATIONS_MAX: usize = 50;
/// Where schemas live while they are compiled: nothing answers there.
const BASE: &str = "paystate://schemas/";
const INLINE: &str = "paystate://schemas/(input)";

/// The compiled schema of a workflow's input.
pub struct InputSchema {
    source: Value,
    compiled: Option<(Schemas, SchemaIndex)>,
}

/// One place where an input does not fit.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SchemaViolation {
    /// A JSON Pointer, such as `/amount`.
    pub pointer: String,
    pub message: String,
}

/// Why something is no schema, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NotASchema {
    pub(super) message: String,
    /// The file that it is in; none for the workflow itself.
    pub(super) file: Option<String>,
    /// From the top of that schema.
    pub(super) path: Vec<String>,
}

impl InputSchema {
    /// Compiles a schema (draft 2020-12) that may refer to `files` and to nothing else.
    pub(super) fn compile(source: Value, files: &BTreeMap<String, Value>) -> Result<Self, NotASchema> {
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.enable_format_assertions();
        compiler.use_loader(Box::new(Nowhere));
        for (name, file) in files {
            compiler.add_resource(&format!("{BASE}{name}"), file.clone()).map_err(|error| explain(&error))?;
        }
        compiler.add_resource(INLINE, source.clone()).map_err(|error| explain(&error))?;
        let mut schemas = Schemas::new();
        let index = compiler.compile(INLINE, &mut schemas).map_err(|error| explain(&error))?;
        Ok(Self { source, compiled: Some((schemas, index)) })
    }

    /// Any input fits.
    pub(super) fn anything() -> Self {
        Self { source: Value::Bool(true), compiled: None }
    }

    /// The schema as it was written, for the API and for editors.
    pub fn source(&self) -> &Value {
        &self.source
    }

    /// Every place where `input` does not fit. The messages never repeat the input's data.
    pub fn validate(&self, input: &Value) -> Result<(), Vec<SchemaViolation>> {
        let Some((schemas, index)) = &self.compiled else { return Ok(()) };
        let Err(error) = schemas.validate(input, *index) else { return Ok(()) };
        let mut violations = Vec::new();
        collect(&error, &mut violations);
        violations.sort_by(|a, b| (&a.pointer, &a.message).cmp(&(&b.pointer, &b.message)));
        violations.dedup();
        Err(violations)
    }
}

impl fmt::Debug for InputSchema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputSchema").field("source", &self.source).finish_non_exhaustive()
    }
}

/// A schema never reaches for the network or for files of its own accord.
struct Nowhere;

impl UrlLoader for Nowhere {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        Err(format!("{url} is not among the schemas of the workflow").into())
    }
}

fn explain(error: &CompileError) -> NotASchema {
    let plain = |message: String| NotASchema {
        message: message.replace(INLINE, "the input").replace(BASE, ""),
        file: None,
        path: Vec::new(),
    };
    match error {
        CompileError::LoadUrlError { url, .. } | CompileError::UnsupportedUrlScheme { url } => {
            plain(format!("there is no schema file `{}`", url.strip_prefix(BASE).unwrap_or(url)))
        }
        CompileError::ValidationError { url, src } => {
            let mut found = Vec::new();
            collect(src, &mut found);
            let Some(first) = found.first() else { return plain("this is not a JSON Schema".to_owned()) };
            let last = first.pointer.rsplit('/').next().unwrap_or_default();
            let message = format!("this is not a JSON Schema: `{last}` {}", first.message);
            NotASchema { message, file: file_of(url), path: steps(&first.pointer) }
        }
        CompileError::InvalidRegex { url, regex, .. } => {
            let message = format!("this is not a JSON Schema: `{regex}` is no pattern");
            let pointer = url.split_once('#').map(|(_, pointer)| pointer).unwrap_or_default();
            NotASchema { message, file: file_of(url), path: steps(pointer) }
        }
        // What it says of itself is for those who made it.
        CompileError::Bug(_) => {
            plain("this is not a JSON Schema: a pattern or a part of it is too large, or cannot be compiled".to_owned())
        }
        other => plain(format!("this is not a JSON Schema: {other}")),
    }
}

fn file_of(url: &str) -> Option<String> {
    let file = url.split('#').next().filter(|file| *file != INLINE)?;
    file.strip_prefix(BASE).map(str::to_owned)
}

/// The steps of a JSON Pointer.
fn steps(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|step| step.replace("~1", "/").replace("~0", "~")).collect()
}

fn collect(error: &ValidationError<'_, '_>, into: &mut Vec<SchemaViolation>) {
    if into.len() >= VIOLATIONS_MAX {
        return;
    }
    let transparent = matches!(
        error.kind,
        ErrorKind::Group | ErrorKind::Schema { .. } | ErrorKind::Reference { .. } | ErrorKind::AllOf
    );
    if transparent && !error.causes.is_empty() {
        return error.causes.iter().for_each(|cause| collect(cause, into));
    }
    let mut pointer = String::new();
    for token in &error.instance_location.tokens {
        match token {
            InstanceToken::Prop(name) => push(&mut pointer, name),
            InstanceToken::Item(index) => push(&mut pointer, &index.to_string()),
        }
    }
    match &error.kind {
        ErrorKind::AdditionalProperties { got } => {
            for name in got.iter().take(VIOLATIONS_MAX - into.len()) {
                let mut pointer = pointer.clone();
                // A key that is no identifier may be data, such as a card number in the wrong place.
                if is_identifier(name) {
                    push(&mut pointer, name);
                    into.push(SchemaViolation { pointer, message: "is not a field that is known here".to_owned() });
                } else {
                    into.push(SchemaViolation { pointer, message: "has a field that is not known here".to_owned() });
                }
            }
        }
        ErrorKind::Required { want } => {
            for name in want {
                let mut pointer = pointer.clone();
                push(&mut pointer, name);
                into.push(SchemaViolation { pointer, message: "is required".to_owned() });
            }
        }
        kind => into.push(SchemaViolation { pointer, message: message(kind) }),
    }
}

/// Says what was wanted, and never what was got.
fn message(kind: &ErrorKind<'_, '_>) -> String {
    match kind {
        ErrorKind::Type { want, .. } => {
            let types: Vec<String> = want.iter().map(|wanted| wanted.to_string()).collect();
            format!("must be of type {}", types.join(" or "))
        }
        ErrorKind::Enum { want } => {
            let words: Vec<String> = want.iter().map(Value::to_string).collect();
            format!("must be one of {}", words.join(", "))
        }
        ErrorKind::Const { want } => format!("must be {want}"),
        ErrorKind::Format { want, .. } => format!("must be a valid {want}"),
        ErrorKind::MinProperties { want, .. } => format!("must have at least {want} fields"),
        ErrorKind::MaxProperties { want, .. } => format!("must have at most {want} fields"),
        ErrorKind::MinItems { want, .. } => format!("must have at least {want} elements"),
        ErrorKind::MaxItems { want, .. } => format!("must have at most {want} elements"),
        ErrorKind::UniqueItems { .. } => "must not have the same element twice".to_owned(),
        ErrorKind::MinLength { want, .. } => format!("must have at least {want} characters"),
        ErrorKind::MaxLength { want, .. } => format!("must have at most {want} characters"),
        ErrorKind::Pattern { want, .. } => format!("must match the pattern {want}"),
        ErrorKind::Minimum { want, .. } => format!("must be at least {want}"),
        ErrorKind::Maximum { want, .. } => format!("must be at most {want}"),
        ErrorKind::ExclusiveMinimum { want, .. } => format!("must be more than {want}"),
        ErrorKind::ExclusiveMaximum { want, .. } => format!("must be less than {want}"),
        ErrorKind::MultipleOf { want, .. } => format!("must be a multiple of {want}"),
        ErrorKind::DependentRequired { missing, .. } | ErrorKind::Dependency { missing, .. } => {
            format!("must also have {}", missing.join(", "))
        }
        ErrorKind::FalseSchema => "must not be there".to_owned(),
        ErrorKind::AnyOf | ErrorKind::OneOf(None) => "fits none of the forms that are allowed here".to_owned(),
        ErrorKind::OneOf(Some(_)) => "fits more than one of the forms that are allowed here".to_owned(),
        ErrorKind::Not => "has a form that is not allowed here".to_owned(),
        ErrorKind::PropertyName { .. } => "has a field with a name that is not allowed".to_owned(),
        _ => "does not fit the schema".to_owned(),
    }
}

fn push(pointer: &mut String, token: &str) {
    pointer.push('/');
    pointer.push_str(&token.replace('~', "~0").replace('/', "~1"));
}

fn is_identifier(name: &str) -> bool {
    let letters = name.chars().filter(char::is_ascii_alphabetic).count();
    name.len() <= 40 && letters * 2 > name.len() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn violations(schema: Value, input: &Value) -> Vec<String> {
        let address = json!({"type": "object", "required": ["zip"], "properties": {"zip": {"$ref": "zip.json"}}});
        let files = BTreeMap::from([
            ("schemas/address.json".to_owned(), address),
            ("schemas/zip.json".to_owned(), json!({"type": "string", "pattern": "^[0-9]{6}$"})),
        ]);
        let compiled = InputSchema::compile(schema, &files).unwrap();
        let found = compiled.validate(input).err().unwrap_or_default();
        found.into_iter().map(|violation| format!("{} {}", violation.pointer, violation.message)).collect()
    }

    #[test]
    fn every_violation_is_named_and_no_data_is() {
        let schema = json!({"type": "object", "additionalProperties": false, "required": ["amount", "currency"],
            "properties": {"amount": {"type": "integer", "minimum": 1}, "currency": {"enum": ["CNY"]},
                "to": {"$ref": "schemas/address.json"}, "mail": {"format": "email"}}});
        let input = json!({"amount": -5, "currency": "XXX", "to": {"zip": "secret"}, "4111111111111111": 1, "cvv": 1,
            "mail": "nobody"});
        let found = violations(schema, &input);
        let expected = [
            " has a field that is not known here",
            "/amount must be at least 1",
            "/currency must be one of \"CNY\"",
            "/cvv is not a field that is known here",
            "/mail must be a valid email",
            "/to/zip must match the pattern ^[0-9]{6}$",
        ];
        assert_eq!(found, expected);
        assert!(violations(json!({"$ref": "schemas/address.json"}), &json!({"zip": "100000"})).is_empty());
    }

    #[test]
    fn a_schema_reads_nothing_but_its_files() {
        for reference in ["other.json", "https://example.com/x.json", "file:///etc/passwd", "../x.json"] {
            let error = InputSchema::compile(json!({"$ref": reference}), &BTreeMap::new()).unwrap_err();
            assert!(error.message.starts_with("there is no schema file"), "{error:?}");
        }
        let error = InputSchema::compile(json!({"type": "integr"}), &BTreeMap::new()).unwrap_err();
        assert!(error.message.starts_with("this is not a JSON Schema: `type` fits none"), "{error:?}");
        assert_eq!((error.file, error.path), (None, vec!["type".to_owned()]));
        let files = BTreeMap::from([("a.json".to_owned(), json!({"properties": {"n": {"minimum": "1"}}}))]);
        let error = InputSchema::compile(json!({"$ref": "a.json"}), &files).unwrap_err();
        assert_eq!(error.file.as_deref(), Some("a.json"));
        assert_eq!(error.path, ["properties", "n", "minimum"]);
    }
}
