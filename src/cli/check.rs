use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Verdict;
use super::output;
use crate::definition::{Library, Problem, Style, render, render_github};

/// Check workflows and connectors: every problem with its file, line and column.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  paystate check workflows\n  paystate check workflows/bank_card.yaml --json\n\n\
    Exit codes: 0 no problems, 1 problems, 2 could not run.")]
pub(super) struct Args {
    /// Files, or folders with workflows and their connectors.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Print one JSON object for each problem.
    #[arg(long)]
    json: bool,
    /// Print problems the way GitHub shows them beside the line.
    #[arg(long, conflicts_with = "json")]
    github: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let library = read(&args.paths)?;
    let (workflows, problems) = library.load();
    if args.json {
        for problem in &problems {
            output::json(&serde_json::to_value(problem)?);
        }
    } else if args.github {
        problems.iter().for_each(|problem| output::out(&format!("{}\n", render_github(problem))));
    } else {
        output::out(&show_problems(&library, &problems));
        output::err(&summary(&library, workflows.len(), problems.len()));
    }
    Ok(if problems.is_empty() { Verdict::Yes } else { Verdict::No })
}

fn read(paths: &[PathBuf]) -> anyhow::Result<Library> {
    let mut library = Library::default();
    for path in paths {
        if path.is_dir() {
            let found = Library::read_dir(path)?;
            if found.workflows.is_empty() && found.connectors.is_empty() {
                anyhow::bail!("{}: there are no workflows in this folder", path.display());
            }
            library.workflows.extend(found.workflows);
            library.connectors.extend(found.connectors);
        } else if is_connector(path) {
            let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
            library.connectors.push((path.display().to_string(), text));
        } else {
            library.workflows.push(Library::read_file(path)?);
        }
    }
    Ok(library)
}

/// Connectors live in a folder of this name, beside the workflows that use them.
fn is_connector(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|folder| folder == "connectors")
}

/// All problems, each with its line and a caret.
pub(super) fn show_problems(library: &Library, problems: &[Problem]) -> String {
    let color = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let style = if color { Style::Colored } else { Style::Plain };
    let one = |problem: &Problem| render(problem, library.text(&problem.file).unwrap_or_default(), style);
    let shown: Vec<String> = problems.iter().map(one).collect();
    shown.join("\n")
}

fn summary(library: &Library, good: usize, problems: usize) -> String {
    if problems == 0 {
        return format!("{good} workflows and {} connectors: no problems\n", library.connectors.len());
    }
    let word = if problems == 1 { "problem" } else { "problems" };
    format!(
        "\n{problems} {word} in {} workflows and {} connectors\n",
        library.workflows.len(),
        library.connectors.len()
    )
}
