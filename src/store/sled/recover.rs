//! Opening: the working store is taken up where it stands, or made anew, and what the journal has beyond it is folded.

use std::path::Path;
use std::sync::Arc;

use super::dir::{Marker, set_aside};
use super::index::{Index, Trouble, trouble, unreadable};
use super::overlay::Overlay;
use super::{Fold, SledOptions};
use crate::journal::{Entry, Journal, Mark, Record};
use crate::store::StoreError;
use crate::types::Position;

/// Entries that are folded between two writes of a rebuild.
const STRETCH: usize = 16 * 1024;

pub(super) fn recover(
    dir: &Path,
    options: &SledOptions,
    journal: &Journal,
    fold: &dyn Fold,
) -> Result<(Index, Overlay), StoreError> {
    let marker = Marker::new(dir);
    let (index, mark) = open_index(dir, options, journal, &marker)?;
    marker.in_use().map_err(|error| refused(trouble(&sled::Error::Io(error))))?;
    let mut overlay = Overlay::new(mark, index.newest_order()?);
    for (workflow, version, position) in index.definitions()? {
        define(journal, position, fold)?;
        overlay.definitions.push((workflow, version, position));
    }
    replay(&index, &mut overlay, journal, mark, fold)?;
    Ok((index, overlay))
}

/// The store that is there, if it is whole and belongs to this journal, or a new one.
fn open_index(
    dir: &Path,
    options: &SledOptions,
    journal: &Journal,
    marker: &Marker,
) -> Result<(Index, Mark), StoreError> {
    let path = dir.join("sled");
    let open = || Index::open(&path, options.cache, options.open_within, Arc::clone(&options.index_writes));
    if path.exists() {
        let reason = if marker.is_trustworthy() {
            match open().map(|index| usable(index, journal)) {
                Ok(Ok(found)) => return Ok(found),
                // A disk without room says nothing about the store.
                Err(trouble) if trouble.full => return Err(refused(trouble)),
                Ok(Err(why)) | Err(Trouble { why, .. }) => why,
            }
        } else {
            "it was in use when the machine stopped".to_owned()
        };
        tracing::warn!(path = %path.display(), %reason, "the working store is rebuilt from the journal");
        set_aside(&path).map_err(|error| refused(trouble(&sled::Error::Io(error))))?;
    }
    let index = open().map_err(refused)?;
    Ok((index, Mark::START))
}

fn usable(index: Index, journal: &Journal) -> Result<(Index, Mark), String> {
    let mark = index.applied().map_err(|error| error.to_string())?;
    match mark {
        Some(mark) if journal.holds(&mark) => Ok((index, mark)),
        Some(mark) => Err(format!("it has the effects of record {}, which this journal does not hold", mark.seq)),
        None => Err("it does not tell how far it got".to_owned()),
    }
}

fn replay(
    index: &Index,
    overlay: &mut Overlay,
    journal: &Journal,
    mark: Mark,
    fold: &dyn Fold,
) -> Result<(), StoreError> {
    let mut folded = 0_usize;
    for read in journal.scan(mark)? {
        let read = read?;
        match read.record {
            Record::Definition { workflow, version, sources, .. } => {
                fold.define(&workflow, &version, &sources).map_err(|why| unusable(&workflow, &why))?;
                overlay.keep((workflow, version, read.mark.position));
            }
            Record::Entry(entry) => {
                replay_entry(index, overlay, &entry, read.mark.position, fold)?;
                folded += 1;
            }
        }
        overlay.fresh().mark = read.mark;
        if overlay.waiting() >= STRETCH {
            write(index, overlay)?;
        }
    }
    if folded > 0 {
        tracing::info!(entries = folded, "folded what the working store did not have yet");
    }
    write(index, overlay)
}

fn replay_entry(
    index: &Index,
    overlay: &mut Overlay,
    entry: &Entry,
    position: Position,
    fold: &dyn Fold,
) -> Result<(), StoreError> {
    let order = entry.order;
    let before = match overlay.order(order) {
        Some(stored) => Some(stored),
        None if overlay.is_newer_than_all_written(order) => None,
        None => index.order(order)?,
    };
    let counted = |account: &str, currency| index.balance(account, currency).is_ok_and(|(_, upto)| upto >= position);
    if before.as_ref().is_some_and(|before| before.snapshot.seq >= entry.seq) {
        // The store was cut off after it had written this order, and before it had written how far it got.
        overlay.fresh().skip(&entry.postings, position, counted);
        return Ok(());
    }
    let snapshot = fold.fold(before.as_ref().map(|before| &*before.snapshot), entry);
    let snapshot = snapshot.map_err(|why| {
        StoreError::Damaged(format!("entry {} of {order} at {position} cannot be folded: {why}", entry.seq))
    })?;
    overlay.fresh().apply(entry, Arc::new(snapshot), position, counted);
    Ok(())
}

fn write(index: &Index, overlay: &mut Overlay) -> Result<(), StoreError> {
    if let Some(layer) = overlay.begin_writing() {
        index.write(&layer).map_err(refused)?;
        overlay.written();
    }
    Ok(())
}

fn define(journal: &Journal, position: Position, fold: &dyn Fold) -> Result<(), StoreError> {
    match journal.read(position)?.record {
        Record::Definition { workflow, version, sources, .. } => {
            fold.define(&workflow, &version, &sources).map_err(|why| unusable(&workflow, &why))
        }
        Record::Entry(_) => Err(unreadable("a definition", &format!("there is something else at {position}"))),
    }
}

fn unusable(workflow: &crate::types::WorkflowName, why: &str) -> StoreError {
    StoreError::Damaged(format!("a version of {workflow} that was kept cannot be used any more: {why}"))
}

fn refused(trouble: Trouble) -> StoreError {
    if trouble.full { StoreError::Full } else { unreadable("the working store", &trouble.why) }
}
