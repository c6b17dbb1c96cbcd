//! Logs: `tracing`, to standard error, as text or as JSON.

use tracing_subscriber::EnvFilter;

/// `PAYSTATE_LOG` filters (`info`, `paystate=debug`), and `PAYSTATE_LOG_FORMAT=json` makes one object a line.
pub(super) fn start() {
    let filter = EnvFilter::try_from_env("PAYSTATE_LOG").unwrap_or_else(|_| EnvFilter::new("warn,paystate=info"));
    // Colours are for a terminal, and for whoever did not set NO_COLOR.
    let color = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let builder = builder.with_target(false).with_ansi(color);
    let json = std::env::var("PAYSTATE_LOG_FORMAT").is_ok_and(|format| format == "json");
    // A second start in one process, as in a test, changes nothing.
    let _ = if json { builder.json().try_init() } else { builder.compact().try_init() };
}
