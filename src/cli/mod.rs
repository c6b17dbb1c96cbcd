//! The commands, one file each.
//!
//! **Invariant.** A command prints its answer to standard output and everything else to standard error. It ends with 0
//! when it has done what it was asked, 1 when the answer is no, and 2 when it could not run or its answer could not be
//! printed. With `--json`, an error is a problem (RFC 9457) on one line of standard error.

mod archive;
mod bench;
mod boot;
mod cancel;
mod check;
mod client;
mod completions;
mod config;
mod connector;
mod demo;
mod doctor;
mod graph;
mod incidents;
mod journal;
mod list;
mod needs;
mod new;
mod notifications;
mod output;
mod replay;
mod report;
mod resolve;
mod retry;
mod sandbox;
mod send;
mod serve;
mod show;
mod submit;
mod telemetry;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use report::{report, usage};

/// Drives payments: methods in YAML, a durable executor, replay tests.
#[derive(Debug, Parser)]
#[command(name = "paystate", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 the answer is no, 2 could not run.\n\
    With --json an error is a problem (RFC 9457), one line of JSON on standard error.\n\
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
    Notifications(notifications::Args),
    Retry(retry::Args),
    Resolve(resolve::Args),
    Test(test::Args),
    Replay(replay::Args),
    Doctor(doctor::Args),
    Archive(archive::Args),
    Sandbox(sandbox::Args),
    Bench(bench::Args),
    Connector(connector::Args),
    New(new::Args),
    Completions(completions::Args),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Yes,
    /// It ran, and the answer is no: problems were found, an order failed, a test did not pass.
    No,
}

/// Reads the arguments, runs the command, and gives its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    telemetry::start();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return report(&anyhow::Error::new(error).context("the runtime could not be started")),
    };
    match runtime.block_on(run(cli.command)).and_then(|verdict| output::finish().map(|()| verdict)) {
        Ok(Verdict::Yes) => ExitCode::SUCCESS,
        Ok(Verdict::No) => ExitCode::from(1),
        Err(error) => report(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<Verdict> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Check(args) => check::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Submit(args) => submit::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::List(args) => list::run(args).await,
        Command::Journal(args) => journal::run(args).await,
        Command::Send(args) => send::run(args).await,
        Command::Cancel(args) => cancel::run(args).await,
        Command::Incidents(args) => incidents::run(args).await,
        Command::Notifications(args) => notifications::run(args).await,
        Command::Retry(args) => retry::run(args).await,
        Command::Resolve(args) => resolve::run(args).await,
        Command::Test(args) => test::run(&args),
        Command::Replay(args) => replay::run(&args).await,
        Command::Doctor(args) => doctor::run(&args),
        Command::Archive(args) => archive::run(&args).await,
        Command::Sandbox(args) => sandbox::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::New(args) => new::run(&args),
        Command::Connector(args) => connector::run(args).await,
        Command::Completions(args) => Ok(completions::run(&args)),
    }
}

/// Expressions are evaluated on the runtime's threads, and deep ones need more stack than the default.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build()
}
