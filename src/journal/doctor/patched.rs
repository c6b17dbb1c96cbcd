//! The journal's files as they will be when they are repaired. Nothing on the disk is changed by looking at them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::journal::disk::{Disk, DiskFile, read_full};
use crate::journal::error::JournalError;
use crate::journal::packed::{self, Forgiving};
use crate::journal::segment::{FIRST, Form, HEADER, Head};

/// Bytes that belong at an offset.
pub(super) type Patch = (u64, Vec<u8>);
type Patches = Arc<Mutex<Vec<Patch>>>;

#[derive(Debug, Default)]
pub(super) struct PatchedDisk {
    files: Mutex<BTreeMap<PathBuf, Source>>,
}

/// Where a file's bytes come from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) form: Form,
    /// The position of the segment's first byte, as its name says.
    base: u64,
    /// How long the segment is, or should be.
    pub(super) length: u64,
    patches: Patches,
}

#[derive(Debug)]
struct PatchedFile {
    file: Arc<dyn DiskFile>,
    source: Source,
}

impl Source {
    /// The segment that a file holds, and whether its header can be read.
    pub(super) fn read(path: PathBuf, base: u64) -> Result<(Self, Option<Head>), JournalError> {
        let failed = |error: io::Error| JournalError::io("could not read", &path, &error);
        let mut bytes = [0; HEADER];
        let file = File::open(&path).map_err(failed)?;
        let read = read_full(&file, &mut bytes, 0).map_err(failed)?;
        let packed = packed::is_packed(&bytes[..read]) || (Form::of(&path) == Form::Packed && !Head::is_one(&bytes));
        let form = if packed { Form::Packed } else { Form::Plain };
        let mut source = Self { path: path.clone(), form, base, length: 0, patches: Patches::default() };
        let file = source.bytes()?;
        read_full(&*file, &mut bytes, 0).map_err(failed)?;
        source.length = file.len().map_err(failed)?;
        match Head::decode(&bytes, &path) {
            Ok(head) if head.capacity > FIRST => Ok((source, Some(head))),
            Err(newer @ JournalError::Newer { .. }) => Err(newer),
            Ok(_) | Err(_) => Ok((source, None)),
        }
    }

    /// The same file under another name.
    pub(super) fn renamed(&self, path: PathBuf) -> Self {
        Self { path, ..self.afresh() }
    }

    /// Without what was planned for it.
    pub(super) fn afresh(&self) -> Self {
        Self { patches: Patches::default(), ..self.clone() }
    }

    /// The bytes of the segment as they are, with zeros for what cannot be unpacked.
    pub(super) fn bytes(&self) -> Result<Arc<dyn DiskFile>, JournalError> {
        let file = File::open(&self.path).map_err(|error| JournalError::io("could not open", &self.path, &error))?;
        match self.form {
            Form::Plain => Ok(Arc::new(file)),
            Form::Packed => Ok(Arc::new(Forgiving::open(Arc::new(file), &self.path, self.base)?)),
        }
    }

    pub(super) fn patch(&self, patch: Patch) {
        self.patches.lock().unwrap_or_else(PoisonError::into_inner).push(patch);
    }

    pub(super) fn open(&self) -> Result<Arc<dyn DiskFile>, JournalError> {
        Ok(Arc::new(PatchedFile { file: self.bytes()?, source: self.clone() }))
    }
}

impl PatchedDisk {
    pub(super) fn put(&self, path: PathBuf, source: Source) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path, source);
    }
}

impl Disk for PatchedDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn list(&self, _dir: &Path) -> io::Result<Vec<String>> {
        Err(ErrorKind::Unsupported.into())
    }

    fn open(&self, path: &Path, _create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let source = self.files.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        source.ok_or(ErrorKind::NotFound)?.open().map_err(io::Error::other)
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }
}

impl DiskFile for PatchedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.source.length)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let room = self.source.length.saturating_sub(offset);
        let length = usize::try_from(room).unwrap_or(usize::MAX).min(into.len());
        let into = &mut into[..length];
        let read = read_full(&*self.file, into, offset)?;
        into[read..].fill(0);
        let patches = self.source.patches.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, bytes) in &*patches {
            let (from, to) = ((*at).max(offset), (at + bytes.len() as u64).min(offset + length as u64));
            if from < to {
                let part =
                    |begin: u64| usize::try_from(from - begin).unwrap_or(0)..usize::try_from(to - begin).unwrap_or(0);
                into[part(offset)].copy_from_slice(&bytes[part(*at)]);
            }
        }
        Ok(length)
    }

    fn write_at(&self, _bytes: &[u8], _offset: u64) -> io::Result<usize> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }
}
