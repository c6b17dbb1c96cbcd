//! The description of the API, and the schemas of definitions.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi as Description, Ref, RefOr, Response as DescribedResponse};
use utoipa::{Modify, OpenApi};

use super::problem::{CROSS_SITE, MISDIRECTED, PROBLEM, ProblemKind};
use super::trust::is_open;
use super::{
    act, connectors, dashboard, health, history, hooks, incidents, notices, orders, stream, submit, workflows,
};

const WORKFLOW: &str = include_str!("../../workflows/schema/workflow.schema.json");
const CONNECTOR: &str = include_str!("../../workflows/schema/connector.schema.json");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Paystate",
        description = "Drives payments through workflows that are YAML files. Errors are RFC 9457 problems with a stable \
                       `type` of the form `urn:paystate:problem:<id>`.",
    ),
    paths(
        submit::submit, orders::list, orders::one, history::journal, history::recording, notices::list, notices::redeliver, act::events, act::cancel, act::retry, act::resolve,
        stream::stream, incidents::list, connectors::list, connectors::pause, connectors::resume, workflows::list, workflows::one, workflows::graph, hooks::hook, hooks::hook_by_get, hooks::hook_below, hooks::hook_below_by_get, health::live,
        health::ready, health::metrics, openapi, workflow_schema, connector_schema, dashboard::index, dashboard::asset,
    ),
    modifiers(&Problems),
    tags(
        (name = "orders", description = "Runs of a workflow"),
        (name = "incidents", description = "Orders that need a person"),
        (name = "connectors", description = "Providers that workflows call"),
        (name = "workflows", description = "Payment methods"),
        (name = "hooks", description = "Notifications from providers"),
        (name = "operation", description = "Health, figures, descriptions"),
    ),
)]
struct Document;

/// Every operation may be answered with a problem, and a problem has a media type of its own.
struct Problems;

impl Modify for Problems {
    fn modify(&self, description: &mut Description) {
        for (path, item) in &mut description.paths.paths {
            let trusted = !is_open(path);
            if let Some(get) = &mut item.get {
                complete(get, trusted.then_some(&[MISDIRECTED]));
            }
            if let Some(post) = &mut item.post {
                complete(post, trusted.then_some(&[MISDIRECTED, CROSS_SITE]));
            }
        }
    }
}

fn complete(operation: &mut Operation, around: Option<&[ProblemKind]>) {
    let responses = &mut operation.responses.responses;
    for (status, response) in responses.iter_mut() {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response)
            && let Some(content) = response.content.shift_remove("application/json")
        {
            response.content.insert(PROBLEM.to_owned(), content);
        }
    }
    for kind in around.into_iter().flatten() {
        responses.insert(kind.status.to_string(), RefOr::T(problem(kind.title)));
    }
    responses.insert("default".to_owned(), RefOr::T(problem("Any other problem")));
}

fn problem(description: &str) -> DescribedResponse {
    let mut response = DescribedResponse::new(description);
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    response.content.insert(PROBLEM.to_owned(), RefOr::T(content));
    response
}

/// The OpenAPI 3.1 document as JSON.
pub fn document() -> String {
    Document::openapi().to_pretty_json().unwrap_or_default()
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "operation",
    responses((status = 200, description = "OpenAPI 3.1", body = Object, content_type = "application/json")))]
pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], document()).into_response()
}

/// The JSON Schema of workflow files, for editors.
#[utoipa::path(get, path = "/schemas/workflow.schema.json", tag = "operation",
    responses((status = 200, description = "JSON Schema", body = Object, content_type = "application/schema+json")))]
pub(super) async fn workflow_schema() -> Response {
    schema(WORKFLOW)
}

/// The JSON Schema of connector files, for editors.
#[utoipa::path(get, path = "/schemas/connector.schema.json", tag = "operation",
    responses((status = 200, description = "JSON Schema", body = Object, content_type = "application/schema+json")))]
pub(super) async fn connector_schema() -> Response {
    schema(CONNECTOR)
}

fn schema(text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], text).into_response()
}
