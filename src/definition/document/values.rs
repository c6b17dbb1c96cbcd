//! The second reading: `serde_yaml` says what type each scalar has.

use serde_yaml::Value as Yaml;

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
        (Kind::List(items), Yaml::Sequence(values)) if items.len() == values.len() => {
            items.iter_mut().zip(values).try_for_each(|(item, value)| merge(item, value))
        }
        (Kind::Map(entries), Yaml::Mapping(values)) if entries.len() == values.len() => {
            entries.iter_mut().zip(values).try_for_each(|(entry, (_, value))| merge(&mut entry.node, value))
        }
        (Kind::Scalar(place), yaml) => {
            *place = scalar(yaml).ok_or((node.span.clone(), DIFFERENT))?;
            Ok(())
        }
        _ => Err((node.span.clone(), DIFFERENT)),
    }
}

fn scalar(yaml: Yaml) -> Option<Value> {
    match yaml {
        Yaml::Null => Some(Value::Null),
        Yaml::Bool(truth) => Some(Value::Bool(truth)),
        Yaml::String(text) => Some(Value::String(text)),
        Yaml::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Some(Value::from(integer)),
            (None, Some(large)) => Some(Value::from(large)),
            (None, None) => number.as_f64().and_then(serde_json::Number::from_f64).map(Value::Number),
        },
        Yaml::Sequence(_) | Yaml::Mapping(_) | Yaml::Tagged(_) => None,
    }
}
