//! The border to providers: every reply becomes an `Outcome`.
//!
//! **Invariant.** Nothing behind this border sees a provider's error; the default of every classification is `Unknown`.

mod authentic;
mod breaker;
mod classify;
mod config;
mod content;
mod crypto;
mod http;
mod json;
mod limits;
mod masked;
mod opened;
mod payload;
mod reason;
mod registry;
mod scripted;
mod webhook;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::breaker::BreakerState;
pub use self::classify::{RuleTold, Understood};
pub use self::config::{Clock, ConnectorConfig, ConnectorSetupError};
pub(crate) use self::crypto::stand_in;
pub use self::http::{HttpConnector, Preview, Trial};
pub use self::json::JsonError;
pub use self::limits::GateStatus;
pub use self::payload::BodyError;
pub use self::registry::Connectors;
pub use self::scripted::{Answer, Effect, Recorded, Script, ScriptError, ScriptedConnector};
pub use self::webhook::{
    Acknowledged, Arrived, Notification, Rehearsal, RuleTried, TranslateError, Understanding, Verified, WebhookConfig,
    WebhookError, receive, rehearse, sign_standard_webhook, verify_standard_webhook,
};
use crate::machine::Outcome;
use crate::types::{Attempt, ConnectorName, OperationName, OrderId, Secret, Timestamp, Value, Version};

/// One try of a call, or one inquiry about it.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub order: OrderId,
    pub connector: ConnectorName,
    pub operation: OperationName,
    /// The version of the connector that the order is bound to.
    pub version: Version,
    /// The idempotency key, and our own reference at the provider: the same for every try of one epoch.
    pub key: String,
    pub attempt: Attempt,
    /// As it is written down: marks stand in the place of volatile fields.
    pub with: Arc<Value>,
    pub hidden: Hidden,
    /// What expressions see as `order`: id, workflow, version, state, created_at, amount, currency.
    pub context: Arc<Value>,
    pub timeout: std::time::Duration,
    /// When the present key was first sent.
    pub sent_at: Timestamp,
    /// What the provider called it when it accepted it, until its outcome is known.
    pub reference: Option<String>,
}

/// Arguments that are not written down.
#[derive(Clone, Debug, Default)]
pub enum Hidden {
    /// There are none.
    #[default]
    None,
    /// A restart has forgotten them, or too much time.
    Gone,
    /// The arguments with them, and the texts that must not come back in an answer.
    There { with: Arc<Value>, values: Vec<Secret> },
}

impl Invocation {
    /// What the request is made of. None of it may reach an outcome but by `with`.
    pub fn arguments(&self) -> &Value {
        match &self.hidden {
            Hidden::There { with, .. } => with,
            Hidden::None | Hidden::Gone => &self.with,
        }
    }
}

/// A provider. Returns an `Outcome`, not a `Result`: everything is classified here, at the border.
#[async_trait]
pub trait Connector: Send + Sync + 'static {
    /// Does the operation. It may be cancelled at any await; the caller then takes the outcome for unknown.
    async fn invoke(&self, invocation: &Invocation) -> Outcome;

    /// Asks by our own reference what became of an earlier `invoke`.
    async fn inquire(&self, invocation: &Invocation) -> Outcome;

    /// Answers without waiting for anything: the executor then calls it in place instead of in a task of its own.
    fn is_instant(&self) -> bool {
        false
    }

    /// The provider has said since this was last asked that it wants no more: nothing is to be sent to it until a person
    /// says so.
    fn is_gone(&self) -> bool {
        false
    }

    /// How many calls it has under way at once: the executor lets the others wait. None is as many as there are.
    fn capacity(&self) -> Option<usize> {
        None
    }
}
