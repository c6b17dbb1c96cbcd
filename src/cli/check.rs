//! `paystate check`: every problem of every definition.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{Verdict, output};
use crate::definition::{Library, Problem, Style, render, render_github};

/// Checks workflows and connectors: all problems, each with its line, what to do, and the id of its rule.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate check workflows\n\nExit codes: 0 clean, 1 problems, 2 could not run.")]
pub(super) struct Args {
    /// Files or folders. A folder's `connectors/` are checked too.
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// `text` for people, `json` for one object a line, `github` for annotations of a pull request.
    #[arg(long, default_value = "text", value_parser = ["text", "json", "github"])]
    format: String,
    /// The same as `--format json`.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let mut found = Found::default();
    for path in &args.paths {
        found.path(path)?;
    }
    let format = if args.json { "json" } else { args.format.as_str() };
    let color = anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never;
    let style = if color { Style::Colored } else { Style::Plain };
    for (problem, text) in found.problems.values() {
        match format {
            "json" => output::out(&format!("{}\n", json(problem))),
            "github" => output::out(&format!("{}\n", render_github(problem))),
            _ => output::out(&format!("{}\n\n", render(problem, text, style))),
        }
    }
    let count = found.problems.len();
    if count > 0 && format == "text" {
        output::err(&format!("{count} {}\n", if count == 1 { "problem" } else { "problems" }));
    }
    Ok(if count == 0 { Verdict::Yes } else { Verdict::No })
}

/// Problems by their place, so that a connector that two workflows share is told once.
#[derive(Default)]
struct Found {
    problems: BTreeMap<(String, usize, &'static str, String), (Problem, String)>,
}

impl Found {
    fn path(&mut self, path: &Path) -> anyhow::Result<()> {
        let read = || format!("cannot read {}", path.display());
        let is_dir = path.symlink_metadata().map(|_| path.is_dir()).with_context(read)?;
        let mut library = Library::default();
        if is_dir {
            library = Library::read_dir(path).with_context(read)?;
        } else {
            library.add(path);
        }
        if library.is_empty() {
            let folder = path.display();
            bail!("there is nothing to check in {folder}: no workflow or connector (*.yaml), and no connectors/*.yaml");
        }
        for problem in library.check() {
            let text = library.text(&problem.file).unwrap_or_default().to_owned();
            let place = (problem.file.clone(), problem.span.start, problem.rule, problem.message.clone());
            self.problems.entry(place).or_insert((problem, text));
        }
        Ok(())
    }
}

/// A problem for programs.
pub(super) fn json(problem: &Problem) -> serde_json::Value {
    serde_json::json!({
        "rule": problem.rule,
        "message": problem.message,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "help": problem.help,
        "fix": problem.fix,
    })
}
