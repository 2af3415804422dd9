//! Verdicts about tokens, remembered under the hash of what was asked, bounded in number and in time.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// What a verdict is about: a SHA-256, never the token itself.
pub type Key = [u8; 32];

/// What is known about a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<V> {
    /// A verdict that still holds.
    Known(V),
    /// Somebody is asking already.
    Asking,
    /// Nothing: it was entered as being asked, and [`Verdicts::answered`] or [`Verdicts::gave_up`] is owed.
    Ask,
}

#[derive(Debug)]
struct Entry<V> {
    /// `None` while it is being asked.
    verdict: Option<V>,
    until: Instant,
}

/// Remembered verdicts.
#[derive(Debug)]
pub struct Verdicts<V> {
    entries: HashMap<Key, Entry<V>>,
    /// Verdicts by the moment they end, for making room: those that end first go first.
    ends: BTreeSet<(Instant, Key)>,
    most: usize,
}

impl<V: Clone> Verdicts<V> {
    /// At most `most` verdicts at a time; questions being asked come on top (whoever asks bounds those).
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { entries: HashMap::new(), ends: BTreeSet::new(), most: most.max(1) }
    }

    /// Looks a question up, and enters it as being asked when nothing is known.
    pub fn look(&mut self, key: Key, now: Instant) -> Found<V> {
        match self.entries.get(&key) {
            Some(Entry { verdict: Some(verdict), until }) if now < *until => {
                return Found::Known(verdict.clone());
            }
            Some(Entry { verdict: None, .. }) => return Found::Asking,
            Some(Entry { until, .. }) => {
                self.ends.remove(&(*until, key));
            }
            None => {}
        }
        self.entries.insert(key, Entry { verdict: None, until: now });
        Found::Ask
    }

    /// The answer to a question, good until `until`.
    pub fn answered(&mut self, key: Key, verdict: V, until: Instant) {
        if let Some(Entry { verdict: Some(_), until }) = self.entries.get(&key) {
            self.ends.remove(&(*until, key));
        }
        self.entries.insert(key, Entry { verdict: Some(verdict), until });
        self.ends.insert((until, key));
        while self.ends.len() > self.most {
            if let Some((_, first)) = self.ends.pop_first() {
                self.entries.remove(&first);
            }
        }
    }

    /// A question was not answered: the next one may ask again.
    pub fn gave_up(&mut self, key: &Key) {
        if self.entries.get(key).is_some_and(|entry| entry.verdict.is_none()) {
            self.entries.remove(key);
        }
    }

    /// Verdicts at hand, those that have ended included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn key(n: u8) -> Key {
        [n; 32]
    }

    #[test]
    fn a_question_is_asked_once_and_its_answer_serves_for_its_time() {
        let t = Instant::now();
        let mut verdicts = Verdicts::new(8);
        assert_eq!(verdicts.look(key(1), t), Found::Ask);
        assert_eq!(verdicts.look(key(1), t), Found::Asking);
        assert_eq!(verdicts.look(key(2), t), Found::Ask);
        verdicts.answered(key(1), "yes", t + S);
        assert_eq!(verdicts.look(key(1), t), Found::Known("yes"));
        assert_eq!(verdicts.look(key(1), t + S), Found::Ask, "its time is over");
        verdicts.gave_up(&key(1));
        assert_eq!(verdicts.look(key(1), t + S), Found::Ask, "and again after an attempt that failed");
        verdicts.answered(key(1), "no", t + S * 9);
        verdicts.gave_up(&key(1));
        assert_eq!(verdicts.look(key(1), t + S), Found::Known("no"), "an answer is not given up");
    }

    #[test]
    fn memory_is_bounded_and_what_ends_first_goes_first() {
        let t = Instant::now();
        let mut verdicts = Verdicts::new(3);
        for n in 0..200_u8 {
            assert_eq!(verdicts.look(key(n), t), Found::Ask);
            verdicts.answered(key(n), n, t + S * (200 - u32::from(n) % 7));
            assert!(verdicts.len() <= 3 && verdicts.entries.len() <= 3);
        }
        let mut verdicts = Verdicts::new(2);
        for (n, end) in [(1, 5), (2, 3), (3, 9)] {
            verdicts.look(key(n), t);
            verdicts.answered(key(n), n, t + S * end);
        }
        assert_eq!(verdicts.look(key(1), t), Found::Known(1));
        assert_eq!(verdicts.look(key(2), t), Found::Ask);
        verdicts.answered(key(3), 4, t + S * 2);
        assert_eq!((verdicts.look(key(3), t), verdicts.len()), (Found::Known(4), 2));
    }
}
