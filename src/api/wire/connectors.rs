use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::connector::BreakerState;
use crate::executor::Provider;
use crate::types::{Pause, Timestamp};

/// The providers that workflows call, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectorList {
    pub connectors: Vec<ConnectorItem>,
}

/// A provider, and what is under way there.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ConnectorItem {
    #[schema(example = "gateway")]
    pub name: String,
    pub title: String,
    /// Why nothing new is sent; none if it is.
    pub paused: Option<PauseTold>,
    /// `closed`, `open` or `half_open`; none before the first call.
    pub breaker: Option<String>,
    /// Requests that are on their way.
    pub under_way: u64,
    /// Calls and inquiries that wait for their turn.
    pub waiting: u64,
    /// Calls that may have happened, and are not known yet. Drained is what has none, and nothing under way. Told where
    /// `in_doubt=true` asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_doubt: Option<u64>,
    /// Not every order was looked at: there may be more in doubt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_doubt_more: bool,
}

/// Who paused a provider, and why.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct PauseTold {
    pub by: String,
    pub note: String,
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// What may have happened already is still asked about.
    pub drain: bool,
}

impl From<Provider> for ConnectorItem {
    fn from(provider: Provider) -> Self {
        let Provider { name, title, pause, traffic, gate, doubt } = provider;
        Self {
            name: name.to_string(),
            title,
            paused: pause.map(Into::into),
            breaker: gate.map(|gate| breaker(gate.breaker).to_owned()),
            under_way: traffic.under_way as u64,
            waiting: traffic.waiting as u64,
            in_doubt: doubt.map(|doubt| doubt.calls),
            in_doubt_more: doubt.is_some_and(|doubt| doubt.more),
        }
    }
}

impl From<Pause> for PauseTold {
    fn from(Pause { drain, by, note, since, .. }: Pause) -> Self {
        Self { by, note, since, drain }
    }
}

const fn breaker(state: BreakerState) -> &'static str {
    match state {
        BreakerState::Closed => "closed",
        BreakerState::Open => "open",
        BreakerState::HalfOpen => "half_open",
    }
}
