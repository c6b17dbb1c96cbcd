//! Looks a journal over from its first byte to its last, without writing; and repairs what it found.
//!
//! **Invariant.** What is looked at is the journal as a repair would leave it: the same bytes are shown to readers and
//! written. Damage that cannot be bridged is told, and then nothing is changed at all.

mod lose;
mod mend;
mod parts;
mod patched;
mod repair;
mod walk;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::parts::{Part, Shelf};
use self::patched::PatchedDisk;
use self::repair::Fix;
use self::walk::Walk;
use super::error::JournalError;
use super::files::Files;
use super::reader::JournalReader;
use super::tip::{Slots, Tip};
use crate::types::OrderId;

/// Something in a data directory that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, in a sentence.
    pub what: String,
    /// The file, below the data directory.
    pub file: String,
    /// Bytes from the beginning of the file.
    pub offset: Option<u64>,
    /// The numbers of the first and the last record that it is about.
    pub records: Option<(u64, u64)>,
    /// The orders that it touches, as far as they are known.
    pub orders: Vec<OrderId>,
    pub remedy: Remedy,
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A repair does this, and nothing is lost.
    Whole(String),
    /// A repair does this; what is damaged stays lost.
    Bridge(String),
    /// Nothing but what is said here helps.
    Person(String),
}

/// A journal that has been looked over.
#[derive(Debug)]
pub struct Examined {
    pub findings: Vec<Finding>,
    /// How many records there are, those that are lost among them.
    pub records: u64,
    data: PathBuf,
    fixes: Vec<Fix>,
    reader: Option<JournalReader>,
}

/// Everything that is looked at is below `data`; a backup is another data directory, or its folder `journal`.
pub fn examine(data: &Path, backup: Option<&Path>) -> Result<Examined, JournalError> {
    let dir = data.join("journal");
    let tip = TipState::read(data)?;
    let last = tip.found().map(|tip| tip.mark.position).unwrap_or_default();
    let mut shelf = Shelf::read(&dir, last, backup)?;
    let mut walk = Walk::new(&dir, tip.found());
    walk.all(&mut shelf)?;
    let Walk { mut findings, mut fixes, end, matched, .. } = walk;
    shelf.fixes.append(&mut fixes);
    shelf.unpack();
    fixes.append(&mut shelf.fixes);
    findings.splice(0..0, std::mem::take(&mut shelf.findings));
    let hopeless = |findings: &[Finding]| findings.iter().any(|finding| matches!(finding.remedy, Remedy::Person(_)));
    if !hopeless(&findings) {
        tip.judge(end.as_ref(), matched, &mut findings, &mut fixes);
    }
    let records = end.as_ref().map_or(0, |end| end.mark.seq);
    if hopeless(&findings) {
        return Ok(Examined { findings, records, data: data.to_owned(), fixes: Vec::new(), reader: None });
    }
    let reader = reader(&dir, &shelf.parts, end.map_or(0, |end| end.end));
    Ok(Examined { findings, records, data: data.to_owned(), fixes, reader: Some(reader) })
}

impl Examined {
    /// The journal as a repair would leave it; none when it cannot be repaired.
    pub fn reader(&self) -> Option<&JournalReader> {
        self.reader.as_ref()
    }

    /// Writes what was planned. The bytes that are overwritten are kept in `journal.aside`.
    pub fn repair(&self) -> Result<(), JournalError> {
        repair::all(&self.data, &self.fixes)
    }
}

impl Remedy {
    pub fn text(&self) -> &str {
        match self {
            Self::Whole(text) | Self::Bridge(text) | Self::Person(text) => text,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        match self.records {
            Some((first, last)) if first < last => write!(f, ", records {first} to {last}")?,
            Some((record, _)) => write!(f, ", record {record}")?,
            None => {}
        }
        write!(f, ": {}", self.what)
    }
}

fn reader(dir: &Path, parts: &[Part], end: u64) -> JournalReader {
    let disk = PatchedDisk::default();
    let mut heads = Vec::new();
    for part in parts {
        let Some(head) = part.head else { continue };
        // What is read through the patches is not packed.
        let path = dir.join(part.plain());
        disk.put(path.clone(), part.source.clone());
        heads.push((head, path));
    }
    let files = Files::new(Arc::new(disk), &[], end);
    heads.into_iter().for_each(|(head, path)| files.put(head, path));
    JournalReader::new(Arc::new(files))
}

enum TipState {
    Missing,
    Unreadable,
    /// The one that counts, with its turn, and whether the other slot is damaged.
    Found(u64, Tip, bool),
}

impl TipState {
    fn read(data: &Path) -> Result<Self, JournalError> {
        let path = data.join("tip");
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::Missing),
            Err(error) => return Err(JournalError::io("could not open", &path, &error)),
        };
        let slots = Slots::read(&file, &path)?;
        Ok(match slots.newest {
            Some((turn, tip)) => Self::Found(turn, tip, slots.unreadable > 0),
            None if slots.unreadable > 0 => Self::Unreadable,
            None => Self::Missing,
        })
    }

    fn found(&self) -> Option<Tip> {
        match self {
            Self::Found(_, tip, _) => Some(*tip),
            Self::Missing | Self::Unreadable => None,
        }
    }

    /// Compares with what was read, and plans a new tip where this one says something else.
    fn judge(&self, end: Option<&Tip>, matched: bool, findings: &mut Vec<Finding>, fixes: &mut Vec<Fix>) {
        let Some(end) = end.filter(|end| end.mark.seq > 0) else { return };
        let anew = "it is written anew from what the journal holds".to_owned();
        let (what, turn) = match self {
            Self::Missing => ("the tip is missing: whether records are missing at the end cannot be told", 0),
            Self::Unreadable => ("the tip cannot be read: whether records are missing at the end cannot be told", 0),
            Self::Found(turn, _, true) => {
                ("one of the two slots of the tip cannot be read; the other one counts", *turn)
            }
            // Its record is among the lost ones: what stands there now has another chain.
            Self::Found(turn, ..) if !matched => {
                fixes.push(Fix::Tip { tip: *end, turn: turn.saturating_add(1) });
                return;
            }
            Self::Found(..) => return,
        };
        let (what, file) = (what.to_owned(), "tip".to_owned());
        findings.push(Finding {
            what,
            file,
            offset: None,
            records: None,
            orders: Vec::new(),
            remedy: Remedy::Whole(anew),
        });
        fixes.push(Fix::Tip { tip: *end, turn: turn.saturating_add(1) });
    }
}
