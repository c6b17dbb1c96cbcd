//! A single flipped bit: the checksum says which one it was, and the chain proves it.

use crate::journal::cursor::Cursor;
use crate::journal::error::JournalError;
use crate::journal::frame::{self, MAX_PAYLOAD, PREV, Parsed, array};

/// The record that should stand where the cursor does, if one flipped bit is all that is wrong with it.
pub(super) fn mend(cursor: &mut Cursor) -> Result<Option<Vec<u8>>, JournalError> {
    let (offset, room) = (cursor.offset, cursor.room());
    let head = cursor.peek(offset, frame::HEADER)?.to_vec();
    if head.len() < frame::HEADER {
        return Ok(None);
    }
    let told = u32::from_le_bytes(array(&head, 0));
    // The length itself, and every other one that differs in a bit.
    for len in std::iter::once(told).chain((0..32).map(|bit| told ^ (1 << bit))) {
        let length = len as usize;
        if !(PREV..=MAX_PAYLOAD).contains(&length) || frame::total(length) as u64 > room {
            continue;
        }
        let mut record = cursor.peek(offset, frame::total(length))?.to_vec();
        if record.len() < frame::total(length) {
            continue;
        }
        record[..4].copy_from_slice(&len.to_le_bytes());
        if len == told && !flip_back(&mut record, frame::HEADER + length) {
            continue;
        }
        if follows(cursor, &record, room) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Turns the one bit back that makes the checksum fit, if there is such a bit.
fn flip_back(record: &mut [u8], end: usize) -> bool {
    let told = u32::from_le_bytes(array(record, 4));
    let difference = told ^ frame::checksum(record, end);
    if difference.count_ones() == 1 {
        record[4..8].copy_from_slice(&(told ^ difference).to_le_bytes());
        return true;
    }
    let Some((at, bit)) = frame::one_bit(difference, (0..4).chain(8..end).rev()) else { return false };
    record[at] ^= bit;
    true
}

/// Whether this is the very record that comes next: the chain of all records before it leads to it.
fn follows(cursor: &Cursor, record: &[u8], room: u64) -> bool {
    let Parsed::Frame(header) = frame::parse(record, room) else { return false };
    let chain = match cursor.anchored {
        true => cursor.chain,
        false => frame::link(&cursor.chain, &record[frame::HEADER..frame::HEADER + header.len]),
    };
    header.seq == cursor.seq && header.chain == chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let mut whole = Vec::new();
        let start = frame::begin(&mut whole);
        whole.extend_from_slice(b"{\"record\":\"entry\"}");
        let len = frame::end(&mut whole, start, frame::Kind::Entry);
        frame::seal(&mut whole, 7, 7, 0, &[3; 32]);
        let end = frame::HEADER + len;
        for at in 4..end {
            for bit in 0..8 {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << bit;
                assert!(flip_back(&mut damaged, end), "byte {at}, bit {bit}");
                assert_eq!(damaged, whole, "byte {at}, bit {bit}");
            }
        }
        let mut twice = whole.clone();
        twice[70] ^= 1;
        twice[90] ^= 64;
        assert!(!flip_back(&mut twice, end) || twice != whole);
    }
}
