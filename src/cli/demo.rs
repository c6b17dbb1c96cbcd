use std::process::ExitCode;

use super::output;

/// Start the sandbox, the daemon and the dashboard, and pay one order by each method.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate demo --exit --json")]
pub(super) struct Args {
    /// End when every order has ended, with 0 when all ended as they should.
    #[arg(long)]
    pub(super) exit: bool,
    /// Print one JSON object for each order.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(args: Args) -> ExitCode {
    let _ = args;
    output::err("demo is not built in yet\n");
    ExitCode::from(2)
}
