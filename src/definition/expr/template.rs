//! JSON values with `${…}` in their strings.

use super::{EvalError, Expr, ExprError, Scope, lexical};
use crate::types::Value;

/// Bytes of one joined text.
const TEXT_MAX: usize = 256 * 1024;

/// A JSON value with `${…}` in its strings. A string that is one `${…}` and nothing else keeps the type of its value.
#[derive(Clone, Debug)]
pub enum Template {
    Literal(Value),
    Expr(Expr),
    /// Text and expressions, joined.
    Text(Vec<TextPart>),
    Object(Vec<(String, Template)>),
    Array(Vec<Template>),
}

#[derive(Clone, Debug)]
pub enum TextPart {
    Text(String),
    Expr(Expr),
}

type Errors = Vec<(Vec<String>, ExprError)>;

impl Template {
    /// Compiles every string in `value`. Each error comes with the path to its string inside `value`.
    pub fn compile(value: &Value, roots: &[&str]) -> Result<Self, Vec<(Vec<String>, ExprError)>> {
        let mut errors = Vec::new();
        let template = compile(value, roots, &mut Vec::new(), &mut errors);
        if errors.is_empty() { Ok(template) } else { Err(errors) }
    }

    pub fn render(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Expr(expr) => expr.eval(scope),
            Self::Text(parts) => join(parts, scope).map(Value::String),
            Self::Array(items) => {
                items.iter().map(|item| item.render(scope)).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Object(fields) => {
                let render = |(name, field): &(String, Self)| Ok((name.clone(), field.render(scope)?));
                fields.iter().map(render).collect::<Result<_, _>>().map(Value::Object)
            }
        }
    }

    /// Every expression in it, for the checker.
    pub fn expressions(&self) -> Vec<&Expr> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'a>(&'a self, into: &mut Vec<&'a Expr>) {
        match self {
            Self::Literal(_) => {}
            Self::Expr(expr) => into.push(expr),
            Self::Text(parts) => into.extend(parts.iter().filter_map(|part| match part {
                TextPart::Text(_) => None,
                TextPart::Expr(expr) => Some(expr),
            })),
            Self::Object(fields) => fields.iter().for_each(|(_, field)| field.collect(into)),
            Self::Array(items) => items.iter().for_each(|item| item.collect(into)),
        }
    }
}

/// A value as it is joined into a text. Objects, lists and null have no text.
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn join(parts: &[TextPart], scope: &Scope<'_>) -> Result<String, EvalError> {
    let mut out = String::new();
    for part in parts {
        match part {
            TextPart::Text(text) => out.push_str(text),
            TextPart::Expr(expr) => {
                let value = expr.eval(scope)?;
                let message = "has no text: a list, an object or null cannot be joined into one";
                let text = scalar_text(&value).ok_or_else(|| expr.error(message.to_owned()))?;
                out.push_str(&text);
                if out.len() > TEXT_MAX {
                    return Err(expr.error("the joined text is too long".to_owned()));
                }
            }
        }
    }
    Ok(out)
}

fn compile(value: &Value, roots: &[&str], path: &mut Vec<String>, errors: &mut Errors) -> Template {
    match value {
        Value::String(text) => compile_text(text, roots).unwrap_or_else(|error| {
            errors.push((path.clone(), error));
            Template::Literal(Value::Null)
        }),
        Value::Array(items) => {
            let items: Vec<Template> = items
                .iter()
                .enumerate()
                .map(|(index, item)| within(path, index.to_string(), |path| compile(item, roots, path, errors)))
                .collect();
            collapse_array(items)
        }
        Value::Object(fields) => {
            let fields: Vec<(String, Template)> = fields
                .iter()
                .map(|(name, field)| {
                    (name.clone(), within(path, name.clone(), |path| compile(field, roots, path, errors)))
                })
                .collect();
            collapse_object(fields)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => Template::Literal(value.clone()),
    }
}

fn within<T>(path: &mut Vec<String>, step: String, run: impl FnOnce(&mut Vec<String>) -> T) -> T {
    path.push(step);
    let out = run(path);
    path.pop();
    out
}

/// What has no expression in it is one literal: rendering it is a clone.
fn collapse_array(items: Vec<Template>) -> Template {
    let literals: Option<Vec<Value>> = items.iter().map(literal).collect();
    literals.map_or(Template::Array(items), |values| Template::Literal(Value::Array(values)))
}

fn collapse_object(fields: Vec<(String, Template)>) -> Template {
    let literals = fields.iter().map(|(name, field)| Some((name.clone(), literal(field)?))).collect::<Option<_>>();
    literals.map_or(Template::Object(fields), |values| Template::Literal(Value::Object(values)))
}

fn literal(template: &Template) -> Option<Value> {
    match template {
        Template::Literal(value) => Some(value.clone()),
        _ => None,
    }
}

/// `$${` stands for the characters `${`.
fn compile_text(text: &str, roots: &[&str]) -> Result<Template, ExprError> {
    let mut parts: Vec<TextPart> = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("${")) {
        let dollar = at + found;
        let escaped = text.get(..dollar).is_some_and(|before| before.len() > at && before.ends_with('$'));
        plain.push_str(text.get(at..dollar - usize::from(escaped)).unwrap_or_default());
        at = dollar + 2;
        if escaped {
            plain.push_str("${");
            continue;
        }
        let (expr, after) = compile_at(text, at, roots)?;
        if !plain.is_empty() {
            parts.push(TextPart::Text(std::mem::take(&mut plain)));
        }
        parts.push(TextPart::Expr(expr));
        at = after;
    }
    plain.push_str(text.get(at..).unwrap_or_default());
    if parts.is_empty() {
        return Ok(Template::Literal(Value::String(plain)));
    }
    if !plain.is_empty() {
        parts.push(TextPart::Text(plain));
    }
    Ok(match <[TextPart; 1]>::try_from(parts) {
        Ok([TextPart::Expr(only)]) => Template::Expr(only),
        Ok(parts) => Template::Text(parts.into()),
        Err(parts) => Template::Text(parts),
    })
}

/// The expression that begins at `start`, and where the text behind its `}` begins.
fn compile_at(text: &str, start: usize, roots: &[&str]) -> Result<(Expr, usize), ExprError> {
    let rest = text.get(start..).unwrap_or_default();
    let shift = |mut error: ExprError| {
        error.offset += start;
        error
    };
    let length = lexical::until_closing_brace(rest).map_err(shift)?;
    let expr = Expr::compile(rest.get(..length).unwrap_or_default(), roots).map_err(shift)?;
    Ok((expr, start + length + 1))
}
