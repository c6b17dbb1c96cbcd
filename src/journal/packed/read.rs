//! Reads a packed segment as if it were not packed.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use flate2::read::DeflateDecoder;

use super::{BLOCK, FIRST, FOOT, FRAME, HEAD, Head};
use crate::journal::disk::{DiskFile, read_full};
use crate::journal::error::JournalError;
use crate::journal::frame::{array, one_bit};

/// Unpacked blocks that are kept; there are many files.
const KEPT: usize = 2;

/// The segment's bytes. Reading fails where the file is damaged.
#[derive(Debug)]
pub(crate) struct PackedFile {
    file: Arc<dyn DiskFile>,
    head: Head,
    /// Where the frame of each block is, and where it ends; none where the block is all zeros.
    frames: Vec<Option<(u64, u64)>>,
    cache: Mutex<VecDeque<(usize, Arc<Vec<u8>>)>>,
}

/// The same for a file that may be damaged: what cannot be read is zeros.
#[derive(Debug)]
pub(crate) struct Forgiving {
    packed: PackedFile,
    /// What is wrong with it besides its frames.
    shell: Option<&'static str>,
}

impl PackedFile {
    pub(crate) fn open(file: Arc<dyn DiskFile>, path: &Path) -> Result<Self, JournalError> {
        let opened = read_shell(&file, path)?;
        let damaged = |why: &str| JournalError::damaged(format!("{} cannot be unpacked: {why}", path.display()));
        let Shell { head: Some(head), frames: Some(frames), wrong: None } = opened else {
            return Err(damaged(opened.wrong.unwrap_or("nothing of it can be read")));
        };
        Ok(Self { file, head, frames, cache: Mutex::default() })
    }

    fn block(&self, block: usize) -> io::Result<Arc<Vec<u8>>> {
        let cached = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = cached().iter().find(|(kept, _)| *kept == block) {
            return Ok(Arc::clone(bytes));
        }
        let bytes = match self.frames.get(block).copied().flatten() {
            None => vec![0; self.head.bytes_in(block)],
            Some((from, to)) => {
                let frame = self.frame(from, to)?;
                let unpacked = check(&frame, block).and_then(|packed| inflate(packed, self.head.bytes_in(block)));
                unpacked.ok_or_else(|| damaged(block, from))?
            }
        };
        let bytes = Arc::new(bytes);
        let mut cache = cached();
        cache.truncate(KEPT - 1);
        cache.push_front((block, Arc::clone(&bytes)));
        Ok(bytes)
    }

    fn frame(&self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let mut frame = vec![0; usize::try_from(to - from).map_err(io::Error::other)?];
        let read = read_full(&*self.file, &mut frame, from)?;
        frame.truncate(read);
        Ok(frame)
    }
}

impl Forgiving {
    /// `base` is what the name says, `length` what is known of the segment from elsewhere.
    pub(crate) fn open(file: Arc<dyn DiskFile>, path: &Path, base: u64) -> Result<Self, JournalError> {
        let Shell { head, frames, wrong } = read_shell(&file, path)?;
        let failed = |error: io::Error| JournalError::io("could not read", path, &error);
        let mut head = head.unwrap_or(Head { base, length: 0, block: BLOCK });
        let frames = match frames {
            Some(frames) => frames,
            None => search(&*file, &mut head).map_err(failed)?,
        };
        Ok(Self { packed: PackedFile { file, head, frames, cache: Mutex::default() }, shell: wrong })
    }

    /// What is wrong with the file: with its shell, and how many blocks have a flipped bit or cannot be read.
    pub(crate) fn survey(&self) -> io::Result<(Option<&'static str>, usize, usize)> {
        let (mut mended, mut lost) = (0, 0);
        for block in 0..self.packed.frames.len() {
            match self.packed.block(block) {
                Ok(_) => {}
                Err(error) if error.kind() != ErrorKind::InvalidData => return Err(error),
                Err(_) if self.mended(block)?.is_some() => mended += 1,
                Err(_) => lost += 1,
            }
        }
        Ok((self.shell, mended, lost))
    }

    /// The block, if one flipped bit is all that is wrong with it. The chain of the records in it proves it right.
    fn mended(&self, block: usize) -> io::Result<Option<Vec<u8>>> {
        let Some((from, to)) = self.packed.frames.get(block).copied().flatten() else { return Ok(None) };
        let mut frame = self.packed.frame(from, to)?;
        if frame.len() < FRAME {
            return Ok(None);
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..8]), &frame[FRAME..]);
        let difference = crc ^ u32::from_le_bytes(array(&frame, 8));
        if difference.count_ones() != 1 {
            let order = (0..8).chain(FRAME..frame.len()).rev();
            let Some((at, bit)) = one_bit(difference, order) else { return Ok(None) };
            frame[at] ^= bit;
        }
        let packed = (u32::from_le_bytes(array(&frame, 0)) as usize == block).then(|| &frame[FRAME..]);
        Ok(packed.and_then(|packed| inflate(packed, self.packed.head.bytes_in(block))))
    }
}

impl DiskFile for PackedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.head.length)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.head.length || into.is_empty() {
            return Ok(0);
        }
        let (block, within) = place(&self.head, offset);
        let bytes = self.block(block)?;
        Ok(copy(&bytes, within, into))
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl DiskFile for Forgiving {
    fn len(&self) -> io::Result<u64> {
        self.packed.len()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        match self.packed.read_at(into, offset) {
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                let (block, within) = place(&self.packed.head, offset);
                let bytes = match self.mended(block)? {
                    Some(bytes) => bytes,
                    None => vec![0; self.packed.head.bytes_in(block)],
                };
                Ok(copy(&bytes, within, into))
            }
            read => read,
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.packed.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.packed.sync_data()
    }
}

fn place(head: &Head, offset: u64) -> (usize, usize) {
    let block = head.block as u64;
    (usize::try_from(offset / block).unwrap_or(usize::MAX), usize::try_from(offset % block).unwrap_or(usize::MAX))
}

fn copy(bytes: &[u8], within: usize, into: &mut [u8]) -> usize {
    let rest = bytes.get(within..).unwrap_or_default();
    let length = rest.len().min(into.len());
    into[..length].copy_from_slice(&rest[..length]);
    length
}

fn damaged(block: usize, at: u64) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("block {block}, at offset {at} of the file, is damaged"))
}

/// The compressed bytes of a frame, if it is whole and the one of this block.
fn check(frame: &[u8], block: usize) -> Option<&[u8]> {
    let (head, packed) = frame.split_at_checked(FRAME)?;
    (head == super::frame_head(block, packed)).then_some(packed)
}

fn inflate(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut decoder = DeflateDecoder::new(packed);
    decoder.read_exact(&mut bytes).ok()?;
    // Not a byte more than the block has.
    matches!(decoder.read(&mut [0]), Ok(0)).then_some(bytes)
}

/// What is known of a file before its blocks are read.
struct Shell {
    head: Option<Head>,
    frames: Option<Vec<Option<(u64, u64)>>>,
    wrong: Option<&'static str>,
}

fn read_shell(file: &Arc<dyn DiskFile>, path: &Path) -> Result<Shell, JournalError> {
    let failed = |error: io::Error| JournalError::io("could not read", path, &error);
    let length = file.len().map_err(failed)?;
    let (mut first, mut foot) = ([0; HEAD], [0; FOOT]);
    read_full(&**file, &mut first, 0).map_err(failed)?;
    let foot_at = length.saturating_sub(FOOT as u64);
    read_full(&**file, &mut foot, foot_at).map_err(failed)?;
    let first = Head::decode(&first, path)?;
    let second = Head::decode(&array(&foot, 16), path)?;
    let Some(head) = first.or(second) else {
        return Ok(Shell { head: None, frames: None, wrong: Some("its header cannot be read") });
    };
    let table_at = u64::from_le_bytes(array(&foot, 0));
    let table_length = head.blocks() as u64 * 8;
    let mut frames = None;
    let foot_is_whole = crc32c::crc32c(&foot[..12]) == u32::from_le_bytes(array(&foot, 12));
    if foot_is_whole && table_at.checked_add(table_length) == Some(foot_at) {
        let mut table = vec![0; usize::try_from(table_length).unwrap_or_default()];
        read_full(&**file, &mut table, table_at).map_err(failed)?;
        if crc32c::crc32c(&table) == u32::from_le_bytes(array(&foot, 8)) {
            frames = extents(&table, table_at);
        }
    }
    let wrong = match (first, second) {
        (None, _) => Some("its header cannot be read"),
        (_, None) => Some("its end cannot be read"),
        (first, second) if first != second => Some("its header and its end do not belong together"),
        _ if frames.is_none() => Some("its table of blocks cannot be read"),
        _ => None,
    };
    Ok(Shell { head: Some(head), frames, wrong })
}

/// Where each frame begins and ends: they stand one behind the other.
fn extents(table: &[u8], table_at: u64) -> Option<Vec<Option<(u64, u64)>>> {
    let mut end = table_at;
    let mut frames = Vec::with_capacity(table.len() / 8);
    for entry in table.chunks_exact(8).rev() {
        frames.push(match u64::from_le_bytes(array(entry, 0)) {
            0 => None,
            from if from >= FIRST && from < end => Some((from, std::mem::replace(&mut end, from))),
            _ => return None,
        });
    }
    frames.reverse();
    Some(frames)
}

/// Finds the frames without the table. If nothing tells how long the segment is, it is as long as its last block.
fn search(file: &dyn DiskFile, head: &mut Head) -> io::Result<Vec<Option<(u64, u64)>>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let read = read_full(file, &mut bytes, 0)?;
    bytes.truncate(read);
    let mut frames = vec![None; head.blocks()];
    let (known, mut at) = (head.length > 0, HEAD);
    while let Some(frame) = bytes.get(at..).filter(|rest| rest.len() >= FRAME) {
        let block = u32::from_le_bytes(array(frame, 0)) as usize;
        let end = (FRAME).saturating_add(u32::from_le_bytes(array(frame, 4)) as usize);
        let possible = block < if known { frames.len() } else { 1 << 20 };
        if !possible || frame.get(..end).is_none_or(|frame| check(frame, block).is_none()) {
            at += 1;
            continue;
        }
        if frames.len() <= block {
            frames.resize(block + 1, None);
        }
        frames[block] = Some((at as u64, (at + end) as u64));
        at += end;
    }
    if !known {
        head.length = (frames.len() * head.block) as u64;
    }
    Ok(frames)
}
