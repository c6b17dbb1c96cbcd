//! What loops walk over and gather: in one order on every machine, and not too much of it.

use std::sync::Arc;

use ::cel::common::types::{DYN_TYPE, Kind};
use ::cel::common::value::CowVal;
use ::cel::objects::Key;
use ::cel::{DeclarationError, Env, ExecutionError};

use super::{Evaluated, owned, type_name};

/// Wraps what a loop walks over: bounds it, and gives the keys of an object in one order on every machine.
pub(super) const EACH: &str = "@each";
/// Wraps what is added to something: CEL would append an object's keys to a list in an order that is never the same.
pub(super) const ADDED: &str = "@added";

/// Elements that a loop such as `exists` walks over.
const LOOP_MAX: usize = 1000;

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(EACH, EACH, vec![DYN_TYPE], each)?;
    env.add_overload(ADDED, ADDED, vec![DYN_TYPE], added)
}

fn each<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let range = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    let value = ::cel::Value::try_from(range.as_ref())?;
    let length = match &value {
        ::cel::Value::List(items) => items.len(),
        ::cel::Value::Map(map) => map.map.len(),
        _ => return Err(ExecutionError::UnexpectedType { got: type_name(&value), want: "a list".to_owned() }),
    };
    if length > LOOP_MAX {
        return Err(ExecutionError::function_error("a loop over so many elements", "too long"));
    }
    let ::cel::Value::Map(map) = value else { return Ok(range) };
    let mut keys: Vec<Key> = map.map.keys().cloned().collect();
    keys.sort();
    owned(::cel::Value::List(Arc::new(keys.into_iter().map(::cel::Value::from).collect())))
}

fn added<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let value = args.pop().ok_or_else(ExecutionError::missing_argument_or_target)?;
    if value.get_type().kind() == Kind::Map {
        let (got, want) = ("an object".to_owned(), "what can be added".to_owned());
        return Err(ExecutionError::UnexpectedType { got, want });
    }
    Ok(value)
}
