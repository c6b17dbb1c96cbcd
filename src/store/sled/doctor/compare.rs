//! Row by row: is a working store what the journal says?

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::store::sled::archive::Archive;
use crate::store::sled::gaps::Gaps;
use crate::store::sled::index::{Bytes, Index};
use crate::store::sled::value::{Row, decode_key_record, id_of};
use crate::types::OrderId;

/// What was made from the journal, and what that lacks.
pub(super) struct Expected<'a> {
    pub(super) index: &'a Index,
    pub(super) gaps: &'a Gaps,
    pub(super) archive: &'a Archive,
}

/// Differences that are named; more are counted.
const NAMED: usize = 3;

type Pair = (Bytes, Bytes);

/// Says in which rows they differ, beyond what the journal lacks.
pub(super) fn compare(there: &Index, expected: &Expected<'_>) -> Result<(), String> {
    let touched: BTreeSet<OrderId> = expected.gaps.orders().map(|(order, _)| order).collect();
    let whole = expected.gaps.lost() == 0;
    let mut differences = 0;
    let mut named: Vec<String> = Vec::new();
    let mut see = |key: &[u8], what: &str| {
        let order = id_of(key).filter(|_| matches!(key.first(), Some(b'o' | b'p' | b'e')));
        // What the journal has lost, only the working store may still know.
        let explained = match order {
            Some(order) => touched.contains(&order) || (!whole && what == EXTRA),
            None => !whole,
        };
        if explained {
            return;
        }
        differences += 1;
        let text = format!("{} {what}", name(key, order));
        if named.len() < NAMED && !named.contains(&text) {
            named.push(text);
        }
    };
    let mut left = there.all().filter(|row| !is_apart(row)).peekable();
    let mut right = expected.index.all().filter(|row| !is_apart(row)).peekable();
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(Err(why)), _) => return Err(format!("it cannot be read: {why}")),
            (_, Some(Err(why))) => return Err(format!("what it should be cannot be read: {why}")),
            (Some(Ok((left, _))), Some(Ok((right, _)))) => left.cmp(right),
            (Some(Ok(_)), None) => Ordering::Less,
            (None, Some(Ok(_))) => Ordering::Greater,
            (None, None) => break,
        };
        let has = if order == Ordering::Greater { None } else { left.next().transpose()? };
        let should = if order == Ordering::Less { None } else { right.next().transpose()? };
        match (has, should) {
            (Some((key, has)), Some((_, should))) if !same(&key, &has, &should) => see(&key, "differs"),
            (Some((key, _)), None) => see(&key, EXTRA),
            (None, Some((key, should))) if !is_archived(expected.archive, &key, &should)? => see(&key, "is missing"),
            _ => {}
        }
    }
    if differences == 0 {
        return Ok(());
    }
    let more = if differences > named.len() { format!(", in {differences} rows in all") } else { String::new() };
    Err(format!("it is not what the journal says: {}{more}", named.join(", ")))
}

const EXTRA: &str = "is not in the journal";

/// Whether a row is missing because its order is archived.
fn is_archived(archive: &Archive, key: &[u8], should: &[u8]) -> Result<bool, String> {
    let find = |order: OrderId| archive.find(order).map_err(|error| error.to_string());
    Ok(match (key.first(), id_of(key)) {
        // An order that has moved since is in the working store again.
        (Some(b'o'), Some(order)) => Row::decode(should).zip(find(order)?).is_some_and(|(row, tip)| row.tip == tip),
        (Some(b'e'), Some(order)) => find(order)?.is_some(),
        (Some(b'k'), _) => match decode_key_record(should) {
            Some(record) => find(record.order)?.is_some(),
            None => false,
        },
        _ => false,
    })
}

/// Rows about the store itself.
fn is_apart(row: &Result<Pair, String>) -> bool {
    row.as_ref().is_ok_and(|(key, _)| matches!(key.first(), Some(b'a' | b'l' | b'g' | b'i')))
}

/// Values of orders are the same when they mean the same.
fn same(key: &[u8], has: &[u8], should: &[u8]) -> bool {
    // What stores of the first format know of an open order is only that it is.
    if has == should || (key.first() == Some(&b'p') && has.is_empty()) {
        return true;
    }
    let read = |bytes| Row::decode(bytes).and_then(|row| Some((row.tip, row.stored().ok()?.snapshot)));
    key.first() == Some(&b'o')
        && Row::decode(has).is_some_and(|row| row.agrees())
        && matches!((read(has), read(should)), (Some(has), Some(should)) if has == should)
}

fn name(key: &[u8], order: Option<OrderId>) -> String {
    match (key.first(), order) {
        (Some(b'o'), Some(order)) => format!("order {order}"),
        (Some(b'p'), Some(order)) => format!("that order {order} is open"),
        (Some(b'e'), Some(order)) => format!("an event of order {order}"),
        (Some(b'k'), _) => "a client's key".to_owned(),
        (Some(b'b'), _) => format!("the balance of {}", String::from_utf8_lossy(&key[1..]).replace('\u{fffd}', " ")),
        (Some(b'r' | b'f'), _) => "a refund".to_owned(),
        (Some(b'c'), _) => "a child order".to_owned(),
        (Some(b'd'), _) => "a definition".to_owned(),
        _ => "a row".to_owned(),
    }
}
