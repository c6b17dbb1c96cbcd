//! The providers: how they are doing, and pausing them.

use axum::Json as Reply;
use axum::extract::{Path, State};
use axum::http::Uri;

use super::body::Json;
use super::engine::PauseError;
use super::params::{Params, note, required};
use super::problem::{Failure, UNKNOWN_CONNECTOR};
use super::state::Api;
use super::wire::{ConnectorItem, ConnectorList, PauseBody, Problem, ResumeBody};
use crate::types::{ConnectorName, Pause};

/// The providers that workflows call, and what is under way at them.
#[utoipa::path(get, path = "/v1/connectors", tag = "connectors",
    params(("in_doubt" = Option<bool>, Query, description = "Also count the calls that may have happened, which takes a look at the orders")),
    responses(
        (status = 200, description = "The connectors, by name", body = ConnectorList),
        (status = 400, description = "A parameter cannot be read", body = Problem),
    ))]
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Reply<ConnectorList>, Failure> {
    let params = Params::read(&uri, &["in_doubt"])?;
    let with_doubt =
        params.parse("in_doubt", |text| text.parse::<bool>().map_err(|_| "is `true` or `false`".to_owned()))?;
    let providers = api.engine.providers(with_doubt.unwrap_or(false)).await?;
    Ok(Reply(ConnectorList { connectors: providers.into_iter().map(Into::into).collect() }))
}

/// Sends a provider nothing new. Calls to it wait, and use up no try by it; a restart changes nothing about it.
#[utoipa::path(post, path = "/v1/connectors/{name}/pause", tag = "connectors", request_body = PauseBody,
    params(("name" = String, Path, description = "The connector")),
    responses(
        (status = 200, description = "The connector afterwards", body = ConnectorItem),
        (status = 400, description = "It is not said who pauses it", body = Problem),
        (status = 404, description = "No workflow calls such a connector", body = Problem),
    ))]
pub(super) async fn pause(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<PauseBody>,
) -> Result<Reply<ConnectorItem>, Failure> {
    let by = required("by", &body.by)?;
    let pause = Pause { drain: body.drain, by, note: note(&body.note)?, since: api.engine.now(), in_force: None };
    tracing::warn!(connector = name, by = pause.by, note = pause.note, drain = pause.drain, "a connector is paused");
    change(&api, &name, Some(pause)).await
}

/// Lets a provider go on: what has waited is sent, as its limits allow.
#[utoipa::path(post, path = "/v1/connectors/{name}/resume", tag = "connectors", request_body = ResumeBody,
    params(("name" = String, Path, description = "The connector")),
    responses(
        (status = 200, description = "The connector afterwards", body = ConnectorItem),
        (status = 400, description = "It is not said who lets it go on", body = Problem),
        (status = 404, description = "No workflow calls such a connector", body = Problem),
    ))]
pub(super) async fn resume(
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<ResumeBody>,
) -> Result<Reply<ConnectorItem>, Failure> {
    let (by, note) = (required("by", &body.by)?, note(&body.note)?);
    tracing::warn!(connector = name, by, note, "a connector goes on");
    change(&api, &name, None).await
}

async fn change(api: &Api, name: &str, pause: Option<Pause>) -> Result<Reply<ConnectorItem>, Failure> {
    api.engine.pause(ConnectorName::new(name), pause).await?;
    let mut providers = api.engine.providers(true).await?.into_iter();
    let one = providers.find(|provider| provider.name.as_str() == name);
    one.map(|provider| Reply(provider.into())).ok_or_else(|| unknown(name, Vec::new()))
}

fn unknown(name: &str, known: Vec<ConnectorName>) -> Failure {
    Failure::known(UNKNOWN_CONNECTOR, "connector", name, known.iter().map(ToString::to_string).collect())
}

impl From<PauseError> for Failure {
    fn from(error: PauseError) -> Self {
        match error {
            PauseError::UnknownConnector { name, known } => unknown(&name, known),
            PauseError::Engine(error) => error.into(),
        }
    }
}
