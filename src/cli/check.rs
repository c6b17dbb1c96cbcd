//! `paystate check`: every problem of every definition.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::Verdict;
use crate::definition::{Library, Problem, Sources, Style, load, load_connector, render, render_github};

/// Checks workflows and connectors: all problems, each with its line, what to do, and the id of its rule.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate check workflows\n\nExit codes: 0 clean, 1 problems, 2 could not run.")]
pub struct Args {
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
            "json" => println!("{}", json(problem)),
            "github" => println!("{}", render_github(problem)),
            _ => anstream::println!("{}\n", render(problem, text, style)),
        }
    }
    let count = found.problems.len();
    if count > 0 && format == "text" {
        eprintln!("{count} {} in {} files", if count == 1 { "problem" } else { "problems" }, found.files);
    }
    Ok(if count == 0 { Verdict::Yes } else { Verdict::No })
}

/// Problems by their place, so that a connector that two workflows share is told once.
#[derive(Default)]
struct Found {
    problems: BTreeMap<(String, usize, &'static str, String), (Problem, String)>,
    files: usize,
}

impl Found {
    fn path(&mut self, path: &Path) -> anyhow::Result<()> {
        if path.is_dir() {
            let library = Library::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
            for sources in library.workflows {
                self.workflow(sources);
            }
            for (path, text) in &library.connectors {
                self.connector(path, text);
            }
            return Ok(());
        }
        if is_connector(path) {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            self.connector(&path.display().to_string(), &text);
            return Ok(());
        }
        let sources = Library::read_file(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.workflow(sources);
        Ok(())
    }

    fn workflow(&mut self, sources: Sources) {
        self.files += 1;
        let texts = texts(&sources);
        if let Err(problems) = load(sources) {
            for problem in problems {
                let text = texts.get(&problem.file).cloned().unwrap_or_default();
                self.add(problem, text);
            }
        }
    }

    fn connector(&mut self, path: &str, text: &str) {
        self.files += 1;
        if let Err(problems) = load_connector(path, text) {
            problems.into_iter().for_each(|problem| self.add(problem, text.to_owned()));
        }
    }

    fn add(&mut self, problem: Problem, text: String) {
        let place = (problem.file.clone(), problem.span.start, problem.rule, problem.message.clone());
        self.problems.entry(place).or_insert((problem, text));
    }
}

/// The text of each file that a problem can be in.
fn texts(sources: &Sources) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::from([(sources.path.clone(), sources.workflow.clone())]);
    for (name, text) in &sources.connectors {
        texts.insert(sources.connector_path(name), text.clone());
    }
    for (name, text) in &sources.schemas {
        texts.insert(sources.schema_path(name), text.clone());
    }
    texts
}

/// A connector's file begins with its name under `connector:`, wherever it lies.
fn is_connector(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().any(|line| line.starts_with("connector:"))
}

fn json(problem: &Problem) -> serde_json::Value {
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
