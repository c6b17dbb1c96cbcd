//! Any text as an expression and as a template, evaluated against one scope. Nothing panics or hangs, the same text has
//! the same value every time, errors point into the text, and no message shows data.

use std::sync::LazyLock;

use paystate::definition::{EvalError, Expr, Scope, Template};
use serde_json::{Value, json};

const ROOTS: &[&str] = &["input", "data", "order", "result", "event", "decline", "response", "body"];
/// Stands in the data wherever a secret could, so that a message that repeats data is noticed.
const SECRET: &str = "Zq9xKw4v";

static NAMES: LazyLock<[(&str, Value); 8]> = LazyLock::new(|| {
    [
        (
            "input",
            json!({
                "amount": 1250, "currency": "CNY", "ratio": 1.5, "card": SECRET, "nothing": null, "vip": true,
                "items": [{"name": SECRET, "price": 3}, {"name": "b", "price": -7}],
                "map": {"b": 1, "a": 2, SECRET: 3}, "text": "a,b,\u{4e2d}\u{e9}", "min": i64::MIN, "max": u64::MAX,
            }),
        ),
        ("data", json!({"reference": SECRET, "list": [1, 2, 3], "empty": [], "price": "12.34"})),
        ("order", json!({"id": "0", "state": "paid", "amount": i64::MAX, "currency": "CNY", "created_at": "2024"})),
        ("result", json!([[SECRET], {}])),
        ("event", json!(SECRET)),
        ("decline", json!({"code": "51", "soft": false})),
        ("response", json!({"status": 200, "headers": {"retry-after": "3"}, "body": {"status": "active"}})),
        ("body", json!({"type": "paid", "note": SECRET})),
    ]
});

pub fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let scope = NAMES.iter().fold(Scope::new(), |scope, (name, value)| scope.with(name, value));
    match Expr::compile(text, ROOTS) {
        Ok(expr) => {
            for path in expr.paths() {
                assert!(path.first().is_some_and(|root| ROOTS.contains(&root.as_str())), "{path:?}");
            }
            let first = expr.eval(&scope);
            assert_eq!(first, expr.eval(&scope), "two values");
            first.err().into_iter().for_each(|error| keeps_silent(&error, text));
            let _ = (expr.eval(&Scope::new()), expr.eval_bool(&scope), expr.is_literally_true());
        }
        Err(error) => assert!(error.offset <= text.len(), "{error:?}"),
    }
    template(&Value::from(text), text, &scope);
    // A bare expression and the same one in a template take different ways through the scanner of characters.
    template(&Value::from(format!("${{{text}}} and ${{{text}}}")), text, &scope);
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        template(&value, text, &scope);
    }
}

fn template(value: &Value, text: &str, scope: &Scope<'_>) {
    let Ok(template) = Template::compile(value, ROOTS) else { return };
    assert!(template.expressions().len() <= text.len() * 2);
    if let Err(error) = template.render(scope) {
        keeps_silent(&error, text);
    }
}

fn keeps_silent(error: &EvalError, text: &str) {
    assert!(!error.message.contains(SECRET) || text.contains(SECRET), "a message shows data: {error}");
}
