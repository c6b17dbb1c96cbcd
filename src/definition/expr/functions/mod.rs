//! The functions that providers' signatures and formats need. Pure: values in, a value out, and no data in a message.

mod amounts;
mod bytes;
mod params;
mod text;
mod time;

use super::engine::Type;
use crate::types::Value;
use Type::{Any, Bool, Int, List, Object, Text};

/// What a function says when it has no value.
pub(super) type Answer = Result<Value, &'static str>;

/// A function as expressions call it.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// What each argument may be; `&[]` is anything.
    pub(super) takes: &'static [&'static [Type]],
    /// How many of the last arguments may be left out.
    pub(super) optional: usize,
    pub(super) gives: Type,
    pub(super) run: fn(&[Value]) -> Answer,
}

const TEXT: &[Type] = &[Text];
const OBJECT: &[Type] = &[Object];
const TIME: &[Type] = &[Text, Int];
const ANY: &[Type] = &[];

const fn function(
    name: &'static str,
    takes: &'static [&'static [Type]],
    optional: usize,
    gives: Type,
    run: fn(&[Value]) -> Answer,
) -> Function {
    Function { name, takes, optional, gives, run }
}

pub(super) const FUNCTIONS: &[Function] = &[
    function("hash", &[TEXT, TEXT, TEXT], 1, Text, bytes::hash),
    function("crc32", &[TEXT], 0, Int, bytes::crc32),
    function("base64", &[TEXT], 0, Text, bytes::base64),
    function("base64url", &[TEXT], 0, Text, bytes::base64url),
    function("unbase64", &[TEXT], 0, Text, bytes::unbase64),
    function("hex", &[TEXT], 0, Text, bytes::hex),
    function("url_encode", &[TEXT], 0, Text, params::url_encode),
    function("form", &[OBJECT], 0, Text, params::form),
    function("parse_form", &[TEXT], 0, Object, params::parse_form),
    function("sorted_params", &[OBJECT, &[List]], 1, Text, params::sorted_params),
    function("param", &[TEXT, TEXT, TEXT], 0, Text, params::param),
    function("params", &[TEXT, TEXT, TEXT], 0, List, params::params),
    function("json", &[ANY], 0, Text, text::json),
    function("parse_json", &[TEXT], 0, Any, text::parse_json),
    function("raw_member", &[TEXT, TEXT], 0, Text, text::raw_member),
    function("pad", &[&[Text, Int], &[Int], TEXT], 0, Text, text::pad),
    function("lookup", &[OBJECT, &[Text, Int], ANY], 0, Any, text::lookup),
    function("list", &[ANY], 0, List, text::list),
    function("matches_any", &[TEXT, &[List]], 0, Bool, text::matches_any),
    function("short_key", &[TEXT], 0, Text, text::short_key),
    function("uuid", &[TEXT], 0, Text, bytes::uuid),
    function("rescale", &[&[Int], &[Text, Int], &[Text, Int]], 0, Int, amounts::rescale),
    function("currency_digits", &[TEXT], 0, Int, amounts::currency_digits),
    function("currency_number", &[TEXT], 0, Text, amounts::currency_number),
    function("unix", &[TIME], 0, Int, time::unix),
    function("unix_ms", &[TIME], 0, Int, time::unix_ms),
    function("format_time", &[TIME, TEXT, TEXT], 1, Text, time::format_time),
];

pub(crate) use self::params::{decode_form, encode_form, percent_encode};

fn text_of(args: &[Value], at: usize) -> Result<&str, &'static str> {
    args.get(at).and_then(Value::as_str).ok_or("is about a text")
}

#[cfg(test)]
mod tests;
