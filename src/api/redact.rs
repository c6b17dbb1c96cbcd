//! What is shown of a sealed payment: enough to recognise it, and no more.

use serde_json::Map;

use crate::types::Value;

/// Characters that are shown of sealed text.
const SHOWN: usize = 16;
/// Text under `payment` that is no longer than this is a name, not a payment.
const SHORT: usize = 64;
/// Deeper than any value that comes in.
const DEPTH_MAX: u32 = 64;

/// The value with every sealed payment cut down: compact JWEs anywhere, and long text under `payment`.
pub(super) fn redact(value: &Value) -> Value {
    walk(value, "", DEPTH_MAX)
}

fn walk(value: &Value, name: &str, depth: u32) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return Value::Null };
    match value {
        Value::String(text) if is_sealed(text) || (name == "payment" && text.len() > SHORT) => {
            let shown: String = text.chars().take(SHOWN).collect();
            Value::String(format!("{shown}... ({} characters, sealed)", text.chars().count()))
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| walk(item, name, depth)).collect()),
        Value::Object(fields) => {
            let fields: Map<String, Value> =
                fields.iter().map(|(key, field)| (key.clone(), walk(field, key, depth))).collect();
            Value::Object(fields)
        }
        other => other.clone(),
    }
}

/// A compact JWE: five parts of base64url, the first of them a JSON object.
fn is_sealed(text: &str) -> bool {
    text.len() > SHORT
        && text.starts_with("eyJ")
        && text.bytes().filter(|&byte| byte == b'.').count() == 4
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sealed_payments_are_cut_down_wherever_they_are() {
        let sealed = format!("eyJhbGciOiJSU0EtT0FFUC0yNTYifQ.{}.iv.text.tag", "k".repeat(60));
        let shown = "eyJhbGciOiJSU0Et... (103 characters, sealed)";
        let value = json!({"payment": sealed, "list": [{"x": sealed}], "note": "eyJ.a.b.c.d", "amount": 5});
        let expected = json!({"payment": shown, "list": [{"x": shown}], "note": "eyJ.a.b.c.d", "amount": 5});
        assert_eq!(redact(&value), expected);
        let other = json!({"payment": "x".repeat(70)});
        assert_eq!(redact(&other), json!({"payment": "xxxxxxxxxxxxxxxx... (70 characters, sealed)"}));
    }
}
