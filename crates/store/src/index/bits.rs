//! A set of small numbers, one bit each, that takes no memory while it is empty.

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    ones: usize,
}

impl Bits {
    pub(crate) fn from_words(words: Vec<u64>) -> Self {
        let ones = words.iter().map(|word| word.count_ones() as usize).sum();
        Self { words, ones }
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.words
    }

    /// How many are in it.
    pub(crate) fn len(&self) -> usize {
        self.ones
    }

    pub(crate) fn has(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Adds `at`; false when it was there.
    pub(crate) fn insert(&mut self, at: usize) -> bool {
        if at / 64 >= self.words.len() {
            self.words.resize(at / 64 + 1, 0);
        }
        let Some(word) = self.words.get_mut(at / 64) else { return false };
        let is_new = *word >> (at % 64) & 1 == 0;
        *word |= 1 << (at % 64);
        self.ones += usize::from(is_new);
        is_new
    }

    /// The smallest number from `at` on that is not in it.
    pub(crate) fn next_absent(&self, at: usize) -> usize {
        let mut index = at / 64;
        let mut below = (1u64 << (at % 64)) - 1;
        while let Some(word) = self.words.get(index) {
            let absent = !(word | below);
            if absent != 0 {
                return index * 64 + absent.trailing_zeros() as usize;
            }
            (index, below) = (index + 1, 0);
        }
        at.max(index * 64)
    }

    /// How many below `at` are in it.
    pub(crate) fn count_below(&self, at: usize) -> usize {
        let whole = self.words.iter().take(at / 64).map(|word| word.count_ones() as usize).sum::<usize>();
        let part = self.words.get(at / 64).map_or(0, |word| word & ((1u64 << (at % 64)) - 1));
        whole + part.count_ones() as usize
    }

    pub(crate) fn shrink(&mut self) {
        self.words.shrink_to_fit();
    }

    pub(crate) fn memory(&self) -> usize {
        self.words.capacity() * 8
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_a_set(members in proptest::collection::btree_set(0usize..300, 0..200), at in 0usize..400) {
            let mut bits = Bits::default();
            for member in &members {
                prop_assert!(bits.insert(*member));
                prop_assert!(!bits.insert(*member));
            }
            prop_assert_eq!(bits.len(), members.len());
            prop_assert_eq!(bits.has(at), members.contains(&at));
            prop_assert_eq!(bits.count_below(at), members.range(..at).count());
            let absent = (at..).find(|n| !BTreeSet::contains(&members, n)).unwrap();
            prop_assert_eq!(bits.next_absent(at), absent);
            prop_assert_eq!(Bits::from_words(bits.words().to_vec()), bits);
        }
    }
}
