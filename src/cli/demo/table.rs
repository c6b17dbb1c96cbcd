//! The orders of the demo as a table that is drawn again while they move.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Arc;

use anstyle::{AnsiColor, Style};

use crate::cli::output;
use crate::definition::Stage;
use crate::executor::Executor;
use crate::machine::{Snapshot, Status};

pub(super) struct Table {
    visible: bool,
    /// A terminal is drawn over; anything else gets a line for each change.
    live: bool,
    drawn: usize,
    last: Vec<String>,
}

impl Table {
    pub(super) fn new(visible: bool) -> Self {
        Self { visible, live: visible && std::io::stdout().is_terminal(), drawn: 0, last: Vec::new() }
    }

    pub(super) fn show(&mut self, executor: &Executor, orders: &[Arc<Snapshot>]) {
        if !self.visible {
            return;
        }
        let width = output::width();
        let lines: Vec<String> = orders.iter().map(|order| line(executor, order, width)).collect();
        if lines == self.last {
            return;
        }
        let mut out = String::new();
        if self.drawn == 0 {
            let heading = columns(["method", "progress", "state"], "status", "tries", "outcome");
            let _ = writeln!(out, "{}", cut(&heading.concat(), &mut { width }));
        }
        if self.live {
            if self.drawn > 0 {
                // Up to the first line of the last drawing.
                let _ = write!(out, "\x1b[{}A", self.drawn);
            }
            for line in &lines {
                let _ = writeln!(out, "\x1b[2K{line}");
            }
        } else {
            let changed = lines.iter().enumerate().filter(|(at, line)| self.last.get(*at) != Some(line));
            for (_, line) in changed {
                let _ = writeln!(out, "{line}");
            }
        }
        self.drawn = lines.len();
        self.last = lines;
        output::out(&out);
    }

    pub(super) fn conclude(&self, good: bool) {
        if self.visible {
            let text = if good {
                "Every order ended as it should, and the bank's books agree."
            } else {
                "Not every order ended as it should."
            };
            output::out(&format!("\n{text}\n"));
        }
    }
}

/// What stands before the status, the status, and what stands after it: 66 columns and the outcome.
fn columns(before: [&str; 3], status: &str, tries: &str, outcome: &str) -> [String; 3] {
    let [method, progress, state] = before;
    [format!("{method:<18} {progress:<8} {state:<20} "), format!("{status:<9}"), format!(" {tries:>5}  {outcome}")]
}

/// As much of a text as fits into what is `left` of a line: a line that wraps is two, and drawing over it leaves the second
/// behind. A character beyond ASCII may take two columns.
fn cut(text: &str, left: &mut usize) -> String {
    let fits = |c: &char| {
        let wide = if c.is_ascii() { 1 } else { 2 };
        let fits = wide <= *left;
        *left = if fits { *left - wide } else { 0 };
        fits
    };
    text.chars().take_while(fits).collect()
}

fn line(executor: &Executor, order: &Snapshot, width: usize) -> String {
    let method = order.workflow.as_str();
    let spine = executor.catalog().version(&order.version).map_or(Stage::ALL.len(), |workflow| {
        let has = |stage: &&Stage| {
            workflow.states.iter().any(|state| state.stage == Some(**stage) || state.name.as_str() == stage.name())
        };
        Stage::ALL.iter().filter(has).count()
    });
    let passed = order.stages.len().min(spine);
    let progress = format!("{}{}", "#".repeat(passed), ".".repeat(spine - passed));
    let (word, style) = status(order.status);
    let outcome = order.incident.as_ref().map_or(&order.outcome, |incident| &incident.reason);
    let state: String = order.state.as_str().chars().take(20).collect();
    let [before, status, after] =
        columns([method, &progress, &state], word, &order.attempts.to_string(), &output::line(outcome));
    let mut left = width;
    let before = cut(&before, &mut left);
    let status = cut(&status, &mut left);
    format!("{before}{style}{status}{style:#}{}", cut(&after, &mut left))
}

fn status(status: Status) -> (&'static str, Style) {
    let plain = Style::new();
    match status {
        Status::Running => ("running", plain.fg_color(Some(AnsiColor::Cyan.into()))),
        Status::Waiting => ("waiting", plain.fg_color(Some(AnsiColor::Yellow.into()))),
        Status::Succeeded => ("succeeded", plain.fg_color(Some(AnsiColor::Green.into()))),
        Status::Failed => ("failed", plain.fg_color(Some(AnsiColor::Red.into()))),
        Status::Incident => ("incident", plain.fg_color(Some(AnsiColor::Magenta.into()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_width() {
        let mut left = 6;
        assert_eq!((cut("abc", &mut left).as_str(), left), ("abc", 3));
        assert_eq!((cut("d\u{94b1}\u{94b1}e", &mut left).as_str(), left), ("d\u{94b1}", 0));
        assert_eq!(cut("e", &mut left), "", "what comes after a cut does not slip in before the end");
        let [before, status, after] =
            columns(["third_party_mobile", "######", "awaiting_customer"], "succeeded", "7", "");
        assert_eq!(before.len() + status.len() + after.len(), 66);
    }
}
