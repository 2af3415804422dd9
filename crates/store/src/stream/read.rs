//! Reading: the index is asked under the lock, bytes are fetched and taken apart without it.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use smallvec::{SmallVec, smallvec};

use super::{Log, Stream};
use crate::data::{Piece, Region};
use crate::error::ReadError;
use crate::filter::Filter;
use crate::index::{Matcher, Place};
use crate::problem::{Problem, Severity};
use crate::record::{self, Message, verify};
use crate::segment::SegmentFile;
use crate::tail::Recent;

/// Messages looked at under one hold of the lock; a search that goes on lets appends in between.
pub(super) const LOOK_AT: usize = 16 * 1024;
/// Two messages at most this far apart are fetched in one go, in bytes.
const GAP: u64 = 8 * 1024;
/// Bytes fetched in one go, unless a single message is longer.
const FETCH: u64 = 256 * 1024;

/// What a scan found.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// Messages in order of their sequences.
    pub messages: Vec<Message>,
    /// Where to go on: nothing of the choice is between the last message and here. Above the end of the scan when
    /// there is no more.
    pub next: u64,
}

/// Records that follow each other closely in one segment.
struct Span {
    segment: usize,
    region: Region,
    /// Where it is in memory, if it was written lately.
    recent: Option<Recent>,
    /// The file, if it is in one.
    file: Option<Arc<SegmentFile>>,
    from: u64,
    to: u64,
    /// (sequence, offset, length) of each wanted one.
    records: SmallVec<[(u64, u64, u32); 1]>,
}

impl Span {
    /// Whether the other one is in the same piece of memory, or neither is in any.
    fn reaches(&self, other: &Self) -> bool {
        match (&self.recent, &other.recent) {
            (Some(recent), Some(_)) => recent.holds(other.from, other.to),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Stream {
    /// The message of this sequence.
    ///
    /// # Errors
    /// It is there and can't be read.
    pub fn get(&self, seq: u64) -> Result<Option<Message>, ReadError> {
        let log = self.0.log.read();
        let Some(place) = log.index.find(seq) else { return Ok(None) };
        self.load(log, place)
    }

    /// The newest message of exactly this subject.
    ///
    /// # Errors
    /// It is there and can't be read.
    pub fn newest(&self, subject: &[u8]) -> Result<Option<Message>, ReadError> {
        let log = self.0.log.read();
        let newest = log.index.subjects.find(subject).map(|id| log.index.subjects.entry(id).last);
        let Some(place) = newest.and_then(|seq| log.index.find(seq)) else { return Ok(None) };
        self.load(log, place)
    }

    /// Whether there is a message of this sequence.
    #[must_use]
    pub fn contains(&self, seq: u64) -> bool {
        self.0.log.read().index.find(seq).is_some()
    }

    /// The first message of the choice from `from` on.
    ///
    /// # Errors
    /// It is there and can't be read.
    pub fn next(&self, filter: &Filter, from: u64) -> Result<Option<Message>, ReadError> {
        let mut from = from;
        loop {
            let log = self.0.log.read();
            let last = log.index.last_seq;
            let found = log.index.next_matching(from, last, &log.index.matcher(filter), LOOK_AT);
            match found.place {
                Some(place) => return self.load(log, place),
                None if found.next > last => return Ok(None),
                None => from = found.next,
            }
        }
    }

    /// The newest message of the choice.
    ///
    /// # Errors
    /// It is there and can't be read.
    pub fn last(&self, filter: &Filter) -> Result<Option<Message>, ReadError> {
        let log = self.0.log.read();
        let seqs = log.index.subjects_of(filter).into_iter().map(|id| log.index.subjects.entry(id).last);
        let Some(place) = seqs.max().and_then(|seq| log.index.find(seq)) else { return Ok(None) };
        self.load(log, place)
    }

    /// Messages of the choice in `from..=upto`, at most `most` of them, and no more once they have `max_bytes` bytes
    /// of records. Looks at a bounded number of messages: an empty answer whose `next` is not above the end means
    /// "ask again from there".
    ///
    /// # Errors
    /// The first message can't be read; a later one ends the scan before it.
    pub fn scan(
        &self,
        filter: &Filter,
        from: u64,
        upto: u64,
        most: usize,
        max_bytes: usize,
    ) -> Result<Scan, ReadError> {
        let log = self.0.log.read();
        let upto = upto.min(log.index.last_seq);
        let matcher = log.index.matcher(filter);
        let (spans, next) = plan(&log, &matcher, from, upto, most, max_bytes as u64);
        let pieces = spans.into_iter().map(|span| (log.piece(&span), span)).collect::<Vec<_>>();
        drop(log);
        let mut scan = Scan { messages: Vec::new(), next };
        for (piece, span) in pieces {
            let taken = self.take_apart(piece, &span, |message| scan.messages.push(message));
            if let Err((seq, error)) = taken {
                if scan.messages.is_empty() {
                    return Err(error);
                }
                scan.next = seq;
                break;
            }
        }
        Ok(scan)
    }

    /// Loads one message; gives up the lock before it reads.
    fn load(
        &self,
        log: parking_lot::RwLockReadGuard<'_, Log>,
        place: Place,
    ) -> Result<Option<Message>, ReadError> {
        let Some(span) = log.span(place, None) else { return Ok(None) };
        let piece = log.piece(&span);
        drop(log);
        let mut loaded = None;
        self.take_apart(piece, &span, |message| loaded = Some(message)).map_err(|(_, error)| error)?;
        Ok(loaded)
    }

    /// Fetches a span and takes its messages; which one failed, and why, otherwise.
    fn take_apart(
        &self,
        piece: Option<Piece>,
        span: &Span,
        mut take: impl FnMut(Message),
    ) -> Result<(), (u64, ReadError)> {
        let first = span.records.first().map_or(0, |(seq, _, _)| *seq);
        let fetched = match piece {
            Some(Piece::Here(bytes)) => Ok(bytes),
            Some(Piece::There { from, to }) => fetch(span.file.as_deref(), from, to),
            None => {
                Err(std::io::Error::other(format!("bytes {} to {} are not in memory", span.from, span.to)))
            }
        };
        let bytes = fetched.map_err(|error| {
            let file = span.file.as_ref().map(|file| file.path.clone()).unwrap_or_default();
            (first, ReadError::Io { file, error: Arc::new(error) })
        })?;
        for (seq, offset, length) in &span.records {
            let record = slice(&bytes, offset - span.from, *length);
            let message = record.and_then(|record| open(record, span, *offset));
            match message {
                Some(message) if message.seq == *seq => take(message),
                // Meanwhile it was deleted and overwritten.
                _ if !self.contains(*seq) => {}
                _ => return Err((*seq, self.damaged(*seq, span, *offset))),
            }
        }
        Ok(())
    }

    /// Notes that a message can't be read.
    fn damaged(&self, seq: u64, span: &Span, offset: u64) -> ReadError {
        let file = span.file.as_ref().map(|file| file.path.clone()).unwrap_or_default();
        if let Some(home) = &self.0.home {
            home.problems.add(Problem {
                severity: Severity::Damage,
                stream: Some(self.0.name.clone()),
                path: file.clone(),
                offset: Some(offset),
                sequences: Some((seq, seq)),
                what: "this message was damaged since it was written".into(),
            });
        }
        ReadError::Damaged { seq, file, offset }
    }
}

/// Reads a range of a file.
fn fetch(file: Option<&SegmentFile>, from: u64, to: u64) -> std::io::Result<Bytes> {
    let file = file.and_then(SegmentFile::file).ok_or(std::io::ErrorKind::NotFound)?;
    let mut bytes = BytesMut::zeroed(usize::try_from(to - from).map_err(std::io::Error::other)?);
    let read = file.read_at(&mut bytes, from)?;
    bytes.truncate(read);
    Ok(bytes.freeze())
}

/// Takes a record apart that stands at `offset` of the span's file.
fn open(record: Bytes, span: &Span, offset: u64) -> Option<Message> {
    let Some(file) = &span.file else { return Message::from_record(&record, 0) };
    if span.region == Region::Stored && span.recent.is_none() && !verify(&record, file.seed) {
        return None;
    }
    let tag = file.cipher.tag();
    if tag == 0 {
        return Message::from_record(&record, 0);
    }
    let mut clear = BytesMut::from(&*record);
    let decrypted = record::decrypt(&mut clear, &file.cipher, offset);
    if decrypted { Message::from_record(&clear.freeze(), tag) } else { None }
}

fn slice(bytes: &Bytes, from: u64, length: u32) -> Option<Bytes> {
    let from = usize::try_from(from).ok()?;
    let to = from + length as usize;
    (to <= bytes.len()).then(|| bytes.slice(from..to))
}

/// What to fetch for a scan, and where the next one begins.
fn plan(
    log: &Log,
    matcher: &Matcher<'_>,
    from: u64,
    upto: u64,
    most: usize,
    max_bytes: u64,
) -> (Vec<Span>, u64) {
    let (mut spans, mut count, mut bytes, mut looked_at) = (Vec::<Span>::new(), 0, 0, 0);
    let mut from = from;
    while count < most && looked_at < LOOK_AT && (bytes < max_bytes || count == 0) && from <= upto {
        let found = log.index.next_matching(from, upto, matcher, LOOK_AT - looked_at);
        looked_at += found.looked_at;
        from = found.next;
        let Some(one) = found.place.and_then(|place| log.span(place, spans.last())) else { continue };
        count += 1;
        bytes += one.to - one.from;
        match spans.last_mut() {
            Some(last)
                if last.segment == one.segment
                    && last.region == one.region
                    && one.from >= last.to
                    && one.from - last.to <= GAP
                    && one.to - last.from <= FETCH
                    && last.reaches(&one) =>
            {
                last.to = one.to;
                last.records.extend(one.records);
            }
            _ => spans.push(one),
        }
    }
    (spans, from)
}

impl Log {
    /// Where a message stands; `before` is where the one before it does.
    fn span(&self, (at, position): Place, before: Option<&Span>) -> Option<Span> {
        let segment = self.index.segments.get(at)?;
        let index = &segment.index;
        let (from, length) = (u64::from(index.offset(position)), index.length(position));
        let records = smallvec![(index.seq(position), from, length)];
        let (region, file) = (segment.data.region(from), segment.data.file().cloned());
        let to = from + u64::from(length);
        let recent = match (region, &file) {
            (Region::Stored, Some(file)) => {
                let same =
                    before.filter(|before| before.segment == at).and_then(|before| before.recent.clone());
                same.filter(|recent| recent.holds(from, to)).or_else(|| self.tail.find(file, from, to))
            }
            _ => None,
        };
        Some(Span { segment: at, region, recent, file, from, to, records })
    }

    fn piece(&self, span: &Span) -> Option<Piece> {
        if let Some(recent) = &span.recent {
            return recent.slice(span.from, span.to).map(Piece::Here);
        }
        self.index.segments.get(span.segment)?.data.piece(span.from, span.to)
    }
}
