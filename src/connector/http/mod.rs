//! Providers that speak HTTP and JSON. The only place that names the HTTP client.
//!
//! **Invariant.** A request leaves at most once. `NotSent` is said only when no byte of it can have been written, or
//! when a rule reads the provider's own reply so; an inquiry never says it.

mod auth;
mod body;
mod client;
mod egress;
mod path;
mod read;
mod request;
mod retry_after;
mod send;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::auth::Credentials;
use self::client::Base;
pub(super) use self::client::Link;
use self::request::Draft;
use self::send::Failure;
use super::breaker::Verdict;
use super::classify::{Names, Question, classify};
use super::config::{Clock, ConnectorConfig, ConnectorSetupError};
use super::limits::GateStatus;
use super::reason::reason;
use super::{Connector, Invocation};
use crate::definition::{self, ConnectorKind, Operation, Request};
use crate::machine::Outcome;
use crate::types::Value;

/// A provider that is described by a YAML file and reached over HTTP.
#[derive(Debug)]
pub struct HttpConnector {
    definition: Arc<definition::Connector>,
    base: Base,
    credentials: Credentials,
    link: Arc<Link>,
    clock: ClockBox,
}

impl HttpConnector {
    /// Builds the connector with a client and limits of its own.
    pub fn new(definition: Arc<definition::Connector>, config: &ConnectorConfig) -> Result<Self, ConnectorSetupError> {
        Self::sharing(definition, config, None)
    }

    /// The same, but keeps using `link` if it still fits: versions of one connector share connections and limits.
    pub(super) fn sharing(
        definition: Arc<definition::Connector>,
        config: &ConnectorConfig,
        link: Option<&Arc<Link>>,
    ) -> Result<Self, ConnectorSetupError> {
        let ConnectorKind::Http(http) = &definition.kind else {
            return Err(ConnectorSetupError::Builtin(definition.name.clone()));
        };
        let base = Base::new(http, config)?;
        let credentials = Credentials::new(&http.auth, config)?;
        request::check_headers(&definition)?;
        let link = Link::obtain(http, &base, config, link)?;
        let clock = ClockBox(Arc::clone(&config.clock));
        Ok(Self { base, credentials, link, clock, definition })
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The state of its limits and of its circuit breaker.
    pub fn status(&self) -> GateStatus {
        self.link.status()
    }

    /// Sends one request, if it can be made and the limits allow it, and reads the reply.
    async fn exchange(
        &self,
        invocation: &Invocation,
        operation: &Operation,
        request: &Request,
        question: Question<'_>,
    ) -> Result<Outcome, Failure> {
        let deadline = Instant::now() + invocation.timeout;
        let names = Names {
            with: &invocation.with,
            order: &invocation.context,
            key: Value::String(invocation.key.clone()),
            attempt: Value::from(invocation.attempt.0),
        };
        let mut draft = Draft::render(request, &self.base, &names.scope())?;
        if let (Question::Invoke, Some(header)) = (question, &operation.idempotency.header) {
            draft.set_header(header, &invocation.key)?;
        }
        self.credentials.apply(&mut draft, &invocation.key, &self.clock.0)?;

        let entry = self.link.gate.enter(deadline).await?;
        let sent = send::send(&self.link, draft, deadline, self.credentials.secret(), &self.clock.0).await;
        entry.settle(match &sent {
            Ok(reply) if reply.status < 500 => Verdict::Healthy,
            _ => Verdict::Failed,
        });
        Ok(classify(operation, question, &names, sent?))
    }
}

#[async_trait]
impl Connector for HttpConnector {
    async fn invoke(&self, invocation: &Invocation) -> Outcome {
        let Some((operation, request)) = self.find(invocation) else {
            return Failure::not_sent("the connector has no such operation").into_outcome();
        };
        let outcome = self.exchange(invocation, operation, request, Question::Invoke).await;
        told(invocation, "invoke", outcome.unwrap_or_else(Failure::into_outcome))
    }

    async fn inquire(&self, invocation: &Invocation) -> Outcome {
        let found = self.definition.operations.get(&invocation.operation).and_then(|operation| {
            let inquiry = operation.inquire.as_ref()?;
            Some((operation, inquiry, inquiry.request.as_ref()?))
        });
        let Some((operation, inquiry, request)) = found else {
            return Failure::unknown("the operation has no inquiry").into_outcome();
        };
        let outcome = self.exchange(invocation, operation, request, Question::Inquire(inquiry)).await;
        told(invocation, "inquire", outcome.unwrap_or_else(Failure::into_answer_of_inquiry))
    }

    fn capacity(&self) -> Option<usize> {
        usize::try_from(self.status().capacity).ok()
    }
}

impl HttpConnector {
    fn find(&self, invocation: &Invocation) -> Option<(&Operation, &Request)> {
        let operation = self.definition.operations.get(&invocation.operation)?;
        Some((operation, operation.request.as_ref()?))
    }
}

impl Failure {
    fn into_outcome(self) -> Outcome {
        let retry_after_ms = self.retry_after.map(millis);
        let reason = reason(&self.reason);
        if self.certainly_not_sent {
            Outcome::NotSent { reason, retry_after_ms }
        } else {
            Outcome::Unknown { reason, retry_after_ms }
        }
    }

    /// An inquiry that was not sent says nothing about the call that it asks about.
    fn into_answer_of_inquiry(self) -> Outcome {
        Outcome::Unknown { reason: reason(&self.reason), retry_after_ms: self.retry_after.map(millis) }
    }
}

/// Writes the log line of an exchange: names and reasons, never data.
fn told(invocation: &Invocation, question: &'static str, outcome: Outcome) -> Outcome {
    let (kind, why) = match &outcome {
        Outcome::Ok { .. } => ("ok", ""),
        Outcome::Declined { code, .. } => ("declined", code.as_str()),
        Outcome::NotSent { reason, .. } => ("not_sent", reason.as_str()),
        Outcome::Pending { .. } => ("pending", ""),
        Outcome::ActionRequired { .. } => ("action_required", ""),
        Outcome::Unknown { reason, .. } => ("unknown", reason.as_str()),
        Outcome::NotFound => ("not_found", ""),
    };
    let Invocation { order, connector, operation, attempt, .. } = invocation;
    tracing::debug!(%order, %connector, %operation, %attempt, question, outcome = kind, why, "provider answered");
    outcome
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

struct ClockBox(Clock);

impl std::fmt::Debug for ClockBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}
