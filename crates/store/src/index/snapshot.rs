//! An index as bytes, so that a start reads it instead of the log. Numbers are little-endian; lists begin with their
//! length. Whoever stores the bytes guards them with a checksum: they are believed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::bits::Bits;
use super::segment::{Ids, SegmentIndex};
use super::subjects::{Entry, SubjectId, Subjects};
use super::{Index, Segment};
use crate::options::{Limits, Storage};
use crate::removal::Removals;

/// Writes numbers.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn list<V: Copy>(&mut self, list: &[V], mut put: impl FnMut(&mut Self, V)) {
        self.u64(list.len() as u64);
        list.iter().for_each(|value| put(self, *value));
    }

    fn u16s(&mut self, list: &[u16]) {
        self.list(list, |out, value| out.0.extend_from_slice(&value.to_le_bytes()));
    }

    fn pairs(&mut self, list: &[(u32, u32)]) {
        self.list(list, |out, (a, b)| {
            out.u32(a);
            out.u32(b);
        });
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// Reads what a [`Writer`] wrote; `None` past the end.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = usize::try_from(self.u64()?).ok()?;
        self.take(count)
    }

    /// A list whose entries take `size` bytes.
    fn list<V>(&mut self, size: usize, get: impl Fn(&mut Reader<'_>) -> Option<V>) -> Option<Vec<V>> {
        let count = usize::try_from(self.u64()?).ok()?;
        let bytes = self.take(count.checked_mul(size)?)?;
        bytes.chunks_exact(size).map(|chunk| get(&mut Reader(chunk))).collect()
    }

    fn u16s(&mut self) -> Option<Vec<u16>> {
        self.list(2, |reader| Some(u16::from_le_bytes(*reader.0.first_chunk()?)))
    }

    fn u32s(&mut self) -> Option<Vec<u32>> {
        self.list(4, |reader| reader.u32())
    }

    fn pairs(&mut self) -> Option<Vec<(u32, u32)>> {
        self.list(8, |reader| Some((reader.u32()?, reader.u32()?)))
    }

    fn bits(&mut self) -> Option<Bits> {
        Some(Bits::from_words(self.list(8, |reader| reader.u64())?))
    }
}

impl SegmentIndex {
    fn encode(&self, out: &mut Writer) {
        match &self.ids {
            Ids::U8(ids) => {
                out.0.push(1);
                out.bytes(ids);
            }
            Ids::U16(ids) => {
                out.0.push(2);
                out.u16s(ids);
            }
            Ids::U32(ids) => {
                out.0.push(4);
                out.list(ids, Writer::u32);
            }
        }
        out.list(&self.dictionary, Writer::u32);
        out.u16s(&self.lengths);
        out.pairs(&self.long);
        out.pairs(&self.offsets);
        out.list(&self.runs, |out, (seq, at)| {
            out.u64(seq);
            out.u32(at);
        });
        for bits in [&self.with_headers, &self.with_expiry, &self.dead] {
            out.list(bits.words(), Writer::u64);
        }
        for number in [u64::from(self.end), self.live_bytes, self.first_time, self.last_time] {
            out.u64(number);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let ids = match from.byte()? {
            1 => Ids::U8(from.bytes()?.to_vec()),
            2 => Ids::U16(from.u16s()?),
            4 => Ids::U32(from.u32s()?),
            _ => return None,
        };
        let dictionary = from.u32s()?;
        let local = dictionary.iter().zip(0..).map(|(id, at)| (*id, at)).collect();
        Some(Self {
            ids,
            local,
            dictionary,
            lengths: from.u16s()?,
            long: from.pairs()?,
            offsets: from.pairs()?,
            runs: from.list(12, |reader| Some((reader.u64()?, reader.u32()?)))?,
            with_headers: from.bits()?,
            with_expiry: from.bits()?,
            dead: from.bits()?,
            end: u32::try_from(from.u64()?).ok()?,
            live_bytes: from.u64()?,
            first_time: from.u64()?,
            last_time: from.u64()?,
        })
    }
}

impl Subjects {
    fn encode(&self, out: &mut Writer) {
        out.u64(self.slots() as u64);
        for id in 0..self.slots() as SubjectId {
            let entry = self.entry(id);
            out.u32(entry.count);
            if entry.count > 0 {
                out.u64(entry.first);
                out.u64(entry.last);
                out.0.push(u8::from(entry.first_is_stale));
                let text = self.text(id);
                out.0.extend_from_slice(&(text.len() as u16).to_le_bytes());
                out.0.extend_from_slice(text);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Option<Self> {
        let mut subjects = Self::default();
        for _ in 0..from.u64()? {
            let count = from.u32()?;
            if count == 0 {
                subjects.restore_free();
                continue;
            }
            let (first, last, first_is_stale) = (from.u64()?, from.u64()?, from.byte()? == 1);
            let length = u16::from_le_bytes(*from.take(2)?.first_chunk()?);
            let text = from.take(usize::from(length))?;
            subjects.restore(text, Entry { first, last, count, first_is_stale, ..Entry::default() });
        }
        Some(subjects)
    }
}

impl<T> Index<T> {
    /// The index as bytes. `name` says of a segment what identifies it: two numbers and its length.
    pub(crate) fn encode(&self, out: &mut Writer, name: impl Fn(&Segment<T>) -> [u64; 3]) {
        let totals = [self.messages, self.bytes, self.first_seq, self.last_seq, self.last_time];
        totals.into_iter().for_each(|number| out.u64(number));
        self.subjects.encode(out);
        let deadlines: Vec<(u64, u64)> = self.deadlines.iter().map(|Reverse(pair)| *pair).collect();
        out.list(&deadlines, |out, (at, seq)| {
            out.u64(at);
            out.u64(seq);
        });
        out.u64(self.segments.len() as u64);
        for segment in &self.segments {
            name(segment).into_iter().for_each(|number| out.u64(number));
            out.u64(segment.base);
            out.u64(segment.tag as u64);
            segment.index.encode(out);
        }
    }

    /// The index from bytes. `find` gets what [`Index::encode`]'s `name` said and answers what holds the segment's
    /// bytes; `None` where it is gone, which only a segment at the front may be.
    pub(crate) fn decode(
        from: &mut Reader<'_>,
        storage: Storage,
        limits: Limits,
        gone: impl Fn() -> T,
        find: impl Fn([u64; 3]) -> Option<T>,
    ) -> Option<Self> {
        let mut index = Self::new(storage, limits);
        for total in [
            &mut index.messages,
            &mut index.bytes,
            &mut index.first_seq,
            &mut index.last_seq,
            &mut index.last_time,
        ] {
            *total = from.u64()?;
        }
        index.subjects = Subjects::decode(from)?;
        let deadlines = from.list(16, |reader| Some(Reverse((reader.u64()?, reader.u64()?))))?;
        index.deadlines = BinaryHeap::from(deadlines);
        let mut missing = 0;
        index.segments = VecDeque::new();
        for at in 0..usize::try_from(from.u64()?).ok()? {
            let name = [from.u64()?, from.u64()?, from.u64()?];
            let (base, tag) = (from.u64()?, usize::try_from(from.u64()?).ok()?);
            let data = find(name);
            if data.is_none() {
                if missing < at {
                    return None;
                }
                missing += 1;
            }
            let data = data.unwrap_or_else(&gone);
            index.segments.push_back(Segment {
                id: name[0],
                base,
                index: SegmentIndex::decode(from)?,
                tag,
                data,
            });
        }
        for at in 0..missing {
            while let Some(position) = index.segments.get(at).and_then(|segment| segment.index.next_live(0)) {
                index.kill((at, position), &mut Removals::default());
            }
        }
        index.segments.drain(..missing);
        Some(index)
    }
}
