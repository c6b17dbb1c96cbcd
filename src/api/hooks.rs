//! `POST /hooks/{connector}`: notifications from providers.

use std::net::IpAddr;

use axum::Json as Reply;
use axum::extract::{ConnectInfo, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::body::{Raw, headers_as_text};
use super::engine::{HookError, HookNotice};
use super::listener::Peer;
use super::problem::{Failure, PARAMETER};
use super::state::Api;
use super::wire::{HookResult, Problem};
use crate::definition::{Network, decode_form};
use crate::types::{ConnectorName, Value};

/// What a notification is answered with.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "only described")]
enum Answers {
    /// Taken; it need not be sent again. A connector may have another answer in its `acknowledge`.
    #[response(status = 200)]
    Taken(#[to_schema] HookResult),
    /// It is not understood.
    #[response(status = 400)]
    NotUnderstood(#[to_schema] Problem),
    /// Its signature does not fit.
    #[response(status = 401)]
    NotBelieved(#[to_schema] Problem),
    /// No such connector, or no such order.
    #[response(status = 404)]
    Unknown(#[to_schema] Problem),
    /// It is to be sent again: its order is not known by this reference yet.
    #[response(status = 503)]
    TooEarly(#[to_schema] Problem),
}

/// The rest of a notification, whatever its address is.
type Rest = (RawQuery, ConnectInfo<Peer>, HeaderMap, Raw);

/// Takes a provider's notification.
#[utoipa::path(post, path = "/hooks/{connector}", tag = "hooks", responses(Answers),
    params(("connector" = String, Path, description = "The connector of the provider")),
    request_body(content = Vec<u8>, description = "Whatever the provider sends, signed as its connector says"))]
pub(super) async fn hook(api: State<Api>, Path(connector): Path<String>, rest: Rest) -> Result<Response, Failure> {
    take(&api, connector, String::new(), rest).await
}

/// The same for providers who say everything in the address.
#[utoipa::path(get, path = "/hooks/{connector}", tag = "hooks", responses(Answers),
    params(("connector" = String, Path, description = "The connector of the provider")))]
pub(super) async fn hook_by_get(
    api: State<Api>,
    Path(connector): Path<String>,
    rest: Rest,
) -> Result<Response, Failure> {
    take(&api, connector, String::new(), rest).await
}

/// The same for providers who add something to the address that they were given.
#[utoipa::path(post, path = "/hooks/{connector}/{below}", tag = "hooks", responses(Answers),
    params(("connector" = String, Path, description = "The connector of the provider"),
        ("below" = String, Path, description = "What the provider adds, of one step or several: `path` in the connector")),
    request_body(content = Vec<u8>, description = "Whatever the provider sends, signed as its connector says"))]
pub(super) async fn hook_below(
    api: State<Api>,
    Path((connector, below)): Path<(String, String)>,
    rest: Rest,
) -> Result<Response, Failure> {
    take(&api, connector, format!("/{below}"), rest).await
}

/// The same for providers who say everything in the address, and add something to it.
#[utoipa::path(get, path = "/hooks/{connector}/{below}", tag = "hooks", responses(Answers),
    params(("connector" = String, Path, description = "The connector of the provider"),
        ("below" = String, Path, description = "What the provider adds, of one step or several: `path` in the connector")))]
pub(super) async fn hook_below_by_get(
    api: State<Api>,
    Path((connector, below)): Path<(String, String)>,
    rest: Rest,
) -> Result<Response, Failure> {
    take(&api, connector, format!("/{below}"), rest).await
}

async fn take(api: &Api, connector: String, path: String, rest: Rest) -> Result<Response, Failure> {
    let (RawQuery(query), ConnectInfo(peer), headers, Raw(body)) = rest;
    let connector = ConnectorName::new(connector);
    let query = match query {
        Some(text) => decode_form(&text).ok_or_else(|| PARAMETER.because("what stands behind the `?` is no form"))?,
        None => Value::Object(serde_json::Map::new()),
    };
    let from = sender(peer.0.ip(), &headers, &api.proxies);
    let notice = HookNotice { headers: headers_as_text(&headers), query, path, body, from: Some(from) };
    let answer = api.engine.hook(connector.clone(), notice).await.inspect_err(|error| match error {
        HookError::BadSignature(reason) => tracing::warn!(%connector, %reason, "a notification was not authentic"),
        HookError::Malformed(reason) => tracing::warn!(%connector, %reason, "a notification was not understood"),
        HookError::UnknownConnector { .. } | HookError::TooEarly | HookError::Send(_) => {}
    })?;
    let status = StatusCode::from_u16(answer.acknowledge.status).unwrap_or(StatusCode::OK);
    if let Some(body) = answer.acknowledge.body {
        return Ok((status, [(header::CONTENT_TYPE, answer.acknowledge.content_type)], body).into_response());
    }
    if status == StatusCode::NO_CONTENT {
        return Ok(status.into_response());
    }
    let result = HookResult {
        result: answer.how.name().to_owned(),
        order: answer.order,
        event: answer.event.map(|event| event.to_string()),
    };
    Ok((status, Reply(result)).into_response())
}

/// Who sent it: the other end of the connection, or, where that is a proxy of ours, whom the proxy says it speaks for.
/// Each proxy adds the address that it was called from at the end.
fn sender(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
    let ours = |address: IpAddr| proxies.iter().any(|network| network.contains(address));
    let mut sender = peer;
    let values: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
    let listed = values.join(",");
    for text in listed.rsplit(',') {
        if !ours(sender) {
            break;
        }
        let Ok(address) = text.trim().parse() else { break };
        sender = address;
    }
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_of_ours_speaks_for_others() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let proxies: Vec<Network> = vec!["127.0.0.1".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        let of = |peer: &str, forwarded: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", forwarded.parse().unwrap());
            sender(ip(peer), &headers, &proxies)
        };
        assert_eq!(of("127.0.0.1", "203.0.113.9"), ip("203.0.113.9"));
        assert_eq!(of("127.0.0.1", "198.51.100.1, 203.0.113.9, 10.1.2.3"), ip("203.0.113.9"));
        assert_eq!(of("192.0.2.7", "203.0.113.9"), ip("192.0.2.7"));
        assert_eq!(of("127.0.0.1", "nonsense"), ip("127.0.0.1"));
        assert_eq!(sender(ip("127.0.0.1"), &HeaderMap::new(), &proxies), ip("127.0.0.1"));
    }
}
