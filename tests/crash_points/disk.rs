//! A disk on which a write of the journal is cut in two, at the border of a sector, with a point between the halves.

use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use paystate::journal::{Disk, DiskFile, RealDisk};

use crate::probe::Probe;

pub const HALF: &str = "disk::half-written";
const SECTOR: u64 = 512;

pub struct TornDisk(pub Weak<Probe>);

struct TornFile {
    file: Arc<dyn DiskFile>,
    probe: Weak<Probe>,
}

impl std::fmt::Debug for TornDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TornDisk")
    }
}

impl std::fmt::Debug for TornFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl Disk for TornDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(TornFile { file: RealDisk.open(path, create)?, probe: Weak::clone(&self.0) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}

impl DiskFile for TornFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let border = (offset + bytes.len() as u64 / 2) / SECTOR * SECTOR;
        let half = usize::try_from(border.saturating_sub(offset)).expect("a write fits into memory");
        let probe = self.probe.upgrade().filter(|_| half > 0 && bytes.iter().any(|&byte| byte != 0));
        let Some(probe) = probe else { return self.file.write_at(bytes, offset) };
        write_all(&*self.file, &bytes[..half], offset)?;
        probe.pass(HALF);
        write_all(&*self.file, &bytes[half..], border)?;
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

fn write_all(file: &dyn DiskFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = file.write_at(bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}
