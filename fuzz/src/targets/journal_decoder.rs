//! Any bytes as a record, and as the files of a journal.
//!
//! What begins with `{` is one record. Anything else is a journal of one segment: an optional tip (88 bytes from
//! `PAYSTTIP`), an optional header (80 bytes from `PAYSTJNL`), and records. Checksums, numbers and the chain are put
//! right before it is opened, or nothing would ever come past them; bits in fields that must be zero leave one wrong.
//! What begins with `PAYSTPCK` is such a journal whose segment is packed, with bytes of the packed file changed then: the
//! number of changes, and for each an offset of three bytes and what is turned over there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use paystate::journal::{Disk, DiskFile, Journal, JournalError, JournalOptions, Mark, Read, decode, encode};

const FIRST_SEGMENT: &str = "data/journal/00000000000000000000.journal";
const PACKED_SEGMENT: &str = "data/journal/00000000000000000000.packed";
const FIRST: usize = 4096;
const HEADER: usize = 64;
/// More than this teaches nothing new.
const RECORDS_MAX: usize = 64 * 1024;

const BAD_CRC: u8 = 1;
const BAD_CHAIN: u8 = 2;
const OWN_SEQ: u8 = 4;

pub fn run(bytes: &[u8]) {
    if bytes.first() == Some(&b'{') {
        return record(bytes);
    }
    if let Some(rest) = bytes.strip_prefix(b"PAYSTPCK") {
        return packed(rest);
    }
    let (tip, rest) = take(bytes, b"PAYSTTIP", 88);
    let (head, records) = take(rest, b"PAYSTJNL", 80);
    let disk = Memory::default();
    if let Some(tip) = tip {
        disk.put("data/tip", sealed_tip(tip));
    }
    disk.put(FIRST_SEGMENT, segment(head, records));
    let disk = Arc::new(disk);
    if let Some(first) = open(&disk) {
        // What was cleared must not change what is read.
        let again = open(&disk).expect("what could be opened can be opened again");
        assert_eq!(first, again);
    }
}

fn record(bytes: &[u8]) {
    let Ok(record) = decode(bytes) else { return };
    let mut encoded = Vec::new();
    match encode(&record, &mut encoded) {
        Ok(()) => assert_eq!(decode(&encoded).expect("what was written can be read"), record),
        Err(error) => assert!(encoded.is_empty(), "{error}"),
    }
}

/// What is read of a packed segment is what was packed, or an error.
fn packed(bytes: &[u8]) {
    let Some((&count, rest)) = bytes.split_first() else { return };
    let Some((changes, records)) = rest.split_at_checked(usize::from(count % 8) * 4) else { return };
    let plain = segment(None, records);
    let disk = Memory::default();
    disk.put(FIRST_SEGMENT, plain.clone());
    let Some(marks) = open(&Arc::new(disk)).filter(|marks| !marks.is_empty()) else { return };
    let disk = Arc::new(Memory::default());
    let (first, second) = (plain.len() as u64, 2 * FIRST as u64);
    disk.put(FIRST_SEGMENT, plain);
    // What is packed is sealed, and not one of the newest two.
    let last = marks[marks.len() - 1];
    disk.put(&format!("data/journal/{first:020}.journal"), empty(first, &last));
    disk.put(&format!("data/journal/{:020}.journal", first + second), empty(first + second, &last));
    let journal = Journal::open(Path::new("data"), &options(&disk, 0)).expect("three segments, end to end");
    let packed = journal.pack_next(&mut 0);
    journal.close().expect("nothing was written");
    // What cannot be read to its end stays as it is.
    let Ok(Some(_)) = packed else { return };
    assert_eq!(read(&disk, u64::MAX), Some(marks.clone()));
    disk.change(PACKED_SEGMENT, changes);
    for verify in [0, u64::MAX] {
        assert!(read(&disk, verify).is_none_or(|read| read == marks), "something else is read than was packed");
    }
}

/// The marks of all records, or none if something cannot be read.
fn read(disk: &Arc<Memory>, verify: u64) -> Option<Vec<Mark>> {
    let journal = Journal::open(Path::new("data"), &options(disk, verify)).ok()?;
    let marks = journal.scan(Mark::START).ok()?.map(|read| read.ok().map(|read| read.mark)).collect();
    journal.close().expect("nothing was written");
    marks
}

/// A segment without records, behind the record `last`.
fn empty(base: u64, last: &Mark) -> Vec<u8> {
    let mut head = [0; 80];
    put(&mut head, 0, b"PAYSTJNL\x01");
    put(&mut head, 16, &base.to_le_bytes());
    put(&mut head, 24, &(2 * FIRST as u64).to_le_bytes());
    put(&mut head, 32, &(last.seq + 1).to_le_bytes());
    put(&mut head, 40, &last.chain);
    head[76] = OWN_SEQ;
    segment(Some(&head), &[])
}

fn options(disk: &Arc<Memory>, verify: u64) -> JournalOptions {
    JournalOptions {
        segment_size: 0,
        verify,
        pause: Duration::from_secs(60),
        disk: Arc::<Memory>::clone(disk) as Arc<dyn Disk>,
    }
}

/// Opens, reads everything, and closes. The marks of what was read, or nothing if it does not open.
fn open(disk: &Arc<Memory>) -> Option<Vec<Mark>> {
    let journal = Journal::open(Path::new("data"), &options(disk, u64::MAX)).ok()?;
    let mut marks = Vec::new();
    for read in journal.scan(Mark::START).expect("a journal that opens has a beginning") {
        match read {
            Ok(Read { mark, record }) => {
                assert!(journal.holds(&mark));
                assert_eq!(journal.read(mark.position).expect("it was just read").record, record);
                marks.push(mark);
            }
            Err(JournalError::Record { .. } | JournalError::Newer { .. }) => break,
            Err(error) => panic!("a journal that opens is whole: {error}"),
        }
    }
    journal.close().expect("nothing was written");
    Some(marks)
}

fn take<'a>(bytes: &'a [u8], magic: &[u8], length: usize) -> (Option<&'a [u8]>, &'a [u8]) {
    match bytes.split_at_checked(length) {
        Some((taken, rest)) if taken.starts_with(magic) => (Some(taken), rest),
        _ => (None, bytes),
    }
}

fn sealed_tip(tip: &[u8]) -> Vec<u8> {
    let mut tip = tip.to_vec();
    if tip[80] & BAD_CRC == 0 {
        let crc = crc32c::crc32c(&tip[16..]);
        put(&mut tip, 12, &crc.to_le_bytes());
    }
    tip
}

fn segment(head: Option<&[u8]>, records: &[u8]) -> Vec<u8> {
    let records = &records[..records.len().min(RECORDS_MAX)];
    let mut file = vec![0; (FIRST + records.len() + 1).next_multiple_of(FIRST)];
    file[FIRST..FIRST + records.len()].copy_from_slice(records);
    let (mut seq, mut chain) = (1_u64, [0; 32]);
    let capacity = file.len() as u64;
    match head {
        Some(head) => {
            put(&mut file, 0, head);
            seq = u64::from_le_bytes(array(&file, 32));
            chain = array(&file, 40);
        }
        None => {
            put(&mut file, 0, b"PAYSTJNL\x01");
            put(&mut file, 32, &seq.to_le_bytes());
        }
    }
    let flags = file[76];
    if flags & OWN_SEQ == 0 {
        put(&mut file, 16, &0_u64.to_le_bytes());
        put(&mut file, 24, &capacity.to_le_bytes());
    }
    if flags & BAD_CRC == 0 {
        let crc = crc32c::crc32c(&file[..72]);
        put(&mut file, 72, &crc.to_le_bytes());
    }
    seal(&mut file, seq, chain);
    file
}

/// Puts right what a machine would have computed, record after record, as far as lengths lead.
fn seal(file: &mut [u8], mut seq: u64, mut chain: [u8; 32]) {
    let mut at = FIRST;
    while at + HEADER < file.len() {
        let length = u32::from_le_bytes(array(file, at)) as usize;
        let total = (HEADER + length).next_multiple_of(8);
        if length == 0 || at + total > file.len() {
            return;
        }
        let flags = std::mem::take(&mut file[at + 28]);
        if flags & OWN_SEQ == 0 {
            put(file, at + 8, &seq.to_le_bytes());
        }
        if flags & BAD_CHAIN == 0 {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(&chain);
            context.update(&file[at + HEADER..at + HEADER + length]);
            let link: [u8; 32] = array(context.finish().as_ref(), 0);
            put(file, at + 32, &link);
        }
        if flags & BAD_CRC == 0 {
            let crc = crc32c::crc32c_append(crc32c::crc32c(&file[at..at + 4]), &file[at + 8..at + HEADER + length]);
            put(file, at + 4, &crc.to_le_bytes());
        }
        seq = seq.wrapping_add(1);
        chain = array(file, at + 32);
        at += total;
    }
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

/// A disk in memory, on which there is no room for another segment.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<PathBuf, Arc<MemoryFile>>>);

#[derive(Debug, Default)]
struct MemoryFile(Mutex<Vec<u8>>);

impl Memory {
    fn put(&self, path: &str, bytes: Vec<u8>) {
        let file = Arc::new(MemoryFile(Mutex::new(bytes)));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(PathBuf::from(path), file);
    }

    fn change(&self, path: &str, changes: &[u8]) {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = files[Path::new(path)].0.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes.chunks_exact(4) {
            let at = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize % bytes.len();
            bytes[at] ^= change[3];
        }
    }
}

impl Disk for Memory {
    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = files.keys().filter_map(|path| path.strip_prefix(dir).ok());
        Ok(inside.map(|name| name.to_string_lossy().into_owned()).collect())
    }

    fn open(&self, path: &Path, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if path.to_string_lossy().contains("spare-") {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if create {
            files.entry(path.to_owned()).or_default();
        }
        let file = files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::<MemoryFile>::clone(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        let length = rest.len().min(into.len());
        into[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn write_at(&self, from: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offset = usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
        let end = offset + from.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset..end].copy_from_slice(from);
        Ok(from.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }
}
