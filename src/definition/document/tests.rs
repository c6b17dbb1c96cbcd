#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

fn read(text: &str) -> Result<Node, Vec<String>> {
    let source = Source::new("t.yaml", text);
    let problems = Problems::default();
    let tree = parse(&source, &problems);
    let problems = problems.into_sorted();
    assert!(tree.is_some() || !problems.is_empty(), "a tree or problems, and both when a key stands twice");
    let told = || problems.iter().map(|p| format!("{} {}:{}", p.rule, p.line, p.column)).collect();
    tree.filter(|_| problems.is_empty()).ok_or_else(told)
}

#[test]
fn words_of_yaml_1_1_are_texts() {
    let tree = read("on: {no: NO, yes: off}\nlist: [y, n, true, 12, 1.5, ~, '12']").unwrap();
    let expected = json!({"on": {"no": "NO", "yes": "off"}, "list": ["y", "n", true, 12, 1.5, null, "12"]});
    assert_eq!(tree.to_json(), expected);
}

#[test]
fn places_are_bytes() {
    let text = "标题: 王\nstates:\n  a: { on: { ok: 结束 } } # end\n  b:\n    - 'x'\n";
    let tree = read(text).unwrap();
    let at = |path: &[&str]| {
        let path: Vec<String> = path.iter().map(|&step| step.to_owned()).collect();
        &text[tree.at(&path).unwrap().span.clone()]
    };
    assert_eq!(at(&["标题"]), "王");
    assert_eq!(at(&["states", "a", "on", "ok"]), "结束");
    assert_eq!(at(&["states", "a"]), "{ on: { ok: 结束 } }");
    assert_eq!(at(&["states", "b", "0"]), "'x'");
    let key = tree.get("states").unwrap().entry("b").unwrap();
    assert_eq!(&text[key.key_span.clone()], "b");
    assert_eq!(read(&format!("\u{feff}{text}")).unwrap().to_json(), tree.to_json());
}

#[test]
fn problems_of_structure() {
    for (text, expected) in [
        ("a: 1\nb: 2\na: 3\nb: 4", vec!["duplicate-key 3:1", "duplicate-key 4:1"]),
        ("a: &x 1\nb: *x", vec!["yaml-feature 1:4", "yaml-feature 2:4"]),
        ("a: !!str 1", vec!["yaml-feature 1:4"]),
        ("a: 1\n---\nb: 2", vec!["yaml-feature 2:1"]),
        ("<<: {a: 1}", vec!["yaml-feature 1:1"]),
        ("", vec!["yaml-syntax 1:1"]),
        ("a: .inf", vec!["yaml-syntax 1:4"]),
        ("a:\n\tb: 1", vec!["yaml-syntax 2:1"]),
        ("a:\n  b: x\n\n\tc: 1", vec!["yaml-syntax 4:1"]),
        ("a:\n  b: x\n  \tc: 1", vec!["yaml-syntax 3:3"]),
    ] {
        assert_eq!(read(text).unwrap_err(), expected, "{text}");
    }
    assert!(read("a: [1").unwrap_err()[0].starts_with("yaml-syntax"));
    assert!(read("? [a]\n: 1").unwrap_err()[0].starts_with("yaml-feature"));
}

#[test]
fn bombs_are_refused_at_once() {
    assert_eq!(read(&"[".repeat(1 << 19)).unwrap_err(), ["too-large 1:256"], "the parser has a limit of its own");
    assert_eq!(read(&("[".repeat(70) + &"]".repeat(70))).unwrap_err(), ["too-large 1:65"]);
    assert_eq!(read(&"- ".repeat(1 << 18)).unwrap_err(), ["too-large 1:129"]);
    assert_eq!(read(&"a".repeat((1 << 20) + 1)).unwrap_err(), ["too-large 1:1"]);
    assert_eq!(read(&"- x\n".repeat(60_000)).unwrap_err(), ["too-large 50000:3"]);
    let mut laughs = "a0: &a0 [x, x]\n".to_owned();
    for level in 1..40 {
        laughs.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1));
    }
    assert!(read(&laughs).unwrap_err().iter().all(|problem| problem.starts_with("yaml-feature")));
}
