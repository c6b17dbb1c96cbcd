//! Bodies: values ↔ the bytes that providers write and read. Bounded, and without a network.

mod xml;

pub(super) use self::xml::{escaped as escaped_for_xml, top as top_of_xml};

use super::json::{JsonError, parse_json};
use crate::definition::{BodyEncoding, ReplyFormat, decode_form, encode_form};
use crate::types::Value;

/// Why bytes are not what they should be. Says nothing about the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    #[error("{0}")]
    Json(#[from] JsonError),
    #[error("not a form in UTF-8")]
    Form,
    #[error("not XML, or XML with a document type that declares something")]
    Xml,
    #[error("not text in UTF-8")]
    Text,
}

/// The content type of a body that is written so.
pub(super) const fn content_type(encoding: BodyEncoding) -> &'static str {
    match encoding {
        BodyEncoding::Json => "application/json",
        BodyEncoding::Form(_) => "application/x-www-form-urlencoded",
        BodyEncoding::Xml => "application/xml; charset=utf-8",
        BodyEncoding::Text => "text/plain; charset=utf-8",
    }
}

/// What the answer should be, for `accept`.
pub(super) const fn accept(format: ReplyFormat) -> &'static str {
    match format {
        ReplyFormat::SaysJson | ReplyFormat::Json => "application/json",
        ReplyFormat::Xml => "application/xml, text/xml",
        ReplyFormat::Form | ReplyFormat::Text => "*/*",
    }
}

/// A value as the body of a request; or why it cannot be one.
pub(super) fn encode(body: &Value, encoding: BodyEncoding) -> Result<String, &'static str> {
    match encoding {
        BodyEncoding::Json => Ok(body.to_string()),
        BodyEncoding::Form(lists) => {
            encode_form(body, lists).ok_or("a form is an object that nests 16 deep at most, and has 2 MiB at most")
        }
        BodyEncoding::Xml => xml::encode(body),
        BodyEncoding::Text => match body {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err("the body is not a text"),
        },
    }
}

/// The value of bytes that came in.
pub(super) fn decode(bytes: &[u8], format: ReplyFormat) -> Result<Value, BodyError> {
    let text = || std::str::from_utf8(bytes).map_err(|_| BodyError::Text);
    match format {
        // Some providers begin with the mark of UTF-8.
        ReplyFormat::SaysJson | ReplyFormat::Json => {
            Ok(parse_json(bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes))?)
        }
        ReplyFormat::Form => decode_form(text()?).ok_or(BodyError::Form),
        ReplyFormat::Xml => xml::decode(text()?).ok_or(BodyError::Xml),
        ReplyFormat::Text => text().map(Value::from),
    }
}
