//! JSON from clients: bounded depth, no key twice, and errors that say where.
//!
//! A key that stands twice is read differently by different parsers, so whoever put it there may mean one amount for us
//! and another for the next reader.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Map;

use super::problem::{BODY, CARD, ProblemKind};
use super::wire::FieldError;
use crate::definition::suggest::{did_you_mean, one_of};
use crate::types::{Value, card_number_in};

const DEPTH_MAX: u32 = 32;

/// A body of a request: its fields, for `did you mean`, and those of them that must be there.
pub(super) trait Fields: DeserializeOwned {
    const FIELDS: &'static [&'static str];
    const REQUIRED: &'static [&'static str];
    /// A field in which whoever handles it looks for numbers of cards: where they may stand is not known before it is read.
    const MAY_HAVE_CARDS: Option<&'static str> = None;
}

/// Why bytes are not the body that is wanted. The messages name fields and repeat no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonError {
    pub(super) kind: ProblemKind,
    /// All of it in a sentence.
    pub(super) detail: String,
    /// Each place that is wrong.
    pub(super) errors: Vec<FieldError>,
}

impl From<FieldError> for JsonError {
    fn from(error: FieldError) -> Self {
        let path = if error.pointer.is_empty() { String::new() } else { format!("{}: ", error.pointer) };
        let place = match (error.line, error.column) {
            (Some(line), Some(column)) => format!(" (line {line}, column {column})"),
            _ => String::new(),
        };
        Self { kind: BODY, detail: format!("{path}{}{place}", error.detail), errors: vec![error] }
    }
}

/// Reads one JSON text and nothing after it into `T`. Numbers of cards in clear are refused unless `card_numbers` may be
/// in it.
pub(super) fn read<T: Fields>(bytes: &[u8], card_numbers: bool) -> Result<T, JsonError> {
    let value = strict(bytes)?;
    // Before any message can repeat it.
    if !card_numbers {
        match (T::MAY_HAVE_CARDS, &value) {
            (Some(field), Value::Object(fields)) => {
                let others = fields.iter().filter(|(name, _)| *name != field);
                no_cards(&others.map(|(name, value)| (name.clone(), value.clone())).collect())?;
            }
            _ => no_cards(&value)?,
        }
    }
    // The typed reader would take a list for the fields in their order.
    let object = value.as_object().ok_or_else(|| not_an_object::<T>(&value))?;
    unknown_field::<T>(object, bytes)?;
    missing_fields::<T>(object)?;
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let typed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        at(pointer, error.inner())
    })?;
    Ok(typed)
}

fn not_an_object<T: Fields>(value: &Value) -> FieldError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    let fields = quoted(T::FIELDS).join(", ");
    FieldError::at("", format!("the body must be an object, and is {found}: its fields are {fields}"))
}

/// Refuses a value with the number of a card in it.
pub(super) fn no_cards(value: &Value) -> Result<(), JsonError> {
    let Some(pointer) = card_number_in(value) else { return Ok(()) };
    let detail = "this looks like the number of a card: send it sealed, or a token in its place";
    Err(JsonError { kind: CARD, ..FieldError::at(pointer, detail).into() })
}

fn missing_fields<T: Fields>(object: &Map<String, Value>) -> Result<(), JsonError> {
    let missing: Vec<&str> = T::REQUIRED.iter().copied().filter(|field| !object.contains_key(*field)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let detail = format!("the body has no {}", quoted(&missing).join(" and no "));
    let errors = missing.iter().map(|field| FieldError::at(format!("/{field}"), "is required")).collect();
    Err(JsonError { kind: BODY, detail, errors })
}

fn quoted(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("`{name}`")).collect()
}

fn unknown_field<T: Fields>(object: &Map<String, Value>, bytes: &[u8]) -> Result<(), FieldError> {
    let Some(unknown) = object.keys().find(|key| !T::FIELDS.contains(&key.as_str())) else { return Ok(()) };
    // The typed reader refuses it too, and knows where it stands.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let place = T::deserialize(&mut reader).err().map_or((1, 1), |error| (error.line(), error.column()));
    let name = super::problem::clip(unknown);
    let help = did_you_mean(&name, T::FIELDS.iter().copied())
        .unwrap_or_else(|| format!("the fields are {}", one_of(T::FIELDS.iter().copied())));
    Err(FieldError {
        pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        detail: format!("there is no field `{name}`: {help}"),
        line: Some(place.0),
        column: Some(place.1),
    })
}

fn strict(bytes: &[u8]) -> Result<Value, FieldError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|error| at(String::new(), &error))?;
    reader.end().map_err(|error| at(String::new(), &error))?;
    Ok(value)
}

fn at(pointer: String, error: &serde_json::Error) -> FieldError {
    let text = error.to_string();
    // serde_json ends its messages with the place, which has fields of its own here.
    let detail = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    FieldError { pointer, detail, line: Some(error.line()), column: Some(error.column()) }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

#[derive(Clone, Copy)]
struct Strict {
    depth: u32,
}

impl Strict {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if object.contains_key(&key) {
                return Err(A::Error::custom(format!("the key `{}` stands twice", super::problem::clip(&key))));
            }
            let value = entries.next_value_seed(inner)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        workflow: String,
        input: Value,
    }

    impl Fields for Body {
        const FIELDS: &'static [&'static str] = &["workflow", "input"];
        const REQUIRED: &'static [&'static str] = Self::FIELDS;
    }

    fn refused(text: &str) -> String {
        read::<Body>(text.as_bytes(), false).unwrap_err().detail
    }

    #[test]
    fn a_body_is_read() {
        let body: Body = read(br#"{"workflow": "w", "input": {"a": [1, -2, 1.5, null, true]}}"#, false).unwrap();
        assert_eq!((body.workflow.as_str(), body.input["a"][1].as_i64()), ("w", Some(-2)));
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(
            refused("{\n \"workflow\": 5, \"input\": {}}"),
            "/workflow: invalid type: integer `5`, expected a string (line 2, column 14)"
        );
        assert_eq!(
            refused("{\n\"workflo\": 1}"),
            "/workflo: there is no field `workflo`: did you mean `workflow`? (line 2, column 9)"
        );
        assert!(
            refused("{\"workflow\": \"w\", \"input\": {\"a\": 1,\n \"a\": 2}}").contains("the key `a` stands twice")
        );
        assert_eq!(refused("{\"workflow\""), "EOF while parsing an object (line 1, column 11)");
        assert!(refused("{} {}").contains("trailing characters"));
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        assert!(refused(&deep).contains("nested deeper than 32 levels"));
    }

    #[test]
    fn numbers_of_cards_are_refused_unless_they_are_expected() {
        let text = br#"{"workflow": "4111111111111111", "input": {}}"#;
        let error = read::<Body>(text, false).unwrap_err();
        assert_eq!((error.kind, error.errors[0].pointer.as_str()), (CARD, "/workflow"));
        assert!(!error.detail.contains("4111"));
        assert!(read::<Body>(text, true).is_ok());
    }

    #[test]
    fn every_field_that_is_missing_is_named() {
        assert_eq!(refused("{\"workflow\": \"w\"}"), "the body has no `input`");
        let error = read::<Body>(b"{}", false).unwrap_err();
        assert_eq!(error.detail, "the body has no `workflow` and no `input`");
        let pointers: Vec<&str> = error.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/workflow", "/input"]);
    }

    #[test]
    fn a_list_is_not_taken_for_the_fields_in_their_order() {
        let fields = "its fields are `workflow`, `input`";
        assert_eq!(refused("[\"w\", {}]"), format!("the body must be an object, and is a list: {fields}"));
        assert_eq!(refused("null"), format!("the body must be an object, and is null: {fields}"));
    }
}
