//! The index of a stream: which messages there are, of which subject, and where they stand. No I/O, no clock.

mod bits;
mod limits;
mod query;
mod segment;
mod snapshot;
mod subjects;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::options::{Limits, Storage};
use crate::record::{EXPIRES, HEADER, Head};
use crate::removal::Removals;

pub(crate) use limits::{Ahead, Newcomer};
pub(crate) use query::Matcher;
pub(crate) use segment::{Added, SegmentIndex};
pub(crate) use snapshot::{Reader, Writer};
pub(crate) use subjects::{SubjectId, Subjects};

/// A segment as the index knows it; `T` is what holds its bytes.
#[derive(Debug)]
pub(crate) struct Segment<T> {
    pub(crate) id: u64,
    /// No message in it has a lower sequence, none in the segments before a higher one or this one.
    pub(crate) base: u64,
    pub(crate) index: SegmentIndex,
    /// Bytes of authentication tag at the end of each record.
    pub(crate) tag: usize,
    pub(crate) data: T,
}

/// All messages of a stream.
#[derive(Debug)]
pub(crate) struct Index<T> {
    pub(crate) storage: Storage,
    pub(crate) limits: Limits,
    pub(crate) subjects: Subjects,
    pub(crate) segments: VecDeque<Segment<T>>,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Sequence of the oldest message; one more than the last sequence when there is none.
    pub(crate) first_seq: u64,
    /// The last sequence used.
    pub(crate) last_seq: u64,
    /// Time of the last message appended, ns since 1970.
    pub(crate) last_time: u64,
    /// (expiry, sequence) of messages with an expiry; of dead ones too until they come up.
    deadlines: BinaryHeap<Reverse<(u64, u64)>>,
    /// Bytes of messages that went since this was opened.
    pub(crate) killed: u64,
}

/// Where a message stands: number of the segment in `segments`, position in it.
pub(crate) type Place = (usize, usize);

/// Bytes a message counts for, given its record. These are the sizes nats-server counts, so that `max_bytes` means
/// the same in a configuration that is taken over.
fn counted(storage: Storage, length: u32, tag: usize, headers: bool, expires: bool) -> u64 {
    let own = HEADER + tag + if expires { 8 } else { 0 };
    let text = (length as usize).saturating_sub(own);
    let overhead = match storage {
        Storage::File => 30 + if headers { 4 } else { 0 },
        Storage::Memory => 16,
    };
    (text + overhead) as u64
}

/// Bytes a message counts for before it is a record.
pub(crate) fn counted_size(storage: Storage, subject: usize, headers: usize, payload: usize) -> u64 {
    let length = u32::try_from(HEADER + subject + headers + payload).unwrap_or(u32::MAX);
    counted(storage, length, 0, headers > 0, false)
}

impl<T> Index<T> {
    pub(crate) fn new(storage: Storage, limits: Limits) -> Self {
        Self {
            storage,
            limits,
            subjects: Subjects::default(),
            segments: VecDeque::new(),
            messages: 0,
            bytes: 0,
            first_seq: 1,
            last_seq: 0,
            last_time: 0,
            deadlines: BinaryHeap::new(),
            killed: 0,
        }
    }

    /// Takes up a message whose record stands at `offset` of the last segment; the number of its subject.
    pub(crate) fn add(
        &mut self,
        head: &Head,
        subject: &[u8],
        expires: Option<u64>,
        offset: u32,
    ) -> SubjectId {
        let id = self.subjects.intern(subject);
        let Some(segment) = self.segments.back_mut() else { return id };
        let added = Added {
            seq: head.seq,
            subject: id,
            offset,
            length: head.length as u32,
            time: head.time,
            headers: head.headers > 0,
            expires: head.flags & EXPIRES != 0,
        };
        let tag = segment.tag;
        if let Some(entry) = self.subjects.entry_mut(id) {
            segment.index.push_numbered(added, &mut entry.number);
            if entry.count == 0 {
                (entry.first, entry.first_is_stale) = (head.seq, false);
            }
            entry.count += 1;
            entry.last = head.seq;
        }
        if self.messages == 0 {
            self.first_seq = head.seq;
        }
        self.messages += 1;
        self.bytes += counted(self.storage, added.length, tag, added.headers, added.expires);
        (self.last_seq, self.last_time) = (head.seq, head.time);
        if let Some(expires) = expires {
            self.deadlines.push(Reverse((expires, head.seq)));
        }
        id
    }

    /// Takes up a message that was deleted and overwritten: should the overwriting be lost, it is known as dead.
    pub(crate) fn add_dead(&mut self, head: &Head, offset: u32) {
        let (time, length) = (self.last_time, head.length as u32);
        if let Some(segment) = self.segments.back_mut() {
            let (seq, subject) = (head.seq, SubjectId::MAX);
            let (headers, expires) = (false, false);
            segment.index.push(Added { seq, subject, offset, length, time, headers, expires });
            segment.index.kill(segment.index.len() - 1);
        }
        self.skip_to(head.seq);
    }

    /// Uses up all sequences to `last` without a message.
    pub(crate) fn skip_to(&mut self, last: u64) {
        self.last_seq = self.last_seq.max(last);
        if self.messages == 0 {
            self.first_seq = self.last_seq + 1;
        }
    }

    /// The segment a message of this sequence would be in.
    fn segment_of(&self, seq: u64) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base <= seq).checked_sub(1)
    }

    /// Where the message stands, if it is there.
    pub(crate) fn find(&self, seq: u64) -> Option<Place> {
        let at = self.segment_of(seq)?;
        let index = &self.segments.get(at)?.index;
        let position = index.position(seq)?;
        (!index.is_dead(position)).then_some((at, position))
    }

    /// The subject of the message at a place.
    pub(crate) fn subject_at(&self, (at, position): Place) -> SubjectId {
        self.segments.get(at).map_or(SubjectId::MAX, |segment| segment.index.subject(position))
    }

    /// Bytes the message at a place counts for.
    pub(crate) fn size_at(&self, (at, position): Place) -> u64 {
        self.segments.get(at).map_or(0, |segment| {
            let index = &segment.index;
            let (headers, expires) = (index.has_headers(position), index.expires(position));
            counted(self.storage, index.length(position), segment.tag, headers, expires)
        })
    }

    /// Removes the message at a place and notes it in `removals`.
    pub(crate) fn kill(&mut self, place: Place, removals: &mut Removals) {
        let size = self.size_at(place);
        let id = self.subject_at(place);
        let Some(segment) = self.segments.get_mut(place.0) else { return };
        let seq = segment.index.seq(place.1);
        if !segment.index.kill(place.1) {
            return;
        }
        self.killed += size;
        self.messages -= 1;
        self.bytes -= size;
        let entry = self.subjects.entry(id);
        removals.push(seq, self.subjects.text(id), entry.count <= 1, size);
        self.uncount(id, seq);
        if seq == self.first_seq {
            self.first_seq = self.next_live(seq + 1).map_or(self.last_seq + 1, |place| self.seq_at(place));
        }
    }

    /// Takes one message off what is known of its subject.
    fn uncount(&mut self, id: SubjectId, seq: u64) {
        let before = self.subjects.entry(id);
        let Some(entry) = self.subjects.entry_mut(id) else { return };
        entry.count = entry.count.saturating_sub(1);
        if entry.count == 0 {
            return self.subjects.release(id);
        }
        if seq == before.first {
            (entry.first, entry.first_is_stale) = (seq + 1, true);
        }
        if seq == before.last {
            let last = self.last_before(id, seq).unwrap_or(before.first);
            if let Some(entry) = self.subjects.entry_mut(id) {
                entry.last = last;
            }
        }
        if let Some(entry) = self.subjects.entry_mut(id)
            && entry.count == 1
        {
            (entry.first, entry.first_is_stale) = (entry.last, false);
        }
    }

    pub(crate) fn seq_at(&self, (at, position): Place) -> u64 {
        self.segments.get(at).map_or(0, |segment| segment.index.seq(position))
    }

    /// The first message from `seq` on.
    pub(crate) fn next_live(&self, seq: u64) -> Option<Place> {
        let start = self.segment_of(seq).unwrap_or(0);
        self.segments.iter().enumerate().skip(start).find_map(|(at, segment)| {
            let from = segment.index.lower_bound(seq);
            Some((at, segment.index.next_live(from)?))
        })
    }

    /// Sequence of the first message after `seq`.
    pub(crate) fn next_seq_after(&self, seq: u64) -> Option<u64> {
        self.next_live(seq + 1).map(|place| self.seq_at(place))
    }

    /// Sequence of the oldest message of a subject; looks for it if the one known went.
    pub(crate) fn first_of(&mut self, id: SubjectId) -> Option<u64> {
        let entry = self.subjects.entry(id);
        if entry.count == 0 {
            return None;
        }
        if !entry.first_is_stale {
            return Some(entry.first);
        }
        let found = self.next_matching(entry.first, entry.last, &Matcher::One(id), usize::MAX);
        let first = found.place.map_or(entry.last, |place| self.seq_at(place));
        if let Some(entry) = self.subjects.entry_mut(id) {
            (entry.first, entry.first_is_stale) = (first, false);
        }
        Some(first)
    }

    /// The messages whose expiry is at or before `now`, at most `most`; they are still there.
    pub(crate) fn take_expired(&mut self, now: u64, most: usize) -> Vec<u64> {
        let mut expired = Vec::new();
        while let Some(Reverse((at, seq))) = self.deadlines.peek().copied() {
            let is_live = self.find(seq).is_some();
            if is_live && (at > now || expired.len() >= most) {
                break;
            }
            self.deadlines.pop();
            if is_live {
                expired.push(seq);
            }
        }
        expired
    }

    /// The earliest expiry.
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.peek().map(|Reverse((at, _))| *at)
    }

    /// Deadlines of dead messages are thrown away once they are the larger part.
    pub(crate) fn tidy_deadlines(&mut self) {
        if self.deadlines.len() > 1024 && self.deadlines.len() as u64 > 2 * self.messages {
            let old = std::mem::take(&mut self.deadlines);
            self.deadlines = old.into_iter().filter(|Reverse((_, seq))| self.find(*seq).is_some()).collect();
        }
    }

    /// Bytes of memory it takes, about.
    pub(crate) fn memory(&self) -> usize {
        self.segments.iter().map(|segment| segment.index.memory()).sum::<usize>()
            + self.deadlines.capacity() * 16
            + self.subjects.memory()
    }
}
