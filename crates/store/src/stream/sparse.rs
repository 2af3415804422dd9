//! Which segments are worth compacting, and when it is looked for them.

use super::Log;
use crate::crypt::Keys;
use crate::data::Data;
use crate::segment::SEGMENT_HEADER;

/// Part of a segment's length that must have died before it is looked for sparse segments again.
const LOOK_AFTER: u64 = 8;

/// When it was looked for sparse segments.
#[derive(Debug, Default)]
pub(crate) struct Look {
    /// Bytes that had died by then.
    at: u64,
    /// With the next commit, whatever died.
    soon: bool,
    /// The segment at the front and its live bytes, and how many bytes had died when it was first seen like that.
    front: Option<((u64, u64), u64)>,
}

impl Log {
    /// Bytes of messages in a segment, and of what else a compaction would leave out.
    fn weight(&self, at: usize) -> u64 {
        let Some(segment) = self.index.segments.get(at) else { return 0 };
        let is_compacted = segment.data.file().is_some_and(|file| file.header.generation > 0);
        let end = match segment.index.len().checked_sub(1) {
            _ if !is_compacted => segment.data.end(),
            // Behind its messages stands the list of removals, which another compaction would write again.
            Some(last) => u64::from(segment.index.offset(last)) + u64::from(segment.index.length(last)),
            None => 0,
        };
        end.saturating_sub(if segment.data.file().is_some() { SEGMENT_HEADER as u64 } else { 0 })
    }

    /// The neighbouring segments that are worth compacting: first and last. With `goes`, the one at the front goes by
    /// itself.
    pub(super) fn sparse_run(&self, percent: u8, keys: Option<&Keys>, goes: bool) -> Option<(usize, usize)> {
        let limit = self.options.segment_bytes;
        let segments = &self.index.segments;
        let closed = segments.len().saturating_sub(1);
        let settled = |at: usize| match segments.get(at).map(|segment| (&segment.data, segment.id)) {
            Some((Data::File(data), id)) => {
                data.pending.is_empty() && data.flying.is_none() && !self.unreadable.contains(&id)
            }
            other => other.is_some(),
        };
        let live = |at: usize| segments.get(at).map_or(0, |segment| segment.index.live_bytes);
        let dead_enough = |at: usize| {
            let weight = self.weight(at);
            weight.saturating_sub(live(at)) * 100 > weight * u64::from(percent)
        };
        let old_key = |at: usize| {
            let file = segments.get(at).and_then(|segment| segment.data.file());
            file.is_some_and(|file| !file.header.sealing.is_current(keys))
        };
        // Those at the front in which nothing is alive go as they are.
        let front = segments.iter().take_while(|segment| segment.index.live() == 0).count();
        let is_going = |at: usize| goes && at == front;
        let alone = |at: usize| settled(at) && ((dead_enough(at) && !is_going(at)) || old_key(at));
        let small = |at: usize| {
            settled(at)
                && !is_going(at)
                && segments.get(at).is_some_and(|segment| segment.data.end() * 4 < limit)
        };
        for first in front..closed {
            if !alone(first) && !small(first) {
                continue;
            }
            let (mut last, mut total) = (first, live(first));
            while last + 1 < closed
                && (alone(last + 1) || small(last + 1))
                && total + live(last + 1) <= limit / 2
                && last - first < 64
            {
                last += 1;
                total += live(last);
            }
            if last > first || alone(first) {
                return Some((first, last));
            }
        }
        None
    }

    /// Whether there is something to compact.
    pub(super) fn has_sparse(&self, percent: u8, keys: Option<&Keys>) -> bool {
        percent > 0 && self.sparse_run(percent, keys, false).is_some()
    }

    /// Bytes that must have died before it is looked for sparse segments again.
    fn look_after(&self) -> u64 {
        self.options.segment_bytes / LOOK_AFTER
    }

    /// Whether so much died that it is worth looking for sparse segments.
    pub(super) fn is_time_to_look(&self) -> bool {
        self.look.soon || self.index.killed >= self.look.at + self.look_after()
    }

    /// It is looked for sparse segments with the next commit, whatever died.
    pub(super) fn look_soon(&mut self) {
        self.look.soon = true;
    }

    /// Notes that it was looked.
    pub(super) fn looked(&mut self) {
        (self.look.soon, self.look.at) = (false, self.index.killed);
    }

    /// Whether the segment at the front goes by itself, as in a stream whose oldest messages make room for new ones:
    /// most of what is dead in it was before what is alive, and some of it died not long ago. To write such a one again
    /// would only be work.
    pub(super) fn front_goes(&mut self) -> bool {
        let Some(front) = self.index.segments.iter().find(|segment| segment.index.live() > 0) else {
            return false;
        };
        let (dead, before) = (front.index.len() - front.index.live(), front.index.next_live(0).unwrap_or(0));
        let (seen, killed) = ((front.id, front.index.live_bytes), self.index.killed);
        let since = match self.look.front {
            Some((known, since)) if known == seen => since,
            _ => killed,
        };
        self.look.front = Some((seen, since));
        before * 2 >= dead && killed < since + self.look_after()
    }
}
