use std::path::PathBuf;
use std::process::ExitCode;

use super::output;

/// Run the daemon: executor, HTTP API and dashboard.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  paystate serve --data data --workflows workflows --sandbox\n  \
    paystate serve --config paystate.yaml --listen 0.0.0.0:7878")]
pub(super) struct Args {
    /// Where the journal and the working store are.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// The folder of workflows.
    #[arg(long, value_name = "DIR")]
    pub(super) workflows: Option<PathBuf>,
    /// The configuration: where providers are, and where their secrets are found.
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Where to listen; 127.0.0.1:7878 unless told.
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Option<String>,
    /// Start a gateway, a bank and a shop to try things on.
    #[arg(long)]
    pub(super) sandbox: bool,
    /// The store: `sled`, or `postgres://...`.
    #[arg(long, default_value = "sled")]
    pub(super) store: String,
    /// Say in JSON, on the first line, where it listens.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(args: Args) -> ExitCode {
    let _ = args;
    output::err("serve is not built in yet\n");
    ExitCode::from(2)
}
