//! One record on disk: a header of 64 bytes, the payload, zeros up to a multiple of 8. All numbers are little-endian.
//!
//! `len u32 | crc32c u32 | seq u64 | group u64 | version u16 | kind u16 | zero u32 | chain [32] | prev u64, JSON | pad`

use aws_lc_rs::digest;

use super::FORMAT_VERSION;

pub(crate) const HEADER: usize = 64;
/// The payload begins with the position of the order's previous entry, which is known only when it is written.
pub(crate) const PREV: usize = 8;

/// No record is longer, in any version.
pub(crate) const MAX_PAYLOAD: usize = 8 * 1024 * 1024;

const ALIGN: usize = 8;
/// The polynomial of CRC-32C, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;
const CRC_FROM: usize = 8;

pub(crate) type Chain = [u8; 32];

/// What the record is about. Kept outside of the JSON so that a scan needs no parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Definition = 1,
    Entry = 2,
    /// Stands where records could not be read any more.
    Lost = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Bytes of the payload.
    pub(crate) len: usize,
    pub(crate) seq: u64,
    /// The number of the first record that was written together with this one.
    pub(crate) group: u64,
    pub(crate) version: u32,
    pub(crate) kind: u16,
    pub(crate) chain: Chain,
    pub(crate) prev: u64,
}

/// What stands where a record could begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    Frame(Header),
    /// Zeros: nothing was ever written here.
    Blank,
    /// Not enough bytes to say: at least this many are needed.
    Short(usize),
    Bad(&'static str),
}

/// The whole length of a record whose payload has `len` bytes.
pub(crate) const fn total(len: usize) -> usize {
    (HEADER + len).next_multiple_of(ALIGN)
}

pub(crate) const fn is_aligned(offset: u64) -> bool {
    offset.is_multiple_of(ALIGN as u64)
}

/// Room for the header, filled in by `seal`, and for `prev`.
pub(crate) fn begin(buffer: &mut Vec<u8>) -> usize {
    let start = buffer.len();
    buffer.resize(start + HEADER + PREV, 0);
    start
}

/// Ends the record that began at `start` and whose JSON has been appended.
pub(crate) fn end(buffer: &mut Vec<u8>, start: usize, kind: Kind) -> usize {
    let len = buffer.len() - start - HEADER;
    buffer.resize(start + total(len), 0);
    let frame = &mut buffer[start..];
    put(frame, 0, &u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
    put(frame, 24, &u16::try_from(FORMAT_VERSION).unwrap_or(u16::MAX).to_le_bytes());
    put(frame, 26, &(kind as u16).to_le_bytes());
    len
}

/// Fills in what is known only when the record's place is: its number, its predecessor, its chain and its checksum.
pub(crate) fn seal(frame: &mut [u8], seq: u64, group: u64, prev: u64, chain: &Chain) -> Chain {
    let end = HEADER + len_of(frame);
    put(frame, HEADER, &prev.to_le_bytes());
    let chain = link(chain, &frame[HEADER..end]);
    seal_as(frame, seq, group, &chain);
    chain
}

/// The same with a chain that is known from elsewhere.
pub(crate) fn seal_as(frame: &mut [u8], seq: u64, group: u64, chain: &Chain) {
    let end = HEADER + len_of(frame);
    put(frame, 8, &seq.to_le_bytes());
    put(frame, 16, &group.to_le_bytes());
    put(frame, 32, chain);
    let crc = checksum(frame, end);
    put(frame, 4, &crc.to_le_bytes());
}

/// Reads what stands at the beginning of `bytes`. At most `room` bytes can belong to the record.
pub(crate) fn parse(bytes: &[u8], room: u64) -> Parsed {
    if room < (HEADER + PREV) as u64 {
        return Parsed::Blank;
    }
    let Some(head) = bytes.get(..HEADER) else {
        return Parsed::Short(HEADER);
    };
    if head.iter().all(|&byte| byte == 0) {
        return Parsed::Blank;
    }
    let len = len_of(head);
    if !(PREV..=MAX_PAYLOAD).contains(&len) || total(len) as u64 > room {
        return Parsed::Bad("its length cannot be right");
    }
    // Zero in every version. Cheap to look at, which matters when a record is searched for in the middle of others.
    if head[28..32] != [0; 4] || head[24..26] == [0; 2] {
        return Parsed::Bad("it is not a header");
    }
    if bytes.len() < total(len) {
        return Parsed::Short(total(len));
    }
    if checksum(bytes, HEADER + len) != u32::from_le_bytes(array(head, 4)) {
        return Parsed::Bad("its checksum does not fit");
    }
    Parsed::Frame(Header {
        len,
        seq: u64::from_le_bytes(array(head, 8)),
        group: u64::from_le_bytes(array(head, 16)),
        version: u32::from(u16::from_le_bytes(array(head, 24))),
        kind: u16::from_le_bytes(array(head, 26)),
        chain: array(head, 32),
        prev: u64::from_le_bytes(array(bytes, HEADER)),
    })
}

/// The hash that ties a payload to everything before it.
pub(crate) fn link(before: &Chain, payload: &[u8]) -> Chain {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(before);
    context.update(payload);
    array(context.finish().as_ref(), 0)
}

pub(crate) fn checksum(frame: &[u8], end: usize) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[CRC_FROM..end])
}

/// Which byte, and which bit in it, makes a CRC-32C wrong by `difference` when it is flipped. `from_the_end` are the places
/// of the bytes that it is over, the last one first.
pub(crate) fn one_bit(difference: u32, from_the_end: impl Iterator<Item = usize>) -> Option<(usize, u8)> {
    // What each bit of the last byte does to the checksum, and from there of each byte before it.
    let mut effects: [u32; 8] = std::array::from_fn(|bit| push_byte(1 << bit));
    for at in from_the_end {
        if let Some(bit) = effects.iter().position(|&effect| effect == difference) {
            return Some((at, 1 << bit));
        }
        effects = effects.map(push_byte);
    }
    None
}

fn push_byte(crc: u32) -> u32 {
    (0..8).fold(crc, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 })
}

pub(crate) fn len_of(frame: &[u8]) -> usize {
    u32::from_le_bytes(array(frame, 0)) as usize
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

/// `N` bytes from `at`. The callers have checked that they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
