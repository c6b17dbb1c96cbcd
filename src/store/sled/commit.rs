//! The way of a batch: checked, encoded, written into the journal, and shown to readers before it is acknowledged.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::behind::Wake;
use super::value::MAX_VALUE;
use super::{Shared, read};
use crate::definition::Sources;
use crate::journal::{Batch, FORMAT_VERSION, JournalError, Prev, Record, Written};
use crate::machine::Snapshot;
use crate::store::{Commit, StoreError};
use crate::types::{OrderId, Position, Seq, Timestamp, Value, Version, WorkflowName};

/// Up to here an estimate of a snapshot's size is enough: JSON is at most six times as long.
const SURELY_FITS: usize = 12 * 1024;

/// The orders of a batch. Nobody else commits to them until this is dropped.
struct Claim {
    shared: Arc<Shared>,
    orders: Vec<OrderId>,
}

/// Where an order stands, as the next entry must know it.
#[derive(Clone, Copy)]
struct Last {
    seq: Seq,
    prev: Prev,
}

pub(super) async fn commit(shared: &Arc<Shared>, batch: Arc<Vec<Commit>>) -> Result<Vec<Position>, StoreError> {
    shared.healthy()?;
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    for commit in &*batch {
        commit.check()?;
        check_size(&commit.snapshot, MAX_VALUE).map_err(StoreError::TooLarge)?;
    }
    let claim = Claim::new(shared, &batch)?;
    let encoded = encode(shared, &claim, &batch)?;
    fault_point!("store::before-room");
    let room = reserve(shared, batch.len(), encoded.is_opening()).await?;
    fault_point!("store::before-journal");
    let (sender, receiver) = oneshot::channel();
    let applied = Arc::clone(shared);
    let done = move |written: Result<Written, JournalError>| {
        fault_point!("store::after-journal");
        // The room that is used is given back when the working store has been written.
        let answer = written.map(|written| {
            room.keep();
            apply(&applied, claim, &batch, written)
        });
        fault_point!("store::shown");
        // Whoever waited may have gone; what is in the journal has happened all the same.
        let _ = sender.send(answer.map_err(StoreError::from));
    };
    shared.journal.submit(encoded, done).await;
    receiver.await.unwrap_or_else(|_| Err(StoreError::Fatal("the journal gave no answer".to_owned())))
}

pub(super) async fn keep_definition(
    shared: &Arc<Shared>,
    workflow: &WorkflowName,
    version: &Version,
    sources: &Sources,
    at: Timestamp,
) -> Result<(), StoreError> {
    shared.healthy()?;
    if shared.overlay().is_kept(workflow, version) {
        return Ok(());
    }
    // Orders of this version may be archived before the next start.
    if let Err(why) = shared.fold.define(workflow, version, sources) {
        tracing::warn!(%workflow, %version, why, "this version cannot be folded");
    }
    let (workflow, version) = (workflow.clone(), version.clone());
    let record = Record::Definition {
        v: FORMAT_VERSION,
        workflow: workflow.clone(),
        version: version.clone(),
        at,
        sources: sources.clone(),
    };
    let mut batch = Batch::new();
    batch.push_record(&record)?;
    let (sender, receiver) = oneshot::channel();
    let applied = Arc::clone(shared);
    let done = move |written: Result<Written, JournalError>| {
        fault_point!("store::definition-written");
        let kept = written.map(|written| {
            let mut overlay = applied.overlay_mut();
            overlay.keep((workflow, version, written.mark.position));
            overlay.fresh().mark = written.mark;
        });
        let _ = sender.send(kept.map_err(StoreError::from));
    };
    shared.journal.submit(batch, done).await;
    receiver.await.unwrap_or_else(|_| Err(StoreError::Fatal("the journal gave no answer".to_owned())))
}

/// Encodes every entry, and checks that it follows the one before it.
fn encode(shared: &Shared, claim: &Claim, batch: &[Commit]) -> Result<Batch, StoreError> {
    let mut last = claim.last(shared, batch)?;
    let mut encoded = Batch::with_capacity(batch.len());
    for (index, commit) in batch.iter().enumerate() {
        let (order, seq) = (commit.entry.order, commit.entry.seq);
        let before = last.entry(order).or_insert(Last { seq: Seq(0), prev: Prev::None });
        if seq != before.seq.next() {
            return Err(StoreError::out_of_order(order, seq, before.seq));
        }
        encoded.push_entry(&commit.entry, before.prev)?;
        *before = Last { seq, prev: Prev::Record(index) };
    }
    Ok(encoded)
}

/// Permits that come back when they are dropped.
struct Room(usize, Arc<Shared>);

impl Room {
    fn keep(mut self) {
        self.0 = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.1.room.add_permits(self.0);
    }
}

/// Waits until the working store is not too far behind.
async fn reserve(shared: &Arc<Shared>, entries: usize, opening: bool) -> Result<Room, StoreError> {
    let wanted = entries.min(shared.lag);
    let permits = u32::try_from(wanted).unwrap_or(u32::MAX);
    loop {
        let changed = shared.in_trouble.notified();
        if let Some(trouble) = shared.trouble() {
            // What was accepted goes on for as long as there is memory for it.
            let refused = || if trouble.full { StoreError::Full } else { StoreError::Fatal(trouble.why.clone()) };
            if opening {
                return Err(refused());
            }
            shared.room.try_acquire_many(permits).map_err(|_| refused())?.forget();
            break;
        }
        tokio::select! {
            room = shared.room.acquire_many(permits) => {
                room.map_err(|_| StoreError::Fatal("the store is closed".to_owned()))?.forget();
                break;
            }
            () = changed => {}
        }
    }
    Ok(Room(wanted, Arc::clone(shared)))
}

/// Shows the batch to readers. Runs on the journal's thread, in the order of the journal.
fn apply(shared: &Shared, claim: Claim, batch: &[Commit], written: Written) -> Vec<Position> {
    let waiting = {
        let mut overlay = shared.overlay_mut();
        for (commit, &position) in batch.iter().zip(&written.positions) {
            overlay.fresh().apply(&commit.entry, Arc::clone(&commit.snapshot), position, |_, _| false);
            overlay.close_gap(commit.entry.order);
        }
        overlay.fresh().mark = written.mark;
        claim.release(&mut overlay);
        overlay.waiting()
    };
    // Small passes: those who wait for room wait for the end of one.
    if waiting > shared.lag / 8 {
        fault_point!("store::before-wake");
        // It is awake already when the channel is full.
        let _ = shared.wake.try_send(Wake::Now);
    }
    written.positions
}

impl Claim {
    fn new(shared: &Arc<Shared>, batch: &[Commit]) -> Result<Self, StoreError> {
        let mut orders: Vec<OrderId> = batch.iter().map(|commit| commit.entry.order).collect();
        orders.sort_unstable();
        orders.dedup();
        let mut overlay = shared.overlay_mut();
        if let Some(order) = orders.iter().find(|order| overlay.under_way.contains(order)) {
            return Err(StoreError::Damaged(format!("another commit for {order} is under way")));
        }
        overlay.under_way.extend(orders.iter().copied());
        Ok(Self { shared: Arc::clone(shared), orders })
    }

    /// Where each order stands. Orders that are not there yet are not in the answer.
    fn last(&self, shared: &Shared, batch: &[Commit]) -> Result<HashMap<OrderId, Last>, StoreError> {
        let mut last = HashMap::with_capacity(self.orders.len());
        let mut elsewhere = Vec::new();
        {
            let overlay = shared.overlay();
            for &order in &self.orders {
                if let Some(stored) = overlay.order(order) {
                    last.insert(order, Last { seq: stored.snapshot.seq, prev: Prev::At(stored.tip) });
                } else if !overlay.is_newer_than_all_written(order) {
                    elsewhere.push(order);
                }
            }
        }
        for order in elsewhere {
            let found = match read::last(shared, order) {
                Ok(found) => found,
                // Orders that were accepted go on without the working store, which may be out of room.
                Err(error) => Some(said(shared, batch, order).ok_or(error)?),
            };
            if let Some((seq, tip)) = found {
                last.insert(order, Last { seq, prev: Prev::At(tip) });
            }
        }
        Ok(last)
    }

    fn release(mut self, overlay: &mut super::overlay::Overlay) {
        for order in self.orders.drain(..) {
            overlay.under_way.remove(&order);
        }
    }
}

/// Where the caller says that the order stands, if the journal does not contradict.
fn said(shared: &Shared, batch: &[Commit], order: OrderId) -> Option<(Seq, Position)> {
    let commit = batch.iter().find(|commit| commit.entry.order == order)?;
    let prev = commit.entry.prev?;
    match shared.journal.read(prev).ok()?.record {
        Record::Entry(entry) if entry.order == order => Some((entry.seq, prev)),
        _ => None,
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.orders.is_empty() {
            let mut overlay = self.shared.overlay_mut();
            for order in self.orders.drain(..) {
                overlay.under_way.remove(&order);
            }
        }
    }
}

pub(super) fn check_size(snapshot: &Snapshot, most: usize) -> Result<(), String> {
    if weight(snapshot) <= SURELY_FITS {
        return Ok(());
    }
    let mut counter = Counter(0);
    let counted = serde_json::to_writer(&mut counter, snapshot);
    if counted.is_err() || counter.0 > most {
        let (id, bytes) = (snapshot.id, counter.0);
        return Err(format!("order {id} would have {bytes} bytes, and {most} can be kept"));
    }
    Ok(())
}

/// About how long the snapshot's JSON is.
fn weight(snapshot: &Snapshot) -> usize {
    let calls = snapshot.calls.values().map(|call| 400 + value_weight(&call.with) + call.trouble.len());
    let undo = snapshot.undo.iter().map(|undo| 200 + value_weight(&undo.with) + value_weight(&undo.result));
    let inbox = snapshot.inbox.iter().map(|early| 200 + value_weight(&early.payload) + early.source.len());
    let parts = calls.chain(undo).chain(inbox).sum::<usize>() + value_weight(&snapshot.data);
    let incident = snapshot.incident.as_ref().map_or(0, |incident| incident.reason.len());
    parts + value_weight(&snapshot.input) + snapshot.timers.len() * 100 + incident + snapshot.outcome.len()
}

fn value_weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => 4 + text.len(),
        Value::Array(items) => 4 + items.iter().map(value_weight).sum::<usize>(),
        Value::Object(fields) => {
            4 + fields.iter().map(|(name, value)| 4 + name.len() + value_weight(value)).sum::<usize>()
        }
    }
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
