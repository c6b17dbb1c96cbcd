//! JSON from clients: bounded depth, no key twice, and errors that say where.
//!
//! A key that stands twice is read differently by different parsers, so whoever put it there may mean one amount for us
//! and another for the next reader.

use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Map;

use crate::definition::suggest::{did_you_mean, one_of};
use crate::types::Value;

const DEPTH_MAX: u32 = 32;

/// A body of a request: its fields, for `did you mean`.
pub(super) trait Fields: DeserializeOwned {
    const FIELDS: &'static [&'static str];
}

/// Why bytes are not the body that is wanted. The message names fields and repeats no data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JsonError {
    /// A JSON Pointer; empty for the whole body.
    pub(super) pointer: String,
    pub(super) message: String,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Reads one JSON text and nothing after it into `T`.
pub(super) fn read<T: Fields>(bytes: &[u8]) -> Result<T, JsonError> {
    let value = strict(bytes)?;
    if let Some(object) = value.as_object() {
        unknown_field::<T>(object, bytes)?;
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let pointer = pointer(error.path());
        at(pointer, error.inner())
    })
}

fn unknown_field<T: Fields>(object: &Map<String, Value>, bytes: &[u8]) -> Result<(), JsonError> {
    let Some(unknown) = object.keys().find(|key| !T::FIELDS.contains(&key.as_str())) else { return Ok(()) };
    // The typed reader refuses it too, and knows where it stands.
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let place = T::deserialize(&mut reader).err().map_or((1, 1), |error| (error.line(), error.column()));
    let name = super::problem::clip(unknown);
    let help = did_you_mean(&name, T::FIELDS.iter().copied())
        .unwrap_or_else(|| format!("the fields are {}", one_of(T::FIELDS.iter().copied())));
    Err(JsonError {
        pointer: format!("/{}", name.replace('~', "~0").replace('/', "~1")),
        message: format!("there is no field `{name}`: {help}"),
        line: place.0,
        column: place.1,
    })
}

fn strict(bytes: &[u8]) -> Result<Value, JsonError> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|error| at(String::new(), &error))?;
    reader.end().map_err(|error| at(String::new(), &error))?;
    Ok(value)
}

fn at(pointer: String, error: &serde_json::Error) -> JsonError {
    let text = error.to_string();
    // serde_json ends its messages with the place, which has fields of its own here.
    let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
    JsonError { pointer, message, line: error.line(), column: error.column() }
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
    }

    fn refused(text: &str) -> String {
        let error = read::<Body>(text.as_bytes()).unwrap_err();
        format!("{}:{} {} {}", error.line, error.column, error.pointer, error.message)
    }

    #[test]
    fn a_body_is_read() {
        let body: Body = read(br#"{"workflow": "w", "input": {"a": [1, -2, 1.5, null, true]}}"#).unwrap();
        assert_eq!((body.workflow.as_str(), body.input["a"][1].as_i64()), ("w", Some(-2)));
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(
            refused("{\n \"workflow\": 5, \"input\": {}}"),
            "2:14 /workflow invalid type: integer `5`, expected a string"
        );
        assert_eq!(refused("{\"workflow\": \"w\"}"), "1:17  missing field `input`");
        assert_eq!(refused("{\n\"workflo\": 1}"), "2:9 /workflo there is no field `workflo`: did you mean `workflow`?");
        assert!(
            refused("{\"workflow\": \"w\", \"input\": {\"a\": 1,\n \"a\": 2}}").contains("the key `a` stands twice")
        );
        assert!(refused("{\"workflow\"").starts_with("1:11  EOF while parsing"));
        assert!(refused("{} {}").contains("trailing characters"));
        let deep = format!("{}1{}", "[".repeat(40), "]".repeat(40));
        assert!(refused(&deep).contains("nested deeper than 32 levels"));
    }
}
