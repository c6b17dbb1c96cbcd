//! Parameters: `a=1&b=2` in the ways that providers write and sign them.

use serde_json::Map;

use super::super::engine::in_order;
use super::{Answer, text_of};
use crate::definition::Lists;
use crate::types::Value;

const PARTS_MAX: usize = 1_000;
const DEPTH_MAX: usize = 16;
/// Bytes of a form: a long name is written again for everything inside of it.
const FORM_MAX: usize = 2 << 20;

pub(super) fn url_encode(args: &[Value]) -> Answer {
    Ok(Value::String(percent_encode(text_of(args, 0)?)))
}

/// An object as a form, as it is sent: `a=1&b%5Bc%5D=2`.
pub(super) fn form(args: &[Value]) -> Answer {
    let fields = in_order(args.first().ok_or("is about an object")?);
    encode_form(&fields, Lists::Indices)
        .map(Value::String)
        .ok_or("is about an object that nests 16 deep at most, and makes 2 MiB at most")
}

/// The fields of a form. A name that comes twice has its values in a list.
pub(super) fn parse_form(args: &[Value]) -> Answer {
    decode_form(text_of(args, 0)?).ok_or("is about a form of 1,000 fields at most, in UTF-8")
}

/// The same, for bodies.
pub(crate) fn decode_form(text: &str) -> Option<Value> {
    let mut fields: Map<String, Value> = Map::new();
    for (count, part) in text.split('&').filter(|part| !part.is_empty()).enumerate() {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        if count == PARTS_MAX {
            return None;
        }
        match fields.get_mut(&name) {
            None => drop(fields.insert(name, Value::String(value))),
            Some(Value::Array(values)) => values.push(Value::String(value)),
            Some(one) => *one = Value::Array(vec![one.take(), Value::String(value)]),
        }
    }
    Some(Value::Object(fields))
}

/// `a=1&b=2`: the fields in the order of their names, without the empty ones and those that are named, not encoded.
/// What is a list or an object is written as JSON.
pub(super) fn sorted_params(args: &[Value]) -> Answer {
    let fields = args.first().and_then(Value::as_object).ok_or("is about an object")?;
    let none = Vec::new();
    let without = args.get(1).map_or(Some(&none), Value::as_array).ok_or("leaves out a list of names")?;
    let mut sorted: Vec<(&String, String)> = fields
        .iter()
        .filter(|(name, _)| !without.iter().any(|left| left.as_str() == Some(name)))
        .map(|(name, value)| (name, written(value)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    sorted.sort();
    let pairs: Vec<String> = sorted.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(Value::String(pairs.join("&")))
}

/// `param("t=1,v1=ab", ",", "t")` is `"1"`: the first of its name.
pub(super) fn param(args: &[Value]) -> Answer {
    match params(args)? {
        Value::Array(found) => found.into_iter().next().ok_or("finds no such parameter"),
        _ => Err("finds no such parameter"),
    }
}

/// All of a name, in their order.
pub(super) fn params(args: &[Value]) -> Answer {
    let (text, separator, name) = (text_of(args, 0)?, text_of(args, 1)?, text_of(args, 2)?);
    if separator.is_empty() {
        return Err("needs a separator");
    }
    let parts = text.split(separator).take(PARTS_MAX).filter_map(|part| part.trim().split_once('='));
    let of_name = parts.filter(|(found, _)| found.trim() == name);
    Ok(of_name.map(|(_, value)| Value::from(value.trim().trim_matches('"'))).collect())
}

/// Everything but the unreserved characters of RFC 3986.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_encoded(&mut out, text);
    out
}

/// An object as a form: nested names as `a[b]`, lists as it is asked for. Nulls are left out. None when it is no object,
/// nests too deeply, or becomes too long.
pub(crate) fn encode_form(fields: &Value, lists: Lists) -> Option<String> {
    let mut out = String::new();
    for (name, value) in fields.as_object()? {
        push_field(&mut out, &percent_encode(name), value, lists, DEPTH_MAX)?;
    }
    Some(out)
}

fn push_field(out: &mut String, name: &str, value: &Value, lists: Lists, depth: usize) -> Option<()> {
    let deeper = depth.checked_sub(1)?;
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                push_field(out, &format!("{name}%5B{}%5D", percent_encode(field)), value, lists, deeper)?;
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let name = match lists {
                    Lists::Indices => format!("{name}%5B{index}%5D"),
                    Lists::Brackets => format!("{name}%5B%5D"),
                    Lists::Repeat => name.to_owned(),
                };
                push_field(out, &name, item, lists, deeper)?;
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            if !out.is_empty() {
                out.push('&');
            }
            out.push_str(name);
            out.push('=');
            push_encoded(out, &written(value));
        }
    }
    (out.len() <= FORM_MAX).then_some(())
}

fn push_encoded(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// A value as providers sign it.
fn written(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `+` is a blank, `%41` is a letter; anything else that begins with `%` is refused.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = rest.get(2..)?;
                u8::from_str_radix(digits, 16).ok().filter(|_| digits.bytes().all(|b| b.is_ascii_hexdigit()))?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}
