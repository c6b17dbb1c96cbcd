//! Looks a whole data directory over: the journal, and whether the working store is the fold of it. And repairs it.
//!
//! **Invariant.** Without a repair nothing below the directory is written. The working store is looked at in a copy,
//! since sled writes when it is opened.

mod compare;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::compare::{Expected, compare};
use super::archive::{Archive, purge};
use super::dir::{Lock, Marker, set_aside};
use super::gaps::Gaps;
use super::index::{Index, sync_tree, unreadable};
use super::recover::{catch_up, usable};
use super::{Fold, SledOptions};
use crate::journal::{Disk, Finding, JournalReader, Mark, RealDisk, Remedy, examine};
use crate::store::StoreError;
use crate::types::OrderId;

/// What is to be done.
#[derive(Clone, Debug, Default)]
pub struct CheckupOptions {
    /// Repair what can be repaired, if all of it can.
    pub repair: bool,
    /// A data directory to take whole segments from.
    pub backup: Option<PathBuf>,
    pub store: SledOptions,
}

/// What was found, and done.
#[derive(Clone, Debug, Default)]
pub struct Checkup {
    pub findings: Vec<Finding>,
    /// Orders that have lost entries, in this directory as it is or will be.
    pub orders: Vec<OrderNote>,
    /// Records of the journal.
    pub records: u64,
    /// Records that are lost, of which an earlier repair may have told.
    pub lost: u64,
    pub repaired: bool,
}

/// What an order has lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderNote {
    pub order: OrderId,
    pub note: String,
}

/// Looks a data directory over that no daemon uses.
pub fn checkup(data: &Path, options: &CheckupOptions, fold: &dyn Fold) -> Result<Checkup, StoreError> {
    if !["journal", "tip", "sled"].iter().any(|name| data.join(name).exists()) {
        return Err(unreadable(&data.display().to_string(), "it is not a data directory"));
    }
    let _lock = Lock::take_there(data)?;
    if !data.join("journal").is_dir() {
        let text = "put the folder back from a backup: everything else is made from it".to_owned();
        let findings = vec![finding("journal", "the folder is missing", Remedy::Person(text))];
        return Ok(Checkup { findings, ..Checkup::default() });
    }
    let journal = examine(data, options.backup.as_deref())?;
    let mut found = Checkup { findings: journal.findings.clone(), records: journal.records, ..Checkup::default() };
    let Some(reader) = journal.reader() else { return Ok(found) };
    let scratch = Scratch::new(data, options.repair).map_err(|error| failed(data, &error))?;
    let made = Made::new(reader, &scratch, options, fold);
    let made = match made {
        Ok(made) => made,
        Err(error @ (StoreError::Damaged(_) | StoreError::Read { .. })) => {
            let text = "this Paystate cannot read what is written: use the one that wrote it".to_owned();
            found.findings.push(finding("journal", &error.to_string(), Remedy::Person(text)));
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    found.lost = made.gaps.lost();
    let archive = look_at_archive(data, &made.index)?;
    let kept = match &archive {
        Ok(archive) => look_at_store(data, reader, &scratch, &made, archive, options, fold),
        Err(_) => Err("what was archived is not in it".to_owned()),
    };
    let notes = kept.as_ref().map_or_else(|_| notes(&made.gaps), notes);
    found.orders = notes;
    if let Err(what) = &archive {
        let text = "it is moved to archive.aside, and the working store is made again with all orders in it".to_owned();
        found.findings.push(finding("archive", what, Remedy::Whole(text)));
    }
    let wrong = kept.err();
    if let Some(what) = &wrong {
        let text = "it is made again from the journal, and what is there is moved to sled.aside".to_owned();
        found.findings.push(finding("sled", what, Remedy::Whole(text)));
    }
    if options.repair && !found.findings.is_empty() {
        journal.repair()?;
        if wrong.is_some() {
            match &archive {
                Ok(archive) => purge(&made.index, archive, reader)?,
                Err(_) => set_aside(&data.join("archive")).map_err(|error| failed(data, &error))?,
            }
            put_in_place(data, made.index, &scratch).map_err(|error| failed(data, &error))?;
        }
        let again = examine(data, None)?;
        found.repaired = again.findings.is_empty();
        found.findings.extend(again.findings);
    }
    Ok(found)
}

/// A working store that is made from the journal alone.
struct Made {
    index: Index,
    gaps: Gaps,
}

impl Made {
    fn new(
        reader: &JournalReader,
        scratch: &Scratch,
        options: &CheckupOptions,
        fold: &dyn Fold,
    ) -> Result<Self, StoreError> {
        let index =
            open(&scratch.path("made/sled"), &options.store).map_err(|why| unreadable("the scratch store", &why))?;
        let gaps = catch_up(&index, reader, Mark::START, fold, &Archive::empty(Path::new("")))?.gaps;
        Ok(Self { index, gaps })
    }
}

/// The archive that is there, or why it is of no use: a file that cannot be read, or an order that the journal does not
/// lead to any more.
fn look_at_archive(data: &Path, made: &Index) -> Result<Result<Archive, String>, StoreError> {
    let archive = match Archive::open(data) {
        Ok(archive) => archive,
        Err(unusable) => return unusable.refused(data).map(Err),
    };
    let mut strayed = None;
    let read = archive.all(|(order, tip)| {
        let reaches = made.last(order)?.is_some_and(|(_, made)| made >= tip);
        strayed = strayed.or((!reaches).then_some(order));
        Ok(())
    });
    Ok(match (read, strayed) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(()), Some(order)) => Err(format!("its entry for order {order} is not what the journal says")),
        (Ok(()), None) => Ok(archive),
    })
}

/// What is missing for the working store that is there, or why it must be made again.
fn look_at_store(
    data: &Path,
    reader: &JournalReader,
    scratch: &Scratch,
    made: &Made,
    archive: &Archive,
    options: &CheckupOptions,
    fold: &dyn Fold,
) -> Result<Gaps, String> {
    let there = data.join("sled");
    if !there.is_dir() {
        return if reader.end().0 == 0 { Ok(Gaps::default()) } else { Err("it is missing".to_owned()) };
    }
    if !Marker::new(data).is_trustworthy() {
        return Err("it was in use when the machine stopped, or was found to be wrong".to_owned());
    }
    let copy = scratch.path("copy/sled");
    copy_tree(&there, &copy).map_err(|error| format!("it cannot be copied: {error}"))?;
    let (index, mark) = usable(open(&copy, &options.store)?, reader)?;
    let gaps = catch_up(&index, reader, mark, fold, archive).map_err(|error| error.to_string())?.gaps;
    if index.generation().map_err(|error| error.to_string())? > archive.generation() {
        return Err("files of the archive are missing, and it lacks what was in them".to_owned());
    }
    compare(&index, &Expected { index: &made.index, gaps: &made.gaps, archive })?;
    Ok(gaps)
}

fn open(path: &Path, options: &SledOptions) -> Result<Index, String> {
    fs::create_dir_all(path).map_err(|error| error.to_string())?;
    Index::open(path, options.cache, options.open_within, Arc::clone(&options.index_writes))
        .map_err(|trouble| trouble.why)
}

pub(super) fn put_in_place(data: &Path, index: Index, scratch: &Scratch) -> io::Result<()> {
    let (made, there) = (scratch.path("made/sled"), data.join("sled"));
    index.close(&made).map_err(|trouble| io::Error::other(trouble.why))?;
    sync_tree(&made)?;
    if there.exists() {
        set_aside(&there)?;
    }
    fs::rename(made, there)?;
    RealDisk.sync_dir(data)?;
    Marker::new(data).clean()
}

fn notes(gaps: &Gaps) -> Vec<OrderNote> {
    let note = |(order, gap): (OrderId, super::gaps::Gap)| {
        let note = if gap.hidden {
            "its first entry is lost, or the text of the version that it is on: it cannot be shown".to_owned()
        } else {
            format!("{}; it is halted until a person resolves it", gap.reason())
        };
        OrderNote { order, note }
    };
    gaps.orders().map(note).collect()
}

fn finding(file: &str, what: &str, remedy: Remedy) -> Finding {
    let (what, file) = (what.to_owned(), file.to_owned());
    Finding { what, file, offset: None, records: None, orders: Vec::new(), remedy }
}

fn failed(data: &Path, error: &io::Error) -> StoreError {
    unreadable(&data.display().to_string(), &error.to_string())
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A place for what is made to be looked at. It is gone when this is dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// What may come into use must be on the same disk; without a repair nothing is written there.
    pub(super) fn new(data: &Path, repair: bool) -> io::Result<Self> {
        let path = if repair {
            data.join("sled.doctor")
        } else {
            std::env::temp_dir().join(format!("paystate-doctor-{}-{}", std::process::id(), unique()))
        };
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut builder = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        // Not one that somebody else has made.
        builder.create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "could not be removed");
        }
    }
}

fn unique() -> usize {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
