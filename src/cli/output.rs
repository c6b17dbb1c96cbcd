//! What people read: as wide as the terminal, 80 columns and plain where there is none.

use std::io::{self, ErrorKind, Write as _};
use std::sync::Mutex;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use jiff::tz::TimeZone;

use crate::api::wire::Status;
use crate::types::{Timestamp, Value};

/// Where there is no terminal to ask.
const WIDTH: u16 = 80;
const ID_WIDTH: u16 = 36;
/// Stands in a table's cell for the text below its row. It cannot come from outside: `lines` makes it a space.
const BELOW: char = '\u{1}';

/// The first write that failed; nothing is written after it.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes to standard output. Whether it arrived is told by `finish`.
pub(super) fn out(text: &str) {
    let mut failed = FAILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if failed.is_none() {
        *failed = anstream::stdout().lock().write_all(text.as_bytes()).err();
    }
}

/// Fails when something that was printed did not arrive. That whoever reads it has stopped is no failure:
/// `paystate list | head`.
pub(super) fn finish() -> anyhow::Result<()> {
    let mut failed = FAILED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let written = match failed.as_ref() {
        Some(error) => Err(io::Error::new(error.kind(), error.to_string())),
        None => io::stdout().flush(),
    };
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            // A second call need not say it again.
            *failed = Some(ErrorKind::BrokenPipe.into());
            anyhow::bail!("cannot write to standard output: {error}")
        }
        _ => Ok(()),
    }
}

pub(super) fn err(text: &str) {
    // Where standard error cannot be written there is nobody to tell.
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// The columns of the terminal that standard output is.
pub(super) fn width() -> usize {
    usize::from(Table::new().width().filter(|&width| width > 0).unwrap_or(WIDTH))
}

/// One JSON value on one line. What a terminal would obey stands in texts alone, and is escaped there.
pub(super) fn json(value: &Value) {
    let mut text = String::new();
    for c in value.to_string().chars() {
        if is_command(c) {
            text.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            text.push(c);
        }
    }
    out(&(text + "\n"));
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
        Ok(moment) => moment.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
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

/// A row of a table, with text below it that takes the whole width; empty for none.
pub(super) struct Row {
    pub(super) cells: Vec<String>,
    pub(super) below: String,
}

/// Columns under headings. A cell may have several lines; its text is made harmless here.
pub(super) fn table(headings: &[&str], right: &[usize], rows: &[Row]) -> String {
    let width = width();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(width).unwrap_or(u16::MAX));
    table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
    for row in rows {
        let mut cells: Vec<String> = row.cells.iter().map(|cell| lines(cell)).collect();
        if let Some(first) = cells.first_mut().filter(|_| !row.below.is_empty()) {
            first.push_str(&format!("\n{BELOW}"));
        }
        table.add_row(cells);
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
    let mut below = rows.iter().map(|row| row.below.as_str()).filter(|below| !below.is_empty());
    let mut text = String::new();
    for line in table.to_string().lines() {
        let cells = line.replace(BELOW, "");
        if line.len() == cells.len() || !cells.trim().is_empty() {
            text.push_str(&format!("{}\n", cells.trim_end()));
        }
        if line.len() > cells.len() {
            text.push_str(&indented("  ", below.next().unwrap_or_default()));
        }
    }
    text
}

/// Text under an indentation, wrapped at the terminal's width.
pub(super) fn indented(indent: &str, text: &str) -> String {
    let parts = wrap(&line(text), width().saturating_sub(indent.len()));
    parts.iter().map(|part| format!("{}\n", format!("{indent}{part}").trim_end())).collect()
}

/// Labels and values, one below the other, long values wrapped under themselves.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let label = pairs.iter().map(|(label, _)| label.len()).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for (name, value) in pairs {
        let mut name = *name;
        for part in value.lines().flat_map(|line| wrap(line, width().saturating_sub(label))) {
            text.push_str(format!("{name:<label$}{part}").trim_end());
            text.push('\n');
            name = "";
        }
    }
    text
}

/// Breaks at spaces, and where a word is longer than a line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').flat_map(|word| pieces(word, width)) {
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
            line.push_str(&word);
        }
    }
    lines
}

fn pieces(word: &str, width: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    match chars.len() > width {
        true => chars.chunks(width.max(1)).map(|piece| piece.iter().collect()).collect(),
        false => vec![word.to_owned()],
    }
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
        let text = pairs(&[("data", "x".repeat(200))]);
        assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [80, 80, 58]);
    }

    #[test]
    fn text_below_a_row_takes_the_whole_width() {
        let row = |id: &str, below: String| Row { cells: vec![id.to_owned(), "5.00 CNY".to_owned()], below };
        let rows = [row("a\u{1}b", "word ".repeat(20)), row("c", String::new())];
        let word = "word ".repeat(15);
        let expected =
            format!("ID   AMOUNT\na b  5.00 CNY\n  {}\n  word word word word word\nc    5.00 CNY\n", word.trim());
        assert_eq!(table(&["id", "amount"], &[], &rows), expected);
    }
}
