//! `paystate connector`: tools for those who write connectors.

mod placeholders;
mod reply;
mod show;
mod try_out;

use super::Verdict;

/// Tries out the operations of a connector.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    paystate connector try my.yaml authorize --with '{\"amount\": 1200, \"currency\": \"EUR\"}'\n\n\
    Every one takes --json.")]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Try(Box<try_out::Args>),
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    match args.command {
        Command::Try(args) => try_out::run(&args).await,
    }
}
