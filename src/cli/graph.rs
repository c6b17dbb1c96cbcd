use std::path::PathBuf;

use super::Verdict;
use super::check::show_problems;
use super::output;
use crate::definition::{GraphFormat, Library, graph, load};

/// Draw a workflow.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  paystate graph workflows/bank_card.yaml --format svg > bank_card.svg")]
pub(super) struct Args {
    /// The workflow's YAML.
    file: PathBuf,
    #[arg(long, value_enum, default_value_t = Format::Mermaid)]
    format: Format,
    /// Print one JSON object with the drawing in `graph`.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Mermaid,
    Dot,
    Svg,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let sources = Library::read_file(&args.file)?;
    let library = Library { workflows: vec![sources.clone()], connectors: Vec::new() };
    let workflow = match load(sources) {
        Ok(workflow) => workflow,
        Err(problems) => {
            output::err(&show_problems(&library, &problems));
            return Ok(Verdict::No);
        }
    };
    let (format, name) = match args.format {
        Format::Mermaid => (GraphFormat::Mermaid, "mermaid"),
        Format::Dot => (GraphFormat::Dot, "dot"),
        Format::Svg => (GraphFormat::Svg, "svg"),
    };
    let text = graph(&workflow, format);
    if args.json {
        output::json(&serde_json::json!({"workflow": workflow.name, "format": name, "graph": text}));
    } else {
        output::out(&text);
    }
    Ok(Verdict::Yes)
}
