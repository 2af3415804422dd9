//! Appending: one lock, one encoding pass and one entry in the commit queue a batch.

use super::{Log, Stream};
use crate::data::Data;
use crate::error::AppendError;
use crate::index::{Ahead, Newcomer, Segment, SegmentIndex, counted_size};
use crate::record::{Draft, Head, Kind, MAX_RECORD, MAX_SUBJECT, OPEN, encode};
use crate::removal::Removals;

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
        let mut done = Appended::default();
        for message in batch {
            if let Err(refused) = self.append_one(&mut log, message, &mut done) {
                done.refused = Some(refused);
                break;
            }
        }
        self.finish(&mut log, &mut done);
        done
    }

    /// Appends all messages of the batch or none of them, also in a crash.
    ///
    /// # Errors
    /// Index and reason of the first one that is refused.
    pub fn append_atomic(&self, batch: &[Append<'_>]) -> Result<Appended, (usize, AppendError)> {
        let mut log = self.0.log.write();
        let mut ahead = Ahead::default();
        let mut last = log.index.last_seq;
        for (at, message) in batch.iter().enumerate() {
            ahead.of_subject =
                batch.iter().take(at).filter(|other| other.subject == message.subject).count() as u64;
            last = self.check(&mut log, message, last, ahead).map_err(|error| (at, error))?;
            ahead.messages += 1;
            ahead.bytes += size(&log, message);
        }
        let mut done = Appended::default();
        for (at, message) in batch.iter().enumerate() {
            let open = if at + 1 < batch.len() { OPEN } else { 0 };
            let seq = message.seq.unwrap_or(log.index.last_seq + 1);
            store(&mut log, message, seq, open);
            count(&mut done, seq);
        }
        for message in batch {
            log.index.enforce_subject(message.subject, &mut done.removed);
        }
        log.index.enforce_totals(&mut done.removed);
        self.finish(&mut log, &mut done);
        Ok(done)
    }

    /// Uses up all sequences to `seq` without a message, as when the origin of a mirror has none there.
    ///
    /// # Errors
    /// The stream takes no writes, or `seq` is below the last sequence.
    pub fn skip_to(&self, seq: u64) -> Result<u64, AppendError> {
        let mut log = self.0.log.write();
        if let Some(stopped) = &log.stopped {
            return Err(stopped.clone().into());
        }
        let last = log.index.last_seq;
        if seq < last {
            return Err(AppendError::Sequence { given: seq, last });
        }
        log.index.skip_to(seq);
        Ok(Self::changed(&mut log))
    }

    fn append_one(
        &self,
        log: &mut Log,
        message: &Append<'_>,
        done: &mut Appended,
    ) -> Result<(), AppendError> {
        let seq = self.check(log, message, log.index.last_seq, Ahead::default())?;
        store(log, message, seq, 0);
        count(done, seq);
        log.index.enforce_subject(message.subject, &mut done.removed);
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
        if let Some(stopped) = &log.stopped {
            return Err(stopped.clone().into());
        }
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

    fn finish(&self, log: &mut Log, done: &mut Appended) {
        if done.count > 0 {
            done.position = Self::changed(log);
            done.durable = true;
            log.index.tidy_deadlines();
            log.reclaim();
        }
    }
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

/// Writes the record and takes it into the index.
fn store(log: &mut Log, message: &Append<'_>, seq: u64, flags: u8) {
    let draft = Draft {
        kind: Kind::Message,
        flags,
        seq,
        time: message.time,
        expires: message.expires,
        subject: message.subject,
        headers: message.headers,
        payload: message.payload,
    };
    log.make_room(draft.len());
    let Some(segment) = log.index.segments.back_mut() else { return };
    let offset = segment.data.end();
    let Data::Ram(bytes) = &mut segment.data else { return };
    let at = bytes.len();
    encode(&draft, segment.tag, bytes);
    let Some(head) = bytes.get(at..).and_then(|record| Head::read(record, 0)) else { return };
    log.index.add(&head, message.subject, message.expires, offset as u32);
}

impl Log {
    /// Begins a new segment if the last one would become too long.
    fn make_room(&mut self, length: usize) {
        let limit = self.options.segment_bytes;
        if let Some(last) = self.index.segments.back_mut() {
            if last.data.end() + length as u64 <= limit || last.data.end() == 0 {
                return;
            }
            last.data.seal();
            last.index.seal();
        }
        let id = self.index.segments.back().map_or(1, |segment| segment.id + 1);
        let data = Data::Ram(Vec::with_capacity(length));
        let base = self.index.last_seq + 1;
        self.index.segments.push_back(Segment { id, base, index: SegmentIndex::default(), tag: 0, data });
    }

    /// Gives back the memory of segments in which little is alive.
    pub(crate) fn reclaim(&mut self) {
        while self.index.segments.len() > 1
            && self.index.segments.front().is_some_and(|segment| segment.index.live() == 0)
        {
            self.index.segments.pop_front();
        }
    }
}
