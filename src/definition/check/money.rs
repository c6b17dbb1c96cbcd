//! What is at stake is a whole number of minor units in a currency, for every order that the schema lets in.

use std::ops::Range;

use super::inputs::{Found, Inputs, is_not_negative, is_whole};
use super::{Check, call_span};
use crate::definition::document::Node;
use crate::definition::expr::{Template, Type};
use crate::definition::{CallRef, Operation, rules};
use crate::types::{Currency, Value};

const AMOUNT: &str = "an amount is a whole number of minor units, and not negative";
const CURRENCY: &str = "a currency is an ISO 4217 code such as `CNY`";

impl Check<'_> {
    pub(super) fn money(&self, inputs: &Inputs<'_>) {
        // Of a schema that could not be read nothing is said.
        if let Some(money) = self.workflow.money.as_ref().filter(|_| inputs.are_known()) {
            if let Some(node) = self.node(&["money", "amount"]) {
                self.stated_amount(node, &money.amount, inputs);
            }
            if let Some(node) = self.node(&["money", "currency"]) {
                self.stated_currency(node, &money.currency, inputs);
            }
        }
        for state in &self.workflow.states {
            for invoke in state.invokes() {
                let node = self.invoke_node(state, &invoke.branch);
                let at = call_span(node, self.state_key(state));
                self.moved(&invoke.call, &invoke.operation, &invoke.with, node, &at, inputs);
                if let Some(undo) = &invoke.compensate {
                    let node = node.and_then(|node| node.get("compensate"));
                    self.moved(&undo.call, &undo.operation, &undo.with, node, &at, inputs);
                }
            }
        }
    }

    fn stated_amount(&self, node: &Node, amount: &Template, inputs: &Inputs<'_>) {
        let Some(path) = input_path(amount) else { return self.amount(node, amount, inputs) };
        let name = path.join(".");
        let (sound, why) = match inputs.at(&path) {
            // It has been reported as a name that is not there.
            Found::Refused { .. } => return,
            Found::Unsaid => (false, format!("the schema of the input says nothing of `{name}`")),
            Found::Schemas(schemas) => {
                let whole = schemas.iter().any(|schema| is_whole(schema));
                let bounded = schemas.iter().any(|schema| is_not_negative(schema));
                let why = if whole { "may be negative" } else { "may be no whole number" };
                (whole && bounded, format!("by the schema of the input, `{name}` {why}"))
            }
        };
        if !sound {
            let last = path.last().map(String::as_str).unwrap_or_default();
            let help = format!("write `{last}: {{ type: integer, minimum: 1 }}` under the `properties` of `input`");
            self.bad_money(&node.span, format!("{AMOUNT}; {why}"), Some(help));
        }
    }

    fn stated_currency(&self, node: &Node, currency: &Template, inputs: &Inputs<'_>) {
        let Some(path) = input_path(currency) else { return self.currency(node, currency, inputs) };
        let name = path.join(".");
        let why = match inputs.at(&path) {
            Found::Refused { .. } => return,
            Found::Unsaid => format!("the schema of the input says nothing of `{name}`"),
            Found::Schemas(_) if inputs.type_of(&path) == Type::Text => return,
            Found::Schemas(_) => format!("by the schema of the input, `{name}` may be no text"),
        };
        let last = path.last().map(String::as_str).unwrap_or_default();
        let help =
            format!("write `{last}: {{ type: string, pattern: \"^[A-Z]{{3}}$\" }}` under the `properties` of `input`");
        self.bad_money(&node.span, format!("{CURRENCY}; {why}"), Some(help));
    }

    /// A call that moves money says how much, or the workflow does; and what it says is an amount.
    fn moved(
        &self,
        call: &CallRef,
        operation: &Operation,
        with: &Template,
        node: Option<&Node>,
        at: &Range<usize>,
        inputs: &Inputs<'_>,
    ) {
        let Some(kind) = operation.money else { return };
        let given = node.and_then(|node| node.get("with"));
        let place = |name: &str| given.and_then(|given| given.get(name));
        if let (Some(node), Some(amount)) = (place("amount"), argument(with, "amount")) {
            self.amount(node, &amount, inputs);
        }
        if let (Some(node), Some(currency)) = (place("currency"), argument(with, "currency")) {
            self.currency(node, &currency, inputs);
        }
        // Arguments that are one `${…}` as a whole cannot be told.
        let says = |name: &str| matches!(with, Template::Expr(_)) || argument(with, name).is_some();
        if self.node(&["money"]).is_none() && !(says("amount") && says("currency")) {
            let message =
                format!("`{call}` moves money ({}), and nothing says how much of which currency", kind.name());
            let help = "add `money: { amount: \"${input.amount}\", currency: \"${input.currency}\" }` to the workflow";
            self.bad_money(at, message, Some(help.to_owned()));
        }
    }

    fn amount(&self, node: &Node, amount: &Template, inputs: &Inputs<'_>) {
        let fits = match amount {
            // A fraction has been reported as such.
            Template::Literal(Value::Number(number)) => number.is_f64() || number.as_i64().is_some_and(|n| n >= 0),
            // What could not be read.
            Template::Literal(Value::Null) => true,
            Template::Expr(expr) => inputs.value_of(expr).fits(&[Type::Int]),
            _ => false,
        };
        if !fits {
            let help = "arithmetic is done inside of one `${…}`: `${input.amount * 100}`".to_owned();
            let joined = matches!(amount, Template::Text(_)).then_some(help);
            self.bad_money(&node.span, AMOUNT.to_owned(), joined);
        }
    }

    fn currency(&self, node: &Node, currency: &Template, inputs: &Inputs<'_>) {
        let fits = match currency {
            Template::Literal(Value::String(code)) => code.parse::<Currency>().is_ok(),
            Template::Literal(Value::Null) | Template::Text(_) => true,
            Template::Expr(expr) => inputs.value_of(expr).fits(&[Type::Text]),
            _ => false,
        };
        if !fits {
            self.bad_money(&node.span, CURRENCY.to_owned(), None);
        }
    }

    fn bad_money(&self, at: &Range<usize>, message: String, help: Option<String>) {
        self.ctx.add(self.ctx.problem(rules::BAD_MONEY, at, message).with_help(help));
    }
}

/// The path below `input` that a template is, if it is one and nothing else.
fn input_path(template: &Template) -> Option<Vec<String>> {
    let Template::Expr(expr) = template else { return None };
    let path = expr.as_path()?;
    let (root, rest) = path.split_first()?;
    (root == "input" && !rest.is_empty()).then(|| rest.to_vec())
}

/// An argument of a call, however it is written.
enum Argument<'a> {
    Template(&'a Template),
    Literal(Template),
}

impl std::ops::Deref for Argument<'_> {
    type Target = Template;

    fn deref(&self) -> &Template {
        match self {
            Self::Template(template) => template,
            Self::Literal(template) => template,
        }
    }
}

fn argument<'a>(with: &'a Template, name: &str) -> Option<Argument<'a>> {
    match with {
        Template::Object(fields) => {
            fields.iter().find(|(known, _)| known == name).map(|(_, field)| Argument::Template(field))
        }
        Template::Literal(value) => value.get(name).map(|field| Argument::Literal(Template::Literal(field.clone()))),
        _ => None,
    }
}
