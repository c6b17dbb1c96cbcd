//! JSON from outside: bounded depth, and no key twice.
//!
//! A key that stands twice is read differently by different parsers, so whoever put it there may mean one amount for
//! us and another for the next reader.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Map;

use crate::types::Value;

const DEPTH_MAX: u32 = 64;

/// Why bytes are not JSON that we read. Says nothing about the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("not JSON")]
    Syntax,
    #[error("JSON nested too deeply")]
    TooDeep,
    #[error("JSON with a key twice")]
    DuplicateKey,
}

/// Parses one JSON text and nothing after it.
pub(super) fn parse_json(bytes: &[u8]) -> Result<Value, JsonError> {
    let why = Cell::new(JsonError::Syntax);
    // The mark of an encoding that nobody needs to tell: some providers write it all the same.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0, why: &why }.deserialize(&mut deserializer).map_err(|_| why.get())?;
    deserializer.end().map_err(|_| JsonError::Syntax)?;
    Ok(value)
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: u32,
    why: &'a Cell<JsonError>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            self.why.set(JsonError::TooDeep);
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
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
        let mut out = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Map::new();
        while let Some(key) = fields.next_key::<String>()? {
            if out.contains_key(&key) {
                self.why.set(JsonError::DuplicateKey);
                return Err(A::Error::custom("duplicate key"));
            }
            let value = fields.next_value_seed(inner)?;
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_json_is_read() {
        assert_eq!(parse_json(br#"{"a": [1, -2, 0.5, null, true, "x"]}"#).unwrap()["a"][1], -2);
        for garbage in [&b""[..], b"NaN", b"{} {}", b"<html>", b"\xff\xfe{\0}\0", b"{\"a\": 1", b"{'a': 1}"] {
            assert_eq!(parse_json(garbage), Err(JsonError::Syntax));
        }
    }

    #[test]
    fn depth_and_duplicates_are_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse_json(nested(64).as_bytes()).is_ok());
        assert_eq!(parse_json(nested(65).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(parse_json(nested(100_000).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(parse_json(br#"{"amount": 1, "amount": 2}"#), Err(JsonError::DuplicateKey));
        assert_eq!(parse_json(br#"{"x": {"a": 1, "\u0061": 2}}"#), Err(JsonError::DuplicateKey));
    }
}
