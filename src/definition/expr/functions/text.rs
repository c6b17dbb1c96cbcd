//! Texts, JSON texts and tables.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::super::engine::in_order;
use super::{Answer, text_of};
use crate::types::{Value, short_key_of};

const PAD_MAX: i64 = 1_000;

/// A value as compact JSON; the keys of an object in their order.
pub(super) fn json(args: &[Value]) -> Answer {
    let value = args.first().ok_or("is about a value")?;
    Ok(Value::String(in_order(value).to_string()))
}

pub(super) fn parse_json(args: &[Value]) -> Answer {
    serde_json::from_str(text_of(args, 0)?).map_err(|_| "is about a JSON text")
}

/// The text of a member of a JSON object exactly as it stands there: what Alipay signs. `*_response` is the first member
/// whose name ends so.
pub(super) fn raw_member(args: &[Value]) -> Answer {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(text_of(args, 0)?).map_err(|_| "is about a JSON object")?;
    let name = text_of(args, 1)?;
    let found = match name.strip_prefix('*') {
        Some(end) => members.iter().find(|(name, _)| name.ends_with(end)).map(|(_, raw)| raw),
        None => members.get(name),
    };
    found.map(|raw| Value::from(raw.get())).ok_or("finds no such member")
}

/// `pad(7, 3, "0")` is `"007"`.
pub(super) fn pad(args: &[Value]) -> Answer {
    let text = match args.first() {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => return Err("is about a text or a number"),
    };
    let length = args.get(1).and_then(Value::as_i64).filter(|length| (0..=PAD_MAX).contains(length));
    let length = length.and_then(|length| usize::try_from(length).ok()).ok_or("pads to 1,000 characters at most")?;
    let mut fill = text_of(args, 2)?.chars();
    let (Some(fill), None) = (fill.next(), fill.next()) else { return Err("is filled with one character") };
    let missing = length.saturating_sub(text.chars().count());
    Ok(Value::String(std::iter::repeat_n(fill, missing).collect::<String>() + &text))
}

/// What a table has for a key, or the third argument.
pub(super) fn lookup(args: &[Value]) -> Answer {
    let table = args.first().and_then(Value::as_object).ok_or("looks into an object")?;
    let found = match args.get(1) {
        Some(Value::String(key)) => table.get(key),
        Some(key) => table.get(&key.to_string()),
        None => None,
    };
    found.or_else(|| args.get(2)).cloned().ok_or("finds no such key")
}

/// What comes once is no list in XML, and what does not come is nothing: both are lists here.
pub(super) fn list(args: &[Value]) -> Answer {
    Ok(match args.first() {
        Some(Value::Array(items)) => Value::Array(items.clone()),
        None | Some(Value::Null) => Value::Array(Vec::new()),
        Some(one) if one.as_str() == Some("") => Value::Array(Vec::new()),
        Some(one) => Value::Array(vec![one.clone()]),
    })
}

/// Whether one of the list is the text, or its beginning where it ends with `*`: `"05"`, `"card_*"`.
pub(super) fn matches_any(args: &[Value]) -> Answer {
    let text = text_of(args, 0)?;
    let list = args.get(1).and_then(Value::as_array).ok_or("looks into a list")?;
    let fits = |pattern: &str| match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == pattern,
    };
    Ok(Value::Bool(list.iter().filter_map(Value::as_str).any(fits)))
}

/// A key or an order's id in at most 32 small letters and digits, for providers that take no more.
pub(super) fn short_key(args: &[Value]) -> Answer {
    short_key_of(text_of(args, 0)?).map(Value::String).ok_or("is about `key` or `order.id`")
}
