//! Appending: one lock, one encoding pass and one entry in the commit queue a batch.

use super::{Home, Log, Stream};
use crate::crypt::TAG;
use crate::error::AppendError;
use crate::index::{Ahead, Newcomer, counted_size};
use crate::record::{Draft, JOINED, Kind, MAX_RECORD, MAX_SUBJECT, OPEN};
use crate::removal::Removals;

/// The longest atomic batch, in bytes of records: it is in one segment.
const LONGEST_BATCH: usize = 1024 * 1024 * 1024;

/// A message to append.
#[derive(Clone, Copy, Debug, Default)]
pub struct Append<'a> {
    /// Subject, at most 65,535 bytes. Not checked for form.
    pub subject: &'a [u8],
    /// Header block; empty without one.
    pub headers: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
    /// When it is stored, ns since 1970.
    pub time: u64,
    /// When it expires, ns since 1970.
    pub expires: Option<u64>,
    /// The sequence it must get, above the last one; the next one when `None`. For imports and mirrors.
    pub seq: Option<u64>,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Appended {
    /// How many were appended, from the front of the batch.
    pub count: usize,
    /// Sequence of the first one appended; the others follow it without a gap unless they gave their own.
    pub first: u64,
    /// Sequence of the last one appended.
    pub last: u64,
    /// Committed when [`Committed::position`](super::Committed) reaches this.
    pub position: u64,
    /// Committed already, as in memory; the listener will not be called for it.
    pub durable: bool,
    /// What went to make room.
    pub removed: Removals,
    /// Why the message at `count` was refused. Those after it were not looked at.
    pub refused: Option<AppendError>,
}

impl Stream {
    /// Appends messages in order until one is refused. They can be read at once; that they are durable is told to the
    /// listener, or waited for with [`Stream::wait`].
    ///
    /// Deliver to consumers only what is [committed](Stream::committed): after a failed write, what follows is taken
    /// back and its sequences are given to other messages.
    #[must_use]
    pub fn append(&self, batch: &[Append<'_>]) -> Appended {
        let mut log = self.0.log.write();
        let done = self.append_to(&mut log, batch);
        if done.count > 0 {
            self.0.queue(&mut log);
        }
        done
    }

    /// As [`Stream::append`], but nothing is written on its account before [`Stream::commit_soon`]: for who has more to
    /// append at once, so that one sync covers it all.
    #[must_use]
    pub fn append_more(&self, batch: &[Append<'_>]) -> Appended {
        self.append_to(&mut self.0.log.write(), batch)
    }

    /// Has everything written that was appended with [`Stream::append_more`].
    pub fn commit_soon(&self) {
        let mut log = self.0.log.write();
        if log.position > log.committed.position {
            self.0.queue(&mut log);
        }
    }

    fn append_to(&self, log: &mut Log, batch: &[Append<'_>]) -> Appended {
        let mut done = Appended { refused: self.has_room(log).err(), ..Appended::default() };
        if done.refused.is_some() {
            return done;
        }
        for message in batch {
            if let Err(refused) = self.append_one(log, message, &mut done) {
                done.refused = Some(refused);
                break;
            }
        }
        self.finish(log, &mut done);
        done
    }

    /// Appends all messages of the batch or none of them, also in a crash.
    ///
    /// # Errors
    /// Index and reason of the first one that is refused.
    pub fn append_atomic(&self, batch: &[Append<'_>]) -> Result<Appended, (usize, AppendError)> {
        let mut log = self.0.log.write();
        self.has_room(&log).map_err(|error| (0, error))?;
        let mut ahead = Ahead::default();
        let mut last = log.index.last_seq;
        for (at, message) in batch.iter().enumerate() {
            ahead.of_subject =
                batch.iter().take(at).filter(|other| other.subject == message.subject).count() as u64;
            last = self.check(&mut log, message, last, ahead).map_err(|error| (at, error))?;
            ahead.messages += 1;
            ahead.bytes += size(&log, message);
        }
        let home = self.0.home.as_ref();
        let length: usize = batch.iter().map(|message| draft(message, 0, 0).len() + TAG).sum();
        let room = if length > LONGEST_BATCH { Err(AppendError::TooLarge) } else { Ok(()) };
        let room =
            room.and_then(|()| log.make_room(home, length as u64).map_err(|_| AppendError::from(&*self.0)));
        room.map_err(|error| (0, error))?;
        let mut done = Appended::default();
        log.in_batch = true;
        let stored = push_batch(&mut log, home, batch, &mut done);
        log.in_batch = false;
        stored.map_err(|at| (at, AppendError::from(&*self.0)))?;
        for message in batch {
            if let Some(subject) = log.index.subjects.find(message.subject) {
                log.index.enforce_subject(subject, &mut done.removed);
            }
        }
        log.index.enforce_totals(&mut done.removed);
        self.finish(&mut log, &mut done);
        self.0.queue(&mut log);
        Ok(done)
    }

    /// Uses up all sequences to `seq` without a message, as when the origin of a mirror has none there.
    ///
    /// # Errors
    /// The stream takes no writes, or `seq` is below the last sequence.
    pub fn skip_to(&self, seq: u64) -> Result<u64, AppendError> {
        let mut log = self.0.log.write();
        log.writable()?;
        let last = log.index.last_seq;
        if seq < last {
            return Err(AppendError::Sequence { given: seq, last });
        }
        if self.0.home.is_some() {
            let skip = Draft::control(Kind::Skip, 0, seq, b"");
            log.push(self.0.home.as_ref(), &skip).map_err(|_| AppendError::from(&*self.0))?;
        }
        log.index.skip_to(seq);
        Ok(self.0.changed(&mut log))
    }

    fn append_one(
        &self,
        log: &mut Log,
        message: &Append<'_>,
        done: &mut Appended,
    ) -> Result<(), AppendError> {
        let seq = self.check(log, message, log.index.last_seq, Ahead::default())?;
        let stored = log.push_message(self.0.home.as_ref(), &draft(message, seq, 0));
        let subject = stored.map_err(|_| AppendError::from(&*self.0))?;
        count(done, seq);
        log.index.enforce_subject(subject, &mut done.removed);
        log.index.enforce_totals(&mut done.removed);
        Ok(())
    }

    /// Whether the message may be appended after `last`; its sequence.
    fn check(
        &self,
        log: &mut Log,
        message: &Append<'_>,
        last: u64,
        ahead: Ahead,
    ) -> Result<u64, AppendError> {
        log.writable()?;
        let text = message.subject.len() + message.headers.len() + message.payload.len();
        if message.subject.len() > MAX_SUBJECT || text > MAX_RECORD - 128 {
            return Err(AppendError::TooLarge);
        }
        let seq = message.seq.unwrap_or(last + 1);
        if seq <= last {
            return Err(AppendError::Sequence { given: seq, last });
        }
        let newcomer = Newcomer { subject: message.subject, size: size(log, message) };
        log.index.admit(newcomer, ahead).map(|()| seq)
    }

    /// Whether more may wait for the disk.
    fn has_room(&self, log: &Log) -> Result<(), AppendError> {
        let pending = log.waiting();
        if pending > self.0.store.max_pending_bytes { Err(AppendError::Busy { pending }) } else { Ok(()) }
    }

    fn finish(&self, log: &mut Log, done: &mut Appended) {
        if done.count == 0 {
            return;
        }
        if self.0.home.is_some() {
            log.made_room.extend(done.removed.iter().map(|removal| removal.seq));
        }
        done.position = self.0.noted(log);
        done.durable = self.0.home.is_none();
        log.index.tidy_deadlines();
    }
}

/// Writes the messages of an atomic batch; at which of them that failed.
fn push_batch(
    log: &mut Log,
    home: Option<&Home>,
    batch: &[Append<'_>],
    done: &mut Appended,
) -> Result<(), usize> {
    for (at, message) in batch.iter().enumerate() {
        let flags = if at + 1 < batch.len() { OPEN } else { 0 } | if at > 0 { JOINED } else { 0 };
        let seq = message.seq.unwrap_or(log.index.last_seq + 1);
        log.push_message(home, &draft(message, seq, flags)).map_err(|_| at)?;
        count(done, seq);
    }
    Ok(())
}

fn count(done: &mut Appended, seq: u64) {
    if done.count == 0 {
        done.first = seq;
    }
    done.last = seq;
    done.count += 1;
}

fn size(log: &Log, message: &Append<'_>) -> u64 {
    let (subject, headers, payload) = (message.subject.len(), message.headers.len(), message.payload.len());
    counted_size(log.index.storage, subject, headers, payload)
}

fn draft<'a>(message: &Append<'a>, seq: u64, flags: u8) -> Draft<'a> {
    Draft {
        kind: Kind::Message,
        flags,
        seq,
        time: message.time,
        expires: message.expires,
        subject: message.subject,
        headers: message.headers,
        payload: message.payload,
    }
}
