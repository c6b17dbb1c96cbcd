//! The orders of the demo as a table that is drawn again while they move.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
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
        let lines: Vec<String> = orders.iter().map(|order| line(executor, order)).collect();
        if lines == self.last {
            return;
        }
        let mut out = String::new();
        if self.drawn == 0 {
            let _ = writeln!(
                out,
                "{:<20} {:<8} {:<20} {:<10} {:>5}  outcome",
                "method", "progress", "state", "status", "tries"
            );
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
        let mut stdout = anstream::stdout().lock();
        // Where nobody reads the table there is nobody to tell.
        let _ = stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush());
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

/// At most 80 columns.
fn line(executor: &Executor, order: &Snapshot) -> String {
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
    let outcome: String = match &order.incident {
        Some(incident) => incident.reason.chars().take(20).collect(),
        None => order.outcome.chars().take(16).collect(),
    };
    format!(
        "{method:<20} {progress:<8} {:<20} {style}{word:<10}{style:#} {:>5}  {outcome}",
        order.state.as_str().chars().take(20).collect::<String>(),
        order.attempts
    )
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
