//! The data directory: who uses it, and whether the working store in it can be believed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::journal::{Disk, RealDisk};
use crate::store::StoreError;

const CLEAN: &str = "clean";

/// Holds the directory for this process. The system gives it up when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct Lock {
    file: File,
}

/// A daemon that is just ending may still hold it.
const PATIENCE: Duration = Duration::from_millis(300);

impl Lock {
    /// Makes the directory if there is none, and takes it.
    pub(super) fn take(dir: &Path) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::Closed { dir: dir.display().to_string(), why: error.to_string() };
        RealDisk.create_dir(dir).and_then(|()| sync_way_to(dir)).map_err(failed)?;
        Self::take_there(dir)
    }

    /// Takes a directory that is there.
    pub(super) fn take_there(dir: &Path) -> Result<Self, StoreError> {
        let failed = |error: io::Error| StoreError::Closed { dir: dir.display().to_string(), why: error.to_string() };
        let mut file = open_private(&dir.join("lock")).map_err(failed)?;
        match lock_patiently(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message: without it the directory is named alone.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim();
                let dir = dir.display();
                let named = holder.parse::<u32>().map(|pid| format!("{dir} (process {pid})"));
                return Err(StoreError::Locked(named.unwrap_or_else(|_| dir.to_string())));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // Only for the message above, so that a full disk is no reason not to start.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do, were it not for a process that is being started at this moment: it has the file open too.
        let _ = self.file.unlock();
    }
}

/// Makes the names durable that lead to the directory: what is synced in a directory without a name is lost.
fn sync_way_to(dir: &Path) -> io::Result<()> {
    let dir = fs::canonicalize(dir)?;
    let mut below = fs::metadata(&dir)?;
    for above in dir.ancestors().skip(1) {
        let metadata = fs::metadata(above)?;
        if is_mounted_there(&below, &metadata) {
            break;
        }
        match RealDisk.sync_dir(above) {
            // Whoever may not look into a directory has made no name in it.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            synced => synced?,
        }
        below = metadata;
    }
    Ok(())
}

#[cfg(unix)]
fn is_mounted_there(below: &fs::Metadata, above: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    below.dev() != above.dev()
}

#[cfg(not(unix))]
fn is_mounted_there(_below: &fs::Metadata, _above: &fs::Metadata) -> bool {
    false
}

fn lock_patiently(file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + PATIENCE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(Duration::from_millis(10)),
            answer => return answer,
        }
    }
}

/// Says whether the working store was closed, and if not, in which run of the machine it was in use.
///
/// sled does not survive a power cut: it acknowledges what the disk's cache holds. But it survives the death of the
/// process, since what it wrote stays in the memory of the system. So an unclosed store is believed only as long as
/// the machine has not been started anew.
#[derive(Debug)]
pub(super) struct Marker {
    path: PathBuf,
}

impl Marker {
    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join("working") }
    }

    pub(super) fn is_trustworthy(&self) -> bool {
        match fs::read_to_string(&self.path) {
            Ok(text) => text.trim() == CLEAN || boot_id().is_some_and(|boot| text.trim() == boot),
            Err(_) => false,
        }
    }

    pub(super) fn in_use(&self) -> io::Result<()> {
        self.write(&boot_id().unwrap_or_else(|| "unknown".to_owned()))
    }

    pub(super) fn clean(&self) -> io::Result<()> {
        self.write(CLEAN)
    }

    /// It was found to be wrong: the next start does not believe it.
    pub(super) fn damaged(&self) -> io::Result<()> {
        self.write("damaged")
    }

    fn write(&self, text: &str) -> io::Result<()> {
        replace(&self.path, text)
    }
}

/// Puts a text in the place of what a file had, durably: whoever reads it finds the one or the other.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let next = path.with_extension("next");
    let mut file = open_private(&next)?;
    file.set_len(0)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    fault_point!("recovery::before-note");
    fs::rename(&next, path)?;
    fault_point!("recovery::noted");
    path.parent().map_or(Ok(()), |dir| RealDisk.sync_dir(dir))
}

fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(format!("in use since boot {}", id.trim()))
}

/// Moves a working store out of the way. The one before it is given up, so that there is at most one.
pub(super) fn set_aside(path: &Path) -> io::Result<()> {
    let aside = path.with_extension("aside");
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(path, aside)
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
