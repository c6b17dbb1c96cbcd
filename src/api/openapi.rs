//! The description of the API, and the schemas of definitions.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use super::{act, dashboard, health, history, hooks, incidents, orders, stream, submit, workflows};

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
        submit::submit, orders::list, orders::one, history::journal, history::recording, act::events, act::cancel, act::retry, act::resolve,
        stream::stream, incidents::list, workflows::list, workflows::one, workflows::graph, hooks::hook, health::live,
        health::ready, health::metrics, openapi, workflow_schema, connector_schema, dashboard::index, dashboard::asset,
    ),
    tags(
        (name = "orders", description = "Runs of a workflow"),
        (name = "incidents", description = "Orders that need a person"),
        (name = "workflows", description = "Payment methods"),
        (name = "hooks", description = "Notifications from providers"),
        (name = "operation", description = "Health, figures, descriptions"),
    ),
)]
struct Document;

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
