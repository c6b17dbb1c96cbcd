//! What must not be kept of what a provider says: our own secrets, which some providers repeat, and numbers of cards.

use crate::machine::Outcome;
use crate::types::{Secret, Value, mask_card_numbers};

/// Shorter ones are no secrets, and could stand anywhere.
const SECRET_MIN: usize = 8;
const MASK: &str = "***";

/// The secrets that are looked for.
pub(super) fn texts<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Vec<&'a str> {
    let mut texts: Vec<&str> =
        secrets.into_iter().map(Secret::reveal).filter(|text| text.len() >= SECRET_MIN).collect();
    // One may be a part of another.
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    texts
}

/// The value without them. It is read already: whatever an encoding does to a text is undone.
pub(super) fn without(secrets: &[&str], value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_in(secrets, text)),
        Value::Number(number) if secrets.contains(&number.to_string().as_str()) => Value::from(MASK),
        Value::Array(items) => items.into_iter().map(|item| without(secrets, item)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, field)| (without_in(secrets, key), without(secrets, field))).collect()
        }
        other => other,
    }
}

/// The same for a text.
pub(super) fn without_in(secrets: &[&str], text: String) -> String {
    let masked = |text: String, secret: &&str| if text.contains(secret) { text.replace(secret, MASK) } else { text };
    secrets.iter().fold(text, masked)
}

/// The outcome with the numbers of cards in its result masked. References are identifiers, and stay as they are.
pub(super) fn without_cards(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Ok { result } => Outcome::Ok { result: mask_card_numbers(result) },
        Outcome::ActionRequired { result } => Outcome::ActionRequired { result: mask_card_numbers(result) },
        Outcome::Declined { code, soft, result } => Outcome::Declined { code, soft, result: mask_card_numbers(result) },
        Outcome::Pending { reference, result } => Outcome::Pending { reference, result: mask_card_numbers(result) },
        other @ (Outcome::NotSent { .. } | Outcome::Unknown { .. } | Outcome::NotFound) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_are_repeated() {
        let secrets = ["sk_live_1", "sk_live_12", "20240001", "short"].map(Secret::new);
        let secrets = texts(&secrets);
        let said =
            json!({"a": ["Bearer sk_live_12.", {"sk_live_1": 20_240_001}], "b": "a short one", "c": 202_400_019});
        let kept = json!({"a": ["Bearer ***.", {"***": "***"}], "b": "a short one", "c": 202_400_019});
        assert_eq!(without(&secrets, said), kept);
    }
}
