//! Goes over every record of every segment, and plans what is to be done about those that cannot be read.

use std::path::Path;

use super::lose::{self, After, Hole};
use super::mend::mend;
use super::parts::{Part, Shelf, file};
use super::repair::Fix;
use super::{Finding, Remedy};
use crate::journal::cursor::Cursor;
use crate::journal::error::JournalError;
use crate::journal::frame::{self, Chain, Parsed};
use crate::journal::segment::{FIRST, Head, Segment};
use crate::journal::tip::Tip;
use crate::types::OrderId;

/// The number of a record, and the chain before it.
type Place = (u64, Chain);

/// The smallest record.
const SMALLEST: u64 = (frame::HEADER + frame::PREV) as u64;
const HEADLESS: &str = "its header cannot be read";

pub(super) struct Walk<'a> {
    dir: &'a Path,
    tip: Option<Tip>,
    pub(super) findings: Vec<Finding>,
    pub(super) fixes: Vec<Fix>,
    /// The last record, and where it ends.
    pub(super) end: Option<Tip>,
    /// The record that the tip tells of was found.
    pub(super) matched: bool,
    /// It is among those that are lost.
    covered: bool,
}

/// What becomes of a part.
#[derive(Default)]
struct Walked {
    findings: Vec<Finding>,
    fixes: Vec<Fix>,
    /// What follows behind it, unless that cannot be known.
    next: Option<Place>,
    end: Option<Tip>,
    lost: bool,
    matched: bool,
    covered: bool,
}

/// What is known of what stands behind a part.
#[derive(Clone, Copy)]
enum Behind {
    /// A segment whose header says how this one ends.
    Segment(Place),
    /// A segment whose header cannot be read.
    Unknown,
    Nothing,
}

impl<'a> Walk<'a> {
    pub(super) fn new(dir: &'a Path, tip: Option<Tip>) -> Self {
        let (findings, fixes) = (Vec::new(), Vec::new());
        Self { dir, tip, findings, fixes, end: None, matched: false, covered: false }
    }

    pub(super) fn all(&mut self, shelf: &mut Shelf) -> Result<(), JournalError> {
        let mut place = Some((1, [0; 32]));
        let complete = shelf.complete;
        for at in 0..shelf.parts.len() {
            let behind = behind(&shelf.parts, at, complete);
            let mut part = shelf.parts[at].clone();
            let before = at.checked_sub(1).and_then(|at| shelf.parts[at].head);
            let end = shelf.parts.get(at + 1).map(|next| next.base);
            let better = shelf.spare_part(part.base)?.filter(|better| better.fits(place, end));
            let headless = part.head.is_none() && !self.head(&mut part, place, before)?;
            let mut walked = self.part(&part, place, behind)?;
            if walked.lost
                && let Some(head) = shelf.other_head(at + 1)?
            {
                // What is behind it may be the one that is wrong.
                let (fresh, behind) = (part.afresh(), Behind::Segment((head.seq, head.chain)));
                let again = self.part(&fresh, place, behind)?;
                if again.findings.is_empty() {
                    shelf.parts[at + 1].head = Some(head);
                    (part, walked) = (fresh, again);
                }
            }
            if (headless || walked.lost)
                && let Some(better) = better
            {
                let whole = self.part(&better, place, behind)?;
                if whole.findings.is_empty() && (whole.matched || !matches!(behind, Behind::Nothing)) {
                    let damage = walked.findings.iter().find(|finding| finding.records.is_some());
                    let (what, records) = damage.map_or(("it is damaged", None), |it| (it.what.as_str(), it.records));
                    shelf.take(&better, what, records);
                    (part, walked) = (better, whole);
                }
            }
            if part.head.is_none() {
                let text = "what is before it does not tell what it said: put the file back from a backup, or name the \
                            backup with --from";
                self.tell(file(&part.name), HEADLESS.to_owned(), Remedy::Person(text.to_owned()));
            }
            shelf.parts[at] = part;
            place = walked.next;
            self.take(walked);
        }
        for at in 0..shelf.beyond.len() {
            let part = &shelf.beyond[at];
            let place = part.head.map(|head| (head.seq, head.chain));
            let walked = self.part(part, place, behind(&shelf.beyond, at, true))?;
            self.take(walked);
        }
        self.compare_with_tip();
        Ok(())
    }

    fn take(&mut self, walked: Walked) {
        self.findings.extend(walked.findings);
        self.fixes.extend(walked.fixes);
        self.end = walked.end.or(self.end);
        self.matched |= walked.matched;
        self.covered |= walked.covered;
    }

    /// A tip that tells of a record that is nowhere.
    fn compare_with_tip(&mut self) {
        let Some(tip) = self.tip.filter(|tip| tip.mark.seq > 0 && !self.matched && !self.covered) else { return };
        if self.findings.iter().any(|finding| matches!(finding.remedy, Remedy::Person(_))) {
            return;
        }
        let what =
            format!("it tells of record {} at {}, which this journal does not hold", tip.mark.seq, tip.mark.position);
        let text = "one of the two is from elsewhere, or newer segments are missing: put them back from a backup; if the \
                    journal is the right one, remove the tip and run this again";
        self.tell("tip".to_owned(), what, Remedy::Person(text.to_owned()));
    }

    fn tell(&mut self, file: String, what: String, remedy: Remedy) {
        self.findings.push(Finding { what, file, offset: None, records: None, orders: Vec::new(), remedy });
    }

    /// Makes a header again that cannot be read, if what is before the segment determines it.
    fn head(&mut self, part: &mut Part, place: Option<Place>, before: Option<Head>) -> Result<bool, JournalError> {
        let mut capacity = part.source.length;
        let is_gone = capacity <= FIRST;
        if is_gone {
            // Nothing of it is left, and nothing behind it tells its length.
            let told = self.tip.map_or(0, |tip| tip.end.saturating_sub(part.base)).next_multiple_of(FIRST);
            capacity = before.map_or(0, |before| before.capacity).max(told).max(2 * FIRST);
            part.source.length = capacity;
        }
        let Some((seq, chain)) = place else { return Ok(false) };
        let head = Head { base: part.base, capacity, seq, chain };
        if !self.fits(part, head)? {
            return Ok(false);
        }
        if is_gone {
            self.fixes.push(Fix::Resize { name: part.plain(), length: capacity });
        }
        let patch = (0, head.encode().to_vec());
        part.source.patch(patch.clone());
        part.head = Some(head);
        let remedy = Remedy::Whole("it is made again from the records before it".to_owned());
        self.tell(file(&part.name), HEADLESS.to_owned(), remedy);
        self.fixes.push(Fix::Write { name: part.plain(), patch });
        Ok(true)
    }

    /// Whether the first record, if it can be read, is the one that a header speaks of.
    fn fits(&self, part: &Part, head: Head) -> Result<bool, JournalError> {
        let mut cursor = Cursor::new(self.segment(part, head)?);
        Ok(match cursor.parse(FIRST)? {
            Parsed::Frame(header) => header.seq == head.seq,
            _ => true,
        })
    }

    fn segment(&self, part: &Part, head: Head) -> Result<Segment, JournalError> {
        Ok(Segment { head, path: self.dir.join(&part.name), file: part.source.open()? })
    }

    /// Goes over one segment.
    fn part(&self, part: &Part, place: Option<Place>, behind: Behind) -> Result<Walked, JournalError> {
        let mut walked = Walked::default();
        let Some(head) = part.head else { return Ok(walked) };
        if place.is_some_and(|place| place != (head.seq, head.chain)) {
            walked.hopeless(part, None, "it does not continue what is before it".to_owned());
            return Ok(walked);
        }
        let mut cursor = Cursor::new(self.segment(part, head)?);
        loop {
            let (from, seq) = (cursor.offset, cursor.seq);
            match cursor.next()? {
                Ok(found) => {
                    let end = Tip { mark: found.mark, end: cursor.end() };
                    let lost = found.lost.is_some();
                    walked.covered |= lost
                        && self.tip.is_some_and(|tip| (found.mark.position.0..end.end).contains(&tip.mark.position.0));
                    walked.matched |= self.tip == Some(end);
                    walked.end = Some(end);
                }
                Err(_) if self.is_end(&mut cursor, behind)? => {
                    walked.next = Some((cursor.seq, cursor.chain));
                    return Ok(walked);
                }
                Err(why) => {
                    let planned = match mended(&mut cursor, why)? {
                        Some(mended) => Some(mended),
                        None => match self.hole(&mut cursor, behind, why)? {
                            Ok(hole) => given_up(&mut cursor, &hole, why)?,
                            Err(what) => {
                                walked.hopeless(part, Some(from), what);
                                return Ok(walked);
                            }
                        },
                    };
                    let Some(Planned { patch, what, last, remedy, orders }) = planned else {
                        walked.hopeless(part, Some(from), format!("record {seq} cannot be read: {why}"));
                        return Ok(walked);
                    };
                    walked.lost |= matches!(remedy, Remedy::Bridge(_));
                    let (file, records) = (file(&part.name), Some((seq, last)));
                    walked.findings.push(Finding { what, file, offset: Some(from), records, orders, remedy });
                    walked.fixes.push(Fix::Write { name: part.plain(), patch: patch.clone() });
                    part.source.patch(patch);
                    cursor.refresh();
                }
            }
        }
    }

    /// Whether the segment ends where the cursor stands, or a write was cut off there that was never acknowledged.
    fn is_end(&self, cursor: &mut Cursor, behind: Behind) -> Result<bool, JournalError> {
        match behind {
            Behind::Segment(next) => Ok(next == (cursor.seq, cursor.chain) && !cursor.anchored),
            Behind::Nothing if self.tip.is_some_and(|tip| tip.end > cursor.end()) => Ok(false),
            Behind::Nothing => Ok(!cursor.has_later_group()?),
            Behind::Unknown => Ok(lose::dirty_end(cursor)? == cursor.offset),
        }
    }

    /// The stretch that cannot be read, or why nobody can tell what it is.
    fn hole(
        &self,
        cursor: &mut Cursor,
        behind: Behind,
        why: &'static str,
    ) -> Result<Result<Hole, String>, JournalError> {
        let (offset, seq) = (cursor.offset, cursor.seq);
        if lose::is_whole(cursor)? {
            return Ok(Err(format!("record {seq} is whole, but {why}: it is from another journal")));
        }
        if let Some((at, next)) = cursor.resync(offset, seq)? {
            let (bytes, count) = (at - offset, next.seq - seq);
            if bytes / SMALLEST < count {
                return Ok(Err(format!("{count} records cannot have stood here: what follows is from elsewhere")));
            }
            return Ok(Ok(Hole { bytes, count, after: After::Record(at, next) }));
        }
        let end = match behind {
            // Nobody knows where in the rest of it they were.
            Behind::Segment((next, chain)) => Some((next, chain, cursor.segment.head.capacity)),
            Behind::Nothing => self
                .tip
                .filter(|tip| tip.end <= cursor.segment.end())
                .map(|tip| (tip.mark.seq.saturating_add(1), tip.mark.chain, tip.end - cursor.segment.head.base)),
            Behind::Unknown => None,
        };
        Ok(match end {
            Some((next, chain, end)) if next > seq => {
                let bytes = end.min(cursor.segment.head.capacity).saturating_sub(offset);
                Ok(Hole { bytes, count: next - seq, after: After::Chain(chain) })
            }
            Some(_) => {
                Err(format!("record {seq} does not lead to what is behind it: one of the two is from elsewhere"))
            }
            None => Err(format!("record {seq} and what follows cannot be read, and nothing tells how far that goes")),
        })
    }
}

struct Planned {
    patch: (u64, Vec<u8>),
    what: String,
    last: u64,
    remedy: Remedy,
    orders: Vec<OrderId>,
}

/// The record where the cursor stands, if it can be had back.
fn mended(cursor: &mut Cursor, why: &str) -> Result<Option<Planned>, JournalError> {
    let (offset, last) = (cursor.offset, cursor.seq);
    Ok(mend(cursor)?.map(|record| {
        let remedy = Remedy::Whole("it is turned back, which the chain of the records proves right".to_owned());
        let what = format!("one bit is flipped: {why}");
        Planned { patch: (offset, record), what, last, remedy, orders: Vec::new() }
    }))
}

fn given_up(cursor: &mut Cursor, hole: &Hole, why: &str) -> Result<Option<Planned>, JournalError> {
    let (offset, seq) = (cursor.offset, cursor.seq);
    let Some((bytes, lost)) = lose::fill(cursor, hole)? else { return Ok(None) };
    let they = if hole.count == 1 { "it" } else { "they" };
    let what = format!("{they} cannot be read: {why}");
    let text = "what is left of the bytes is kept in journal.aside, and a record in their place says what is lost";
    let (last, remedy) = (seq + hole.count - 1, Remedy::Bridge(text.to_owned()));
    Ok(Some(Planned { patch: (offset, bytes), what, last, remedy, orders: [lost.begun, lost.orders].concat() }))
}

fn behind(parts: &[Part], at: usize, complete: bool) -> Behind {
    match parts.get(at + 1) {
        Some(next) => next.head.map_or(Behind::Unknown, |head| Behind::Segment((head.seq, head.chain))),
        None if complete => Behind::Nothing,
        None => Behind::Unknown,
    }
}

impl Walked {
    fn hopeless(&mut self, part: &Part, offset: Option<u64>, what: String) {
        let text =
            "put the right file back from a backup, or name the backup with --from; without it nothing is changed";
        let (file, remedy) = (file(&part.name), Remedy::Person(text.to_owned()));
        self.lost = true;
        self.findings.push(Finding { what, file, offset, records: None, orders: Vec::new(), remedy });
    }
}
