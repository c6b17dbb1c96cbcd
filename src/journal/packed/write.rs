//! Puts a packed segment in the place of a plain one, and the other way round.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::{BLOCK, FIRST, Head, PackedFile, foot, frame_head};
use crate::journal::disk::{Disk, DiskFile, read_full, write_all};
use crate::journal::error::JournalError;
use crate::journal::segment::{self, Form, Segment};

/// Written under this passing name.
const NEXT: &str = ".next";
/// Between two syncs, so that a commit waits behind no more than this.
const STRIDE: usize = 1024 * 1024;

/// Writes a sealed segment anew in packed form, and reads it back. It has its name when this returns, and the plain one is
/// still there. Gives its path and its length.
pub(crate) fn pack(disk: &dyn Disk, dir: &Path, segment: &Segment) -> Result<(PathBuf, u64), JournalError> {
    let path = dir.join(segment::name(segment.head.base, Form::Packed));
    let next = next_to(&path);
    let packed = write(disk, &next, segment).and_then(|length| {
        compare(disk, &next, segment)?;
        let named = disk.rename(&next, &path).and_then(|()| disk.sync_dir(dir));
        named.map_err(|error| JournalError::io("could not name", &path, &error))?;
        Ok(length)
    });
    if packed.is_err() {
        // Best effort: it is removed when the journal is next opened.
        let _ = disk.remove(&next);
    }
    Ok((path, packed?))
}

/// Writes the bytes of a file under a name, durably.
pub(crate) fn unpack(disk: &dyn Disk, from: &dyn DiskFile, to: &Path) -> io::Result<()> {
    let next = next_to(to);
    let file = empty(disk, &next)?;
    let mut buffer = vec![0; STRIDE];
    let mut offset = 0;
    loop {
        let read = read_full(from, &mut buffer, offset)?;
        if read == 0 {
            break;
        }
        write_all(&*file, &buffer[..read], offset)?;
        offset += read as u64;
    }
    file.sync_data()?;
    disk.rename(&next, to)
}

/// Removes what a cut-off packing has left: half-made files, and packed segments that are there plain too.
pub(crate) fn clear(disk: &dyn Disk, dir: &Path, names: &[String]) -> Result<(), JournalError> {
    let twice = |name: &String| {
        let plain = name.strip_suffix(Form::Packed.suffix()).map(|stem| format!("{stem}{}", Form::Plain.suffix()));
        plain.is_some_and(|plain| names.contains(&plain))
    };
    for name in names.iter().filter(|name| name.ends_with(NEXT) || twice(name)) {
        let path = dir.join(name);
        disk.remove(&path).map_err(|error| JournalError::io("could not remove", &path, &error))?;
    }
    Ok(())
}

fn next_to(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(NEXT);
    PathBuf::from(name)
}

/// A new file: what an earlier try has left is longer perhaps.
fn empty(disk: &dyn Disk, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.open(path, true)
}

fn write(disk: &dyn Disk, next: &Path, segment: &Segment) -> Result<u64, JournalError> {
    let failed = |error: io::Error| JournalError::io("could not write", next, &error);
    let unread = |error: io::Error| JournalError::io("could not read", &segment.path, &error);
    let head = Head { base: segment.head.base, length: segment.head.capacity, block: BLOCK };
    let file = empty(disk, next).map_err(failed)?;
    write_all(&*file, &head.encode(), 0).map_err(failed)?;
    let mut buffer = vec![0; BLOCK];
    let mut table = Vec::with_capacity(head.blocks() * 8);
    let (mut offset, mut synced) = (FIRST, FIRST);
    for block in 0..head.blocks() {
        let bytes = &mut buffer[..head.bytes_in(block)];
        let read = read_full(&*segment.file, bytes, (block * BLOCK) as u64).map_err(unread)?;
        if read < bytes.len() {
            return Err(unread(io::ErrorKind::UnexpectedEof.into()));
        }
        if bytes.iter().all(|&byte| byte == 0) {
            table.extend_from_slice(&0_u64.to_le_bytes());
            continue;
        }
        table.extend_from_slice(&offset.to_le_bytes());
        let packed = deflate(bytes).map_err(failed)?;
        let frame = [&frame_head(block, &packed)[..], &packed].concat();
        write_all(&*file, &frame, offset).map_err(failed)?;
        offset += frame.len() as u64;
        if offset - synced >= STRIDE as u64 {
            file.sync_data().map_err(failed)?;
            synced = offset;
        }
    }
    let end = [&table[..], &foot(offset, &table, &head)].concat();
    write_all(&*file, &end, offset).and_then(|()| file.sync_data()).map_err(failed)?;
    Ok(offset + end.len() as u64)
}

fn deflate(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish()
}

/// What was written must give the very bytes of the segment.
fn compare(disk: &dyn Disk, next: &Path, segment: &Segment) -> Result<(), JournalError> {
    let failed = |error: io::Error| JournalError::io("could not read back", next, &error);
    let packed = PackedFile::open(disk.open(next, false).map_err(failed)?, next)?;
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut offset = 0;
    loop {
        let read = read_full(&*segment.file, &mut left, offset).map_err(failed)?;
        let again = read_full(&packed, &mut right, offset).map_err(failed)?;
        if left[..read] != right[..again] {
            let (next, at) = (next.display(), offset);
            return Err(JournalError::damaged(format!("{next} does not hold what was packed, from offset {at} on")));
        }
        if read == 0 {
            return Ok(());
        }
        offset += read as u64;
    }
}
