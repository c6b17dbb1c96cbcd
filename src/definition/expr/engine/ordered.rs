//! Objects that are written down as the expression has them: a map of CEL has no order, and a signature over JSON or a form does.
//!
//! What stands in braces goes to the function as a list of names and values, behind a mark; the function makes the object of it.

use ::cel::common::ast::{CallExpr, EntryExpr, Expr as Node, IdedExpr, ListExpr, LiteralValue, operators};
use ::cel::common::types::{CelString, DYN_TYPE};
use ::cel::common::value::CowVal;
use ::cel::{DeclarationError, Env, ExecutionError};

use super::Evaluated;
use crate::types::Value;

/// Wraps a list that stands for an object.
pub(super) const ORDERED: &str = "@ordered";
/// The functions that write an object down.
pub(super) const WRITERS: &[&str] = &["json", "form"];
const MARK: &str = "\u{0}in order";

/// Puts what stands in braces in its order, also inside of lists and of other braces.
pub(super) fn keep_order(node: &mut IdedExpr) {
    match &mut node.expr {
        Node::Call(call) if call.func_name == operators::CONDITIONAL => {
            call.args.iter_mut().skip(1).for_each(keep_order)
        }
        Node::List(list) => list.elements.iter_mut().for_each(keep_order),
        Node::Map(map) => {
            let mut elements = vec![text(node.id, MARK)];
            for entry in std::mem::take(&mut map.entries) {
                // Maps of CEL have nothing else.
                let EntryExpr::MapEntry(mut entry) = entry.expr else { continue };
                keep_order(&mut entry.value);
                elements.extend([entry.key, entry.value]);
            }
            let list = IdedExpr { id: node.id, expr: Node::List(ListExpr::new(elements)) };
            node.expr = Node::Call(CallExpr { func_name: ORDERED.to_owned(), target: None, args: vec![list] });
        }
        _ => {}
    }
}

fn text(id: u64, text: &str) -> IdedExpr {
    IdedExpr { id, expr: Node::Literal(LiteralValue::String(CelString::from(text.to_owned()))) }
}

pub(super) fn declare(env: &mut Env) -> Result<(), DeclarationError> {
    env.add_overload(ORDERED, ORDERED, vec![DYN_TYPE], ordered)
}

fn ordered<'b, 'v>(mut args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    args.pop().ok_or_else(ExecutionError::missing_argument_or_target)
}

/// The value with objects where such lists are.
pub(in crate::definition::expr) fn in_order(value: &Value) -> Value {
    match value {
        Value::Array(items) if items.first().and_then(Value::as_str) == Some(MARK) => {
            let pairs = items.get(1..).unwrap_or_default().chunks_exact(2);
            let pair = |pair: &[Value]| match pair {
                [name, value] => Some((crate::definition::scalar_text(name)?, in_order(value))),
                _ => None,
            };
            Value::Object(pairs.filter_map(pair).collect())
        }
        Value::Array(items) => items.iter().map(in_order).collect(),
        Value::Object(fields) => fields.iter().map(|(name, field)| (name.clone(), in_order(field))).collect(),
        other => other.clone(),
    }
}
