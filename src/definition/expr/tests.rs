#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

const ROOTS: &[&str] = &["input", "data", "result"];

fn eval(text: &str) -> Result<Value, String> {
    let input = json!({"amount": 600, "big": 18_446_744_073_709_551_615_u64, "name": "Wáng", "price": "12.34",
        "items": [{"sku": "b", "n": 2}, {"sku": "a", "n": 1}], "odd": {"a-b": 1}, "zero": 0, "none": null});
    let data = json!({"z": 1, "y": 2, "x": 3});
    let expr = Expr::compile(text, ROOTS).map_err(|error| error.to_string())?;
    expr.eval(&Scope::new().with("input", &input).with("data", &data)).map_err(|error| error.to_string())
}

#[track_caller]
fn gives(text: &str, expected: Value) {
    assert_eq!(eval(text), Ok(expected), "{text}");
}

#[track_caller]
fn refused(text: &str, part: &str) {
    let message = eval(text).unwrap_err();
    assert!(message.contains(part), "{text}: {message}");
}

#[test]
fn bare_paths_are_looked_up() {
    gives("input.amount", json!(600));
    gives(" input.items[1].sku ", json!("a"));
    gives(r#"input.odd["a-b"]"#, json!(1));
    gives("input.none", json!(null));
    refused("input.items[7].sku", "there is no `input.items[7]`");
    refused("input.nothing.more", "there is no `input.nothing`");
    refused("result.id", "there is no `result`");
}

#[test]
fn integers_of_json_are_signed() {
    gives("input.amount - 700", json!(-100));
    gives("-input.amount", json!(-600));
    gives("input.amount / 7", json!(85));
    gives("input.amount > 599 && input.amount <= 600", json!(true));
    gives("input.items[0].n + 1", json!(3));
    refused("input.amount / input.zero", "division by zero");
    refused("input.amount * 9223372036854775807", "too large");
}

#[test]
fn what_is_meant_by_a_text_that_is_no_expression() {
    for (text, help) in [
        (r#"has(x["a-b"])"#, "`has` asks for a name behind a dot; for any other write `\"a-b\" in x`"),
        (r#"x."a-b" == 1"#, "a name in quotation marks stands in brackets: `x[\"a-b\"]`"),
        ("x = 1", "two values are compared with `==`"),
        ("x and y", "write `&&`, `||` or `!`"),
    ] {
        let error = Expr::compile(text, &["x", "y"]).unwrap_err();
        assert_eq!(error.help.as_deref(), Some(help), "{text}");
    }
}

#[test]
fn text_functions() {
    gives("input.name.startsWith('W') && size(input.name) == 4", json!(true));
    gives("'a-b'.split('-')", json!(["a", "b"]));
    gives("string(input.amount) + '!'", json!("600!"));
    gives("minor(input.price, 2) + 1", json!(1235));
    gives("major(input.amount, 2)", json!("6.00"));
    gives("major(input.amount, 'JPY') + ' ' + major(input.amount, 'KWD')", json!("600 0.600"));
    gives(
        "minor('12.3', 'EUR') + minor(12.34, 2) + minor(5, 'EUR') + minor('7.00', 'JPY')",
        json!(1230 + 1234 + 500 + 7),
    );
    refused("major(input.amount, 'EURO')", "knows no such currency in ISO 4217");
    refused("minor(0.1 + 0.2, 2)", "is about a decimal number of so many digits");
    refused("minor(input.name, 2)", "is about a decimal number of so many digits");
}

#[test]
fn a_missing_field_is_an_error_unless_it_is_asked_for() {
    gives("has(input.amount) && !has(input.nothing)", json!(true));
    gives("has(input.nothing.deeper)", json!(false));
    gives("has(input.nothing) ? input.nothing : 'none'", json!("none"));
    gives("false && input.nothing == 1", json!(false));
    refused("input.nothing == 1", "there is no `input.nothing`");
}

#[test]
fn loops_are_flat_bounded_and_in_one_order() {
    gives("input.items.exists(i, i.n == 2)", json!(true));
    gives("[{'a': {'b': 1}}, {'a': null}, {}, {'a': 'x'}].map(r, has(r.a.b))", json!([true, false, false, false]));
    gives("[{'a': null}, {}].map(r, has(r.a))", json!([true, false]));
    gives("[{'l': [{'b': 1}]}].filter(r, has(r.l[0].b)).size()", json!(1));
    gives("input.items.filter(i, i.n > 1).map(i, i.sku)", json!(["b"]));
    gives("data.map(k, k)", json!(["x", "y", "z"]));
    refused("input.items.map(i, input.items.map(j, j.n))", "loop inside a loop");
    refused("input.items.map(input, input)", "has a meaning already");
    gives("{'b': 1, 'a': input.amount}", json!({"a": 600, "b": 1}));
    gives("data.map(k, k) + input.items.map(i, i.sku)", json!(["x", "y", "z", "b", "a"]));
    refused("[0] + data", "expected what can be added, got an object");
}

#[test]
fn messages_never_show_data() {
    for text in ["input.name + 1", "int(input.name)", "input.name < input.amount", "input.odd[input.name]"] {
        let message = eval(text).unwrap_err();
        assert!(!message.contains("Wáng"), "{message}");
    }
}

#[test]
fn names_are_checked_at_compile_time() {
    let error = Expr::compile("inptu.amount", ROOTS).unwrap_err();
    assert_eq!(error.help.as_deref(), Some("did you mean `input`?"));
    let error = Expr::compile("1 == inptu.amount", ROOTS).unwrap_err();
    assert_eq!(error.offset, 5);
    let error = Expr::compile("startWith(input.name)", ROOTS).unwrap_err();
    assert_eq!(error.help.as_deref(), Some("did you mean `startsWith`?"));
    assert!(Expr::compile("input.amount = 3", ROOTS).unwrap_err().help.is_some());
    assert!(Expr::compile("input.amount", &[]).is_err());
}

#[test]
fn what_could_exhaust_the_stack_is_refused() {
    for text in [
        "(".repeat(500),
        format!("{}1{}", "(".repeat(17), ")".repeat(17)),
        "1+".repeat(200) + "1",
        format!("input{}", "[0]".repeat(200)),
        "x".repeat(1025),
        "-".repeat(300) + "1",
        "'open".to_owned(),
        "(1]".to_owned(),
        String::new(),
    ] {
        assert!(Expr::compile(&text, ROOTS).is_err(), "{text}");
    }
    assert!(Expr::compile(&("1+".repeat(60) + "1"), ROOTS).is_ok());
}

#[test]
fn paths_are_told() {
    let paths = |text| Expr::compile(text, ROOTS).unwrap().paths();
    assert_eq!(paths("input.items[0].sku"), [["input", "items", "0", "sku"]]);
    assert_eq!(paths("has(data.x) || input.amount > 1"), [["data", "x"], ["input", "amount"]]);
    assert!(Expr::compile("true", ROOTS).unwrap().is_literally_true());
}

#[test]
fn templates_keep_types_and_join_texts() {
    let input = json!({"amount": 600, "who": {"id": "7"}, "list": [1]});
    let scope = Scope::new().with("input", &input);
    let template = json!({"a": "${input.amount}", "b": "${input.who.id}-${input.amount + 1}!", "c": ["${input.who}"],
        "d": "$${input}", "e": 1, "f": "a { b } $ c", "g": "${ {'k': '}'}.k }"});
    let compiled = Template::compile(&template, &["input"]).unwrap();
    let rendered = compiled.render(&scope).unwrap();
    let expected = json!({"a": 600, "b": "7-601!", "c": [{"id": "7"}], "d": "${input}", "e": 1, "f": "a { b } $ c",
        "g": "}"});
    assert_eq!(rendered, expected);
    assert_eq!(compiled.expressions().len(), 5);
    let joined = Template::compile(&json!("x${input.list}"), &["input"]).unwrap();
    assert!(joined.render(&scope).unwrap_err().message.contains("has no text"));
}

#[test]
fn every_error_of_a_template_has_its_place() {
    let template = json!({"a": ["${inputs.x}", "ok ${input.x"], "b": "${}"});
    let errors = Template::compile(&template, &["input"]).unwrap_err();
    let places: Vec<(String, usize)> = errors.iter().map(|(path, error)| (path.join("/"), error.offset)).collect();
    assert_eq!(places, [("a/0".to_owned(), 2), ("a/1".to_owned(), 5), ("b".to_owned(), 2)]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn arbitrary_text_never_panics(text in r#"[a-z0-9.(){}\[\]<>=!&|?:,+*/%"' -]{0,80}"#) {
        let data = json!({"a": [1, "x", null, {"b": 2}]});
        for root in ["a", "input", "x"] {
            let _ = Expr::compile(&format!("{root}{text}"), &["a", "x"]).map(|expr| expr.eval(&Scope::new().with("a", &data)));
        }
        let _ = Template::compile(&json!(text), ROOTS);
        let _ = Template::compile(&json!(format!("${{{text}}}")), ROOTS);
    }
}
