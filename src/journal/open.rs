//! Finds the end of the journal, and refuses one that has lost anything that was acknowledged.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::JournalOptions;
use super::cursor::Cursor;
use super::disk::Disk;
use super::error::JournalError;
use super::frame::Chain;
use super::packed;
use super::segment::{self, FIRST, Form, Head, Segment};
use super::spares;
use super::tip::{Found, Tip, TipFile};

/// The first segment is small, so that a new journal is there at once.
const FIRST_SEGMENT: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) segments: Vec<Segment>,
    /// Where the next record goes in the last segment.
    pub(crate) offset: u64,
    pub(crate) seq: u64,
    pub(crate) chain: Chain,
    pub(crate) tip: TipFile,
    pub(crate) turn: u64,
    /// Spares that an earlier run has left.
    pub(crate) spares: Vec<PathBuf>,
}

pub(crate) fn open(data: &Path, dir: &Path, options: &JournalOptions) -> Result<Opened, JournalError> {
    let disk = &*options.disk;
    let failed = |error: std::io::Error| JournalError::io("could not open", dir, &error);
    disk.create_dir(dir).map_err(failed)?;
    fault_point!("journal::dir-made");
    let names = disk.list(dir).map_err(failed)?;
    let found = segment::among(&names);
    let tip_path = data.join("tip");
    let (tip, told) = TipFile::open(disk, &tip_path)?;
    fault_point!("journal::tip-opened");
    let (expected, turn) = match told {
        Found::Tip { tip, turn } => (Some(tip), turn.saturating_add(1)),
        Found::Nothing => (None, 0),
    };
    if found.is_empty() {
        if let Some(tip) = expected.filter(|tip| tip.mark.seq > 0) {
            return Err(lost(dir, &tip, 0));
        }
        let segment = create(disk, data, dir, options)?;
        let (segments, spares) = (vec![segment], Vec::new());
        return Ok(Opened { segments, offset: FIRST, seq: 1, chain: [0; 32], tip, turn, spares });
    }
    let segments = load(disk, dir, &found)?;
    let mut cursor = scan(&segments, expected.as_ref(), options.verify)?;
    if expected.is_none() && cursor.seq > 1 {
        tracing::warn!(tip = %tip_path.display(), "the tip is missing: whether the journal is whole cannot be told");
    }
    finish(dir, &mut cursor, expected.as_ref())?;
    fault_point!("journal::end-found");
    settle(disk, data, dir, &cursor, expected.as_ref())?;
    fault_point!("journal::settled");
    let spares = tidy(disk, dir, &names, options.segment_size)?;
    packed::clear(disk, dir, &names)?;
    Ok(Opened { segments, offset: cursor.offset, seq: cursor.seq, chain: cursor.chain, tip, turn, spares })
}

fn create(disk: &dyn Disk, data: &Path, dir: &Path, options: &JournalOptions) -> Result<Segment, JournalError> {
    let capacity = options.segment_size.min(FIRST_SEGMENT);
    let spare = dir.join(format!("{}first", spares::PREFIX));
    let failed = |error: std::io::Error| JournalError::io("could not create", &spare, &error);
    segment::preallocate(disk, &spare, capacity).map_err(failed)?;
    fault_point!("journal::first-filled");
    let head = Head { base: 0, capacity, seq: 1, chain: [0; 32] };
    let segment = Segment::begin(disk, dir, &spare, head)?;
    disk.sync_dir(data).map_err(failed)?;
    Ok(segment)
}

/// Opens all segments; each must begin where the one before it ends.
fn load(disk: &dyn Disk, dir: &Path, found: &BTreeMap<u64, Form>) -> Result<Vec<Segment>, JournalError> {
    let mut segments: Vec<Segment> = Vec::with_capacity(found.len());
    for (&base, &form) in found {
        let segment = Segment::open(disk, dir, base, form)?;
        let expected = segments.last().map_or(0, Segment::end);
        if base != expected {
            let dir = dir.display();
            return Err(JournalError::damaged(format!(
                "in {dir} the segment that begins at position {expected} is missing"
            )));
        }
        segments.push(segment);
    }
    if let Some(last) = segments.last().filter(|last| Form::of(&last.path) == Form::Packed) {
        let name = last.path.display();
        return Err(JournalError::damaged(format!(
            "{name} is packed and the last one: the segments behind it are missing"
        )));
    }
    Ok(segments)
}

/// Reads the newest segments, as many as `verify` bytes hold and at least the one with the tip, up to the place where
/// no record follows.
fn scan(segments: &[Segment], tip: Option<&Tip>, verify: u64) -> Result<Cursor, JournalError> {
    let last = segments.len() - 1;
    let end = segments[last].end();
    let by_size = segments.iter().position(|segment| end - segment.head.base <= verify).unwrap_or(last);
    let by_tip = tip.and_then(|tip| segments.iter().rposition(|segment| segment.head.base <= tip.mark.position.0));
    let first = by_size.min(by_tip.unwrap_or(last));
    for window in segments[..=first].windows(2) {
        if window[1].head.seq < window[0].head.seq {
            return Err(JournalError::damaged(format!("{} is from another journal", window[1].path.display())));
        }
    }
    let mut watch = tip.filter(|tip| tip.mark.seq > 0).copied();
    let mut cursor = Cursor::new(segments[first].clone());
    for next in first + 1..=segments.len() {
        let why = walk(&mut cursor, &mut watch)?;
        let Some(segment) = segments.get(next) else { break };
        if (cursor.seq, cursor.chain) != (segment.head.seq, segment.head.chain) {
            return Err(JournalError::Damaged(cursor.damage(why, Some(segment.head.seq))?));
        }
        cursor = Cursor::new(segment.clone());
    }
    Ok(cursor)
}

/// Reads one segment to its end, and compares with the tip in passing.
fn walk(cursor: &mut Cursor, watch: &mut Option<Tip>) -> Result<&'static str, JournalError> {
    loop {
        let found = match cursor.next()? {
            Ok(found) => found,
            Err(why) => return Ok(why),
        };
        let Some(tip) = watch else { continue };
        if found.mark.position >= tip.mark.position {
            if found.mark != tip.mark || cursor.end() != tip.end {
                let (segment, seq) = (cursor.segment.path.display(), tip.mark.seq);
                return Err(JournalError::damaged(format!(
                    "{segment} does not have the record {seq} that the tip tells of: it is another journal"
                )));
            }
            *watch = None;
        }
    }
}

/// Decides what the place is where no record follows: the end, an unfinished write, or damage.
fn finish(dir: &Path, cursor: &mut Cursor, tip: Option<&Tip>) -> Result<(), JournalError> {
    if let Some(tip) = tip.filter(|tip| tip.end > cursor.end()) {
        let damage = cursor.damage("acknowledged records cannot be read", None)?;
        let nothing_follows = damage.places.len() == 1 && damage.places[0].last.is_none();
        return Err(if nothing_follows { lost(dir, tip, cursor.seq) } else { JournalError::Damaged(damage) });
    }
    if cursor.has_later_group()? {
        return Err(JournalError::Damaged(cursor.damage("acknowledged records cannot be read", None)?));
    }
    // What is left is a write that was cut off before it was acknowledged. It must not be taken for records later.
    let (file, capacity) = (&*cursor.segment.file, cursor.segment.head.capacity);
    let blanked = segment::blank(file, cursor.offset, capacity);
    let dropped = blanked.map_err(|error| JournalError::io("could not clear", &cursor.segment.path, &error))?;
    if dropped > 0 {
        let segment = cursor.segment.path.display();
        tracing::warn!(%segment, offset = cursor.offset, "cleared a write that was cut off before it was acknowledged");
    }
    Ok(())
}

/// Makes durable what was found. An earlier run may have died between a write and its sync, or because the sync failed:
/// then the system believes that it has written what it has not, until it is given the same bytes again.
fn settle(disk: &dyn Disk, data: &Path, dir: &Path, cursor: &Cursor, tip: Option<&Tip>) -> Result<(), JournalError> {
    let Segment { head, path, file } = &cursor.segment;
    // What the tip covers was synced before the tip was written.
    let from = tip.map_or(0, |tip| tip.end).saturating_sub(head.base).max(FIRST);
    let rewritten = segment::rewrite(&**file, from, cursor.offset).and_then(|()| file.sync_data());
    rewritten.map_err(|error| JournalError::io("could not sync", path, &error))?;
    let synced = disk.sync_dir(dir).and_then(|()| disk.sync_dir(data));
    synced.map_err(|error| JournalError::io("could not sync", dir, &error))
}

fn lost(dir: &Path, tip: &Tip, seq: u64) -> JournalError {
    let (dir, known) = (dir.display(), tip.mark.seq);
    let reaches = match seq {
        0 => "holds no segment".to_owned(),
        seq => format!("ends before record {seq}"),
    };
    let text = format!("{dir} {reaches}, but records up to {known} were acknowledged: it is cut off or an older copy");
    JournalError::damaged(text)
}

/// Removes half-made files and tells which spares can be used.
fn tidy(disk: &dyn Disk, dir: &Path, names: &[String], size: u64) -> Result<Vec<PathBuf>, JournalError> {
    let mut spares = Vec::new();
    for name in names.iter().filter(|name| name.starts_with(spares::PREFIX)) {
        let path = dir.join(name);
        let failed = |error: std::io::Error| JournalError::io("could not look at", &path, &error);
        let whole = !name.contains('.') && disk.open(&path, false).and_then(|file| file.len()).map_err(failed)? == size;
        if whole && spares.len() < 2 {
            spares.push(path);
        } else {
            fault_point!("journal::before-tidying");
            disk.remove(&path).map_err(failed)?;
        }
    }
    Ok(spares)
}

pub(crate) type SharedDisk = Arc<dyn Disk>;
