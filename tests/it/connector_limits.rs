//! The breaker and the limits, seen from outside, and the registry that shares them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::Duration;

use paystate::connector::{BreakerState, Connector as _, ConnectorSetupError, Connectors, ScriptedConnector};
use paystate::definition::Breaker;
use paystate::machine::Outcome;
use tokio::time::sleep;

use crate::connector_support::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test]
async fn the_breaker_opens_refuses_without_sending_and_lets_one_request_try() {
    let good = reply("201 Created", &[], APPROVED);
    let server = Server::start(vec![Play::Close, Play::Close, Play::Close, Play::Drip(good, ms(2))]).await;
    let mut http = http(&format!("http://{}", server.address));
    http.limits.breaker = Breaker { failures: 3, open: ms(250) };
    let connector = Arc::new(connect(http, authorize()));
    for _ in 0..3 {
        assert!(matches!(connector.invoke(&call()).await, Outcome::Unknown { .. }));
    }
    assert_eq!(connector.status().breaker, BreakerState::Open);
    let refused = connector.invoke(&call()).await;
    let Outcome::NotSent { reason, retry_after_ms: Some(wait) } = refused else { panic!("{refused:?}") };
    assert!(reason.contains("circuit breaker") && wait <= 250, "{reason} {wait}");
    assert!(matches!(connector.inquire(&call()).await, Outcome::Unknown { .. }));
    assert_eq!(server.requests().len(), 3);

    sleep(ms(260)).await;
    assert_eq!(connector.status().breaker, BreakerState::HalfOpen);
    let probe = tokio::spawn({
        let connector = Arc::clone(&connector);
        async move { connector.invoke(&call()).await }
    });
    sleep(ms(60)).await;
    assert!(matches!(connector.invoke(&call()).await, Outcome::NotSent { .. }), "one at a time");
    assert!(matches!(probe.await.unwrap(), Outcome::Ok { .. }));
    assert_eq!(connector.status().breaker, BreakerState::Closed);
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn declines_do_not_open_the_breaker() {
    let server = Server::replying("402 Payment Required", r#"{"code": "insufficient_funds"}"#).await;
    let mut http = http(&format!("http://{}", server.address));
    http.limits.breaker.failures = 2;
    let connector = connect(http, authorize());
    for _ in 0..5 {
        assert!(matches!(connector.invoke(&call()).await, Outcome::Declined { .. }));
    }
    assert_eq!(connector.status().breaker, BreakerState::Closed);
}

#[tokio::test]
async fn requests_under_way_are_bounded_and_waiting_ends_with_the_deadline() {
    let server = Server::start(vec![Play::Silent]).await;
    let mut http = http(&format!("http://{}", server.address));
    http.limits.concurrency = 2;
    let connector = Arc::new(connect(http, authorize()));
    let slow = |connector: &Arc<_>| {
        let connector: Arc<paystate::connector::HttpConnector> = Arc::clone(connector);
        tokio::spawn(async move { connector.invoke(&invocation(ms(1_500))).await })
    };
    let (first, second) = (slow(&connector), slow(&connector));
    sleep(ms(100)).await;
    assert_eq!(connector.status().under_way, 2);
    let third = connector.invoke(&invocation(ms(200))).await;
    assert!(matches!(third, Outcome::NotSent { .. }), "{third:?}");
    // A call that is given up gives its place back.
    first.abort();
    sleep(ms(50)).await;
    assert_eq!(connector.status().under_way, 1);
    assert!(matches!(second.await.unwrap(), Outcome::Unknown { .. }));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn versions_of_a_connector_share_their_limits_and_scripts_take_their_place() {
    let server = Server::start(vec![Play::Close]).await;
    let connectors = Connectors::new(config());
    let define = |version: &str, body_max: usize| {
        let mut http = http(&format!("http://{}", server.address));
        http.limits.breaker.failures = 1;
        http.limits.breaker.open = ms(60_000);
        http.limits.body_max = body_max;
        let mut definition = definition(http, authorize());
        definition.version = version.into();
        connectors.define(Arc::new(definition));
    };
    define("v1", 1_000);
    define("v2", 1_000);
    define("v3", 2_000);
    let get = |version: &str| connectors.get(&"gateway".into(), &version.into());
    let unknown = get("v9").map(|_| ()).unwrap_err();
    assert!(matches!(unknown, ConnectorSetupError::Unknown { .. }));
    assert!(matches!(get("v1").unwrap().invoke(&call()).await, Outcome::Unknown { .. }));
    assert!(matches!(get("v2").unwrap().invoke(&call()).await, Outcome::NotSent { .. }), "one breaker for both");
    assert_eq!(connectors.status()[0].1.breaker, BreakerState::Open);
    assert!(matches!(get("v3").unwrap().invoke(&call()).await, Outcome::Unknown { .. }), "other limits, other gate");
    assert!(connectors.definition(&"gateway".into(), &"v2".into()).is_some());

    connectors.register("gateway".into(), Arc::new(ScriptedConnector::new()));
    assert!(matches!(get("v1").unwrap().invoke(&call()).await, Outcome::Ok { .. }));
    assert!(!format!("{connectors:?}").contains(SECRET));
}
