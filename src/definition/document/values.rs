//! The second reading: `serde_yaml` says what type each scalar has.

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Kind, Node};
use crate::definition::rules;
use crate::definition::source::{Problems, Source};
use crate::types::Value;

/// Fills in the scalars. None when the two readings differ, which a hostile text could otherwise hide behind.
pub(super) fn fill(tree: &mut Node, source: &Source<'_>, problems: &Problems) -> Option<()> {
    let yaml: Yaml = match serde_yaml::from_str(source.text.trim_start_matches('\u{feff}')) {
        Ok(yaml) => yaml,
        Err(error) => {
            let at = error.location().map_or(0, |location| location.index());
            problems.add(source.problem(rules::YAML_SYNTAX, &(at..at + 1), format!("not YAML: {error}")));
            return None;
        }
    };
    merge(tree, yaml).map_err(|(span, message)| problems.add(source.problem(rules::YAML_SYNTAX, &span, message))).ok()
}

type Mismatch = (std::ops::Range<usize>, &'static str);

const DIFFERENT: &str = "this can be read in two ways: put the text in quotation marks";

fn merge(node: &mut Node, yaml: Yaml) -> Result<(), Mismatch> {
    match (&mut node.kind, yaml) {
        (Kind::List(items), Yaml::List(values)) if items.len() == values.len() => {
            items.iter_mut().zip(values).try_for_each(|(item, value)| merge(item, value))
        }
        (Kind::Map(entries), Yaml::Map(values)) if entries.len() == values.len() => {
            entries.iter_mut().zip(values).try_for_each(|(entry, value)| merge(&mut entry.node, value))
        }
        (Kind::Scalar(place), Yaml::Scalar(value)) => {
            *place = value;
            Ok(())
        }
        _ => Err((node.span.clone(), DIFFERENT)),
    }
}

/// Values without their keys, which the first reading knows. Keys that stand twice are there twice.
enum Yaml {
    Scalar(Value),
    List(Vec<Yaml>),
    Map(Vec<Yaml>),
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Yaml;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value without a tag")
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Bool(truth)))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::from(number)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::from(number)))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Yaml, E> {
        let number = serde_json::Number::from_f64(number).ok_or_else(|| E::custom("a number is finite"))?;
        Ok(Yaml::Scalar(Value::Number(number)))
    }

    #[expect(clippy::cast_precision_loss, reason = "no place of a definition takes a whole number of this size")]
    fn visit_i128<E: Error>(self, number: i128) -> Result<Yaml, E> {
        self.visit_f64(number as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "no place of a definition takes a whole number of this size")]
    fn visit_u128<E: Error>(self, number: u128) -> Result<Yaml, E> {
        self.visit_f64(number as f64)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::from(text)))
    }

    fn visit_unit<E: Error>(self) -> Result<Yaml, E> {
        Ok(Yaml::Scalar(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Yaml, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element()? {
            read.push(item);
        }
        Ok(Yaml::List(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Yaml, A::Error> {
        let mut read = Vec::new();
        while let Some((IgnoredAny, value)) = entries.next_entry()? {
            read.push(value);
        }
        Ok(Yaml::Map(read))
    }
}
