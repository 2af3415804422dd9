//! Two token buckets: messages and bytes, filled by time up to what one second allows.

use std::time::{Duration, Instant};

use identity::Quotas;

use super::Allowance;

/// Nobody is told to wait less: a timer does not come sooner.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// What has been taken and not yet been given back by time, in seconds at the rate of now; at most one second's
/// worth may be taken at once.
#[derive(Debug)]
pub(super) struct Rate {
    /// Messages and bytes taken; time gives them back.
    messages: f64,
    bytes: f64,
    at: Instant,
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
impl Rate {
    pub(super) fn new(now: Instant) -> Self {
        Self { messages: 0.0, bytes: 0.0, at: now }
    }

    pub(super) fn allow(&mut self, quotas: &Quotas, now: Instant) -> Result<Allowance, Instant> {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        let messages = drain(&mut self.messages, quotas.messages_per_second, passed);
        let bytes = drain(&mut self.bytes, quotas.bytes_per_second, passed);
        match messages.1.max(bytes.1) {
            wait if wait > 0.0 => Err(now + Duration::from_secs_f64(wait.min(3600.0)).max(SHORTEST_WAIT)),
            _ => Ok(Allowance { messages: messages.0, bytes: bytes.0 }),
        }
    }

    pub(super) fn spend(&mut self, messages: u64, bytes: u64) {
        self.messages += messages as f64;
        self.bytes += bytes as f64;
    }
}

/// Gives back what `passed` seconds are worth; returns what is left, and without any, the seconds until there is.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn drain(taken: &mut f64, per_second: Option<u64>, passed: f64) -> (u64, f64) {
    let Some(rate) = per_second.map(|rate| rate.max(1) as f64) else { return (u64::MAX, 0.0) };
    *taken = (*taken - passed * rate).max(0.0);
    let left = (rate - *taken).floor();
    if left >= 1.0 { (left as u64, 0.0) } else { (0, (*taken - rate + 1.0).max(f64::EPSILON) / rate) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quotas(messages: Option<u64>, bytes: Option<u64>) -> Quotas {
        Quotas { messages_per_second: messages, bytes_per_second: bytes, ..Quotas::default() }
    }

    #[test]
    fn a_second_at_once_and_then_by_time() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let quotas = quotas(Some(10), None);
        assert_eq!(rate.allow(&quotas, start), Ok(Allowance { messages: 10, bytes: u64::MAX }));
        rate.spend(10, 1);
        let again = rate.allow(&quotas, start).unwrap_err();
        assert!(again > start && again <= start + Duration::from_millis(101), "{:?}", again - start);
        assert_eq!(rate.allow(&quotas, again).unwrap().messages, 1);
        assert_eq!(rate.allow(&quotas, start + Duration::from_secs(9)).unwrap().messages, 10);
    }

    #[test]
    fn what_was_taken_too_much_is_waited_for() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let quotas = quotas(None, Some(1000));
        rate.spend(1, 5000);
        let again = rate.allow(&quotas, start).unwrap_err();
        assert!(again > start + Duration::from_secs(4) && again < start + Duration::from_millis(4100));
        assert!(rate.allow(&quotas, again).unwrap().bytes >= 1);
    }

    #[test]
    fn over_any_time_no_more_than_the_rate_and_one_second_ahead() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let quotas = quotas(Some(100), None);
        let (mut now, mut taken) = (start, 0);
        while now < start + Duration::from_secs(10) {
            match rate.allow(&quotas, now) {
                Ok(allowance) => {
                    rate.spend(allowance.messages, 0);
                    taken += allowance.messages;
                }
                Err(again) => {
                    assert!(again > now);
                    now = again;
                }
            }
        }
        assert!((1090..=1100).contains(&taken), "{taken}");
    }
}
