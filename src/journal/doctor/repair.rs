//! Writes what was planned. What is overwritten is copied first.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::patched::{Patch, Source};
use crate::journal::disk::{Disk, RealDisk, read_full, write_all};
use crate::journal::error::JournalError;
use crate::journal::packed;
use crate::journal::segment::Form;
use crate::journal::tip::{Tip, TipFile};

/// One thing to do. File names are those in the journal's folder.
#[derive(Clone, Debug)]
pub(super) enum Fix {
    Rename {
        from: String,
        to: String,
    },
    /// Puts a plain segment in the place of a packed one.
    Unpack {
        name: String,
        source: Source,
        to: String,
    },
    /// Takes a whole segment from elsewhere.
    Fetch {
        source: Source,
        name: String,
    },
    Resize {
        name: String,
        length: u64,
    },
    Write {
        name: String,
        patch: Patch,
    },
    Tip {
        tip: Tip,
        turn: u64,
    },
}

impl Fix {
    /// The segment whose bytes it changes.
    pub(super) fn writes_to(&self) -> Option<&String> {
        match self {
            Self::Fetch { name, .. } | Self::Resize { name, .. } | Self::Write { name, .. } => Some(name),
            Self::Rename { .. } | Self::Unpack { .. } | Self::Tip { .. } => None,
        }
    }
}

pub(super) fn all(data: &Path, fixes: &[Fix]) -> Result<(), JournalError> {
    if fixes.is_empty() {
        return Ok(());
    }
    let (dir, aside) = (data.join("journal"), data.join("journal.aside"));
    let failed = |error: io::Error| JournalError::io("could not repair", &dir, &error);
    rename(&dir, fixes).map_err(failed)?;
    keep(&dir, &aside, fixes).map_err(failed)?;
    for fix in fixes {
        match fix {
            Fix::Rename { .. } => {}
            Fix::Unpack { name, source, to } => {
                // It may have got another name a moment ago.
                let source = source.renamed(dir.join(name));
                packed::unpack(&RealDisk, &*source.bytes()?, &dir.join(to)).map_err(failed)?;
                if name != to {
                    RealDisk.sync_dir(&dir).and_then(|()| RealDisk.remove(&source.path)).map_err(failed)?;
                }
            }
            Fix::Fetch { source, name } => {
                packed::unpack(&RealDisk, &*source.bytes()?, &dir.join(name)).map_err(failed)?;
                let other = dir.join(packed_name(name));
                if other.exists() {
                    RealDisk.sync_dir(&dir).and_then(|()| RealDisk.remove(&other)).map_err(failed)?;
                }
            }
            Fix::Resize { name, length } => resize(&dir.join(name), *length).map_err(failed)?,
            Fix::Write { name, patch: (offset, bytes) } => {
                let file = RealDisk.open(&dir.join(name), false).map_err(failed)?;
                write_all(&*file, bytes, *offset).and_then(|()| file.sync_data()).map_err(failed)?;
            }
            Fix::Tip { tip, turn } => {
                RealDisk.sync_dir(&dir).map_err(failed)?;
                TipFile::renew(&RealDisk, &data.join("tip"), tip, *turn)?;
            }
        }
    }
    RealDisk.sync_dir(&dir).and_then(|()| RealDisk.sync_dir(data)).map_err(failed)
}

/// Copies what will be overwritten, durably, before anything is.
fn keep(dir: &Path, aside: &Path, fixes: &[Fix]) -> io::Result<()> {
    let overwrites = |fix: &Fix| fix.writes_to().is_some() || matches!(fix, Fix::Unpack { .. });
    if !fixes.iter().any(overwrites) {
        return Ok(());
    }
    RealDisk.create_dir(aside)?;
    for fix in fixes {
        match fix {
            Fix::Fetch { name, .. } => {
                keep_all(dir, aside, name)?;
                keep_all(dir, aside, &packed_name(name))?;
            }
            Fix::Unpack { name, .. } => keep_all(dir, aside, name)?,
            Fix::Resize { name, length } => keep_part(&dir.join(name), aside, name, *length, u64::MAX)?,
            Fix::Write { name, patch: (offset, bytes) } => {
                keep_part(&dir.join(name), aside, name, *offset, bytes.len() as u64)?;
            }
            Fix::Rename { .. } | Fix::Tip { .. } => {}
        }
    }
    RealDisk.sync_dir(aside)?;
    aside.parent().map_or(Ok(()), |data| RealDisk.sync_dir(data))
}

fn keep_all(dir: &Path, aside: &Path, name: &str) -> io::Result<()> {
    if !dir.join(name).exists() {
        return Ok(());
    }
    let kept = free(aside, name);
    fs::copy(dir.join(name), &kept)?;
    File::open(kept)?.sync_all()
}

/// The name of a plain segment's packed form.
fn packed_name(plain: &str) -> String {
    plain.replace(Form::Plain.suffix(), Form::Packed.suffix())
}

fn keep_part(path: &Path, aside: &Path, name: &str, offset: u64, length: u64) -> io::Result<()> {
    let file = match File::open(path) {
        // A file that will be there only after it was renamed or fetched has nothing to keep here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    let there = file.metadata()?.len().saturating_sub(offset).min(length);
    if there == 0 {
        return Ok(());
    }
    let mut bytes = vec![0; usize::try_from(there).unwrap_or_default()];
    let read = read_full(&file, &mut bytes, offset)?;
    let kept = RealDisk.open(&free(aside, &format!("{name}.{offset}")), true)?;
    write_all(&*kept, &bytes[..read], 0)?;
    kept.sync_data()
}

/// A name that is not taken.
fn free(aside: &Path, name: &str) -> PathBuf {
    let numbered = (1..).map(|n| format!("{name}.{n}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered).map(|name| aside.join(name));
    names.find(|path| !path.exists()).unwrap_or_else(|| aside.join(name))
}

/// Files that have each other's names pass through other ones.
fn rename(dir: &Path, fixes: &[Fix]) -> io::Result<()> {
    let renames = || {
        fixes.iter().filter_map(|fix| match fix {
            Fix::Rename { from, to } => Some((dir.join(from), dir.join(format!("{to}.renamed")), dir.join(to))),
            _ => None,
        })
    };
    for (from, passing, _) in renames() {
        fs::rename(from, passing)?;
    }
    for (_, passing, to) in renames() {
        fs::rename(passing, to)?;
    }
    Ok(())
}

fn resize(path: &Path, length: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let had = file.metadata()?.len();
    file.set_len(length)?;
    // Room that is only promised could be missing when it is needed.
    let zeros = [0; 64 * 1024];
    let mut offset = had;
    while offset < length {
        let part = usize::try_from(length - offset).unwrap_or(zeros.len()).min(zeros.len());
        write_all(&file, &zeros[..part], offset)?;
        offset += part as u64;
    }
    file.sync_all()
}
