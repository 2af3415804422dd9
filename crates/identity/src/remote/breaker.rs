//! A circuit breaker: a service that fails again and again is left alone for a while, then tried by one request.

use std::time::{Duration, Instant};

/// When the circuit opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Failures in a row that open it.
    pub failures: u32,
    /// First and longest time it stays open; each trial that fails doubles it.
    pub open: (Duration, Duration),
}

impl Default for BreakerLimits {
    fn default() -> Self {
        Self { failures: 5, open: (Duration::from_secs(1), Duration::from_secs(30)) }
    }
}

/// Whether a request may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Yes; [`Breaker::succeeded`] or [`Breaker::failed`] is owed.
    Granted,
    /// No, and not before this moment.
    Refused(Instant),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Until this moment nobody asks.
    Open(Instant),
    /// One request is out to see how things are; when it is not back by this moment, the next one may.
    Trial(Instant),
}

/// The breaker of one service.
#[derive(Debug)]
pub struct Breaker {
    limits: BreakerLimits,
    state: State,
    failures: u32,
    opened: u32,
}

impl Breaker {
    /// A closed circuit: requests may be made.
    #[must_use]
    pub fn new(limits: BreakerLimits) -> Self {
        Self { limits, state: State::Closed, failures: 0, opened: 0 }
    }

    /// Asks whether a request may be made at `now`.
    pub fn permit(&mut self, now: Instant) -> Permit {
        match self.state {
            State::Closed => Permit::Granted,
            State::Open(until) | State::Trial(until) if now < until => Permit::Refused(until),
            State::Open(_) | State::Trial(_) => {
                self.state = State::Trial(now + self.limits.open.1);
                Permit::Granted
            }
        }
    }

    /// A request was answered, whatever the answer says about the one it is about.
    pub fn succeeded(&mut self) {
        (self.state, self.failures, self.opened) = (State::Closed, 0, 0);
    }

    /// A request was not answered as it should be. `random`, from 0 to 1, spreads the next trial.
    pub fn failed(&mut self, now: Instant, random: f64) {
        self.failures = self.failures.saturating_add(1);
        let trial = matches!(self.state, State::Trial(_));
        if !trial && self.failures < self.limits.failures {
            return;
        }
        let (first, longest) = self.limits.open;
        let open = first.saturating_mul(1 << self.opened.min(16)).min(longest);
        self.opened = self.opened.saturating_add(1);
        self.state = State::Open(now + open.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0));
    }

    /// Whether requests are being held back.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let t = Instant::now();
        let mut breaker = Breaker::new(BreakerLimits { failures: 3, open: (S, S * 4) });
        for _ in 0..2 {
            breaker.failed(t, 1.0);
        }
        breaker.succeeded();
        for _ in 0..2 {
            breaker.failed(t, 1.0);
            assert_eq!(breaker.permit(t), Permit::Granted, "a success in between starts the count anew");
        }
        breaker.failed(t, 1.0);
        assert_eq!(breaker.permit(t), Permit::Refused(t + S));
        assert_eq!(breaker.permit(t + S), Permit::Granted);
        assert!(matches!(breaker.permit(t + S), Permit::Refused(_)), "one at a time");
        breaker.failed(t + S, 1.0);
        assert_eq!(breaker.permit(t + S), Permit::Refused(t + S * 3));
        assert_eq!(breaker.permit(t + S * 3), Permit::Granted);
        breaker.failed(t + S * 3, 0.0);
        assert_eq!(breaker.permit(t + S * 3), Permit::Refused(t + S * 5), "doubled, jittered to half");
        assert_eq!(breaker.permit(t + S * 5), Permit::Granted);
        breaker.succeeded();
        assert!(!breaker.is_open() && breaker.permit(t + S * 5) == Permit::Granted);
    }

    #[test]
    fn a_trial_that_never_comes_back_does_not_block_for_ever() {
        let t = Instant::now();
        let mut breaker = Breaker::new(BreakerLimits { failures: 1, open: (S, S * 4) });
        breaker.failed(t, 1.0);
        assert_eq!(breaker.permit(t + S), Permit::Granted);
        assert_eq!(breaker.permit(t + S * 4), Permit::Refused(t + S * 5));
        assert_eq!(breaker.permit(t + S * 5), Permit::Granted);
    }
}
