//! Which message ids were seen in the duplicate window, and as which sequence.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::stamp::Stamp;

#[derive(Debug)]
struct Entry {
    hash: u64,
    id: Box<[u8]>,
    sequence: u64,
    at: i64,
}

/// Message ids of the last while, oldest first. Bounded: over `most`, the oldest go before their time.
#[derive(Debug, Default)]
pub(crate) struct Dedupe {
    hasher: foldhash::fast::RandomState,
    /// Positions in `entries`, counted from the first there ever was.
    table: HashTable<u64>,
    entries: VecDeque<Entry>,
    /// How many have gone.
    gone: u64,
    /// The id of the last message; empty when it had none.
    last: Vec<u8>,
}

impl Dedupe {
    /// The sequence of the message of this id, if it came within the window before `now`.
    pub(crate) fn find(&mut self, id: &[u8], window: i64, now: Stamp) -> Option<u64> {
        self.forget_old(window, now);
        let hash = self.hasher.hash_one(id);
        let at = self.table.find(hash, |at| self.entry(*at).is_some_and(|entry| *entry.id == *id))?;
        self.entry(*at).map(|entry| entry.sequence)
    }

    /// Notes an id.
    pub(crate) fn insert(&mut self, id: &[u8], sequence: u64, at: Stamp, most: usize) {
        while self.entries.len() >= most.max(1) {
            self.forget_oldest();
        }
        let hash = self.hasher.hash_one(id);
        let position = self.gone + self.entries.len() as u64;
        self.entries.push_back(Entry { hash, id: id.into(), sequence, at: at.0 });
        let (entries, gone) = (&self.entries, self.gone);
        self.table.insert_unique(hash, position, |at| hash_of(entries, gone, *at));
    }

    /// Forgets ids of messages after `last`: they are not stored after all.
    pub(crate) fn forget_after(&mut self, last: u64) {
        while self.entries.back().is_some_and(|entry| entry.sequence > last) {
            let at = self.gone + self.entries.len() as u64 - 1;
            if let Some(entry) = self.entries.pop_back() {
                drop(self.table.find_entry(entry.hash, |known| *known == at).map(|found| found.remove()));
            }
        }
    }

    /// Forgets what is older than the window.
    pub(crate) fn forget_old(&mut self, window: i64, now: Stamp) {
        while self.entries.front().is_some_and(|entry| now.0.saturating_sub(entry.at) >= window) {
            self.forget_oldest();
        }
    }

    /// Notes the id of the last message, for `Nats-Expected-Last-Msg-Id`; empty when it had none.
    pub(crate) fn set_last(&mut self, id: &[u8]) {
        if (!id.is_empty() || !self.last.is_empty()) && self.last != id {
            self.last.clear();
            self.last.extend_from_slice(id);
        }
    }

    /// The id of the last message.
    pub(crate) fn last(&self) -> &[u8] {
        &self.last
    }

    fn forget_oldest(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            let at = self.gone;
            drop(self.table.find_entry(entry.hash, |known| *known == at).map(|found| found.remove()));
            self.gone += 1;
        }
    }

    fn entry(&self, at: u64) -> Option<&Entry> {
        self.entries.get(usize::try_from(at.checked_sub(self.gone)?).ok()?)
    }
}

fn hash_of(entries: &VecDeque<Entry>, gone: u64, at: u64) -> u64 {
    let at = usize::try_from(at.saturating_sub(gone)).unwrap_or(usize::MAX);
    entries.get(at).map_or(0, |entry| entry.hash)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_knows_what_a_map_knows(steps in proptest::collection::vec((0u8..20, 0i64..30, 0u8..10), 1..200)) {
            let (mut dedupe, mut model) = (Dedupe::default(), BTreeMap::<u8, (u64, i64)>::new());
            let (mut now, mut sequence) = (0, 0);
            for (id, pass, taken_back) in steps {
                now += pass;
                let known = model.get(&id).filter(|(_, at)| now - at < 100).map(|(sequence, _)| *sequence);
                prop_assert_eq!(dedupe.find(&[id], 100, Stamp(now)), known);
                if known.is_none() {
                    sequence += 1;
                    dedupe.insert(&[id], sequence, Stamp(now), 1000);
                    model.insert(id, (sequence, now));
                }
                if taken_back == 0 {
                    let last = sequence.saturating_sub(2);
                    dedupe.forget_after(last);
                    model.retain(|_, (sequence, _)| *sequence <= last);
                }
            }
        }
    }

    #[test]
    fn it_is_bounded() {
        let mut dedupe = Dedupe::default();
        for n in 0..1000u64 {
            dedupe.insert(&n.to_le_bytes(), n, Stamp(0), 10);
        }
        assert_eq!(dedupe.entries.len(), 10);
        assert_eq!(dedupe.find(&999u64.to_le_bytes(), 100, Stamp(0)), Some(999));
        assert_eq!(dedupe.find(&1u64.to_le_bytes(), 100, Stamp(0)), None);
    }
}
