use std::path::PathBuf;
use std::process::ExitCode;

use super::output;

/// Fold the journals again, and tell where the machine would now decide differently.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  paystate replay --data data\n  paystate replay --data data --against workflows/bank_card.yaml"
)]
pub(super) struct Args {
    /// Where the journal is.
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub(super) data: PathBuf,
    /// Only this order.
    #[arg(long)]
    pub(super) order: Option<String>,
    /// Try this version of the workflow on the orders of its name.
    #[arg(long, value_name = "FILE")]
    pub(super) against: Option<PathBuf>,
    /// Print one JSON object for each order.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(args: Args) -> ExitCode {
    let _ = args;
    output::err("replay is not built in yet\n");
    ExitCode::from(2)
}
