//! One file of the archive: order ids in their order, each with the position of its last entry. Never changed once it has
//! its name.
//!
//! A page of 4096 bytes for the header, then pages of up to 170 entries: `id [16] | position u64`, and at their end
//! `page u32 | entries u32 | zero u32 | crc32c u32`.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::journal::{Disk, RealDisk};
use crate::types::{OrderId, Position};

const MAGIC: &[u8; 8] = b"PAYSTIDX";
pub(super) const VERSION: u32 = 1;
const PAGE: usize = 4096;
const ENTRY: usize = 24;
const PER_PAGE: u64 = 170;
const SUFFIX: &str = ".index";

pub(super) type Entry = (OrderId, Position);

/// Why a file cannot be used.
#[derive(Debug)]
pub(in crate::store::sled) enum Unusable {
    Damaged(String),
    Newer(u32),
    Io(io::Error),
}

#[derive(Debug)]
pub(super) struct IndexFile {
    file: File,
    pub(super) path: PathBuf,
    /// It stands for the files that were written from the first to the last of these, the first ever being 1.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: u64,
    lowest: OrderId,
    pub(super) highest: OrderId,
}

impl IndexFile {
    pub(super) fn open(path: PathBuf) -> Result<Self, Unusable> {
        let damaged = |why: &str| Unusable::Damaged(format!("{}: {why}", path.display()));
        let file = File::open(&path).map_err(Unusable::Io)?;
        let mut head = [0; PAGE];
        let length = file.metadata().map_err(Unusable::Io)?.len();
        match file.read_exact_at(&mut head, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Err(damaged("it is cut off")),
            read => read.map_err(Unusable::Io)?,
        }
        if &head[..8] != MAGIC || crc32c::crc32c(&head[..72]).to_le_bytes() != head[72..76] {
            return Err(damaged("its header cannot be read"));
        }
        let number = |at: usize| u64::from_le_bytes(array(&head, at));
        let version = u32::from_le_bytes(array(&head, 8));
        if version > VERSION {
            return Err(Unusable::Newer(version));
        }
        let (first, last, count) = (number(16), number(24), number(32));
        if count == 0 || first > last || name(last) != path.file_name().unwrap_or_default().to_string_lossy() {
            return Err(damaged("it is another file than its name says"));
        }
        if length != (count.div_ceil(PER_PAGE) + 1) * PAGE as u64 {
            return Err(damaged("it is cut off or longer than it was"));
        }
        let id = |at: usize| OrderId::from_bytes(array(&head, at));
        let (lowest, highest) = (id(40), id(56));
        Ok(Self { file, path, first, last, count, lowest, highest })
    }

    pub(super) fn find(&self, order: OrderId) -> io::Result<Option<Position>> {
        if order < self.lowest || order > self.highest {
            return Ok(None);
        }
        let (mut low, mut high) = (0, self.pages());
        while low < high {
            let middle = low + (high - low) / 2;
            let page = self.page(middle)?;
            let compared = match (page.first(), page.last()) {
                (Some((first, _)), _) if order < *first => Ordering::Less,
                (_, Some((last, _))) if order > *last => Ordering::Greater,
                _ => {
                    let found = page.binary_search_by_key(&order, |entry| entry.0);
                    return Ok(found.ok().map(|at| page[at].1));
                }
            };
            if compared == Ordering::Less { high = middle } else { low = middle + 1 }
        }
        Ok(None)
    }

    pub(super) fn pages(&self) -> u64 {
        self.count.div_ceil(PER_PAGE)
    }

    /// All entries; ends after the first page that cannot be read.
    pub(super) fn entries(&self) -> impl Iterator<Item = io::Result<Entry>> + '_ {
        let mut over = false;
        let pages = (0..self.pages()).map(|page| self.page(page)).take_while(move |page| {
            let go_on = !over;
            over = page.is_err();
            go_on
        });
        pages.flat_map(|page| match page {
            Ok(entries) => entries.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
    }

    pub(super) fn page(&self, page: u64) -> io::Result<Vec<Entry>> {
        let damaged = || {
            let place = self.path.display();
            io::Error::new(ErrorKind::InvalidData, format!("{place}: page {page} does not fit its checksum"))
        };
        let mut bytes = [0; PAGE];
        self.file.read_exact_at(&mut bytes, (page + 1) * PAGE as u64)?;
        let (number, count) = (u32::from_le_bytes(array(&bytes, 4080)), u32::from_le_bytes(array(&bytes, 4084)));
        let expected = (self.count - page * PER_PAGE).min(PER_PAGE);
        let crc = crc32c::crc32c(&bytes[..4092]).to_le_bytes();
        if crc != bytes[4092..] || u64::from(number) != page || u64::from(count) != expected {
            return Err(damaged());
        }
        let entries = bytes.chunks_exact(ENTRY).take(count as usize);
        Ok(entries
            .map(|entry| (OrderId::from_bytes(array(entry, 0)), Position(u64::from_le_bytes(array(entry, 16)))))
            .collect())
    }
}

/// Writes a file, durably: entries in the order of their ids, each once. Nothing is written if there are none.
pub(super) fn write(
    dir: &Path,
    (first, last): (u64, u64),
    entries: impl Iterator<Item = io::Result<Entry>>,
) -> io::Result<Option<PathBuf>> {
    let path = dir.join(name(last));
    let next = path.with_extension("next");
    let written = write_next(&next, (first, last), entries);
    match written {
        Ok(true) => {
            fs::rename(&next, &path)?;
            RealDisk.sync_dir(dir)?;
            Ok(Some(path))
        }
        other => {
            // Best effort: the next start removes it.
            let _ = fs::remove_file(&next);
            other.map(|_| None)
        }
    }
}

fn write_next(
    next: &Path,
    (first, last): (u64, u64),
    entries: impl Iterator<Item = io::Result<Entry>>,
) -> io::Result<bool> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(next)?;
    let mut out = io::BufWriter::with_capacity(256 * 1024, &file);
    out.write_all(&[0; PAGE])?;
    let (mut page, mut count) = (Vec::with_capacity(PAGE), 0_u64);
    let (mut lowest, mut highest) = (None, None);
    for entry in entries {
        let (order, position) = entry?;
        if highest.is_some_and(|highest| order <= highest) {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("{order} is not in its order")));
        }
        lowest = lowest.or(Some(order));
        highest = Some(order);
        page.extend_from_slice(order.as_bytes());
        page.extend_from_slice(&position.0.to_le_bytes());
        count += 1;
        if count.is_multiple_of(PER_PAGE) {
            out.write_all(&sealed(&mut page, count))?;
        }
    }
    let (Some(lowest), Some(highest)) = (lowest, highest) else { return Ok(false) };
    if !page.is_empty() {
        out.write_all(&sealed(&mut page, count))?;
    }
    out.flush()?;
    drop(out);
    let mut head = [0; PAGE];
    head[..8].copy_from_slice(MAGIC);
    head[8..12].copy_from_slice(&VERSION.to_le_bytes());
    head[16..24].copy_from_slice(&first.to_le_bytes());
    head[24..32].copy_from_slice(&last.to_le_bytes());
    head[32..40].copy_from_slice(&count.to_le_bytes());
    head[40..56].copy_from_slice(lowest.as_bytes());
    head[56..72].copy_from_slice(highest.as_bytes());
    let crc = crc32c::crc32c(&head[..72]);
    head[72..76].copy_from_slice(&crc.to_le_bytes());
    file.write_all_at(&head, 0)?;
    file.sync_all()?;
    Ok(true)
}

/// The page whose last entry is the one with the number `count`; empties the buffer.
fn sealed(entries: &mut Vec<u8>, count: u64) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    page[..entries.len()].copy_from_slice(entries);
    let number = u32::try_from((count - 1) / PER_PAGE).unwrap_or(u32::MAX);
    let held = u32::try_from(entries.len() / ENTRY).unwrap_or(u32::MAX);
    page[4080..4084].copy_from_slice(&number.to_le_bytes());
    page[4084..4088].copy_from_slice(&held.to_le_bytes());
    let crc = crc32c::crc32c(&page[..4092]);
    page[4092..].copy_from_slice(&crc.to_le_bytes());
    entries.clear();
    page
}

pub(super) fn name(last: u64) -> String {
    format!("{last:020}{SUFFIX}")
}

pub(super) fn is_one(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
