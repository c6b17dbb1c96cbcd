//! The connector of a trial, and the values that the daemon's configuration would give to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow, bail};

use super::super::config::Config;
use super::super::{Verdict, check, output};
use super::placeholders::{self, MadeUp};
use crate::connector::ConnectorConfig;
use crate::definition::{Connector, Problem, load_connector};
use crate::executor::{Clock, SystemClock};

#[derive(Debug, clap::Args)]
pub(super) struct Values {
    /// The configuration with the values of `${env.NAME}` and `${secret.NAME}`.
    #[arg(long)]
    config: Option<PathBuf>,
    /// A value of `${env.NAME}`, as NAME=VALUE.
    #[arg(long)]
    env: Vec<String>,
}

pub(super) fn connector(file: &Path) -> anyhow::Result<Result<Arc<Connector>, Vec<Problem>>> {
    let shown = file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    Ok(load_connector(&shown, &text).map(Arc::new))
}

/// A connector with problems is tried by nobody: the first of them, and how to see them all.
pub(super) fn told(problems: &[Problem], file: &Path, json: bool) -> Verdict {
    if json {
        problems.iter().for_each(|problem| output::json(&check::json(problem)));
        return Verdict::No;
    }
    let (shown, count) = (file.display(), problems.len());
    let first = problems.first().map(|problem| problem.message.as_str()).unwrap_or_default();
    output::err(&format!("{shown} has {count} problems, the first: {first}\nrun `paystate check {shown}`\n"));
    Verdict::No
}

/// What is not given is made up, but where something is really sent.
pub(super) fn config(
    values: &Values,
    definition: &Connector,
    offline: bool,
) -> anyhow::Result<(ConnectorConfig, MadeUp)> {
    let file = values.config.as_deref().map(Config::read).transpose()?.unwrap_or_default();
    let mut config = ConnectorConfig::new(Arc::new(|| SystemClock.now()));
    config.env.clone_from(&file.env);
    config.secrets = file.secrets()?;
    config.allowed_hosts.clone_from(&file.allowed_hosts);
    config.card_numbers = file.card_numbers;
    config.offline = offline;
    for pair in &values.env {
        let (name, value) = pair.split_once('=').ok_or_else(|| anyhow!("--env is NAME=VALUE, not {pair}"))?;
        config.env.insert(name.to_owned(), value.to_owned());
    }
    let made_up = placeholders::fill(&mut config, definition);
    let names = made_up.names().join(", ");
    if !offline && !names.is_empty() {
        bail!("to send it, {names} must be given by --config or --env");
    }
    if !names.is_empty() {
        output::err(&format!("made up, for want of --config or --env: {names}\n"));
    }
    Ok((config, made_up))
}
