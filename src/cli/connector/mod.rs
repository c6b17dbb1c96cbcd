//! `paystate connector`: tools for those who write connectors, and for those who operate them.

mod given;
mod pause;
mod placeholders;
mod receive;
mod saved;
mod show;
mod try_out;

use super::Verdict;

/// Tries out the operations and the notifications of a connector; lists, pauses and resumes those of a daemon.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  \
    paystate connector try my.yaml authorize --with '{\"amount\": 1200, \"currency\": \"EUR\"}'\n  \
    paystate connector receive my.yaml notification.json --header 'x-signature: 5a…'\n  \
    paystate connector pause gateway --note 'they said maintenance until four'\n\n\
    Every one takes --json.")]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Try(Box<try_out::Args>),
    Receive(Box<receive::Args>),
    List(pause::ListArgs),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
}

pub(super) async fn run(args: Args) -> anyhow::Result<Verdict> {
    match args.command {
        Command::Try(args) => try_out::run(&args).await,
        Command::Receive(args) => receive::run(&args),
        Command::List(args) => pause::list(&args).await,
        Command::Pause(args) => pause::pause(args).await,
        Command::Resume(args) => pause::resume(args).await,
    }
}
