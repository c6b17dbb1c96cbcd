//! A picture of what a process leaves that dies now: its files as the system has them, what the providers have done, and
//! what the clients know. Memory is lost.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::probe::{Client, Gate};
use crate::provider::Request;

/// Where a process that will die has its files.
pub const SCRATCH: &str = "PAYSTATE_CRASH_SCRATCH";

pub struct Image {
    pub dir: TempDir,
    pub client: Client,
    pub requests: Vec<Arc<Request>>,
    pub place: Place,
}

/// At which passing of which point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub point: String,
    pub hit: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} #{}", self.point, self.hit)
    }
}

/// What a process leaves that has died, for another one.
#[derive(Serialize, Deserialize)]
pub struct Left {
    pub dir: PathBuf,
    pub client: Client,
    pub requests: Vec<Arc<Request>>,
}

/// Pictures that were taken before, by what is on them. Whatever follows from a picture follows from it again.
pub type Seen = Arc<Mutex<HashSet<[u8; 32]>>>;

/// Which pictures are taken.
pub enum Camera {
    Off,
    /// One place of so many, as a seed has it; and no picture twice.
    Share(Album),
    /// One for each pick.
    Picks(Vec<Pick>),
    /// None: the process dies at this place, and what it leaves is written into a file.
    Abort {
        place: Place,
        left: PathBuf,
    },
}

#[derive(Default)]
pub struct Album {
    pub one_in: u64,
    pub seed: u64,
    pub seen: Seen,
    pub images: Vec<Image>,
    /// Where a picture was that had been taken before.
    pub same: Vec<String>,
}

/// One picture, at any of the places that are asked for.
pub struct Pick {
    pub at: At,
    pub seed: u64,
    /// How many of these places were passed.
    pub passed: u64,
    pub image: Option<Image>,
}

/// Which places.
pub enum At {
    /// All.
    Anywhere,
    /// The first passing of each point: the rare ones are as likely as those that an order passes all the time.
    First,
    /// The same, of what a start does before it is over.
    Start,
    /// A point.
    Point(&'static str),
}

impl Pick {
    pub fn new(at: At, seed: u64) -> Self {
        Self { at, seed, passed: 0, image: None }
    }

    fn look(&mut self, gate: &Gate, name: &'static str, hit: u64) {
        let wanted = match self.at {
            At::Anywhere => true,
            At::First => hit == 1,
            At::Start => hit == 1 && ["open::", "journal::", "recovery::"].iter().any(|room| name.starts_with(room)),
            At::Point(point) => point == name,
        };
        if wanted {
            self.passed += 1;
            // So each of them is the one that stays with the same probability.
            if hash(self.seed, name, self.passed).is_multiple_of(self.passed) {
                self.image = Some(Image::take(gate, name, hit).0);
            }
        }
    }
}

impl Camera {
    pub fn look(&mut self, gate: &Gate, name: &'static str, hit: u64) {
        match self {
            Self::Off => {}
            Self::Share(album) => {
                if hash(album.seed, name, hit).is_multiple_of(album.one_in) {
                    let (image, digest) = Image::take(gate, name, hit);
                    if album.seen.lock().unwrap().insert(digest) {
                        album.images.push(image);
                    } else {
                        album.same.push(name.to_owned());
                    }
                }
            }
            Self::Picks(picks) => picks.iter_mut().for_each(|pick| pick.look(gate, name, hit)),
            Self::Abort { place, left } => {
                if (place.point.as_str(), place.hit) == (name, hit) {
                    let (dir, client, requests) = (gate.dir.clone(), gate.client.clone(), gate.requests.clone());
                    let text = serde_json::to_vec(&Left { dir, client, requests }).expect("it is plain");
                    fs::write(left, text).expect("a file is written");
                    std::process::abort();
                }
            }
        }
    }
}

/// The same number for the same place on every machine.
pub fn hash(seed: u64, name: &str, number: u64) -> u64 {
    let bytes = name.bytes().chain(number.to_le_bytes());
    let mut z = bytes.fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Image {
    /// Takes it, and tells a hash of all that is on it.
    pub fn take(gate: &Gate, point: &'static str, hit: u64) -> (Self, [u8; 32]) {
        let mut digest = Context::new(&SHA256);
        digest.update(format!("{:?} {}", gate.client, gate.requests.len()).as_bytes());
        let dir = copy(&gate.dir, &mut digest);
        let place = Place { point: point.to_owned(), hit };
        let image = Self { dir, client: gate.client.clone(), requests: gate.requests.clone(), place };
        let digest = digest.finish().as_ref().try_into().expect("32 bytes");
        (image, digest)
    }
}

/// In memory, if there is a file system that has room: nothing here is about what a disk loses.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = match std::env::var_os(SCRATCH) {
        Some(folder) => tempfile::tempdir_in(folder),
        None if has_room(memory) => tempfile::tempdir_in(memory),
        None => tempfile::tempdir(),
    };
    made.or_else(|_| tempfile::tempdir()).expect("a temporary folder")
}

/// Containers often have no more than 64 MiB there.
fn has_room(folder: &Path) -> bool {
    let Ok(told) = Command::new("df").arg("-Pk").arg(folder).output() else { return false };
    let text = String::from_utf8_lossy(&told.stdout);
    let free = text.lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    free.is_some_and(|free| free > 2 * 1024 * 1024)
}

/// A copy of a data directory as it is. A thread that prepares a file for the journal may be at work meanwhile, so the
/// journal comes last: what is behind it may be older, and a file that has got its name meanwhile is looked for again.
pub fn copy(from: &Path, digest: &mut Context) -> TempDir {
    loop {
        let (to, mut tried) = (scratch(), digest.clone());
        match copy_all(from, to.path(), &mut tried) {
            Ok(()) => {
                *digest = tried;
                return to;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => panic!("{} could not be copied: {error}", from.display()),
        }
    }
}

fn copy_all(from: &Path, to: &Path, digest: &mut Context) -> io::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(from)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort_by_key(|path| (path.file_name().is_some_and(|name| name == "journal"), path.clone()));
    for path in entries {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let target = to.join(name);
        if path.is_dir() {
            fs::create_dir(&target)?;
            digest.update(name.as_bytes());
            copy_all(&path, &target, digest)?;
            continue;
        }
        match name {
            // Who holds it says nothing.
            "lock" => {}
            "reserve" => make_reserve(to)?,
            _ => {
                digest.update(name.as_bytes());
                copy_file(&path, &target, digest)?;
            }
        }
    }
    Ok(())
}

/// The file that the working store keeps for a full disk: only its length counts.
pub fn make_reserve(dir: &Path) -> io::Result<()> {
    File::create(dir.join("reserve"))?.set_len(32 * 1024 * 1024)
}

/// Copies a file, with holes where it has nothing but zeros.
fn copy_file(from: &Path, to: &Path, digest: &mut Context) -> io::Result<()> {
    const BLOCK: usize = 64 * 1024;
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let (mut source, mut target) = (File::open(from)?, File::create(to)?);
    let mut buffer = vec![0; BLOCK];
    let mut at = 0_u64;
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        if buffer[..read] != ZEROS[..read] {
            digest.update(&at.to_le_bytes());
            digest.update(&buffer[..read]);
            target.seek(SeekFrom::Start(at))?;
            target.write_all(&buffer[..read])?;
        }
        at += read as u64;
    }
    digest.update(&at.to_le_bytes());
    target.set_len(at)
}
