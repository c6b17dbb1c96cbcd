//! Logs go to standard error: answers on standard output stay clean.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// `PAYSTATE_LOG` says what is told, `PAYSTATE_LOG_FORMAT` how: `text` or `json`.
pub(super) fn start(is_daemon: bool) {
    let usual = if is_daemon { "info" } else { "warn" };
    let wanted = std::env::var("PAYSTATE_LOG").unwrap_or_else(|_| usual.to_owned());
    let filter = EnvFilter::try_new(&wanted).unwrap_or_else(|_| EnvFilter::new(usual));
    let color = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(color);
    let json = std::env::var("PAYSTATE_LOG_FORMAT").is_ok_and(|format| format == "json");
    // A second subscriber in the same process, as in a test, is no reason to stop.
    let _ = if json { logs.json().flatten_event(true).try_init() } else { logs.try_init() };
}
