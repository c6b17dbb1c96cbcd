//! A sealed segment in compressed blocks: `<base>.packed` in the place of `<base>.journal`. Whoever reads it sees the
//! bytes of the segment as they were.
//!
//! `header | frames | table | footer`. The header is there twice and each frame says which block it holds, so that damage to
//! one part does not take the others with it.

mod read;
mod write;

use std::path::Path;

pub(crate) use self::read::{Forgiving, PackedFile};
pub(crate) use self::write::{clear, pack, unpack};
use super::error::JournalError;
use super::frame::array;

const MAGIC: [u8; 8] = *b"PAYSTPCK";
const VERSION: u32 = 1;
/// Bytes of the segment in a block. A record that is read by itself costs the unpacking of one or two of them.
const BLOCK: usize = 128 * 1024;
/// No longer segment is packed, and no smaller block is believed.
const LONGEST: u64 = 1 << 32;
const SMALLEST_BLOCK: usize = 4096;

const HEAD: usize = 40;
/// The frames begin here.
const FIRST: u64 = HEAD as u64;
/// Of a frame, before its compressed bytes.
const FRAME: usize = 12;
/// The table's place and checksum, before the second copy of the header.
const FOOT: usize = 16 + HEAD;

/// What is said of the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// The position of the segment's first byte.
    base: u64,
    /// The length of the segment.
    length: u64,
    /// Bytes of the segment in a block; the last one may have fewer.
    block: usize,
}

/// Whether the first bytes of a file are those of a packed segment.
pub(crate) fn is_packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

impl Head {
    /// `magic [8] | version u32 | block u32 | base u64 | length u64 | crc32c u32 | zero u32`
    fn encode(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&u32::try_from(self.block).unwrap_or(u32::MAX).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.length.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..32]);
        bytes[32..36].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// None if it cannot be read.
    fn decode(bytes: &[u8; HEAD], path: &Path) -> Result<Option<Self>, JournalError> {
        if !is_packed(bytes) || crc32c::crc32c(&bytes[..32]) != u32::from_le_bytes(array(bytes, 32)) {
            return Ok(None);
        }
        let version = u32::from_le_bytes(array(bytes, 8));
        if version > VERSION {
            let place = path.display().to_string();
            return Err(JournalError::Newer { place, found: version, known: VERSION });
        }
        let block = u32::from_le_bytes(array(bytes, 12)) as usize;
        let (base, length) = (u64::from_le_bytes(array(bytes, 16)), u64::from_le_bytes(array(bytes, 24)));
        let possible = (SMALLEST_BLOCK..=64 << 20).contains(&block) && length <= LONGEST;
        Ok(possible.then_some(Self { base, length, block }))
    }

    fn blocks(&self) -> usize {
        usize::try_from(self.length.div_ceil(self.block as u64)).unwrap_or(usize::MAX)
    }

    /// How many bytes of the segment a block holds.
    fn bytes_in(&self, block: usize) -> usize {
        let rest = self.length.saturating_sub(block as u64 * self.block as u64);
        usize::try_from(rest).unwrap_or(usize::MAX).min(self.block)
    }
}

/// `block u32 | length u32 | crc32c u32` of the two and the compressed bytes, which follow.
fn frame_head(block: usize, bytes: &[u8]) -> [u8; FRAME] {
    let mut head = [0; FRAME];
    head[..4].copy_from_slice(&u32::try_from(block).unwrap_or(u32::MAX).to_le_bytes());
    head[4..8].copy_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&head[..8]), bytes);
    head[8..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// `offset of the table u64 | crc32c of the table u32 | crc32c of these two u32`, then the header once more.
fn foot(table_at: u64, table: &[u8], head: &Head) -> [u8; FOOT] {
    let mut foot = [0; FOOT];
    foot[..8].copy_from_slice(&table_at.to_le_bytes());
    foot[8..12].copy_from_slice(&crc32c::crc32c(table).to_le_bytes());
    let crc = crc32c::crc32c(&foot[..12]);
    foot[12..16].copy_from_slice(&crc.to_le_bytes());
    foot[16..].copy_from_slice(&head.encode());
    foot
}
