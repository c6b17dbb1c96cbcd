//! Providers that a person has paused. Calls to them wait, and use up no try by it.
//!
//! **Invariant.** A pause is on disk before it is acknowledged, and in force in every loop by then.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::oneshot;

use super::lanes::Traffic;
use super::shard::Message;
use super::shared::Shared;
use super::{ApplyError, Executor};
use crate::connector::GateStatus;
use crate::definition::{Connector, ConnectorKind};
use crate::machine::{Call, Phase, Snapshot, Status};
use crate::store::{OrderQuery, StoreError};
use crate::types::{ConnectorName, Pause, Pauses};

/// Orders that are looked at, at most, for calls that may have happened.
const LOOKED_AT: usize = 20_000;
const PAGE: usize = 500;

/// A provider, and what is under way at it.
#[derive(Clone, Debug)]
pub struct Provider {
    pub name: ConnectorName,
    pub title: String,
    pub pause: Option<Pause>,
    pub traffic: Traffic,
    /// None before its first call.
    pub gate: Option<GateStatus>,
    /// None if it was not asked for: it takes a look at the orders.
    pub doubt: Option<Doubt>,
}

/// Calls that may have happened, and are not known yet. When a provider is drained, there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    pub calls: u64,
    /// So many orders are under way that not all were looked at: there may be more.
    pub more: bool,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum PauseError {
    #[error("no workflow calls a connector {name}")]
    Unknown { name: String, known: Vec<ConnectorName> },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

#[derive(Debug, Default)]
pub(super) struct Paused {
    now: RwLock<Pauses>,
    /// One change at a time, so that what is on disk is what is in force.
    changing: tokio::sync::Mutex<()>,
}

impl Paused {
    pub(super) fn replace(&self, pauses: Pauses) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = pauses;
    }

    fn read(&self) -> Pauses {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Executor {
    /// Pauses a provider, changes why it is paused, or (`None`) lets it go on. On return it is durable and in force:
    /// what had been sent by then is still answered.
    pub async fn pause(&self, name: &ConnectorName, pause: Option<Pause>) -> Result<(), PauseError> {
        let known = self.defined();
        // One that no workflow calls any more can still be let go.
        if !known.contains_key(name) && (pause.is_some() || !self.pauses().contains_key(name)) {
            let known = known.into_keys().collect();
            return Err(PauseError::Unknown { name: name.to_string(), known });
        }
        self.shared.pause(name, pause).await
    }

    /// The pauses in force.
    pub fn pauses(&self) -> Pauses {
        self.shared.paused.read()
    }

    /// Every provider that a workflow calls, by name, and what is under way there.
    pub async fn providers(&self, with_doubt: bool) -> Result<Vec<Provider>, PauseError> {
        let mut traffic = self.shared.traffic().await?;
        let gates: BTreeMap<_, _> = self.shared.connectors.status().into_iter().collect();
        let doubtful = if with_doubt { Some(self.doubtful().await?) } else { None };
        let pauses = self.shared.paused.read();
        let mut known: BTreeMap<_, _> =
            self.defined().into_iter().map(|(name, connector)| (name, connector.title.clone())).collect();
        for name in pauses.keys() {
            known.entry(name.clone()).or_insert_with(|| name.to_string());
        }
        let provider = |(name, title): (ConnectorName, String)| Provider {
            title,
            pause: pauses.get(&name).cloned(),
            traffic: traffic.remove(&name).unwrap_or_default(),
            gate: gates.get(&name).copied(),
            doubt: doubtful
                .as_ref()
                .map(|(counts, more)| Doubt { calls: counts.get(&name).copied().unwrap_or_default(), more: *more }),
            name,
        };
        Ok(known.into_iter().map(provider).collect())
    }

    /// The connectors that reach out, of all versions that orders may be on.
    fn defined(&self) -> BTreeMap<ConnectorName, Arc<Connector>> {
        let versions = self.catalog().versions();
        let all = versions.iter().flat_map(|workflow| workflow.connectors.values());
        let reach_out = all.filter(|connector| matches!(connector.kind, ConnectorKind::Http(_)));
        reach_out.map(|connector| (connector.name.clone(), Arc::clone(connector))).collect()
    }

    /// Calls that may have happened, by provider, and whether there may be more.
    async fn doubtful(&self) -> Result<(BTreeMap<ConnectorName, u64>, bool), StoreError> {
        let mut counts = BTreeMap::new();
        let mut looked = 0;
        for status in [Status::Running, Status::Waiting, Status::Incident] {
            let mut query = OrderQuery { status: Some(status), limit: PAGE, ..OrderQuery::default() };
            loop {
                let page = self.list(&query).await?;
                let Some(last) = page.last() else { break };
                for call in page.iter().flat_map(|order| calls_in_doubt(order)) {
                    *counts.entry(call.connector.clone()).or_default() += 1;
                }
                looked += page.len();
                if looked >= LOOKED_AT {
                    return Ok((counts, true));
                }
                query.after = Some(last.id);
            }
        }
        Ok((counts, false))
    }
}

impl Shared {
    /// Nothing is sent to a receiver that wants no more.
    pub(super) async fn close(&self, name: &ConnectorName) {
        if self.paused.read().contains_key(name) {
            return;
        }
        let (by, note) = ("the receiver".to_owned(), "it wants no more: what it is to be told waits".to_owned());
        tracing::warn!(connector = %name, "the receiver wants no more: nothing is sent until the connector is resumed");
        let pause = Pause { drain: false, by, note, since: self.clock.now(), in_force: None };
        if let Err(error) = self.pause(name, Some(pause)).await {
            tracing::error!(connector = %name, %error, "the receiver wants no more, and this could not be kept");
        }
    }

    async fn pause(&self, name: &ConnectorName, pause: Option<Pause>) -> Result<(), PauseError> {
        let _one = self.paused.changing.lock().await;
        let mut pauses = self.paused.read();
        match &pause {
            // Nothing new leaves in either kind of pause, so that one which follows another goes on with it.
            Some(pause) => {
                let in_force = pauses.get(name).and_then(|before| before.in_force);
                pauses.insert(name.clone(), Pause { in_force, ..pause.clone() })
            }
            None => pauses.remove(name),
        };
        self.store.keep_pauses(&pauses).await?;
        self.paused.replace(pauses.clone());
        for index in 0..self.queues().len() {
            self.tell(index, Message::Pause { connector: name.clone(), pause: pause.clone() }).await;
        }
        // An answer to a later message says that the loops have taken this one.
        self.traffic().await?;
        // What begins from now on does not leave, and after a restart that is known.
        if let Some(pause) = pauses.get_mut(name).filter(|pause| pause.in_force.is_none()) {
            pause.in_force = Some(self.clock.now());
            self.store.keep_pauses(&pauses).await?;
            self.paused.replace(pauses);
        }
        Ok(())
    }

    /// A call that began while its provider was paused has waited ever since.
    pub(super) fn never_left(&self, call: &Call) -> bool {
        let pauses = self.paused.read();
        let in_force = pauses.get(&call.connector).and_then(|pause| pause.in_force);
        !call.doubtful && in_force.is_some_and(|from| call.last_sent_at > from)
    }

    async fn traffic(&self) -> Result<BTreeMap<ConnectorName, Traffic>, ApplyError> {
        let mut sums = BTreeMap::<_, Traffic>::new();
        for index in 0..self.queues().len() {
            let (reply, answer) = oneshot::channel();
            self.tell(index, Message::Traffic { reply }).await;
            for (name, traffic) in answer.await.map_err(|_| ApplyError::ShuttingDown)? {
                let sum = sums.entry(name).or_default();
                sum.under_way += traffic.under_way;
                sum.waiting += traffic.waiting;
            }
        }
        Ok(sums)
    }
}

fn calls_in_doubt(order: &Snapshot) -> impl Iterator<Item = &Call> {
    order.calls.values().filter(|call| matches!(call.phase, Phase::Unknown { .. }) || call.doubtful)
}
