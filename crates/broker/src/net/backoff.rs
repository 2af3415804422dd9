//! How long to wait before a link is dialled again.

use std::time::Duration;

/// Time between two addresses of a cluster that have not been tried since the last one answered.
const NEXT_ADDRESS: Duration = Duration::from_millis(20);
/// A link that stood longer than this, and than the next pause would be, is dialled again at once.
const STOOD_WELL: Duration = Duration::from_secs(1);
/// After a link that stood longer than this, pauses begin anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// Pauses that grow while a link can't be made, or does not last.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    delay: Duration,
    /// Addresses left to try before waiting longer.
    left: usize,
}

impl Backoff {
    /// Pauses from `min`, doubled from round to round over so many addresses, up to `max`.
    pub(super) fn new(min: Duration, max: Duration, addresses: usize) -> Self {
        Self { min, max, delay: min, left: addresses }
    }

    /// Whether the address just tried is the last one of a round.
    pub(super) fn ends_round(&self) -> bool {
        self.left <= 1
    }

    /// The pause after an address that was tried in vain: short while there are others not tried yet.
    pub(super) fn pause(&mut self, addresses: usize) -> Duration {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return NEXT_ADDRESS;
        }
        self.left = addresses;
        let delay = self.delay;
        self.delay = (delay * 2).min(self.max);
        delay
    }

    /// The pause after a link that stood for so long.
    pub(super) fn after(&mut self, stood: Duration, addresses: usize) -> Duration {
        let stood_well = stood > self.delay.max(STOOD_WELL);
        if stood > FORGOTTEN_AFTER {
            *self = Self::new(self.min, self.max, addresses);
        }
        let pause = self.pause(addresses);
        if stood_well { NEXT_ADDRESS } else { pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn pauses_grow_from_round_to_round_and_are_short_within_one() {
        let mut backoff = Backoff::new(MIN, MAX, 2);
        for expected in [20, 100, 20, 200, 20, 400] {
            assert_eq!(backoff.pause(2), Duration::from_millis(expected));
        }
        for _ in 0..20 {
            backoff.pause(2);
        }
        assert!(!backoff.ends_round());
        backoff.pause(2);
        assert!(backoff.ends_round());
        assert_eq!(backoff.pause(2), MAX);
    }

    #[test]
    fn a_link_that_stood_well_is_dialled_at_once_and_one_that_does_not_last_ever_later() {
        let mut backoff = Backoff::new(MIN, MAX, 1);
        let stood = Duration::from_millis(1_100);
        // While the next pause is shorter than the link stood.
        for _ in 0..4 {
            assert_eq!(backoff.after(stood, 1), NEXT_ADDRESS);
        }
        assert_eq!(backoff.after(stood, 1), Duration::from_millis(1_600));
        assert_eq!(backoff.after(stood, 1), Duration::from_millis(3_200));
        assert_eq!(backoff.after(stood, 1), MAX);
        assert_eq!(backoff.after(Duration::from_secs(11), 1), NEXT_ADDRESS);
        assert_eq!(backoff.after(Duration::from_millis(500), 1), MIN * 2);
    }
}
