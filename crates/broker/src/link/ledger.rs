//! The interest told over a link, as a sum that both ends can compare.
//!
//! Each end of a link between two of our servers keeps a ledger of what it has told and one of what it was told. After
//! interest was told anew, and with every PING, the teller sends count and sum; the hearer compares. Stock servers do
//! not know of it.

use hashbrown::HashMap;
use wire::info::InterestSum;

/// Subjects of loop detection are told outside the ledger.
const LOOP_MARKS: &[u8] = b"$LDS.";

/// What was told: an entry per pattern and queue group.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    entries: HashMap<u64, u32, foldhash::fast::RandomState>,
    sum: u64,
}

/// A ledger for each account. A leafnode link has one, without a name.
#[derive(Debug, Default)]
pub(crate) struct Ledgers(HashMap<Vec<u8>, Ledger, foldhash::fast::RandomState>);

impl Ledgers {
    /// The ledger of an account, begun where there is none.
    pub(crate) fn of(&mut self, account: &[u8]) -> &mut Ledger {
        self.0.entry_ref(account).or_default()
    }

    /// Whether there is one.
    pub(crate) fn has(&self, account: &[u8]) -> bool {
        self.0.contains_key(account)
    }

    /// Begins the ledger of an account anew.
    pub(crate) fn begin(&mut self, account: &[u8]) {
        *self.of(account) = Ledger::default();
    }

    /// Count and sum of all of them together.
    pub(crate) fn sum(&self, epoch: u64) -> InterestSum {
        let count = self.0.values().map(|ledger| ledger.entries.len() as u64).sum();
        let sum = self.0.iter().fold(0_u64, |sum, (account, ledger)| {
            // Interest that is told in the wrong account is a difference, too.
            sum.wrapping_add((share(hash(account), 1) | 1).wrapping_mul(ledger.sum))
        });
        InterestSum { epoch, count, sum: format!("{sum:016x}") }
    }

    /// The accounts there are.
    pub(crate) fn accounts(&self) -> Vec<String> {
        self.0.keys().map(|account| String::from_utf8_lossy(account).into_owned()).collect()
    }
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
    #[cfg(test)]
    fn agrees(&self, theirs: &InterestSum) -> bool {
        self.sum(theirs.epoch) == *theirs
    }
}

/// A hash both ends compute alike, whatever their versions (FNV-1a); `None` for what the ledger leaves out.
fn key(pattern: &[u8], queue: Option<&[u8]>) -> Option<u64> {
    if pattern.starts_with(LOOP_MARKS) {
        return None;
    }
    let queue = queue.unwrap_or_default();
    Some(hash(pattern.iter().chain(b" ").chain(queue)))
}

fn hash<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
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

    #[test]
    fn accounts_are_kept_apart_and_summed_up_together() {
        let (mut one, mut two) = (Ledgers::default(), Ledgers::default());
        one.of(b"A").told(b"x", None, 1);
        one.of(b"B").told(b"y", None, 1);
        two.of(b"B").told(b"x", None, 1);
        two.of(b"A").told(b"y", None, 1);
        assert_ne!(one.sum(0), two.sum(0), "the same patterns in other accounts");
        for (account, pattern) in [(b"A", b"x"), (b"B", b"y")] {
            two.begin(account);
            two.of(account).told(pattern, None, 1);
        }
        // One that is known and empty makes no difference.
        two.begin(b"C");
        assert_eq!(one.sum(0), two.sum(0));
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
