use clap::CommandFactory;
use clap_complete::Shell;

use super::Verdict;
use super::{Cli, output};

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate completions bash > /etc/bash_completion.d/paystate")]
pub(super) struct Args {
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Verdict {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "paystate", &mut text);
    output::out(&String::from_utf8_lossy(&text));
    Verdict::Yes
}
