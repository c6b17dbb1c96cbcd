//! Expressions and templates, each with what may be read at its place.

use std::ops::Range;

use super::{Ctx, Use};
use crate::definition::document::{Kind, Node};
use crate::definition::expr::{Expr, ExprError, Template, Type};
use crate::definition::rules;
use crate::types::Value;

impl Ctx<'_> {
    /// A bare expression, such as a guard.
    pub(super) fn expr(&self, node: &Node, what: &str, roots: &[&str], wanted: &'static [Type]) -> Option<Expr> {
        let text = match &node.kind {
            Kind::Scalar(Value::Bool(truth)) => truth.to_string(),
            _ => self.text(node, what)?.to_owned(),
        };
        if text.trim_start().starts_with("${") {
            let inner = text.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
            let problem = self.problem(
                rules::BAD_EXPRESSION,
                &node.span,
                format!("{what} is a bare expression, without `${{…}}`"),
            );
            self.add(problem.with_fix(inner.map(str::to_owned)));
            return None;
        }
        match Expr::compile(&text, roots) {
            Ok(expr) => {
                self.remember(node, std::iter::once(&expr), wanted);
                Some(expr)
            }
            Err(error) => {
                self.expr_error(node, &error);
                None
            }
        }
    }

    /// A value with `${…}` in its texts.
    pub(super) fn template(&self, node: &Node, roots: &[&str]) -> Template {
        self.amounts(node);
        match Template::compile(&node.to_json(), roots) {
            Ok(template) => {
                self.remember(node, template.expressions().into_iter(), &[]);
                template
            }
            Err(errors) => {
                for (path, error) in &errors {
                    self.expr_error(node.at(path).unwrap_or(node), error);
                }
                Template::Literal(Value::Null)
            }
        }
    }

    fn expr_error(&self, node: &Node, error: &ExprError) {
        let (rule, message) = match error.unknown_name.as_deref() {
            Some("secret") => (
                rules::SECRET_OUTSIDE_AUTH,
                "a secret has its place in `auth` and `verify` and nowhere else".to_owned(),
            ),
            Some("env") => (rules::UNKNOWN_VARIABLE, "`env` is for the address of a provider only".to_owned()),
            Some(_) => (rules::UNKNOWN_VARIABLE, error.message.clone()),
            None => (rules::BAD_EXPRESSION, error.message.clone()),
        };
        let length = error.unknown_name.as_ref().map_or(1, String::len);
        let span = self.inside(node, error.offset, length);
        self.add(self.problem(rule, &span, message).with_help(error.help.clone()));
    }

    /// A part of a text, where the text stands in the file as it is; the whole of it where it is escaped or folded.
    fn inside(&self, node: &Node, offset: usize, length: usize) -> Range<usize> {
        let raw = self.source.text.get(node.span.clone()).unwrap_or_default();
        match node.text().and_then(|text| raw.find(text)) {
            Some(at) => {
                let start = node.span.start + at + offset;
                start..(start + length).min(node.span.end.max(start))
            }
            None => node.span.clone(),
        }
    }

    /// Notes the expressions, for the checker. Expressions stand in the file in the order in which they come.
    fn remember<'e>(&self, node: &Node, expressions: impl Iterator<Item = &'e Expr>, wanted: &'static [Type]) {
        let mut from = node.span.start;
        for expr in expressions {
            self.environment(node, expr);
            let rest = self.source.text.get(from..node.span.end).unwrap_or_default();
            let span = match rest.find(expr.source()) {
                Some(at) => from + at..from + at + expr.source().len(),
                None => node.span.clone(),
            };
            from = if span == node.span { from } else { span.end };
            self.uses.borrow_mut().push(Use { expr: expr.clone(), span, wanted });
        }
    }

    /// Notes what an expression needs of the configuration. It is read by name, so that the names are known beforehand.
    fn environment(&self, node: &Node, expr: &Expr) {
        for path in expr.paths().iter().filter(|path| path.first().is_some_and(|root| root == "env")) {
            match path.get(1) {
                Some(name) => drop(self.needs.borrow_mut().env.insert(name.clone())),
                None => {
                    self.report(rules::BAD_EXPRESSION, &node.span, "`env` is read by name, such as `env.MERCHANT_ID`")
                }
            }
        }
    }

    fn amounts(&self, node: &Node) {
        for entry in node.entries() {
            if let Kind::Scalar(Value::Number(number)) = &entry.node.kind
                && number.is_f64()
                && (entry.key == "amount" || entry.key.ends_with("_amount"))
            {
                let message = "an amount is a whole number of minor units, never a fraction";
                let help = "12.50 in a currency with two digits is 1250".to_owned();
                self.add(self.problem(rules::FLOAT_AMOUNT, &entry.node.span, message).with_help(help));
            }
            self.amounts(&entry.node);
        }
        node.items().iter().for_each(|item| self.amounts(item));
    }
}
