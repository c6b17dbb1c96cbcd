//! What people read: at most 80 columns where it is not a wider terminal, plain where there is no terminal.

use std::io::{IsTerminal, Write as _, stdout};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use jiff::tz::TimeZone;

use crate::api::wire::Status;
use crate::types::{Timestamp, Value};

const WIDTH: u16 = 80;
const ID_WIDTH: u16 = 36;

/// Writes to standard output. Whoever reads it may have stopped, which is no error: `paystate list | head`.
pub(super) fn out(text: &str) {
    let _ = anstream::stdout().lock().write_all(text.as_bytes());
}

pub(super) fn err(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// One JSON value on one line.
pub(super) fn json(value: &Value) {
    out(&format!("{value}\n"));
}

/// Text from elsewhere on one line: without what a terminal would obey.
pub(super) fn line(text: &str) -> String {
    text.chars().map(|c| if is_command(c) { ' ' } else { c }).collect()
}

/// The same, with its line ends.
pub(super) fn lines(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && is_command(c) { ' ' } else { c }).collect()
}

/// Control characters, and those that turn the direction of writing.
fn is_command(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// In the time zone of the reader.
pub(super) fn time(at: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(at.unix_ms()) {
        Ok(moment) => moment.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => at.to_string(),
    }
}

/// The same without seconds, for tables.
pub(super) fn minute(at: Timestamp) -> String {
    let text = time(at);
    text.get(..16).unwrap_or(&text).to_owned()
}

pub(super) fn status(status: Status) -> String {
    let color = match status {
        Status::Running => AnsiColor::Blue,
        Status::Waiting => AnsiColor::Yellow,
        Status::Succeeded => AnsiColor::Green,
        Status::Failed | Status::Incident => AnsiColor::Red,
    };
    let style = color.on_default().bold();
    format!("{style}{}{style:#}", status.name())
}

pub(super) fn bold(text: &str) -> String {
    let style = Style::new().bold();
    format!("{style}{text}{style:#}")
}

/// Columns under headings. A cell may have several lines; its text is made harmless here.
pub(super) fn table(headings: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !stdout().is_terminal() {
        table.set_width(WIDTH);
    }
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| lines(cell)));
    }
    for &column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let last = headings.len().saturating_sub(1);
    for at in 0..headings.len() {
        if let Some(column) = table.column_mut(at) {
            column.set_padding((0, if at == last { 0 } else { 2 }));
            if headings.get(at) == Some(&"order") {
                // An id is copied from here: it stays in one piece.
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(ID_WIDTH + 2)));
            }
        }
    }
    let text = table.to_string();
    let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("{}\n", trimmed.join("\n"))
}

/// Labels and values, one below the other, long values wrapped under themselves.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let label = pairs.iter().map(|(label, _)| label.len()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for (name, value) in pairs {
        let mut name = *name;
        for part in value.lines().flat_map(|line| wrap(line, usize::from(WIDTH) - label)) {
            text.push_str(format!("{name:<label$}{part}").trim_end());
            text.push('\n');
            name = "";
        }
    }
    text
}

/// Breaks at spaces; a word that is too long stays whole, since it may be an id.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_made_harmless() {
        assert_eq!(line("a\u{1b}[2Jb\nc\u{202e}d"), "a [2Jb c d");
        assert_eq!(lines("a\r\nb"), "a \nb");
    }

    #[test]
    fn long_values_are_wrapped_under_themselves() {
        let text = pairs(&[("reason", "word ".repeat(20).trim().to_owned()), ("at", "x".to_owned())]);
        assert!(text.lines().all(|line| line.len() <= 80));
        assert!(text.lines().nth(1).unwrap().starts_with("        word"));
    }
}
