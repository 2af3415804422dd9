//! The consumer's own log: steps as small records, and snapshots of the whole.
//!
//! A *block* is what is written at once: a kind byte, then numbers as LEB128 varints; numbers that usually are close
//! to the last one of their sort are written as the difference to it (zigzag). Every block stands for itself.
//!
//! ```text
//! steps:     1, then records
//!   1 since sequence delivery n   delivered: n messages in a row, the first with this sequence and delivery
//!   2 since sequence delivery     delivered again
//!   3 sequence n                  done: n in a row
//!   4 sequence delivery           done through
//!   5 sequence since              waits anew
//!   6 sequence                    buried
//!   8 next | 9 next               purged, reset
//!   10 last | 11 next             rolled back, skipped
//! snapshot:  2 version next delivered×2 floor×2
//!            n (sequence delivery since)×n  n (sequence count)×n  n sequence×n
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::config::AckPolicy;
use super::ledger::{Change, Ledger, Position};
use super::pending::{Entry, Pending};

const STEPS: u8 = 1;
const SNAPSHOT: u8 = 2;
const VERSION: u64 = 1;
/// Most records that are written as one.
const LONGEST: u64 = 1 << 20;
/// The greatest sequence that is believed.
const MOST: u64 = 1 << 62;

/// Why a block can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It ends too early, or goes on too long.
    #[error("a block of the consumer's log is cut short")]
    Short,
    /// It has a kind or version this release does not know.
    #[error("a block of the consumer's log is of a kind this release does not know")]
    Unknown,
}

/// What has happened since it was last written.
#[derive(Debug, Default)]
pub struct Journal {
    block: Vec<u8>,
    last: Last,
    run: Option<Run>,
}

/// The numbers differences are taken to.
#[derive(Debug, Default, Clone, Copy)]
struct Last {
    sequence: u64,
    delivery: u64,
    since: i64,
}

/// Records in a row that are written as one.
#[derive(Debug, Clone, Copy)]
struct Run {
    delivered: bool,
    sequence: u64,
    delivery: u64,
    since: i64,
    count: u64,
}

impl Journal {
    /// Notes a step.
    pub fn note(&mut self, change: Change) {
        match change {
            Change::Delivered { sequence, delivery, since } => {
                self.in_row(Run { delivered: true, sequence, delivery, since, count: 1 });
            }
            Change::Done { sequence } => {
                self.in_row(Run { delivered: false, sequence, delivery: 0, since: 0, count: 1 });
            }
            _ => {
                self.end_run();
                self.single(change);
            }
        }
    }

    /// Whether nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.block.is_empty() && self.run.is_none()
    }

    /// Bytes gathered so far, about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.block.len()
    }

    /// Moves the block to `to` and begins a new one.
    pub fn take(&mut self, to: &mut Vec<u8>) {
        self.end_run();
        to.append(&mut self.block);
        self.last = Last::default();
    }

    fn in_row(&mut self, next: Run) {
        if let Some(run) = &mut self.run
            && run.delivered == next.delivered
            && run.sequence + run.count == next.sequence
            && run.count < LONGEST
            && (!next.delivered || (run.delivery + run.count == next.delivery && run.since == next.since))
        {
            run.count += 1;
            return;
        }
        self.end_run();
        self.run = Some(next);
    }

    fn end_run(&mut self) {
        let Some(run) = self.run.take() else { return };
        self.kind(if run.delivered { 1 } else { 3 });
        if run.delivered {
            self.since(run.since);
        }
        self.sequence(run.sequence);
        if run.delivered {
            self.delivery(run.delivery);
            self.last.delivery += run.count - 1;
        }
        self.last.sequence += run.count - 1;
        varint(&mut self.block, run.count);
    }

    fn single(&mut self, change: Change) {
        match change {
            Change::Delivered { .. } | Change::Done { .. } => {}
            Change::Redelivered { sequence, delivery, since } => {
                self.kind(2);
                self.since(since);
                self.sequence(sequence);
                self.delivery(delivery);
            }
            Change::DoneThrough { sequence, delivery } => {
                self.kind(4);
                self.sequence(sequence);
                self.delivery(delivery);
            }
            Change::Waits { sequence, since } => {
                self.kind(5);
                self.sequence(sequence);
                self.since(since);
            }
            Change::Buried { sequence } => {
                self.kind(6);
                self.sequence(sequence);
            }
            Change::Purged { next } => self.plain(8, next),
            Change::Reset { next } => self.plain(9, next),
            Change::RolledBack { last } => self.plain(10, last),
            Change::Skipped { next } => self.plain(11, next),
        }
    }

    fn kind(&mut self, kind: u8) {
        if self.block.is_empty() {
            self.block.push(STEPS);
        }
        self.block.push(kind);
    }

    fn plain(&mut self, kind: u8, number: u64) {
        self.kind(kind);
        varint(&mut self.block, number);
    }

    fn sequence(&mut self, sequence: u64) {
        difference(&mut self.block, sequence, self.last.sequence);
        self.last.sequence = sequence;
    }

    fn delivery(&mut self, delivery: u64) {
        difference(&mut self.block, delivery, self.last.delivery);
        self.last.delivery = delivery;
    }

    fn since(&mut self, since: i64) {
        difference(&mut self.block, since.cast_unsigned(), self.last.since.cast_unsigned());
        self.last.since = since;
    }
}

/// Everything a ledger holds, as one block.
#[must_use]
pub fn snapshot(ledger: &Ledger) -> Vec<u8> {
    let mut block = vec![SNAPSHOT];
    let to = &mut block;
    let [delivered, floor] = [ledger.delivered, ledger.floor];
    for number in [VERSION, ledger.next, delivered.consumer, delivered.stream, floor.consumer, floor.stream] {
        varint(to, number);
    }
    let mut last = Last::default();
    varint(to, ledger.pending.len() as u64);
    for entry in ledger.pending.iter() {
        difference(to, entry.sequence, last.sequence);
        difference(to, entry.delivery, last.delivery);
        difference(to, entry.since.cast_unsigned(), last.since.cast_unsigned());
        last = Last { sequence: entry.sequence, delivery: entry.delivery, since: entry.since };
    }
    varint(to, ledger.counts().len() as u64);
    let mut before = 0;
    for (sequence, count) in ledger.counts() {
        difference(to, sequence, before);
        varint(to, u64::from(count));
        before = sequence;
    }
    varint(to, ledger.listed.len() as u64);
    let mut before = 0;
    for sequence in &ledger.listed {
        difference(to, *sequence, before);
        before = *sequence;
    }
    block
}

/// Takes a block that was written earlier. A snapshot replaces the ledger.
///
/// # Errors
/// The block can't be read; the ledger may have taken a part of it.
pub fn replay(block: &[u8], ledger: &mut Ledger) -> Result<(), JournalError> {
    let mut read = Read { rest: block };
    match read.byte()? {
        STEPS => steps(&mut read, ledger),
        SNAPSHOT => {
            *ledger = read_snapshot(&mut read, ledger.policy())?;
            if read.rest.is_empty() { Ok(()) } else { Err(JournalError::Short) }
        }
        _ => Err(JournalError::Unknown),
    }
}

fn steps(read: &mut Read<'_>, ledger: &mut Ledger) -> Result<(), JournalError> {
    let mut last = Last::default();
    while !read.rest.is_empty() {
        match read.byte()? {
            1 => {
                let since = read.since(&mut last)?;
                let (sequence, delivery) = (read.sequence(&mut last)?, read.first_delivery(&mut last)?);
                let count = read.count()?;
                for at in 0..count {
                    let (sequence, delivery) = (sequence + at, delivery + at);
                    ledger.apply(Change::Delivered { sequence, delivery, since });
                    last = Last { sequence, delivery, since };
                }
            }
            2 => {
                let since = read.since(&mut last)?;
                let (sequence, delivery) = (read.sequence(&mut last)?, read.delivery(&mut last)?);
                ledger.apply(Change::Redelivered { sequence, delivery, since });
            }
            3 => {
                let sequence = read.sequence(&mut last)?;
                for at in 0..read.count()? {
                    ledger.apply(Change::Done { sequence: sequence + at });
                    last.sequence = sequence + at;
                }
            }
            4 => {
                let (sequence, delivery) = (read.sequence(&mut last)?, read.delivery(&mut last)?);
                ledger.apply(Change::DoneThrough { sequence, delivery });
            }
            5 => {
                let (sequence, since) = (read.sequence(&mut last)?, read.since(&mut last)?);
                ledger.apply(Change::Waits { sequence, since });
            }
            6 => ledger.apply(Change::Buried { sequence: read.sequence(&mut last)? }),
            8 => ledger.apply(Change::Purged { next: read.place()? }),
            11 => ledger.apply(Change::Skipped { next: read.place()? }),
            10 => ledger.apply(Change::RolledBack { last: read.place()? }),
            9 => ledger.apply(Change::Reset { next: read.place()? }),
            _ => return Err(JournalError::Unknown),
        }
    }
    Ok(())
}

fn read_snapshot(read: &mut Read<'_>, policy: AckPolicy) -> Result<Ledger, JournalError> {
    if read.varint()? != VERSION {
        return Err(JournalError::Unknown);
    }
    let next = read.place()?;
    let mut position = || Ok(Position { consumer: read.place()?, stream: read.place()? });
    let at = [position()?, position()?];
    let mut pending = Pending::default();
    let mut last = Last::default();
    for _ in 0..read.varint()? {
        let (sequence, delivery) = (read.sequence(&mut last)?, read.first_delivery(&mut last)?);
        let since = read.since(&mut last)?;
        pending.insert(Entry { sequence, delivery, since, queued: false });
    }
    let mut counts = BTreeMap::new();
    let mut last = Last::default();
    for _ in 0..read.varint()? {
        let sequence = read.sequence(&mut last)?;
        counts.insert(sequence, u32::try_from(read.varint()?).unwrap_or(u32::MAX));
    }
    let mut listed = VecDeque::new();
    let mut last = Last::default();
    for _ in 0..read.varint()? {
        listed.push_back(read.sequence(&mut last)?);
    }
    let mut ledger = Ledger::new(policy, next, listed);
    ledger.restore(at, pending, counts);
    Ok(ledger)
}

fn varint(to: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        to.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    to.push(number.to_le_bytes()[0]);
}

fn difference(to: &mut Vec<u8>, number: u64, from: u64) {
    let difference = number.wrapping_sub(from).cast_signed();
    varint(to, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
}

struct Read<'a> {
    rest: &'a [u8],
}

impl Read<'_> {
    fn byte(&mut self) -> Result<u8, JournalError> {
        let (first, rest) = self.rest.split_first().ok_or(JournalError::Short)?;
        self.rest = rest;
        Ok(*first)
    }

    fn varint(&mut self) -> Result<u64, JournalError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(JournalError::Short)
    }

    /// A number of records in a row. A damaged one must not keep us busy for ever.
    fn count(&mut self) -> Result<u64, JournalError> {
        let count = self.varint()?;
        if count > LONGEST { Err(JournalError::Unknown) } else { Ok(count) }
    }

    fn difference(&mut self, from: u64) -> Result<u64, JournalError> {
        let zigzag = self.varint()?;
        let difference = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        Ok(from.wrapping_add(difference.cast_unsigned()))
    }

    /// No stream has a message 0, and none will ever have so many: what a damaged number may lead to stays bounded.
    fn sequence(&mut self, last: &mut Last) -> Result<u64, JournalError> {
        last.sequence = self.difference(last.sequence)?;
        if (1..=MOST).contains(&last.sequence) { Ok(last.sequence) } else { Err(JournalError::Unknown) }
    }

    fn delivery(&mut self, last: &mut Last) -> Result<u64, JournalError> {
        last.delivery = self.difference(last.delivery)?;
        if last.delivery <= MOST { Ok(last.delivery) } else { Err(JournalError::Unknown) }
    }

    /// The delivery of a message that waits: from 1.
    fn first_delivery(&mut self, last: &mut Last) -> Result<u64, JournalError> {
        Some(self.delivery(last)?).filter(|delivery| *delivery > 0).ok_or(JournalError::Unknown)
    }

    /// A place in the stream.
    fn place(&mut self) -> Result<u64, JournalError> {
        Some(self.varint()?).filter(|place| *place <= MOST).ok_or(JournalError::Unknown)
    }

    fn since(&mut self, last: &mut Last) -> Result<i64, JournalError> {
        last.since = self.difference(last.since.cast_unsigned())?.cast_signed();
        Ok(last.since)
    }
}
