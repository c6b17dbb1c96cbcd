//! What the connectors' files name and the configuration must give: values of `${env.NAME}` and `${secret.NAME}`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::bail;

use crate::connector::Connectors;
use crate::definition::{ConnectorKind, Needs, Workflow};
use crate::types::{ConnectorName, Secret, WorkflowName};

/// Fails when a connector of these workflows could not be built, and names everything that is missing, by connector. A
/// daemon without them would accept orders and leave every one of them stuck.
pub(super) fn must_be_given(
    workflows: &BTreeMap<WorkflowName, Arc<Workflow>>,
    env: &BTreeMap<String, String>,
    secrets: &BTreeMap<String, Secret>,
    sandbox: bool,
) -> anyhow::Result<()> {
    let mut missing: BTreeMap<&ConnectorName, Needs> = BTreeMap::new();
    for connector in workflows.values().flat_map(|workflow| workflow.connectors.values()) {
        let needs = Needs {
            env: connector.needs.env.iter().filter(|name| !env.contains_key(*name)).cloned().collect(),
            secrets: connector.needs.secrets.iter().filter(|name| !secrets.contains_key(*name)).cloned().collect(),
        };
        if !(needs.env.is_empty() && needs.secrets.is_empty()) {
            missing.insert(&connector.name, needs);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut text = "the configuration lacks what the connectors need:".to_owned();
    for (name, needs) in &missing {
        let env = needs.env.iter().map(|name| format!("env.{name}"));
        let all: Vec<String> = env.chain(needs.secrets.iter().map(|name| format!("secret.{name}"))).collect();
        let _ = write!(text, "\n  {name}: {}", all.join(", "));
    }
    let instead =
        if sandbox { "the sandbox gives only what its own servers need" } else { "or try things out with --sandbox" };
    bail!("{text}\n{HOW}\n{instead}; see docs/configuration.md")
}

const HOW: &str = "give them in the file of --config:\n  env: { NAME: value }\n  secrets: { name: { env: VARIABLE } } or \
    { name: { file: PATH } }";

/// Builds every connector of these workflows, and names all that cannot be: an address that may not be called, or a
/// certificate that cannot be read, would otherwise be found by the first order.
pub(super) fn must_be_built(
    connectors: &Connectors,
    workflows: &BTreeMap<WorkflowName, Arc<Workflow>>,
) -> anyhow::Result<()> {
    let mut wrong: BTreeMap<&ConnectorName, String> = BTreeMap::new();
    for workflow in workflows.values() {
        connectors.define_all(workflow);
        let http = workflow.connectors.values().filter(|one| matches!(one.kind, ConnectorKind::Http(_)));
        for connector in http {
            if let Err(error) = connectors.get(&connector.name, &connector.version) {
                wrong.insert(&connector.name, error.to_string());
            }
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = wrong.iter().map(|(name, why)| format!("\n  {name}: {why}")).collect();
    bail!("connectors cannot be used as they are configured:{}\nsee docs/configuration.md", lines.concat())
}
