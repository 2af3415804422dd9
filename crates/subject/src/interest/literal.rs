//! The entries whose pattern has no wildcard: one hash table, keyed by the entries themselves.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;

use super::Entry;
use super::bucket::{Members, Removed};
use super::hash::{Seed, spread};
use crate::pattern;

/// Below this many slots the table is never made smaller: it would only grow again.
const SHRINK_ABOVE: usize = 64;

/// Members by literal subject. No key is stored: a bucket's subject is that of any of its entries.
pub(super) struct Literals<E> {
    table: HashTable<Members<E>>,
    seed: Seed,
}

impl<E: Entry> Literals<E> {
    pub(super) fn new() -> Self {
        Self { table: HashTable::new(), seed: Seed::default() }
    }

    #[inline]
    pub(super) fn get(&self, subject: &[u8]) -> Option<&Members<E>> {
        let hash = self.seed.hash(subject);
        self.table.find(spread(hash), |members| members.hash() == hash && members.subject() == subject)
    }

    pub(super) fn insert(&mut self, entry: E) {
        let hash = self.seed.hash(entry.subject());
        let slot = self.table.entry(
            spread(hash),
            |members| members.hash() == hash && members.subject() == entry.subject(),
            |members| spread(members.hash()),
        );
        match slot {
            Slot::Occupied(mut bucket) => bucket.get_mut().insert(entry),
            Slot::Vacant(slot) => {
                slot.insert(Members::one(hash, entry));
            }
        }
    }

    pub(super) fn remove(&mut self, entry: &E) -> bool {
        let hash = self.seed.hash(entry.subject());
        let same = |members: &Members<E>| members.hash() == hash && members.subject() == entry.subject();
        let Ok(mut bucket) = self.table.find_entry(spread(hash), same) else { return false };
        match bucket.get_mut().remove(entry) {
            Removed::No => return false,
            Removed::Yes => {}
            Removed::Last => {
                bucket.remove();
                self.shrink();
            }
        }
        true
    }

    /// Gives memory back after most subjects went; by eighths, so that the work stays amortised.
    fn shrink(&mut self) {
        let (len, capacity) = (self.table.len(), self.table.capacity());
        if capacity > SHRINK_ABOVE && len < capacity / 8 {
            self.table.shrink_to(len * 2, |members| spread(members.hash()));
        }
    }

    pub(super) fn for_each<'a>(&'a self, f: impl FnMut(&'a Members<E>)) {
        self.table.iter().for_each(f);
    }

    /// Every bucket whose subject matches `pattern`: a scan of the whole table.
    pub(super) fn matching<'a>(&'a self, pattern: &[u8], f: impl FnMut(&'a Members<E>)) {
        self.table.iter().filter(|members| pattern::matches(pattern, members.subject())).for_each(f);
    }
}
