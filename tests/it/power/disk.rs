//! Makes a disk as it would be after a power cut, out of what the process left and the log of how it came about.
//!
//! What is not durable is taken back, newest first, and then the dice say what of it had reached the disk after all.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::log::{Fate, Kind, Log, Record};
use super::tree::Tree;
use crate::journal_disk::Dice;

const SECTOR: u64 = 512;

/// What the power cut takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Everything that was written and not synced.
    AllUnsynced,
    /// Any sectors of it.
    AnySectors,
    /// Any sectors of it, and the newest names of every directory back to some point, at most its last sync.
    AnySectorsAndNames,
}

/// What a cut has taken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Taken {
    pub(super) writes: usize,
    pub(super) sectors: usize,
    pub(super) names: usize,
}

/// Cuts the power of the disk at `disk`, which was as `before` when the log began.
pub(super) fn cut(disk: &Path, trace: &Path, before: &Tree, how: Cut, dice: &mut Dice) -> Taken {
    let log = Log::read(&trace.join("log"));
    let fates = log.fates();
    let mut taken = Taken::default();
    let mut files = Tree::read(&trace.join("graves")).files(&trace.join("graves"));
    files.extend(Tree::read(disk).files(disk));
    let mut tree = Tree::read(disk);
    if how == Cut::AnySectorsAndNames {
        tree = before.clone();
        for index in surviving_names(&log, &fates, dice, &mut taken) {
            tree.apply(&log, &log.records[index]);
        }
    }
    for ino in tree.files(disk).keys() {
        let changes = fates.get(ino).map_or(&[][..], Vec::as_slice);
        if changes.iter().any(|(_, fate)| *fate == Fate::Open) {
            let path = files.get(ino).unwrap_or_else(|| panic!("inode {ino} is nowhere"));
            rebuild(path, &log, changes, how, dice, &mut taken);
        }
    }
    if how == Cut::AnySectorsAndNames {
        let next = disk.with_extension("next");
        tree.build(&files, &next);
        fs::remove_dir_all(disk).unwrap();
        fs::rename(&next, disk).unwrap();
    }
    taken
}

/// Whether the log explains every byte of a disk that was empty when it began; if not, what it does not explain.
pub(super) fn unexplained(disk: &Path, trace: &Path) -> Vec<PathBuf> {
    let log = Log::read(&trace.join("log"));
    let mut contents: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    for record in &log.records {
        let from = usize::try_from(record.at).unwrap();
        match record.kind {
            Kind::Write => {
                let end = from + usize::try_from(record.length).unwrap();
                let content = contents.entry(record.file).or_default();
                content.resize(content.len().max(end), 0);
                match log.fresh(record) {
                    [] => content[from..end].fill(0),
                    bytes => content[from..end].copy_from_slice(bytes),
                }
            }
            Kind::Truncate => contents.entry(record.file).or_default().resize(from, 0),
            _ => {}
        }
    }
    let files = Tree::read(disk).files(disk);
    let mut unexplained = Vec::new();
    for (ino, path) in files {
        if fs::read(&path).unwrap() != contents.remove(&ino).unwrap_or_default() {
            unexplained.push(path);
        }
    }
    unexplained
}

/// The changes of names that are on the disk, in their order. A directory's names reach the disk in their order.
fn surviving_names(
    log: &Log,
    fates: &HashMap<u64, Vec<(usize, Fate)>>,
    dice: &mut Dice,
    taken: &mut Taken,
) -> Vec<usize> {
    let mut surviving = Vec::new();
    let is_name = |index: usize| log.records[index].kind.is_name();
    let mut dirs: Vec<_> =
        fates.iter().filter(|(_, changes)| changes.iter().any(|(index, _)| is_name(*index))).collect();
    // A map has no order, and the same dice must make the same cut.
    dirs.sort_unstable_by_key(|(_, changes)| changes[0].0);
    let none = dice.roll(2) == 0;
    for (_, changes) in dirs {
        let durable = changes.iter().take_while(|(_, fate)| *fate == Fate::Durable).count();
        let open = (changes.len() - durable) as u64;
        let kept = if none { 0 } else { dice.roll(open + 1) };
        let kept = durable + usize::try_from(kept).unwrap();
        taken.names += changes.len() - kept;
        surviving.extend(changes[..kept].iter().map(|(index, _)| *index));
    }
    surviving.sort_unstable();
    surviving
}

fn rebuild(path: &Path, log: &Log, changes: &[(usize, Fate)], how: Cut, dice: &mut Dice, taken: &mut Taken) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let first = changes.iter().position(|(_, fate)| *fate == Fate::Open).unwrap_or(changes.len());
    for (index, _) in changes[first..].iter().rev() {
        undo(&file, log, &log.records[*index]);
    }
    for (index, fate) in &changes[first..] {
        let record = &log.records[*index];
        match (fate, record.kind) {
            (Fate::Durable, Kind::Truncate) => file.set_len(record.at).unwrap(),
            (Fate::Durable, _) => redo(&file, log, record, || true),
            (Fate::Open, _) if how == Cut::AllUnsynced => taken.writes += 1,
            (Fate::Open, Kind::Truncate) => {
                if dice.roll(2) == 0 {
                    file.set_len(record.at).unwrap();
                }
            }
            (Fate::Open, _) => {
                // Whole writes are lost and kept too, not only sectors of them.
                let odds = dice.roll(4);
                redo(&file, log, record, || {
                    let kept = odds == 3 || (odds != 0 && dice.roll(2) == 0);
                    taken.sectors += usize::from(!kept);
                    kept
                });
                taken.writes += usize::from(odds != 3);
            }
        }
    }
}

fn undo(file: &File, log: &Log, record: &Record) {
    let (from, to) = match record.kind {
        Kind::Write => (record.at, record.size.min(record.at + record.length)),
        _ => (record.at, record.size),
    };
    file.set_len(record.size).unwrap();
    if from < to {
        let length = usize::try_from(to - from).unwrap();
        match log.before(record) {
            [] => file.write_all_at(&vec![0; length], from).unwrap(),
            bytes => file.write_all_at(bytes, from).unwrap(),
        }
    }
}

/// Writes those sectors of a write that `kept` says have reached the disk.
fn redo(file: &File, log: &Log, record: &Record, mut kept: impl FnMut() -> bool) {
    let (mut from, end) = (record.at, record.at + record.length);
    while from < end {
        let to = end.min((from / SECTOR + 1) * SECTOR);
        if kept() {
            let part = usize::try_from(from - record.at).unwrap()..usize::try_from(to - record.at).unwrap();
            let zeros = [0; SECTOR as usize];
            let bytes = log.fresh(record).get(part.clone()).unwrap_or(&zeros[..part.len()]);
            file.write_all_at(bytes, from).unwrap();
        }
        from = to;
    }
}
