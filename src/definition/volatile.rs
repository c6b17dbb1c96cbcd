//! Fields of an order's input that are never written down: they are in memory for as long as the order needs them, and a
//! mark stands in their place.

use serde_json::{Map, json};

use crate::types::Value;

/// `{"$volatile": "card.cvv"}`
const MARK: &str = "$volatile";
/// Deeper than any value that comes in.
const DEPTH_MAX: u32 = 64;

/// The fields, each as its path in the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volatile(pub Vec<Vec<String>>);

impl Volatile {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes the fields out of an input and leaves a mark for each: what was taken, by path. Empty if none was there.
    pub fn take(&self, input: &mut Value) -> Map<String, Value> {
        let mut taken = Map::new();
        for path in &self.0 {
            let place = path.iter().try_fold(&mut *input, |value, name| value.as_object_mut()?.get_mut(name));
            if let Some(place) = place.filter(|value| !value.is_null()) {
                let name = path.join(".");
                let value = std::mem::replace(place, json!({ MARK: name }));
                taken.insert(name, value);
            }
        }
        taken
    }
}

/// Whether a mark stands anywhere in the value.
pub fn has_mark(value: &Value) -> bool {
    fn within(value: &Value, depth: u32) -> bool {
        let Some(depth) = depth.checked_sub(1) else { return false };
        match value {
            Value::Object(fields) => marked(value).is_some() || fields.values().any(|field| within(field, depth)),
            Value::Array(items) => items.iter().any(|item| within(item, depth)),
            _ => false,
        }
    }
    within(value, DEPTH_MAX)
}

/// The value with what was taken in the place of the marks; none if a part of it is gone.
pub fn put_back(value: &Value, taken: &Map<String, Value>) -> Option<Value> {
    fn within(value: &Value, taken: &Map<String, Value>, depth: u32) -> Option<Value> {
        let depth = depth.checked_sub(1)?;
        if let Some(name) = marked(value) {
            return taken.get(name).cloned();
        }
        Some(match value {
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, field)| Some((name.clone(), within(field, taken, depth)?)));
                Value::Object(fields.collect::<Option<_>>()?)
            }
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| within(item, taken, depth)).collect::<Option<_>>()?)
            }
            other => other.clone(),
        })
    }
    within(value, taken, DEPTH_MAX)
}

fn marked(value: &Value) -> Option<&str> {
    let fields = value.as_object().filter(|fields| fields.len() == 1)?;
    fields.get(MARK)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_where_its_mark_was_carried() {
        let volatile = Volatile(vec![vec!["card".into(), "cvv".into()], vec!["pin".into()]]);
        let mut input = json!({ "amount": 1, "card": { "token": "t", "cvv": "123" } });
        let taken = volatile.take(&mut input);
        assert_eq!(input, json!({ "amount": 1, "card": { "token": "t", "cvv": { MARK: "card.cvv" } } }));
        let with = json!({ "card": input["card"], "list": [input["card"]["cvv"]] });
        assert!(has_mark(&with) && !has_mark(&json!({ "amount": 1 })));
        let whole = put_back(&with, &taken);
        assert_eq!(whole, Some(json!({ "card": { "token": "t", "cvv": "123" }, "list": ["123"] })));
        assert_eq!(put_back(&with, &Map::new()), None);
    }
}
