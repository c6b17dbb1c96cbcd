//! Moves orders out of the working store, a little at a time, on the one thread that writes it.

use std::ops::Bound;

use tokio::sync::oneshot;

use super::file::Entry;
use super::{Archive, Archived, past};
use crate::journal::JournalReader;
use crate::store::StoreError;
use crate::store::sled::Shared;
use crate::store::sled::index::{Index, Trouble, unreadable};
use crate::store::sled::value::Row;
use crate::types::{OrderId, Timestamp};

/// Orders that are looked at or removed at once, and keys.
const ORDERS: usize = 32;
const KEYS: usize = 512;
/// Orders of one file.
const BATCH: usize = 64 * 1024;

/// Orders that have ended, and have not changed since a moment, are to be archived.
#[derive(Debug)]
pub(in crate::store::sled) struct Request {
    pub(in crate::store::sled) before: Timestamp,
    /// Only count them.
    pub(in crate::store::sled) dry: bool,
    /// Nobody, when it is done of itself.
    pub(in crate::store::sled) reply: Option<oneshot::Sender<Result<Archived, StoreError>>>,
}

/// Why a round ended.
pub(in crate::store::sled) enum Failure {
    Read(StoreError),
    /// The working store could not be written, and must be opened again.
    Write(Trouble),
}

/// What is being done, if anything.
#[derive(Debug, Default)]
pub(in crate::store::sled) struct Archiver {
    round: Option<(Request, Round)>,
}

#[derive(Debug, Default)]
struct Round {
    stage: Stage,
    /// The last order that was looked at.
    after: Option<OrderId>,
    looked: bool,
    found: Vec<Entry>,
    done: Archived,
}

/// The rows of an order are removed in this order, so that whoever is cut off finds the order again.
#[derive(Debug, Default)]
enum Stage {
    #[default]
    Looking,
    /// Up to this key they have been looked at.
    Keys(Vec<u8>),
    /// So many have been removed.
    Orders(usize),
}

impl Archiver {
    pub(in crate::store::sled) fn begin(&mut self, request: Request) {
        self.round = Some((request, Round::default()));
    }

    pub(in crate::store::sled) fn is_busy(&self) -> bool {
        self.round.is_some()
    }

    /// Whether somebody waits for it.
    pub(in crate::store::sled) fn is_urgent(&self) -> bool {
        self.round.as_ref().is_some_and(|(request, _)| request.reply.is_some())
    }

    /// Does a little. What fails ends the round; what is left of it is found again by the next one. Says why the working
    /// store could not be written, if it could not.
    pub(in crate::store::sled) fn step(&mut self, shared: &Shared) -> Option<Trouble> {
        let (request, round) = self.round.as_mut()?;
        let stepped = shared.index().map_err(Failure::Read).and_then(|index| round.step(shared, &index, request));
        let (answer, trouble) = match stepped {
            Ok(false) => return None,
            Ok(true) => (Ok(round.done), None),
            Err(Failure::Read(error)) => (Err(error), None),
            Err(Failure::Write(trouble)) => (Err(refused(&trouble)), Some(trouble)),
        };
        self.end(answer);
        trouble
    }

    /// Ends the round, if there is one.
    pub(in crate::store::sled) fn end(&mut self, answer: Result<Archived, StoreError>) {
        match (&answer, self.round.take().and_then(|(request, _)| request.reply)) {
            // Whoever asked may have gone.
            (_, Some(reply)) => drop(reply.send(answer)),
            (Ok(Archived { orders: 0, .. }), None) => {}
            (Ok(done), None) => tracing::info!(orders = done.orders, "orders that have ended were archived"),
            (Err(error), None) => tracing::warn!(%error, "orders that have ended could not all be archived"),
        }
    }
}

impl Round {
    /// True at the end.
    fn step(&mut self, shared: &Shared, index: &Index, request: &Request) -> Result<bool, Failure> {
        match &mut self.stage {
            Stage::Looking => {
                self.look(shared, index, request)?;
                if !self.looked && self.found.len() < BATCH {
                    return Ok(false);
                }
                if self.found.is_empty() {
                    return Ok(true);
                }
                if request.dry {
                    self.done.orders += self.found.len() as u64;
                    self.found.clear();
                    return Ok(self.looked);
                }
                let added = shared.archive.add(&self.found);
                added.map_err(|error| unreadable("the archive", &error.to_string()))?;
                index.set_generation(shared.archive.generation()).map_err(Failure::Write)?;
                self.stage = Stage::Keys(Vec::new());
            }
            Stage::Keys(after) => {
                let keys = index.keys(after, KEYS)?;
                for (key, order) in &keys {
                    if self.found.binary_search_by_key(order, |entry| entry.0).is_ok() {
                        index.remove(key).map_err(Failure::Write)?;
                    }
                }
                match keys.into_iter().next_back() {
                    Some((key, _)) => *after = key,
                    None => self.stage = Stage::Orders(0),
                }
            }
            Stage::Orders(removed) => {
                let end = (*removed + ORDERS).min(self.found.len());
                for &entry in &self.found[*removed..end] {
                    self.done.orders += u64::from(remove(index, entry)?);
                }
                *removed = end;
                if end == self.found.len() {
                    self.found.clear();
                    self.stage = Stage::Looking;
                    return Ok(self.looked);
                }
            }
        }
        Ok(false)
    }

    fn look(&mut self, shared: &Shared, index: &Index, request: &Request) -> Result<(), StoreError> {
        let above = self.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = 0;
        for row in index.rows(b'o', (above, Bound::Unbounded), false).take(ORDERS) {
            let (id, bytes) = row?;
            rows += 1;
            self.after = Some(id);
            let malformed = || unreadable(&format!("order {id}"), "its value is malformed");
            let row = Row::decode(&bytes).ok_or_else(malformed)?;
            if !row.status.is_final() {
                continue;
            }
            let stored = row.stored().map_err(|why| unreadable(&format!("order {id}"), &why))?;
            if stored.snapshot.created_at >= request.before {
                // Ids are in the order of their making, and no order changed before it was made.
                self.looked = true;
                break;
            }
            if stored.snapshot.is_open() || stored.snapshot.updated_at >= request.before {
                continue;
            }
            // What moves at this moment is not at rest.
            if shared.overlay().order(id).is_some() {
                continue;
            }
            if past::is_whole(&shared.journal, stored.tip, stored.snapshot.seq) {
                self.found.push((id, stored.tip));
            } else {
                self.done.kept += 1;
            }
        }
        self.looked |= rows < ORDERS;
        Ok(())
    }
}

/// Removes an order's rows, if it has not moved since. A late event has made it an order of the working store again.
fn remove(index: &Index, (order, tip): Entry) -> Result<bool, Failure> {
    if index.last(order)?.is_none_or(|(_, there)| there != tip) {
        return Ok(false);
    }
    for key in index.events(order)? {
        index.remove(&key).map_err(Failure::Write)?;
    }
    index.remove_order(order).map_err(Failure::Write)?;
    Ok(true)
}

/// Takes out of a working store that was made from the journal what is archived.
pub(in crate::store::sled) fn purge(
    index: &Index,
    archive: &Archive,
    journal: &JournalReader,
) -> Result<(), StoreError> {
    if archive.is_empty() {
        return Ok(());
    }
    index.set_generation(archive.generation()).map_err(|trouble| refused(&trouble))?;
    let mut after = Vec::new();
    loop {
        let keys = index.keys(&after, KEYS)?;
        for (key, order) in &keys {
            if let Some(tip) = archive.find(*order)?
                && index.last(*order)?.is_some_and(|(_, there)| there == tip)
            {
                index.remove(key).map_err(|trouble| refused(&trouble))?;
            }
        }
        let Some((key, _)) = keys.into_iter().next_back() else { break };
        after = key;
    }
    archive.all(|entry| {
        if let Some((seq, tip)) = index.last(entry.0)?
            && past::is_whole(journal, tip, seq)
        {
            remove(index, entry)?;
        }
        Ok(())
    })
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Read(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Read(error) => error,
            Failure::Write(trouble) => refused(&trouble),
        }
    }
}

fn refused(trouble: &Trouble) -> StoreError {
    if trouble.full { StoreError::Full } else { unreadable("the working store", &trouble.why) }
}
