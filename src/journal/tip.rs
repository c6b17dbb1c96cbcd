//! The tip: how far the journal had got, written beside it. A journal that ends before its tip has lost records.
//!
//! Two slots take turns, so that a torn write leaves the other one. It is written after every group and synced now and
//! then: after a crash of the process it is exact, after a power cut it may be a little behind, it is never ahead.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Mark;
use super::disk::{Disk, DiskFile, read_full, write_all};
use super::error::JournalError;
use super::frame::array;
use crate::types::Position;

const MAGIC: [u8; 8] = *b"PAYSTTIP";
const VERSION: u32 = 1;
const SLOT: usize = 88;
const STRIDE: u64 = 4096;

/// The last durable record, and where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) mark: Mark,
    pub(crate) end: u64,
}

#[derive(Debug)]
pub(crate) struct TipFile {
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    unsynced: AtomicBool,
}

/// What the file says.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Tip { tip: Tip, turn: u64 },
}

/// The two slots of the file.
#[derive(Debug)]
pub(crate) struct Slots {
    /// The one that counts, with its turn.
    pub(crate) newest: Option<(u64, Tip)>,
    /// How many hold something that is no tip.
    pub(crate) unreadable: usize,
}

impl TipFile {
    /// Opens the file and reads it; neither slot being readable is damage, not absence.
    pub(crate) fn open(disk: &dyn Disk, path: &Path) -> Result<(Self, Found), JournalError> {
        let failed = |error: io::Error| JournalError::io("could not read", path, &error);
        let file = disk.open(path, true).map_err(failed)?;
        // Both slots get their room now: a full disk must not be met when a group has just been written.
        let length = file.len().map_err(failed)?;
        if length < 2 * STRIDE {
            let missing = vec![0; usize::try_from(2 * STRIDE - length).unwrap_or_default()];
            let grown = write_all(&*file, &missing, length).and_then(|()| file.sync_data());
            grown.map_err(|error| JournalError::io("could not prepare", path, &error))?;
        }
        let slots = Slots::read(&*file, path)?;
        let found = match slots.newest {
            Some((turn, tip)) => Found::Tip { tip, turn },
            None if slots.unreadable > 0 => {
                let path = path.display();
                return Err(JournalError::damaged(format!(
                    "{path} cannot be read, so that it is not known whether the journal is whole; \
                     remove it to open the journal without this check"
                )));
            }
            None => Found::Nothing,
        };
        Ok((Self { path: path.to_owned(), file, unsynced: AtomicBool::new(false) }, found))
    }

    pub(crate) fn write(&self, tip: &Tip, turn: u64) -> Result<(), JournalError> {
        let written = write_all(&*self.file, &encode(tip, turn), (turn & 1) * STRIDE);
        written.map_err(|error| JournalError::io("could not write", &self.path, &error))?;
        self.unsynced.store(true, Ordering::Release);
        Ok(())
    }

    /// Writes both slots, whatever was in them.
    pub(crate) fn renew(disk: &dyn Disk, path: &Path, tip: &Tip, turn: u64) -> Result<(), JournalError> {
        let failed = |error: io::Error| JournalError::io("could not write", path, &error);
        let file = disk.open(path, true).map_err(failed)?;
        let mut bytes = [0; 2 * STRIDE as usize];
        for turn in [turn, turn.saturating_add(1)] {
            let at = usize::try_from((turn & 1) * STRIDE).unwrap_or_default();
            bytes[at..at + SLOT].copy_from_slice(&encode(tip, turn));
        }
        write_all(&*file, &bytes, 0).and_then(|()| file.sync_data()).map_err(failed)
    }

    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        if !self.unsynced.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        self.file.sync_data().map_err(|error| JournalError::io("could not sync", &self.path, &error))
    }
}

impl Slots {
    pub(crate) fn read(file: &dyn DiskFile, path: &Path) -> Result<Self, JournalError> {
        let mut slots = Self { newest: None, unreadable: 0 };
        for slot in 0..2 {
            let mut bytes = [0; SLOT];
            let read = read_full(file, &mut bytes, slot * STRIDE);
            read.map_err(|error| JournalError::io("could not read", path, &error))?;
            let found = decode(&bytes, path)?;
            slots.unreadable += usize::from(found.is_none() && bytes != [0; SLOT]);
            slots.newest = slots.newest.into_iter().chain(found).max_by_key(|(turn, _)| *turn);
        }
        Ok(slots)
    }
}

/// `magic [8] | version u32 | crc32c u32 | turn u64 | end u64 | seq u64 | position u64 | chain [32] | zero [8]`
fn encode(tip: &Tip, turn: u64) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&turn.to_le_bytes());
    bytes[24..32].copy_from_slice(&tip.end.to_le_bytes());
    bytes[32..40].copy_from_slice(&tip.mark.seq.to_le_bytes());
    bytes[40..48].copy_from_slice(&tip.mark.position.0.to_le_bytes());
    bytes[48..80].copy_from_slice(&tip.mark.chain);
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SLOT], path: &Path) -> Result<Option<(u64, Tip)>, JournalError> {
    if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[16..]) != u32::from_le_bytes(array(bytes, 12)) {
        return Ok(None);
    }
    let version = u32::from_le_bytes(array(bytes, 8));
    if version > VERSION {
        let place = path.display().to_string();
        return Err(JournalError::Newer { place, found: version, known: VERSION });
    }
    let mark = Mark {
        seq: u64::from_le_bytes(array(bytes, 32)),
        position: Position(u64::from_le_bytes(array(bytes, 40))),
        chain: array(bytes, 48),
    };
    let tip = Tip { mark, end: u64::from_le_bytes(array(bytes, 24)) };
    Ok(Some((u64::from_le_bytes(array(bytes, 16)), tip)))
}
