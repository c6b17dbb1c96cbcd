//! Texts → a workflow, or every problem in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_lc_rs::digest;

use super::document::Node;
use super::read::{self, Ctx, Judged};
use super::source::{Problems, Source};
use super::{Connector, Problem, Sources, Workflow, builtin, check, document, rules};
use crate::types::{ConnectorName, OperationName, Version};

/// Reads and checks a workflow with everything it refers to. Pure: the texts are all there is.
pub fn load(sources: Sources) -> Result<Workflow, Vec<Problem>> {
    sound(|problems| load_into(sources, Judged::Now, problems))
}

/// Reads a version that was checked when it came, and that orders are on. It is not judged again: a rule that is newer
/// than they are must not keep them from ending.
pub fn load_kept(sources: Sources) -> Result<Workflow, Vec<Problem>> {
    sound(|problems| load_into(sources, Judged::Before, problems))
}

/// Reads and checks one connector by itself. `path` is the name that problems are reported under.
pub fn load_connector(path: &str, text: &str) -> Result<Connector, Vec<Problem>> {
    sound(|problems| read_connector(path, text, None, Judged::Now, problems))
}

fn sound<T>(read: impl FnOnce(&Problems) -> Option<T>) -> Result<T, Vec<Problem>> {
    let problems = Problems::default();
    match read(&problems) {
        Some(read) if problems.is_empty() => Ok(read),
        _ => Err(problems.into_sorted()),
    }
}

fn load_into(sources: Sources, judged: Judged, problems: &Problems) -> Option<Workflow> {
    let mut connectors: BTreeMap<ConnectorName, Arc<Connector>> = BTreeMap::new();
    let mut broken = BTreeSet::new();
    for connector in builtin::connectors() {
        connectors.insert(connector.name.clone(), connector);
    }
    for (name, text) in &sources.connectors {
        let own = Problems::default();
        let read = read_connector(&sources.connector_path(name), text, Some(name), judged, &own);
        let named = ConnectorName::from(name.as_str());
        match read {
            Some(connector) => drop(connectors.insert(named, Arc::new(connector))),
            None => drop(broken.insert(named)),
        }
        own.into_sorted().into_iter().for_each(|problem| problems.add(problem));
    }
    let text = sources.workflow.clone();
    let version = version(&sources);
    let source = Source::new(sources.path.clone(), &text);
    let root = document::parse(&source, problems)?;
    let ctx = Ctx::new(&source, judged, problems);
    let mut read = read::workflow(&ctx, &root, &connectors, &broken, sources)?;
    read.workflow.version = version;
    if judged == Judged::Now {
        check::workflow(&ctx, &root, &read);
    }
    let mut workflow = read.workflow;
    let used: BTreeSet<ConnectorName> = check::calls(&workflow).map(|call| call.connector.clone()).collect();
    workflow.connectors.retain(|name, _| used.contains(name));
    Some(workflow)
}

fn read_connector(
    path: &str,
    text: &str,
    name: Option<&str>,
    judged: Judged,
    problems: &Problems,
) -> Option<Connector> {
    let source = Source::new(path, text);
    let root = document::parse(&source, problems)?;
    let ctx = Ctx::new(&source, judged, problems);
    let mut connector = read::connector(&ctx, &root)?;
    connector.version = Version::from(hash(text.as_bytes()).as_str());
    if let Some(node) = root.get("connector") {
        let named = connector.name.as_str();
        if builtin::is_builtin(named) {
            ctx.report(rules::BAD_NAME, &node.span, format!("`{named}` is a connector of Paystate itself"));
        } else if let Some(name) = name.filter(|name| *name != named) {
            let problem = ctx.problem(rules::NAME_MISMATCH, &node.span, format!("this file is the connector `{name}`"));
            ctx.add(problem.with_fix(name.to_owned()));
        }
    }
    if judged == Judged::Now {
        check::connector(&ctx, &root, &connector);
    }
    // Of operations with problems of their own nothing is said where they are called; of the others everything is.
    for entry in root.get("operations").map(Node::entries).unwrap_or_default() {
        let whole = entry.key_span.start..entry.node.span.end;
        let name = OperationName::from(entry.key.as_str());
        if problems.any_in(&source.name, &whole) || !connector.operations.contains_key(&name) {
            connector.operations.insert(name, read::unknown_operation());
        }
    }
    Some(connector)
}

/// Two equal versions behave alike: the hash of every text but not of where they lie.
fn version(sources: &Sources) -> Version {
    let content = serde_json::json!({
        "workflow": sources.workflow,
        "connectors": sources.connectors,
        "schemas": sources.schemas,
    });
    Version::from(hash(content.to_string().as_bytes()).as_str())
}

fn hash(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    hex::encode(digest.as_ref().get(..8).unwrap_or_default())
}
