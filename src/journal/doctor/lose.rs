//! What takes the place of records that cannot be read any more.

use crate::journal::cursor::Cursor;
use crate::journal::error::JournalError;
use crate::journal::frame::{self, Chain, HEADER, Header, Kind, Parsed, array};
use crate::journal::{FORMAT_VERSION, Lost, Record, codec};
use crate::types::OrderId;

/// The chain of the last record is searched for unless the stretch and the record behind it, multiplied, are longer.
const SEARCHED: usize = 1 << 30;
/// How an entry's JSON begins, up to its order's id.
const ENTRY: &[u8] = b"{\"record\":\"entry\",\"v\":1,\"order\":\"";
const DEFINITION: &[u8] = b"{\"record\":\"definition\"";
const ID: usize = 36;

/// A stretch that cannot be read, beginning where a cursor stands.
#[derive(Debug)]
pub(super) struct Hole {
    pub(super) bytes: u64,
    pub(super) count: u64,
    pub(super) after: After,
}

/// What is known of the records behind a hole.
#[derive(Debug)]
pub(super) enum After {
    /// The chain of the last lost record, from the header of the next segment or from the tip.
    Chain(Chain),
    /// The next record, with where it stands in the file.
    Record(u64, Header),
}

/// The bytes that fill the hole, and what could still be read in it.
pub(super) fn fill(cursor: &mut Cursor, hole: &Hole) -> Result<Option<(Vec<u8>, Lost)>, JournalError> {
    let length = usize::try_from(hole.bytes).unwrap_or(usize::MAX);
    let (first, offset) = (cursor.seq, cursor.offset);
    let old = cursor.peek(offset, length)?.to_vec();
    let (linked, chain) = match &hole.after {
        After::Chain(chain) => (true, *chain),
        After::Record(at, next) => match search(cursor, &old, *at, next)? {
            Some(chain) => (true, chain),
            None => (false, next.chain),
        },
    };
    let (fresh, begun, orders) = whose(&old, hole.count);
    let (v, count, bytes) = (FORMAT_VERSION, hole.count, hole.bytes);
    let mut lost = Lost { v, count, bytes, linked, fresh, orders, begun };
    loop {
        if let Some(frame) = encode(&lost, first, &chain).filter(|frame| frame.len() <= length) {
            let mut bytes = frame;
            bytes.resize(length, 0);
            return Ok(Some((bytes, lost)));
        }
        // Without room for the names it is as if they could not be read.
        if lost.begun.pop().or_else(|| lost.orders.pop()).is_none() {
            return Ok(None);
        }
    }
}

fn encode(lost: &Lost, first: u64, chain: &Chain) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let start = frame::begin(&mut bytes);
    codec::encode(&Record::Lost(lost.clone()), &mut bytes).ok()?;
    frame::end(&mut bytes, start, Kind::Lost);
    frame::seal_as(&mut bytes, first, first, chain);
    Some(bytes)
}

/// The chain of the last lost record may still stand in its header: the next record proves it.
fn search(cursor: &mut Cursor, old: &[u8], at: u64, next: &Header) -> Result<Option<Chain>, JournalError> {
    if old.len().saturating_mul(next.len) > SEARCHED {
        return Ok(None);
    }
    let payload = cursor.peek(at, HEADER + next.len)?.get(HEADER..).unwrap_or_default().to_vec();
    let headers = (0..old.len().saturating_sub(HEADER)).step_by(8).rev();
    let chains = headers.map(|start| array(old, start + 32)).filter(|chain: &Chain| *chain != [0; 32]);
    Ok(chains.into_iter().find(|chain| frame::link(chain, &payload) == next.chain))
}

/// How many of the records concern no order that was there before, the orders that began with some of these, and the
/// orders of others, as far as it can be read.
fn whose(old: &[u8], count: u64) -> (u64, Vec<OrderId>, Vec<OrderId>) {
    let (mut fresh, mut begun, mut orders) = (0, Vec::new(), Vec::new());
    // A payload's JSON stands at a multiple of 8, behind the header and `prev`.
    for at in (HEADER + frame::PREV..old.len()).step_by(8) {
        let json = &old[at..];
        if json.starts_with(DEFINITION) {
            fresh += 1;
        } else if let Some(rest) = json.strip_prefix(ENTRY) {
            let id = rest.get(..ID).and_then(|id| std::str::from_utf8(id).ok()).and_then(|id| id.parse().ok());
            let begins = rest.get(ID..).is_some_and(|rest| rest.starts_with(b"\",\"seq\":1,"));
            match id {
                Some(order) if begins => {
                    fresh += 1;
                    begun.push(order);
                }
                Some(order) => orders.push(order),
                None => {}
            }
        }
    }
    // More than there can be is not to be believed.
    if fresh + orders.len() as u64 > count { (0, Vec::new(), Vec::new()) } else { (fresh, begun, orders) }
}

/// Where the bytes end that are not zeros, from where the cursor stands.
pub(super) fn dirty_end(cursor: &mut Cursor) -> Result<u64, JournalError> {
    let (mut offset, capacity) = (cursor.offset, cursor.segment.head.capacity);
    let mut end = offset;
    while offset < capacity {
        let bytes = cursor.peek(offset, 64 * 1024)?;
        if let Some(last) = bytes.iter().rposition(|&byte| byte != 0) {
            end = offset + last as u64 + 1;
        }
        offset += (bytes.len() as u64).max(1);
    }
    Ok(end.next_multiple_of(8).min(capacity))
}

/// Whether a whole record stands where the cursor does.
pub(super) fn is_whole(cursor: &mut Cursor) -> Result<bool, JournalError> {
    Ok(matches!(cursor.parse(cursor.offset)?, Parsed::Frame(header) if header.seq == cursor.seq))
}
