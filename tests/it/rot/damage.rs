//! The kinds of damage, each done at a place that a seed tells.

use std::fs;
use std::path::{Path, PathBuf};

use super::desk::copy_tree;
use crate::journal_disk::Dice;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    FlippedBit,
    FlippedBits,
    ZeroedSector,
    ZeroedPage,
    GarbageSector,
    CutFile,
    GrownFile,
    SwappedFiles,
    MissingFile,
    OlderSegment,
    OlderStore,
    OlderTip,
    NoTip,
    NoStore,
    StoreFlipped,
    StoreZeroed,
    StoreCut,
    PackedFlippedBit,
    PackedFlippedBits,
    PackedZeroed,
    PackedCut,
    PackedGrown,
    PackedSwapped,
    PackedMissing,
}

pub(super) const KINDS: [Kind; 24] = [
    Kind::FlippedBit,
    Kind::FlippedBits,
    Kind::ZeroedSector,
    Kind::ZeroedPage,
    Kind::GarbageSector,
    Kind::CutFile,
    Kind::GrownFile,
    Kind::SwappedFiles,
    Kind::MissingFile,
    Kind::OlderSegment,
    Kind::OlderStore,
    Kind::OlderTip,
    Kind::NoTip,
    Kind::NoStore,
    Kind::StoreFlipped,
    Kind::StoreZeroed,
    Kind::StoreCut,
    Kind::PackedFlippedBit,
    Kind::PackedFlippedBits,
    Kind::PackedZeroed,
    Kind::PackedCut,
    Kind::PackedGrown,
    Kind::PackedSwapped,
    Kind::PackedMissing,
];

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FlippedBit => "a flipped bit in journal or tip",
            Self::FlippedBits => "flipped bits, near each other",
            Self::ZeroedSector => "a zeroed sector of 512 bytes",
            Self::ZeroedPage => "a zeroed page of 4096 bytes",
            Self::GarbageSector => "a sector of garbage",
            Self::CutFile => "a segment cut off",
            Self::GrownFile => "a segment with bytes appended",
            Self::SwappedFiles => "two segments swapped",
            Self::MissingFile => "a segment deleted",
            Self::OlderSegment => "an older copy of a segment",
            Self::OlderStore => "an older copy of sled",
            Self::OlderTip => "an older copy of the tip",
            Self::NoTip => "no tip",
            Self::NoStore => "sled deleted",
            Self::StoreFlipped => "flipped bits in sled",
            Self::StoreZeroed => "a zeroed page in sled",
            Self::StoreCut => "a file of sled cut off",
            Self::PackedFlippedBit => "a flipped bit in a packed segment",
            Self::PackedFlippedBits => "flipped bits in a packed segment",
            Self::PackedZeroed => "a zeroed sector in a packed segment",
            Self::PackedCut => "a packed segment cut off",
            Self::PackedGrown => "a packed segment with bytes appended",
            Self::PackedSwapped => "a packed segment swapped",
            Self::PackedMissing => "a packed segment deleted",
        }
    }

    /// Of a directory whose older segments are packed.
    pub(super) fn is_packed(self) -> bool {
        self >= Self::PackedFlippedBit
    }

    /// Does it, and says where. `older` is the directory as it once was.
    pub(super) fn strike(self, dir: &Path, older: &Path, dice: &mut Dice) -> String {
        let segments = files(&dir.join("journal"), "journal");
        let any = |dice: &mut Dice| segments[pick(dice, segments.len())].clone();
        let packed = files(&dir.join("journal"), "packed");
        let one = |dice: &mut Dice| packed[pick(dice, packed.len())].clone();
        match self {
            Self::FlippedBit => {
                let path = if dice.roll(12) == 0 { dir.join("tip") } else { any(dice) };
                flip(&path, 1, dice)
            }
            Self::FlippedBits => flip(&any(dice), 2 + dice.roll(6), dice),
            Self::ZeroedSector => fill(&any(dice), 512, false, dice),
            Self::ZeroedPage => fill(&any(dice), 4096, false, dice),
            Self::GarbageSector => fill(&any(dice), 512, true, dice),
            Self::CutFile => cut(&any(dice), dice),
            Self::GrownFile => grow(&any(dice), dice),
            Self::SwappedFiles => swap(&segments, &segments, dice),
            Self::MissingFile => remove(any(dice)),
            Self::OlderSegment => rewind(&any(dice), dice),
            Self::OlderStore => {
                fs::remove_dir_all(dir.join("sled")).unwrap();
                copy_tree(&older.join("sled"), &dir.join("sled"));
                "sled".to_owned()
            }
            Self::OlderTip => {
                fs::copy(older.join("tip"), dir.join("tip")).unwrap();
                "tip".to_owned()
            }
            Self::NoTip => {
                fs::remove_file(dir.join("tip")).unwrap();
                "tip".to_owned()
            }
            Self::NoStore => {
                fs::remove_dir_all(dir.join("sled")).unwrap();
                "sled".to_owned()
            }
            Self::StoreFlipped => flip(&of_store(dir, dice), 1 + dice.roll(4), dice),
            Self::StoreZeroed => fill(&of_store(dir, dice), 4096, false, dice),
            Self::StoreCut => cut(&of_store(dir, dice), dice),
            Self::PackedFlippedBit => flip(&one(dice), 1, dice),
            Self::PackedFlippedBits => flip(&one(dice), 2 + dice.roll(6), dice),
            Self::PackedZeroed => fill(&one(dice), 512, false, dice),
            Self::PackedCut => cut(&one(dice), dice),
            Self::PackedGrown => grow(&one(dice), dice),
            // With another packed one, or with a plain one.
            Self::PackedSwapped => swap(&packed, &[&packed[..], &segments].concat(), dice),
            Self::PackedMissing => remove(one(dice)),
        }
    }
}

fn grow(path: &Path, dice: &mut Dice) -> String {
    let mut bytes = fs::read(path).unwrap();
    bytes.extend((0..1 + dice.roll(9000)).map(|n| (n % 251) as u8));
    fs::write(path, bytes).unwrap();
    format!("{}", path.display())
}

/// Two files get each other's names: the first is one of `from`, which `with` begins with.
fn swap(from: &[PathBuf], with: &[PathBuf], dice: &mut Dice) -> String {
    let first = pick(dice, from.len());
    let second = (first + 1 + pick(dice, with.len() - 1)) % with.len();
    let aside = with[first].with_file_name("aside");
    fs::rename(&with[first], &aside).unwrap();
    fs::rename(&with[second], &with[first]).unwrap();
    fs::rename(aside, &with[second]).unwrap();
    format!("{} and {}", with[first].display(), with[second].display())
}

fn remove(path: PathBuf) -> String {
    fs::remove_file(&path).unwrap();
    format!("{}", path.display())
}

fn pick(dice: &mut Dice, count: usize) -> usize {
    usize::try_from(dice.roll(count as u64)).unwrap()
}

/// The files of a folder whose names end so, in order.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = all.filter(|path| path.extension().is_some_and(|end| end == extension)).collect();
    found.sort();
    found
}

fn of_store(dir: &Path, dice: &mut Dice) -> PathBuf {
    let all = fs::read_dir(dir.join("sled")).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> = all.filter(|path| path.is_file()).collect();
    all.sort();
    all[pick(dice, all.len())].clone()
}

/// A place in a file, mostly where something is written.
fn place(bytes: &[u8], dice: &mut Dice) -> usize {
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let within = if dice.roll(10) == 0 { bytes.len() } else { used };
    pick(dice, within.max(1))
}

fn flip(path: &Path, bits: u64, dice: &mut Dice) -> String {
    let mut bytes = fs::read(path).unwrap();
    let at = place(&bytes, dice);
    for _ in 0..bits {
        let at = (at + pick(dice, if bits == 1 { 1 } else { 60 })).min(bytes.len().saturating_sub(1));
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << dice.roll(8);
        }
    }
    fs::write(path, bytes).unwrap();
    format!("{} at {at}", path.display())
}

fn fill(path: &Path, size: usize, garbage: bool, dice: &mut Dice) -> String {
    let mut bytes = fs::read(path).unwrap();
    let at = place(&bytes, dice) / size * size;
    let end = (at + size).min(bytes.len());
    for byte in &mut bytes[at..end] {
        *byte = if garbage { dice.roll(256) as u8 } else { 0 };
    }
    fs::write(path, bytes).unwrap();
    format!("{} at {at}", path.display())
}

fn cut(path: &Path, dice: &mut Dice) -> String {
    let bytes = fs::read(path).unwrap();
    let at = place(&bytes, dice);
    fs::write(path, &bytes[..at]).unwrap();
    format!("{} at {at}", path.display())
}

/// A segment as it was when it had fewer records.
fn rewind(path: &Path, dice: &mut Dice) -> String {
    let mut bytes = fs::read(path).unwrap();
    let mut begins = Vec::new();
    let mut at = 4096;
    while let Some(length) = bytes.get(at..at + 4).map(|four| u32::from_le_bytes(four.try_into().unwrap())) {
        if length == 0 {
            break;
        }
        begins.push(at);
        at += (64 + length as usize).next_multiple_of(8);
    }
    let at = begins[pick(dice, begins.len())];
    bytes[at..].fill(0);
    fs::write(path, bytes).unwrap();
    format!("{} before {at}", path.display())
}
