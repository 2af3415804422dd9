//! Which messages of a stream are meant: none, one or several patterns.

use subject::{has_wildcard, matches};

/// A choice of messages by subject. Compiled once, used for many reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Sorted. Without any member, and without wildcards, everything is meant.
    literals: Vec<Box<[u8]>>,
    wildcards: Vec<Box<[u8]>>,
}

impl Filter {
    /// Every message.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Messages whose subject matches any of these patterns. No pattern at all, or `>` among them, is every message.
    pub fn new<I>(patterns: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let mut filter = Self::default();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            if pattern == b">" {
                return Self::all();
            }
            let list = if has_wildcard(pattern) { &mut filter.wildcards } else { &mut filter.literals };
            list.push(pattern.into());
        }
        filter.literals.sort_unstable();
        filter.literals.dedup();
        filter
    }

    /// Whether every message is meant.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.literals.is_empty() && self.wildcards.is_empty()
    }

    /// Whether a message of this subject is meant.
    #[must_use]
    pub fn matches(&self, subject: &[u8]) -> bool {
        self.is_all()
            || self.literals.binary_search_by(|literal| (**literal).cmp(subject)).is_ok()
            || self.wildcards.iter().any(|pattern| matches(pattern, subject))
    }

    /// The patterns; none when every message is meant.
    pub fn patterns(&self) -> impl Iterator<Item = &[u8]> {
        self.literals.iter().chain(&self.wildcards).map(|pattern| &**pattern)
    }

    /// The subjects meant, when they are written without wildcards.
    pub(crate) fn literals(&self) -> Option<&[Box<[u8]>]> {
        (self.wildcards.is_empty() && !self.literals.is_empty()).then_some(&self.literals)
    }
}
