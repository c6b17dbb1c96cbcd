//! What must not be kept of what a provider says: our own secrets, which some providers repeat, and numbers of cards.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use zeroize::Zeroizing;

use super::payload::escaped_for_xml;
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
    /// Wherever they stand, also as an address, a form or XML has them, and encoded as a whole.
    parts: Vec<Zeroizing<String>>,
    wholes: Vec<Zeroizing<String>>,
}

impl Texts {
    pub(super) fn of<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut texts = Self::default();
        for text in secrets.into_iter().map(Secret::reveal).filter(|text| text.len() >= PART_MIN) {
            let encoded = percent_encode(text);
            let forms = [
                text.to_owned(),
                encoded.replace("%20", "+"),
                encoded.to_lowercase(),
                encoded,
                escaped_for_xml(text),
                BASE64_STANDARD_NO_PAD.encode(text),
                hex::encode(text),
            ];
            texts.parts.extend(forms.map(Zeroizing::new));
        }
        // One may be a part of another.
        texts.parts.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
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
            let field = |(key, field): (String, Value)| match &field {
                // As a number it could be any other: the name tells.
                Value::Number(number) if is_code(&key) && secrets.has(&number.to_string()) => (key, Value::from(MASK)),
                _ => (without_in(secrets, key), without(secrets, field)),
            };
            fields.into_iter().map(field).collect()
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

/// The outcome without what is short and stands in a sentence. That is no part of what decides: a provider's code may be
/// the same digits.
pub(super) fn without_words<'a>(outcome: Outcome, secrets: impl IntoIterator<Item = &'a Secret>) -> Outcome {
    let words = Texts::default().and_short(secrets).wholes;
    if words.is_empty() {
        return outcome;
    }
    let text = |text: String| words.iter().fold(text, |text, word| without_word(text, word));
    match outcome {
        Outcome::Ok { result } => Outcome::Ok { result: in_texts(result, &text) },
        Outcome::ActionRequired { result } => Outcome::ActionRequired { result: in_texts(result, &text) },
        Outcome::Declined { code, soft, result } => {
            Outcome::Declined { code: text(code), soft, result: in_texts(result, &text) }
        }
        Outcome::Pending { reference, result } => Outcome::Pending { reference, result: in_texts(result, &text) },
        Outcome::NotSent { reason, retry_after_ms } => Outcome::NotSent { reason: text(reason), retry_after_ms },
        Outcome::Unknown { reason, retry_after_ms } => Outcome::Unknown { reason: text(reason), retry_after_ms },
        Outcome::NotFound => Outcome::NotFound,
    }
}

fn in_texts(value: Value, change: &impl Fn(String) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(change(text)),
        Value::Array(items) => items.into_iter().map(|item| in_texts(item, change)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, field)| (key, in_texts(field, change))).collect(),
        other => other,
    }
}

/// A name that providers give to what stands on the back of a card, or to a code that a customer types.
fn is_code(name: &str) -> bool {
    let name = name.to_lowercase().replace(['_', '-'], "");
    ["cvv", "cvc", "cvn", "csc", "securitycode", "cardcode"].iter().any(|known| name.contains(known))
        || ["pin", "otp"].contains(&name.as_str())
}

/// In an identifier it could stand by chance; in a sentence it is a word.
fn without_word(text: String, word: &str) -> String {
    if !text.contains(' ') {
        return text;
    }
    let stands_alone = |at: usize| {
        let is_part = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        let (before, behind) = (text.get(..at), text.get(at + word.len()..));
        !is_part(before.and_then(|text| text.chars().next_back()))
            && !is_part(behind.and_then(|text| text.chars().next()))
    };
    let found: Vec<usize> = text.match_indices(word).map(|(at, _)| at).filter(|&at| stands_alone(at)).collect();
    let mut masked = text;
    for at in found.into_iter().rev() {
        masked.replace_range(at..at + word.len(), MASK);
    }
    masked
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
        let xml = Texts::of(&[Secret::new("k&y=\"<e>cret'")]);
        assert_eq!(without_in(&xml, "<P>k&amp;y=&quot;&lt;e&gt;cret&apos;</P>".to_owned()), "<P>***</P>");
        for shown in [
            "YStiL2M9IGQ/ZQ",
            "612b622f633d20643f65",
            "a+b/c= d?e",
            "a%2Bb%2Fc%3D%20d%3Fe",
            "a%2bb%2fc%3d%20d%3fe",
            "a%2Bb%2Fc%3D+d%3Fe",
        ] {
            assert_eq!(without_in(&secrets, format!("k={shown}&x")), "k=***&x", "{shown}");
        }
        let said = json!({"cvv": "739", "amount": 739, "text": "cvv 739: 1739, a-739", "other": "12", "id": "pay-739"});
        let read = json!({"cvv": "***", "amount": 739, "text": "cvv 739: 1739, a-739", "other": "12", "id": "pay-739"});
        assert_eq!(without(&secrets, said), read, "what rules see");
        let kept = json!({"cvv": "***", "amount": 739, "text": "cvv ***: 1739, a-***", "other": "12", "id": "pay-739"});
        assert_eq!(without_words(Outcome::Ok { result: read }, &code), Outcome::Ok { result: kept });
        let numbers = json!({"card": {"security_code": 739, "CVV2": 739, "number": 739}});
        assert_eq!(without(&secrets, numbers), json!({"card": {"security_code": "***", "CVV2": "***", "number": 739}}));
    }
}
