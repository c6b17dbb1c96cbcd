//! The names on a disk, by the inode of their directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::log::{Kind, Log, Record};

#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    root: u64,
    dirs: BTreeMap<u64, BTreeMap<String, u64>>,
}

impl Tree {
    pub(super) fn read(path: &Path) -> Self {
        let mut tree = Self { root: fs::metadata(path).unwrap().ino(), dirs: BTreeMap::new() };
        tree.read_dir(tree.root, path);
        tree
    }

    fn read_dir(&mut self, ino: u64, path: &Path) {
        self.dirs.entry(ino).or_default();
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            self.dirs.entry(ino).or_default().insert(name, entry.ino());
            if entry.file_type().unwrap().is_dir() {
                self.read_dir(entry.ino(), &entry.path());
            }
        }
    }

    /// Takes a change of names in.
    pub(super) fn apply(&mut self, log: &Log, record: &Record) {
        let (name, old) = log.names(record);
        let dir = self.dirs.entry(record.file).or_default();
        match record.kind {
            Kind::Create | Kind::Mkdir => drop(dir.insert(name.to_owned(), record.at)),
            Kind::Rename => {
                dir.insert(name.to_owned(), record.at);
                let left = self.dirs.entry(record.length).or_default();
                if left.get(old) == Some(&record.at) {
                    left.remove(old);
                }
            }
            Kind::Remove => {
                if dir.get(name) == Some(&record.at) {
                    dir.remove(name);
                }
            }
            Kind::Write | Kind::Truncate | Kind::Sync | Kind::SyncFailed => {}
        }
        if record.kind == Kind::Mkdir {
            self.dirs.entry(record.at).or_default();
        }
    }

    /// Where each file is.
    pub(super) fn files(&self, root: &Path) -> BTreeMap<u64, PathBuf> {
        let mut files = BTreeMap::new();
        self.walk(self.root, root, &mut |ino, path, is_dir| {
            if !is_dir {
                files.insert(ino, path.to_owned());
            }
        });
        files
    }

    /// Where the file or directory is.
    pub(super) fn path_of(&self, wanted: u64, root: &Path) -> Option<PathBuf> {
        let mut found = None;
        self.walk(self.root, root, &mut |ino, path, _| {
            if ino == wanted {
                found = Some(path.to_owned());
            }
        });
        found
    }

    /// Makes this tree at `to`, out of the files that are at `from`.
    pub(super) fn build(&self, from: &BTreeMap<u64, PathBuf>, to: &Path) {
        fs::create_dir(to).unwrap();
        self.walk(self.root, to, &mut |ino, path, is_dir| {
            if is_dir {
                fs::create_dir(path).unwrap();
            } else {
                let file = from.get(&ino).unwrap_or_else(|| panic!("{} is nowhere", path.display()));
                fs::hard_link(file, path).unwrap();
            }
        });
    }

    fn walk(&self, dir: u64, path: &Path, visit: &mut impl FnMut(u64, &Path, bool)) {
        for (name, &ino) in self.dirs.get(&dir).into_iter().flatten() {
            let path = path.join(name);
            let is_dir = self.dirs.contains_key(&ino);
            visit(ino, &path, is_dir);
            if is_dir {
                self.walk(ino, &path, visit);
            }
        }
    }
}
