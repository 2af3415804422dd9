//! Where connections come from: a bucket of logins for each source, and a penalty that grows with failed ones.
//!
//! A source is an IPv4 address or an IPv6 /64. The table is bounded; sources there is no room for share one entry.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::limits::Limits;

/// A failure is forgotten after so long.
const FORGIVEN: Duration = Duration::from_secs(10);
/// What the first failure too many costs; each further one twice as much.
const FIRST_PENALTY: Duration = Duration::from_millis(50);

#[derive(Debug)]
struct Source {
    /// Logins begun and not yet given back by time.
    logins: f64,
    /// Failures not yet forgiven.
    failures: f64,
    at: Instant,
}

/// What is known about sources.
#[derive(Debug)]
pub(crate) struct Sources {
    /// By a keyed hash: who chooses addresses can't choose what they collide with.
    table: HashMap<u64, Source>,
    hasher: RandomState,
    max: usize,
    purged: Option<Instant>,
    per_second: f64,
    burst: f64,
    free_failures: f64,
    longest: Duration,
}

/// The entry of all sources there is no room for.
const OTHERS: u64 = 0;

#[allow(clippy::cast_precision_loss)]
impl Sources {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            table: HashMap::new(),
            hasher: RandomState::new(),
            max: limits.max_sources.max(1),
            purged: None,
            per_second: f64::from(limits.source_logins_per_second.max(1)),
            burst: f64::from(limits.source_login_burst.max(1)),
            free_failures: f64::from(limits.failed_logins_free),
            longest: limits.failed_login_delay,
        }
    }

    /// A login begins; the answer is how long it is to wait for its turn.
    pub(crate) fn arrive(&mut self, ip: IpAddr, now: Instant) -> Duration {
        let (per_second, burst) = (self.per_second, self.burst);
        let source = self.source(ip, now);
        source.logins += 1.0;
        let over = source.logins - burst;
        if over > 0.0 { Duration::from_secs_f64((over / per_second).min(60.0)) } else { Duration::ZERO }
    }

    /// A login failed.
    pub(crate) fn failed(&mut self, ip: IpAddr, now: Instant) {
        let source = self.source(ip, now);
        source.failures = (source.failures + 1.0).min(10_000.0);
    }

    /// How long the source's next decision is to take.
    pub(crate) fn penalty(&mut self, ip: IpAddr, now: Instant) -> Duration {
        let (free, longest) = (self.free_failures, self.longest);
        let over = self.source(ip, now).failures - free;
        if over < 1.0 {
            return Duration::ZERO;
        }
        FIRST_PENALTY.mul_f64((over - 1.0).min(16.0).exp2()).min(longest)
    }

    fn source(&mut self, ip: IpAddr, now: Instant) -> &mut Source {
        let mut key = self.key(ip);
        if self.table.len() >= self.max && !self.table.contains_key(&key) {
            self.purge(now);
            if self.table.len() >= self.max {
                key = OTHERS;
            }
        }
        let per_second = self.per_second;
        let source = self.table.entry(key).or_insert(Source { logins: 0.0, failures: 0.0, at: now });
        let passed = now.saturating_duration_since(source.at).as_secs_f64();
        source.at = source.at.max(now);
        source.logins = (source.logins - passed * per_second).max(0.0);
        source.failures = (source.failures - passed / FORGIVEN.as_secs_f64()).max(0.0);
        source
    }

    fn key(&self, ip: IpAddr) -> u64 {
        let hash = match ip.to_canonical() {
            IpAddr::V4(ip) => self.hasher.hash_one(ip),
            IpAddr::V6(ip) => self.hasher.hash_one(u128::from(ip) >> 64),
        };
        hash.max(OTHERS + 1)
    }

    /// Forgets sources there is nothing to remember about; at most once a second.
    fn purge(&mut self, now: Instant) {
        if self.purged.is_some_and(|at| now < at + Duration::from_secs(1)) {
            return;
        }
        self.purged = Some(now);
        let per_second = self.per_second;
        self.table.retain(|_, source| {
            let passed = now.saturating_duration_since(source.at).as_secs_f64();
            source.logins > passed * per_second || source.failures > passed / FORGIVEN.as_secs_f64()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn limits() -> Limits {
        Limits {
            source_logins_per_second: 10,
            source_login_burst: 5,
            failed_logins_free: 3,
            failed_login_delay: Duration::from_secs(1),
            max_sources: 100,
            ..Limits::default()
        }
    }

    #[test]
    fn logins_beyond_the_burst_take_turns() {
        let mut sources = Sources::new(&limits());
        let now = Instant::now();
        let waits: Vec<_> = (0..7).map(|_| sources.arrive(ip(1), now).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 100, 200]);
        assert_eq!(sources.arrive(ip(2), now), Duration::ZERO);
        assert_eq!(sources.arrive(ip(1), now + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn guessing_gets_slower_and_is_forgiven() {
        let mut sources = Sources::new(&limits());
        let now = Instant::now();
        let mut penalties = Vec::new();
        for _ in 0..10 {
            penalties.push(sources.penalty(ip(1), now).as_millis());
            sources.failed(ip(1), now);
        }
        assert_eq!(penalties, [0, 0, 0, 0, 50, 100, 200, 400, 800, 1000]);
        assert_eq!(sources.penalty(ip(2), now), Duration::ZERO);
        assert_eq!(sources.penalty(ip(1), now + Duration::from_secs(100)), Duration::ZERO);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_mapped_addresses_are_ipv4() {
        let mut sources = Sources::new(&limits());
        let now = Instant::now();
        for host in 1..=5u16 {
            sources.arrive(IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]), now);
        }
        assert!(!sources.arrive(IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]), now).is_zero());
        assert!(sources.arrive(IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 1]), now).is_zero());
        for _ in 0..5 {
            sources.arrive(ip(7), now);
        }
        assert!(!sources.arrive("::ffff:10.0.0.7".parse().unwrap(), now).is_zero());
    }

    #[test]
    fn the_table_is_bounded_and_makes_room_for_newcomers() {
        let mut sources = Sources::new(&limits());
        let now = Instant::now();
        for number in 0..100_000u32 {
            sources.failed(IpAddr::from(number.to_be_bytes()), now);
        }
        assert!(sources.table.len() <= 101);
        // There was no room: all of them together are one source.
        assert!(!sources.penalty(IpAddr::from(99_999u32.to_be_bytes()), now).is_zero());
        sources.failed(ip(9), now + Duration::from_secs(60));
        assert!(sources.table.len() < 10);
    }
}
