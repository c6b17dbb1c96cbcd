//! The files of the journal, brought into their order: which is which, and what is missing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::patched::Source;
use super::repair::Fix;
use super::{Finding, Remedy};
use crate::journal::error::JournalError;
use crate::journal::frame::Chain;
use crate::journal::packed::Forgiving;
use crate::journal::segment::{self, FIRST, Form, Head};
use crate::types::Position;

/// One segment.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) base: u64,
    /// The name that it has, or should have.
    pub(super) name: String,
    /// What is wrong with the packing, if it is packed, and what that means.
    pub(super) shell: Option<Damage>,
    /// None while it is not known: the header cannot be read.
    pub(super) head: Option<Head>,
    pub(super) source: Source,
}

/// Damage of a packed file.
#[derive(Clone, Debug)]
pub(super) struct Damage {
    what: String,
    /// Blocks that cannot be read: what was in them is missing.
    lost: usize,
}

impl Part {
    fn read(path: PathBuf, base: u64) -> Result<Self, JournalError> {
        let (source, head) = Source::read(path, base)?;
        let name = source.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { base, name, shell: None, head, source })
    }

    /// The name of the segment once it can be written to.
    pub(super) fn plain(&self) -> String {
        segment::name(self.base, Form::Plain)
    }

    /// Without what was planned for it.
    pub(super) fn afresh(&self) -> Self {
        Self { source: self.source.afresh(), ..self.clone() }
    }

    /// Reads all of a packed file.
    fn survey(&mut self) -> Result<(), JournalError> {
        if self.source.form == Form::Plain {
            return Ok(());
        }
        let path = &self.source.path;
        let failed = |error: std::io::Error| JournalError::io("could not read", path, &error);
        let file = Arc::new(File::open(path).map_err(failed)?);
        let (shell, mended, lost) = Forgiving::open(file, path, self.base)?.survey().map_err(failed)?;
        let count = |count: usize| if count == 1 { "1 block".to_owned() } else { format!("{count} blocks") };
        let mut whats: Vec<String> = shell.map(str::to_owned).into_iter().collect();
        whats.extend((mended > 0).then(|| format!("one bit is flipped in {}", count(mended))));
        whats.extend((lost > 0).then(|| format!("{} cannot be unpacked", count(lost))));
        self.shell = (!whats.is_empty()).then(|| Damage { what: whats.join(", "), lost });
        Ok(())
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
    dir: PathBuf,
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
        let mut shelf = Self { parts, beyond, findings, fixes, complete: true, dir: dir.to_owned(), backup };
        let mut found = Vec::new();
        for (base, form) in segment::among(&names) {
            let mut part = Part::read(dir.join(segment::name(base, form)), base)?;
            part.survey()?;
            found.push(part);
        }
        shelf.put_right(&mut found);
        shelf.line_up(found, last)?;
        Ok(shelf)
    }

    /// A segment of the backup that begins where `base` says, if its header can be read.
    pub(super) fn spare_part(&self, base: u64) -> Result<Option<Part>, JournalError> {
        let Some(folder) = &self.backup else { return Ok(None) };
        let paths = [Form::Plain, Form::Packed].map(|form| folder.join(segment::name(base, form)));
        let Some(path) = paths.into_iter().find(|path| path.is_file()) else { return Ok(None) };
        let mut part = Part::read(path, base)?;
        part.survey()?;
        let whole = part.head.is_some_and(|head| head.base == base && head.capacity == part.source.length);
        Ok(Some(part).filter(|part| whole && part.shell.is_none()))
    }

    /// What the backup says of a segment, if that is something else than its own header does.
    pub(super) fn other_head(&self, at: usize) -> Result<Option<Head>, JournalError> {
        let Some(part) = self.parts.get(at) else { return Ok(None) };
        let head = self.spare_part(part.base)?.and_then(|other| other.head);
        Ok(head.filter(|head| part.head != Some(*head) && head.capacity == part.source.length))
    }

    /// Gives files that stand under each other's names their own.
    fn put_right(&mut self, found: &mut [Part]) {
        let right = |part: &Part| {
            part.head
                .is_none_or(|head| head.base == part.base && part.name == segment::name(head.base, part.source.form))
        };
        let kept: Vec<u64> = found.iter().filter(|part| right(part)).map(|part| part.base).collect();
        let mut wanted: BTreeMap<u64, usize> = BTreeMap::new();
        for part in found.iter().filter(|part| !right(part)) {
            *wanted.entry(part.head.map_or(0, |head| head.base)).or_default() += 1;
        }
        for part in found.iter_mut().filter(|part| !right(part)) {
            let Some(head) = part.head else { continue };
            let own = segment::name(head.base, part.source.form);
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
        self.fixes.push(Fix::Fetch { source: part.source.afresh(), name: part.plain() });
    }

    fn missing(&mut self, base: u64) {
        let text = "put the file back from a backup, or name the backup with --from; without it nothing is changed, since \
                    nobody can tell which orders it is about";
        let remedy = Remedy::Person(text.to_owned());
        let what = format!("the segment that begins at position {base} is missing");
        let file = file(&segment::name(base, Form::Plain));
        self.findings.push(Finding { what, file, offset: None, records: None, orders: Vec::new(), remedy });
    }

    /// Packed segments of which anything has to be changed are unpacked first.
    pub(super) fn unpack(&mut self) {
        let mut unpacked = Vec::new();
        for part in self.parts.iter().filter(|part| part.source.form == Form::Packed) {
            // One that is taken from a backup is none of ours.
            let is_ours = part.source.path.parent() == Some(self.dir.as_path());
            let plain = part.plain();
            let is_changed = self.fixes.iter().any(|fix| fix.writes_to() == Some(&plain));
            if !is_ours || (part.shell.is_none() && !is_changed) {
                continue;
            }
            if let Some(Damage { what, lost }) = part.shell.clone() {
                let text = match lost {
                    0 => "it is unpacked, and nothing of it is missing",
                    _ => "it is unpacked; what becomes of the records that were in them is told by itself",
                };
                let (file, remedy) = (file(&part.name), Remedy::Whole(text.to_owned()));
                self.findings.push(Finding { what, file, offset: None, records: None, orders: Vec::new(), remedy });
            }
            unpacked.push(Fix::Unpack { name: part.name.clone(), source: part.source.afresh(), to: plain });
        }
        self.fixes.splice(0..0, unpacked);
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
        self.fixes.push(Fix::Resize { name: part.plain(), length: wanted });
        part.source.length = wanted;
    }
}

/// How a file of the journal is named to people.
pub(super) fn file(name: &str) -> String {
    format!("journal/{name}")
}
