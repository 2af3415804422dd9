//! Who listens to what: an index of subscriptions by pattern.
//!
//! Literal patterns, by far the most, live in one hash table that holds nothing but the entries;
//! patterns with wildcards live in a trie by token. A lookup is one probe of the table and, only if
//! there is any wildcard entry at all, one walk of the trie. Lookups do not allocate.

mod bucket;
mod hash;
mod literal;
mod trie;

pub use bucket::Members;

use literal::Literals;
use trie::Trie;

use crate::validity::has_wildcard;

/// What the index holds: usually a shared pointer to a subscription, so cloning should be cheap.
///
/// The answers must not change while the entry is in an index.
pub trait Entry: Clone {
    /// The pattern subscribed to; must be valid.
    fn subject(&self) -> &[u8];
    /// The queue group, if the subscription is a member of one.
    fn queue(&self) -> Option<&[u8]>;
    /// What tells this entry from every other one in the same index.
    fn id(&self) -> u64;
    /// How many members of the queue group stand behind this entry (a link speaks for several).
    fn weight(&self) -> u32 {
        1
    }
}

/// An index of entries by the pattern they subscribe to.
pub struct Interest<E: Entry> {
    literals: Literals<E>,
    wildcards: Trie<E>,
    len: usize,
}

impl<E: Entry> Default for Interest<E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Entry> std::fmt::Debug for Interest<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interest").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<E: Entry> Interest<E> {
    /// An empty index. Its hash functions are seeded at random, so that peers cannot choose
    /// subjects that collide.
    #[must_use]
    pub fn new() -> Self {
        Self { literals: Literals::new(), wildcards: Trie::new(), len: 0 }
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry. No entry with the same id may be in the index.
    pub fn insert(&mut self, entry: E) {
        if has_wildcard(entry.subject()) {
            self.wildcards.insert(entry);
        } else {
            self.literals.insert(entry);
        }
        self.len += 1;
    }

    /// Takes out the entry with the same pattern, queue group and id; false when there is none.
    pub fn remove(&mut self, entry: &E) -> bool {
        let removed = if has_wildcard(entry.subject()) {
            self.wildcards.remove(entry)
        } else {
            self.literals.remove(entry)
        };
        self.len -= usize::from(removed);
        removed
    }

    /// Calls `f` with the members of every pattern that matches the literal `subject`, one call per
    /// pattern.
    #[inline]
    pub fn matches<'a>(&'a self, subject: &[u8], mut f: impl FnMut(&'a Members<E>)) {
        if let Some(members) = self.literals.get(subject) {
            f(members);
        }
        if !self.wildcards.is_empty() {
            self.wildcards.matches(subject, f);
        }
    }

    /// The members that subscribed to exactly this pattern text.
    #[must_use]
    pub fn exact(&self, pattern: &[u8]) -> Option<&Members<E>> {
        if has_wildcard(pattern) { self.wildcards.get(pattern) } else { self.literals.get(pattern) }
    }

    /// Calls `f` with every entry, in no particular order.
    pub fn for_each<'a>(&'a self, mut f: impl FnMut(&'a E)) {
        self.literals.for_each(|members| members.for_each(&mut f));
        self.wildcards.for_each(|members| members.for_each(&mut f));
    }

    /// Calls `f` with every entry whose pattern some subject matches that also matches `pattern`.
    ///
    /// Time grows with the number of literal patterns when `pattern` has a wildcard.
    pub fn overlapping<'a>(&'a self, pattern: &[u8], mut f: impl FnMut(&'a E)) {
        if has_wildcard(pattern) {
            self.literals.matching(pattern, |members| members.for_each(&mut f));
        } else if let Some(members) = self.literals.get(pattern) {
            members.for_each(&mut f);
        }
        self.wildcards.overlapping(pattern, |members| members.for_each(&mut f));
    }
}
