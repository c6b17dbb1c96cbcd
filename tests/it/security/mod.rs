//! Attacks, and where each is tried.
//!
//! | | attack | test |
//! |---|---|---|
//! | S1 | an address inside, in every spelling | `egress::no_spelling_of_an_address_inside_is_connected_to`; by ranges in `src/connector/http/egress.rs` |
//! | S2 | a name that is bound to another address between check and use | `a_name_that_changes_its_mind_gains_nothing` in `src/connector/http/egress.rs` |
//! | S3 | a redirect | `connector_faults::a_redirect_is_not_followed`, `egress::a_redirect_of_a_token_endpoint_is_not_followed` |
//! | S4 | an order that chooses the host | `egress::an_order_chooses_no_host`, `tests/invalid/host-from-order.yaml`, `connector_http::values_in_path_and_query_are_encoded_and_cannot_leave_their_place` |
//! | S5 | line breaks, NUL and a megabyte in headers and paths | `egress::what_would_break_out_of_its_place_is_not_sent`, `connector_http::a_header_cannot_begin_another` |
//! | S6 | a host that is not among the allowed ones | `egress::only_listed_hosts_are_called`, `connector_http::setup_refuses_what_can_never_be_right`, `configuration::connectors_that_cannot_be_built_are_named_at_the_start` |
//! | S7 | a certificate that proves nothing, old TLS, none | `connector_tls` (issuer, expiry, name, no TLS), `tls::*` (self-signed, TLS 1.0 and 1.1, no way to turn it off) |
//! | S20 | an expression that never ends or fills the memory | `expressions::*`; at compile time in `src/definition/expr/tests.rs` |
//! | S21 | an expression that reads what is none of its business | `expressions::there_is_nothing_to_read_but_what_is_listed`, `connector_signing::secrets_go_into_headers_the_query_and_fields_and_no_signature_sees_them`, `tests/invalid/secret-outside-auth.yaml` |
//! | S22 | forged, shifted, re-written notifications | `webhooks::every_bad_notification_has_the_same_answer`; by scheme in `connector_webhook` and `connector_notices` |
//! | S23 | a notification a thousand times at once, and again later | `webhooks::a_notification_counts_once`, `store_archive::a_late_event_brings_an_order_back` |
//! | S24 | telling a secret from how long an answer takes | see below |
//! | S25 | secrets while they are replaced | `webhooks::while_a_secret_is_replaced_both_sign`, `connector_webhook::secrets_rotate`, `connector_notices::stripe_signs_a_time_and_the_body_with_each_of_its_secrets` |
//! | S26 | secrets and numbers of cards in whatever is kept or told | `canaries::*`, `process::the_memory_of_a_daemon_is_private`, `connector_faults::reasons_show_nothing_of_the_provider_or_of_us`, `connector_http::an_echo_of_our_credentials_is_not_kept` |
//! | S38 | a provider that attacks | `provider::*`, `connector_faults::once_the_request_may_have_been_written_every_fault_is_unknown` (endless, compressed and dripping bodies), `connector_http::what_is_not_understood_is_unknown` (depth); scripts in the dashboard in `browser::dashboard` |
//!
//! S24: no test can depend on how long something takes. What is secret is compared in three places: signatures and digests
//! in `connector/crypto/verify.rs` (`hmac::verify` and `verify_slices_are_equal` of `aws-lc-rs`), tokens and logins in
//! `connector/authentic.rs` (`verify_slices_are_equal`), and Standard Webhooks in `connector/webhook/signature.rs`
//! (`hmac::verify`); each tries every key and signature, whichever fits. `==` of two `Secret`s goes the same way
//! (`types/secret.rs`), so that none can be compared otherwise. `cargo bench --bench timing` measures them.

mod canaries;
mod egress;
mod expressions;
mod process;
mod provider;
mod tls;
mod webhooks;

use std::collections::BTreeMap;
use std::sync::Arc;

use paystate::connector::{Connector as _, ConnectorConfig, ConnectorSetupError, Connectors, HttpConnector};
use paystate::definition::{Sources, load, load_connector};
use paystate::executor::{Clock, Executor, Options, SystemClock};
use paystate::machine::Outcome;
use paystate::store::MemoryStore;
use paystate::types::Secret;
use serde_json::Value;

use crate::connector_support::{call, config};

/// A connector with the operation `pay`: all but its name is given.
fn build(yaml: &str, change: impl FnOnce(&mut ConnectorConfig)) -> Result<HttpConnector, ConnectorSetupError> {
    let yaml = format!("connector: gateway\n{yaml}");
    let definition = load_connector("gateway.yaml", &yaml).unwrap_or_else(|problems| panic!("{problems:#?}\n{yaml}"));
    let mut config = config();
    change(&mut config);
    HttpConnector::new(Arc::new(definition), &config)
}

/// Calls `pay` with these arguments.
async fn pay(connector: &HttpConnector, with: Value) -> Outcome {
    let mut call = call();
    call.operation = "pay".into();
    call.with = Arc::new(with);
    connector.invoke(&call).await
}

/// An executor in memory with one workflow and one connector.
async fn executor(workflow: &str, connector: &str, secrets: &[(&str, &str)]) -> Executor {
    let name = connector.trim_start().lines().next().and_then(|line| line.strip_prefix("connector: ")).unwrap();
    let workflow = load(Sources {
        path: "security.yaml".to_owned(),
        workflow: workflow.to_owned(),
        connectors: BTreeMap::from([(name.to_owned(), connector.to_owned())]),
        schemas: BTreeMap::new(),
    });
    let workflow = Arc::new(workflow.unwrap_or_else(|problems| panic!("{problems:#?}")));
    let mut config = ConnectorConfig::new(Arc::new(|| SystemClock.now()));
    config.secrets = secrets.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))).collect();
    let connectors = Arc::new(Connectors::new(config));
    let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock));
    Executor::start(store, clock, connectors, vec![workflow], Options::default()).await.unwrap()
}
