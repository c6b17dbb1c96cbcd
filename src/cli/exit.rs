//! How a command ends.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use super::client::ClientError;
use super::output;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// It ran, and the answer is no: an order that failed, problems in a file.
    No,
}

pub(super) type Outcome = anyhow::Result<Answer>;

const ERROR: Style = AnsiColor::Red.on_default().bold();

impl Answer {
    pub(super) fn code(self) -> ExitCode {
        match self {
            Self::Done => ExitCode::SUCCESS,
            Self::No => ExitCode::from(1),
        }
    }
}

/// Says what went wrong. What the daemon refuses is a no; everything else could not run.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    output::err(&format!("{ERROR}error{ERROR:#}: {}\n", output::lines(&format!("{error:#}"))));
    let refused = error.downcast_ref::<ClientError>().is_some_and(ClientError::is_no);
    ExitCode::from(if refused { 1 } else { 2 })
}
