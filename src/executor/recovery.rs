//! What a start does before anything else: learn every version that was ever used, and take open orders up again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::catalog::Catalog;
use super::clock::Clock;
use super::shard::Message;
use super::shared::Shared;
use super::steady::AHEAD_MAX;
use crate::connector::Connectors;
use crate::definition::{self, Sources, Workflow};
use crate::journal::Entry;
use crate::machine::{self, Event, Snapshot};
use crate::store::{Fold, OpenOrder, Store, StoreError};
use crate::types::{OrderId, Timestamp, Version, WorkflowName};

/// Open orders read from the store at once.
const PAGE: usize = 8_192;

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("version {version} of workflow {workflow}, which orders are on, can no longer be read: {problem}")]
    Definition { workflow: WorkflowName, version: Version, problem: String },
    /// The timers of orders would fire by a clock that is most likely wrong, and cannot be taken back.
    #[error(
        "the clock says {now}, and the last entry of the journal is of {last}: timers of open orders would fire by it"
    )]
    Clock { now: Timestamp, last: Timestamp },
}

/// Time goes on from the journal's last entry at the earliest. A clock that is months ahead of it is believed only when
/// no timer fires by that, or somebody says so.
pub(super) async fn set_clock(store: &dyn Store, clock: &dyn Clock, believe: bool) -> Result<(), StartError> {
    let Some(last) = store.last_at().await? else { return Ok(()) };
    let now = clock.now();
    if now < last {
        tracing::error!(
            %now, %last, "the machine's clock is behind the last entry of the journal: time goes on from there"
        );
        clock.not_before(last);
    }
    if now.since(last) > AHEAD_MAX {
        if !believe && fires_by(store, now).await? {
            return Err(StartError::Clock { now, last });
        }
        tracing::warn!(%now, %last, "the machine's clock is months ahead of the last entry of the journal");
    }
    Ok(())
}

async fn fires_by(store: &dyn Store, now: Timestamp) -> Result<bool, StoreError> {
    let mut after = None;
    loop {
        let page = store.open_orders(after, PAGE).await?;
        if page.iter().any(|order| order.due.is_some_and(|due| due <= now)) {
            return Ok(true);
        }
        let Some(last) = page.last() else { return Ok(false) };
        after = Some(last.id);
    }
}

pub(super) async fn catalog(
    store: &dyn Store,
    clock: &dyn Clock,
    workflows: Vec<Arc<Workflow>>,
    connectors: &Connectors,
) -> Result<Catalog, StartError> {
    let catalog = versions(store, &workflows).await?;
    catalog.versions().iter().for_each(|workflow| connectors.define_all(workflow));
    for workflow in workflows {
        keep(store, clock, &workflow).await?;
        fault_point!("recovery::version-kept");
        connectors.define_all(&workflow);
        catalog.activate(workflow);
    }
    Ok(catalog)
}

/// Every version of every workflow that a store's orders were ever opened on.
pub async fn read_versions(store: &dyn Store) -> Result<Catalog, StartError> {
    versions(store, &[]).await
}

/// The same. The text of a version that is known is not read again.
async fn versions(store: &dyn Store, known: &[Arc<Workflow>]) -> Result<Catalog, StartError> {
    let catalog = Catalog::default();
    for (name, version, sources) in store.definitions().await? {
        let known = known.iter().find(|workflow| workflow.version == version);
        catalog.remember(known.map_or_else(|| read(&name, &version, sources), |known| Ok(Arc::clone(known)))?);
    }
    Ok(catalog)
}

pub(super) async fn keep(store: &dyn Store, clock: &dyn Clock, workflow: &Workflow) -> Result<(), StoreError> {
    store.keep_definition(&workflow.name, &workflow.version, &workflow.sources, clock.now()).await
}

fn read(name: &WorkflowName, version: &Version, sources: Sources) -> Result<Arc<Workflow>, StartError> {
    let failed = |problem: String| StartError::Definition { workflow: name.clone(), version: version.clone(), problem };
    let workflow = definition::load_kept(sources)
        .map_err(|problems| failed(problems.first().map_or_else(String::new, |problem| problem.message.clone())))?;
    if workflow.version != *version {
        return Err(failed(format!("its text now has version {}", workflow.version)));
    }
    Ok(Arc::new(workflow))
}

/// Halts the orders whose journals have lost entries, before anything else can happen to them.
pub(super) async fn halt(shared: &Arc<Shared>) -> BTreeSet<OrderId> {
    let gaps = shared.store.gaps();
    for (order, reason) in &gaps {
        tracing::error!(%order, %reason, "the order is halted: a person has to look into it");
        let event = Event::Halted { reason: reason.clone() };
        shared.deliver(*order, Message::Apply { order: *order, event, reply: None }).await;
    }
    gaps.into_iter().map(|(order, _)| order).collect()
}

/// Tells every loop of its open orders, while requests are served: those that were under way are gone on with, and the
/// others wait outside of memory until a timer of theirs is due or somebody asks for them.
pub(super) async fn take_up(shared: Arc<Shared>, halted: BTreeSet<OrderId>) {
    if let Err(error) = hand_out(&shared, &halted).await {
        tracing::error!(%error, "open orders cannot be read; this executor stops");
        shared.fail(&error);
    }
}

async fn hand_out(shared: &Arc<Shared>, halted: &BTreeSet<OrderId>) -> Result<(), StoreError> {
    let (mut after, mut open, mut under_way) = (None, 0_usize, 0_usize);
    loop {
        let page = shared.store.open_orders(after, PAGE).await?;
        fault_point!("recovery::page-read");
        if page.is_empty() || shared.stopping.load(Ordering::Acquire) {
            break;
        }
        after = page.last().map(|order| order.id);
        open += page.len();
        let mut waiting: BTreeMap<usize, Vec<(OrderId, Timestamp)>> = BTreeMap::new();
        for OpenOrder { id: order, due, .. } in page.iter().filter(|order| !order.under_way) {
            if let (Some(at), Some(index)) = (due, shared.index(*order)) {
                waiting.entry(index).or_default().push((*order, *at));
            }
        }
        for (index, orders) in waiting {
            shared.tell(index, Message::Wake { orders }).await;
        }
        for OpenOrder { id: order, .. } in
            page.into_iter().filter(|order| order.under_way && !halted.contains(&order.id))
        {
            under_way += 1;
            fault_point!("recovery::between-orders");
            shared.deliver(order, Message::TakeUp { order }).await;
        }
    }
    if open > 0 {
        tracing::info!(open, under_way, "took up the open orders");
    }
    fault_point!("recovery::taken-up");
    Ok(())
}

/// The fold of the journal, for a store that has to rebuild what it lost.
#[derive(Debug, Default)]
pub struct Refold {
    versions: Catalog,
}

impl Refold {
    /// One that knows these versions even if the journal has lost their texts.
    pub fn knowing(workflows: impl IntoIterator<Item = Arc<Workflow>>) -> Self {
        let fold = Self::default();
        workflows.into_iter().for_each(|workflow| fold.versions.remember(workflow));
        fold
    }
}

impl Fold for Refold {
    fn define(&self, workflow: &WorkflowName, version: &Version, sources: &Sources) -> Result<(), String> {
        if self.versions.version(version).is_some() {
            return Ok(());
        }
        let workflow = read(workflow, version, sources.clone()).map_err(|error| error.to_string())?;
        self.versions.remember(workflow);
        Ok(())
    }

    fn fold(&self, before: Option<&Snapshot>, entry: &Entry) -> Result<Snapshot, String> {
        let decision = match (before, &entry.opening, &entry.event) {
            (None, Some(opening), Event::Started { input, parent }) => {
                let workflow =
                    self.versions.version(&opening.version).ok_or("the order's version was never defined")?;
                machine::start(&workflow, entry.order, input.clone(), parent.clone(), entry.at)
            }
            (Some(before), None, event) => {
                let workflow = self.versions.version(&before.version).ok_or("the order's version was never defined")?;
                machine::transition(&workflow, before, event, entry.at)
            }
            _ => return Err("an order begins with its opening, once".to_owned()),
        };
        let decision = decision.map_err(|rejection| rejection.to_string())?;
        if decision.snapshot.seq != entry.seq || decision.snapshot.state != entry.to {
            return Err(format!(
                "the journal says entry {} led to {}, and the machine says entry {} leads to {}",
                entry.seq, entry.to, decision.snapshot.seq, decision.snapshot.state
            ));
        }
        Ok(decision.snapshot)
    }
}
