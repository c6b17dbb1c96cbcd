//! Keys and values of the working store. One byte says what a key is of; numbers in keys are big-endian, so that they
//! sort.

use std::sync::Arc;

use aws_lc_rs::digest;

use crate::journal::Mark;
use crate::machine::{Snapshot, Status};
use crate::store::{KeyRecord, Link, OpenOrder, Stored};
use crate::types::{Currency, EventId, OrderId, Position, Seq, Timestamp, Version, WorkflowName};

pub(super) const APPLIED: &[u8] = b"a";
pub(super) const LOSSES: &[u8] = b"l";
pub(super) const GENERATION: &[u8] = b"i";
/// Longer values would end up in files of their own, which sled never syncs and sometimes leaks.
pub(super) const MAX_VALUE: usize = 120 * 1024;

const VERSION: u8 = 1;
/// Which kinds of rows there are. A store that lacks some is made anew from the journal.
const KINDS: u8 = 4;
/// Longer names are kept by their hash.
const MAX_NAME: usize = 128;

/// An order's value without its JSON: enough to filter by.
pub(super) struct Row<'a> {
    pub(super) tip: Position,
    pub(super) seq: Seq,
    pub(super) status: Status,
    pub(super) workflow: &'a str,
    pub(super) state: &'a str,
    json: &'a [u8],
}

pub(super) fn order_key(id: OrderId) -> [u8; 17] {
    id_key(b'o', id)
}

pub(super) fn open_key(id: OrderId) -> [u8; 17] {
    id_key(b'p', id)
}

/// `status u8 | under way u8 | due i64`: what is asked of open orders without reading them. What is due never is the least
/// number.
pub(super) fn encode_open(snapshot: &Snapshot) -> [u8; OPEN] {
    let OpenOrder { under_way, due, .. } = OpenOrder::from(snapshot);
    let mut bytes = [0; OPEN];
    bytes[0] = status_byte(snapshot.status);
    bytes[1] = u8::from(under_way);
    bytes[2..].copy_from_slice(&due.map_or(i64::MIN, Timestamp::unix_ms).to_be_bytes());
    bytes
}

/// The order's status too; none if the value is not of this form.
pub(super) fn decode_open(id: OrderId, bytes: &[u8]) -> Option<(Status, OpenOrder)> {
    let bytes: &[u8; OPEN] = bytes.try_into().ok()?;
    let due = i64::from_be_bytes(bytes[2..].try_into().ok()?);
    let due = (due != i64::MIN).then(|| Timestamp::from_unix_ms(due));
    Some((status_of(bytes[0])?, OpenOrder { id, under_way: bytes[1] != 0, due }))
}

const OPEN: usize = 10;

pub(super) fn id_key(prefix: u8, id: OrderId) -> [u8; 17] {
    let mut key = [prefix; 17];
    key[1..].copy_from_slice(id.as_bytes());
    key
}

/// The order in a key of the kinds `o` and `p`.
pub(super) fn id_of(key: &[u8]) -> Option<OrderId> {
    Some(OrderId::from_bytes(key.get(1..17)?.try_into().ok()?))
}

pub(super) fn event_key(id: OrderId, event: &EventId) -> Vec<u8> {
    let mut key = id_key(b'e', id).to_vec();
    push_name(&mut key, event.as_str());
    key
}

pub(super) fn client_key(key: &str) -> Vec<u8> {
    let mut bytes = vec![b'k'];
    push_name(&mut bytes, key);
    bytes
}

pub(super) fn balance_key(account: &str, currency: Currency) -> Vec<u8> {
    let mut key = vec![b'b'];
    push_name(&mut key, account);
    // No text has this byte, so that an account cannot be taken for another one with a currency behind it.
    key.push(0xff);
    key.extend_from_slice(currency.code().as_bytes());
    key
}

/// An order that belongs to another one.
pub(super) fn link_key(link: Link, to: OrderId, order: OrderId) -> [u8; 33] {
    let mut key = [0; 33];
    key[..17].copy_from_slice(&links_key(link, to));
    key[17..].copy_from_slice(order.as_bytes());
    key
}

/// What the keys of all that belong to an order begin with.
pub(super) fn links_key(link: Link, to: OrderId) -> [u8; 17] {
    let kind = match link {
        Link::Refund => b'r',
        Link::Child => b'c',
        Link::Reference => b'x',
    };
    id_key(kind, to)
}

/// The order in a key of the kinds `r`, `c` and `x` that belongs to the other one.
pub(super) fn linked_in(key: &[u8]) -> Option<OrderId> {
    Some(OrderId::from_bytes(key.get(17..)?.try_into().ok()?))
}

/// What an order is a refund of.
pub(super) fn payment_key(refund: OrderId) -> [u8; 17] {
    id_key(b'f', refund)
}

pub(super) fn definition_key(position: Position) -> [u8; 9] {
    let mut key = [b'd'; 9];
    key[1..].copy_from_slice(&position.0.to_be_bytes());
    key
}

/// `version u8 | tip u64 | seq u64 | status u8 | workflow | state | JSON`, names with a length of 16 bits before them.
pub(super) fn encode_order(stored: &Stored) -> Result<Vec<u8>, String> {
    let snapshot = &*stored.snapshot;
    let mut bytes = Vec::with_capacity(1024);
    bytes.push(VERSION);
    bytes.extend_from_slice(&stored.tip.0.to_be_bytes());
    bytes.extend_from_slice(&snapshot.seq.0.to_be_bytes());
    bytes.push(status_byte(snapshot.status));
    push_text(&mut bytes, snapshot.workflow.as_str())?;
    push_text(&mut bytes, snapshot.state.as_str())?;
    serde_json::to_writer(&mut bytes, snapshot).map_err(|error| error.to_string())?;
    Ok(bytes)
}

impl<'a> Row<'a> {
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        if version != VERSION {
            return None;
        }
        let (tip, rest) = take_u64(rest)?;
        let (seq, rest) = take_u64(rest)?;
        let (&status, rest) = rest.split_first()?;
        let (workflow, rest) = take_text(rest)?;
        let (state, json) = take_text(rest)?;
        let status = status_of(status)?;
        Some(Self { tip: Position(tip), seq: Seq(seq), status, workflow, state, json })
    }

    /// Whether what stands before the JSON is what it says.
    pub(super) fn agrees(&self) -> bool {
        self.stored().is_ok_and(|stored| {
            let snapshot = &*stored.snapshot;
            (self.seq, self.status) == (snapshot.seq, snapshot.status)
                && (self.workflow, self.state) == (snapshot.workflow.as_str(), snapshot.state.as_str())
        })
    }

    pub(super) fn stored(&self) -> Result<Stored, String> {
        let snapshot: Snapshot = serde_json::from_slice(self.json).map_err(|error| error.to_string())?;
        Ok(Stored { snapshot: Arc::new(snapshot), tip: self.tip })
    }
}

pub(super) fn encode_key_record(record: &KeyRecord) -> Vec<u8> {
    [record.order.as_bytes(), record.body_hash.as_bytes()].concat()
}

pub(super) fn decode_key_record(bytes: &[u8]) -> Option<KeyRecord> {
    let (order, hash) = bytes.split_first_chunk::<16>()?;
    let body_hash = std::str::from_utf8(hash).ok()?.to_owned();
    Some(KeyRecord { order: OrderId::from_bytes(*order), body_hash })
}

/// A balance, and the last position whose postings are in it.
pub(super) fn encode_balance(amount: i64, upto: Position) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&amount.to_be_bytes());
    bytes[8..].copy_from_slice(&upto.0.to_be_bytes());
    bytes
}

pub(super) fn decode_balance(bytes: &[u8]) -> Option<(i64, Position)> {
    let (amount, upto) = bytes.split_first_chunk::<8>()?;
    Some((i64::from_be_bytes(*amount), Position(take_u64(upto)?.0)))
}

pub(super) fn encode_mark(mark: &Mark) -> Vec<u8> {
    [&[KINDS][..], &mark.position.0.to_be_bytes(), &mark.seq.to_be_bytes(), &mark.chain].concat()
}

pub(super) fn decode_mark(bytes: &[u8]) -> Option<Mark> {
    let (&version, rest) = bytes.split_first()?;
    let (position, rest) = take_u64(rest)?;
    let (seq, chain) = take_u64(rest)?;
    let chain = chain.try_into().ok()?;
    (version == KINDS).then_some(Mark { position: Position(position), seq, chain })
}

pub(super) fn encode_definition(workflow: &WorkflowName, version: &Version) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    push_text(&mut bytes, workflow.as_str())?;
    push_text(&mut bytes, version.as_str())?;
    Ok(bytes)
}

pub(super) fn decode_definition(key: &[u8], bytes: &[u8]) -> Option<(WorkflowName, Version, Position)> {
    let (workflow, rest) = take_text(bytes)?;
    let (version, _) = take_text(rest)?;
    let position = Position(take_u64(key.get(1..)?)?.0);
    Some((WorkflowName::new(workflow), Version::new(version), position))
}

pub(super) fn take_u64(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

fn push_name(key: &mut Vec<u8>, name: &str) {
    if name.len() <= MAX_NAME {
        key.extend_from_slice(name.as_bytes());
    } else {
        // No text begins with this byte.
        key.push(0xfe);
        key.extend_from_slice(digest::digest(&digest::SHA256, name.as_bytes()).as_ref());
    }
}

fn push_text(bytes: &mut Vec<u8>, text: &str) -> Result<(), String> {
    let length = u16::try_from(text.len()).map_err(|_| format!("a name has {} bytes", text.len()))?;
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

fn status_byte(status: Status) -> u8 {
    match status {
        Status::Running => 1,
        Status::Waiting => 2,
        Status::Succeeded => 3,
        Status::Failed => 4,
        Status::Incident => 5,
    }
}

fn status_of(byte: u8) -> Option<Status> {
    Some(match byte {
        1 => Status::Running,
        2 => Status::Waiting,
        3 => Status::Succeeded,
        4 => Status::Failed,
        5 => Status::Incident,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_with_fewer_kinds_of_rows_is_not_taken_up() {
        let mark = Mark { position: Position(7), seq: 3, chain: [1; 32] };
        let mut bytes = encode_mark(&mark);
        assert_eq!(decode_mark(&bytes), Some(mark));
        bytes[0] = KINDS - 1;
        assert_eq!(decode_mark(&bytes), None);
    }
}
