//! Questions to the index: the next message of a choice, the last, how many.

use super::segment::{Ids, SegmentIndex};
use super::{Index, Place, SubjectId, Subjects};
use crate::filter::Filter;

/// A filter, resolved as far as the subjects of the stream allow.
#[derive(Debug)]
pub(crate) enum Matcher<'a> {
    /// Every message.
    All,
    /// Messages of one subject.
    One(SubjectId),
    /// Messages of one of these, sorted.
    Some(Vec<SubjectId>),
    /// Messages whose subject matches.
    Patterns(&'a Filter),
}

/// Outcome of a search: where the message is, and from which sequence on nothing was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) place: Option<Place>,
    /// Where to go on.
    pub(crate) next: u64,
    /// Messages looked at.
    pub(crate) looked_at: usize,
}

impl Matcher<'_> {
    fn matches(&self, id: SubjectId, subjects: &Subjects) -> bool {
        match self {
            Self::All => true,
            Self::One(one) => *one == id,
            Self::Some(some) => some.binary_search(&id).is_ok(),
            Self::Patterns(filter) => filter.matches(subjects.text(id)),
        }
    }
}

/// Per subject of a segment's dictionary: not known yet, no, yes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Unknown,
    No,
    Yes,
}

impl<T> Index<T> {
    pub(crate) fn matcher<'a>(&self, filter: &'a Filter) -> Matcher<'a> {
        if filter.is_all() {
            return Matcher::All;
        }
        let Some(literals) = filter.literals() else { return Matcher::Patterns(filter) };
        let mut ids: Vec<_> = literals.iter().filter_map(|literal| self.subjects.find(literal)).collect();
        ids.sort_unstable();
        match ids.as_slice() {
            [one] => Matcher::One(*one),
            _ => Matcher::Some(ids),
        }
    }

    /// The range of sequences outside of which a matcher finds nothing.
    fn bounds(&self, matcher: &Matcher<'_>) -> (u64, u64) {
        let of = |id: &SubjectId| {
            let entry = self.subjects.entry(*id);
            (entry.first, entry.last)
        };
        match matcher {
            Matcher::One(id) => of(id),
            Matcher::Some(ids) => {
                ids.iter().map(of).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))).unwrap_or((u64::MAX, 0))
            }
            _ => (self.first_seq, self.last_seq),
        }
    }

    /// The first message of the choice in `from..=upto`, looking at `most` messages at most.
    pub(crate) fn next_matching(&self, from: u64, upto: u64, matcher: &Matcher<'_>, most: usize) -> Found {
        let (first, last) = self.bounds(matcher);
        let (from, end) = (from.max(first), upto.min(last));
        let nothing = Found { place: None, next: upto.saturating_add(1), looked_at: 1 };
        if from > end {
            return nothing;
        }
        let mut looked_at = 0;
        let start = self.segment_of(from).unwrap_or(0);
        for (at, segment) in self.segments.iter().enumerate().skip(start) {
            if segment.base > end {
                break;
            }
            let index = &segment.index;
            let begin = index.lower_bound(from);
            let room = most.saturating_sub(looked_at);
            let stop = index.lower_bound(end.saturating_add(1)).min(begin.saturating_add(room));
            if let Some(position) = self.search(index, begin, stop, matcher) {
                looked_at += position - begin + 1;
                let next = index.seq(position) + 1;
                return Found { place: Some((at, position)), next, looked_at };
            }
            looked_at += stop.saturating_sub(begin) + 1;
            if looked_at >= most && stop < index.len() {
                return Found { place: None, next: index.seq(stop), looked_at };
            }
        }
        Found { looked_at: looked_at.max(1), ..nothing }
    }

    /// The first live match in a part of one segment.
    fn search(&self, index: &SegmentIndex, begin: usize, end: usize, matcher: &Matcher<'_>) -> Option<usize> {
        match matcher {
            Matcher::All => index.next_live(begin).filter(|position| *position < end),
            Matcher::One(id) => search_one(index, begin, end, *id),
            Matcher::Some(ids) if !ids.iter().any(|id| index.may_have(*id)) => None,
            _ => self.search_each(index, begin, end, matcher),
        }
    }

    fn search_each(
        &self,
        index: &SegmentIndex,
        begin: usize,
        end: usize,
        matcher: &Matcher<'_>,
    ) -> Option<usize> {
        // Many messages share few subjects: ask about each subject once.
        let few = index.dictionary.len() < end.saturating_sub(begin) && index.dictionary.len() <= 1024;
        let mut known = vec![Known::Unknown; if few { index.dictionary.len() } else { 0 }];
        let mut at = index.next_live(begin).filter(|at| *at < end);
        while let Some(position) = at {
            let local = match index.ids() {
                Ids::U8(ids) => ids.get(position).map(|id| usize::from(*id)),
                Ids::U16(ids) => ids.get(position).map(|id| usize::from(*id)),
                Ids::U32(_) => None,
            };
            let ask = || matcher.matches(index.subject(position), &self.subjects);
            let is_match = match local.and_then(|local| known.get_mut(local)) {
                Some(memo) => {
                    if *memo == Known::Unknown {
                        *memo = if ask() { Known::Yes } else { Known::No };
                    }
                    *memo == Known::Yes
                }
                None => ask(),
            };
            if is_match {
                return Some(position);
            }
            at = index.next_live(position + 1).filter(|at| *at < end);
        }
        None
    }

    /// Sequence of the newest message of a subject before `seq`.
    pub(crate) fn last_before(&self, id: SubjectId, seq: u64) -> Option<u64> {
        let entry = self.subjects.entry(id);
        if entry.last < seq {
            return Some(entry.last);
        }
        let start = self.segment_of(seq.checked_sub(1)?)?;
        for segment in self.segments.iter().take(start + 1).rev() {
            let index = &segment.index;
            if index.last_seq().is_some_and(|last| last < entry.first) {
                return None;
            }
            if !index.may_have(id) {
                continue;
            }
            let begin = index.lower_bound(entry.first);
            let found = (begin..index.lower_bound(seq))
                .rev()
                .find(|at| index.subject(*at) == id && !index.is_dead(*at));
            if let Some(position) = found {
                return Some(index.seq(position));
            }
        }
        None
    }

    /// Subjects with messages that a filter means, in no order.
    pub(crate) fn subjects_of(&self, filter: &Filter) -> Vec<SubjectId> {
        match self.matcher(filter) {
            Matcher::All => self.subjects.ids().collect(),
            Matcher::One(id) => vec![id],
            Matcher::Some(ids) => ids,
            Matcher::Patterns(filter) => {
                self.subjects.ids().filter(|id| filter.matches(self.subjects.text(*id))).collect()
            }
        }
    }

    /// Messages of the choice from `from` on.
    pub(crate) fn count(&self, from: u64, filter: &Filter) -> u64 {
        if from > self.last_seq {
            return 0;
        }
        if filter.is_all() {
            return self.count_all(from);
        }
        let mut ids = self.subjects_of(filter);
        let mut total = 0;
        // Subjects that lie wholly on one side need no search.
        ids.retain(|id| {
            let entry = self.subjects.entry(*id);
            let inside = entry.first < from && entry.last >= from;
            total += if entry.first >= from { u64::from(entry.count) } else { 0 };
            inside
        });
        if ids.is_empty() {
            return total;
        }
        ids.sort_unstable();
        let start = self.segment_of(from).unwrap_or(0);
        total
            + self
                .segments
                .iter()
                .skip(start)
                .map(|segment| count_in(&segment.index, from, &ids))
                .sum::<u64>()
    }

    fn count_all(&self, from: u64) -> u64 {
        if from <= self.first_seq {
            return self.messages;
        }
        let start = self.segment_of(from).unwrap_or(0);
        let counts = self.segments.iter().skip(start).map(|segment| {
            let index = &segment.index;
            index.live_from(index.lower_bound(from)) as u64
        });
        counts.sum()
    }

    /// Subjects of the choice whose newest message is at `from` or later.
    pub(crate) fn count_last(&self, from: u64, filter: &Filter) -> u64 {
        self.subjects_of(filter).iter().filter(|id| self.subjects.entry(**id).last >= from).count() as u64
    }
}

fn search_one(index: &SegmentIndex, begin: usize, end: usize, id: SubjectId) -> Option<usize> {
    let end = end.min(index.len());
    let live = |at: &usize| !index.is_dead(*at);
    let local = index.dictionary.iter().position(|known| *known == id);
    match index.ids() {
        Ids::U8(ids) => {
            let want = local? as u8;
            (begin..end).filter(|at| ids.get(*at) == Some(&want)).find(live)
        }
        Ids::U16(ids) => {
            let want = local? as u16;
            (begin..end).filter(|at| ids.get(*at) == Some(&want)).find(live)
        }
        Ids::U32(ids) => (begin..end).filter(|at| ids.get(*at) == Some(&id)).find(live),
    }
}

/// Live messages of the sorted `ids` from a sequence on, in one segment.
fn count_in(index: &SegmentIndex, from: u64, ids: &[SubjectId]) -> u64 {
    let begin = index.lower_bound(from);
    if !matches!(index.ids(), Ids::U32(_)) {
        let wanted: Vec<bool> = index.dictionary.iter().map(|id| ids.binary_search(id).is_ok()).collect();
        if !wanted.contains(&true) {
            return 0;
        }
        let is_wanted = |local: usize| wanted.get(local).copied().unwrap_or(false);
        return count_live(index, begin, |at| match index.ids() {
            Ids::U8(locals) => locals.get(at).is_some_and(|local| is_wanted(usize::from(*local))),
            Ids::U16(locals) => locals.get(at).is_some_and(|local| is_wanted(usize::from(*local))),
            Ids::U32(_) => false,
        });
    }
    count_live(index, begin, |at| ids.binary_search(&index.subject(at)).is_ok())
}

fn count_live(index: &SegmentIndex, begin: usize, is_wanted: impl Fn(usize) -> bool) -> u64 {
    (begin..index.len()).filter(|at| is_wanted(*at) && !index.is_dead(*at)).count() as u64
}
