//! A file of the journal: a header block of 4096 bytes, then records, then zeros that were written ahead.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, read_full, write_all};
use super::error::JournalError;
use super::frame::{Chain, array};
use super::packed::PackedFile;

/// Where the records of a segment begin. The header has a block of its own, so that no write of a record touches it.
pub(crate) const FIRST: u64 = 4096;
pub(crate) const SEGMENT_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"PAYSTJNL";
pub(crate) const HEADER: usize = 80;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
/// How much is written between two syncs while a segment is filled with zeros: a commit waits behind no more than this.
const STRIDE: u64 = 1024 * 1024;

/// What the header of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The position of the first byte of the file.
    pub(crate) base: u64,
    /// The length of the file.
    pub(crate) capacity: u64,
    /// The number of the first record in it.
    pub(crate) seq: u64,
    /// The chain of the last record before it.
    pub(crate) chain: Chain,
}

/// How the file of a segment is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// In compressed blocks; such a segment is never written to.
    Packed,
}

#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) head: Head,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn DiskFile>,
}

impl Head {
    /// `magic [8] | version u32 | zero u32 | base u64 | capacity u64 | seq u64 | chain [32] | crc32c u32 | zero u32`
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&SEGMENT_VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.base.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.capacity.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.seq.to_le_bytes());
        bytes[40..72].copy_from_slice(&self.chain);
        let crc = crc32c::crc32c(&bytes[..72]);
        bytes[72..76].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Whether the bytes are meant to be a header, whole or not.
    pub(crate) fn is_one(bytes: &[u8; HEADER]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    pub(crate) fn decode(bytes: &[u8; HEADER], path: &Path) -> Result<Self, JournalError> {
        let damaged = |why: &str| JournalError::damaged(format!("the header of {} {why}", path.display()));
        if bytes[..8] != MAGIC {
            return Err(damaged("is not that of a segment"));
        }
        if crc32c::crc32c(&bytes[..72]) != u32::from_le_bytes(array(bytes, 72)) {
            return Err(damaged("does not fit its checksum"));
        }
        let version = u32::from_le_bytes(array(bytes, 8));
        if version > SEGMENT_VERSION {
            let place = path.display().to_string();
            return Err(JournalError::Newer { place, found: version, known: SEGMENT_VERSION });
        }
        Ok(Self {
            base: u64::from_le_bytes(array(bytes, 16)),
            capacity: u64::from_le_bytes(array(bytes, 24)),
            seq: u64::from_le_bytes(array(bytes, 32)),
            chain: array(bytes, 40),
        })
    }
}

impl Form {
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Plain => ".journal",
            Self::Packed => ".packed",
        }
    }

    pub(crate) fn of(path: &Path) -> Self {
        if path.extension().is_some_and(|end| end == "packed") { Self::Packed } else { Self::Plain }
    }
}

/// The bytes of a segment, whatever form its file has.
pub(crate) fn open_file(disk: &dyn Disk, path: &Path) -> Result<Arc<dyn DiskFile>, JournalError> {
    let file = disk.open(path, false).map_err(|error| JournalError::io("could not open", path, &error))?;
    match Form::of(path) {
        Form::Plain => Ok(file),
        Form::Packed => Ok(Arc::new(PackedFile::open(file, path)?)),
    }
}

impl Segment {
    /// Opens a segment and checks that its header fits its name and its length.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, base: u64, form: Form) -> Result<Self, JournalError> {
        let path = dir.join(name(base, form));
        let file = open_file(disk, &path)?;
        let read = |error: io::Error| JournalError::io("could not read", &path, &error);
        let mut bytes = [0; HEADER];
        read_full(&*file, &mut bytes, 0).map_err(read)?;
        let head = Head::decode(&bytes, &path)?;
        let length = file.len().map_err(read)?;
        if head.base != base || head.capacity != length || head.capacity <= FIRST {
            return Err(JournalError::damaged(format!(
                "{} says that it begins at {} and has {} bytes, but it has {length}",
                path.display(),
                head.base,
                head.capacity
            )));
        }
        Ok(Self { head, path, file })
    }

    /// Makes a file of zeros into the segment `head`, durably.
    pub(crate) fn begin(disk: &dyn Disk, dir: &Path, spare: &Path, head: Head) -> Result<Self, JournalError> {
        let path = dir.join(name(head.base, Form::Plain));
        let failed = |error: io::Error| JournalError::io("could not begin", &path, &error);
        let file = disk.open(spare, false).map_err(failed)?;
        write_all(&*file, &head.encode(), 0).map_err(failed)?;
        fault_point!("segment::head-written");
        file.sync_data().map_err(failed)?;
        fault_point!("segment::before-name");
        // Only now does it get its name: a segment that has one has its header.
        disk.rename(spare, &path).map_err(failed)?;
        fault_point!("segment::named");
        disk.sync_dir(dir).map_err(failed)?;
        Ok(Self { head, path, file })
    }

    pub(crate) fn end(&self) -> u64 {
        self.head.base + self.head.capacity
    }

    pub(crate) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// Fills a new file with zeros under a passing name, and gives it its own when it is whole.
pub(crate) fn preallocate(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<()> {
    let part = path.with_extension("part");
    let filled = fill(disk, &part, bytes).and_then(|()| {
        fault_point!("spares::filled");
        disk.rename(&part, path)
    });
    if filled.is_err() {
        // Best effort: it is removed when the journal is next opened.
        let _ = disk.remove(&part);
    }
    filled
}

fn fill(disk: &dyn Disk, part: &Path, bytes: u64) -> io::Result<()> {
    let file = disk.open(part, true)?;
    let mut offset = 0;
    while offset < bytes {
        let length = (bytes - offset).min(ZEROS.len() as u64);
        write_all(&*file, &ZEROS[..usize::try_from(length).unwrap_or(ZEROS.len())], offset)?;
        offset += length;
        if offset.is_multiple_of(STRIDE) {
            file.sync_data()?;
        }
    }
    file.sync_data()
}

/// Writes zeros over `from..to`, wherever there is anything else, and tells how many bytes were not zero's.
pub(crate) fn blank(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<u64> {
    let mut buffer = vec![0; ZEROS.len()];
    let (mut offset, mut dirty) = (from, 0);
    while offset < to {
        let length = usize::try_from(to - offset).unwrap_or(ZEROS.len()).min(ZEROS.len());
        let read = read_full(file, &mut buffer[..length], offset)?;
        if read == 0 {
            break;
        }
        if buffer[..read] != ZEROS[..read] {
            write_all(file, &ZEROS[..read], offset)?;
            dirty += read as u64;
        }
        offset += read as u64;
    }
    if dirty > 0 {
        file.sync_data()?;
    }
    Ok(dirty)
}

/// Writes the bytes of `from..to` once more where they are.
pub(crate) fn rewrite(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; ZEROS.len()];
    let mut offset = from;
    while offset < to {
        let length = usize::try_from(to - offset).unwrap_or(ZEROS.len()).min(ZEROS.len());
        let read = read_full(file, &mut buffer[..length], offset)?;
        if read == 0 {
            break;
        }
        write_all(file, &buffer[..read], offset)?;
        offset += read as u64;
    }
    Ok(())
}

/// The segments among file names, by their bases. One that is there in both forms is plain: it is being packed.
pub(crate) fn among(names: &[String]) -> BTreeMap<u64, Form> {
    let of =
        |form: Form| names.iter().filter_map(move |name| Some((name.strip_suffix(form.suffix())?.parse().ok()?, form)));
    of(Form::Packed).chain(of(Form::Plain)).collect()
}

pub(crate) fn name(base: u64, form: Form) -> String {
    format!("{base:020}{}", form.suffix())
}
