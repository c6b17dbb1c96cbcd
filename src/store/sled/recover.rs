//! Opening: the working store is taken up where it stands, or made anew, and what the journal has beyond it is folded.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use super::archive::{self, Archive};
use super::dir::{Marker, set_aside};
use super::index::{Index, Trouble, trouble, unreadable};
use super::overlay::Overlay;
use super::{Fold, SledOptions};
use crate::journal::{Entry, Journal, JournalReader, Mark, Record};
use crate::store::{StoreError, Stored};
use crate::types::{OrderId, Position};

/// Entries that are folded between two writes of a rebuild.
const STRETCH: usize = 16 * 1024;
/// Open orders that are looked at at once.
const PAGE: usize = 1024;

pub(super) fn recover(
    dir: &Path,
    options: &SledOptions,
    journal: &Journal,
    fold: &dyn Fold,
) -> Result<(Index, Overlay, Archive), StoreError> {
    let marker = Marker::new(dir);
    let archive = open_archive(dir)?;
    let (index, mark, archive) = open_index(dir, options, journal, &marker, archive)?;
    fault_point!("recovery::store-opened");
    marker.in_use().map_err(|error| refused(trouble(&sled::Error::Io(error))))?;
    archive.tidy().map_err(|error| refused(trouble(&sled::Error::Io(error))))?;
    match catch_up(&index, journal, mark, fold, &archive) {
        Err(error) if index.is_suspect() => {
            drop(index);
            give_up(&dir.join("sled"), &error.to_string())?;
            let index = open_in(dir, options).map_err(refused)?;
            marker.in_use().map_err(|error| refused(trouble(&sled::Error::Io(error))))?;
            let overlay = catch_up(&index, journal, Mark::START, fold, &archive)?;
            Ok((index, overlay, archive))
        }
        overlay => Ok((index, overlay?, archive)),
    }
}

/// Folds what the journal has behind `mark`, which is as far as the working store has come.
pub(super) fn catch_up(
    index: &Index,
    journal: &JournalReader,
    mark: Mark,
    fold: &dyn Fold,
    archive: &Archive,
) -> Result<Overlay, StoreError> {
    let mut overlay = Overlay::new(mark, index.newest_order()?.max(archive.newest()));
    overlay.gaps = index.gaps()?;
    for (workflow, version, position) in index.definitions()? {
        if journal.stretch(position).is_some() {
            tracing::error!(%workflow, %version, "the text of this version is lost; it is kept anew when it is in use");
            continue;
        }
        define(journal, position, fold)?;
        overlay.definitions.push((workflow, version, position));
    }
    replay(index, &mut overlay, journal, mark, fold, archive)?;
    doubt(index, &mut overlay)?;
    if mark == Mark::START {
        archive::purge(index, archive, journal)?;
    }
    Ok(overlay)
}

/// The store that is there, if it is whole and belongs to this journal, or a new one.
fn open_index(
    dir: &Path,
    options: &SledOptions,
    journal: &Journal,
    marker: &Marker,
    archive: Result<Archive, String>,
) -> Result<(Index, Mark, Archive), StoreError> {
    let path = dir.join("sled");
    let archive = match archive {
        Ok(archive) => archive,
        Err(why) => {
            // Which orders had left the working store is not known any more: with all of them in it, none is missed.
            tracing::warn!(reason = why, "a file of the archive is damaged or missing: all orders come back");
            set_aside(&dir.join("archive")).map_err(|error| refused(trouble(&sled::Error::Io(error))))?;
            if path.exists() {
                give_up(&path, "it lacks what was archived")?;
            }
            Archive::empty(dir)
        }
    };
    if path.exists() {
        let reason = if marker.is_trustworthy() {
            match open_in(dir, options).map(|index| usable(index, journal)) {
                Ok(Ok((index, _))) if index.generation()? > archive.generation() => {
                    drop(index);
                    "files of the archive are missing, and it lacks what was in them".to_owned()
                }
                Ok(Ok((index, mark))) => return Ok((index, mark, archive)),
                // A disk without room says nothing about the store.
                Err(trouble) if trouble.full => return Err(refused(trouble)),
                Ok(Err(why)) | Err(Trouble { why, .. }) => why,
            }
        } else {
            "it was in use when the machine stopped".to_owned()
        };
        give_up(&path, &reason)?;
    }
    Ok((open_in(dir, options).map_err(refused)?, Mark::START, archive))
}

/// The archive, or why its files cannot be used.
fn open_archive(dir: &Path) -> Result<Result<Archive, String>, StoreError> {
    match Archive::open(dir) {
        Ok(archive) => Ok(Ok(archive)),
        Err(unusable) => unusable.refused(dir).map(Err),
    }
}

fn give_up(path: &Path, reason: &str) -> Result<(), StoreError> {
    tracing::warn!(path = %path.display(), reason, "the working store is rebuilt from the journal");
    fault_point!("recovery::before-aside");
    set_aside(path).map_err(|error| refused(trouble(&sled::Error::Io(error))))?;
    fault_point!("recovery::set-aside");
    Ok(())
}

fn open_in(dir: &Path, options: &SledOptions) -> Result<Index, Trouble> {
    let broken = Arc::clone(&options.index_writes);
    Index::open(&dir.join("sled"), options.cache, options.open_within, broken)
}

pub(super) fn usable(index: Index, journal: &JournalReader) -> Result<(Index, Mark), String> {
    let mark = index.applied().map_err(|error| error.to_string())?;
    match mark {
        Some(mark) if journal.holds(&mark) => Ok((index, mark)),
        Some(mark) => Err(format!("it has the effects of record {}, which this journal does not hold", mark.seq)),
        None => Err("it was made by another version of Paystate, or does not tell how far it got".to_owned()),
    }
}

fn replay(
    index: &Index,
    overlay: &mut Overlay,
    journal: &JournalReader,
    mark: Mark,
    fold: &dyn Fold,
    archive: &Archive,
) -> Result<(), StoreError> {
    let past = Past { archive, journal };
    let mut folded = 0_usize;
    for read in journal.scan(mark)? {
        let read = read?;
        fault_point!("recovery::between-entries");
        match read.record {
            Record::Definition { workflow, version, sources, .. } => {
                fold.define(&workflow, &version, &sources).map_err(|why| unusable(&workflow, &why))?;
                overlay.keep((workflow, version, read.mark.position));
            }
            Record::Entry(entry) => {
                replay_entry(index, overlay, &entry, read.mark.position, fold, &past)?;
                if mark != Mark::START {
                    overlay.fresh().may_be_there(entry.order);
                }
                folded += 1;
            }
            Record::Lost(lost) => {
                tracing::error!(record = read.mark.seq, count = lost.count, "records of the journal are lost");
                let mut known = BTreeMap::new();
                for &order in lost.orders.iter().chain(&lost.begun) {
                    let tip = match overlay.order(order) {
                        Some(stored) => Some(stored.tip),
                        None => index.last(order)?.map(|(_, tip)| tip).or(archive.find(order)?),
                    };
                    known.extend(tip.map(|tip| (order, tip)));
                }
                overlay.gaps.pass(read.mark.position, &lost, &known);
                overlay.fresh().entries += 1;
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

/// Where the entries of archived orders are.
struct Past<'a> {
    archive: &'a Archive,
    journal: &'a JournalReader,
}

impl Past<'_> {
    /// An order that was archived before the entry at a position came.
    fn order(&self, id: OrderId, before: Position, fold: &dyn Fold) -> Result<Option<Stored>, StoreError> {
        match self.archive.find(id)? {
            Some(tip) if tip < before => archive::order(self.archive, self.journal, fold, id),
            _ => Ok(None),
        }
    }
}

fn replay_entry(
    index: &Index,
    overlay: &mut Overlay,
    entry: &Entry,
    position: Position,
    fold: &dyn Fold,
    past: &Past<'_>,
) -> Result<(), StoreError> {
    let order = entry.order;
    let before = match overlay.order(order) {
        Some(stored) => Some(stored),
        None if overlay.is_newer_than_all_written(order) => None,
        None => match index.order(order)? {
            None => past.order(order, position, fold)?,
            stored => stored,
        },
    };
    let counted = |account: &str, currency| index.balance(account, currency).is_ok_and(|(_, upto)| upto >= position);
    if before.as_ref().is_some_and(|before| before.tip >= position) {
        // The store was cut off after it had written this order, and before it had written how far it got.
        overlay.fresh().skip(&entry.postings, position, counted);
        return Ok(());
    }
    let seq = before.as_ref().map(|before| before.snapshot.seq).unwrap_or_default();
    let follows = entry.seq == seq.next() && entry.prev == before.as_ref().map(|before| before.tip);
    let folded = if follows {
        fold.fold(before.as_ref().map(|before| &*before.snapshot), entry)
    } else {
        Err(format!("it does not follow entry {seq}"))
    };
    match folded {
        Ok(snapshot) => {
            overlay.fresh().apply(entry, Arc::new(snapshot), position, counted);
            overlay.close_gap(order);
        }
        Err(_) if overlay.gaps.is_any_before(position) => {
            // What has been booked has been booked, whatever became of the order.
            overlay.fresh().skip(&entry.postings, position, counted);
            overlay.gaps.meet(entry, position, before.map(|before| (seq, before.tip)));
        }
        Err(why) => {
            let seq = entry.seq;
            return Err(StoreError::Damaged(format!("entry {seq} of {order} at {position} cannot be folded: {why}")));
        }
    }
    Ok(())
}

/// Lost records of which nobody can tell whose they were may have been the last ones of any order that is open and has
/// not moved since.
fn doubt(index: &Index, overlay: &mut Overlay) -> Result<(), StoreError> {
    let Some(bound) = overlay.gaps.take_doubt() else { return Ok(()) };
    let mut after = Bound::Unbounded;
    loop {
        let page: Vec<OrderId> = index
            .rows(b'p', (after, Bound::Unbounded), false)
            .take(PAGE)
            .map(|row| Ok(row?.0))
            .collect::<Result<_, StoreError>>()?;
        let Some(&last) = page.last() else { break };
        for order in page {
            if index.last(order)?.is_some_and(|(_, tip)| tip < bound) {
                overlay.gaps.doubt(order);
            }
        }
        after = Bound::Excluded(last);
    }
    overlay.fresh().entries += 1;
    write(index, overlay)
}

fn write(index: &Index, overlay: &mut Overlay) -> Result<(), StoreError> {
    if let Some(layer) = overlay.begin_writing() {
        index.write(&layer).map_err(refused)?;
        overlay.written();
    }
    Ok(())
}

fn define(journal: &JournalReader, position: Position, fold: &dyn Fold) -> Result<(), StoreError> {
    match journal.read(position)?.record {
        Record::Definition { workflow, version, sources, .. } => {
            fold.define(&workflow, &version, &sources).map_err(|why| unusable(&workflow, &why))
        }
        Record::Entry(_) | Record::Lost(_) => {
            Err(unreadable("a definition", &format!("there is something else at {position}")))
        }
    }
}

fn unusable(workflow: &crate::types::WorkflowName, why: &str) -> StoreError {
    StoreError::Damaged(format!("a version of {workflow} that was kept cannot be used any more: {why}"))
}

fn refused(trouble: Trouble) -> StoreError {
    if trouble.full { StoreError::Full } else { unreadable("the working store", &trouble.why) }
}
