//! Expressions: CEL behind a fence.
//!
//! A bare path such as `input.amount` is looked up directly; anything else is compiled by CEL once (`engine`) and
//! evaluated with limits on text, depth and work.
//!
//! **Invariant.** An expression sees only the names it was compiled for, and no message about it shows data.

mod decimal;
mod engine;
mod functions;
mod lexical;
mod path;
mod template;

use std::sync::Arc;

pub use template::{Template, TextPart, scalar_text};

use self::engine::Compiled;
pub(super) use self::engine::Type;
pub(crate) use self::functions::{decode_form, encode_form, percent_encode};
use self::path::Path;
use super::suggest;
use crate::types::Value;

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expr {
    source: String,
    code: Code,
}

#[derive(Clone, Debug)]
enum Code {
    /// Most expressions are a bare path, and pay nothing for CEL.
    Path(Path),
    Cel(Arc<Compiled>),
}

/// The names that an expression can see, each with its value.
#[derive(Clone, Default)]
pub struct Scope<'a> {
    names: Vec<(&'static str, Named<'a>)>,
}

#[derive(Clone, Copy)]
enum Named<'a> {
    Value(&'a Value),
    Late(&'a dyn LateValue),
}

/// A value of a scope that is worth making only for those who read it.
pub trait LateValue {
    fn value(&self) -> &Value;
}

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExprError {
    pub message: String,
    /// Bytes from the beginning of the text.
    pub offset: usize,
    pub help: Option<String>,
    /// The name that is not known at this place, if that is what is wrong.
    pub unknown_name: Option<String>,
}

/// Why an expression has no value. The message names the expression and never shows data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{source_text}: {message}")]
pub struct EvalError {
    pub source_text: String,
    pub message: String,
}

impl<'a> Scope<'a> {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a name. The last one of the same name wins.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'a Value) -> Self {
        self.names.push((name, Named::Value(value)));
        self
    }

    /// Adds a name whose value is made only when an expression reads it.
    #[must_use]
    pub fn with_late(mut self, name: &'static str, value: &'a dyn LateValue) -> Self {
        self.names.push((name, Named::Late(value)));
        self
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        let (_, value) = self.names.iter().rev().find(|(known, _)| *known == name)?;
        Some(match value {
            Named::Value(value) => value,
            Named::Late(late) => late.value(),
        })
    }
}

impl Expr {
    /// Compiles a bare expression that may begin with the names in `roots` and no others.
    pub fn compile(text: &str, roots: &[&str]) -> Result<Self, ExprError> {
        lexical::check(text)?;
        let trimmed = text.trim();
        let code = match Path::parse(trimmed) {
            Some(path) => {
                let offset = text.len() - text.trim_start().len();
                known_root(path.root(), roots, offset)?;
                Code::Path(path)
            }
            None => Code::Cel(Arc::new(Compiled::compile(text, roots)?)),
        };
        Ok(Self { source: trimmed.to_owned(), code })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The paths that it reads, such as `["input", "amount"]`, for the checker. What only `has(…)` asks about is
    /// among them.
    pub fn paths(&self) -> Vec<Vec<String>> {
        match &self.code {
            Code::Path(path) => vec![path.names()],
            Code::Cel(compiled) => compiled.paths().map(Path::names).collect(),
        }
    }

    /// The paths that must be there: those that it reads without asking `has(…)` about them.
    pub fn required_paths(&self) -> Vec<Vec<String>> {
        match &self.code {
            Code::Path(path) => vec![path.names()],
            Code::Cel(compiled) => compiled.required_paths(),
        }
    }

    /// The path that it is, if it is a bare one.
    pub(super) fn as_path(&self) -> Option<Vec<String>> {
        match &self.code {
            Code::Path(path) => Some(path.names()),
            Code::Cel(_) => None,
        }
    }

    /// What its value is, or why it can have none. `of` tells the types of paths.
    pub(super) fn type_of(&self, of: &dyn Fn(&[String]) -> Type) -> Result<Type, String> {
        match &self.code {
            Code::Path(path) => Ok(of(&path.names())),
            Code::Cel(compiled) => compiled.type_of(of),
        }
    }

    /// It is `true` whatever the data: a rule that always holds.
    pub fn is_literally_true(&self) -> bool {
        matches!(&self.code, Code::Cel(compiled) if compiled.is_literally_true())
    }

    pub fn eval(&self, scope: &Scope<'_>) -> Result<Value, EvalError> {
        match &self.code {
            Code::Path(path) => path.lookup(scope).cloned().map_err(|missing| self.error(missing.to_string())),
            Code::Cel(compiled) => compiled.eval(scope).map_err(|message| self.error(message)),
        }
    }

    /// A guard: anything but `true` or `false` is an error.
    pub fn eval_bool(&self, scope: &Scope<'_>) -> Result<bool, EvalError> {
        self.eval(scope)?.as_bool().ok_or_else(|| self.error("is neither true nor false".to_owned()))
    }

    fn error(&self, message: String) -> EvalError {
        EvalError { source_text: self.source.clone(), message }
    }
}

fn known_root(name: &str, roots: &[&str], offset: usize) -> Result<(), ExprError> {
    if roots.contains(&name) {
        return Ok(());
    }
    let help = match name {
        "and" | "or" | "not" => Some("write `&&`, `||` or `!`".to_owned()),
        _ => suggest::did_you_mean(name, roots.iter().copied()),
    };
    let message = if roots.is_empty() {
        format!("`{name}` is not known here: no name is")
    } else {
        format!("`{name}` is not known here: an expression at this place begins with {}", {
            suggest::one_of(roots.iter().copied())
        })
    };
    Err(ExprError { message, offset, help, unknown_name: Some(name.to_owned()) })
}

#[cfg(test)]
mod tests;
