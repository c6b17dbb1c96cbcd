//! How much text one evaluation may make and walk over.
//!
//! CEL bounds nothing but depth. `replace` in a row multiplies, a loop repeats whatever stands in it, and what is read may
//! be an order's or a provider's: a few characters would fill the memory or keep a processor busy for minutes. So whatever
//! makes text or is read again and again is wrapped, and pays for its size.

use std::cell::Cell;

use ::cel::common::types::{DYN_TYPE, INT_TYPE, LIST_TYPE, STRING_TYPE};
use ::cel::common::value::CowVal;
use ::cel::{DeclarationError, Env, ExecutionError, Value};

use super::{Evaluated, owned, type_name, values};

/// Wraps what is paid for by its size.
pub(super) const PAID: &str = "@paid";
/// Wraps what `indexOf` looks for: it compares all of it at every place.
pub(super) const NEEDLE: &str = "@needle";
/// What an error of this file is named by.
pub(super) const TOO_MUCH: &str = "@too-much";
/// These work out what they would make before they make it.
const OURS: &[&str] = &["replace", "join"];
/// These make a text or a list as large as what they are given, or larger.
const MAKERS: &[&str] = &["split", "lowerAscii", "upperAscii", "trim", "substring", "string"];

/// Characters and elements in one evaluation: a large answer can be read some times, or made into another one.
const PURSE: usize = 8 << 20;
/// Bytes of one text on the way to a result.
const TEXT_MAX: usize = 2 << 20;
const NEEDLE_MAX: usize = 256;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

/// Begins an evaluation on this thread.
pub(super) fn begin() {
    LEFT.set(PURSE);
}

/// The function that is called instead, if there is one.
pub(super) fn instead(name: &str) -> Option<String> {
    OURS.contains(&name).then(|| format!("@{name}"))
}

/// Whether what a function makes is paid for.
pub(super) fn makes(name: &str) -> bool {
    MAKERS.contains(&name) || super::FUNCTIONS.iter().any(|function| function.name == name)
}

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(PAID, PAID, vec![DYN_TYPE], paid)?;
    env.add_overload(NEEDLE, NEEDLE, vec![DYN_TYPE], needle)?;
    env.add_member_overload("@replace", "@replace3", STRING_TYPE, vec![STRING_TYPE, STRING_TYPE], replace)?;
    env.add_member_overload("@replace", "@replace4", STRING_TYPE, vec![STRING_TYPE, STRING_TYPE, INT_TYPE], replace)?;
    env.add_member_overload("@join", "@join1", LIST_TYPE, vec![], join)?;
    env.add_member_overload("@join", "@join2", LIST_TYPE, vec![STRING_TYPE], join)
}

fn too_much() -> ExecutionError {
    ExecutionError::function_error(TOO_MUCH, "")
}

fn pay(size: usize) -> Result<(), ExecutionError> {
    LEFT.set(LEFT.get().checked_sub(size).ok_or_else(too_much)?);
    if size > TEXT_MAX { Err(too_much()) } else { Ok(()) }
}

fn size(value: &CowVal<'_, '_>) -> usize {
    value.as_ref().as_sizer().map_or(0, |sized| usize::try_from(*sized.size().inner()).unwrap_or(usize::MAX))
}

fn paid<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    pay(size(&value))?;
    Ok(value)
}

fn needle<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    if size(&value) > NEEDLE_MAX { Err(too_much()) } else { Ok(value) }
}

fn replace<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let args = values(&args)?;
    let [Value::String(text), Value::String(from), Value::String(to), most @ ..] = args.as_slice() else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    // A negative number is as good as none: all of them.
    let most = match most.first() {
        Some(Value::Int(most)) => usize::try_from(*most).unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let times = text.matches(from.as_str()).take(most).count();
    pay(text.len().saturating_add(times.saturating_mul(to.len())))?;
    owned(Value::String(text.replacen(from.as_str(), to, most).into()))
}

fn join<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let args = values(&args)?;
    let (list, separator) = match args.as_slice() {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(separator)] => (list, separator.as_str()),
        _ => return Err(ExecutionError::missing_argument_or_target()),
    };
    let mut texts = Vec::with_capacity(list.len());
    for item in list.iter() {
        let Value::String(text) = item else {
            return Err(ExecutionError::UnexpectedType { got: type_name(item), want: "string".to_owned() });
        };
        texts.push(text.as_str());
    }
    let length: usize = texts.iter().map(|text| text.len()).sum();
    pay(length.saturating_add(texts.len().saturating_mul(separator.len())))?;
    owned(Value::String(texts.join(separator).into()))
}
