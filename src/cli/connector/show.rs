//! A request and what became of it, for people.

use std::fmt::Write as _;

use super::super::output;
use crate::connector::{Preview, Understood};

pub(super) fn request(preview: &Preview) {
    let mut text = format!("{} {}\n", preview.method, preview.url);
    for (name, value) in &preview.headers {
        let _ = writeln!(text, "{name}: {value}");
    }
    if let Some(body) = &preview.body {
        let _ = writeln!(text, "\n{body}");
    }
    output::out(&output::lines(&text));
}

/// The outcome, and which rule made it.
pub(super) fn understood(told: &Understood) {
    let mut text = "\nunderstood as\n".to_owned();
    let shown = serde_json::to_string_pretty(&told.outcome).unwrap_or_default();
    for line in shown.lines() {
        let _ = writeln!(text, "  {line}");
    }
    if !told.rules.is_empty() {
        text.push_str("because\n");
    }
    for rule in &told.rules {
        let held = match (&rule.held, &rule.error) {
            (_, Some(error)) => format!("has no value: {error}"),
            (true, None) => "holds".to_owned(),
            (false, None) => "does not hold".to_owned(),
        };
        let _ = writeln!(text, "  {}: {}\n    {held}", rule.outcome, rule.when);
    }
    output::out(&output::lines(&text));
}

pub(super) fn refused(why: &str, json: bool) {
    if json {
        output::json(&serde_json::json!({ "request": null, "refused": why }));
    } else {
        output::out(&output::lines(&format!("it would not be sent: {why}\n")));
    }
}
