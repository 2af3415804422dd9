//! A connection's subscriptions, by the client's name for each.

use hashbrown::HashTable;
use std::sync::Arc;

use crate::subscription::Sub;

/// A connection's subscriptions by subscription id (for a link: by pattern and queue).
#[derive(Debug, Default)]
pub(crate) struct SubTable {
    table: HashTable<Sub>,
}

fn hash_key(key: &[u8]) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::with_seed(0x6761_7465).hash_one(key)
}

impl SubTable {
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn get(&self, tag: &[u8]) -> Option<&Sub> {
        self.table.find(hash_key(tag), |sub| sub.tag() == tag)
    }

    /// Adds; what had the same tag comes back.
    pub(crate) fn insert(&mut self, sub: Sub) -> Option<Sub> {
        let hash = hash_key(sub.tag());
        match self.table.entry(hash, |known| known.tag() == sub.tag(), |known| hash_key(known.tag())) {
            hashbrown::hash_table::Entry::Occupied(mut entry) => {
                Some(std::mem::replace(entry.get_mut(), sub))
            }
            hashbrown::hash_table::Entry::Vacant(entry) => {
                entry.insert(sub);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, tag: &[u8]) -> Option<Sub> {
        let found = self.table.find_entry(hash_key(tag), |sub| sub.tag() == tag).ok()?;
        Some(found.remove().0)
    }

    /// Removes this very subscription, not one that has its id by now.
    pub(crate) fn remove_exactly(&mut self, sub: &Sub) {
        let same = |known: &Sub| Arc::ptr_eq(&known.0, &sub.0);
        if let Ok(found) = self.table.find_entry(hash_key(sub.tag()), same) {
            found.remove();
        }
    }

    pub(crate) fn take_all(&mut self) -> Vec<Sub> {
        std::mem::take(&mut self.table).into_iter().collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sub> {
        self.table.iter()
    }
}
