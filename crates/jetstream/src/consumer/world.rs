//! What a consumer sees of its surroundings: the stream's log, the way out, the clock.
//!
//! The consumer itself has no I/O, no clock and no randomness of its own. What it wants done it says to an
//! [`Outlet`]; what it wants remembered is in its journal (see [`super::journal`]).

use store::Filter;

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

/// Which messages a consumer is about. `stored`: the stream's own subjects; a filter that names just these is none.
#[must_use]
pub fn filter<'a>(patterns: impl Iterator<Item = &'a str>, stored: &[String]) -> Filter {
    let mut patterns: Vec<&str> = patterns.collect();
    let mut own: Vec<&str> = stored.iter().map(String::as_str).collect();
    patterns.sort_unstable();
    own.sort_unstable();
    if patterns == own { Filter::all() } else { Filter::new(patterns) }
}

/// The messages of a stream, as a consumer reads them: those that are stored as durably as the stream promises.
pub trait Log {
    /// The first sequence that may hold a message.
    fn first(&self) -> u64;

    /// The last sequence that was given to a message; 0 before the first.
    fn last(&self) -> u64;

    /// The next message that the filter matches, at `from` or after.
    fn next(&mut self, from: u64, filter: &Filter) -> Option<Stored<'_>>;

    /// A message; `None` when it is gone.
    fn get(&mut self, sequence: u64) -> Option<Stored<'_>>;

    /// How many messages the filter matches at `from` or after.
    fn count(&mut self, from: u64, filter: &Filter) -> u64;

    /// Whether a message is there.
    fn has(&mut self, sequence: u64) -> bool;

    /// About so many messages are going to be asked for, one after the other.
    fn expect(&mut self, messages: usize);
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
