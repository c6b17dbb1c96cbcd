//! All routes in one table.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use super::engine::Engine;
use super::gate::Gate;
use super::listener::Room;
use super::server::ServerOptions;
use super::state::Api;
use super::{
    act, connectors, dashboard, health, history, hooks, incidents, middleware, notices, openapi, orders, stream,
    submit, workflows,
};

type Route = (&'static str, &'static str, MethodRouter<Api>);

fn table() -> Vec<Route> {
    vec![
        ("post", "/v1/orders", post(submit::submit)),
        ("get", "/v1/orders", get(orders::list)),
        ("get", "/v1/orders/{id}", get(orders::one)),
        ("get", "/v1/orders/{id}/journal", get(history::journal)),
        ("get", "/v1/orders/{id}/recording", get(history::recording)),
        ("post", "/v1/orders/{id}/events", post(act::events)),
        ("post", "/v1/orders/{id}/cancel", post(act::cancel)),
        ("post", "/v1/orders/{id}/retry", post(act::retry)),
        ("post", "/v1/orders/{id}/resolve", post(act::resolve)),
        ("get", "/v1/orders/{id}/notifications", get(notices::list)),
        ("post", "/v1/orders/{id}/notifications/{call}/redeliver", post(notices::redeliver)),
        ("get", "/v1/stream", get(stream::stream)),
        ("get", "/v1/incidents", get(incidents::list)),
        ("get", "/v1/connectors", get(connectors::list)),
        ("post", "/v1/connectors/{name}/pause", post(connectors::pause)),
        ("post", "/v1/connectors/{name}/resume", post(connectors::resume)),
        ("get", "/v1/workflows", get(workflows::list)),
        ("get", "/v1/workflows/{name}", get(workflows::one)),
        ("get", "/v1/workflows/{name}/graph.svg", get(workflows::graph)),
        ("post", "/hooks/{connector}", post(hooks::hook)),
        ("get", "/hooks/{connector}", get(hooks::hook_by_get)),
        ("post", "/hooks/{connector}/{*below}", post(hooks::hook_below)),
        ("get", "/hooks/{connector}/{*below}", get(hooks::hook_below_by_get)),
        ("get", "/healthz", get(health::live)),
        ("get", "/readyz", get(health::ready)),
        ("get", "/metrics", get(health::metrics)),
        ("get", "/openapi.json", get(openapi::openapi)),
        ("get", "/schemas/workflow.schema.json", get(openapi::workflow_schema)),
        ("get", "/schemas/connector.schema.json", get(openapi::connector_schema)),
        ("get", "/", get(dashboard::index)),
        ("get", "/assets/{file}", get(dashboard::asset)),
    ]
}

/// Every route with its method in lower case, for the test that holds the description against it.
pub fn paths() -> Vec<(&'static str, String)> {
    // The description has no word for a path of several steps.
    table().into_iter().map(|(method, path, _)| (method, path.replace("{*", "{"))).collect()
}

/// The whole API on an engine.
pub(super) fn router(engine: Arc<dyn Engine>, options: ServerOptions, gate: Arc<Gate>, room: Room) -> Router {
    let api = Api {
        engine,
        streams: Arc::new(Semaphore::new(options.limits.streams_max)),
        limits: Arc::new(options.limits),
        hosts: options.hosts.into(),
        proxies: options.proxies.into(),
        gate,
        room,
    };
    let mut router = Router::new();
    for (_, path, route) in table() {
        router = router.route(path, route);
    }
    router
        .fallback(middleware::no_route)
        .method_not_allowed_fallback(middleware::wrong_method)
        .layer(CatchPanicLayer::custom(middleware::panicked))
        .layer(from_fn_with_state(api.clone(), middleware::guard))
        .with_state(api)
}
