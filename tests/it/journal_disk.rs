//! A disk in memory that can be cut off from power, filled up, and made to fail at any call.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use paystate::journal::{Disk, DiskFile};

const SECTOR: usize = 512;

#[derive(Clone, Debug, Default)]
pub(crate) struct SimDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Clone, Debug, Default)]
struct World {
    names: BTreeMap<PathBuf, usize>,
    /// What was done to names since the directory was last synced.
    unsynced_names: Vec<NameChange>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<Content>,
    calls: u64,
    fault: Option<(u64, Fault)>,
    room: Option<u64>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Create(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<(u64, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This call fails, the ones after it do not.
    Io,
    /// A write writes half; other calls fail.
    Short,
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

/// A small generator, so that a seed gives the same crash everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides.max(1)
    }
}

impl SimDisk {
    /// From the `n`-th call from now on, once.
    pub(crate) fn fail_at(&self, n: u64, fault: Fault) {
        let mut world = self.world();
        world.fault = Some((world.calls + n, fault));
    }

    /// How many bytes fit in all.
    pub(crate) fn set_room(&self, bytes: Option<u64>) {
        self.world().room = bytes;
    }

    pub(crate) fn used(&self) -> u64 {
        self.world().used()
    }

    /// The disk as another process finds it after this one was killed.
    pub(crate) fn copy(&self) -> Self {
        let world = World { fault: None, ..self.world().clone() };
        Self { world: Arc::new(Mutex::new(world)) }
    }

    /// The disk after a power cut: of what was not synced, any sectors may be there and any may not.
    pub(crate) fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let mut world = self.world().clone();
        let keep = dice.roll(world.unsynced_names.len() as u64 + 1);
        world.names = world.durable_names.clone();
        for change in std::mem::take(&mut world.unsynced_names).into_iter().take(usize::try_from(keep).unwrap()) {
            change.apply(&mut world.names);
        }
        world.durable_names = world.names.clone();
        for file in &mut world.files {
            for (offset, bytes) in std::mem::take(&mut file.unsynced) {
                for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                    if dice.roll(2) == 0 {
                        put(&mut file.durable, offset + (n * SECTOR) as u64, sector);
                    }
                }
            }
            file.now = file.durable.clone();
        }
        world.fault = None;
        Self { world: Arc::new(Mutex::new(world)) }
    }

    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.world().names.keys().cloned().collect()
    }

    pub(crate) fn content(&self, path: &Path) -> Vec<u8> {
        let world = self.world();
        world.files[world.names[path]].now.clone()
    }

    /// Changes a file behind the journal's back.
    pub(crate) fn tamper(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let file = world.names[path];
        let file = &mut world.files[file];
        change(&mut file.now);
        file.durable = file.now.clone();
        file.unsynced.clear();
    }

    /// Puts another disk's file in the place of this one's, or removes it where the other has none.
    pub(crate) fn put_back(&self, older: &Self, path: &Path) {
        if older.paths().iter().any(|there| there == path) {
            let content = older.content(path);
            self.tamper(path, |now| *now = content);
        } else {
            self.erase(path);
        }
    }

    pub(crate) fn erase(&self, path: &Path) {
        let mut world = self.world();
        world.names.remove(path);
        world.durable_names.remove(path);
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Counts the call; tells whether it is to fail.
    fn call(&self) -> Result<(MutexGuard<'_, World>, bool), io::Error> {
        let mut world = self.world();
        world.calls += 1;
        match world.fault {
            Some((at, Fault::Io)) if at == world.calls => Err(io::Error::other("injected")),
            Some((at, Fault::Short)) if at == world.calls => Ok((world, true)),
            _ => Ok((world, false)),
        }
    }
}

impl World {
    fn used(&self) -> u64 {
        self.names.values().map(|&file| self.files[file].now.len() as u64).sum()
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            Self::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove(path) => {
                names.remove(path);
            }
        }
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.call().map(drop)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let (world, _) = self.call()?;
        let inside = world.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let (mut world, _) = self.call()?;
        let file = match world.names.get(path) {
            Some(&file) => file,
            None if create => {
                world.files.push(Content::default());
                let file = world.files.len() - 1;
                world.change(NameChange::Create(path.to_owned(), file));
                file
            }
            None => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let (mut world, _) = self.call()?;
        world.change(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (mut world, _) = self.call()?;
        world.change(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let (mut world, _) = self.call()?;
        world.unsynced_names.clear();
        world.durable_names = world.names.clone();
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let (world, _) = self.disk.call()?;
        Ok(world.files[self.file].now.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let (world, _) = self.disk.call()?;
        let now = &world.files[self.file].now;
        let from = usize::try_from(offset).unwrap().min(now.len());
        let length = into.len().min(now.len() - from);
        into[..length].copy_from_slice(&now[from..from + length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let (mut world, short) = self.disk.call()?;
        let bytes = if short { &bytes[..bytes.len().div_ceil(2)] } else { bytes };
        let end = offset + bytes.len() as u64;
        let grows = end.saturating_sub(world.files[self.file].now.len() as u64);
        if grows > 0 && world.room.is_some_and(|room| world.used() + grows > room) {
            return Err(ErrorKind::StorageFull.into());
        }
        let file = &mut world.files[self.file];
        put(&mut file.now, offset, bytes);
        file.unsynced.push((offset, bytes.to_vec()));
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut world, failed) = self.disk.call()?;
        let file = &mut world.files[self.file];
        if failed {
            return Err(io::Error::other("injected"));
        }
        for (offset, bytes) in std::mem::take(&mut file.unsynced) {
            put(&mut file.durable, offset, &bytes);
        }
        Ok(())
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let from = usize::try_from(offset).unwrap();
    let end = from + bytes.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[from..end].copy_from_slice(bytes);
}
