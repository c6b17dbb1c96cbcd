use std::path::PathBuf;
use std::process::ExitCode;

use super::output;

/// Run scenarios in virtual time, and say which transitions they walk.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate test tests/scenarios --workflows workflows --crashes --junit report.xml")]
pub(super) struct Args {
    /// Scenarios, recorded journals, or folders of them.
    #[arg(default_value = "tests/scenarios")]
    pub(super) paths: Vec<PathBuf>,
    /// The folder of workflows.
    #[arg(long, value_name = "DIR", default_value = "workflows")]
    pub(super) workflows: PathBuf,
    /// Run each again with a crash after every commit, before and after what it asks for was sent.
    #[arg(long)]
    pub(super) crashes: bool,
    /// Write a JUnit report.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Print one JSON object for each scenario.
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) async fn run(args: Args) -> ExitCode {
    let _ = args;
    output::err("test is not built in yet\n");
    ExitCode::from(2)
}
