//! The files of the journal, brought into their order: which is which, and what is missing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::patched::Source;
use super::repair::Fix;
use super::{Finding, Remedy};
use crate::journal::disk::read_full;
use crate::journal::error::JournalError;
use crate::journal::frame::Chain;
use crate::journal::segment::{self, FIRST, HEADER, Head};
use crate::types::Position;

/// One segment.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) base: u64,
    /// The name that it has, or should have.
    pub(super) name: String,
    /// None while it is not known: the header cannot be read.
    pub(super) head: Option<Head>,
    pub(super) source: Source,
}

impl Part {
    /// Without what was planned for it.
    pub(super) fn afresh(&self) -> Self {
        Self { source: Source::new(self.source.path.clone(), self.source.length), ..self.clone() }
    }

    /// Whether it begins as the one before it ends, and ends where the next one begins.
    pub(super) fn fits(&self, place: Option<(u64, Chain)>, end: Option<u64>) -> bool {
        self.head.is_some_and(|head| {
            place.is_none_or(|place| place == (head.seq, head.chain))
                && end.is_none_or(|end| end == head.base + head.capacity)
        })
    }
}

#[derive(Debug)]
pub(super) struct Shelf {
    /// End to end, as far as there is nothing missing.
    pub(super) parts: Vec<Part>,
    /// Segments that stand behind a missing one.
    pub(super) beyond: Vec<Part>,
    pub(super) findings: Vec<Finding>,
    pub(super) fixes: Vec<Fix>,
    /// Nothing is missing.
    pub(super) complete: bool,
    backup: Option<PathBuf>,
}

impl Shelf {
    pub(super) fn read(dir: &Path, last: Position, backup: Option<&Path>) -> Result<Self, JournalError> {
        let failed = |error: std::io::Error| JournalError::io("could not look into", dir, &error);
        let names = fs::read_dir(dir).map_err(failed)?;
        let names = names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let names: Vec<String> = names.collect::<std::io::Result<_>>().map_err(failed)?;
        let backup = backup.map(|folder| {
            let inner = folder.join("journal");
            if inner.is_dir() { inner } else { folder.to_owned() }
        });
        let (parts, beyond, findings, fixes) = Default::default();
        let mut shelf = Self { parts, beyond, findings, fixes, complete: true, backup };
        let mut found = Vec::new();
        for base in segment::bases(&names) {
            let (path, name) = (dir.join(segment::name(base)), segment::name(base));
            let (head, length) = read_head(&path)?;
            found.push(Part { base, name, head, source: Source::new(path, length) });
        }
        shelf.put_right(&mut found);
        shelf.line_up(found, last)?;
        Ok(shelf)
    }

    /// A segment of the backup that begins where `base` says, if its header can be read.
    pub(super) fn spare_part(&self, base: u64) -> Result<Option<Part>, JournalError> {
        let Some(folder) = &self.backup else { return Ok(None) };
        let name = segment::name(base);
        let path = folder.join(&name);
        if !path.is_file() {
            return Ok(None);
        }
        let (head, length) = read_head(&path)?;
        let whole = head.is_some_and(|head| head.base == base && head.capacity == length);
        Ok(whole.then(|| Part { base, name, head, source: Source::new(path, length) }))
    }

    /// What the backup says of a segment, if that is something else than its own header does.
    pub(super) fn other_head(&self, at: usize) -> Result<Option<Head>, JournalError> {
        let Some(part) = self.parts.get(at) else { return Ok(None) };
        let head = self.spare_part(part.base)?.and_then(|other| other.head);
        Ok(head.filter(|head| part.head != Some(*head) && head.capacity == part.source.length))
    }

    /// Gives files that stand under each other's names their own.
    fn put_right(&mut self, found: &mut [Part]) {
        let right = |part: &Part| part.head.is_none_or(|head| head.base == part.base);
        let kept: Vec<u64> = found.iter().filter(|part| right(part)).map(|part| part.base).collect();
        let mut wanted: BTreeMap<u64, usize> = BTreeMap::new();
        for part in found.iter().filter(|part| !right(part)) {
            *wanted.entry(part.head.map_or(0, |head| head.base)).or_default() += 1;
        }
        for part in found.iter_mut().filter(|part| !right(part)) {
            let Some(head) = part.head else { continue };
            let own = segment::name(head.base);
            let (file, what) = (file(&part.name), format!("it is the segment that belongs into {own}"));
            let free = wanted.get(&head.base) == Some(&1) && !kept.contains(&head.base);
            let remedy = if free {
                self.fixes.push(Fix::Rename { from: part.name.clone(), to: own.clone() });
                Remedy::Whole("it gets its own name back".to_owned())
            } else {
                Remedy::Person(format!("there is another {own}: put the right file here from a backup"))
            };
            self.findings.push(Finding { what, file, offset: None, records: None, orders: Vec::new(), remedy });
            if free {
                (part.base, part.name) = (head.base, own);
            }
        }
        found.sort_by_key(|part| part.base);
    }

    /// Sees to it that they lie end to end, up to the last record that was acknowledged; what is missing may be in the
    /// backup.
    fn line_up(&mut self, found: Vec<Part>, last: Position) -> Result<(), JournalError> {
        let mut expected = 0;
        let mut found = found.into_iter().peekable();
        loop {
            let here = found.next_if(|next| next.base == expected);
            let part = match here {
                Some(mut part) => {
                    let behind = found.peek().map(|next| next.base);
                    self.size(&mut part, behind);
                    part
                }
                None if found.peek().is_none() && last.0 < expected.max(1) => break,
                None => {
                    let Some(part) = self.spare_part(expected)?.filter(|part| self.fits_behind(part)) else {
                        self.missing(expected);
                        self.complete = false;
                        break;
                    };
                    self.take(&part, "the file is missing", None);
                    part
                }
            };
            expected = part.head.map_or(part.base + part.source.length, |head| head.base + head.capacity);
            self.parts.push(part);
        }
        self.beyond = found.collect();
        Ok(())
    }

    fn fits_behind(&self, part: &Part) -> bool {
        let before = self.parts.last().and_then(|before| before.head);
        before.is_none_or(|before| part.head.is_some_and(|head| head.seq >= before.seq))
    }

    /// Plans to take a file from the backup, in the place of one that is there or not.
    pub(super) fn take(&mut self, part: &Part, why: &str, records: Option<(u64, u64)>) {
        let (from, what) = (part.source.path.clone(), why.to_owned());
        let remedy = Remedy::Whole(format!("it is taken from the backup, {}", from.display()));
        self.findings.push(Finding { what, file: file(&part.name), offset: None, records, orders: Vec::new(), remedy });
        self.fixes.push(Fix::Fetch { from, name: part.name.clone() });
    }

    fn missing(&mut self, base: u64) {
        let text = "put the file back from a backup, or name the backup with --from; without it nothing is changed, since \
                    nobody can tell which orders it is about";
        let remedy = Remedy::Person(text.to_owned());
        let what = format!("the segment that begins at position {base} is missing");
        let file = file(&segment::name(base));
        self.findings.push(Finding { what, file, offset: None, records: None, orders: Vec::new(), remedy });
    }

    /// The length of a file is in its header, and in where the next one begins.
    fn size(&mut self, part: &mut Part, behind: Option<u64>) {
        let told = part.head.map(|head| head.capacity).or_else(|| Some(behind?.saturating_sub(part.base)));
        let Some(wanted) = told.filter(|&wanted| wanted > FIRST && wanted != part.source.length) else { return };
        let (length, name) = (part.source.length, part.name.clone());
        let (what, text) = if length < wanted {
            (format!("it is cut off: {length} of {wanted} bytes are there"), "it is filled up with zeros")
        } else {
            (format!("{} bytes were appended to it", length - wanted), "they are cut off")
        };
        let (file, remedy) = (file(&name), Remedy::Whole(text.to_owned()));
        let offset = Some(length.min(wanted));
        self.findings.push(Finding { what, file, offset, records: None, orders: Vec::new(), remedy });
        self.fixes.push(Fix::Resize { name, length: wanted });
        part.source.length = wanted;
    }
}

/// How a file of the journal is named to people.
pub(super) fn file(name: &str) -> String {
    format!("journal/{name}")
}

fn read_head(path: &Path) -> Result<(Option<Head>, u64), JournalError> {
    let failed = |error: std::io::Error| JournalError::io("could not read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mut bytes = [0; HEADER];
    read_full(&file, &mut bytes, 0).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len();
    match Head::decode(&bytes, path) {
        Ok(head) if head.capacity > FIRST => Ok((Some(head), length)),
        Err(newer @ JournalError::Newer { .. }) => Err(newer),
        Ok(_) | Err(_) => Ok((None, length)),
    }
}
