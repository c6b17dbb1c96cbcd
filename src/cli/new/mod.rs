//! `paystate new`: files to begin with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::{Verdict, output};
use crate::definition::is_builtin;

const METHOD: &str = include_str!("method.yaml");
const CONNECTOR: &str = include_str!("connector.yaml");
const SCENARIOS: &[(&str, &str)] = &[
    ("paid.yaml", include_str!("paid.yaml")),
    ("declined.yaml", include_str!("declined.yaml")),
    ("lost_answer.yaml", include_str!("lost_answer.yaml")),
];

/// Writes a commented payment method with its scenarios, or a connector, to begin with.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    paystate new connector acme --in my-method\n  \
    paystate new method acme_card --connector acme --in my-method && paystate test --workflows my-method")]
pub(super) struct Args {
    /// What to write.
    #[arg(value_parser = ["method", "connector"])]
    what: String,
    /// Letters, digits and `_`, beginning with a letter.
    name: String,
    /// The connector that the method calls; it is written too, if there is none of its name.
    #[arg(long, default_value = "acme")]
    connector: String,
    /// The folder of workflows.
    #[arg(long = "in", value_name = "DIR", default_value = "workflows")]
    folder: PathBuf,
    /// Print the files that were written as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Verdict> {
    let mut files = Vec::new();
    if args.what == "connector" {
        files.push(connector(&args.folder, &args.name)?);
    } else {
        let (name, connector_name) = (named(&args.name)?, named(&args.connector)?);
        let filled = |text: &str| text.replace("NEW_METHOD", name).replace("NEW_CONNECTOR", connector_name);
        if !connector_file(&args.folder, connector_name).exists() {
            files.push(connector(&args.folder, connector_name)?);
        }
        files.push((args.folder.join(format!("{name}.yaml")), filled(METHOD)));
        let scenarios = args.folder.join("scenarios").join(name);
        files.extend(SCENARIOS.iter().map(|(file, text)| (scenarios.join(file), filled(text))));
    }
    if let Some((there, _)) = files.iter().find(|(path, _)| path.exists()) {
        bail!("{} is there already: nothing was written", there.display());
    }
    for (path, text) in &files {
        write(path, text)?;
    }
    let shown: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    if args.json {
        output::json(&serde_json::json!({ "written": shown }));
    } else {
        let folder = args.folder.display();
        output::out(&format!("wrote {}\n", shown.join("\nwrote ")));
        output::out(&format!("next: paystate check {folder} && paystate test --workflows {folder}\n"));
    }
    Ok(Verdict::Yes)
}

fn connector(folder: &Path, name: &str) -> anyhow::Result<(PathBuf, String)> {
    let name = named(name)?;
    if is_builtin(name) {
        bail!("`{name}` is a part of Paystate: a connector has another name");
    }
    let text = CONNECTOR.replace("NEW_CONNECTOR", name).replace("NEW_ENV", &name.to_uppercase());
    Ok((connector_file(folder, name), text))
}

fn connector_file(folder: &Path, name: &str) -> PathBuf {
    folder.join("connectors").join(format!("{name}.yaml"))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(failed)?;
    fs::write(path, text).with_context(failed)
}

/// A name becomes the name of a file, and of variables in the environment.
fn named(name: &str) -> anyhow::Result<&str> {
    let fits = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if fits { Ok(name) } else { bail!("`{name}` is no name: letters, digits and `_`, beginning with a letter") }
}
