//! What a consumer sees of its surroundings: the stream's log, the way out, the clock.
//!
//! The consumer itself has no I/O, no clock and no randomness of its own. What it wants done it says to an
//! [`Outlet`]; what it wants remembered is in its journal (see [`super::journal`]).

use subject::PatternSet;

/// A stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored<'a> {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub time: i64,
    /// What it was published to.
    pub subject: &'a [u8],
    /// Its header block; empty without headers.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
}

/// Which messages of a stream a consumer is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filters {
    /// All of them.
    All,
    /// Those one of these patterns matches.
    Some(PatternSet),
}

impl Filters {
    /// From the patterns of a configuration. `stored`: the stream's own subjects; filters that are the same as these
    /// filter nothing.
    #[must_use]
    pub fn new<'a>(patterns: impl Iterator<Item = &'a str>, stored: &[String]) -> Self {
        let mut set = PatternSet::new();
        for pattern in patterns {
            set.insert(pattern);
        }
        let mut own = PatternSet::new();
        for pattern in stored {
            own.insert(pattern);
        }
        let all = set == PatternSet::new() || set == own || set.covers(b">");
        if all { Self::All } else { Self::Some(set) }
    }

    /// Whether a message of this subject is meant.
    #[must_use]
    pub fn matches(&self, subject: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::Some(set) => set.matches(subject),
        }
    }
}

/// The messages of a stream, as a consumer reads them: those that are stored as durably as the stream promises.
pub trait Log {
    /// The first sequence that may hold a message.
    fn first(&self) -> u64;

    /// The last sequence that was given to a message; 0 before the first.
    fn last(&self) -> u64;

    /// The next message that the filters match, at `from` or after.
    fn next(&mut self, from: u64, filters: &Filters) -> Option<Stored<'_>>;

    /// A message; `None` when it is gone.
    fn get(&mut self, sequence: u64) -> Option<Stored<'_>>;

    /// How many messages the filters match at `from` or after.
    fn count(&mut self, from: u64, filters: &Filters) -> u64;

    /// Grows whenever a message is removed.
    fn removals(&self) -> u64;
}

/// What became of a message given to an [`Outlet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handed {
    /// Somebody gets it.
    Taken,
    /// Somebody gets it, but has much to read already.
    Full,
    /// Nobody listens there.
    Nobody,
}

/// What is told to whoever watches a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are those of nats-server's advisories.
pub enum Advisory {
    /// A message was delivered as often as it may be.
    MaxDeliver { sequence: u64, deliveries: u64 },
    /// A client refused a message.
    Nak { sequence: u64, delivery: u64, deliveries: u64 },
    /// A client, or the stream, gave a message up.
    Terminated { sequence: u64, delivery: u64, deliveries: u64, reason: String },
    /// A sampled acknowledgement, and how long it took.
    Acknowledged { sequence: u64, delivery: u64, deliveries: u64, took: i64 },
    /// A client was chosen.
    Pinned { group: String, pin: String },
    /// It no longer is.
    Unpinned { group: String, reason: &'static str },
    /// Deliveries stop, or go on.
    Pause { until: Option<i64>, paused: bool },
}

/// Where a consumer's words go. Order is kept per subject.
pub trait Outlet {
    /// Whether somebody listens on a subject.
    fn listens(&mut self, subject: &[u8]) -> bool;

    /// A message of the stream, to `to`; it is answered on `reply`.
    fn message(&mut self, to: &[u8], reply: &[u8], message: &Stored<'_>) -> Handed;

    /// A status: a header block without payload.
    fn status(&mut self, to: &[u8], reply: &[u8], headers: &[u8]);

    /// Confirms an acknowledgement, once what is in the journal by now is durable.
    fn confirm(&mut self, reply: &[u8]);

    /// Tells whoever watches.
    fn advise(&mut self, advisory: Advisory);

    /// This consumer needs a message no longer: where retention goes by interest the stream may remove it.
    fn done(&mut self, sequence: u64);
}

/// The surroundings during one call.
pub struct World<'a, L, O> {
    /// The stream.
    pub log: &'a mut L,
    /// The way out.
    pub out: &'a mut O,
    /// Nanoseconds since 1970.
    pub now: i64,
    /// A random number.
    pub random: &'a mut dyn FnMut() -> u64,
}
