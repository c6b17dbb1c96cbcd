//! The command line: one file per command.
//!
//! **Invariant.** Exit codes: 0 done, 1 the answer is no, 2 could not run. Answers go to standard output, everything
//! else to standard error.

mod cancel;
mod check;
mod client;
mod completions;
mod demo;
mod exit;
mod graph;
mod incidents;
mod journal;
mod list;
mod logging;
mod output;
mod replay;
mod resolve;
mod retry;
mod sandbox;
mod send;
mod serve;
mod show;
mod submit;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::report;

/// CEL and the checker recurse: in a debug build that takes more than the usual 2 MiB.
const STACK: usize = 8 << 20;

/// Drives payments through workflows that are YAML files.
#[derive(Debug, Parser)]
#[command(name = "paystate", version, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 the answer is no, 2 could not run.\n\
    Environment: PAYSTATE_SERVER (the daemon's address), PAYSTATE_BY (your name), PAYSTATE_LOG (such as `info`),\n\
    PAYSTATE_LOG_FORMAT (`text` or `json`), NO_COLOR.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Check(check::Args),
    Graph(graph::Args),
    Submit(submit::Args),
    Show(show::Args),
    List(list::Args),
    Journal(journal::Args),
    Send(send::Args),
    Cancel(cancel::Args),
    Incidents(incidents::Args),
    Retry(retry::Args),
    Resolve(resolve::Args),
    Test(test::Args),
    Replay(replay::Args),
    Sandbox(sandbox::Args),
    Completions(completions::Args),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    /// It ran, and the answer is no: problems were found, an order failed.
    No,
}

/// Reads the arguments, runs the command, and gives its exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.command.is_daemon());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build();
    match runtime {
        Ok(runtime) => runtime.block_on(cli.command.run()),
        Err(error) => report(&anyhow::Error::new(error).context("cannot start")),
    }
}

impl Command {
    /// Runs until it is told to stop, and tells more while it does.
    fn is_daemon(&self) -> bool {
        matches!(self, Self::Serve(_) | Self::Sandbox(_))
    }

    async fn run(self) -> ExitCode {
        let answer = match self {
            Self::Demo(args) => return demo::run(args).await,
            Self::Serve(args) => return serve::run(args).await,
            Self::Test(args) => return test::run(args).await,
            Self::Replay(args) => return replay::run(args).await,
            Self::Sandbox(args) => return sandbox::run(args).await,
            Self::Check(args) => check::run(&args),
            Self::Graph(args) => graph::run(&args),
            Self::Completions(args) => Ok(completions::run(&args)),
            Self::Submit(args) => submit::run(args).await,
            Self::Show(args) => show::run(args).await,
            Self::List(args) => list::run(args).await,
            Self::Journal(args) => journal::run(args).await,
            Self::Send(args) => send::run(args).await,
            Self::Cancel(args) => cancel::run(args).await,
            Self::Incidents(args) => incidents::run(args).await,
            Self::Retry(args) => retry::run(args).await,
            Self::Resolve(args) => resolve::run(args).await,
        };
        match answer {
            Ok(Verdict::Yes) => ExitCode::SUCCESS,
            Ok(Verdict::No) => ExitCode::from(1),
            Err(error) => report(&error),
        }
    }
}
