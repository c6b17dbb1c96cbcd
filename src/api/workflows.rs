//! The payment methods that orders can be opened on.

use axum::Json as Reply;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};

use super::params::Params;
use super::problem::{Failure, NO_WORKFLOW, clip};
use super::state::Api;
use super::wire::{Problem, StateView, TransitionView, WorkflowDetail, WorkflowItem, WorkflowList, spine};
use crate::definition::suggest::{did_you_mean, one_of};
use crate::definition::{
    GraphFormat, Late, State as WorkflowState, StateKind, Transition, Verdict, Workflow, graph as graph_of,
};
use crate::types::{Version, format_duration};

/// All workflows, by name.
#[utoipa::path(get, path = "/v1/workflows", tag = "workflows",
    responses((status = 200, description = "The workflows that orders can be opened on", body = WorkflowList)))]
pub(super) async fn list(State(api): State<Api>) -> Reply<WorkflowList> {
    let mut workflows: Vec<WorkflowItem> = api.engine.workflows().iter().map(|workflow| item(workflow)).collect();
    workflows.sort_by(|a, b| a.workflow.cmp(&b.workflow));
    Reply(WorkflowList { workflows })
}

/// A workflow with its states, its schema and its YAML.
#[utoipa::path(get, path = "/v1/workflows/{name}", tag = "workflows",
    params(
        ("name" = String, Path, description = "The workflow"),
        ("version" = Option<String>, Query, description = "A version that orders are still on; the present one unless told"),
    ),
    responses(
        (status = 200, description = "The workflow", body = WorkflowDetail),
        (status = 404, description = "There is no such workflow", body = Problem),
    ))]
pub(super) async fn one(
    State(api): State<Api>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Reply<WorkflowDetail>, Failure> {
    let workflow = find(&api, &name, &uri)?;
    let WorkflowItem { workflow: name, version, title, description, stages, connectors, graph, .. } = item(&workflow);
    let on = workflow.on.iter().flat_map(|(event, all)| transitions(event.as_str(), all)).collect();
    Ok(Reply(WorkflowDetail {
        workflow: name,
        version,
        title,
        description,
        stages,
        connectors,
        graph,
        initial: workflow.initial.to_string(),
        states: workflow.states.iter().map(state).collect(),
        on,
        input: workflow.input.source().clone(),
        path: workflow.sources.path.clone(),
        source: workflow.sources.workflow.clone(),
    }))
}

/// A workflow's diagram.
#[utoipa::path(get, path = "/v1/workflows/{name}/graph.svg", tag = "workflows",
    params(
        ("name" = String, Path, description = "The workflow"),
        ("version" = Option<String>, Query, description = "A version that orders are still on; the present one unless told"),
    ),
    responses(
        (status = 200, description = "SVG", body = String, content_type = "image/svg+xml"),
        (status = 404, description = "There is no such workflow", body = Problem),
    ))]
pub(super) async fn graph(State(api): State<Api>, Path(name): Path<String>, uri: Uri) -> Result<Response, Failure> {
    let workflow = find(&api, &name, &uri)?;
    let svg = graph_of(&workflow, GraphFormat::Svg);
    let mut response = ([(header::CONTENT_TYPE, "image/svg+xml; charset=utf-8")], svg).into_response();
    // Opened by itself, an SVG is a document: it may run nothing.
    let policy = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    Ok(response)
}

fn find(api: &Api, name: &str, uri: &Uri) -> Result<std::sync::Arc<Workflow>, Failure> {
    let params = Params::read(uri, &["version"])?;
    if let Some(version) = params.get("version") {
        let found = api.engine.version(&Version::from(version)).filter(|workflow| workflow.name.as_str() == name);
        return found.ok_or_else(|| NO_WORKFLOW.because("there is no such version of this workflow"));
    }
    api.engine.workflow(&name.into()).ok_or_else(|| {
        let known = api.engine.workflows();
        let names = || known.iter().map(|workflow| workflow.name.as_str());
        let help = did_you_mean(name, names()).unwrap_or_else(|| format!("there is {}", one_of(names())));
        NO_WORKFLOW.because(format!("there is no workflow `{}`: {help}", clip(name)))
    })
}

fn item(workflow: &Workflow) -> WorkflowItem {
    WorkflowItem {
        workflow: workflow.name.to_string(),
        version: workflow.version.to_string(),
        title: workflow.title.clone(),
        description: workflow.description.clone(),
        states: workflow.states.len(),
        stages: spine(workflow),
        connectors: workflow.connectors.keys().map(ToString::to_string).collect(),
        graph: format!("/v1/workflows/{}/graph.svg", workflow.name),
    }
}

fn state(state: &WorkflowState) -> StateView {
    let verdict = state.verdict().map(|verdict| match verdict {
        Verdict::Success => "success".to_owned(),
        Verdict::Failure => "failure".to_owned(),
    });
    let mut all: Vec<TransitionView> =
        state.on.iter().flat_map(|(event, list)| transitions(event.as_str(), list)).collect();
    for after in &state.after {
        all.push(transition(&format!("after {}", format_duration(after.delay)), &after.transition));
    }
    all.extend(transitions("always", &state.always));
    if let StateKind::Final { late, .. } = &state.kind {
        for (event, rule) in late {
            let on = format!("late {event}");
            match rule {
                Late::Transition(list) => all.extend(transitions(&on, list)),
                Late::Ignore | Late::Incident => all.push(TransitionView { on, target: None, when: None }),
            }
        }
    }
    StateView {
        name: state.name.to_string(),
        title: state.title.clone(),
        stage: state.stage.map(|stage| stage.name().to_owned()),
        verdict,
        calls: state.invokes().iter().map(|invoke| invoke.call.to_string()).collect(),
        entry: state.entry.iter().map(|effect| effect.call.to_string()).collect(),
        transitions: all,
    }
}

fn transitions(on: &str, list: &[Transition]) -> Vec<TransitionView> {
    list.iter().map(|one| transition(on, one)).collect()
}

fn transition(on: &str, transition: &Transition) -> TransitionView {
    TransitionView {
        on: on.to_owned(),
        target: transition.target.as_ref().map(ToString::to_string),
        when: transition.when.as_ref().map(|when| when.source().to_owned()),
    }
}
