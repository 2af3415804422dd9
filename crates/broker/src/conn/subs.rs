//! A connection's subscriptions, by the client's name for each.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashTable;

use crate::subscription::Sub;
use crate::usage::Usage;

/// A connection's subscriptions by subscription id (for a link: by pattern and queue).
#[derive(Debug, Default)]
pub(crate) struct SubTable {
    table: HashTable<Sub>,
    /// Where they are counted together with those of the identity's other connections.
    usage: Option<Arc<Usage>>,
}

fn hash_key(key: &[u8]) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::with_seed(0x6761_7465).hash_one(key)
}

impl SubTable {
    /// Counts these, and all that follow, as used by an identity.
    pub(crate) fn count_for(&mut self, usage: &Arc<Usage>) {
        self.usage.get_or_insert_with(|| usage.clone());
        self.counted(self.table.len(), 0);
    }

    fn counted(&self, more: usize, less: usize) {
        let Some(usage) = &self.usage else { return };
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        usage.subscriptions.fetch_add(narrow(more), Ordering::AcqRel);
        usage.subscriptions.fetch_sub(narrow(less), Ordering::AcqRel);
    }

    /// How many the identity has, where it is counted; else how many there are here.
    pub(crate) fn used(&self) -> usize {
        self.usage
            .as_ref()
            .map_or(self.table.len(), |usage| usage.subscriptions.load(Ordering::Acquire) as usize)
    }

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
                self.counted(1, 0);
                None
            }
        }
    }

    pub(crate) fn remove(&mut self, tag: &[u8]) -> Option<Sub> {
        let found = self.table.find_entry(hash_key(tag), |sub| sub.tag() == tag).ok()?;
        let (sub, _) = found.remove();
        self.counted(0, 1);
        Some(sub)
    }

    /// Removes this very subscription, not one that has its id by now.
    pub(crate) fn remove_exactly(&mut self, sub: &Sub) {
        let same = |known: &Sub| Arc::ptr_eq(&known.0, &sub.0);
        if let Ok(found) = self.table.find_entry(hash_key(sub.tag()), same) {
            found.remove();
            self.counted(0, 1);
        }
    }

    pub(crate) fn take_all(&mut self) -> Vec<Sub> {
        let all: Vec<Sub> = std::mem::take(&mut self.table).into_iter().collect();
        self.counted(0, all.len());
        all
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sub> {
        self.table.iter()
    }
}
