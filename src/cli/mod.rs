//! The commands, one file each.
//!
//! **Invariant.** A command prints its answer to standard output and everything else to standard error. It ends with 0
//! when it has done what it was asked, 1 when the answer is no, and 2 when it could not run.

mod bench;
mod boot;
mod check;
mod config;
mod demo;
mod graph;
mod replay;
mod sandbox;
mod serve;
mod telemetry;
mod test;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

/// Drives payments: methods in YAML, a durable executor, replay tests.
#[derive(Debug, Parser)]
#[command(name = "paystate", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
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
    Test(test::Args),
    Replay(replay::Args),
    Sandbox(sandbox::Args),
    Bench(bench::Args),
    /// Prints the completion script of a shell.
    #[command(after_help = "Example:\n  paystate completions bash > /etc/bash_completion.d/paystate")]
    Completions {
        shell: clap_complete::Shell,
    },
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
        Err(error) => {
            // Printing help can fail only where nobody reads it.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    telemetry::start();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: the runtime could not be started: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(Verdict::Yes) => ExitCode::SUCCESS,
        Ok(Verdict::No) => ExitCode::from(1),
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(command: Command) -> anyhow::Result<Verdict> {
    match command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Check(args) => check::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Replay(args) => replay::run(&args).await,
        Command::Sandbox(args) => sandbox::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "paystate", &mut std::io::stdout());
            Ok(Verdict::Yes)
        }
    }
}

/// Expressions are evaluated on the runtime's threads, and deep ones need more stack than the default.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(8 << 20).build()
}
