//! Packs the segments that nothing is written to any more.
//!
//! **Invariant.** A plain segment is removed only after the packed one has been read back, byte by byte, and has its name
//! on disk.

use std::io;
use std::path::PathBuf;

use super::cursor::Cursor;
use super::error::JournalError;
use super::files::Files;
use super::packed;
use super::segment::{Form, Head, Segment, open_file};

/// The newest segments stay plain: what is written to, and what a start may have to write again.
const PLAIN: usize = 2;

/// What a packing has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packing {
    pub segments: u64,
    /// Bytes of these segments before and after.
    pub before: u64,
    pub after: u64,
}

/// How many segments could be packed.
pub(super) fn waiting(files: &Files) -> u64 {
    files.sealed(PLAIN).iter().filter(|(_, path, _)| Form::of(path) == Form::Plain).count() as u64
}

/// Packs the oldest segment that is not packed yet; none when there is no such one. Segments before `from` are not looked
/// at; it is where the next call begins.
pub(super) fn pack_next(files: &Files, from: &mut u64) -> Result<Option<Packing>, JournalError> {
    let from_here = *from;
    let waits = |(head, path, _): &(Head, PathBuf, Head)| head.base >= from_here && Form::of(path) == Form::Plain;
    let Some((head, path, next)) = files.sealed(PLAIN).into_iter().find(waits) else { return Ok(None) };
    let packed = pack(files, head, path, &next);
    if !matches!(packed, Err(JournalError::Full)) {
        // What is damaged stays so until it is repaired.
        *from = next.base;
    }
    packed.map(Some)
}

fn pack(files: &Files, head: Head, path: PathBuf, next: &Head) -> Result<Packing, JournalError> {
    let disk = &**files.disk();
    let segment = Segment { head, file: open_file(disk, &path)?, path };
    let failed = |error: io::Error| JournalError::io("could not remove", &segment.path, &error);
    let Some(dir) = segment.path.parent() else { return Err(failed(io::ErrorKind::NotFound.into())) };
    is_whole(&segment, next)?;
    let (packed, after) = packed::pack(disk, dir, &segment)?;
    files.replace(head, packed);
    disk.remove(&segment.path).and_then(|()| disk.sync_dir(dir)).map_err(failed)?;
    Ok(Packing { segments: 1, before: head.capacity, after })
}

/// What is damaged is not packed, so that it can be repaired where it is.
fn is_whole(segment: &Segment, next: &Head) -> Result<(), JournalError> {
    let mut cursor = Cursor::new(segment.clone());
    let why = loop {
        match cursor.next()? {
            Ok(_) => {}
            Err(why) => break why,
        }
    };
    if (cursor.seq, cursor.chain) == (next.seq, next.chain) {
        return Ok(());
    }
    Err(JournalError::Damaged(cursor.damage(why, Some(next.seq))?))
}
