//! A set of patterns, as rights are made of: does any member match, cover, overlap.

use std::fmt;
use std::sync::Arc;

use crate::interest::{Entry, Interest};
use crate::pattern;

/// Up to this many patterns are tried one after the other; more are found through an index.
const SCAN_UP_TO: usize = 8;

/// A set of patterns. Members must be valid patterns; two sets are equal when their members are.
#[derive(Clone, Default)]
pub struct PatternSet {
    /// Sorted, without duplicates.
    members: Vec<Arc<[u8]>>,
    /// Present when there are too many members to try each.
    index: Option<Arc<Interest<Member>>>,
}

/// A pattern as an entry of the index.
#[derive(Clone)]
struct Member(Arc<[u8]>);

impl Entry for Member {
    fn subject(&self) -> &[u8] {
        &self.0
    }

    fn queue(&self) -> Option<&[u8]> {
        None
    }

    /// No two members have the same pattern, so none ever shares a bucket with another.
    fn id(&self) -> u64 {
        0
    }
}

impl PatternSet {
    /// An empty set: it matches nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pattern; false when it was there already.
    pub fn insert(&mut self, pattern: impl AsRef<[u8]>) -> bool {
        let pattern = pattern.as_ref();
        let Err(at) = self.members.binary_search_by(|member| (**member).cmp(pattern)) else { return false };
        let member: Arc<[u8]> = pattern.into();
        self.members.insert(at, Arc::clone(&member));
        match self.index.as_mut().and_then(Arc::get_mut) {
            Some(index) => index.insert(Member(member)),
            // Too few for an index so far, or it is shared with a clone of this set.
            None => self.reindex(),
        }
        true
    }

    fn reindex(&mut self) {
        self.index = (self.members.len() > SCAN_UP_TO).then(|| {
            let mut index = Interest::new();
            self.members.iter().for_each(|member| index.insert(Member(Arc::clone(member))));
            Arc::new(index)
        });
    }

    /// Whether some member matches the literal `subject`.
    #[must_use]
    #[inline]
    pub fn matches(&self, subject: &[u8]) -> bool {
        match &self.index {
            None => self.members.iter().any(|member| pattern::matches(member, subject)),
            Some(index) => index.has_match(subject),
        }
    }

    /// Whether a single member covers all of `pattern`. Members that cover it only together do not
    /// count.
    #[must_use]
    pub fn covers(&self, pattern: &[u8]) -> bool {
        match &self.index {
            None => self.members.iter().any(|member| pattern::covers(member, pattern)),
            Some(index) => index.has_cover(pattern),
        }
    }

    /// Whether some subject matches both a member and `pattern`. Tries every member.
    #[must_use]
    pub fn overlaps(&self, pattern: &[u8]) -> bool {
        self.members.iter().any(|member| pattern::overlaps(member, pattern))
    }

    /// The members in byte order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.members.iter().map(|member| &**member)
    }

    /// Whether the set has no member, and so matches nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }
}

impl PartialEq for PatternSet {
    fn eq(&self, other: &Self) -> bool {
        self.members == other.members
    }
}

impl Eq for PatternSet {}

impl<P: AsRef<[u8]>> FromIterator<P> for PatternSet {
    fn from_iter<I: IntoIterator<Item = P>>(patterns: I) -> Self {
        let mut members: Vec<Arc<[u8]>> =
            patterns.into_iter().map(|pattern| pattern.as_ref().into()).collect();
        members.sort_unstable();
        members.dedup();
        let mut set = Self { members, index: None };
        set.reindex();
        set
    }
}

impl<P: AsRef<[u8]>> Extend<P> for PatternSet {
    fn extend<I: IntoIterator<Item = P>>(&mut self, patterns: I) {
        self.members.extend(patterns.into_iter().map(|pattern| Arc::from(pattern.as_ref())));
        self.members.sort_unstable();
        self.members.dedup();
        self.reindex();
    }
}

impl fmt::Debug for PatternSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(String::from_utf8_lossy)).finish()
    }
}
