//! Answers of a scripted provider, and how a scenario writes them.

use serde_json::Map;

use crate::machine::Outcome;
use crate::types::{Value, parse_duration};

const NAMES: [&str; 8] = ["ok", "declined", "unknown", "not_sent", "pending", "action_required", "not_found", "auto"];

/// What the provider does with one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It happens, and the caller hears of it. `not_sent` and `unknown` have no effect.
    Says(Outcome),
    /// It happens, and the answer is lost on the way.
    Lost(Outcome),
    /// The truth about the key, whatever it is: `not_found` when nothing happened.
    Auto,
}

/// Answers of one operation, in order, and what comes after them.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    pub invoke: Vec<Answer>,
    pub inquire: Vec<Answer>,
    pub otherwise: Answer,
    pub inquire_otherwise: Answer,
    /// A repeated key gets the first answer. `replay: none` makes a provider that does it again.
    pub replays: bool,
}

/// What is wrong with a script, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("{}: ", path.join(".")) })]
pub struct ScriptError {
    /// Keys and list positions that lead to the place.
    pub path: Vec<String>,
    pub message: String,
}

impl Default for Script {
    fn default() -> Self {
        let ok = Answer::Says(Outcome::Ok { result: Value::Null });
        Self { invoke: Vec::new(), inquire: Vec::new(), otherwise: ok, inquire_otherwise: Answer::Auto, replays: true }
    }
}

impl Script {
    /// Reads one of
    /// - an answer: the answer to every invocation,
    /// - a list of answers: one for each invocation, `ok` after them,
    /// - `{invoke: [...], inquire: [...], default: answer, inquire_default: answer, replay: stored | none}`.
    pub fn parse(value: &Value) -> Result<Self, ScriptError> {
        let mut script = Self::default();
        match value {
            Value::Array(_) => script.set("invoke", value)?,
            Value::Object(fields) if fields.keys().any(|key| KEYS.contains(&key.as_str())) => {
                for (key, value) in fields {
                    script.set(key, value).map_err(|error| error.under(key))?;
                }
            }
            _ => script.set("default", value)?,
        }
        Ok(script)
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<(), ScriptError> {
        match (key, value) {
            ("invoke", _) => self.invoke = answers(value, Answer::parse_invoke)?,
            ("inquire", _) => self.inquire = answers(value, Answer::parse)?,
            ("default", _) => self.otherwise = Answer::parse_invoke(value)?,
            ("inquire_default", _) => self.inquire_otherwise = Answer::parse(value)?,
            ("replay", Value::String(text)) if text == "none" => self.replays = false,
            ("replay", Value::String(text)) if text == "stored" => self.replays = true,
            ("replay", _) => return Err(ScriptError::new("expected stored or none")),
            _ => return Err(ScriptError::unknown("key of a script", key, &KEYS)),
        }
        Ok(())
    }
}

const KEYS: [&str; 5] = ["invoke", "inquire", "default", "inquire_default", "replay"];

impl Answer {
    /// Reads `ok`, `{ok: {id: a1}}`, `{declined: insufficient_funds}`, `{declined: {code, soft, result}}`, `unknown`,
    /// `{unknown: applied}`, `{unknown: <the answer that was lost>}`, `{not_sent: {reason, retry_after: 5s}}`,
    /// `{pending: reference}`, `{action_required: {...}}`, `not_found` or `auto`.
    pub fn parse(value: &Value) -> Result<Self, ScriptError> {
        match value {
            Value::String(name) => Self::named(name, &Value::Null),
            Value::Object(fields) if fields.len() == 1 => {
                let Some((name, detail)) = fields.iter().next() else { return Err(Self::expected()) };
                Self::named(name, detail).map_err(|error| error.under(name))
            }
            _ => Err(Self::expected()),
        }
    }

    /// The same without the answers that only an inquiry gets.
    pub fn parse_invoke(value: &Value) -> Result<Self, ScriptError> {
        match Self::parse(value)? {
            Self::Auto | Self::Says(Outcome::NotFound) => Err(ScriptError::new("only an inquiry is answered so")),
            answer => Ok(answer),
        }
    }

    fn named(name: &str, detail: &Value) -> Result<Self, ScriptError> {
        Ok(Self::Says(match name {
            "ok" => Outcome::Ok { result: detail.clone() },
            "action_required" => Outcome::ActionRequired { result: detail.clone() },
            "declined" => declined(detail)?,
            "pending" => pending(detail)?,
            "not_sent" => {
                let (reason, retry_after_ms) = reason(detail, "scripted")?;
                Outcome::NotSent { reason, retry_after_ms }
            }
            "unknown" => return Self::unknown(detail),
            "not_found" if detail.is_null() => Outcome::NotFound,
            "auto" if detail.is_null() => return Ok(Self::Auto),
            "not_found" | "auto" => return Err(ScriptError::new("takes nothing")),
            _ => return Err(ScriptError::unknown("answer", name, &NAMES)),
        }))
    }

    fn unknown(detail: &Value) -> Result<Self, ScriptError> {
        match detail {
            Value::Null => Ok(Self::Says(Self::lost())),
            Value::String(text) if text == "applied" => Ok(Self::Lost(Outcome::Ok { result: Value::Null })),
            Value::Object(fields) if fields.contains_key("reason") || fields.contains_key("retry_after") => {
                let (reason, retry_after_ms) = reason(detail, "scripted")?;
                Ok(Self::Says(Outcome::Unknown { reason, retry_after_ms }))
            }
            _ => match Self::parse(detail)? {
                Self::Says(outcome) if outcome.has_effect() => Ok(Self::Lost(outcome)),
                _ => Err(ScriptError::new("expected `applied`, or the answer that was lost")),
            },
        }
    }

    pub(super) fn lost() -> Outcome {
        Outcome::Unknown { reason: "scripted: the answer was lost".to_owned(), retry_after_ms: None }
    }

    fn expected() -> ScriptError {
        ScriptError::new(format!("expected an answer: {}, or one of them with a value", NAMES.join(", ")))
    }
}

impl Outcome {
    /// The provider took note of the request.
    pub(super) fn has_effect(&self) -> bool {
        !matches!(self, Self::NotSent { .. } | Self::Unknown { .. } | Self::NotFound)
    }
}

impl ScriptError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { path: Vec::new(), message: message.into() }
    }

    #[must_use]
    pub(super) fn under(mut self, part: &str) -> Self {
        self.path.insert(0, part.to_owned());
        self
    }

    fn unknown(what: &str, name: &str, known: &[&str]) -> Self {
        let near = known.iter().max_by(|a, b| strsim::jaro(a, name).total_cmp(&strsim::jaro(b, name)));
        let near = near.filter(|near| strsim::jaro(near, name) > 0.7);
        let hint = near.map(|near| format!(", did you mean {near}?")).unwrap_or_default();
        Self::new(format!("unknown {what} {name}{hint} (known: {})", known.join(", ")))
    }
}

fn answers(value: &Value, parse: fn(&Value) -> Result<Answer, ScriptError>) -> Result<Vec<Answer>, ScriptError> {
    let Value::Array(items) = value else { return Ok(vec![parse(value)?]) };
    let item = |(index, item): (usize, &Value)| parse(item).map_err(|error| error.under(&index.to_string()));
    items.iter().enumerate().map(item).collect()
}

fn declined(detail: &Value) -> Result<Outcome, ScriptError> {
    let empty = Map::new();
    let (fields, code) = match detail {
        Value::Null => (&empty, "declined"),
        Value::String(code) => (&empty, code.as_str()),
        Value::Object(fields) => {
            known(fields, &["code", "soft", "result"])?;
            (fields, text(fields, "code")?.unwrap_or("declined"))
        }
        _ => return Err(ScriptError::new("expected a code, or {code, soft, result}")),
    };
    let soft = match fields.get("soft") {
        None => false,
        Some(Value::Bool(soft)) => *soft,
        Some(_) => return Err(ScriptError::new("expected true or false").under("soft")),
    };
    Ok(Outcome::Declined { code: code.to_owned(), soft, result: fields.get("result").cloned().unwrap_or_default() })
}

fn pending(detail: &Value) -> Result<Outcome, ScriptError> {
    match detail {
        Value::Null => Ok(Outcome::Pending { reference: None, result: Value::Null }),
        Value::String(reference) => Ok(Outcome::Pending { reference: Some(reference.clone()), result: Value::Null }),
        Value::Object(fields) => {
            known(fields, &["reference", "result"])?;
            let reference = text(fields, "reference")?.map(str::to_owned);
            Ok(Outcome::Pending { reference, result: fields.get("result").cloned().unwrap_or_default() })
        }
        _ => Err(ScriptError::new("expected a reference, or {reference, result}")),
    }
}

fn reason(detail: &Value, default: &str) -> Result<(String, Option<u64>), ScriptError> {
    match detail {
        Value::Null => Ok((default.to_owned(), None)),
        Value::String(reason) => Ok((reason.clone(), None)),
        Value::Object(fields) => {
            known(fields, &["reason", "retry_after"])?;
            let wait = text(fields, "retry_after")?.map(parse_duration).transpose();
            let wait = wait.map_err(|error| ScriptError::new(error.to_string()).under("retry_after"))?;
            let wait = wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
            Ok((text(fields, "reason")?.unwrap_or(default).to_owned(), wait))
        }
        _ => Err(ScriptError::new("expected a reason, or {reason, retry_after}")),
    }
}

fn text<'a>(fields: &'a Map<String, Value>, key: &str) -> Result<Option<&'a str>, ScriptError> {
    match fields.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(ScriptError::new("expected a text").under(key)),
    }
}

fn known(fields: &Map<String, Value>, names: &[&str]) -> Result<(), ScriptError> {
    match fields.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(ScriptError::unknown("key", key, names)),
        None => Ok(()),
    }
}
