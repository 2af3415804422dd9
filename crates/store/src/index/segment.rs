//! What is known in memory of the messages of one segment: about three bytes a message where subjects repeat.
//!
//! Messages are known by their *position*, counted in the order they were written. A position never changes and its
//! message never comes back once it is dead.

use super::bits::Bits;
use super::subjects::SubjectId;

/// After this many messages the offset is written down again, so that finding one adds up at most as many lengths.
const STRIDE: u32 = 64;
/// Stands for a length that does not fit into 16 bits.
const LONG: u16 = u16::MAX;

/// The subject of each message: numbers of the segment's own while it has few subjects, of the stream's otherwise.
#[derive(Clone, Debug)]
pub(crate) enum Ids {
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<SubjectId>),
}

/// Messages of one segment.
#[derive(Clone, Debug)]
pub(crate) struct SegmentIndex {
    pub(super) ids: Ids,
    /// Subjects by the segment's own numbers; empty with `Ids::U32`.
    pub(crate) dictionary: Vec<SubjectId>,
    /// Whose own number is which; only while messages are added.
    pub(super) local: hashbrown::HashMap<SubjectId, u16, foldhash::fast::RandomState>,
    pub(super) lengths: Vec<u16>,
    /// (position, length), for those that are `LONG`.
    pub(super) long: Vec<(u32, u32)>,
    /// (position, offset) wherever the offset does not follow from what is before.
    pub(super) offsets: Vec<(u32, u32)>,
    /// (sequence, position) wherever the sequence is not one more than the one before.
    pub(super) runs: Vec<(u64, u32)>,
    pub(super) with_headers: Bits,
    pub(super) with_expiry: Bits,
    pub(super) dead: Bits,
    /// Where the next message would follow without a gap.
    pub(super) end: u32,
    /// Bytes of the records of messages that are not dead.
    pub(crate) live_bytes: u64,
    /// Times of the first and the last message, ns since 1970.
    pub(crate) first_time: u64,
    pub(crate) last_time: u64,
}

/// One message, as it is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    pub(crate) seq: u64,
    pub(crate) subject: SubjectId,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) time: u64,
    pub(crate) headers: bool,
    pub(crate) expires: bool,
}

impl Default for SegmentIndex {
    fn default() -> Self {
        Self {
            ids: Ids::U8(Vec::new()),
            dictionary: Vec::new(),
            local: hashbrown::HashMap::default(),
            lengths: Vec::new(),
            long: Vec::new(),
            offsets: Vec::new(),
            runs: Vec::new(),
            with_headers: Bits::default(),
            with_expiry: Bits::default(),
            dead: Bits::default(),
            end: 0,
            live_bytes: 0,
            first_time: 0,
            last_time: 0,
        }
    }
}

impl SegmentIndex {
    /// Messages, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Messages that are not dead.
    pub(crate) fn live(&self) -> usize {
        self.len() - self.dead.len()
    }

    pub(crate) fn push(&mut self, added: Added) {
        self.push_numbered(added, &mut 0);
    }

    /// The same; `number` is the segment's own number of the subject, or another one, and then it is that.
    pub(super) fn push_numbered(&mut self, added: Added, number: &mut u16) {
        let position = self.len() as u32;
        if self.runs.last().is_none_or(|(seq, at)| seq + u64::from(position - at) != added.seq) {
            self.runs.push((added.seq, position));
        }
        let stale = self.offsets.last().is_none_or(|(at, _)| position - at >= STRIDE);
        if stale || self.end != added.offset {
            self.offsets.push((position, added.offset));
        }
        self.end = added.offset.saturating_add(added.length);
        match u16::try_from(added.length) {
            Ok(length) if length != LONG => self.lengths.push(length),
            _ => {
                self.long.push((position, added.length));
                self.lengths.push(LONG);
                // The sum of lengths must not cross it.
                self.end = u32::MAX;
            }
        }
        if added.headers {
            self.with_headers.insert(position as usize);
        }
        if added.expires {
            self.with_expiry.insert(position as usize);
        }
        if position == 0 {
            self.first_time = added.time;
        }
        self.last_time = added.time;
        self.live_bytes += u64::from(added.length);
        self.push_subject(added.subject, number);
    }

    fn push_subject(&mut self, subject: SubjectId, hint: &mut u16) {
        if let Ids::U32(ids) = &mut self.ids {
            ids.push(subject);
            return;
        }
        let hinted = self.dictionary.get(usize::from(*hint)).is_some_and(|known| *known == subject);
        let known = if hinted { Some(*hint) } else { self.local.get(&subject).copied() };
        let Some(number) = known.or_else(|| self.new_local(subject)) else {
            self.widen_to_global();
            return self.push_subject(subject, hint);
        };
        *hint = number;
        if let (Ids::U8(ids), true) = (&self.ids, number > u16::from(u8::MAX)) {
            self.ids = Ids::U16(ids.iter().map(|id| u16::from(*id)).collect());
        }
        match &mut self.ids {
            Ids::U8(ids) => ids.push(number as u8),
            Ids::U16(ids) => ids.push(number),
            Ids::U32(ids) => ids.push(subject),
        }
    }

    fn new_local(&mut self, subject: SubjectId) -> Option<u16> {
        let number = u16::try_from(self.dictionary.len()).ok()?;
        self.dictionary.push(subject);
        self.local.insert(subject, number);
        Some(number)
    }

    fn widen_to_global(&mut self) {
        let ids = (0..self.len().saturating_sub(1)).map(|at| self.subject(at)).collect();
        self.ids = Ids::U32(ids);
        self.dictionary = Vec::new();
        self.local = hashbrown::HashMap::default();
    }

    /// Gives back what only adding needs.
    pub(crate) fn seal(&mut self) {
        self.local = hashbrown::HashMap::default();
        match &mut self.ids {
            Ids::U8(ids) => ids.shrink_to_fit(),
            Ids::U16(ids) => ids.shrink_to_fit(),
            Ids::U32(ids) => ids.shrink_to_fit(),
        }
        self.dictionary.shrink_to_fit();
        self.lengths.shrink_to_fit();
        self.long.shrink_to_fit();
        self.offsets.shrink_to_fit();
        self.runs.shrink_to_fit();
        self.with_headers.shrink();
        self.with_expiry.shrink();
        self.dead.shrink();
    }

    /// The stream's number of the subject at `position`.
    pub(crate) fn subject(&self, position: usize) -> SubjectId {
        let local = match &self.ids {
            Ids::U8(ids) => ids.get(position).map(|id| usize::from(*id)),
            Ids::U16(ids) => ids.get(position).map(|id| usize::from(*id)),
            Ids::U32(ids) => return ids.get(position).copied().unwrap_or(SubjectId::MAX),
        };
        local.and_then(|at| self.dictionary.get(at)).copied().unwrap_or(SubjectId::MAX)
    }

    pub(crate) fn ids(&self) -> &Ids {
        &self.ids
    }

    /// Whether a message of this subject may be here.
    pub(crate) fn may_have(&self, subject: SubjectId) -> bool {
        matches!(self.ids, Ids::U32(_)) || self.dictionary.contains(&subject)
    }

    /// Length of the record at `position`.
    pub(crate) fn length(&self, position: usize) -> u32 {
        match self.lengths.get(position) {
            Some(&LONG) => {
                let at = self.long.binary_search_by_key(&(position as u32), |(at, _)| *at);
                at.ok().and_then(|at| self.long.get(at)).map_or(0, |(_, length)| *length)
            }
            length => length.map_or(0, |length| u32::from(*length)),
        }
    }

    /// Where in the segment the record at `position` begins.
    pub(crate) fn offset(&self, position: usize) -> u32 {
        let after = self.offsets.partition_point(|(at, _)| *at as usize <= position);
        let Some((at, offset)) = after.checked_sub(1).and_then(|at| self.offsets.get(at)) else { return 0 };
        let between = self.lengths.get(*at as usize..position).unwrap_or_default();
        offset + between.iter().map(|length| u32::from(*length)).sum::<u32>()
    }

    /// The sequence at `position`.
    pub(crate) fn seq(&self, position: usize) -> u64 {
        let after = self.runs.partition_point(|(_, at)| *at as usize <= position);
        let run = after.checked_sub(1).and_then(|at| self.runs.get(at));
        run.map_or(0, |(seq, at)| seq + (position as u64 - u64::from(*at)))
    }

    /// The first position whose sequence is `seq` or greater; the number of messages when there is none.
    pub(crate) fn lower_bound(&self, seq: u64) -> usize {
        let after = self.runs.partition_point(|(start, _)| *start <= seq);
        let Some((start, at)) = after.checked_sub(1).and_then(|at| self.runs.get(at)) else { return 0 };
        let end = self.runs.get(after).map_or(self.len(), |(_, at)| *at as usize);
        (u64::from(*at) + (seq - start)).min(end as u64) as usize
    }

    /// The position of exactly this sequence, dead or not.
    pub(crate) fn position(&self, seq: u64) -> Option<usize> {
        let at = self.lower_bound(seq);
        (at < self.len() && self.seq(at) == seq).then_some(at)
    }

    pub(crate) fn has_headers(&self, position: usize) -> bool {
        self.with_headers.has(position)
    }

    pub(crate) fn expires(&self, position: usize) -> bool {
        self.with_expiry.has(position)
    }

    pub(crate) fn is_dead(&self, position: usize) -> bool {
        self.dead.has(position)
    }

    /// Marks the message as gone; false when it was.
    pub(crate) fn kill(&mut self, position: usize) -> bool {
        if position >= self.len() || !self.dead.insert(position) {
            return false;
        }
        self.live_bytes -= u64::from(self.length(position));
        true
    }

    /// The first message from `position` on that is not dead.
    pub(crate) fn next_live(&self, position: usize) -> Option<usize> {
        let at = if self.dead.len() == 0 { position } else { self.dead.next_absent(position) };
        (at < self.len()).then_some(at)
    }

    /// Messages from `position` on that are not dead.
    pub(crate) fn live_from(&self, position: usize) -> usize {
        let below = position.min(self.len());
        self.live() - (below - self.dead.count_below(below))
    }

    /// The last sequence.
    pub(crate) fn last_seq(&self) -> Option<u64> {
        (self.len() > 0).then(|| self.seq(self.len() - 1))
    }

    /// Bytes of memory it takes, about.
    pub(crate) fn memory(&self) -> usize {
        let ids = match &self.ids {
            Ids::U8(ids) => ids.capacity(),
            Ids::U16(ids) => ids.capacity() * 2,
            Ids::U32(ids) => ids.capacity() * 4,
        };
        let lists = (self.long.capacity() + self.offsets.capacity()) * 8 + self.runs.capacity() * 16;
        let bits = self.with_headers.memory() + self.with_expiry.memory() + self.dead.memory();
        size_of::<Self>()
            + ids
            + (self.dictionary.capacity() + self.local.capacity() * 2) * 4
            + self.lengths.capacity() * 2
            + lists
            + bits
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain list: gaps in sequences and offsets, long records, and enough subjects to widen twice.
        #[test]
        fn an_index_answers_like_a_list(
            steps in proptest::collection::vec((1u64..4, 0u32..3, prop_oneof![40u32..300, 65_000u32..66_000], 0u32..400), 1..500),
            kills in proptest::collection::vec(0usize..500, 0..300),
            probes in proptest::collection::vec(0u64..1600, 20),
        ) {
            let (mut index, mut list, mut seq, mut offset) = (SegmentIndex::default(), Vec::new(), 0, 64);
            for (step, gap, length, subject) in steps {
                seq += step;
                offset += if gap == 0 { 50 } else { 0 };
                let added = Added { seq, subject, offset, length, time: seq, headers: gap == 1, expires: gap == 2 };
                index.push(added);
                list.push((added, true));
                offset += length;
            }
            for at in kills {
                let was_live = list.get(at).is_some_and(|(_, live)| *live);
                prop_assert_eq!(index.kill(at), was_live);
                if let Some((_, live)) = list.get_mut(at) { *live = false; }
            }
            index.seal();
            for (at, (added, live)) in list.iter().enumerate() {
                prop_assert_eq!(index.seq(at), added.seq);
                prop_assert_eq!(index.offset(at), added.offset);
                prop_assert_eq!(index.length(at), added.length);
                prop_assert_eq!(index.subject(at), added.subject);
                prop_assert_eq!(index.has_headers(at), added.headers);
                prop_assert_eq!(index.expires(at), added.expires);
                prop_assert_eq!(index.is_dead(at), !live);
            }
            for seq in probes {
                let at = list.partition_point(|(added, _)| added.seq < seq);
                prop_assert_eq!(index.lower_bound(seq), at);
                let next = (at..list.len()).find(|at| list[*at].1);
                prop_assert_eq!(index.next_live(at), next);
                prop_assert_eq!(index.live_from(at), list[at..].iter().filter(|(_, live)| *live).count());
            }
            let bytes: u64 = list.iter().filter(|(_, live)| *live).map(|(added, _)| u64::from(added.length)).sum();
            prop_assert_eq!(index.live_bytes, bytes);
        }
    }

    #[test]
    fn the_seventy_thousandth_subject_is_told_from_the_first() {
        let mut index = SegmentIndex::default();
        for n in 0..70_000u32 {
            let added = Added {
                seq: u64::from(n) + 1,
                subject: n,
                offset: n * 40,
                length: 40,
                time: 0,
                headers: false,
                expires: false,
            };
            index.push(added);
        }
        assert!((0..70_000u32).all(|n| index.subject(n as usize) == n));
    }
}
