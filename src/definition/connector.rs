//! What a provider is like, apart from any method: how to reach it, what it promises, how to read its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::auth::{Auth, Decrypt, Sign, Verify};
use super::expr::{Expr, Template};
use super::webhook::Webhooks;
use crate::types::{ConnectorName, EventName, OperationName, Value, Version};

#[derive(Debug)]
pub struct Connector {
    pub name: ConnectorName,
    /// The hash of the connector's text.
    pub version: Version,
    pub title: String,
    pub kind: ConnectorKind,
    pub operations: BTreeMap<OperationName, Arc<Operation>>,
    pub webhooks: Option<Webhooks>,
    /// Lists and maps that expressions look codes up in: `tables`.
    pub tables: Value,
    pub needs: Needs,
}

impl Connector {
    /// Events that are the outcome of a call.
    pub fn settling_events(&self) -> impl Iterator<Item = &EventName> {
        let events = self.webhooks.iter().flat_map(|hooks| &hooks.events);
        events.filter(|rule| rule.settles.is_some()).map(|rule| &rule.event)
    }
}

/// What the configuration must give before the connector can be built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Names of `${env.NAME}`.
    pub env: BTreeSet<String>,
    /// Names of `${secret.NAME}`.
    pub secrets: BTreeSet<String>,
}

#[derive(Debug)]
pub enum ConnectorKind {
    Http(Box<Http>),
    /// Part of Paystate: `limits`, `refunds`, `orders`.
    Builtin,
}

#[derive(Debug)]
pub struct Http {
    /// Text that may hold `${env.NAME}` and nothing else: the host is never built from an order's data.
    pub base_url: EnvText,
    pub auth: Auth,
    pub decrypt: Option<Decrypt>,
    pub tls: Tls,
    pub limits: Limits,
}

/// `tls: { ca: "${env.PROVIDER_CA}", certificate: …, key: … }`: PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// The certificates to trust instead of the system's.
    pub ca: Option<EnvText>,
    /// Our own certificate and its private key, for a provider that asks for one.
    pub identity: Option<(EnvText, EnvText)>,
}

/// Text with `${env.NAME}` in it, filled in from the configuration when the connector is built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvText(pub Vec<EnvPart>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvPart {
    Text(String),
    Env(String),
}

/// The name of a secret: `${secret.gateway_key}`. Its value never enters an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRef(pub String);

#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Requests under way at once.
    pub concurrency: u32,
    /// Requests in a second; none is unlimited.
    pub rate_per_second: Option<u32>,
    pub breaker: Breaker,
    /// Bytes of an answer, after decompression.
    pub body_max: usize,
}

/// Opens after `failures` in a row, and lets one request try after `open`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    pub failures: u32,
    pub open: Duration,
}

#[derive(Debug)]
pub struct Operation {
    pub name: OperationName,
    /// None for the operations of built-in connectors.
    pub request: Option<Request>,
    /// Headers, query parameters and fields with secrets, beside those of the connector. It has no login of its own.
    pub auth: Auth,
    pub sign: Option<Arc<Sign>>,
    /// How answers are known to be the provider's, beside TLS.
    pub verify: Option<Arc<Verify>>,
    pub money: Option<MoneyKind>,
    /// The request only asks, whatever its method: money that it books was moved by others.
    pub asks: bool,
    /// Fields of `with` that a successful answer must repeat.
    pub integrity: Vec<Integrity>,
    pub outcomes: Outcomes,
    pub inquire: Option<Inquiry>,
    pub idempotency: Idempotency,
    /// How long after one another an accepted but unfinished call is asked about.
    pub poll: Vec<Duration>,
    /// How it is asked about, by the provider's own reference; as `inquire` says where the file says nothing, or the
    /// provider has named none.
    pub follow_up: Option<Inquiry>,
}

impl Operation {
    /// Every question about a call of it.
    pub fn inquiries(&self) -> impl Iterator<Item = &Inquiry> {
        self.inquire.iter().chain(&self.follow_up)
    }

    /// Nothing can be asked about a call: what became of it is told by a notification.
    pub fn is_told(&self, reference: Option<&str>) -> bool {
        self.request.is_some() && self.question(reference).is_some_and(|question| question.request.is_none())
    }

    /// The question that is asked about a call: of one that was accepted under a reference, or of any other.
    pub fn question(&self, reference: Option<&str>) -> Option<&Inquiry> {
        self.follow_up.as_ref().filter(|_| reference.is_some()).or(self.inquire.as_ref())
    }

    /// Whether money moves by it. A question that may be repeated at will moves none, though it can book what it finds.
    pub fn moves_money(&self) -> bool {
        self.money.is_some() && self.idempotency.replay != Replay::Safe
    }
}

/// What an operation does to money when it succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MoneyKind {
    /// Reserves the customer's money.
    Hold,
    /// Moves reserved money to the merchant.
    Capture,
    /// Moves the customer's money to the merchant at once.
    Purchase,
    /// Gives reserved money, or a purchase of the same day, back.
    Release,
    /// Moves the merchant's money back to the customer.
    Refund,
    /// A capture or a purchase was taken back by the bank after it had been answered with yes.
    CaptureFailure,
    /// A refund came back from the customer's bank.
    RefundReturn,
    /// The customer's bank took a payment back for its customer.
    Chargeback,
}

/// The answer's field must equal the request's: `amount` alone means `response.body.amount == with.amount`.
#[derive(Debug)]
pub struct Integrity {
    pub field: String,
    pub expected: Expr,
    pub actual: Expr,
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// The path below the base URL; each `${…}` is percent-encoded as one segment or query value.
    pub path: Template,
    pub query: Vec<(String, Template)>,
    pub headers: Vec<(String, Template)>,
    pub body: Option<Template>,
    pub encoding: BodyEncoding,
    /// How the answer is read.
    pub reply: ReplyFormat,
    /// The fields of the body that are encrypted, each on its own.
    pub encrypt: Option<Encrypt>,
    /// Nothing is sent: the customer's browser will do it.
    pub by_customer: bool,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyEncoding {
    #[default]
    Json,
    Form(Lists),
    /// One element at the top; `@name` is an attribute and `#text` the text beside attributes.
    Xml,
    Text,
}

/// How a list is written in a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lists {
    /// `a[0]=1&a[1]=2`
    Indices,
    /// `a[]=1&a[]=2`
    Brackets,
    /// `a=1&a=2`
    Repeat,
}

/// How an answer or a notification is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyFormat {
    /// JSON, if it says that it is.
    #[default]
    SaysJson,
    /// JSON, whatever it says that it is. The same for the others.
    Json,
    Form,
    Xml,
    Text,
}

/// Parts of a body that only the provider can read: compact JWE, RSA-OAEP-256 with A256GCM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encrypt {
    /// The provider's public key or certificate, in PEM.
    pub key: SecretRef,
    pub key_id: Option<EnvText>,
    /// The fields that are encrypted; none is the whole body.
    pub fields: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// How a reply is read. The first rule that holds decides; no rule is `unknown`.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub rules: Vec<OutcomeRule>,
    /// The provider's code of a decline.
    pub code: Option<Expr>,
    /// Whether a decline is soft: it may pass later.
    pub soft: Option<Expr>,
    /// What is kept of the reply as `result`; the whole body when it is not said.
    pub result: Option<Template>,
    /// The provider's own reference of a pending call.
    pub reference: Option<Expr>,
}

#[derive(Debug)]
pub struct OutcomeRule {
    pub outcome: OutcomeKind,
    pub when: Expr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    Ok,
    ActionRequired,
    Declined,
    Pending,
    /// Refused before anything was done, such as 429 or a refused login: may be sent again without asking.
    NotSent,
    /// Refused for good: the receiver of a notification wants no more of them, and is sent none until a person says so.
    Gone,
    /// Only from an inquiry: the provider does not know our reference.
    NotFound,
    Unknown,
}

/// How to ask a provider by our own reference what became of a call.
#[derive(Debug)]
pub struct Inquiry {
    /// None for built-in connectors, and where a notification tells instead of an answer.
    pub request: Option<Request>,
    pub outcomes: Outcomes,
    /// Where its answer has another shape than the operation's; else that of the operation.
    pub integrity: Option<Vec<Integrity>>,
    /// Secrets of its own; else those of the operation for which the request keeps a place.
    pub auth: Option<Auth>,
    pub sign: Option<Arc<Sign>>,
    /// It is the request of the operation itself, which only asks.
    pub same: bool,
    /// How long after one another it is asked; when the list is used up, the next rung of the ladder is taken.
    pub schedule: Vec<Duration>,
}

/// What a provider does with a key that it has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The header that carries the key; none when it travels in the body or path.
    pub header: Option<String>,
    /// What the provider knows a repeat by where it is not our key, such as a payment in the path: the paths that are read.
    pub natural_key: Vec<Vec<String>>,
    pub replay: Replay,
    /// How long the provider remembers a key; a repeat later than this would be a new request.
    pub window: Option<Duration>,
    /// "Not found" means "never happened" only this long after the last send.
    pub not_found_final_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replay {
    /// Repeats the stored answer, errors included.
    Stored,
    /// Repeats the stored answer of a success, and runs anything else again.
    #[serde(rename = "stored_2xx")]
    Stored2xx,
    /// Returns the current state of what the key stands for.
    Intent,
    /// Drives an interrupted request to its end.
    Complete,
    /// Refuses a repeat as a duplicate.
    RejectDuplicate,
    /// The operation changes nothing, or doing it twice does no harm.
    Safe,
    /// Does it again: never sent twice.
    None,
}

impl Idempotency {
    /// A repeat under the same key cannot do the work twice.
    pub fn may_resend(&self) -> bool {
        !matches!(self.replay, Replay::None)
    }

    /// How long after the first send a repeat may leave. A tenth of the window is kept in hand for the time that the
    /// request itself takes.
    pub fn repeatable_for(&self) -> Option<Duration> {
        self.window.map(|window| window.mul_f64(0.9))
    }

    /// The answer to a repeat says what became of the first request.
    pub fn tells_when_repeated(&self) -> bool {
        matches!(self.replay, Replay::Stored | Replay::Stored2xx | Replay::Intent | Replay::Complete)
    }
}

impl MoneyKind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Capture => "capture",
            Self::Purchase => "purchase",
            Self::Release => "release",
            Self::Refund => "refund",
            Self::CaptureFailure => "capture_failure",
            Self::RefundReturn => "refund_return",
            Self::Chargeback => "chargeback",
        }
    }
}
