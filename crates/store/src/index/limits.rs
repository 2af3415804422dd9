//! Bounds of a stream: whether a message may come in, and what goes when it has.

use super::{Index, SubjectId};
use crate::error::AppendError;
use crate::options::Discard;
use crate::removal::Removals;

/// What a message would add, on top of what is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Newcomer<'a> {
    pub(crate) subject: &'a [u8],
    /// Bytes it counts for.
    pub(crate) size: u64,
}

/// What an atomic batch adds before the message that is asked about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ahead {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) of_subject: u64,
}

impl<T> Index<T> {
    /// Whether there is room for a message, or room will be made.
    pub(crate) fn admit(&mut self, new: Newcomer<'_>, ahead: Ahead) -> Result<(), AppendError> {
        let limits = self.limits;
        if limits.max_bytes.is_some_and(|max| new.size > max) {
            return Err(AppendError::MaxBytes);
        }
        // Of the bounds that refuse none is set: nothing has to be looked up.
        let unbounded = limits.max_messages.is_none() && limits.max_bytes.is_none();
        if limits.discard == Discard::Old || (unbounded && !limits.discard_new_per_subject) {
            return Ok(());
        }
        let mut replaced = None;
        if let Some(max) = limits.max_per_subject {
            let id = self.subjects.find(new.subject);
            let count = id.map_or(0, |id| u64::from(self.subjects.entry(id).count)) + ahead.of_subject;
            if count >= max {
                if limits.discard_new_per_subject {
                    return Err(AppendError::MaxPerSubject);
                }
                // It takes the place of the oldest of its subject.
                replaced = Some(id.and_then(|id| self.oldest_size(id)).unwrap_or(new.size));
            }
        }
        if replaced.is_none() && limits.max_messages.is_some_and(|max| self.messages + ahead.messages >= max)
        {
            return Err(AppendError::MaxMessages);
        }
        let bytes = self.bytes + ahead.bytes + new.size - replaced.unwrap_or(0).min(self.bytes);
        if limits.max_bytes.is_some_and(|max| bytes > max) {
            return Err(AppendError::MaxBytes);
        }
        Ok(())
    }

    fn oldest_size(&mut self, id: SubjectId) -> Option<u64> {
        let first = self.first_of(id)?;
        self.find(first).map(|place| self.size_at(place))
    }

    /// Removes the oldest messages of a subject over its bound.
    pub(crate) fn enforce_subject(&mut self, id: SubjectId, removals: &mut Removals) {
        if let Some(max) = self.limits.max_per_subject {
            self.keep_newest(id, max, removals);
        }
    }

    /// Removes the oldest messages of a subject until it has `keep`.
    pub(crate) fn keep_newest(&mut self, id: SubjectId, keep: u64, removals: &mut Removals) {
        // A released number may be another subject's by now: count down instead of asking again.
        let surplus = u64::from(self.subjects.entry(id).count).saturating_sub(keep);
        for _ in 0..surplus {
            let Some(place) = self.first_of(id).and_then(|seq| self.find(seq)) else { return };
            self.kill(place, removals);
        }
    }

    /// Removes the oldest messages of the stream over its bounds.
    pub(crate) fn enforce_totals(&mut self, removals: &mut Removals) {
        let (most, most_bytes) = (self.limits.max_messages, self.limits.max_bytes);
        while most.is_some_and(|max| self.messages > max) || most_bytes.is_some_and(|max| self.bytes > max) {
            let Some(place) = self.find(self.first_seq) else { return };
            self.kill(place, removals);
        }
    }

    /// Applies all bounds, as after a change of them.
    pub(crate) fn enforce_all(&mut self, removals: &mut Removals) {
        if let Some(max) = self.limits.max_per_subject {
            let over = |id: &SubjectId| u64::from(self.subjects.entry(*id).count) > max;
            let over: Vec<SubjectId> = self.subjects.ids().filter(over).collect();
            for id in over {
                self.keep_newest(id, max, removals);
            }
        }
        self.enforce_totals(removals);
    }
}
