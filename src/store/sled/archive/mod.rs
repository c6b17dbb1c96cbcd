//! Orders that have left the working store: which they are, and where the last entry of each stands in the journal.
//!
//! **Invariant.** An order leaves the working store only when a file here, durable by then, has it. What the working store
//! knows of an order counts before what stands here, and a newer file before an older one.

mod file;
mod merge;
mod past;
mod work;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

pub(super) use self::file::Unusable;
use self::file::{Entry, IndexFile};
pub(super) use self::past::{last, order, seen};
pub(super) use self::work::{Archiver, Request, purge};
use super::index::unreadable;
use crate::journal::{Disk, RealDisk};
use crate::store::StoreError;
use crate::types::{OrderId, Position};

/// What an archiving has done, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Archived {
    /// Orders that have left the working store.
    pub orders: u64,
    /// Orders that stay, old as they are, because entries of their journals cannot be read.
    pub kept: u64,
}

/// The files, newest first. They stand for one another without a gap.
#[derive(Debug)]
pub(super) struct Archive {
    dir: PathBuf,
    files: RwLock<Vec<Arc<IndexFile>>>,
}

impl Archive {
    /// The archive of a data directory; nothing is made or written.
    pub(super) fn open(data: &Path) -> Result<Self, Unusable> {
        let dir = data.join("archive");
        let names = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::empty(data)),
            names => names.map_err(Unusable::Io)?,
        };
        let mut found = Vec::new();
        for entry in names {
            let path = entry.map_err(Unusable::Io)?.path();
            if path.file_name().is_some_and(|name| file::is_one(&name.to_string_lossy())) {
                found.push(Arc::new(IndexFile::open(path)?));
            }
        }
        found.sort_by_key(|file| std::cmp::Reverse(file.last));
        let mut files: Vec<Arc<IndexFile>> = Vec::new();
        for file in found {
            match files.last().map(|newer| newer.first) {
                // A merged file has it too.
                Some(first) if file.last >= first => continue,
                Some(first) if file.last + 1 != first => return Err(missing(&dir, first - 1)),
                _ => files.push(file),
            }
        }
        if let Some(oldest) = files.last().filter(|oldest| oldest.first != 1) {
            return Err(missing(&dir, oldest.first - 1));
        }
        Ok(Self { dir, files: RwLock::new(files) })
    }

    pub(super) fn empty(data: &Path) -> Self {
        Self { dir: data.join("archive"), files: RwLock::default() }
    }

    /// Removes what a cut-off writing or merging has left.
    pub(super) fn tidy(&self) -> io::Result<()> {
        let files = self.files();
        let names = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names?,
        };
        for entry in names {
            let path = entry?.path();
            if files.iter().all(|file| file.path != path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Where the last entry of an order stands, as far as was known when it was archived.
    pub(super) fn find(&self, order: OrderId) -> Result<Option<Position>, StoreError> {
        for file in self.files() {
            let found = file.find(order).map_err(|error| unreadable("the archive", &error.to_string()))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Says which file cannot be read, if one cannot. Reads all of them, and calls `each` with every entry that counts.
    pub(super) fn all(&self, mut each: impl FnMut(Entry) -> Result<(), StoreError>) -> Result<(), StoreError> {
        for entry in merge::merged(&self.files()) {
            each(entry.map_err(|error| unreadable("the archive", &error.to_string()))?)?;
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.files().is_empty()
    }

    /// No order with a greater id is in here.
    pub(super) fn newest(&self) -> Option<OrderId> {
        self.files().iter().map(|file| file.highest).max()
    }

    /// How many files have ever been written: the newest stands for all up to here.
    pub(super) fn generation(&self) -> u64 {
        self.files().first().map_or(0, |file| file.last)
    }

    /// Adds orders, in the order of their ids, durably.
    pub(super) fn add(&self, entries: &[Entry]) -> io::Result<()> {
        RealDisk.create_dir(&self.dir)?;
        if let Some(data) = self.dir.parent() {
            RealDisk.sync_dir(data)?;
        }
        let number = self.generation() + 1;
        let Some(path) = file::write(&self.dir, (number, number), entries.iter().copied().map(Ok))? else {
            return Ok(());
        };
        let file = opened(path)?;
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(0, Arc::new(file));
        Ok(())
    }

    fn files(&self) -> Vec<Arc<IndexFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Unusable {
    /// In words; none if the files are only damaged, and can be made again.
    pub(super) fn refused(self, data: &Path) -> Result<String, StoreError> {
        match self {
            Self::Damaged(why) => Ok(why),
            Self::Newer(found) => Err(StoreError::Damaged(format!(
                "{} has format version {found}, and this Paystate reads up to {}: use a newer one",
                data.join("archive").display(),
                file::VERSION
            ))),
            Self::Io(error) => Err(unreadable("the archive", &error.to_string())),
        }
    }
}

fn missing(dir: &Path, number: u64) -> Unusable {
    Unusable::Damaged(format!("{} is missing", dir.join(file::name(number)).display()))
}

fn opened(path: PathBuf) -> io::Result<IndexFile> {
    IndexFile::open(path).map_err(|unusable| match unusable {
        Unusable::Io(error) => error,
        other => io::Error::other(format!("what was just written cannot be read: {other:?}")),
    })
}
