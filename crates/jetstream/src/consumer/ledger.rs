//! What a consumer remembers across restarts: where it is, what waits for an acknowledgement, what was delivered
//! how often.
//!
//! Every step is a [`Change`]: it is applied here and written to the consumer's log, and applying what was written
//! gives the same ledger again.

use std::collections::{BTreeMap, VecDeque};

use super::config::AckPolicy;
use super::pending::{Entry, Pending};

/// A place in both orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// In the order of this consumer's deliveries, from 1.
    pub consumer: u64,
    /// In the order of the stream, from 1.
    pub stream: u64,
}

/// One step of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // The fields are named in `Position` and `Entry`.
pub enum Change {
    /// A message went out for the first time, as this delivery.
    Delivered { sequence: u64, delivery: u64, since: i64 },
    /// A message went out again.
    Redelivered { sequence: u64, delivery: u64, since: i64 },
    /// A message is done with: acknowledged, terminated, or gone from the stream.
    Done { sequence: u64 },
    /// Everything up to a message is done with.
    DoneThrough { sequence: u64, delivery: u64 },
    /// The wait for an acknowledgement begins anew at `since`.
    Waits { sequence: u64, since: i64 },
    /// A message was delivered as often as it may be: it no longer waits, but is remembered.
    Buried { sequence: u64 },
    /// The stream was purged: go on here.
    Purged { next: u64 },
    /// Begin anew here.
    Reset { next: u64 },
    /// Go on here: nothing before it was meant.
    Skipped { next: u64 },
    /// The stream lost what was after this.
    RolledBack { last: u64 },
}

/// The durable half of a consumer.
#[derive(Debug, Clone, PartialEq)]
pub struct Ledger {
    policy: AckPolicy,
    /// Where to look for the next message not delivered yet.
    pub next: u64,
    /// The last delivery.
    pub delivered: Position,
    /// Everything up to here is done with.
    pub floor: Position,
    /// Delivered and not acknowledged.
    pub pending: Pending,
    /// Deliveries of messages that had more than one, or were buried.
    counts: BTreeMap<u64, u32>,
    /// Messages to deliver before all others, in order (deliver policy `last_per_subject`).
    pub listed: VecDeque<u64>,
}

impl Ledger {
    /// Begins at `next`; `listed` come first.
    #[must_use]
    pub fn new(policy: AckPolicy, next: u64, listed: VecDeque<u64>) -> Self {
        let start = listed.front().copied().unwrap_or(next).max(1);
        let before = Position { consumer: 0, stream: start - 1 };
        Self {
            policy,
            next: next.max(1),
            delivered: before,
            floor: before,
            pending: Pending::default(),
            counts: BTreeMap::new(),
            listed,
        }
    }

    /// One that was elsewhere before. `pending`: sequence, delivery, since.
    #[must_use]
    pub fn at(
        policy: AckPolicy,
        delivered: Position,
        floor: Position,
        pending: impl IntoIterator<Item = (u64, u64, i64)>,
        counts: BTreeMap<u64, u32>,
    ) -> Self {
        let mut ledger = Self::new(policy, delivered.stream + 1, VecDeque::new());
        let mut waits = Pending::default();
        for (sequence, delivery, since) in pending {
            waits.insert(Entry { sequence, delivery: delivery.max(1), since, queued: false });
        }
        ledger.restore([delivered, floor], waits, counts);
        ledger
    }

    /// How messages of this consumer are acknowledged.
    #[must_use]
    pub fn policy(&self) -> AckPolicy {
        self.policy
    }

    /// How often a message was delivered; 1 also when it was not yet.
    #[must_use]
    pub fn deliveries(&self, sequence: u64) -> u32 {
        self.counts.get(&sequence).copied().unwrap_or(1)
    }

    /// Messages that were delivered more than once, or were buried, and are not done with.
    pub fn counts(&self) -> impl ExactSizeIterator<Item = (u64, u32)> {
        self.counts.iter().map(|(sequence, count)| (*sequence, *count))
    }

    /// Whether a message was delivered as often as it may be and not acknowledged.
    #[must_use]
    pub fn is_buried(&self, sequence: u64) -> bool {
        self.counts.contains_key(&sequence) && self.pending.get(sequence).is_none()
    }

    /// Whether this consumer still needs the message to be in the stream, given that its filter matches.
    #[must_use]
    pub fn needs(&self, sequence: u64) -> bool {
        let waits = match self.policy {
            AckPolicy::Explicit if sequence < self.next => {
                self.pending.get(sequence).is_some() || self.listed.binary_search(&sequence).is_ok()
            }
            _ => sequence > self.floor.stream,
        };
        waits || self.counts.contains_key(&sequence)
    }

    /// Takes a step.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Delivered { sequence, delivery, since } => self.delivered(sequence, delivery, since),
            Change::Redelivered { sequence, delivery, since } => {
                if let Some(entry) = self.pending.get_mut(sequence) {
                    entry.since = since;
                    entry.queued = false;
                    *self.counts.entry(sequence).or_insert(1) += 1;
                }
                self.delivered.consumer = self.delivered.consumer.max(delivery);
            }
            Change::Done { sequence } => {
                self.counts.remove(&sequence);
                self.remove(sequence);
            }
            Change::DoneThrough { sequence, delivery } => self.done_through(sequence, delivery),
            Change::Waits { sequence, since } => {
                if let Some(entry) = self.pending.get_mut(sequence) {
                    entry.since = since;
                    entry.queued = false;
                }
            }
            Change::Buried { sequence } => {
                self.counts.entry(sequence).or_insert(1);
                self.remove(sequence);
            }
            Change::Purged { next } => self.purged(next),
            Change::Skipped { next } => self.next = self.next.max(next),
            Change::RolledBack { last } => self.rolled_back(last),
            Change::Reset { next } => {
                let next = next.max(1);
                *self = Self::new(self.policy, next, VecDeque::new());
            }
        }
    }

    fn delivered(&mut self, sequence: u64, delivery: u64, since: i64) {
        if self.listed.front() == Some(&sequence) {
            self.listed.pop_front();
        } else {
            self.next = self.next.max(sequence + 1);
        }
        self.delivered.consumer = self.delivered.consumer.max(delivery);
        self.delivered.stream = self.delivered.stream.max(sequence);
        if self.policy == AckPolicy::None {
            self.floor = self.delivered;
        } else {
            self.pending.insert(Entry { sequence, delivery, since, queued: false });
        }
    }

    /// Takes a message out of those that wait and moves the floor if it was the lowest.
    fn remove(&mut self, sequence: u64) {
        let lowest = self.pending.first().is_some_and(|entry| entry.sequence == sequence);
        if self.pending.remove(sequence).is_some() && lowest {
            self.floor = self.floor_now();
        }
    }

    /// Just below the lowest that waits; where nothing does, the last delivery.
    fn floor_now(&self) -> Position {
        self.pending.first().map_or(self.delivered, |entry| Position {
            consumer: entry.delivery - 1,
            stream: entry.sequence - 1,
        })
    }

    fn done_through(&mut self, sequence: u64, delivery: u64) {
        self.pending.remove_through(sequence, |_| {});
        self.counts = self.counts.split_off(&(sequence + 1));
        let acknowledged = Position { consumer: delivery, stream: sequence };
        self.floor = match self.pending.first() {
            // A message that was delivered twice is acknowledged by its second delivery: those between are not by that.
            Some(entry) => Position { consumer: entry.delivery - 1, ..acknowledged },
            None if sequence <= self.delivered.stream => self.delivered,
            None => acknowledged,
        };
    }

    /// What lies before `next` is gone. What was passed over counts as delivered from here on, as with nats-server.
    fn purged(&mut self, next: u64) {
        self.next = self.next.max(next);
        if self.floor.stream < next {
            let consumer = &mut self.floor.consumer;
            self.pending.remove_through(next - 1, |entry| *consumer = entry.delivery.max(*consumer));
            self.counts = self.counts.split_off(&next);
            self.floor.stream = next - 1;
        }
        let reached = if self.listed.is_empty() { self.next } else { next };
        self.delivered.stream = self.delivered.stream.max(reached - 1);
        if self.pending.is_empty() {
            self.floor = self.delivered;
        }
    }

    /// Consumer sequences go on: none is ever given twice.
    fn rolled_back(&mut self, last: u64) {
        let mut kept = Pending::default();
        self.pending.iter().filter(|entry| entry.sequence <= last).for_each(|entry| kept.insert(*entry));
        self.pending = kept;
        self.counts.split_off(&(last + 1));
        self.listed.retain(|sequence| *sequence <= last);
        self.next = self.next.min(last + 1);
        self.delivered.stream = self.delivered.stream.min(last);
        if self.pending.is_empty() {
            self.floor = self.delivered;
        } else {
            self.floor.stream = self.floor.stream.min(last);
        }
    }

    /// Puts a ledger together from a snapshot (see [`super::journal`]).
    pub(super) fn restore(&mut self, at: [Position; 2], pending: Pending, counts: BTreeMap<u64, u32>) {
        [self.delivered, self.floor] = at;
        self.pending = pending;
        self.counts = counts;
    }
}
