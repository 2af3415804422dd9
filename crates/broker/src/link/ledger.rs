//! The interest told over a link, as a sum that both ends can compare.
//!
//! Each end of a link between two of our servers keeps a ledger of what it has told and one of what it was told. After
//! interest was told anew, and with every PING, the teller sends count and sum; the hearer compares. Stock servers do
//! not know of it.

use std::collections::HashMap;

use wire::info::InterestSum;

/// Subjects of loop detection are told outside the ledger.
const LOOP_MARKS: &[u8] = b"$LDS.";

/// What was told: an entry per pattern and queue group.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<u64, u32>,
    sum: u64,
}

impl Ledger {
    /// Interest was told, or its weight changed.
    pub(crate) fn told(&mut self, pattern: &[u8], queue: Option<&[u8]>, weight: u32) {
        let Some(key) = key(pattern, queue) else { return };
        // Only groups have a weight that both ends know.
        let weight = if queue.is_some() { weight } else { 1 };
        if let Some(old) = self.entries.insert(key, weight) {
            self.sum = self.sum.wrapping_sub(share(key, old));
        }
        self.sum = self.sum.wrapping_add(share(key, weight));
    }

    /// Interest was taken back.
    pub(crate) fn taken_back(&mut self, pattern: &[u8], queue: Option<&[u8]>) {
        let Some(key) = key(pattern, queue) else { return };
        if let Some(old) = self.entries.remove(&key) {
            self.sum = self.sum.wrapping_sub(share(key, old));
        }
    }

    /// Whether there is an entry.
    pub(crate) fn has(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        key(pattern, queue).is_some_and(|key| self.entries.contains_key(&key))
    }

    /// Count and sum, to be told.
    pub(crate) fn sum(&self, epoch: u64) -> InterestSum {
        InterestSum { epoch, count: self.entries.len() as u64, sum: format!("{:016x}", self.sum) }
    }

    /// Whether the other end's ledger, which it sums up so, has the same in it.
    pub(crate) fn agrees(&self, theirs: &InterestSum) -> bool {
        let ours = self.sum(theirs.epoch);
        ours == *theirs
    }
}

/// A hash both ends compute alike, whatever their versions (FNV-1a); `None` for what the ledger leaves out.
fn key(pattern: &[u8], queue: Option<&[u8]>) -> Option<u64> {
    if pattern.starts_with(LOOP_MARKS) {
        return None;
    }
    let queue = queue.unwrap_or_default();
    let bytes = pattern.iter().chain(b" ").chain(queue);
    Some(bytes.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

/// What an entry adds to the sum.
fn share(key: u64, weight: u32) -> u64 {
    let mixed = (key ^ (key >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(2 * u64::from(weight) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn order_does_not_matter_and_what_was_taken_back_is_gone() {
        let (mut one, mut two) = (Ledger::default(), Ledger::default());
        one.told(b"a", None, 1);
        one.told(b"b.*", Some(b"q"), 2);
        one.told(b"c", None, 1);
        one.taken_back(b"c", None);
        two.told(b"b.*", Some(b"q"), 7);
        two.told(b"b.*", Some(b"q"), 2);
        two.told(b"a", None, 5);
        two.told(b"$LDS.x", None, 1);
        assert!(one.agrees(&two.sum(3)));
        two.told(b"b.*", Some(b"q"), 3);
        assert!(!one.agrees(&two.sum(3)));
        assert!(one.has(b"a", None) && !one.has(b"a", Some(b"q")));
    }

    proptest! {
        #[test]
        fn one_difference_is_seen(names in proptest::collection::hash_set("[a-c.]{1,5}", 1..40), odd in 0..40usize) {
            let (mut one, mut two) = (Ledger::default(), Ledger::default());
            for (at, name) in names.iter().enumerate() {
                one.told(name.as_bytes(), None, 1);
                if at != odd % names.len() {
                    two.told(name.as_bytes(), None, 1);
                }
            }
            prop_assert!(!one.agrees(&two.sum(0)));
        }
    }
}
