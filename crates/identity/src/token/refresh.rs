//! When an issuer's keys are fetched, and what a login may expect meanwhile: a state machine without I/O.
//!
//! Whoever drives it asks [`KeyRefresh::due`] when to fetch, says when a fetch begins and how it ended, and hands the
//! keys to the verifier. A token whose key is not there is put to [`KeyRefresh::ask`].
//!
//! # Rules
//! - Keys are fetched anew after four fifths of their lifetime, so that they are never late while the issuer is well.
//! - A `kid` nobody knows asks for one fetch more, not sooner than `min_interval` after the last one began. It counts
//!   as absent only once a fetch that *began after it was asked for* has not brought it: before that, nobody can
//!   know, and nobody is refused.
//! - One fetch at a time. After a failure the next waits for a back-off with jitter.
//! - While fetches fail, the keys serve for `max_stale` beyond their lifetime, then no longer.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;

/// Longest `kid` that is remembered, in bytes; a longer one is answered as absent without a fetch.
const MAX_KID: usize = 256;

/// What holds for one issuer's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshLimits {
    /// Lifetime of keys: the upper bound of what the issuer's answer says, and what counts when it says nothing.
    pub lifetime: Duration,
    /// Shortest time between the beginnings of two fetches that succeed.
    pub min_interval: Duration,
    /// How long keys serve beyond their lifetime while the issuer can't be reached.
    pub max_stale: Duration,
    /// First and longest pause after a failed fetch; each failure doubles it.
    pub backoff: (Duration, Duration),
    /// How many unknown `kid`s are remembered; the oldest is forgotten for a new one.
    pub remembered: usize,
}

impl Default for RefreshLimits {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(3600),
            min_interval: Duration::from_secs(5),
            max_stale: Duration::from_secs(24 * 3600),
            backoff: (Duration::from_millis(500), Duration::from_secs(60)),
            remembered: 1024,
        }
    }
}

/// When the next fetch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// One is under way.
    UnderWay,
    /// At this moment, which may have passed already.
    At(Instant),
}

/// What is to become of a token whose key is not in the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// The issuer has no such key: a refusal.
    Absent,
    /// A fetch will tell. One is under way, or begins at the moment named by [`KeyRefresh::due`].
    Wait,
}

/// A name of a key, as a token gives it.
type KeyName = (Option<String>, Algorithm);

/// The refreshing of one issuer's keys.
#[derive(Debug)]
pub struct KeyRefresh {
    limits: RefreshLimits,
    /// When the fetch under way began.
    under_way: Option<Instant>,
    /// When the last fetch that brought keys began.
    fetched: Option<Instant>,
    /// When the keys are to be fetched anew, and when they are good for nothing any more.
    refresh_at: Option<Instant>,
    useless_at: Option<Instant>,
    /// Not before this moment, after failures.
    pause: Option<Instant>,
    failures: u32,
    /// Unknown keys, with the moment they were first asked for, and in the order they were.
    asked: HashMap<KeyName, Instant>,
    order: VecDeque<KeyName>,
    /// Whether an unknown key waits for a fetch that has not begun.
    wanted: bool,
}

impl KeyRefresh {
    /// Before the first fetch.
    #[must_use]
    pub fn new(limits: RefreshLimits) -> Self {
        Self {
            limits,
            under_way: None,
            fetched: None,
            refresh_at: None,
            useless_at: None,
            pause: None,
            failures: 0,
            asked: HashMap::new(),
            order: VecDeque::new(),
            wanted: false,
        }
    }

    /// When the next fetch begins, seen from `now`.
    #[must_use]
    pub fn due(&self, now: Instant) -> Due {
        if self.under_way.is_some() {
            return Due::UnderWay;
        }
        let regular = self.refresh_at.unwrap_or(now);
        let floor = self.fetched.map_or(now, |fetched| fetched + self.limits.min_interval);
        let planned = if self.wanted { regular.min(floor) } else { regular };
        Due::At(self.pause.map_or(planned, |pause| pause.max(planned)))
    }

    /// A fetch begins.
    pub fn begin(&mut self, now: Instant) {
        self.under_way = Some(now);
        self.wanted = false;
    }

    /// The fetch under way has brought keys; `lifetime` is what the answer says about theirs.
    pub fn succeeded(&mut self, now: Instant, lifetime: Option<Duration>) {
        let began = self.under_way.take().unwrap_or(now);
        let shortest = self.limits.min_interval.min(self.limits.lifetime);
        let lifetime = lifetime.unwrap_or(self.limits.lifetime).clamp(shortest, self.limits.lifetime);
        self.fetched = Some(began);
        self.refresh_at = Some(now + lifetime * 4 / 5);
        self.useless_at = Some(now + lifetime + self.limits.max_stale);
        self.pause = None;
        self.failures = 0;
        // A key first asked for while the fetch was under way is still open.
        self.wanted = self.asked.values().any(|asked| *asked > began);
    }

    /// The fetch under way has failed. `random`, from 0 to 1, spreads the next attempt over half of the pause.
    pub fn failed(&mut self, now: Instant, random: f64) {
        self.under_way = None;
        self.wanted = true;
        let (first, longest) = self.limits.backoff;
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(now + pause.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0));
    }

    /// Fetches that have failed since the last that did not.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// When the keys at hand must no longer be used; `None` while there are none.
    #[must_use]
    pub fn useless_at(&self) -> Option<Instant> {
        self.useless_at
    }

    /// The keys at hand are no longer used.
    pub fn dropped(&mut self) {
        self.useless_at = None;
        self.refresh_at = None;
        self.fetched = None;
    }

    /// A token names a key that is not in the set.
    pub fn ask(&mut self, kid: Option<&str>, algorithm: Algorithm, now: Instant) -> Ask {
        if kid.is_some_and(|kid| kid.len() > MAX_KID) {
            return Ask::Absent;
        }
        let name = (kid.map(str::to_owned), algorithm);
        let asked = match self.asked.get(&name) {
            // Asked for long ago: the issuer may have made such a key since.
            Some(asked) if now < *asked + self.limits.min_interval * 4 => *asked,
            Some(_) => {
                self.order.retain(|known| *known != name);
                self.remember(name, now);
                now
            }
            None => {
                self.remember(name, now);
                now
            }
        };
        if self.fetched.is_some_and(|fetched| fetched >= asked) {
            return Ask::Absent;
        }
        self.wanted = true;
        Ask::Wait
    }

    fn remember(&mut self, name: KeyName, now: Instant) {
        while self.order.len() >= self.limits.remembered.max(1) {
            if let Some(oldest) = self.order.pop_front() {
                self.asked.remove(&oldest);
            }
        }
        self.asked.insert(name.clone(), now);
        self.order.push_back(name);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn limits() -> RefreshLimits {
        RefreshLimits {
            lifetime: S * 100,
            min_interval: S * 5,
            max_stale: S * 50,
            backoff: (S, S * 8),
            remembered: 3,
        }
    }

    fn fetched(at: Instant) -> KeyRefresh {
        let mut refresh = KeyRefresh::new(limits());
        refresh.begin(at);
        refresh.succeeded(at, None);
        refresh
    }

    fn ask(refresh: &mut KeyRefresh, kid: &str, now: Instant) -> Ask {
        refresh.ask(Some(kid), Algorithm::ES256, now)
    }

    #[test]
    fn keys_are_fetched_at_once_and_again_before_they_are_old() {
        let t = Instant::now();
        let mut refresh = KeyRefresh::new(limits());
        assert_eq!(refresh.due(t), Due::At(t));
        refresh.begin(t);
        assert_eq!(refresh.due(t), Due::UnderWay);
        refresh.succeeded(t + S, None);
        assert_eq!(refresh.due(t + S), Due::At(t + S * 81));
        assert_eq!(refresh.useless_at(), Some(t + S * 151));
        // What the answer says counts, within bounds.
        for (said, due) in [(50, 40), (0, 4), (1_000_000, 80)] {
            refresh.begin(t);
            refresh.succeeded(t, Some(S * said));
            assert_eq!(refresh.due(t), Due::At(t + S * due), "{said}");
        }
    }

    #[test]
    fn an_unknown_kid_is_absent_only_after_a_fetch_that_began_later() {
        let t = Instant::now();
        let mut refresh = fetched(t);
        let asked = t + S;
        assert_eq!(ask(&mut refresh, "new", asked), Ask::Wait);
        assert_eq!(refresh.due(asked), Due::At(t + S * 5), "the floor");
        refresh.begin(t + S * 5);
        assert_eq!(ask(&mut refresh, "newer", t + S * 6), Ask::Wait, "asked for while a fetch is under way");
        refresh.succeeded(t + S * 7, None);
        assert_eq!(ask(&mut refresh, "new", t + S * 7), Ask::Absent);
        assert_eq!(ask(&mut refresh, "newer", t + S * 7), Ask::Wait);
        assert_eq!(refresh.due(t + S * 7), Due::At(t + S * 10));
        // After a while it is looked for again.
        assert_eq!(ask(&mut refresh, "new", t + S * 30), Ask::Wait);
    }

    #[test]
    fn one_kid_and_another_algorithm_are_different_questions() {
        let t = Instant::now();
        let mut refresh = fetched(t);
        assert_eq!(ask(&mut refresh, "a", t), Ask::Absent, "asked for at the moment the fetch began");
        assert_eq!(refresh.ask(Some("a"), Algorithm::RS256, t + S), Ask::Wait);
        assert_eq!(refresh.ask(None, Algorithm::ES256, t + S), Ask::Wait);
        assert_eq!(ask(&mut refresh, &"a".repeat(257), t + S), Ask::Absent);
    }

    #[test]
    fn failures_back_off_with_jitter_and_stale_keys_serve_for_a_while() {
        let t = Instant::now();
        let mut refresh = fetched(t);
        let mut now = t + S * 80;
        for (random, pause) in [(1.0, 1000), (1.0, 2000), (0.0, 2000), (0.5, 6000), (1.0, 8000), (1.0, 8000)]
        {
            refresh.begin(now);
            refresh.failed(now, random);
            let next = now + Duration::from_millis(pause);
            assert_eq!(refresh.due(now), Due::At(next), "{random} {pause}");
            assert_eq!(ask(&mut refresh, "x", now), Ask::Wait, "nobody can know");
            now = next;
        }
        assert_eq!((refresh.failures(), refresh.useless_at()), (6, Some(t + S * 150)));
        refresh.begin(now);
        refresh.succeeded(now, None);
        assert_eq!((refresh.failures(), refresh.due(now)), (0, Due::At(now + S * 80)));
    }

    #[test]
    fn keys_dropped_for_their_age_are_fetched_as_at_the_start() {
        let t = Instant::now();
        let mut refresh = fetched(t);
        refresh.dropped();
        assert_eq!((refresh.due(t + S * 200), refresh.useless_at()), (Due::At(t + S * 200), None));
        assert_eq!(ask(&mut refresh, "a", t + S * 200), Ask::Wait);
    }

    proptest! {
        /// Whatever is asked: memory is bounded, one fetch at a time, never two good ones within the floor, and no
        /// refusal without a fetch that began at or after the first question.
        #[test]
        fn floods_of_unknown_kids_fetch_no_faster(kids in prop::collection::vec((0_u8..8, 0_u64..3), 1..200)) {
            let start = Instant::now();
            let mut now = start;
            let mut refresh = fetched(now);
            let mut last = now;
            for (kid, step) in kids {
                now += S * u32::try_from(step).unwrap();
                let answer = ask(&mut refresh, &kid.to_string(), now);
                if answer == Ask::Absent {
                    prop_assert!(refresh.fetched.unwrap() >= refresh.asked[&(Some(kid.to_string()), Algorithm::ES256)]);
                }
                prop_assert!(refresh.asked.len() <= 3 && refresh.order.len() == refresh.asked.len());
                if let Due::At(at) = refresh.due(now) && at <= now {
                    prop_assert!(now >= last + S * 5);
                    last = now;
                    refresh.begin(now);
                    refresh.succeeded(now, None);
                }
            }
        }
    }
}
