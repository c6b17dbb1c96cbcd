//! Segments that are packed say the same as before, and packing may be cut off anywhere.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use paystate::journal::{Batch, Journal, JournalError, JournalOptions, Mark, Packing, Prev, Read, Record};
use paystate::store::conformance::sample::{Next, Samples, order_id};
use paystate::types::Position;

use crate::journal_disk::{Dice, Fault, SimDisk};

const SEGMENT: u64 = 16 * 1024;

fn open(disk: &SimDisk) -> Result<Journal, JournalError> {
    open_with(disk, SEGMENT)
}

fn open_with(disk: &SimDisk, segment_size: u64) -> Result<Journal, JournalError> {
    let options = JournalOptions {
        segment_size,
        pause: Duration::from_millis(5),
        disk: Arc::new(disk.clone()),
        ..JournalOptions::default()
    };
    Journal::open(Path::new("/data"), &options)
}

/// Every record, and that each is found by its position too.
fn read(journal: &Journal) -> Result<Vec<(Mark, Record)>, JournalError> {
    let mut found = Vec::new();
    for read in journal.scan(Mark::START)? {
        let Read { mark, record } = read?;
        assert_eq!(journal.read(mark.position)?.record, record);
        if let Record::Entry(entry) = &record {
            assert_eq!(journal.prev(mark.position)?, entry.prev);
        }
        found.push((mark, record));
    }
    Ok(found)
}

/// A journal of six segments, and what is in it.
async fn sample() -> (SimDisk, Vec<(Mark, Record)>) {
    let disk = SimDisk::default();
    let journal = open(&disk).unwrap();
    write(&journal, 1, 98).await;
    let written = read(&journal).unwrap();
    journal.close().unwrap();
    assert_eq!(names(&disk, "journal").len(), 6);
    (disk, written)
}

async fn write(journal: &Journal, order: u64, count: usize) {
    let (mut samples, mut last) = (Samples::new(), None::<Position>);
    for n in 0..count {
        let next =
            Next { to: "a".into(), note: "x".repeat(n * 7), event: Some(format!("event-{n}")), ..Next::default() };
        let mut batch = Batch::new();
        let entry = samples.next(order_id(order), &next).unwrap().entry;
        batch.push_entry(&entry, last.map_or(Prev::None, Prev::At)).unwrap();
        last = journal.append(batch).await.unwrap().positions.pop();
    }
}

fn pack(journal: &Journal) -> Result<Packing, JournalError> {
    let (mut sum, mut from) = (Packing::default(), 0);
    while let Some(packed) = journal.pack_next(&mut from)? {
        sum.segments += packed.segments;
        sum.before += packed.before;
        sum.after += packed.after;
    }
    Ok(sum)
}

fn names(disk: &SimDisk, extension: &str) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.extension().is_some_and(|end| end == extension)).collect()
}

/// The same, with all that can be packed packed.
async fn packed() -> (SimDisk, Vec<(Mark, Record)>) {
    let (disk, written) = sample().await;
    let journal = open(&disk).unwrap();
    let sum = pack(&journal).unwrap();
    journal.close().unwrap();
    assert_eq!((sum.segments, names(&disk, "packed").len(), names(&disk, "journal").len()), (4, 4, 2));
    assert!(sum.before == 4 * SEGMENT && sum.after < sum.before / 2, "{sum:?}");
    (disk, written)
}

#[tokio::test]
async fn packed_segments_are_read_as_before() {
    let (disk, written) = sample().await;
    let journal = open(&disk).unwrap();
    let at = written[3].0.position;
    // One that is open when its file is replaced.
    let before = journal.read(at).unwrap();
    assert_eq!(pack(&journal).unwrap().segments, 4);
    assert_eq!(journal.packable(), 0);
    assert_eq!(journal.read(at).unwrap().record, before.record);
    assert!(read(&journal).unwrap() == written);
    // What is written meanwhile goes on.
    write(&journal, 2, 40).await;
    let more = read(&journal).unwrap();
    assert_eq!(more[..written.len()], written);
    assert!(pack(&journal).unwrap().segments > 0);
    journal.close().unwrap();
    let journal = open(&disk).unwrap();
    assert!(read(&journal).unwrap() == more);
    assert!(written.iter().all(|(mark, _)| journal.holds(mark)));
    assert_eq!(journal.entry_before(journal.end(), order_id(1)).unwrap(), Some(written[written.len() - 1].0.position));
}

#[tokio::test]
async fn a_segment_of_many_blocks_is_read_as_before() {
    let disk = SimDisk::default();
    let journal = open_with(&disk, 900_000).unwrap();
    write(&journal, 1, 700).await;
    let written = read(&journal).unwrap();
    assert_eq!(pack(&journal).unwrap().segments, 1);
    assert!(read(&journal).unwrap() == written);
    journal.close().unwrap();
    let path = names(&disk, "packed").remove(0);
    let bytes = disk.content(&path);
    // The third frame: the records before it can be read, and those behind it by their positions.
    let third = u64::from_le_bytes(bytes[bytes.len() - 56 - 7 * 8 + 16..][..8].try_into().unwrap());
    disk.tamper(&path, |content| content[usize::try_from(third).unwrap() + 100..][..8].fill(0));
    let error = open_with(&disk, 900_000).unwrap_err().to_string();
    assert!(error.contains(&format!("block 2, at offset {third} of the file, is damaged")), "{error}");
    let journal = Journal::open(
        Path::new("/data"),
        &JournalOptions { segment_size: 900_000, verify: 0, disk: Arc::new(disk.clone()), ..JournalOptions::default() },
    );
    let journal = journal.unwrap();
    let unread = written.iter().filter(|(mark, record)| match journal.read(mark.position) {
        Ok(read) => {
            assert_eq!(read.record, *record);
            false
        }
        Err(JournalError::Record { .. }) => true,
        Err(other) => panic!("{other}"),
    });
    assert!((20..100).contains(&unread.count()));
}

/// Whatever call fails, and whenever the power goes, everything is there in one form or the other.
#[tokio::test]
async fn packing_may_be_cut_off_anywhere() {
    let (disk, written) = sample().await;
    let mut failed = 0;
    for call in 1..150 {
        for fault in [Fault::Io, Fault::Short] {
            let disk = disk.copy();
            let journal = open(&disk).unwrap();
            disk.fail_at(call, fault);
            if pack(&journal).is_err() {
                failed += 1;
                assert!(read(&journal).unwrap() == written, "call {call}");
            }
            let cut = disk.after_power_cut(&mut Dice(call));
            for found in [disk.copy(), cut] {
                let journal = open(&found).unwrap_or_else(|error| panic!("call {call}, {fault:?}: {error}"));
                assert!(read(&journal).unwrap() == written, "call {call}, {fault:?}");
                assert!(names(&found, "next").is_empty());
                let twice = names(&found, "packed")
                    .into_iter()
                    .filter(|path| found.paths().contains(&path.with_extension("journal")));
                assert_eq!(twice.count(), 0, "one that is there in both forms");
                pack(&journal).unwrap();
                assert!(read(&journal).unwrap() == written, "call {call}, {fault:?}");
            }
        }
    }
    assert!(failed > 60, "{failed}");
}

#[tokio::test]
async fn every_flipped_bit_in_a_packed_segment_is_found_or_does_no_harm() {
    let (disk, written) = packed().await;
    let (mut dice, mut found) = (Dice(11), 0);
    for path in names(&disk, "packed") {
        let length = disk.content(&path).len();
        let mut next = 0;
        while next < length {
            let at = next;
            next += usize::try_from(1 + dice.roll(40)).unwrap();
            let flipped = disk.copy();
            flipped.tamper(&path, |content| content[at] ^= 1 << dice.roll(8));
            match open(&flipped).and_then(|journal| read(&journal)) {
                Ok(read) => assert!(read == written, "{} at {at}: silently different", path.display()),
                Err(error @ JournalError::Damaged(_)) => {
                    assert!(error.to_string().contains(".packed"), "{error}");
                    found += 1;
                }
                Err(other) => panic!("{} at {at}: {other}", path.display()),
            }
        }
    }
    assert!(found > 200, "{found}");
}

#[tokio::test]
async fn a_packed_segment_that_is_cut_or_missing_is_found() {
    let (disk, _) = packed().await;
    for path in names(&disk, "packed") {
        let length = disk.content(&path).len();
        for left in [0, 20, 40, 100, length / 2, length - 40, length - 1] {
            let cut = disk.copy();
            cut.tamper(&path, |content| content.truncate(left));
            let error = open(&cut).unwrap_err();
            assert!(matches!(error, JournalError::Damaged(_)) && error.to_string().contains(".packed"), "{error}");
        }
        let gone = disk.copy();
        gone.erase(&path);
        assert!(matches!(open(&gone), Err(JournalError::Damaged(_))));
    }
    // The plain ones are gone, and the tip with them.
    let newest = disk.copy();
    names(&disk, "journal").iter().for_each(|path| newest.erase(path));
    newest.erase(Path::new("/data/tip"));
    let error = open(&newest).unwrap_err().to_string();
    assert!(error.contains("the segments behind it are missing"), "{error}");
}

#[tokio::test]
async fn a_newer_packing_is_refused_and_not_touched() {
    let (disk, _) = packed().await;
    let path = names(&disk, "packed").remove(0);
    disk.tamper(&path, |content| {
        content[8] = 2;
        let crc = crc32c::crc32c(&content[..32]);
        content[32..36].copy_from_slice(&crc.to_le_bytes());
    });
    let before: Vec<_> = disk.paths().into_iter().map(|path| (disk.content(&path), path)).collect();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 2, known: 1, .. }), "{error}");
    assert!(before.iter().all(|(content, path)| disk.content(path) == *content));
}

#[tokio::test]
async fn a_damaged_segment_is_not_packed() {
    let (disk, _) = sample().await;
    let journal = open(&disk).unwrap();
    let path = names(&disk, "journal").remove(1);
    disk.tamper(&path, |content| content[5000] ^= 1);
    assert!(matches!(pack(&journal), Err(JournalError::Damaged(_))));
    assert!(disk.paths().contains(&path), "what is damaged stays where it is");
}
