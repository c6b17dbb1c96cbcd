//! `paystate graph`: a workflow as a picture.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::{Verdict, check, output};
use crate::definition::{GraphFormat, Library, graph, load};

/// Draws a workflow's states and transitions.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate graph workflows/bank_card.yaml --format svg > bank_card.svg")]
pub(super) struct Args {
    file: PathBuf,
    #[arg(long, default_value = "mermaid", value_parser = ["mermaid", "dot", "svg"])]
    format: String,
    /// Print the picture's text as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let sources = Library::read_file(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    if sources.is_connector() {
        bail!("{} is a connector, which has no states: draw a workflow that uses it", args.file.display());
    }
    let workflow = match load(sources) {
        Ok(workflow) => workflow,
        Err(problems) => {
            if args.json {
                problems.iter().for_each(|problem| output::json(&check::json(problem)));
                return Ok(Verdict::No);
            }
            let first = problems.first().map(|problem| problem.message.as_str()).unwrap_or_default();
            let file = args.file.display();
            output::err(&format!(
                "{file} has {} problems, the first: {first}\nrun `paystate check {file}`\n",
                problems.len()
            ));
            return Ok(Verdict::No);
        }
    };
    let format = match args.format.as_str() {
        "dot" => GraphFormat::Dot,
        "svg" => GraphFormat::Svg,
        _ => GraphFormat::Mermaid,
    };
    let picture = graph(&workflow, format);
    if args.json {
        output::json(&serde_json::json!({ "workflow": workflow.name, "format": args.format, "graph": picture }));
    } else {
        output::out(&picture);
    }
    Ok(Verdict::Yes)
}
