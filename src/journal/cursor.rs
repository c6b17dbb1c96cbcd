//! Walks over the records of one segment, checking number, checksum and chain of each.

use std::io;
use std::sync::Arc;

use super::disk::{DiskFile, read_full};
use super::error::{Damage, JournalError, Place};
use super::frame::{self, Chain, Header, Kind, Parsed};
use super::segment::{FIRST, Segment};
use super::{FORMAT_VERSION, Lost, Mark, Record, codec};
use crate::types::Position;

const WINDOW: usize = 256 * 1024;
/// How many places a report of damage names.
const MAX_PLACES: usize = 16;

#[derive(Debug)]
pub(crate) struct Cursor {
    pub(crate) segment: Segment,
    /// Where the next record should begin in the file.
    pub(crate) offset: u64,
    /// The number that the next record should have.
    pub(crate) seq: u64,
    /// The chain of the record before.
    pub(crate) chain: Chain,
    /// `chain` is that of the next record itself: the one before it is lost, and its chain with it.
    pub(crate) anchored: bool,
    window: Window,
}

/// A record that stands where it should.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) mark: Mark,
    pub(crate) prev: u64,
    /// The JSON.
    pub(crate) json: std::ops::Range<usize>,
    /// It stands for records that are lost.
    pub(crate) lost: Option<Lost>,
}

/// Bytes of the file that have been read.
#[derive(Debug)]
struct Window {
    file: Arc<dyn DiskFile>,
    from: u64,
    bytes: Vec<u8>,
}

impl Cursor {
    pub(crate) fn new(segment: Segment) -> Self {
        let (seq, chain, file) = (segment.head.seq, segment.head.chain, Arc::clone(&segment.file));
        let window = Window { file, from: 0, bytes: Vec::new() };
        Self { segment, offset: FIRST, seq, chain, anchored: false, window }
    }

    /// Stands behind the record `mark`, which must be in this segment and `length` bytes long.
    pub(crate) fn behind(segment: Segment, mark: &Mark, length: u64) -> Self {
        let offset = mark.position.0 - segment.head.base + length;
        Self { offset, seq: mark.seq.saturating_add(1), chain: mark.chain, ..Self::new(segment) }
    }

    /// The next record, or why there is none.
    pub(crate) fn next(&mut self) -> Result<Result<Found, &'static str>, JournalError> {
        let header = match self.parse(self.offset)? {
            Parsed::Frame(header) => header,
            Parsed::Blank => return Ok(Err("there is no record")),
            Parsed::Short(_) => return Ok(Err("the file ends")),
            Parsed::Bad(why) => return Ok(Err(why)),
        };
        if header.version > FORMAT_VERSION {
            let place = format!("{} at offset {}", self.segment.path.display(), self.offset);
            return Err(JournalError::Newer { place, found: header.version, known: FORMAT_VERSION });
        }
        if header.seq != self.seq {
            return Ok(Err("its number does not follow"));
        }
        let at = self.window.index(self.offset);
        let payload = at + frame::HEADER..at + frame::HEADER + header.len;
        let json = payload.start + frame::PREV..payload.end;
        let position = Position(self.segment.head.base + self.offset);
        let mark = Mark { position, seq: header.seq, chain: header.chain };
        if header.kind == Kind::Lost as u16 {
            let Some(lost) = lost_at(&self.window.bytes[json.clone()], &header, self.room()) else {
                return Ok(Err("it does not tell what is lost"));
            };
            self.step_over(header.seq, &header.chain, &lost);
            return Ok(Ok(Found { mark, prev: 0, json, lost: Some(lost) }));
        }
        let chain = if self.anchored { self.chain } else { frame::link(&self.chain, &self.window.bytes[payload]) };
        if chain != header.chain {
            return Ok(Err("it does not follow from the records before it"));
        }
        self.pass(&header);
        Ok(Ok(Found { mark, prev: header.prev, json, lost: None }))
    }

    /// Stands behind a stretch whose first record has the number `first`.
    pub(crate) fn step_over(&mut self, first: u64, chain: &Chain, lost: &Lost) {
        self.offset += lost.bytes;
        self.seq = first.saturating_add(lost.count);
        self.chain = *chain;
        self.anchored = !lost.linked;
    }

    /// Bytes of the segment that are not passed.
    pub(crate) fn room(&self) -> u64 {
        self.segment.head.capacity.saturating_sub(self.offset)
    }

    /// The bytes of the record that `next` gave last.
    pub(crate) fn json(&self, found: &Found) -> &[u8] {
        &self.window.bytes[found.json.clone()]
    }

    /// The position behind the last record.
    pub(crate) fn end(&self) -> u64 {
        self.segment.head.base + self.offset
    }

    /// Whether some record after the place where the cursor stands was written later than the one that is missing
    /// there. If so, the missing one had been durable.
    pub(crate) fn has_later_group(&mut self) -> Result<bool, JournalError> {
        let (mut from, missing) = (self.offset, self.seq);
        while let Some((offset, header)) = self.resync(from, missing)? {
            if header.group > missing {
                return Ok(true);
            }
            from = offset + frame::total(header.len) as u64;
        }
        Ok(false)
    }

    /// Describes everything in this segment that is not as it was written, beginning where the cursor stands.
    /// `until` is the number of the first record of the next segment.
    pub(crate) fn damage(&mut self, why: &str, until: Option<u64>) -> Result<Damage, JournalError> {
        let mut damage = Damage::new(why);
        while damage.places.len() < MAX_PLACES {
            let (offset, seq) = (self.offset, self.seq);
            let found = self.resync(offset, seq)?;
            let last = found.as_ref().map(|(_, header)| header.seq).or(until).map(|next| next.saturating_sub(1));
            damage.places.push(Place { segment: self.segment.name(), offset, seq, last });
            let Some((offset, header)) = found else { break };
            self.offset = offset;
            self.pass(&header);
            while let Ok(_found) = self.next()? {}
            if until.is_none_or(|until| until == self.seq) && matches!(self.parse(self.offset)?, Parsed::Blank) {
                break;
            }
        }
        Ok(damage)
    }

    /// The next whole record with a higher number, wherever it begins.
    pub(crate) fn resync(&mut self, from: u64, missing: u64) -> Result<Option<(u64, Header)>, JournalError> {
        // A record cannot be shorter than its header, which bounds the numbers that can follow.
        let most = missing.saturating_add(self.segment.head.capacity / frame::HEADER as u64);
        let mut offset = from + 8;
        while offset + (frame::HEADER as u64) < self.segment.head.capacity {
            if let Some(skip) = self.window.zeros(offset, self.segment.head.capacity).map_err(|e| self.failed(&e))? {
                offset += skip;
                continue;
            }
            debug_assert!(frame::is_aligned(offset));
            if let Parsed::Frame(header) = self.parse(offset)?
                && header.seq > missing
                && header.seq < most
            {
                return Ok(Some((offset, header)));
            }
            offset += 8;
        }
        Ok(None)
    }

    pub(crate) fn pass(&mut self, header: &Header) {
        self.offset += frame::total(header.len) as u64;
        self.seq = header.seq.saturating_add(1);
        self.chain = header.chain;
        self.anchored = false;
    }

    /// Up to `length` bytes of the file from `offset`.
    pub(crate) fn peek(&mut self, offset: u64, length: usize) -> Result<&[u8], JournalError> {
        let path = &self.segment.path;
        let bytes = self.window.read(offset, length);
        let bytes = bytes.map_err(|error| JournalError::io("could not read", path, &error))?;
        Ok(&bytes[..length.min(bytes.len())])
    }

    /// Forgets what has been read of the file: it has changed.
    pub(crate) fn refresh(&mut self) {
        self.window.bytes.clear();
    }

    pub(crate) fn parse(&mut self, offset: u64) -> Result<Parsed, JournalError> {
        let room = self.segment.head.capacity.saturating_sub(offset);
        let mut need = frame::HEADER;
        loop {
            let path = &self.segment.path;
            let read = self.window.read(offset, need);
            let bytes = read.map_err(|error| JournalError::io("could not read", path, &error))?;
            match frame::parse(bytes, room) {
                Parsed::Short(more) if bytes.len() >= need && more > need => need = more,
                parsed => return Ok(parsed),
            }
        }
    }

    fn failed(&self, error: &io::Error) -> JournalError {
        JournalError::io("could not read", &self.segment.path, error)
    }
}

/// What a record of the kind `Lost` says, if it can be right.
fn lost_at(json: &[u8], header: &Header, room: u64) -> Option<Lost> {
    let Ok(Record::Lost(lost)) = codec::decode(json) else { return None };
    let own = frame::total(header.len) as u64;
    let fits = lost.count > 0 && frame::is_aligned(lost.bytes) && (own..=room).contains(&lost.bytes);
    fits.then_some(lost)
}

impl Window {
    /// At least `need` bytes from `offset`, or as many as the file has.
    fn read(&mut self, offset: u64, need: usize) -> io::Result<&[u8]> {
        let held = self.from..self.from + self.bytes.len() as u64;
        if offset < held.start || offset + need as u64 > held.end {
            self.bytes.resize(need.max(WINDOW), 0);
            self.from = offset;
            let read = read_full(&*self.file, &mut self.bytes, offset);
            self.bytes.truncate(*read.as_ref().unwrap_or(&0));
            read?;
        }
        Ok(self.bytes.get(self.index(offset)..).unwrap_or_default())
    }

    /// How far zeros reach from `offset`, if they do: whole words, at most one window.
    fn zeros(&mut self, offset: u64, end: u64) -> io::Result<Option<u64>> {
        let bytes = self.read(offset, 8)?;
        if bytes.is_empty() {
            return Ok(Some(end - offset));
        }
        const BLANK: [u8; 4096] = [0; 4096];
        let mut length = 0;
        for chunk in bytes.chunks(BLANK.len()) {
            if *chunk != BLANK[..chunk.len()] {
                length += chunk.iter().take_while(|&&byte| byte == 0).count();
                break;
            }
            length += chunk.len();
        }
        let whole = length as u64 / 8 * 8;
        Ok((whole > 0).then_some(whole))
    }

    fn index(&self, offset: u64) -> usize {
        usize::try_from(offset - self.from).unwrap_or(usize::MAX)
    }
}
