//! How a command ends.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use super::client::ClientError;
use super::output;

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Says what went wrong. What the daemon refuses is a no; everything else could not run.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    output::err(&format!("{ERROR}error{ERROR:#}: {}\n", output::lines(&format!("{error:#}"))));
    let refused = error.downcast_ref::<ClientError>().is_some_and(ClientError::is_no);
    ExitCode::from(if refused { 1 } else { 2 })
}
