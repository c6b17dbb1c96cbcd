//! `has(item.a.b)` in a loop: false where a parent is missing or nothing, as it is outside of loops, and no error as in
//! plain CEL.

use ::cel::common::ast::{CallExpr, Expr as Node, IdedExpr, LiteralValue, SelectExpr};
use ::cel::common::types::{CelString, DYN_TYPE};
use ::cel::common::value::CowVal;
use ::cel::objects::Key;
use ::cel::{DeclarationError, Env, ExecutionError, Value};

use super::{Evaluated, owned};

pub(super) const THERE: &str = "@there";
const BETWEEN: char = '\u{0}';

/// Makes `@there(item, "a\0b")` of the question.
pub(super) fn ask(node: &mut IdedExpr) {
    let id = node.id;
    let mut names = Vec::new();
    let mut at = std::mem::take(node);
    while let Node::Select(select) = at.expr {
        let SelectExpr { operand, field, .. } = select;
        names.push(field);
        at = *operand;
    }
    names.reverse();
    let names = LiteralValue::String(CelString::from(names.join(&BETWEEN.to_string())));
    let args = vec![at, IdedExpr { id, expr: Node::Literal(names) }];
    *node = IdedExpr { id, expr: Node::Call(CallExpr { func_name: THERE.to_owned(), target: None, args }) };
}

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(THERE, THERE, vec![DYN_TYPE, DYN_TYPE], there)
}

fn there<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let [value, names] = args.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    let (mut value, names) = (Value::try_from(value.as_ref())?, Value::try_from(names.as_ref())?);
    let Value::String(names) = names else { return Err(ExecutionError::missing_argument_or_target()) };
    for name in names.split(BETWEEN) {
        let found = match &value {
            Value::Map(map) => map.map.get(&Key::from(name)).cloned(),
            _ => None,
        };
        match found {
            Some(found) => value = found,
            None => return owned(Value::Bool(false)),
        }
    }
    owned(Value::Bool(true))
}
