//! What the values of an expression can be, told without evaluating it. Only what is certain to fail, or certain never
//! to hold, is refused: a value whose type is not known fits everywhere.

use ::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr as Node, IdedExpr, LiteralValue, operators};

use super::super::functions::FUNCTIONS;
use super::bounds::{NEEDLE, PAID};
use super::ordered::ORDERED;
use super::there::THERE;
use super::{ADDED, Compiled, EACH};

/// The type of a value, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::definition) enum Type {
    /// Not known before it is there.
    Any,
    Null,
    Bool,
    Int,
    Double,
    Text,
    List,
    Object,
}

use Type::{Any, Bool, Double, Int, List, Null, Object, Text};

/// Name, the value that it is called on, arguments, those of them that may be left out, and the result. A list of types
/// is what is taken; `&[]` takes anything.
type Signature = (&'static str, Option<&'static [Type]>, &'static [&'static [Type]], usize, Type);

const TEXT: &[Type] = &[Text];
const INT: &[Type] = &[Int];
const SIZED: &[Type] = &[Text, List, Object];
/// A number of them, or a currency.
const DIGITS: &[Type] = &[Int, Text];
const NUMERAL: &[Type] = &[Int, Double, Text];

const SIGNATURES: &[Signature] = &[
    ("size", None, &[SIZED], 0, Int),
    ("size", Some(SIZED), &[], 0, Int),
    ("contains", Some(TEXT), &[TEXT], 0, Bool),
    ("startsWith", Some(TEXT), &[TEXT], 0, Bool),
    ("endsWith", Some(TEXT), &[TEXT], 0, Bool),
    ("string", None, &[&[Bool, Int, Double, Text]], 0, Text),
    ("int", None, &[NUMERAL], 0, Int),
    ("double", None, &[NUMERAL], 0, Double),
    ("bool", None, &[&[Bool, Text]], 0, Bool),
    ("lowerAscii", Some(TEXT), &[], 0, Text),
    ("upperAscii", Some(TEXT), &[], 0, Text),
    ("trim", Some(TEXT), &[], 0, Text),
    ("replace", Some(TEXT), &[TEXT, TEXT, INT], 1, Text),
    ("split", Some(TEXT), &[TEXT, INT], 1, List),
    ("join", Some(&[List]), &[TEXT], 1, Text),
    ("substring", Some(TEXT), &[INT, INT], 1, Text),
    ("indexOf", Some(TEXT), &[TEXT, INT], 1, Int),
    ("lastIndexOf", Some(TEXT), &[TEXT, INT], 1, Int),
    ("charAt", Some(TEXT), &[INT], 0, Text),
    ("minor", None, &[NUMERAL, DIGITS], 0, Int),
    ("major", None, &[INT, DIGITS], 0, Text),
];

/// How a function may be called.
fn signatures(name: &str) -> impl Iterator<Item = Signature> {
    let ours = FUNCTIONS.iter().map(|ours| (ours.name, None, ours.takes, ours.optional, ours.gives));
    SIGNATURES.iter().copied().chain(ours).filter(move |form| form.0 == name)
}

impl Type {
    /// In words of the language.
    pub(in crate::definition) const fn name(self) -> &'static str {
        match self {
            Any => "a value",
            Null => "null",
            Bool => "true or false",
            Int | Double => "a number",
            Text => "a text",
            List => "a list",
            Object => "an object",
        }
    }

    const fn is_number(self) -> bool {
        matches!(self, Int | Double)
    }

    fn may_equal(self, other: Self) -> bool {
        self == Any || other == Any || self == other || self.is_number() && other.is_number()
    }

    /// It may be one of `taken`; an empty list takes anything.
    pub(in crate::definition) fn fits(self, taken: &[Self]) -> bool {
        self == Any || taken.is_empty() || taken.contains(&self)
    }
}

impl Compiled {
    /// What the value is, or why there can be none. `of` tells the types of paths.
    pub(in crate::definition::expr) fn type_of(&self, of: &dyn Fn(&[String]) -> Type) -> Result<Type, String> {
        Typing { compiled: self, of, locals: Vec::new() }.node(&self.tree)
    }
}

struct Typing<'a> {
    compiled: &'a Compiled,
    of: &'a dyn Fn(&[String]) -> Type,
    /// Variables of the loop around the present node.
    locals: Vec<(&'a str, Type)>,
}

type Told = Result<Type, String>;

impl<'a> Typing<'a> {
    fn node(&mut self, node: &'a IdedExpr) -> Told {
        match &node.expr {
            Node::Unspecified | Node::Struct(_) => Ok(Any),
            Node::Literal(value) => Ok(literal(value)),
            Node::Ident(name) => Ok(self.name(name)),
            Node::Select(select) => {
                self.container(&select.operand)?;
                Ok(if select.test { Bool } else { Any })
            }
            Node::List(list) => {
                list.elements.iter().try_for_each(|element| self.node(element).map(drop))?;
                Ok(List)
            }
            Node::Map(map) => {
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            let key = self.node(&entry.key)?;
                            if !key.fits(TEXT) {
                                return Err(format!("the keys of an object are texts; this one is {}", key.name()));
                            }
                            self.node(&entry.value)?;
                        }
                        EntryExpr::StructField(field) => drop(self.node(&field.value)?),
                    }
                }
                Ok(Object)
            }
            Node::Comprehension(walk) => self.walk(walk),
            Node::Call(call) => self.call(call),
        }
    }

    fn name(&self, name: &str) -> Type {
        if let Some((_, local)) = self.locals.iter().rev().find(|(local, _)| *local == name) {
            return *local;
        }
        match self.compiled.slots.iter().find(|slot| slot.name == name) {
            Some(slot) if slot.presence => Bool,
            Some(slot) => (self.of)(&slot.path.names()),
            None => Any,
        }
    }

    fn container(&mut self, node: &'a IdedExpr) -> Told {
        let found = self.node(node)?;
        if found.fits(&[List, Object]) {
            return Ok(Any);
        }
        Err(format!("{} has no fields", self.shown(node, found)))
    }

    fn walk(&mut self, walk: &'a ComprehensionExpr) -> Told {
        let range = self.node(&walk.iter_range)?;
        if !range.fits(&[List, Object]) {
            return Err(format!("a loop walks over a list or an object, not over {}", range.name()));
        }
        let sum = self.node(&walk.accu_init)?;
        let before = self.locals.len();
        self.locals.push((&walk.iter_var, if range == Object { Text } else { Any }));
        self.locals.extend(walk.iter_var2.as_deref().map(|name| (name, Any)));
        self.locals.push((&walk.accu_var, sum));
        let told = [&walk.loop_cond, &walk.loop_step, &walk.result].into_iter().map(|part| self.node(part));
        let told = told.collect::<Result<Vec<Type>, String>>().map(|types| types.last().copied().unwrap_or(Any));
        self.locals.truncate(before);
        told
    }

    fn call(&mut self, call: &'a CallExpr) -> Told {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (EACH | ADDED | PAID | NEEDLE, [only]) => self.node(only),
            (THERE, [value, _]) => self.node(value).map(|_| Bool),
            (ORDERED, [only]) => self.node(only).map(|_| Object),
            (operators::NOT_STRICTLY_FALSE, [only]) => self.node(only).map(|_| Bool),
            (operators::LOGICAL_NOT, [only]) => self.truth(only, "!"),
            (operators::LOGICAL_AND, [left, right]) => self.truth(left, "&&").and_then(|_| self.truth(right, "&&")),
            (operators::LOGICAL_OR, [left, right]) => self.truth(left, "||").and_then(|_| self.truth(right, "||")),
            (operators::CONDITIONAL, [condition, yes, no]) => {
                self.truth(condition, "?")?;
                let (yes, no) = (self.node(yes)?, self.node(no)?);
                Ok(if yes == no { yes } else { Any })
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => self.equality(left, right),
            (
                name @ (operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS),
                [left, right],
            ) => self.order(name.trim_matches('_'), left, right),
            (operators::IN, [element, range]) => self.within(element, range),
            (operators::INDEX, [value, index]) => {
                self.node(index)?;
                self.container(value)
            }
            (operators::NEGATE, [only]) => {
                let found = self.node(only)?;
                if found.fits(&[Int, Double]) {
                    return Ok(found);
                }
                Err(format!("`-` is applied to {}", self.shown(only, found)))
            }
            (
                name @ (operators::ADD
                | operators::SUBSTRACT
                | operators::MULTIPLY
                | operators::DIVIDE
                | operators::MODULO),
                [left, right],
            ) => self.arithmetic(name.trim_matches('_'), left, right),
            (name, _) => self.function(name.trim_start_matches('@'), call),
        }
    }

    fn truth(&mut self, node: &'a IdedExpr, operator: &str) -> Told {
        let found = self.node(node)?;
        if found.fits(&[Bool]) {
            return Ok(Bool);
        }
        let shown = self.shown(node, found);
        Err(format!("`{operator}` is about what is true or false, and {shown} is neither"))
    }

    fn equality(&mut self, left: &'a IdedExpr, right: &'a IdedExpr) -> Told {
        let (a, b) = (self.node(left)?, self.node(right)?);
        if a.may_equal(b) {
            return Ok(Bool);
        }
        Err(format!("{} and {} are never equal", self.shown(left, a), self.shown(right, b)))
    }

    fn order(&mut self, operator: &str, left: &'a IdedExpr, right: &'a IdedExpr) -> Told {
        let (a, b) = (self.node(left)?, self.node(right)?);
        let ordered = |found: Type| found.fits(&[Int, Double, Text, Bool]);
        if a.may_equal(b) && ordered(a) && ordered(b) {
            return Ok(Bool);
        }
        let (left, right) = (self.shown(left, a), self.shown(right, b));
        Err(format!("{left} and {right} cannot be compared with `{operator}`"))
    }

    fn within(&mut self, element: &'a IdedExpr, range: &'a IdedExpr) -> Told {
        let (a, b) = (self.node(element)?, self.node(range)?);
        if !b.fits(&[List, Object]) {
            return Err(format!("`in` looks into a list, and {} is none: write `[…]`", self.shown(range, b)));
        }
        if b == Object && !a.fits(TEXT) {
            return Err(format!("the keys of an object are texts, and {} is none", self.shown(element, a)));
        }
        if let Node::List(list) = &range.expr {
            for other in &list.elements {
                let found = self.node(other)?;
                if !a.may_equal(found) {
                    return Err(format!("{} and {} are never equal", self.shown(element, a), self.shown(other, found)));
                }
            }
        }
        Ok(Bool)
    }

    fn arithmetic(&mut self, operator: &str, left: &'a IdedExpr, right: &'a IdedExpr) -> Told {
        let (a, b) = (self.node(left)?, self.node(right)?);
        let taken: &[Type] = match operator {
            "+" => &[Int, Double, Text, List],
            "%" => &[Int],
            _ => &[Int, Double],
        };
        if (a == b || a == Any || b == Any) && a.fits(taken) && b.fits(taken) {
            return Ok(if a == Any { b } else { a });
        }
        let (left, right) = (self.shown(left, a), self.shown(right, b));
        Err(format!("`{operator}` cannot be applied to {left} and {right}"))
    }

    fn function(&mut self, name: &str, call: &'a CallExpr) -> Told {
        let on = call.target.as_deref().map(|target| self.node(target)).transpose()?;
        let given = call.args.iter().map(|argument| self.node(argument)).collect::<Result<Vec<Type>, String>>()?;
        let mut forms = signatures(name).peekable();
        if forms.peek().is_none() {
            return Ok(Any);
        }
        let called = |form: &Signature| match (on, form.1) {
            (None, None) => true,
            (Some(on), Some(taken)) => on.fits(taken),
            _ => false,
        };
        let fits = |form: &Signature| {
            let least = form.2.len() - form.3;
            (least..=form.2.len()).contains(&given.len()) && given.iter().zip(form.2).all(|(a, taken)| a.fits(taken))
        };
        match forms.find(|form| called(form) && fits(form)) {
            Some(form) => Ok(form.4),
            None => Err(format!("`{name}` is written {}", usage(name))),
        }
    }

    fn shown(&self, node: &IdedExpr, found: Type) -> String {
        let text = match &node.expr {
            Node::Call(call) if call.func_name == PAID && call.args.len() == 1 => {
                return self.shown(&call.args[0], found);
            }
            Node::Ident(name) => {
                self.compiled.slots.iter().find(|slot| slot.name == *name).map(|slot| slot.path.to_string())
            }
            Node::Literal(LiteralValue::String(text)) => Some(format!("{:?}", text.inner())),
            Node::Literal(LiteralValue::Int(number)) => Some(number.inner().to_string()),
            _ => None,
        };
        text.map_or_else(|| found.name().to_owned(), |text| format!("`{text}` ({})", found.name()))
    }
}

fn literal(value: &LiteralValue) -> Type {
    match value {
        LiteralValue::Boolean(_) => Bool,
        LiteralValue::Int(_) => Int,
        LiteralValue::Double(_) => Double,
        LiteralValue::String(_) => Text,
        LiteralValue::Null => Null,
        LiteralValue::Bytes(_) | LiteralValue::UInt(_) => Any,
    }
}

/// How a function is called: `` `text.split(text, number)` ``.
fn usage(name: &str) -> String {
    let word = |taken: &[Type]| match taken {
        [only] => only.name().trim_start_matches("a ").to_owned(),
        _ => "value".to_owned(),
    };
    let forms = signatures(name).map(|(_, on, arguments, optional, _)| {
        let least = arguments.len() - optional;
        let all = |count: usize| arguments.iter().take(count).map(|taken| word(taken)).collect::<Vec<_>>().join(", ");
        let on = on.map(|taken| format!("{}.", word(taken))).unwrap_or_default();
        let rest = if optional > 0 { format!(" or `{on}{name}({})`", all(arguments.len())) } else { String::new() };
        format!("`{on}{name}({})`{rest}", all(least))
    });
    forms.collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::names;
    use super::*;
    use crate::definition::expr::{Expr, Scope};
    use crate::types::Value;

    fn of(path: &[String]) -> Type {
        match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["n"] => Int,
            ["t"] => Text,
            ["l"] => List,
            ["o"] => Object,
            _ => Any,
        }
    }

    /// What is told of the types, and whether a value comes of it.
    fn both(text: &str) -> (Result<Type, String>, bool) {
        let names: [(&str, Value); 5] = [
            ("n", Value::from(2)),
            ("t", Value::from("12")),
            ("l", serde_json::json!(["a"])),
            ("o", serde_json::json!({"k": 1})),
            ("a", Value::from(1)),
        ];
        let expr = Expr::compile(text, &["n", "t", "l", "o", "a"]).unwrap();
        let scope = names.iter().fold(Scope::new(), |scope, (name, value)| scope.with(name, value));
        (expr.type_of(&of), expr.eval(&scope).is_ok())
    }

    #[test]
    fn what_is_told_agrees_with_what_happens() {
        for (text, expected) in [
            ("n == 1 || n == 1.5", Bool),
            ("n in [1, 2]", Bool),
            ("t in o", Bool),
            ("n < 2.5 && t < 'x'", Bool),
            ("n + 1", Int),
            ("a + 1", Int),
            ("t + '!'", Text),
            ("l + [1]", List),
            ("-n", Int),
            ("n > 1 ? t : 'x'", Text),
            ("n > 1 ? t : 1", Any),
            ("has(o.k) && !has(o.x)", Bool),
            ("l.exists(i, i == 'a') && o.all(k, k == 'k')", Bool),
            ("l.exists_one(i, i == 'a')", Bool),
            ("l.filter(i, i != 'a')", List),
            ("l.map(i, i + 'b')", List),
            ("o.k", Any),
            ("l[0]", Any),
            ("{'x': n}", Object),
            ("size(l) + l.size() + size(t) + t.size() + size(o)", Int),
            ("t.contains('1') && t.startsWith('1') && t.endsWith('2')", Bool),
            ("string(n) + string(t) + string(true) + string(1.5)", Text),
            ("int(t) + int(n) + int(1.5)", Int),
            ("double(t) + double(n) + double(1.5)", Double),
            ("bool(true) || bool('true')", Bool),
            ("t.lowerAscii() + t.upperAscii() + t.trim()", Text),
            ("t.replace('1', '2') + t.replace('1', '2', 1)", Text),
            ("t.split('1') + t.split('1', 2)", List),
            ("l.join() + l.join('-')", Text),
            ("t.substring(1) + t.substring(0, 1) + t.charAt(0)", Text),
            ("t.indexOf('1') + t.indexOf('1', 0) + t.lastIndexOf('1') + t.lastIndexOf('1', 1)", Int),
            ("minor(t, 2)", Int),
            ("major(n, 2)", Text),
        ] {
            assert_eq!(both(text), (Ok(expected), true), "{text}");
        }
        let functions = names().filter(|name| !["has", "all", "exists", "exists_one", "filter", "map"].contains(name));
        for name in functions {
            assert!(signatures(name).next().is_some(), "{name} has no signature");
        }
    }

    #[test]
    fn what_cannot_work_is_told() {
        for text in [
            "n in 429",
            "t in n",
            "n < t",
            "n + t",
            "t - t",
            "n + 1.5",
            "t && true",
            "false || n",
            "!t",
            "n ? 1 : 2",
            "-t",
            "o + o",
            "l < l",
            "minor(l, 2)",
            "minor(t)",
            "contains(t, '1')",
            "n.contains('1')",
            "size(n)",
            "size()",
            "t.split()",
            "l.join(1)",
            "n.exists(i, i == 1)",
            "l.exists(i, t)",
            "{1: 2}",
            "5 % 1.5",
            "bool(n)",
            "int(l)",
            "string(o)",
            "o.k == 1 && n",
        ] {
            let (told, works) = both(text);
            assert!(told.is_err() && !works, "{text}: {told:?} {works}");
        }
        for text in ["n == '2'", "t != 2", "n in ['2', '3']", "n == null", "l == o"] {
            assert!(both(text).0.unwrap_err().contains("never equal"), "{text}");
        }
        assert!(both("n in o").0.unwrap_err().contains("keys of an object are texts"));
        let message = both("n == '2'").0.unwrap_err();
        assert_eq!(message, "`n` (a number) and `\"2\"` (a text) are never equal");
        let message = both("t.split()").0.unwrap_err();
        assert_eq!(message, "`split` is written `text.split(text)` or `text.split(text, number)`");
    }
}
