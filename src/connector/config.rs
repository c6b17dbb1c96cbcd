//! What a connector needs from the installation: environment texts, secrets, allowed hosts, the time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::definition::{EnvPart, EnvText, Needs, SecretRef};
use crate::types::{ConnectorName, Secret, Timestamp, Value, Version};

/// Tells the wall clock's time. Passed in, so that this room reads no clock of its own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What connectors are built with. The same for all of them.
#[derive(Clone)]
pub struct ConnectorConfig {
    /// Values of `${env.NAME}`.
    pub env: BTreeMap<String, String>,
    /// Values of `${secret.NAME}`.
    pub secrets: BTreeMap<String, Secret>,
    /// The only hosts that may be called, each `host` or `host:port`; these may also lie in inner networks. None allows
    /// every host that a definition names, as long as it lies on the internet or is written as an address.
    pub allowed_hosts: Option<Vec<String>>,
    /// Whether numbers of cards in clear are kept as they come. Otherwise most of their digits are masked.
    pub card_numbers: bool,
    /// Nothing is ever sent, so that the files of `tls` are not looked for.
    pub offline: bool,
    /// Dates the signatures of requests.
    pub clock: Clock,
}

/// Why a connector cannot be built. Never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectorSetupError {
    #[error("no connector {name} of version {version} is known")]
    Unknown { name: ConnectorName, version: Version },
    #[error("connector {0} is part of Paystate and was not registered")]
    Builtin(ConnectorName),
    #[error("the environment has no {0}")]
    Env(String),
    #[error("there is no secret {0}")]
    Secret(String),
    #[error("secret {0} cannot be used: {1}")]
    UnfitSecret(String, &'static str),
    #[error("base_url: {0}")]
    BaseUrl(&'static str),
    #[error("base_url: {0} is not among the allowed hosts")]
    HostNotAllowed(String),
    #[error("header {0}: {1}")]
    Header(String, &'static str),
    #[error("tls.ca: {path}: {reason}")]
    Ca { path: String, reason: String },
    #[error("tls.certificate: {path}: {reason}")]
    Identity { path: String, reason: String },
    #[error("auth: {0}")]
    Auth(String),
    #[error("the HTTP client cannot be built")]
    Client,
}

impl ConnectorConfig {
    pub fn new(clock: Clock) -> Self {
        Self {
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            allowed_hosts: None,
            card_numbers: false,
            offline: false,
            clock,
        }
    }

    pub(super) fn env_text(&self, text: &EnvText) -> Result<String, ConnectorSetupError> {
        let mut out = String::new();
        for part in &text.0 {
            match part {
                EnvPart::Text(text) => out.push_str(text),
                EnvPart::Env(name) => {
                    out.push_str(self.env.get(name).ok_or_else(|| ConnectorSetupError::Env(name.clone()))?);
                }
            }
        }
        Ok(out)
    }

    pub(super) fn secret(&self, name: &SecretRef) -> Result<&Secret, ConnectorSetupError> {
        self.secrets.get(&name.0).ok_or_else(|| ConnectorSetupError::Secret(name.0.clone()))
    }

    /// What a connector needs of the environment, as expressions see it; fails when something is missing.
    pub(super) fn env_of(&self, needs: &Needs) -> Result<Value, ConnectorSetupError> {
        let given = |name: &String| {
            let value = self.env.get(name).ok_or_else(|| ConnectorSetupError::Env(name.clone()))?;
            Ok((name.clone(), Value::from(value.as_str())))
        };
        needs.env.iter().map(given).collect::<Result<_, _>>().map(Value::Object)
    }

    /// The secrets that a connector needs; fails when one is missing.
    pub(super) fn secrets_of(&self, needs: &Needs) -> Result<BTreeMap<String, Secret>, ConnectorSetupError> {
        let given = |name: &String| Ok((name.clone(), self.secret(&SecretRef(name.clone()))?.clone()));
        needs.secrets.iter().map(given).collect()
    }

    pub(super) fn allows(&self, host: &str, port: u16) -> bool {
        self.allowed_hosts.is_none() || self.lists(host, port)
    }

    pub(super) fn lists(&self, host: &str, port: u16) -> bool {
        self.allowed_hosts.as_ref().is_some_and(|hosts| {
            let with_port = format!("{host}:{port}");
            hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host) || allowed.eq_ignore_ascii_case(&with_port))
        })
    }
}

impl fmt::Debug for ConnectorConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The environment is left out as well: people do put passwords there.
        f.debug_struct("ConnectorConfig").field("allowed_hosts", &self.allowed_hosts).finish_non_exhaustive()
    }
}
