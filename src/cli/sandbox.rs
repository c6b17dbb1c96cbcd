use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::client::Connection;
use super::output;

/// Run the gateway, the bank and the shop by themselves.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  paystate sandbox\n  paystate sandbox sample bank_card > order.json")]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<SandboxCommand>,
    /// Where its certificates and books are kept; in memory unless told.
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Say in JSON, on the first line, where everything listens.
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum SandboxCommand {
    /// Print an input that the sandbox of a running daemon accepts.
    Sample {
        /// The workflow to pay by.
        workflow: String,
        #[command(flatten)]
        connection: Connection,
    },
}

pub(super) async fn run(args: Args) -> ExitCode {
    let _ = args;
    output::err("sandbox is not built in yet\n");
    ExitCode::from(2)
}
