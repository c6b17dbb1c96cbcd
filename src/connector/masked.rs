//! What must not be kept of what a provider says: our own secrets, which some providers repeat, and numbers of cards.

use zeroize::Zeroizing;

use crate::definition::percent_encode;
use crate::machine::Outcome;
use crate::types::{Secret, Value, mask_card_numbers};

/// Shorter ones could stand anywhere, and are looked for as the whole of a text alone.
const PART_MIN: usize = 8;
/// Shorter ones are no secrets.
const WHOLE_MIN: usize = 3;
const MASK: &str = "***";

/// What is looked for.
#[derive(Default)]
pub(super) struct Texts {
    /// Wherever they stand, also as an address or a form has them.
    parts: Vec<Zeroizing<String>>,
    wholes: Vec<Zeroizing<String>>,
}

impl Texts {
    pub(super) fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut texts = Self::default();
        for text in secrets.into_iter().map(Secret::reveal).filter(|text| text.len() >= PART_MIN) {
            let encoded = percent_encode(text);
            if encoded != text {
                texts.parts.push(encoded.replace("%20", "+").into());
                texts.parts.push(encoded.to_lowercase().into());
                texts.parts.push(encoded.into());
            }
            texts.parts.push(text.to_owned().into());
        }
        // One may be a part of another.
        texts.parts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts.parts.dedup();
        texts
    }

    /// Also what is short, such as the code on the back of a card.
    pub(super) fn and_short<'a>(mut self, secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let short = secrets.into_iter().map(Secret::reveal);
        let short = short.filter(|text| (WHOLE_MIN..PART_MIN).contains(&text.len()));
        self.wholes.extend(short.map(|text| text.to_owned().into()));
        self
    }

    fn has(&self, text: &str) -> bool {
        self.parts.iter().chain(&self.wholes).any(|known| known.as_str() == text)
    }
}

/// The value without them. It is read already: whatever an encoding does to a text is undone.
pub(super) fn without(secrets: &Texts, value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(without_in(secrets, text)),
        Value::Number(number) if secrets.parts.iter().any(|known| **known == number.to_string()) => Value::from(MASK),
        Value::Array(items) => items.into_iter().map(|item| without(secrets, item)).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, field)| (without_in(secrets, key), without(secrets, field))).collect()
        }
        other => other,
    }
}

/// The same for a text.
pub(super) fn without_in(secrets: &Texts, text: String) -> String {
    if secrets.has(&text) {
        return MASK.to_owned();
    }
    let masked = |text: String, secret: &Zeroizing<String>| {
        if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
    };
    secrets.parts.iter().fold(text, masked)
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
        let secrets = Texts::of(&secrets);
        let said =
            json!({"a": ["Bearer sk_live_12.", {"sk_live_1": 20_240_001}], "b": "a short one", "c": 202_400_019});
        let kept = json!({"a": ["Bearer ***.", {"***": "***"}], "b": "a short one", "c": 202_400_019});
        assert_eq!(without(&secrets, said), kept);
    }

    #[test]
    fn they_are_masked_as_an_address_has_them_and_what_is_short_as_a_whole() {
        let (key, code) = ([Secret::new("a+b/c= d?e")], [Secret::new("739"), Secret::new("12")]);
        let secrets = Texts::of(&key).and_short(&code);
        for shown in ["a+b/c= d?e", "a%2Bb%2Fc%3D%20d%3Fe", "a%2bb%2fc%3d%20d%3fe", "a%2Bb%2Fc%3D+d%3Fe"] {
            assert_eq!(without_in(&secrets, format!("k={shown}&x")), "k=***&x", "{shown}");
        }
        let said = json!({"cvv": "739", "amount": 739, "text": "of 739", "other": "12"});
        assert_eq!(without(&secrets, said), json!({"cvv": "***", "amount": 739, "text": "of 739", "other": "12"}));
    }
}
