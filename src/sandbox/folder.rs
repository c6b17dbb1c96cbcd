//! The folder of the books: one sandbox uses it at a time, since two would overwrite each other's lines and keys.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use super::clock::pause;

/// Holds the folder for this sandbox. The system gives it up when the process dies, however it dies.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum HeldError {
    #[error("{0}")]
    ByAnother(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A sandbox that is just ending may still hold it: so often it is tried, and so long in between.
const TRIES: u32 = 30;
const WAIT: Duration = Duration::from_millis(10);

impl Held {
    /// Makes the folder if there is none, and takes it.
    pub(super) async fn take(dir: &Path) -> Result<Self, HeldError> {
        fs::create_dir_all(dir)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(dir.join("lock"))?;
        for attempt in 1.. {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if attempt < TRIES => pause(WAIT).await,
                Err(TryLockError::WouldBlock) => return Err(HeldError::ByAnother(holder(&mut file, dir))),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        // Only for the message, so that a full disk is no reason not to start.
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        Ok(Self { file })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing would do, were it not for a process that is being started at this moment: it has the file open too.
        let _ = self.file.unlock();
    }
}

/// The folder, and who has it, if that can be read.
fn holder(file: &mut File, dir: &Path) -> String {
    let mut text = String::new();
    let _ = file.read_to_string(&mut text);
    let dir = dir.display();
    text.trim().parse::<u32>().map_or_else(|_| dir.to_string(), |pid| format!("{dir} (process {pid})"))
}
