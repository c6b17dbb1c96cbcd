//! Room that is kept for the working store. sled does not survive a write for which there is no room: it refuses even
//! reads from then on. So it is written only while this file is there, and when the disk runs full all the same, the file
//! is given up and what sled needs to be opened again is in its place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::journal::{Disk, RealDisk, is_full};

/// Two of sled's segments.
const SIZE: u64 = 32 * 1024 * 1024;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn new(dir: &Path) -> Self {
        Self { path: dir.join("reserve") }
    }

    /// Sees to it that it is there; false when the disk has no room for it.
    pub(super) fn keep(&self) -> io::Result<bool> {
        match self.fill() {
            Err(error) if is_full(&error) => {
                self.give_up();
                Ok(false)
            }
            filled => filled.map(|()| true),
        }
    }

    /// Makes room; false when there was nothing to give up.
    pub(super) fn give_up(&self) -> bool {
        // Whatever is wrong is met again by whoever needs the room.
        fs::remove_file(&self.path).is_ok()
    }

    fn fill(&self) -> io::Result<()> {
        let file = RealDisk.open(&self.path, true)?;
        let mut length = file.len()?;
        while length < SIZE {
            let part = usize::try_from(SIZE - length).unwrap_or(ZEROS.len()).min(ZEROS.len());
            length += file.write_at(&ZEROS[..part], length)? as u64;
        }
        Ok(())
    }
}
