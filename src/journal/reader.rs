//! The records of a journal, for whoever reads them: one at a place, or all of them in their order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::cursor::{Cursor, Found};
use super::error::JournalError;
use super::files::Files;
use super::frame::{self, Chain, Header, Kind};
use super::{Lost, Mark, Packing, Record, codec, packing};
use crate::types::{OrderId, Position};

/// A record that was read.
#[derive(Clone, Debug)]
pub struct Read {
    pub mark: Mark,
    pub record: Record,
}

/// A stretch of the journal whose records are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The position of its first byte.
    pub from: Position,
    /// The position behind it.
    pub to: Position,
    /// The number of the first lost record.
    pub first: u64,
    pub lost: Lost,
    chain: Chain,
}

/// What is in the segments.
#[derive(Debug)]
pub struct JournalReader {
    files: Arc<Files>,
    /// The stretches of segments that somebody has asked about. None is ever added while a journal is open.
    losses: Mutex<BTreeMap<u64, Arc<Vec<Stretch>>>>,
}

/// Records in their order. Ends after the first error.
#[derive(Debug)]
pub struct Scan<'a> {
    files: &'a Files,
    cursor: Cursor,
    end: u64,
    over: bool,
    /// Records of the first stretch that are known from elsewhere.
    known: u64,
}

impl JournalReader {
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self { files, losses: Mutex::default() }
    }

    /// The record at a position, checked by its checksum.
    pub fn read(&self, position: Position) -> Result<Read, JournalError> {
        let mut buffer = Vec::new();
        let header = self.files.read(position.0, &mut buffer)?;
        let mark = Mark { position, seq: header.seq, chain: header.chain };
        let json = &buffer[frame::HEADER + frame::PREV..frame::HEADER + header.len];
        Ok(Read { mark, record: decode(mark, header.prev, json)? })
    }

    /// Where the entry before the one at `position` is, without reading what it says.
    pub fn prev(&self, position: Position) -> Result<Option<Position>, JournalError> {
        let header = self.files.read(position.0, &mut Vec::new())?;
        if header.kind == Kind::Lost as u16 {
            return Err(JournalError::Record { position: position.0, why: "it is lost".to_owned() });
        }
        Ok((header.prev != 0).then_some(Position(header.prev)))
    }

    /// The stretch of lost records that a position is in.
    pub fn stretch(&self, position: Position) -> Option<Stretch> {
        let base = self.files.segment(position.0).ok()?.head.base;
        let losses = self.losses_in(base).ok()?;
        losses.iter().find(|stretch| (stretch.from..stretch.to).contains(&position)).cloned()
    }

    /// Whether this very record is in this journal, or was before it was lost.
    pub fn holds(&self, mark: &Mark) -> bool {
        *mark == Mark::START
            || self.header(mark.position).is_some_and(|header| same(&header, mark))
            || self.stretch(mark.position).is_some_and(|stretch| stretch.held(mark))
    }

    /// Every record after `mark`, up to what was durable when this was called, each checked against the one before.
    pub fn scan(&self, after: Mark) -> Result<Scan<'_>, JournalError> {
        let end = self.files.end();
        let (mut known, files) = (0, &*self.files);
        let segment = files.segment(after.position.0)?;
        let cursor = match self.header(after.position) {
            _ if after == Mark::START => Cursor::new(segment),
            Some(header) if same(&header, &after) && header.kind != Kind::Lost as u16 => {
                Cursor::behind(segment, &after, frame::total(header.len) as u64)
            }
            _ => {
                let stretch = self.stretch(after.position).filter(|stretch| stretch.held(&after));
                let stretch = stretch.ok_or_else(|| JournalError::Record {
                    position: after.position.0,
                    why: "it is not the record that was expected there".to_owned(),
                })?;
                known = stretch.known(&after);
                let mut cursor = Cursor::new(segment);
                cursor.offset = stretch.from.0 - cursor.segment.head.base;
                cursor.seq = stretch.first;
                if known == stretch.lost.count {
                    cursor.step_over(stretch.first, &stretch.chain, &stretch.lost);
                    known = 0;
                }
                cursor
            }
        };
        Ok(Scan { files, cursor, end, over: false, known })
    }

    /// The last entry of an order before a position, looked for where nothing points at it any more.
    pub fn entry_before(&self, position: Position, order: OrderId) -> Result<Option<Position>, JournalError> {
        let id = order.to_string();
        let mut end = position.0;
        while let Some(before) = end.checked_sub(1) {
            let segment = self.files.segment(before)?;
            let base = segment.head.base;
            let (mut cursor, mut last) = (Cursor::new(segment), None);
            while cursor.end() < end
                && let Ok(found) = cursor.next()?
            {
                let json = cursor.json(&found);
                if contains(json, id.as_bytes())
                    && let Ok(Record::Entry(entry)) = codec::decode(json)
                    && entry.order == order
                {
                    last = Some(found.mark.position);
                }
            }
            if last.is_some() {
                return Ok(last);
            }
            end = base;
        }
        Ok(None)
    }

    /// Packs the oldest segment that can be packed and begins at `from` or behind it, and moves `from` on; none when there
    /// is no such segment. Readers do not notice. Not for two threads at once.
    pub fn pack_next(&self, from: &mut u64) -> Result<Option<Packing>, JournalError> {
        packing::pack_next(&self.files, from)
    }

    /// How many segments could be packed.
    pub fn packable(&self) -> u64 {
        packing::waiting(&self.files)
    }

    /// Where the journal ends.
    pub fn end(&self) -> Position {
        Position(self.files.end())
    }

    /// How often a record was read by its place.
    pub fn reads(&self) -> u64 {
        self.files.reads()
    }

    fn losses_in(&self, base: u64) -> Result<Arc<Vec<Stretch>>, JournalError> {
        let locked = || self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = locked().get(&base) {
            return Ok(Arc::clone(known));
        }
        let mut cursor = Cursor::new(self.files.segment(base)?);
        let mut losses = Vec::new();
        while let Ok(found) = cursor.next()? {
            if let Found { mark, lost: Some(lost), .. } = found {
                let to = Position(mark.position.0 + lost.bytes);
                losses.push(Stretch { from: mark.position, to, first: mark.seq, lost, chain: mark.chain });
            }
        }
        let losses = Arc::new(losses);
        locked().insert(base, Arc::clone(&losses));
        Ok(losses)
    }

    fn header(&self, position: Position) -> Option<Header> {
        self.files.read(position.0, &mut Vec::new()).ok()
    }
}

impl Stretch {
    /// The number of the last lost record.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(self.lost.count).saturating_sub(1)
    }

    /// Whether a record that was here before could be this one. Only of the last one the chain may be known.
    fn held(&self, mark: &Mark) -> bool {
        let passed = mark.position == self.from && mark.seq == self.first && mark.chain == self.chain;
        let last_of_it = mark.seq == self.last() && self.lost.linked;
        passed || ((self.first..=self.last()).contains(&mark.seq) && (!last_of_it || mark.chain == self.chain))
    }

    /// How many of its records whoever has come as far as `mark` has had.
    fn known(&self, mark: &Mark) -> u64 {
        let passed = mark.position == self.from && mark.chain == self.chain;
        if passed { self.lost.count } else { mark.seq - self.first + 1 }
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<Read, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let next = self.advance().transpose();
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Scan<'_> {
    fn advance(&mut self) -> Result<Option<Read>, JournalError> {
        // A segment holds at least one record, so that this ends after two turns.
        while self.cursor.end() < self.end {
            match self.cursor.next()? {
                Ok(found) => {
                    let mut record = decode(found.mark, found.prev, self.cursor.json(&found))?;
                    if let Record::Lost(lost) = &mut record {
                        lost.count -= std::mem::take(&mut self.known).min(lost.count);
                    }
                    return Ok(Some(Read { mark: found.mark, record }));
                }
                Err(why) => {
                    let next = self.files.segment(self.cursor.segment.end());
                    let follows = |head: (u64, Chain)| head == (self.cursor.seq, self.cursor.chain);
                    match next {
                        Ok(next) if follows((next.head.seq, next.head.chain)) => self.cursor = Cursor::new(next),
                        Ok(next) => return Err(JournalError::Damaged(self.cursor.damage(why, Some(next.head.seq))?)),
                        Err(_) => return Err(JournalError::Damaged(self.cursor.damage(why, None)?)),
                    }
                }
            }
        }
        Ok(None)
    }
}

fn decode(mark: Mark, prev: u64, json: &[u8]) -> Result<Record, JournalError> {
    let position = mark.position.0;
    let mut record = codec::decode(json).map_err(|error| match error {
        codec::CodecError::Newer(found) => {
            let place = format!("the record at {position}");
            JournalError::Newer { place, found, known: super::FORMAT_VERSION }
        }
        error @ codec::CodecError::Malformed(_) => JournalError::Record { position, why: error.to_string() },
    })?;
    if let Record::Entry(entry) = &mut record {
        entry.prev = (prev != 0).then_some(Position(prev));
    }
    Ok(record)
}

fn same(header: &Header, mark: &Mark) -> bool {
    (header.seq, header.chain) == (mark.seq, mark.chain)
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
