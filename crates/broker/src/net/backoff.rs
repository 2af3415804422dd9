//! How long to wait before a link is dialled again.

use std::time::Duration;

/// Time between two addresses of a cluster that have not been tried since the last one answered, and before a link
/// that was up is dialled again.
const AT_ONCE: Duration = Duration::from_millis(20);
/// Credit for dialling again at once: five times in a row.
const FREE: Duration = Duration::from_secs(10);
/// What one of these times costs. A link earns it back by being up for so long: in the long run no link is dialled
/// more often than once in this time without the pauses growing.
const PRICE: Duration = Duration::from_secs(2);
/// After a link that was up for longer than this, pauses begin anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(10);

/// Pauses that grow while a link can't be made, or does not last.
#[derive(Debug)]
pub(super) struct Backoff {
    min: Duration,
    max: Duration,
    delay: Duration,
    /// Addresses left to try before waiting longer.
    left: usize,
    /// Time earned by links that were up.
    credit: Duration,
}

impl Backoff {
    /// Pauses from `min`, doubled from round to round over so many addresses, up to `max`.
    pub(super) fn new(min: Duration, max: Duration, addresses: usize) -> Self {
        Self { min, max, delay: min, left: addresses, credit: FREE }
    }

    /// Whether the address just tried is the last one of a round.
    pub(super) fn ends_round(&self) -> bool {
        self.left <= 1
    }

    /// The pause after an address that was tried in vain: short while there are others not tried yet.
    pub(super) fn pause(&mut self, addresses: usize) -> Duration {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return AT_ONCE;
        }
        self.left = addresses;
        let delay = self.delay;
        self.delay = (delay * 2).min(self.max);
        delay
    }

    /// The pause after a link that was up for so long: none to speak of, unless links come up and end in a row.
    pub(super) fn after(&mut self, up: Duration, addresses: usize) -> Duration {
        if up > FORGOTTEN_AFTER {
            *self = Self::new(self.min, self.max, addresses);
        }
        self.credit = (self.credit + up).min(FREE);
        match self.credit.checked_sub(PRICE) {
            Some(left) => {
                self.credit = left;
                self.left = addresses;
                AT_ONCE
            }
            None => self.pause(addresses),
        }
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
    fn a_link_that_was_up_is_dialled_again_at_once_and_one_that_never_lasts_ever_later() {
        let mut backoff = Backoff::new(MIN, MAX, 1);
        let moment = Duration::from_millis(1);
        for _ in 0..5 {
            assert_eq!(backoff.after(moment, 1), AT_ONCE);
        }
        for expected in [100, 200, 400] {
            assert_eq!(backoff.after(moment, 1), Duration::from_millis(expected));
        }
        // Being up earns the next time, and that one only; what grew stays as it is until a link has lasted.
        assert_eq!(backoff.after(PRICE, 1), AT_ONCE);
        assert_eq!(backoff.after(moment, 1), Duration::from_millis(800));
        assert_eq!(backoff.after(Duration::from_secs(11), 1), AT_ONCE);
        assert_eq!(backoff.pause(1), MIN);
    }

    #[test]
    fn a_storm_has_a_bound() {
        // Whatever links last: in an hour there are hardly more attempts than one in two seconds.
        let hour = Duration::from_secs(3600);
        for up in [0, 10, 400, 1_000, 1_900].map(Duration::from_millis) {
            let mut backoff = Backoff::new(MIN, MAX, 1);
            let (mut now, mut attempts) = (Duration::ZERO, 0);
            while now < hour {
                now += up + backoff.after(up, 1);
                attempts += 1;
            }
            assert!(attempts <= 3600 / 2 + 20, "{attempts} with links of {up:?}");
        }
    }
}
