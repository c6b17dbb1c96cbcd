//! Reads: first what waits in memory, then the working store.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use super::index::{Bytes, Index, Rows, stored, unreadable};
use super::value::{Row, decode_open};
use super::{Shared, archive};
use crate::journal::{Entry, Record};
use crate::machine::{Snapshot, Status};
use crate::store::{Link, OpenOrder, OrderQuery, StoreError, Stored};
use crate::types::{Currency, EventId, OrderId, Position, Seq};

/// Orders that one page of a list looks at, whatever its filters let pass.
const MAX_LOOKED_AT: usize = 1_000_000;
/// Orders that are taken out of memory at a time.
const CHUNK: usize = 256;

type Range = (Bound<OrderId>, Bound<OrderId>);

/// An order of the working store, and whether it may be archived if it is not there.
pub(super) fn order(shared: &Shared, id: OrderId) -> Result<(Option<Stored>, bool), StoreError> {
    {
        let overlay = shared.overlay();
        if let Some(stored) = overlay.order(id) {
            return Ok((Some(stored), false));
        }
        if overlay.is_newer_than_all_written(id) {
            return Ok((None, false));
        }
    }
    let stored = shared.index()?.order(id)?;
    let may_be_archived = stored.is_none() && !shared.archive.is_empty();
    Ok((stored, may_be_archived))
}

/// An order that has left the working store.
pub(super) fn archived(shared: &Shared, id: OrderId) -> Result<Option<Stored>, StoreError> {
    archive::order(&shared.archive, &shared.journal, &*shared.fold, id)
}

/// The number and the position of the last entry of an order.
pub(super) fn last(shared: &Shared, id: OrderId) -> Result<Option<(Seq, Position)>, StoreError> {
    {
        let overlay = shared.overlay();
        if let Some(stored) = overlay.order(id) {
            return Ok(Some((stored.snapshot.seq, stored.tip)));
        }
        if overlay.is_newer_than_all_written(id) {
            return Ok(None);
        }
    }
    match shared.index()?.last(id)? {
        None => archive::last(&shared.archive, &shared.journal, id),
        last => Ok(last),
    }
}

/// The entry of an event, and whether it may be an older one of an order that was archived.
pub(super) fn seen(shared: &Shared, order: OrderId, event: &EventId) -> Result<(Option<Seq>, bool), StoreError> {
    {
        let overlay = shared.overlay();
        if let Some(seq) = overlay.seen(&(order, event.clone())) {
            return Ok((Some(seq), false));
        }
        if overlay.is_newer_than_all_written(order) {
            return Ok((None, false));
        }
    }
    match shared.index()?.seen(order, event)? {
        None => Ok((None, shared.archive.find(order)?.is_some())),
        seen => Ok((seen, false)),
    }
}

/// The same for an event that an order had before it was archived.
pub(super) fn seen_before(shared: &Shared, order: OrderId, event: &EventId) -> Result<Option<Seq>, StoreError> {
    archive::seen(&shared.archive, &shared.journal, order, event)
}

pub(super) fn balance(shared: &Shared, account: &str, currency: Currency) -> Result<i64, StoreError> {
    let deltas = shared.overlay().deltas(&(account.to_owned(), currency));
    let (amount, upto) = shared.index()?.balance(account, currency)?;
    // What was waiting a moment ago may have been written since.
    let waiting = deltas.iter().filter(|delta| delta.last > upto);
    Ok(waiting.fold(amount, |sum, delta| sum.saturating_add(delta.amount)))
}

/// The orders that belong to another one, newest first.
pub(super) fn linked(shared: &Shared, link: Link, to: OrderId, limit: usize) -> Result<Vec<OrderId>, StoreError> {
    // What is in memory now stays there until it can be read in the working store, which is read after it.
    let (mut found, all) = {
        let overlay = shared.overlay();
        // No order is written before the one that it belongs to; what stands for a reference says nothing of when it was.
        (overlay.linked(link, to, limit), link != Link::Reference && overlay.is_newer_than_all_written(to))
    };
    if !all {
        found.extend(shared.index()?.linked(link, to, limit)?);
    }
    Ok(found.into_iter().rev().take(limit).collect())
}

/// The payment that an order refunds.
pub(super) fn refund_of(shared: &Shared, order: OrderId) -> Result<Option<OrderId>, StoreError> {
    {
        let overlay = shared.overlay();
        let payment = overlay.refund_of(order);
        if payment.is_some() || overlay.is_newer_than_all_written(order) {
            return Ok(payment);
        }
    }
    shared.index()?.refund_of(order)
}

/// Entries of an order; the numbers of those that are lost are missing.
pub(super) fn journal(shared: &Shared, id: OrderId, after: Seq, limit: usize) -> Result<Vec<Entry>, StoreError> {
    let Some(tip) = self::last(shared, id)? else { return Ok(Vec::new()) };
    let mut last = after.0.saturating_add(limit as u64);
    loop {
        let mut entries = walk_back(shared, id, tip, after, last)?;
        if entries.len() >= limit || last >= tip.0.0 {
            entries.truncate(limit);
            return Ok(entries);
        }
        last = last.saturating_add((limit - entries.len()) as u64);
    }
}

/// Follows an order's entries from the last one backwards, and keeps those up to the number `last`.
fn walk_back(
    shared: &Shared,
    id: OrderId,
    (Seq(newest), tip): (Seq, Position),
    after: Seq,
    last: u64,
) -> Result<Vec<Entry>, StoreError> {
    let known = shared.waypoints().behind(id, last).filter(|&(seq, _)| seq < newest);
    let (mut seq, mut at) = known.map_or((newest, Some(tip)), |(seq, position)| (seq, Some(position)));
    let mut entries = VecDeque::new();
    while let Some(position) = at.filter(|_| seq > after.0) {
        if seq > last
            && let Ok(prev) = shared.journal.prev(position)
        {
            // Too late for this page: only the way back is of interest.
            shared.waypoints().pass(id, seq, position);
            at = prev;
            seq -= 1;
            continue;
        }
        let Some(entry) = entry_at(shared, position, id, Seq(seq))? else {
            // Its number is missing from the answer, and so are those of others that are lost.
            at = shared.journal.entry_before(position, id)?;
            seq = match at {
                Some(before) => entry_number(shared, before, id)?,
                None => 0,
            };
            continue;
        };
        at = entry.prev;
        seq -= 1;
        if entry.seq.0 <= last {
            entries.push_front(entry);
        }
    }
    Ok(entries.into())
}

fn entry_number(shared: &Shared, position: Position, id: OrderId) -> Result<u64, StoreError> {
    match shared.journal.read(position)?.record {
        Record::Entry(entry) if entry.order == id => Ok(entry.seq.0),
        _ => Err(unreadable(&format!("an entry of {id}"), &format!("there is something else at {position}"))),
    }
}

/// An entry of an order; none if it is lost.
fn entry_at(shared: &Shared, position: Position, id: OrderId, seq: Seq) -> Result<Option<Entry>, StoreError> {
    let read = match shared.journal.read(position) {
        Err(_) if shared.journal.stretch(position).is_some() => return Ok(None),
        read => read?,
    };
    match read.record {
        Record::Entry(entry) if entry.order == id && entry.seq == seq => Ok(Some(entry)),
        Record::Lost(_) => Ok(None),
        _ => Err(unreadable(&format!("entry {seq} of {id}"), &format!("there is something else at {position}"))),
    }
}

pub(super) fn list(shared: &Shared, query: &OrderQuery) -> Result<Vec<Arc<Snapshot>>, StoreError> {
    let index = shared.index()?;
    // Orders that are open are few, and have keys of their own.
    let open = query.status.is_some_and(|status| !status.is_final());
    let prefix = if open { b'p' } else { b'o' };
    let mut found: Vec<Arc<Snapshot>> = Vec::new();
    let mut looked_at = 0;
    let below = query.after.map_or(Bound::Unbounded, Bound::Excluded);
    let range = (Bound::Unbounded, below);
    walk(shared, &index, prefix, range, true, |candidate| {
        if found.len() >= query.limit || looked_at >= MAX_LOOKED_AT {
            return Ok(false);
        }
        looked_at += 1;
        if let Some(snapshot) = candidate.matching(&index, query)? {
            found.push(snapshot);
        }
        Ok(true)
    })?;
    if found.is_empty() && looked_at >= MAX_LOOKED_AT {
        let why = format!("none of the {looked_at} orders that were looked at fits: begin further back with `after`");
        return Err(unreadable("the list", &why));
    }
    Ok(found)
}

pub(super) fn open_orders(shared: &Shared, after: Option<OrderId>, limit: usize) -> Result<Vec<OpenOrder>, StoreError> {
    let index = shared.index()?;
    let above = after.map_or(Bound::Unbounded, Bound::Excluded);
    let mut found = Vec::new();
    walk(shared, &index, b'p', (above, Bound::Unbounded), false, |candidate| {
        if found.len() >= limit {
            return Ok(false);
        }
        found.extend(candidate.open());
        Ok(true)
    })?;
    Ok(found)
}

/// An order that a walk has come to.
enum Candidate {
    InMemory(Stored),
    /// With what is known of it among the open orders.
    Open(OrderId, Bytes),
    WithValue(OrderId, Bytes),
}

impl Candidate {
    fn open(self) -> Option<OpenOrder> {
        match self {
            Self::InMemory(stored) => stored.snapshot.is_open().then(|| OpenOrder::from(&*stored.snapshot)),
            Self::Open(id, bytes) => {
                // Where it cannot be told, the order itself tells.
                let unknown = OpenOrder { id, under_way: true, due: None };
                Some(decode_open(id, &bytes).map_or(unknown, |(_, open)| open))
            }
            Self::WithValue(id, _) => Some(OpenOrder { id, under_way: true, due: None }),
        }
    }

    /// The snapshot, if the query lets it pass. Most are told from the beginning of their value.
    fn matching(self, index: &Index, query: &OrderQuery) -> Result<Option<Arc<Snapshot>>, StoreError> {
        let passes = |row: &Row<'_>| {
            query.status.is_none_or(|status: Status| status == row.status)
                && query.workflow.as_ref().is_none_or(|workflow| workflow.as_str() == row.workflow)
                && query.state.as_ref().is_none_or(|state| state.as_str() == row.state)
        };
        let found = match self {
            Self::InMemory(stored) => Some(stored),
            Self::Open(id, bytes) => {
                let status = decode_open(id, &bytes).map(|(status, _)| status);
                let fits = status.is_none_or(|status| query.status.is_none_or(|wanted| wanted == status));
                if fits { index.order_if(id, passes)? } else { None }
            }
            Self::WithValue(id, bytes) => {
                let row = Row::decode(&bytes).ok_or_else(|| unreadable(&format!("order {id}"), "it is malformed"))?;
                if passes(&row) { Some(stored(id, &bytes)?) } else { None }
            }
        };
        Ok(found.map(|stored| stored.snapshot).filter(|snapshot| query.matches(snapshot)))
    }
}

/// Goes over the orders of a range, those in memory and those in the working store, until `visit` has enough.
fn walk(
    shared: &Shared,
    index: &Index,
    prefix: u8,
    mut range: Range,
    backwards: bool,
    mut visit: impl FnMut(Candidate) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    loop {
        // What is in memory now stays there until it can be read in the working store, which is read after it.
        let chunk = shared.overlay().range(range, backwards, CHUNK);
        let last = chunk.last().map(|stored| stored.snapshot.id).filter(|_| chunk.len() == CHUNK);
        let part = match last {
            Some(last) if backwards => (Bound::Included(last), range.1),
            Some(last) => (range.0, Bound::Included(last)),
            None => range,
        };
        let rows = index.rows(prefix, part, backwards);
        if !merge(chunk, rows, prefix, backwards, &mut visit)? {
            return Ok(());
        }
        match last {
            Some(last) if backwards => range.1 = Bound::Excluded(last),
            Some(last) => range.0 = Bound::Excluded(last),
            None => return Ok(()),
        }
    }
}

fn merge(
    chunk: Vec<Stored>,
    rows: Rows,
    prefix: u8,
    backwards: bool,
    visit: &mut impl FnMut(Candidate) -> Result<bool, StoreError>,
) -> Result<bool, StoreError> {
    let mut chunk = chunk.into_iter().peekable();
    for row in rows {
        let (id, bytes) = row?;
        let comes_first = |stored: &Stored| {
            if backwards { stored.snapshot.id >= id } else { stored.snapshot.id <= id }
        };
        let mut twice = false;
        while let Some(stored) = chunk.next_if(comes_first) {
            twice |= stored.snapshot.id == id;
            if !visit(Candidate::InMemory(stored))? {
                return Ok(false);
            }
        }
        let candidate = if prefix == b'p' { Candidate::Open(id, bytes) } else { Candidate::WithValue(id, bytes) };
        if !twice && !visit(candidate)? {
            return Ok(false);
        }
    }
    for stored in chunk {
        if !visit(Candidate::InMemory(stored))? {
            return Ok(false);
        }
    }
    Ok(true)
}
