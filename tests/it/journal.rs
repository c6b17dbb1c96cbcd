//! The journal keeps what it acknowledged, and says so when it cannot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use paystate::journal::{Batch, Entry, Journal, JournalError, JournalOptions, Mark, Prev, Record};
use paystate::store::conformance::sample::{Next, Samples, order_id};
use paystate::types::Position;

use crate::journal_disk::{Dice, Fault, SimDisk};

const SEGMENT: u64 = 16 * 1024;

fn data() -> &'static Path {
    Path::new("/data")
}

fn options(disk: &SimDisk) -> JournalOptions {
    let disk = Arc::new(disk.clone());
    JournalOptions { segment_size: SEGMENT, pause: Duration::from_millis(5), disk, ..JournalOptions::default() }
}

fn open(disk: &SimDisk) -> Result<Journal, JournalError> {
    Journal::open(data(), &options(disk))
}

/// Entries of one order; only the first opens it.
struct Source {
    samples: Samples,
    order: u64,
    last: Option<Position>,
}

impl Source {
    fn new(order: u64) -> Self {
        Self { samples: Samples::new(), order, last: None }
    }

    fn next(&mut self, note: &str) -> Entry {
        let next = Next { to: "a".into(), note: note.to_owned(), event: Some(note.to_owned()), ..Next::default() };
        self.samples.next(order_id(self.order), &next).unwrap().entry
    }

    async fn append(&mut self, journal: &Journal, count: usize, note: &str) -> Result<Vec<Position>, JournalError> {
        let mut batch = Batch::new();
        for n in 0..count {
            let prev = if n == 0 { self.last.map_or(Prev::None, Prev::At) } else { Prev::Record(n - 1) };
            batch.push_entry(&self.next(note), prev).unwrap();
        }
        let written = journal.append(batch).await?;
        self.last = written.positions.last().copied();
        Ok(written.positions)
    }
}

fn entries(journal: &Journal) -> Result<Vec<Entry>, JournalError> {
    let records = journal.scan(Mark::START)?;
    records
        .map(|read| match read?.record {
            Record::Entry(entry) => Ok(entry),
            other => panic!("only entries were written, and this is {other:?}"),
        })
        .collect()
}

/// A journal of three segments, closed, and what is in it.
async fn sample() -> (SimDisk, Vec<Entry>) {
    let disk = SimDisk::default();
    let journal = open(&disk).unwrap();
    let mut source = Source::new(1);
    for n in 0..24 {
        source.append(&journal, 1 + n % 4, &"x".repeat(n * 20)).await.unwrap();
    }
    let entries = entries(&journal).unwrap();
    journal.close().unwrap();
    assert!(segments(&disk).len() >= 3, "{:?}", disk.paths());
    (disk, entries)
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "journal")).collect()
}

#[tokio::test]
async fn reads_what_was_written_after_a_roll_and_a_restart() {
    let (disk, written) = sample().await;
    let journal = open(&disk).unwrap();
    assert_eq!(entries(&journal).unwrap(), written);
    assert_eq!(written.len(), 60);
    let mut at = Vec::new();
    for read in journal.scan(Mark::START).unwrap() {
        let read = read.unwrap();
        assert!(journal.holds(&read.mark));
        assert_eq!(journal.read(read.mark.position).unwrap().record, read.record);
        at.push(read.mark);
    }
    for (n, entry) in written.iter().enumerate() {
        assert_eq!(entry.prev, n.checked_sub(1).map(|before| at[before].position));
    }
    let rest: Vec<_> = journal.scan(at[40]).unwrap().map(|read| read.unwrap().mark).collect();
    assert_eq!(rest, at[41..]);
    assert!(!journal.holds(&Mark { chain: [7; 32], ..at[3] }));
    assert!(!journal.holds(&Mark { position: journal.end(), ..at[59] }));
    assert!(journal.read(Position(at[3].position.0 + 8)).is_err());
    let mut source = Source::new(2);
    source.append(&journal, 1, "more").await.unwrap();
    assert_eq!(entries(&journal).unwrap().len(), 61);
}

#[tokio::test]
async fn groups_many_writers() {
    let disk = SimDisk::default();
    let journal = Arc::new(open(&disk).unwrap());
    let writers = (0..20).map(|order| {
        let journal = Arc::clone(&journal);
        tokio::spawn(async move {
            let mut source = Source::new(order);
            for _ in 0..20 {
                source.append(&journal, 2, "note").await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    assert_eq!(entries(&journal).unwrap().len(), 800);
    assert_eq!(entries(&open(&disk.copy()).unwrap()).unwrap().len(), 800);
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let mut torn = 0;
    for seed in 0..40 {
        let mut dice = Dice(seed);
        let disk = SimDisk::default();
        let journal = Arc::new(open(&disk).unwrap());
        let acknowledged = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..4)
            .map(|order| {
                let (journal, acknowledged) = (Arc::clone(&journal), Arc::clone(&acknowledged));
                tokio::spawn(async move {
                    let mut source = Source::new(order);
                    for n in 0..12 {
                        source.append(&journal, 1 + n % 3, &"y".repeat(n * 40)).await.unwrap();
                        acknowledged.fetch_add(1 + n as u64 % 3, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        let until = dice.roll(90);
        while acknowledged.load(Ordering::SeqCst) < until {
            tokio::task::yield_now().await;
        }
        let before = acknowledged.load(Ordering::SeqCst);
        let mut after = disk.after_power_cut(&mut dice);
        for round in 0..3 {
            let recovered = open(&after).unwrap_or_else(|error| panic!("seed {seed}, round {round}: {error}"));
            let found = entries(&recovered).unwrap().len() as u64;
            assert!(found >= before, "seed {seed}: {found} of {before} acknowledged");
            torn += u64::from(found > before);
            Source::new(100 + round).append(&recovered, 3, "after").await.unwrap();
            assert_eq!(entries(&recovered).unwrap().len() as u64, found + 3);
            // And once more, while the next ones are being written.
            let more = tokio::spawn(async move { Source::new(200).append(&recovered, 3, "later").await });
            after = after.after_power_cut(&mut dice);
            more.await.unwrap().unwrap();
        }
        for writer in writers {
            writer.await.unwrap();
        }
    }
    assert!(torn > 0, "no cut ever came while something was being written");
}

#[tokio::test]
async fn every_flipped_bit_is_found_or_does_no_harm() {
    let (disk, written) = sample().await;
    let (mut dice, mut found) = (Dice(7), 0);
    for path in disk.paths().into_iter().filter(|path| !path.to_string_lossy().contains("spare")) {
        let content = disk.content(&path);
        let mut next = 0;
        while next < content.len() {
            let at = next;
            // Everything that means anything is near; zeros are looked at now and then.
            next += usize::try_from(1 + dice.roll(if content[at] == 0 { 200 } else { 60 })).unwrap();
            let flipped = disk.copy();
            flipped.tamper(&path, |content| content[at] ^= 1 << dice.roll(8));
            let read = open(&flipped).and_then(|journal| entries(&journal));
            match read {
                Ok(entries) => assert!(entries == written, "{} at {at}: silently different", path.display()),
                Err(JournalError::Damaged(_) | JournalError::Newer { .. }) => found += 1,
                Err(other) => panic!("{} at {at}: {other}", path.display()),
            }
        }
    }
    assert!(found > 300, "{found}");
}

#[tokio::test]
async fn damage_is_reported_with_its_place() {
    let (disk, written) = sample().await;
    let path = segments(&disk)[0].clone();
    let text = b"\"seq\":9,";
    disk.tamper(&path, |content| {
        let at = content.windows(text.len()).position(|window| window == text).unwrap();
        content[at + 6] = b'8';
    });
    let before = disk.content(&path);
    let error = open(&disk).unwrap_err();
    let JournalError::Damaged(damage) = &error else { panic!("{error}") };
    assert_eq!(damage.places.len(), 1, "{error}");
    assert_eq!((damage.places[0].seq, damage.places[0].last), (9, Some(9)), "{error}");
    assert_eq!(written[8].seq.0, 9);
    assert!(error.to_string().contains("00000000000000000000.journal at offset "), "{error}");
    assert!(disk.content(&path) == before, "a damaged journal must not be touched");
}

#[tokio::test]
async fn older_copies_are_found() {
    let disk = SimDisk::default();
    let journal = open(&disk).unwrap();
    let mut source = Source::new(1);
    source.append(&journal, 3, "first").await.unwrap();
    let older = disk.copy();
    source.append(&journal, 3, "second").await.unwrap();
    journal.close().unwrap();
    let (segment, tip) = (segments(&disk)[0].clone(), data().join("tip"));

    let rolled_back = disk.copy();
    rolled_back.put_back(&older, &segment);
    let error = open(&rolled_back).unwrap_err().to_string();
    assert!(error.contains("records up to 6 were acknowledged"), "{error}");

    let old_tip = disk.copy();
    old_tip.put_back(&older, &tip);
    assert_eq!(entries(&open(&old_tip).unwrap()).unwrap().len(), 6);

    let no_tip = disk.copy();
    no_tip.erase(&tip);
    assert_eq!(entries(&open(&no_tip).unwrap()).unwrap().len(), 6);

    let gone = disk.copy();
    gone.erase(&segment);
    assert!(matches!(open(&gone), Err(JournalError::Damaged(_))));

    let short = disk.copy();
    short.tamper(&segment, |content| content.truncate(9000));
    assert!(matches!(open(&short), Err(JournalError::Damaged(_))));

    let foreign = SimDisk::default();
    let journal = open(&foreign).unwrap();
    Source::new(9).append(&journal, 9, "another journal").await.unwrap();
    journal.close().unwrap();
    foreign.put_back(&disk, &tip);
    assert!(matches!(open(&foreign), Err(JournalError::Damaged(_))));
}

#[tokio::test]
async fn a_missing_segment_is_found() {
    let (disk, _) = sample().await;
    for path in segments(&disk) {
        let gone = disk.copy();
        gone.erase(&path);
        assert!(matches!(open(&gone), Err(JournalError::Damaged(_))), "{}", path.display());
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_and_not_touched() {
    let (disk, _) = sample().await;
    let path = segments(&disk).pop().unwrap();
    let header = disk.content(&path);
    // The first record of the last segment claims version 2, with a checksum that fits.
    disk.tamper(&path, |content| {
        content[4096 + 24] = 2;
        let length = u32::from_le_bytes(content[4096..4100].try_into().unwrap()) as usize;
        let crc = crc32c::crc32c_append(crc32c::crc32c(&content[4096..4100]), &content[4104..4096 + 64 + length]);
        content[4100..4104].copy_from_slice(&crc.to_le_bytes());
    });
    let before = disk.content(&path);
    assert_ne!(header, before);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 2, .. }), "{error}");
    assert!(disk.content(&path) == before);
}

#[tokio::test]
async fn a_failed_call_stops_it_for_good() {
    for fault in [Fault::Io, Fault::Short] {
        for n in 1..60 {
            let disk = SimDisk::default();
            disk.fail_at(n, fault);
            let Ok(journal) = open(&disk) else { continue };
            let (mut source, mut acknowledged, mut failed) = (Source::new(1), 0, false);
            for round in 0..40 {
                match source.append(&journal, 2, &"z".repeat(300)).await {
                    Ok(_) => {
                        assert!(!failed, "call {n}: acknowledged after a failure");
                        acknowledged += 2;
                    }
                    Err(JournalError::Fatal(_)) => failed = true,
                    Err(other) => panic!("call {n}, round {round}: {other}"),
                }
            }
            let after = disk.after_power_cut(&mut Dice(n));
            let found = entries(&open(&after).unwrap()).unwrap().len();
            assert!(found >= acknowledged, "call {n}: {found} of {acknowledged}");
            assert!(failed || found == 80, "call {n}");
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_new_orders_first_and_recovers() {
    let disk = SimDisk::default();
    let journal = open(&disk).unwrap();
    let mut accepted = Source::new(1);
    accepted.append(&journal, 1, "first").await.unwrap();
    while disk.used() < 3 * SEGMENT {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    disk.set_room(Some(disk.used() + 100));
    let (mut refused, mut order) = (None, 2);
    for round in 0..200 {
        if refused.is_none() {
            match Source::new(order).append(&journal, 1, &"n".repeat(900)).await {
                Ok(_) => order += 1,
                Err(JournalError::Full) => refused = Some(round),
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(refused.is_some());
    let mut went_on = 0;
    let full = loop {
        match accepted.append(&journal, 1, &"m".repeat(900)).await {
            Ok(_) => went_on += 1,
            Err(error) => break error,
        }
        assert!(matches!(Source::new(order).append(&journal, 1, "new").await, Err(JournalError::Full)));
    };
    assert!(matches!(full, JournalError::Full), "{full}");
    assert!(went_on > 3, "the reserve served {went_on} entries");
    disk.set_room(None);
    let mut tries = 0;
    while Source::new(order).append(&journal, 1, "at last").await.is_err() {
        tokio::time::sleep(Duration::from_millis(2)).await;
        tries += 1;
        assert!(tries < 1000, "it did not recover");
    }
    let count = entries(&journal).unwrap().len();
    journal.close().unwrap();
    assert_eq!(entries(&open(&disk).unwrap()).unwrap().len(), count);
}

#[tokio::test]
async fn a_batch_must_fit_into_a_segment() {
    let disk = SimDisk::default();
    let journal = open(&disk).unwrap();
    let error = Source::new(1).append(&journal, 1, &"w".repeat(20_000)).await.unwrap_err();
    assert!(matches!(error, JournalError::TooLarge { .. }), "{error}");
    Source::new(2).append(&journal, 1, "fits").await.unwrap();
    journal.close().unwrap();
    assert!(matches!(Source::new(3).append(&journal, 1, "closed").await, Err(JournalError::Fatal(_))));
}
