//! Providers that speak HTTP. The only place that names the HTTP client.
//!
//! **Invariant.** A request leaves at most once. `NotSent` is said only when no byte of it can have been written, or
//! when a rule reads the provider's own reply so; an inquiry never says it.

mod auth;
mod body;
mod client;
mod egress;
mod encrypt;
mod path;
mod preview;
mod read;
mod request;
mod retry_after;
mod send;
mod sign;
mod tokens;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::auth::{Credentials, Fields};
use self::client::Base;
pub(super) use self::client::Link;
use self::encrypt::Sealers;
pub use self::preview::{Preview, Trial};
use self::read::Reader;
use self::request::{Draft, Ready};
use self::send::Failure;
use self::sign::Signers;
use super::authentic::Given;
use super::breaker::Verdict;
use super::classify::{GONE, Names, Question, classify};
use super::config::{Clock, ConnectorConfig, ConnectorSetupError};
use super::limits::GateStatus;
use super::opened::Openers;
use super::reason::reason;
use super::{Connector, Hidden, Invocation};
use super::{content, masked};
use crate::definition::{self, ConnectorKind, Http, Inquiry, Operation, Request};
use crate::machine::Outcome;
use crate::types::{Secret, Timestamp, Value};

/// A provider that is described by a YAML file and reached over HTTP.
#[derive(Debug)]
pub struct HttpConnector {
    definition: Arc<definition::Connector>,
    base: Base,
    credentials: Credentials,
    signers: Signers,
    sealers: Sealers,
    /// What the configuration gives: values of `${env.NAME}` and `${secret.NAME}`.
    env: Value,
    secrets: BTreeMap<String, Secret>,
    link: Arc<Link>,
    card_numbers: bool,
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
        let (env, secrets) = (config.env_of(&definition.needs)?, config.secrets_of(&definition.needs)?);
        let base = Base::new(http, config)?;
        let credentials = Credentials::new(&http.auth, config)?;
        let signers = Signers::new(&definition, config)?;
        let sealers = Sealers::new(&definition, config)?;
        if let Some(decrypt) = &http.decrypt {
            Openers::new(decrypt, &secrets).map_err(|(name, why)| ConnectorSetupError::UnfitSecret(name, why))?;
        }
        request::check_headers(&definition)?;
        let link = Link::obtain(http, &base, config, link)?;
        let clock = ClockBox(Arc::clone(&config.clock));
        let card_numbers = config.card_numbers;
        Ok(Self { base, credentials, signers, sealers, env, secrets, link, card_numbers, clock, definition })
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The state of its limits and of its circuit breaker.
    pub fn status(&self) -> GateStatus {
        self.link.status()
    }

    /// Sends one request, if it can be made and the limits allow it, and reads the reply. A question whose access token had
    /// ended is asked again at once: somebody waits for the answer, and asking twice does no harm.
    async fn exchange(
        &self,
        invocation: &Invocation,
        operation: &Operation,
        request: &Request,
        question: Question<'_>,
    ) -> Result<Outcome, Failure> {
        let (outcome, ended) = self.once(invocation, operation, request, question).await?;
        if ended && matches!(question, Question::Inquire(_)) {
            return self.once(invocation, operation, request, question).await.map(|(outcome, _)| outcome);
        }
        Ok(outcome)
    }

    /// The outcome, and whether the provider refused the access token.
    async fn once(
        &self,
        invocation: &Invocation,
        operation: &Operation,
        request: &Request,
        question: Question<'_>,
    ) -> Result<(Outcome, bool), Failure> {
        // Waiting for a turn takes nothing from the time that the provider has: what is sent late would be hung up on.
        let patience = Instant::now() + invocation.timeout;
        let now = (self.clock.0)();
        let names = self.names(invocation, now);
        // What the customer is handed is kept, so that nothing volatile is in it.
        let with = if request.by_customer { &invocation.with } else { invocation.arguments() };
        let asked = Names { with, ..names.clone() };
        let mut draft = self.draft(invocation, operation, request, question, &asked, now)?;
        if request.by_customer {
            return Ok((self.kept(classify(operation, question, &names, draft.handed(&self.base)?)), false));
        }
        let token = match self.credentials.tokens() {
            Some(tokens) => Some((tokens, tokens.get(&self.link, &self.base, patience).await?)),
            None => None,
        };
        if let Some((tokens, token)) = &token {
            tokens.show(&mut draft, token)?;
        }
        let mut ready = draft.ready(&self.base)?;
        let telling = std::mem::take(&mut ready.telling);
        let entry = self.link.gate.enter(patience).await?;
        let deadline = Instant::now() + invocation.timeout;
        let mut reader = self.reader(operation, request, token.as_ref().map(|(_, token)| token));
        reader.secrets.extend(&telling);
        if let Hidden::There { values, .. } = &invocation.hidden {
            reader.volatile = values;
        }
        let sent = send::send(&self.link, ready, deadline, &reader).await;
        entry.settle(match &sent {
            Ok(reply) if reply.status < 500 => Verdict::Healthy,
            _ => Verdict::Failed,
        });
        let mut ended = false;
        if let (Ok(reply), Some((tokens, token))) = (&sent, &token) {
            ended = tokens.answered(reply.status, token).await;
        }
        let outcome = classify(operation, question, &names, sent?);
        if matches!(&outcome, Outcome::NotSent { reason, .. } if reason == GONE) {
            self.link.gone.store(true, Ordering::Release);
        }
        Ok((self.kept(masked::without_words(outcome, reader.volatile)), ended))
    }

    /// The outcome as it may be journaled.
    fn kept(&self, outcome: Outcome) -> Outcome {
        if self.card_numbers { outcome } else { masked::without_cards(outcome) }
    }

    fn names<'a>(&'a self, invocation: &'a Invocation, now: Timestamp) -> Names<'a> {
        Names {
            with: &invocation.with,
            order: &invocation.context,
            key: Value::String(invocation.key.clone()),
            reference: invocation.reference.clone().map_or(Value::Null, Value::String),
            sent_at: Value::String(invocation.sent_at.to_string()),
            attempt: Value::from(invocation.attempt.0),
            env: &self.env,
            tables: &self.definition.tables,
            now: Value::String(now.to_string()),
            nonce: Value::String(content::nonce()),
        }
    }

    /// The request with all that is on it but an access token.
    fn draft(
        &self,
        invocation: &Invocation,
        operation: &Operation,
        request: &Request,
        question: Question<'_>,
        names: &Names<'_>,
        now: Timestamp,
    ) -> Result<Draft, Failure> {
        let scope = names.scope();
        let mut draft = Draft::render(request, &scope)?;
        if let (Question::Invoke, Some(header)) = (question, &operation.idempotency.header) {
            draft.set_header(header, &invocation.key)?;
        }
        self.sealers.apply(request, &mut draft)?;
        let sign = match question {
            Question::Invoke => &operation.sign,
            Question::Inquire(inquiry) => &inquiry.sign,
        };
        if let Some((sign, signer)) = sign.as_ref().and_then(|sign| Some((sign, self.signers.of(sign)?))) {
            sign::apply(sign, signer, &mut draft, &self.base, &scope, &self.secrets)?;
        }
        // Behind the signature, whose expressions see the request: no secret is in it yet.
        let env = definition::Scope::new().with("env", &self.env).with("key", &names.key);
        self.credentials.log_in(&mut draft)?;
        if let Some(http) = self.http() {
            auth::apply(&http.auth, &mut draft, &env, &self.secrets, Fields::All)?;
        }
        let (more, fields) = match question {
            Question::Invoke => (&operation.auth, Fields::All),
            Question::Inquire(Inquiry { auth: Some(own), .. }) => (own, Fields::All),
            Question::Inquire(Inquiry { same: true, .. }) => (&operation.auth, Fields::All),
            Question::Inquire(_) => (&operation.auth, Fields::Kept),
        };
        auth::apply(more, &mut draft, &env, &self.secrets, fields)?;
        self.credentials.sign(&mut draft, &invocation.key, now)?;
        Ok(draft)
    }

    fn reader<'a>(&'a self, operation: &'a Operation, request: &Request, token: Option<&'a Secret>) -> Reader<'a> {
        let http = self.http();
        let openers = http.and_then(|http| http.decrypt.as_ref());
        Reader {
            body_max: self.link.body_max,
            format: request.reply,
            secrets: self.secrets.values().chain(token).flat_map(Secret::all).chain(self.credentials.echo()).collect(),
            volatile: &[],
            verify: operation.verify.as_deref(),
            openers: openers.and_then(|decrypt| Openers::new(decrypt, &self.secrets).ok()),
            given: Given { secrets: &self.secrets, env: &self.env, tables: &self.definition.tables },
            clock: &self.clock.0,
        }
    }

    fn http(&self) -> Option<&Http> {
        match &self.definition.kind {
            ConnectorKind::Http(http) => Some(http),
            ConnectorKind::Builtin => None,
        }
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
        let operation = self.definition.operations.get(&invocation.operation);
        if operation.is_some_and(|operation| operation.is_told(invocation.reference.as_deref())) {
            return Failure::unknown("no notification has told of it").into_outcome();
        }
        let found = self.definition.operations.get(&invocation.operation).and_then(|operation| {
            let inquiry = operation.question(invocation.reference.as_deref())?;
            Some((operation, inquiry, inquiry.request.as_ref()?))
        });
        let Some((operation, inquiry, request)) = found else {
            return Failure::unknown("the operation has no inquiry").into_outcome();
        };
        let outcome = self.exchange(invocation, operation, request, Question::Inquire(inquiry)).await;
        told(invocation, "inquire", outcome.unwrap_or_else(Failure::into_answer_of_inquiry))
    }

    fn is_gone(&self) -> bool {
        self.link.gone.swap(false, Ordering::AcqRel)
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
