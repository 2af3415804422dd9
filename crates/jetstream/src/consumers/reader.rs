//! The stream's log as a consumer reads it: ahead in batches, up to what is committed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use store::{Filter, Message, Point, ReadError};

use crate::consumer::{History, Log, Stored};

/// Bytes read ahead.
const AHEAD: usize = 256 * 1024;
/// Sequences that are looked through one by one to count them.
const COUNTED_SINGLY: u64 = 256;
/// Most subjects whose last messages a new consumer may begin with.
const MOST_SUBJECTS: usize = 50_000_000;

/// Reads a stream for one consumer.
#[derive(Debug)]
pub(super) struct Reader {
    log: store::Stream,
    /// Grows when messages went: what was read ahead may be gone.
    removals: Arc<AtomicU64>,
    seen: u64,
    ahead: VecDeque<Message>,
    /// Nothing of the filter is between the last message read ahead and here.
    scanned: u64,
    single: Option<Message>,
    first: u64,
    last: u64,
    expected: usize,
}

impl Reader {
    pub(super) fn new(log: store::Stream, removals: Arc<AtomicU64>) -> Self {
        let mut reader = Self {
            log,
            removals,
            seen: 0,
            ahead: VecDeque::new(),
            scanned: 0,
            single: None,
            first: 0,
            last: 0,
            expected: 1,
        };
        reader.begin();
        reader
    }

    /// A turn begins: what is committed by now may be read.
    pub(super) fn begin(&mut self) {
        self.last = self.log.committed().seq;
        let removals = self.removals.load(Ordering::Acquire);
        if removals != self.seen || self.first == 0 {
            self.forget();
            self.seen = removals;
            self.first = self.log.next_seq(0).map_or(self.log.last_seq() + 1, |first| first);
        }
    }

    /// Whether messages went that the consumer may not know of. `known`: what it knew when it looked last.
    pub(super) fn removals(&self) -> u64 {
        self.removals.load(Ordering::Acquire)
    }

    /// A turn ends with nothing left to do.
    pub(super) fn rest(&mut self) {
        self.single = None;
        if self.ahead.len() > 16 {
            self.forget();
        }
    }

    /// The filter is another one now, or reading begins elsewhere.
    pub(super) fn forget(&mut self) {
        self.ahead = VecDeque::new();
        self.scanned = 0;
    }

    fn read_on(&mut self, mut from: u64, filter: &Filter) {
        while from <= self.last {
            match self.log.scan(filter, from, self.last, self.expected.max(1), AHEAD) {
                Ok(scan) => {
                    from = scan.next.max(from + 1);
                    self.scanned = from;
                    if !scan.messages.is_empty() {
                        self.ahead.extend(scan.messages);
                        return;
                    }
                }
                Err(ReadError::Damaged { seq, file, offset }) => {
                    let file = file.display();
                    tracing::error!(stream = self.log.name(), seq, %file, offset, "a damaged message is not delivered");
                    from = seq + 1;
                    self.scanned = from;
                }
                Err(error) => {
                    tracing::error!(stream = self.log.name(), from, %error, "a consumer can't read on");
                    return;
                }
            }
        }
    }
}

fn stored(message: &Message) -> Stored<'_> {
    Stored {
        sequence: message.seq,
        time: message.time.cast_signed(),
        subject: message.subject(),
        headers: message.headers(),
        payload: message.payload(),
    }
}

impl Log for Reader {
    fn first(&self) -> u64 {
        self.first
    }

    fn last(&self) -> u64 {
        self.last
    }

    fn next(&mut self, from: u64, filter: &Filter) -> Option<Stored<'_>> {
        while self.ahead.front().is_some_and(|message| message.seq < from) {
            self.ahead.pop_front();
        }
        if self.ahead.is_empty() {
            // What lies between was looked at, and nothing found.
            let begin = if self.scanned > from { self.scanned } else { from };
            self.read_on(begin, filter);
        }
        self.ahead.front().map(stored)
    }

    fn get(&mut self, sequence: u64) -> Option<Stored<'_>> {
        self.single = match self.log.get(sequence) {
            Ok(message) => message,
            Err(error) => {
                tracing::error!(stream = self.log.name(), sequence, %error, "a message can't be delivered again");
                None
            }
        };
        self.single.as_ref().map(stored)
    }

    fn count(&mut self, from: u64, filter: &Filter) -> u64 {
        if from > self.last {
            return 0;
        }
        // At the head what is counted is delivered next: it is read once for both.
        let at_head = self.ahead.is_empty() && self.scanned == from;
        if at_head && !filter.is_all() && self.last - from < COUNTED_SINGLY {
            let expected = std::mem::replace(&mut self.expected, usize::MAX);
            self.read_on(from, filter);
            self.expected = expected;
            if self.scanned > self.last {
                return self.ahead.len() as u64;
            }
        }
        let all = self.log.num_pending(filter, from, false);
        all.saturating_sub(self.log.num_pending(filter, self.last + 1, false))
    }

    fn has(&mut self, sequence: u64) -> bool {
        self.log.contains(sequence)
    }

    fn expect(&mut self, messages: usize) {
        self.expected = messages;
    }
}

/// A stream as a new consumer looks at it.
pub(super) struct Past<'a> {
    pub(super) log: &'a store::Stream,
    pub(super) one_per_subject: bool,
}

impl History for Past<'_> {
    fn first(&self) -> u64 {
        self.log.next_seq(0).unwrap_or(self.log.last_seq() + 1)
    }

    fn last(&self) -> u64 {
        self.log.last_seq()
    }

    fn last_of(&self, filter: &Filter) -> Option<u64> {
        self.log.last_seq_among(filter)
    }

    fn last_per_subject(&self, filter: &Filter) -> Vec<u64> {
        self.log.last_per_subject(filter, Point::Now, MOST_SUBJECTS).unwrap_or_default()
    }

    fn at(&self, time: i64) -> Option<u64> {
        Some(self.log.seq_at(time.max(0).unsigned_abs()))
    }

    fn one_per_subject(&self) -> bool {
        self.one_per_subject
    }
}
