//! The door to sled: a working store that may be wrong, missing or behind, because it can always be rebuilt.
//!
//! It is driven in the ways that have been measured to work: one tree, single inserts from one thread, no transactions,
//! no `flush_async`, no long iterators while it writes, small values, a fixed segment size.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use sled::{Db, IVec};

use super::dir::Marker;
use super::gaps::Gaps;
use super::overlay::Layer;
use super::value::{
    self, Row, balance_key, client_key, decode_balance, decode_definition, decode_key_record, decode_mark,
    definition_key, encode_balance, encode_definition, encode_key_record, encode_mark, encode_open, encode_order,
    event_key, id_key, link_key, linked_in, links_key, open_key, order_key, payment_key, take_u64,
};
use crate::journal::{Disk, Mark, RealDisk, is_full};
use crate::store::{KeyRecord, Link, StoreError, Stored};
use crate::types::{Currency, EventId, OrderId, Position, Seq, Version, WorkflowName};

/// Fixed for ever: sled cannot open a store with another one. With this, values of up to 128 KiB stay in the log.
const SEGMENT: usize = 16 * 1024 * 1024;
/// A store that was closed a moment ago may still hold its lock.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// Why the working store cannot be used.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) full: bool,
    pub(super) why: String,
}

#[derive(Debug)]
pub(super) struct Index {
    db: Db,
    /// For tests: how many more writes succeed.
    allowed: Arc<AtomicUsize>,
    marker: Marker,
    /// Something in it could not be read.
    suspect: AtomicBool,
}

/// Rows of one kind in the order of their ids.
pub(super) type Rows<'a> = Box<dyn Iterator<Item = Result<(OrderId, Bytes), StoreError>> + 'a>;
pub(super) type Bytes = IVec;

impl Index {
    /// Opens it on a thread of its own: damaged files can make sled panic, or never return.
    pub(super) fn open(path: &Path, cache: u64, within: Duration, allowed: Arc<AtomicUsize>) -> Result<Self, Trouble> {
        // sled would make the directory readable to everybody.
        let prepared = RealDisk.create_dir(path).and_then(|()| remove_half_made_snapshots(path));
        prepared.map_err(|error| trouble(&sled::Error::Io(error)))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match open_watched(path.to_owned(), cache, within) {
                Ok(db) => {
                    let marker = Marker::new(path.parent().unwrap_or(path));
                    return Ok(Self { db, allowed, marker, suspect: AtomicBool::new(false) });
                }
                Err(Some(sled::Error::Io(error))) if is_locked(&error) && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(20));
                }
                Err(Some(error)) => return Err(trouble(&error)),
                Err(None) => {
                    let why = format!("it could not be opened within {within:?}, or opening it panicked");
                    return Err(Trouble { full: false, why });
                }
            }
        }
    }

    /// The last record whose effects are in here, or `None` for an empty or unreadable store.
    pub(super) fn applied(&self) -> Result<Option<Mark>, StoreError> {
        let Some(bytes) = self.get(value::APPLIED)? else {
            return Ok(self.db.is_empty().then_some(Mark::START));
        };
        Ok(decode_mark(&bytes))
    }

    /// Writes a layer. Single writes survive the death of the process in their order, so that the order here matters:
    /// an order's value is written after everything that follows from its entries, and the mark after all.
    pub(super) fn write(&self, layer: &Layer) -> Result<(), Trouble> {
        let written = catch_unwind(AssertUnwindSafe(|| self.write_all(layer)));
        written.unwrap_or_else(|_| {
            let why = "sled has panicked".to_owned();
            self.suspect(&why);
            Err(Trouble { full: false, why })
        })
    }

    fn write_all(&self, layer: &Layer) -> Result<(), Trouble> {
        for (key, record) in &layer.keys {
            self.put(&client_key(key), encode_key_record(record))?;
        }
        for ((order, event), seq) in &layer.events {
            self.put(&event_key(*order, event), seq.0.to_be_bytes().to_vec())?;
        }
        for ((account, currency), delta) in &layer.balances {
            let key = balance_key(account, *currency);
            let before = self.db.get(&key).map_err(|error| trouble(&error))?;
            let (amount, upto) = before.and_then(|bytes| decode_balance(&bytes)).unwrap_or_default();
            if upto < delta.last {
                let amount = amount.saturating_add(delta.amount);
                self.put(&key, encode_balance(amount, delta.last).to_vec())?;
            }
        }
        for (link, to, order) in layer.links.all() {
            self.put(&link_key(link, to, order), Vec::new())?;
            if link == Link::Refund {
                self.put(&payment_key(order), to.as_bytes().to_vec())?;
            }
        }
        for (workflow, version, position) in &layer.definitions {
            let value = encode_definition(workflow, version).map_err(|why| Trouble { full: false, why })?;
            self.put(&definition_key(*position), value)?;
        }
        for (key, _) in layer.gaps.iter().filter(|(_, value)| value.is_none()) {
            self.remove(key)?;
        }
        for (id, moved) in &layer.orders {
            let value = encode_order(&moved.stored).map_err(|why| Trouble { full: false, why })?;
            let open = moved.stored.snapshot.is_open();
            if open {
                self.put(&open_key(*id), encode_open(&moved.stored.snapshot).to_vec())?;
            } else if !moved.new {
                self.remove(&open_key(*id))?;
            }
            self.put(&order_key(*id), value)?;
        }
        for (key, value) in &layer.gaps {
            if let Some(value) = value {
                self.put(key, value.clone())?;
            }
        }
        fault_point!("behind::before-mark");
        self.put(value::APPLIED, encode_mark(&layer.mark))?;
        // Into the system's memory, so that a store that has to be opened again after a failed write has this layer.
        fault_point!("behind::before-flush");
        self.db.flush().map_err(|error| trouble(&error))?;
        fault_point!("behind::after-flush");
        Ok(())
    }

    pub(super) fn order(&self, id: OrderId) -> Result<Option<Stored>, StoreError> {
        let Some(bytes) = self.get(&order_key(id))? else { return Ok(None) };
        Ok(Some(stored(id, &bytes)?))
    }

    pub(super) fn seen(&self, order: OrderId, event: &EventId) -> Result<Option<Seq>, StoreError> {
        let found = self.get(&event_key(order, event))?;
        Ok(found.and_then(|bytes| take_u64(&bytes).map(|(seq, _)| Seq(seq))))
    }

    pub(super) fn key(&self, key: &str) -> Result<Option<KeyRecord>, StoreError> {
        Ok(self.get(&client_key(key))?.and_then(|bytes| decode_key_record(&bytes)))
    }

    /// A balance, and the last position whose postings are in it.
    pub(super) fn balance(&self, account: &str, currency: Currency) -> Result<(i64, Position), StoreError> {
        let found = self.get(&balance_key(account, currency))?;
        Ok(found.and_then(|bytes| decode_balance(&bytes)).unwrap_or_default())
    }

    /// The orders that belong to another one, newest first.
    pub(super) fn linked(&self, link: Link, to: OrderId, limit: usize) -> Result<Vec<OrderId>, StoreError> {
        let keys: Vec<IVec> = self.guarded(|| {
            let rows = self.db.scan_prefix(links_key(link, to)).rev().take(limit);
            rows.map(|row| row.map(|(key, _)| key)).collect()
        })?;
        let malformed = || unreadable(&format!("what belongs to {to}"), "a key is malformed");
        keys.iter().map(|key| linked_in(key).ok_or_else(malformed)).collect()
    }

    pub(super) fn refund_of(&self, order: OrderId) -> Result<Option<OrderId>, StoreError> {
        let Some(bytes) = self.get(&payment_key(order))? else { return Ok(None) };
        let id = bytes.as_ref().try_into().ok().map(OrderId::from_bytes);
        id.map(Some).ok_or_else(|| unreadable(&format!("what {order} refunds"), "it is malformed"))
    }

    pub(super) fn definitions(&self) -> Result<Vec<(WorkflowName, Version, Position)>, StoreError> {
        let mut definitions = Vec::new();
        for (key, bytes) in self.of_kind(b"d")? {
            let definition = decode_definition(&key, &bytes);
            definitions.push(definition.ok_or_else(|| unreadable("the definitions", "one is malformed"))?);
        }
        Ok(definitions)
    }

    /// Every row, in the order of the keys; ends after the first that cannot be read.
    pub(super) fn all(&self) -> impl Iterator<Item = Result<(Bytes, Bytes), String>> {
        let mut rows = self.db.iter();
        let mut over = false;
        std::iter::from_fn(move || {
            if over {
                return None;
            }
            let next = catch_unwind(AssertUnwindSafe(|| rows.next()));
            let next = next.unwrap_or_else(|_| Some(Err(sled::Error::ReportableBug("sled has panicked".to_owned()))));
            over = !matches!(next, Some(Ok(_)));
            next.map(|row| row.map_err(|error| error.to_string()))
        })
    }

    /// Takes over all rows of another one.
    pub(super) fn copy(&self, other: &Self) -> Result<(), StoreError> {
        for row in other.all() {
            let (key, value) = row.map_err(|why| unreadable("the working store", &why))?;
            let put = self.put(&key, value.to_vec());
            put.map_err(|Trouble { full, why }| if full { StoreError::Full } else { unreadable("its copy", &why) })?;
        }
        Ok(())
    }

    /// What is known to be missing from the journal.
    pub(super) fn gaps(&self) -> Result<Gaps, StoreError> {
        Gaps::read(self.of_kind(b"g")?, self.get(value::LOSSES)?)
            .ok_or_else(|| unreadable("the gaps", "one is malformed"))
    }

    pub(super) fn newest_order(&self) -> Result<Option<OrderId>, StoreError> {
        let last = self.guarded(|| self.db.range::<&[u8], _>(&b"o"[..]..&b"p"[..]).next_back().transpose())?;
        Ok(last.and_then(|(key, _)| value::id_of(&key)))
    }

    /// The rows of the kind `o` or `p` in a range of ids.
    pub(super) fn rows(&self, prefix: u8, range: (Bound<OrderId>, Bound<OrderId>), backwards: bool) -> Rows<'_> {
        let lower = match range.0 {
            Bound::Unbounded => Bound::Included(vec![prefix]),
            bound => bound.map(|id| id_key(prefix, id).to_vec()),
        };
        let upper = match range.1 {
            Bound::Unbounded => Bound::Excluded(vec![prefix + 1]),
            bound => bound.map(|id| id_key(prefix, id).to_vec()),
        };
        let mut rows = self.db.range((lower, upper));
        let mut next = move || {
            let next = self.guarded(|| if backwards { rows.next_back() } else { rows.next() }.transpose());
            let row = next.transpose()?;
            Some(row.and_then(|(key, bytes)| {
                let id = value::id_of(&key).ok_or_else(|| unreadable("the orders", "a key is malformed"))?;
                Ok((id, bytes))
            }))
        };
        let mut over = false;
        Box::new(std::iter::from_fn(move || {
            let row = if over { None } else { next() };
            over = !matches!(row, Some(Ok(_)));
            row
        }))
    }

    /// Up to which of its files the archive has taken orders out of here.
    pub(super) fn generation(&self) -> Result<u64, StoreError> {
        Ok(self
            .get(value::GENERATION)?
            .and_then(|bytes| take_u64(&bytes).map(|(number, _)| number))
            .unwrap_or_default())
    }

    pub(super) fn set_generation(&self, generation: u64) -> Result<(), Trouble> {
        self.put(value::GENERATION, generation.to_be_bytes().to_vec())
    }

    /// The keys of clients behind this one, each with the order that answers it. Those behind an empty one are all.
    pub(super) fn keys(&self, after: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, OrderId)>, StoreError> {
        let from = if after.is_empty() { &b"k"[..] } else { after };
        let rows = self.guarded(|| {
            let rows = self.db.range::<&[u8], _>((Bound::Excluded(from), Bound::Excluded(&b"l"[..])));
            rows.take(limit).collect::<sled::Result<Vec<(Bytes, Bytes)>>>()
        })?;
        let keys = rows.into_iter().map(|(key, bytes)| {
            let record = decode_key_record(&bytes).ok_or_else(|| unreadable("a client's key", "it is malformed"))?;
            Ok((key.to_vec(), record.order))
        });
        keys.collect()
    }

    /// The keys under which the events of an order are kept.
    pub(super) fn events(&self, id: OrderId) -> Result<Vec<Bytes>, StoreError> {
        self.guarded(|| self.db.scan_prefix(id_key(b'e', id)).keys().collect())
    }

    pub(super) fn remove_order(&self, id: OrderId) -> Result<(), Trouble> {
        self.remove(&order_key(id))
    }

    pub(super) fn remove(&self, key: &[u8]) -> Result<(), Trouble> {
        self.may_write()?;
        let removed = catch_unwind(AssertUnwindSafe(|| self.db.remove(key)));
        let why = match removed {
            Ok(removed) => return removed.map(drop).map_err(|error| trouble(&error)),
            Err(_) => "sled has panicked".to_owned(),
        };
        self.suspect(&why);
        Err(Trouble { full: false, why })
    }

    /// Writes all buffers out, makes the files durable, and notes that they can be believed.
    pub(super) fn close(self, path: &Path) -> Result<(), Trouble> {
        self.db.flush().map_err(|error| trouble(&error))?;
        drop(self.db);
        // What sled calls a flush leaves the data in the device's cache.
        let synced = sync_tree(path).and_then(|()| {
            fault_point!("close::before-clean");
            if self.suspect.into_inner() { Ok(()) } else { self.marker.clean() }
        });
        synced.map_err(|error| trouble(&sled::Error::Io(error)))
    }

    /// The number and the position of an order's last entry.
    pub(super) fn last(&self, id: OrderId) -> Result<Option<(Seq, Position)>, StoreError> {
        let Some(bytes) = self.get(&order_key(id))? else { return Ok(None) };
        let row = Row::decode(&bytes).ok_or_else(|| unreadable(&format!("order {id}"), "its value is malformed"))?;
        Ok(Some((row.seq, row.tip)))
    }

    /// An order, if `passes` says so of what is known without reading all of it.
    pub(super) fn order_if(
        &self,
        id: OrderId,
        passes: impl Fn(&Row<'_>) -> bool,
    ) -> Result<Option<Stored>, StoreError> {
        let Some(bytes) = self.get(&order_key(id))? else { return Ok(None) };
        let row = Row::decode(&bytes).ok_or_else(|| unreadable(&format!("order {id}"), "its value is malformed"))?;
        if passes(&row) { stored(id, &bytes).map(Some) } else { Ok(None) }
    }

    fn get(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        self.guarded(|| self.db.get(key))
    }

    fn of_kind(&self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.guarded(|| self.db.scan_prefix(prefix).collect())
    }

    /// Whether something in it could not be read.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    fn guarded<T>(&self, read: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
        // Damage that opening does not meet is met here, as an error or as a panic.
        let read = catch_unwind(AssertUnwindSafe(read));
        let why = match read {
            Ok(Ok(found)) => return Ok(found),
            // After a failed write sled refuses reads too, with the error of the write.
            Ok(Err(error @ sled::Error::Io(_))) => {
                let Trouble { full, why } = trouble(&error);
                return Err(if full { StoreError::Full } else { unreadable("the working store", &why) });
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "sled has panicked".to_owned(),
        };
        self.suspect(&why);
        Err(unreadable("the working store", &why))
    }

    /// Sees to it that the next start does not believe it.
    fn suspect(&self, why: &str) {
        if !self.suspect.swap(true, Ordering::Relaxed) {
            tracing::error!(why, "the working store is damaged; it is rebuilt at the next start");
            if let Err(error) = self.marker.damaged() {
                tracing::error!(%error, "this could not be noted: delete the directory `sled` before the next start");
            }
        }
    }

    fn put(&self, key: &[u8], value: Vec<u8>) -> Result<(), Trouble> {
        self.may_write()?;
        self.db.insert(key, value).map(drop).map_err(|error| trouble(&error))
    }

    /// For tests: writing may stop before any row, and sled writes its memory out whenever it likes.
    fn may_write(&self) -> Result<(), Trouble> {
        let counted = self.allowed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        counted.map_err(|_| Trouble { full: true, why: "broken on purpose".to_owned() })?;
        self.write_out();
        fault_point!("behind::before-row");
        Ok(())
    }

    fn write_out(&self) {
        fault_point!("behind::write-out", |_| drop(self.db.flush()));
    }
}

/// Reads the value of an order.
pub(super) fn stored(id: OrderId, bytes: &[u8]) -> Result<Stored, StoreError> {
    let what = || format!("order {id}");
    let row = Row::decode(bytes).ok_or_else(|| unreadable(&what(), "its value is malformed"))?;
    row.stored().map_err(|why| unreadable(&what(), &why))
}

pub(super) fn unreadable(what: &str, why: &str) -> StoreError {
    StoreError::Read { what: what.to_owned(), why: why.to_owned() }
}

fn open_watched(path: PathBuf, cache: u64, within: Duration) -> Result<Db, Option<sled::Error>> {
    let (sender, receiver) = mpsc::channel();
    let open = move || {
        // The interval makes sled collect its garbage; without one it never does.
        let config = sled::Config::new().path(path).segment_size(SEGMENT).cache_capacity(cache);
        let opened = catch_unwind(AssertUnwindSafe(|| config.flush_every_ms(Some(500)).open()));
        // Nobody listens any more when the time was up; the store is dropped then.
        let _ = sender.send(opened.map_or(Err(None), |opened| opened.map_err(Some)));
    };
    let spawned = thread::Builder::new().name("sled-open".to_owned()).spawn(open);
    spawned.map_err(|error| Some(sled::Error::Io(error)))?;
    receiver.recv_timeout(within).unwrap_or(Err(None))
}

/// A snapshot that was being written when the process died would be taken for a whole one.
fn remove_half_made_snapshots(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

pub(super) fn sync_tree(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            fs::File::open(entry.path())?.sync_all()?;
        }
    }
    fs::File::open(path)?.sync_all()
}

fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("could not acquire lock")
}

pub(super) fn trouble(error: &sled::Error) -> Trouble {
    let full = matches!(error, sled::Error::Io(error) if is_full(error));
    Trouble { full, why: error.to_string() }
}
