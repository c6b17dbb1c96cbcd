//! Archived orders are read from the journal: their last entry is known, and leads back to the first.

use std::sync::Arc;

use super::Archive;
use crate::journal::{Entry, JournalReader, Record};
use crate::machine::Snapshot;
use crate::store::sled::Fold;
use crate::store::sled::index::unreadable;
use crate::store::{StoreError, Stored};
use crate::types::{EventId, OrderId, Position, Seq};

/// An archived order, folded.
pub(in crate::store::sled) fn order(
    archive: &Archive,
    journal: &JournalReader,
    fold: &dyn Fold,
    id: OrderId,
) -> Result<Option<Stored>, StoreError> {
    let Some(tip) = archive.find(id)? else { return Ok(None) };
    let mut entries = Vec::new();
    walk(journal, id, tip, |entry| {
        entries.push(entry);
        true
    })?;
    let mut snapshot: Option<Snapshot> = None;
    for entry in entries.iter().rev() {
        let folded = fold.fold(snapshot.as_ref(), entry);
        snapshot = Some(folded.map_err(|why| unreadable(&format!("order {id}"), &why))?);
    }
    Ok(snapshot.map(|snapshot| Stored { snapshot: Arc::new(snapshot), tip }))
}

/// The number and the position of the last entry of an archived order.
pub(in crate::store::sled) fn last(
    archive: &Archive,
    journal: &JournalReader,
    id: OrderId,
) -> Result<Option<(Seq, Position)>, StoreError> {
    let Some(tip) = archive.find(id)? else { return Ok(None) };
    Ok(Some((entry(journal, id, tip)?.seq, tip)))
}

/// Under which entry an event was applied to an order before it was archived.
pub(in crate::store::sled) fn seen(
    archive: &Archive,
    journal: &JournalReader,
    id: OrderId,
    event: &EventId,
) -> Result<Option<Seq>, StoreError> {
    let Some(tip) = archive.find(id)? else { return Ok(None) };
    let mut found = None;
    walk(journal, id, tip, |entry| {
        if entry.event.id() == Some(event) {
            found = Some(entry.seq);
        }
        found.is_none()
    })?;
    Ok(found)
}

/// Whether every entry of an order can be read.
pub(super) fn is_whole(journal: &JournalReader, tip: Position, seq: Seq) -> bool {
    let (mut at, mut count) = (Some(tip), 0);
    while let Some(position) = at {
        let Ok(prev) = journal.prev(position) else { return false };
        (at, count) = (prev, count + 1);
    }
    count == seq.0
}

/// Goes from the last entry to the first, while `go_on` says so.
fn walk(
    journal: &JournalReader,
    id: OrderId,
    tip: Position,
    mut go_on: impl FnMut(Entry) -> bool,
) -> Result<(), StoreError> {
    let mut at = Some(tip);
    while let Some(position) = at {
        let entry = entry(journal, id, position)?;
        at = entry.prev;
        if !go_on(entry) {
            break;
        }
    }
    Ok(())
}

fn entry(journal: &JournalReader, id: OrderId, position: Position) -> Result<Entry, StoreError> {
    match journal.read(position)?.record {
        Record::Entry(entry) if entry.order == id => Ok(entry),
        _ => Err(unreadable(&format!("an entry of {id}"), &format!("there is something else at {position}"))),
    }
}
