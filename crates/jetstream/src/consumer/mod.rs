//! One consumer: which message of a stream comes next, to whom, and what becomes of it.
//!
//! A state machine over (the log, acknowledgements, pull requests, `now`). [`Consumer`] is the whole of it; what it
//! remembers across restarts is its [`Ledger`], what it wants done it says to an [`Outlet`]. Whoever runs it calls
//! [`Consumer::deliver`] while it says [`Progress::More`], [`Consumer::tick`] when [`Consumer::wake_at`] has come,
//! and writes its journal after every call.

pub mod ack;
mod acks;
mod changes;
pub mod config;
mod deliver;
pub(crate) mod errors;
mod flow;
pub mod info;
pub mod journal;
mod ledger;
mod pending;
mod pin;
mod pulls;
mod requests;
mod start;
mod status;
#[cfg(test)]
mod testing;
mod time;
mod world;

use std::collections::VecDeque;
use std::sync::Arc;

use store::Filter;

pub use deliver::Progress;
pub use ledger::{Change, Ledger, Position};
pub use start::{History, start};
pub use time::Fate;
pub use world::{Advisory, Handed, Log, Outlet, Stored, World, filter};

use self::ack::AckWriter;
use self::config::{AckPolicy, ConsumerConfig, MILLISECOND, Nanos, PriorityPolicy, ReplayPolicy, SECOND};
use self::flow::Flow;
use self::journal::Journal;
use self::pin::Pin;
use self::pulls::Pulls;
use crate::stamp::Stamp;

/// How long a consumer without a durable name outlives its clients when nothing else is said.
pub const EPHEMERAL_THRESHOLD: Nanos = 5 * SECOND;

/// A consumer of a stream.
#[derive(Debug)]
pub struct Consumer {
    stream: Arc<str>,
    name: Arc<str>,
    config: ConsumerConfig,
    created: Stamp,
    filter: Filter,
    /// Retention goes by interest: the stream is told of every message that is done with.
    by_interest: bool,
    ledger: Ledger,
    journal: Option<Journal>,
    /// Messages to be delivered again, in order. Those whose entry no longer says `queued` are passed over.
    again: VecDeque<u64>,
    pulls: Pulls,
    push: Push,
    pin: Option<Pin>,
    backlog: Backlog,
    acks: AckWriter,
    /// Headers of the message at hand, where they differ from the stored ones.
    scratch: Vec<u8>,
    pace: Pace,
    last_delivery: Option<i64>,
    last_ack: Option<i64>,
    /// When to look at what waits for an acknowledgement.
    check_at: Option<i64>,
    /// When pull requests were last looked at because there was no room.
    looked_at: i64,
    /// For how long nobody need use it before it goes, jitter included; 0 is for ever.
    threshold: Nanos,
    /// When a pull consumer was last used.
    used_at: i64,
    /// When to look whether it is still used.
    inactive_at: Option<i64>,
    /// That a pause is over was told.
    resumed: bool,
    /// There may be something to deliver.
    turn: bool,
}

/// What only push consumers have.
#[derive(Debug, Default)]
struct Push {
    /// Somebody listens.
    active: bool,
    flow: Option<Flow>,
    beat_at: Option<i64>,
}

/// How many messages are still to be delivered for the first time.
#[derive(Debug, Default)]
struct Backlog {
    count: u64,
    /// The last sequence that is counted.
    through: u64,
    known: bool,
}

/// What slows deliveries down.
#[derive(Debug, Default)]
struct Pace {
    /// Bytes a second; 0 is no bound.
    rate: u64,
    /// How far ahead of the clock the rate may run, in nanoseconds.
    burst: Nanos,
    /// The time up to which the rate is used up.
    used_until: i64,
    /// Replay with the original pauses, up to this sequence.
    replay_through: Option<u64>,
    last_time: i64,
    /// When the message at hand may go.
    due: Option<i64>,
}

/// What makes a consumer.
#[derive(Debug)]
pub struct Parts {
    /// The stream's name.
    pub stream: Arc<str>,
    /// The consumer's name.
    pub name: Arc<str>,
    /// A checked configuration with its defaults.
    pub config: ConsumerConfig,
    /// When it was created.
    pub created: Stamp,
    /// The subjects the stream stores.
    pub subjects: Vec<String>,
    /// Whether messages go when their consumers are done with them.
    pub by_interest: bool,
    /// Where it is: new from [`start`], or recovered.
    pub ledger: Ledger,
    /// Whether it has a log of its own to write to.
    pub durable: bool,
    /// The greatest message, in bytes: a rate limit lets at least that through at once.
    pub largest: u64,
}

impl Consumer {
    /// Puts a consumer together. Messages that waited for their acknowledgement when it was last seen wait on.
    #[must_use]
    pub fn new<L: Log>(mut parts: Parts, log: &mut L, now: i64, random: u64) -> Self {
        let config = &mut parts.config;
        let threshold = threshold(config, random);
        let filter = filter(config.filters(), &parts.subjects);
        let mut consumer = Self {
            acks: AckWriter::new(&parts.stream, &parts.name),
            push: Push {
                active: false,
                flow: config.flow_control.then(|| Flow::new(&parts.stream, &parts.name)),
                beat_at: None,
            },
            pace: Pace {
                replay_through: (config.replay_policy == ReplayPolicy::Original).then(|| log.last()),
                ..Pace::new(config.rate_limit_bps, parts.largest)
            },
            stream: parts.stream,
            name: parts.name,
            created: parts.created,
            by_interest: parts.by_interest,
            filter,
            ledger: parts.ledger,
            journal: parts.durable.then(Journal::default),
            again: VecDeque::new(),
            pulls: Pulls::default(),
            pin: None,
            backlog: Backlog::default(),
            scratch: Vec::new(),
            last_delivery: None,
            last_ack: None,
            check_at: None,
            looked_at: 0,
            threshold,
            used_at: now,
            inactive_at: (threshold > 0).then(|| now.saturating_add(threshold)),
            resumed: parts.config.pause_until.is_none_or(|until| until.0 <= now),
            turn: true,
            config: parts.config,
        };
        consumer.recovered(log.last(), now);
        consumer
    }

    /// The stream's name.
    #[must_use]
    pub fn stream(&self) -> &Arc<str> {
        &self.stream
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    /// When it was created.
    #[must_use]
    pub fn created(&self) -> Stamp {
        self.created
    }

    /// What it remembers across restarts.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Which messages it is about.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether there may be something to deliver: then it wants its turn.
    #[must_use]
    pub fn wants_turn(&self) -> bool {
        self.turn
    }

    /// The stream has new messages; whether it wants its turn now.
    pub fn stored(&mut self) -> bool {
        self.turn |= if self.config.is_push() { self.push.active } else { !self.pulls.is_empty() };
        self.turn
    }

    /// Whether the stream has to keep a message for it.
    #[must_use]
    pub fn needs(&self, sequence: u64, subject: &[u8]) -> bool {
        self.ledger.needs(sequence) && self.filter.matches(subject)
    }

    /// Bytes that have to be written to its log, about; `None` when there is nothing.
    #[must_use]
    pub fn unwritten(&self) -> Option<usize> {
        self.journal.as_ref().filter(|journal| !journal.is_empty()).map(Journal::len)
    }

    /// Moves what has to be written to its log to `to`; a block as [`journal::replay`] reads it.
    pub fn take_journal(&mut self, to: &mut Vec<u8>) {
        if let Some(journal) = &mut self.journal {
            journal.take(to);
        }
    }

    /// Takes a step, and remembers it.
    fn step(&mut self, change: Change) {
        self.ledger.apply(change);
        if let Some(journal) = &mut self.journal {
            journal.note(change);
        }
    }

    /// How far it is, skipped messages included.
    fn reached(&self) -> Position {
        let delivered = self.ledger.delivered;
        let skipped = if self.ledger.listed.is_empty() { self.ledger.next - 1 } else { 0 };
        Position { stream: delivered.stream.max(skipped), ..delivered }
    }

    fn acks_matter(&self) -> bool {
        self.config.ack_policy != AckPolicy::None
    }

    /// Whether nothing is delivered for now.
    #[must_use]
    pub fn is_paused(&self, now: i64) -> bool {
        self.config.pause_until.is_some_and(|until| now < until.0)
    }

    fn prioritizes(&self) -> PriorityPolicy {
        self.config.priority_policy
    }
}

impl Pace {
    fn new(bits_per_second: u64, largest: u64) -> Self {
        let rate = bits_per_second / 8;
        let burst = if rate == 0 { 0 } else { span(largest, rate) };
        Self { rate, burst, ..Self::default() }
    }
}

/// How long `bytes` take at `rate` bytes a second.
fn span(bytes: u64, rate: u64) -> Nanos {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Nanos::try_from(nanos).unwrap_or(Nanos::MAX)
}

/// How long nobody need use it before it goes. Consumers without a durable name always have a threshold; pull
/// consumers get up to a second more, so that many do not go at once.
fn threshold(config: &mut ConsumerConfig, random: u64) -> Nanos {
    let jitter = 100 * MILLISECOND + (random % 900).cast_signed() * MILLISECOND;
    if config.inactive_threshold > 0 {
        return config.inactive_threshold.saturating_add(if config.is_push() { 0 } else { jitter });
    }
    if config.is_durable() {
        return 0;
    }
    config.inactive_threshold = EPHEMERAL_THRESHOLD;
    EPHEMERAL_THRESHOLD + jitter
}
