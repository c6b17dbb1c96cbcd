//! How a command ends that could not do what it was asked.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::client::ClientError;
use super::output;

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Says on standard error what went wrong, with `--json` as a problem on one line. What the daemon refuses is a no;
/// everything else could not run.
pub(super) fn report(error: &anyhow::Error) -> ExitCode {
    let client = error.downcast_ref::<ClientError>();
    let text = output::lines(&causes(error));
    if wants_json() {
        let mut problem = match client {
            Some(ClientError::Refused(problem)) => json!(problem),
            Some(ClientError::Unreachable { sent: false, .. }) => problem("unreachable", "No daemon answers"),
            Some(ClientError::Unreachable { .. } | ClientError::Unreadable { .. }) => {
                problem("no-answer", "What the daemon did is not known")
            }
            Some(ClientError::Address(_)) | None => problem("could-not-run", "The command could not run"),
        };
        problem["detail"] = json!(text);
        output::err(&format!("{problem}\n"));
    } else {
        output::err(&format!("{ERROR}error{ERROR:#}: {text}\n"));
    }
    ExitCode::from(if client.is_some_and(ClientError::is_no) { 1 } else { 2 })
}

/// Says what is wrong with the arguments. A wish for help is one of these and ends well.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && wants_json() {
        let mut problem = problem("usage", "The arguments are not understood");
        problem["detail"] = json!(error.render().to_string().trim().trim_start_matches("error: "));
        output::err(&format!("{problem}\n"));
    } else if error.use_stderr() {
        output::err(&error.render().ansi().to_string());
    } else {
        output::out(&error.render().ansi().to_string());
    }
    if let Err(error) = output::finish() {
        return report(&error);
    }
    ExitCode::from(if error.use_stderr() { 2 } else { 0 })
}

/// Every command that prints JSON does so for this flag, and arguments that are not understood may hold it too.
fn wants_json() -> bool {
    let arguments: Vec<_> = std::env::args_os().take_while(|argument| argument != "--").collect();
    let named = arguments.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json");
    named || arguments.iter().any(|argument| argument == "--json" || argument == "--format=json")
}

fn problem(id: &str, title: &str) -> serde_json::Value {
    json!({ "type": format!("urn:paystate:problem:{id}"), "title": title })
}

/// All causes, the outermost first. Some repeat in their own text what caused them: each is said once.
fn causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        // `cannot read x` may be caused by `x: no such file`.
        let named = cause.split_once(": ").filter(|(name, _)| text.ends_with(name));
        let new = named.map_or(cause.as_str(), |(_, rest)| rest);
        if text.is_empty() {
            text = cause;
        } else if !text.contains(new) {
            text.push_str(&format!(": {new}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let missing = || std::io::Error::from_raw_os_error(2);
        let doubled = anyhow::Error::new(missing()).context(format!("cannot open x: {}", missing())).context("begin");
        assert_eq!(causes(&doubled), "begin: cannot open x: No such file or directory (os error 2)");
        for inner in [missing().to_string(), format!("x: {}", missing())] {
            let plain = anyhow::Error::msg(inner).context("cannot open x");
            assert_eq!(causes(&plain), "cannot open x: No such file or directory (os error 2)");
        }
    }
}
