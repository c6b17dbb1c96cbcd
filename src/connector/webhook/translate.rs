//! An authentic notification → an event of an order.

use std::collections::BTreeMap;

use super::super::json::{JsonError, parse_json};
use crate::definition::{EvalError, Scope, Webhooks};
use crate::types::{EventId, EventName, Value};

const TEXT_MAX: usize = 200;

/// What a notification says.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    pub event: EventName,
    /// Our reference: the key of a call, or the id of an order.
    pub correlate: String,
    pub id: EventId,
    pub payload: Value,
}

/// It is one of ours, but cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TranslateError {
    #[error(transparent)]
    Eval(#[from] EvalError),
    #[error("{0} is not a text of 1 to {TEXT_MAX} characters")]
    NotText(&'static str),
}

/// Parses the body of a notification, once its signature has been checked.
pub fn parse_notification(body: &[u8]) -> Result<Value, JsonError> {
    parse_json(body)
}

/// The first rule whose `when` holds decides. None: a notification that nobody asked for, to be acknowledged and
/// forgotten. A `when` that cannot be evaluated does not hold.
pub fn translate(
    webhooks: &Webhooks,
    body: &Value,
    headers: &BTreeMap<String, String>,
) -> Result<Option<Notification>, TranslateError> {
    let headers: Value = headers.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let scope = Scope::new().with("body", body).with("headers", &headers);
    let rule = webhooks
        .events
        .iter()
        .find(|rule| rule.when.as_ref().is_none_or(|when| when.eval_bool(&scope).unwrap_or(false)));
    let Some(rule) = rule else { return Ok(None) };
    Ok(Some(Notification {
        event: rule.event.clone(),
        correlate: text("correlate", &rule.correlate.eval(&scope)?)?,
        id: EventId::new(text("id", &rule.id.eval(&scope)?)?),
        payload: match &rule.payload {
            Some(template) => template.render(&scope)?,
            None => body.clone(),
        },
    }))
}

fn text(what: &'static str, value: &Value) -> Result<String, TranslateError> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let fits = !text.is_empty() && text.chars().count() <= TEXT_MAX && !text.chars().any(char::is_control);
    if fits { Ok(text) } else { Err(TranslateError::NotText(what)) }
}
