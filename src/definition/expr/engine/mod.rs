//! The one door to the `cel` crate.
//!
//! Every path in an expression is taken out of it and looked up by ourselves, so that only the values it reads are
//! converted, and JSON integers become CEL integers (not the unsigned ones, which cannot be subtracted from).

mod bounds;
mod calls;
mod loops;
mod ordered;
mod there;
mod types;

use std::sync::{Arc, LazyLock};

use ::cel::common::ast::{CallExpr, EntryExpr, Expr as Node, IdedExpr, LiteralValue, SelectExpr, operators};
use ::cel::common::types::DYN_TYPE;
use ::cel::common::value::{CowVal, Val};
use ::cel::objects::{Key, Map};
use ::cel::{Context, Env, ExecutionError, ParseErrors, Program, extensions};

use self::loops::{ADDED, EACH};
pub(in crate::definition::expr) use self::ordered::in_order;
pub(in crate::definition) use self::types::Type;
use super::functions::FUNCTIONS;
use super::path::{Path, Step};
use super::{ExprError, Scope, decimal, known_root};
use crate::definition::suggest;
use crate::types::{Currency, Value};

/// Bytes of JSON text in a result.
const RESULT_MAX: usize = 256 * 1024;
/// Every smaller whole number is one that a double has exactly.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The functions of CEL that an expression may call, and two of ours that are about money.
const OF_CEL: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "string",
    "int",
    "double",
    "bool",
    "lowerAscii",
    "upperAscii",
    "trim",
    "replace",
    "split",
    "join",
    "substring",
    "indexOf",
    "lastIndexOf",
    "charAt",
    "minor",
    "major",
    "has",
    "all",
    "exists",
    "exists_one",
    "filter",
    "map",
];

fn names() -> impl Iterator<Item = &'static str> {
    OF_CEL.iter().copied().chain(FUNCTIONS.iter().map(|function| function.name))
}

#[derive(Debug)]
pub(super) struct Compiled {
    tree: IdedExpr,
    slots: Vec<Slot>,
}

/// A path that was taken out of the expression; the n-th is the variable `@n`.
#[derive(Debug)]
struct Slot {
    path: Path,
    name: String,
    /// `has(path)`: whether it is there. Unlike in plain CEL a missing parent makes it false and is no error.
    presence: bool,
}

static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(environment()));

impl Compiled {
    pub(super) fn compile(text: &str, roots: &[&str]) -> Result<Self, ExprError> {
        let program = Program::compile(text).map_err(|errors| syntax_error(text, &errors))?;
        let mut tree = program.expression().clone();
        let mut rewrite = Rewrite { text, roots, slots: Vec::new(), locals: Vec::new(), loops: 0 };
        rewrite.node(&mut tree)?;
        Ok(Self { tree, slots: rewrite.slots })
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.slots.iter().map(|slot| &slot.path)
    }

    pub(super) fn required_paths(&self) -> Vec<Vec<String>> {
        let asked: Vec<&Path> = self.slots.iter().filter(|slot| slot.presence).map(|slot| &slot.path).collect();
        let read = self.slots.iter().filter(|slot| !slot.presence);
        read.filter(|slot| !asked.iter().any(|asked| slot.path.is_within(asked)))
            .map(|slot| slot.path.names())
            .collect()
    }

    pub(super) fn is_literally_true(&self) -> bool {
        matches!(&self.tree.expr, Node::Literal(LiteralValue::Boolean(truth)) if *truth.inner())
    }

    /// The message of an error names parts of the expression and never shows data.
    pub(super) fn eval(&self, scope: &Scope<'_>) -> Result<Value, String> {
        let mut context = Context::with_env(Arc::clone(&ENV));
        for slot in &self.slots {
            // A path without a value stays unbound: it is an error only if the evaluation comes to it.
            match (slot.path.lookup(scope), slot.presence) {
                (found, true) => context.add_variable_from_value(slot.name.as_str(), found.is_ok()),
                (Ok(value), false) => context.add_variable_from_value(slot.name.as_str(), from_json(value)),
                (Err(_), false) => {}
            }
        }
        bounds::begin();
        let result = ::cel::Value::resolve(&self.tree, &context).map_err(|error| self.explain(&error, scope))?;
        let mut budget = RESULT_MAX;
        to_json(&result, &mut budget)
    }

    fn explain(&self, error: &ExecutionError, scope: &Scope<'_>) -> String {
        match error {
            ExecutionError::UndeclaredReference(name) => {
                let missing = self.slots.iter().find(|slot| slot.name == **name);
                let missing = missing.and_then(|slot| slot.path.lookup(scope).err());
                missing.map_or_else(|| "a name is not known".to_owned(), |missing| missing.to_string())
            }
            ExecutionError::NoSuchKey(_) => "there is no such field".to_owned(),
            ExecutionError::IndexOutOfBounds(_) => "there is no such element".to_owned(),
            ExecutionError::NoSuchOverload(overload) => {
                let types = overload.argument_types().join(" and ");
                format!("`{}` cannot be applied to {types}", overload.function().trim_matches(['_', '@']))
            }
            ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
            ExecutionError::Overflow(..) => "the result is too large for an integer".to_owned(),
            ExecutionError::ValuesNotComparable(..) => "values of these types cannot be compared".to_owned(),
            ExecutionError::UnexpectedType { got, want } => format!("expected {want}, got {got}"),
            ExecutionError::FunctionError { function, .. } if function == bounds::TOO_MUCH => {
                "makes or reads too much text for one expression".to_owned()
            }
            // Our own say why in words of theirs; what a function of CEL says may show data.
            ExecutionError::FunctionError { function, message }
                if FUNCTIONS.iter().any(|ours| ours.name == function) || matches!(&**function, "minor" | "major") =>
            {
                format!("`{function}` {message}")
            }
            ExecutionError::FunctionError { function, .. } => format!("`{function}` cannot be applied to this value"),
            _ => "has no value".to_owned(),
        }
    }
}

struct Rewrite<'a> {
    text: &'a str,
    roots: &'a [&'a str],
    slots: Vec<Slot>,
    /// Variables of the loops around the present node.
    locals: Vec<String>,
    loops: usize,
}

impl Rewrite<'_> {
    fn node(&mut self, node: &mut IdedExpr) -> Result<(), ExprError> {
        if let Some((path, presence)) = self.path(&node.expr) {
            self.known(path.root())?;
            node.expr = Node::Ident(self.slot(path, presence));
            // A loop reads it again with every element.
            if self.loops > 0 && !presence {
                wrap(node, bounds::PAID);
            }
            return Ok(());
        }
        match &mut node.expr {
            Node::Ident(_) | Node::Literal(_) | Node::Unspecified => Ok(()),
            Node::Select(select) => {
                self.node(&mut select.operand)?;
                if select.test {
                    there::ask(node);
                }
                Ok(())
            }
            Node::Call(call) => {
                let paid = self.call(call)?;
                if paid {
                    wrap(node, bounds::PAID);
                }
                Ok(())
            }
            Node::List(list) => list.elements.iter_mut().try_for_each(|element| self.node(element)),
            Node::Map(map) => map.entries.iter_mut().try_for_each(|entry| match &mut entry.expr {
                EntryExpr::MapEntry(entry) => self.node(&mut entry.key).and_then(|()| self.node(&mut entry.value)),
                EntryExpr::StructField(field) => self.node(&mut field.value),
            }),
            Node::Struct(made) => Err(self.error(&made.type_name, "an expression makes no typed objects")),
            Node::Comprehension(_) => self.comprehension(node),
        }
    }

    /// Whether what it makes is paid for.
    fn call(&mut self, call: &mut CallExpr) -> Result<bool, ExprError> {
        let is_operator = call.func_name.starts_with(|first: char| !first.is_ascii_alphabetic());
        if !is_operator && !names().any(|name| name == call.func_name) {
            let message = format!("there is no function `{}`", call.func_name);
            let help = suggest::did_you_mean(&call.func_name, names())
                .or_else(|| Some(format!("the functions are {}", names().collect::<Vec<_>>().join(", "))));
            return Err(ExprError { help, ..self.error(&call.func_name, message) });
        }
        call.target.iter_mut().try_for_each(|target| self.node(target))?;
        call.args.iter_mut().try_for_each(|argument| self.node(argument))?;
        if let (operators::ADD, Some(right)) = (call.func_name.as_str(), call.args.last_mut()) {
            // What a loop gathers is a list that grows by one element.
            let gathers = matches!(right.expr, Node::List(_));
            if !gathers && !matches!(right.expr, Node::Literal(_)) {
                wrap(right, ADDED);
            }
            return Ok(!gathers);
        }
        if ordered::WRITERS.contains(&call.func_name.as_str()) {
            call.args.iter_mut().for_each(ordered::keep_order);
        }
        if let ("indexOf" | "lastIndexOf", Some(needle)) = (call.func_name.as_str(), call.args.first_mut()) {
            wrap(needle, bounds::NEEDLE);
        }
        let paid = bounds::makes(&call.func_name);
        if let Some(ours) = bounds::instead(&call.func_name) {
            call.func_name = ours;
        }
        Ok(paid)
    }

    fn comprehension(&mut self, node: &mut IdedExpr) -> Result<(), ExprError> {
        let Node::Comprehension(walk) = &mut node.expr else { return Ok(()) };
        if self.loops > 0 {
            return Err(self.error(&walk.iter_var, "a loop inside a loop is too much work for an expression"));
        }
        if self.roots.contains(&walk.iter_var.as_str()) {
            let message = format!("`{}` has a meaning already: name the element otherwise", walk.iter_var);
            return Err(self.error(&walk.iter_var, message));
        }
        self.node(&mut walk.iter_range)?;
        self.node(&mut walk.accu_init)?;
        wrap(&mut walk.iter_range, EACH);
        self.loops += 1;
        self.locals.extend([walk.iter_var.clone(), walk.accu_var.clone()]);
        self.locals.extend(walk.iter_var2.clone());
        let body = [&mut walk.loop_cond, &mut walk.loop_step, &mut walk.result];
        let done = body.into_iter().try_for_each(|part| self.node(part));
        self.locals.clear();
        self.loops -= 1;
        done
    }

    /// The path that a node spells, and whether the node only asks if it is there.
    fn path(&self, node: &Node) -> Option<(Path, bool)> {
        let mut steps = Vec::new();
        let mut at = node;
        let presence = matches!(node, Node::Select(SelectExpr { test: true, .. }));
        loop {
            match at {
                Node::Ident(name) if self.locals.contains(name) => return None,
                Node::Ident(name) => {
                    steps.reverse();
                    return Some((Path::new(name.clone(), steps), presence));
                }
                Node::Select(select) if !select.test || std::ptr::eq(at, node) => {
                    steps.push(Step::Field(select.field.clone()));
                    at = &select.operand.expr;
                }
                Node::Call(call) if call.func_name == operators::INDEX => {
                    let [value, index] = call.args.as_slice() else { return None };
                    steps.push(literal_step(&index.expr)?);
                    at = &value.expr;
                }
                _ => return None,
            }
        }
    }

    fn slot(&mut self, path: Path, presence: bool) -> String {
        if let Some(known) = self.slots.iter().find(|slot| slot.path == path && slot.presence == presence) {
            return known.name.clone();
        }
        let name = format!("@{}", self.slots.len());
        self.slots.push(Slot { path, name: name.clone(), presence });
        name
    }

    fn known(&self, root: &str) -> Result<(), ExprError> {
        known_root(root, self.roots, self.find(root))
    }

    fn error(&self, at: &str, message: impl Into<String>) -> ExprError {
        ExprError { message: message.into(), offset: self.find(at), help: None, unknown_name: None }
    }

    /// Where a word first stands in the text: close enough to point at.
    fn find(&self, word: &str) -> usize {
        self.text.find(word).unwrap_or(0)
    }
}

fn wrap(node: &mut IdedExpr, function: &str) {
    let inner = std::mem::take(node);
    let id = inner.id;
    let call = CallExpr { func_name: function.to_owned(), target: None, args: vec![inner] };
    *node = IdedExpr { id, expr: Node::Call(call) };
}

fn literal_step(index: &Node) -> Option<Step> {
    match index {
        Node::Literal(LiteralValue::String(text)) => Some(Step::Field(text.inner().to_owned())),
        Node::Literal(LiteralValue::Int(index)) => usize::try_from(*index.inner()).ok().map(Step::Index),
        _ => None,
    }
}

fn syntax_error(text: &str, errors: &ParseErrors) -> ExprError {
    let Some(first) = errors.errors.first() else {
        return ExprError { message: "not an expression".to_owned(), offset: 0, help: None, unknown_name: None };
    };
    let (line, column) = first.pos;
    let line_start: usize = text.split_inclusive('\n').take(usize::try_from(line - 1).unwrap_or(0)).map(str::len).sum();
    let in_line = text.get(line_start..).unwrap_or_default();
    let column = usize::try_from(column - 1).unwrap_or(0);
    let offset = in_line.char_indices().nth(column).map_or(in_line.len(), |(at, _)| at) + line_start;
    let offset = offset.min(text.len().saturating_sub(1));
    let words: Vec<&str> = text.split_whitespace().collect();
    let (before, rest) = text.split_at_checked(offset).unwrap_or((text, ""));
    let help = if before.rsplit_once("has(").is_some_and(|(_, asked)| !asked.contains(')')) && rest.starts_with('[') {
        Some("`has` asks for a name behind a dot; for any other write `\"a-b\" in x`".to_owned())
    } else if before.ends_with('.') && rest.starts_with(['"', '\'']) {
        Some("a name in quotation marks stands in brackets: `x[\"a-b\"]`".to_owned())
    } else if words.contains(&"=") {
        Some("two values are compared with `==`".to_owned())
    } else if words.iter().any(|word| matches!(*word, "and" | "or" | "not")) {
        Some("write `&&`, `||` or `!`".to_owned())
    } else {
        None
    };
    let found = text.get(offset..).and_then(|rest| rest.split_whitespace().next()).unwrap_or_default();
    ExprError { message: format!("not an expression: `{found}` does not fit here"), offset, help, unknown_name: None }
}

fn environment() -> Env {
    let mut env = Env::stdlib();
    let complete = env
        .add_extension(extensions::strings)
        .and_then(|()| loops::declare(&mut env))
        .and_then(|()| env.add_overload("minor", "minor", vec![DYN_TYPE, DYN_TYPE], minor))
        .and_then(|()| env.add_overload("major", "major", vec![DYN_TYPE, DYN_TYPE], major));
    let complete = complete
        .and_then(|()| calls::declare(&mut env))
        .and_then(|()| bounds::declare(&mut env))
        .and_then(|()| ordered::declare(&mut env))
        .and_then(|()| there::declare(&mut env));
    debug_assert!(complete.is_ok(), "{complete:?}");
    env
}

type Evaluated<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

fn minor<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let args = values(&args)?;
    let [amount, digits] = args.as_slice() else { return Err(ExecutionError::missing_argument_or_target()) };
    let text = match amount {
        ::cel::Value::String(text) => text.to_string(),
        ::cel::Value::Int(number) => number.to_string(),
        ::cel::Value::UInt(number) => number.to_string(),
        // The shortest digits that mean this number: those that the provider wrote.
        ::cel::Value::Float(number) => number.to_string(),
        _ => return Err(ExecutionError::function_error("minor", "is about a text or a number")),
    };
    decimal::minor(&text, digits_of("minor", digits)?)
        .ok_or_else(|| ExecutionError::function_error("minor", "is about a decimal number of so many digits"))
        .and_then(|amount| owned(::cel::Value::Int(amount)))
}

fn major<'b, 'v>(args: Vec<CowVal<'b, 'v>>) -> Evaluated<'b, 'v> {
    let args = values(&args)?;
    let [::cel::Value::Int(amount), digits] = args.as_slice() else {
        return Err(ExecutionError::function_error("major", "is about a whole number of minor units"));
    };
    decimal::major(*amount, digits_of("major", digits)?)
        .ok_or_else(|| ExecutionError::function_error("major", "has no value with so many digits"))
        .and_then(|text| owned(::cel::Value::String(Arc::new(text))))
}

/// How many digits stand behind the point: said, or those of a currency (ISO 4217).
fn digits_of(function: &str, digits: &::cel::Value) -> Result<i64, ExecutionError> {
    match digits {
        ::cel::Value::Int(digits) => Ok(*digits),
        ::cel::Value::String(code) => match code.parse::<Currency>() {
            Ok(currency) => Ok(i64::from(currency.exponent())),
            Err(_) => Err(ExecutionError::function_error(
                function,
                "knows no such currency in ISO 4217: say how many digits it has",
            )),
        },
        _ => Err(ExecutionError::function_error(function, "takes a number of digits, or a currency")),
    }
}

fn values(args: &[CowVal<'_, '_>]) -> Result<Vec<::cel::Value>, ExecutionError> {
    args.iter().map(|value| ::cel::Value::try_from(value.as_ref())).collect()
}

fn owned<'b, 'v>(value: ::cel::Value) -> Evaluated<'b, 'v> {
    let boxed: Box<dyn Val> =
        value.try_into().map_err(|_| ExecutionError::InternalError("a value that cannot be kept".to_owned()))?;
    Ok(CowVal::Owned(boxed))
}

fn type_name(value: &::cel::Value) -> String {
    value.type_of().to_string()
}

fn from_json(value: &Value) -> ::cel::Value {
    match value {
        Value::Null => ::cel::Value::Null,
        Value::Bool(truth) => ::cel::Value::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => ::cel::Value::Int(integer),
            (None, Some(large)) => ::cel::Value::UInt(large),
            (None, None) => ::cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => ::cel::Value::String(Arc::new(text.clone())),
        Value::Array(items) => ::cel::Value::List(Arc::new(items.iter().map(from_json).collect())),
        Value::Object(fields) => {
            let map = fields.iter().map(|(name, field)| (Key::from(name.as_str()), from_json(field))).collect();
            ::cel::Value::Map(Map { map: Arc::new(map) })
        }
    }
}

fn to_json(value: &::cel::Value, budget: &mut usize) -> Result<Value, String> {
    let cost = if let ::cel::Value::String(text) = value { text.len() + 8 } else { 8 };
    *budget = budget.checked_sub(cost).ok_or_else(|| "the result is too large".to_owned())?;
    match value {
        ::cel::Value::Null => Ok(Value::Null),
        ::cel::Value::Bool(truth) => Ok(Value::Bool(*truth)),
        ::cel::Value::Int(integer) => Ok(Value::from(*integer)),
        ::cel::Value::UInt(integer) => Ok(Value::from(*integer)),
        // As most write it: 12 and not 12.0.
        ::cel::Value::Float(float) if float.fract() == 0.0 && float.abs() < WHOLE_MAX => Ok(Value::from(*float as i64)),
        ::cel::Value::Float(float) => serde_json::Number::from_f64(*float)
            .map(Value::Number)
            .ok_or_else(|| "the result is not a number".to_owned()),
        ::cel::Value::String(text) => Ok(Value::String(text.as_ref().clone())),
        ::cel::Value::List(items) => {
            items.iter().map(|item| to_json(item, budget)).collect::<Result<_, _>>().map(Value::Array)
        }
        ::cel::Value::Map(map) => {
            // The map has no order of its own; the journal needs the same one every time.
            let mut fields = Vec::with_capacity(map.map.len());
            for (key, field) in map.map.iter() {
                let Key::String(name) = key else { return Err("an object in JSON has texts for keys".to_owned()) };
                fields.push((name.as_ref().clone(), to_json(field, budget)?));
            }
            fields.sort_by(|left, right| left.0.cmp(&right.0));
            Ok(Value::Object(fields.into_iter().collect()))
        }
        other => Err(format!("the result is {}, which JSON does not have", type_name(other))),
    }
}
