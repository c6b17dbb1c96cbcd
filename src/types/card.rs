//! Numbers of cards in clear, so that they are refused or made unrecognisable before anything is written.
//!
//! A number is taken for one when all of this holds: it has the length and the beginning that one of the large networks
//! gives to its cards, its check digit is right, it is written in one piece or in the groups that are printed on cards, and
//! no letter or digit stands beside it. One in some hundred numbers of 16 digits that are no cards looks the same.

use std::ops::Range;

use super::Value;

/// At both ends, what may be shown: the issuer, and what the holder knows the card by.
const SHOWN: (usize, usize) = (6, 4);
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Where in a value the first one stands, as a JSON pointer to it, or to the object that has it for a key.
pub fn card_number_in(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => is_somewhere_in(text).then(String::new),
        Value::Number(number) => is_somewhere_in(&number.to_string()).then(String::new),
        Value::Array(items) => {
            let mut within = items.iter().enumerate();
            within.find_map(|(index, item)| Some(format!("/{index}{}", card_number_in(item)?)))
        }
        Value::Object(fields) if fields.keys().any(|key| is_somewhere_in(key)) => Some(String::new()),
        Value::Object(fields) => fields.iter().find_map(|(key, field)| {
            let below = card_number_in(field)?;
            Some(format!("/{}{below}", key.replace('~', "~0").replace('/', "~1")))
        }),
        Value::Null | Value::Bool(_) => None,
    }
}

/// The value with the middle digits of every one as asterisks.
pub fn mask_card_numbers(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(mask_card_numbers_in(text)),
        Value::Number(number) if is_somewhere_in(&number.to_string()) => {
            Value::String(mask_card_numbers_in(number.to_string()))
        }
        Value::Array(items) => items.into_iter().map(mask_card_numbers).collect(),
        Value::Object(fields) => {
            let masked = fields.into_iter().map(|(key, field)| (mask_card_numbers_in(key), mask_card_numbers(field)));
            masked.collect()
        }
        other => other,
    }
}

/// The same for a text.
pub fn mask_card_numbers_in(text: String) -> String {
    let mut out = text;
    let mut from = 0;
    while let Some(found) = find(&out, from) {
        let digits = out[found.clone()].bytes().filter(u8::is_ascii_digit).count();
        let mut seen = 0;
        let masked: String = out[found.clone()]
            .chars()
            .map(|c| {
                seen += usize::from(c.is_ascii_digit());
                let shown = seen <= SHOWN.0 || seen + SHOWN.1 > digits;
                if c.is_ascii_digit() && !shown { '*' } else { c }
            })
            .collect();
        from = found.end;
        out.replace_range(found, &masked);
    }
    out
}

fn is_somewhere_in(text: &str) -> bool {
    text.len() >= *DIGITS.start() && find(text, 0).is_some()
}

/// The first one that begins at `from` or later.
fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at < bytes.len() {
        if !bytes[at].is_ascii_alphanumeric() {
            at += 1;
            continue;
        }
        if bytes[at].is_ascii_digit()
            && let Some(end) = end_of(bytes, at)
        {
            return Some(at..end);
        }
        // The next one can begin behind this word only.
        at += bytes[at..].iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(bytes.len() - at);
    }
    None
}

/// Where the one that begins at `start` ends: groups of digits, each a blank or a hyphen behind the one before.
fn end_of(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut digits, mut groups, mut at) = (Vec::with_capacity(*DIGITS.end()), Vec::with_capacity(5), start);
    loop {
        let group = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = at + group;
        if group == 0 || digits.len() + group > *DIGITS.end() {
            return None;
        }
        digits.extend(bytes[at..end].iter().map(|byte| u32::from(byte - b'0')));
        groups.push(group);
        let ends = bytes.get(end).is_none_or(|next| !next.is_ascii_alphanumeric());
        if ends && is_printed(&groups) && is_of_a_network(&digits) && has_its_check_digit(&digits) {
            return Some(end);
        }
        if !matches!(bytes.get(end), Some(b' ' | b'-')) {
            return None;
        }
        at = end + 1;
    }
}

/// In one piece, in fours, or as American Express and Diners do.
fn is_printed(groups: &[usize]) -> bool {
    match groups {
        [_] | [4, 6, 4 | 5] => true,
        [whole @ .., last] => whole.len() >= 3 && whole.iter().all(|group| *group == 4) && *last <= 4,
        [] => false,
    }
}

fn is_of_a_network(digits: &[u32]) -> bool {
    if !DIGITS.contains(&digits.len()) {
        return false;
    }
    let begins = digits.iter().take(4).fold(0, |number, digit| number * 10 + digit);
    match (begins, digits.len()) {
        // Visa, Mastercard, American Express, Diners.
        (4000..=4999, 13 | 16 | 19) | (5100..=5599 | 2221..=2720, 16) | (3400..=3499 | 3700..=3799, 15) => true,
        (3000..=3059 | 3600..=3699 | 3800..=3999, 14) => true,
        // JCB, Discover, UnionPay.
        (3528..=3589 | 6011 | 6440..=6599 | 6200..=6299, 16..=19) => true,
        _ => false,
    }
}

/// ISO/IEC 7812-1, annex B.
fn has_its_check_digit(digits: &[u32]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let sum: u32 =
        digits.iter().rev().enumerate().map(|(at, digit)| if at % 2 == 1 { doubled(*digit) } else { *digit }).sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cards_are_told_from_other_numbers() {
        for card in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "2223003122003222",
            "378282246310005",
            "3782 822463 10005",
            "6011111111111117",
            "3530111333300000",
            "30569309025904",
            "6200000000000005",
            "4222222222222",
        ] {
            assert!(is_somewhere_in(card), "{card}");
            assert!(is_somewhere_in(&format!("pan_{card}, 12/30")), "{card}");
            assert!(is_somewhere_in(&format!("12 {card} 600")), "{card}");
        }
        for other in [
            "4111111111111112",
            "1700000000000",
            "2026-02-03 12:30:00",
            "a4111111111111111",
            "41111111111111110000",
            "4111.1111.1111.1111",
            "41111111-1111-1111",
            "4200001234202401011234567890",
            "0193e2a4-7b1c-7000-8000-411111111111",
            "",
        ] {
            assert!(!is_somewhere_in(other), "{other}");
        }
    }

    #[test]
    fn what_is_left_of_one_is_its_beginning_and_its_end() {
        let masked = mask_card_numbers(json!({"a": ["paid 4111 1111 1111 1111 twice: 378282246310005"],
            "5555555555554444": 4_111_111_111_111_111_u64, "b": [600, null, "ü"]}));
        let expected = json!({"a": ["paid 4111 11** **** 1111 twice: 378282*****0005"],
            "555555******4444": "411111******1111", "b": [600, null, "ü"]});
        assert_eq!(masked, expected);
    }

    #[test]
    fn the_place_of_the_first_is_told() {
        let place = |value: Value| card_number_in(&value);
        assert_eq!(place(json!({"a": {"b/c": [1, "4111111111111111"]}})).as_deref(), Some("/a/b~1c/1"));
        assert_eq!(place(json!({"a": {"4111111111111111": 1}})).as_deref(), Some("/a"));
        assert_eq!(place(json!([4_111_111_111_111_111_u64])).as_deref(), Some("/0"));
        assert_eq!(place(json!({"a": [600, true, null, "4111"]})), None);
    }
}
