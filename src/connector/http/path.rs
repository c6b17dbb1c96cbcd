//! Paths and query values from templates: each value is one percent-encoded piece.

use super::send::Failure;
use crate::definition::{Scope, Template, TextPart, percent_encode};
use crate::types::Value;

const LENGTH_MAX: usize = 8 * 1024;

/// Renders a path. Text stands as it is written, a value is encoded.
///
/// A value in the path is never empty: `/payments/${with.id}` without an id is another address, often one that lists
/// or changes everything. After a `?` it may be.
pub(super) fn render_path(template: &Template, scope: &Scope<'_>) -> Result<String, Failure> {
    let mut out = String::new();
    match template {
        Template::Literal(Value::String(text)) => out.push_str(text),
        Template::Expr(expr) => push_value(&mut out, &expr.eval(scope).map_err(Failure::eval("path"))?)?,
        Template::Text(parts) => {
            for part in parts {
                match part {
                    TextPart::Text(text) => out.push_str(text),
                    TextPart::Expr(expr) => {
                        push_value(&mut out, &expr.eval(scope).map_err(Failure::eval("path"))?)?;
                    }
                }
            }
        }
        Template::Literal(_) | Template::Object(_) | Template::Array(_) => {
            return Err(Failure::not_sent("request: the path is not text"));
        }
    }
    let path = out.split('?').next().unwrap_or_default();
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(Failure::not_sent("request: the path leads out of itself"));
    }
    if out.len() > LENGTH_MAX {
        return Err(Failure::not_sent("request: the path is too long"));
    }
    Ok(out)
}

/// Appends `name=value`, both encoded. A null leaves the parameter out.
pub(super) fn push_query(path: &mut String, name: &str, template: &Template, scope: &Scope<'_>) -> Result<(), Failure> {
    let value = template.render(scope).map_err(Failure::eval("query"))?;
    if value.is_null() {
        return Ok(());
    }
    let value = scalar(&value).ok_or_else(|| Failure::not_sent("request: a query value is not a text or a number"))?;
    push_pair(path, name, &value)
}

/// The same for a value that is known.
pub(super) fn push_pair(path: &mut String, name: &str, value: &str) -> Result<(), Failure> {
    path.push(if path.contains('?') { '&' } else { '?' });
    path.push_str(&percent_encode(name));
    path.push('=');
    path.push_str(&percent_encode(value));
    if path.len() > LENGTH_MAX {
        return Err(Failure::not_sent("request: the query is too long"));
    }
    Ok(())
}

/// The text of a string, a number or a boolean.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn push_value(out: &mut String, value: &Value) -> Result<(), Failure> {
    let text =
        scalar(value).ok_or_else(|| Failure::not_sent("request: a value in the path is not text or a number"))?;
    if text.is_empty() && !out.contains('?') {
        return Err(Failure::not_sent("request: a value in the path is empty"));
    }
    out.push_str(&percent_encode(&text));
    Ok(())
}
