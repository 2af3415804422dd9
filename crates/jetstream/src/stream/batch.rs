//! Atomic batches: messages that are stored together or not at all.
//!
//! The messages of a batch are kept until it is committed, then checked one after the other, each with regard to those
//! before it, and appended in one go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use broker::{Letter, Message};
use store::Append;

use super::acks::Extra;
use super::check::Checked;
use super::counter::Standing;
use super::headers::{self, Marks};
use super::ingest::{Run, refusal};
use crate::advisory::Abandoned;
use crate::config::API_LEVEL;
use crate::errors::{self as e, ApiError};
use crate::stamp::Stamp;

/// Longest name of a batch, in bytes.
const MAX_ID: usize = 64;
/// Bytes all open batches of a stream may hold.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// The open batches of a stream.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    open: BTreeMap<Vec<u8>, Open>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    messages: Vec<Kept>,
    touched: Stamp,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    subject: Vec<u8>,
    headers: Vec<u8>,
    payload: Vec<u8>,
}

/// What the messages of a batch before the one at hand will have done.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    subjects: BTreeSet<Vec<u8>>,
    ids: BTreeSet<Vec<u8>>,
    counters: BTreeMap<Vec<u8>, Standing>,
    count: usize,
}

impl Staged {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// An expectation about a subject that the batch itself writes to can't be checked.
    pub(crate) fn may_expect(&self, subject: &[u8], _: u64) -> Result<(), ApiError> {
        if self.subjects.contains(subject) {
            return Err(e::STREAM_WRONG_LAST_SEQUENCE_CONSTANT.err());
        }
        Ok(())
    }

    pub(crate) fn counter(&self, subject: &[u8]) -> Option<Standing> {
        self.counters.get(subject).cloned()
    }
}

impl Batches {
    fn close(&mut self, id: &[u8]) -> Option<Open> {
        let open = self.open.remove(id)?;
        self.bytes = self.bytes.saturating_sub(open.bytes);
        Some(open)
    }

    /// Gives up batches that have been silent for too long; their names.
    pub(crate) fn forget_silent(&mut self, timeout: i64, now: Stamp) -> Vec<Vec<u8>> {
        let silent = |open: &Open| now.0.saturating_sub(open.touched.0) >= timeout;
        let gone: Vec<Vec<u8>> =
            self.open.iter().filter(|(_, open)| silent(open)).map(|(id, _)| id.clone()).collect();
        gone.iter().for_each(|id| drop(self.close(id)));
        gone
    }

    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Gives up all; how many.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(self).open.len()
    }

    /// How many are open.
    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }
}

/// Counts one more where there may be `most`; `false` when there are.
pub(super) fn count_one(count: &AtomicUsize, most: usize) -> bool {
    let more = |count| (count < most).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// How a batch's message ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// Not yet.
    No,
    /// With this message.
    With,
    /// Without it.
    Without,
}

impl Run<'_> {
    /// Takes one message of a batch.
    pub(super) fn batch(&mut self, message: &Message<'_>, marks: &Marks<'_>, id: &[u8]) {
        match self.add_to_batch(message, marks, id) {
            Ok(Commit::No) => {
                if !message.reply.is_empty() && !self.config.no_ack {
                    // Kept, not stored: the acknowledgement is empty.
                    self.out.send(&Letter { subject: message.reply, ..Letter::default() });
                }
            }
            Ok(_) => {
                if let Err(error) = self.commit_batch(message.reply, id) {
                    self.refuse(message.reply, &error);
                }
            }
            Err(error) => self.refuse(message.reply, &error),
        }
    }

    fn add_to_batch(
        &mut self,
        message: &Message<'_>,
        marks: &Marks<'_>,
        id: &[u8],
    ) -> Result<Commit, ApiError> {
        self.fits(message.headers.len(), message.payload.len())?;
        if !self.config.allow_atomic {
            return Err(e::ATOMIC_PUBLISH_DISABLED.err());
        }
        if id.is_empty() || id.len() > MAX_ID {
            return Err(e::ATOMIC_PUBLISH_INVALID_BATCH_ID.err());
        }
        let sequence =
            marks.batch_seq.and_then(headers::number).ok_or_else(|| e::ATOMIC_PUBLISH_MISSING_SEQ.err())?;
        let commit = match marks.batch_commit {
            None => Ok(Commit::No),
            Some(b"1") => Ok(Commit::With),
            Some(b"eob") => Ok(Commit::Without),
            Some(_) => Err(()),
        };
        let ends_without = u64::from(commit == Ok(Commit::Without));
        let most = self.stream.max_batch_size();
        let too_large = sequence.saturating_sub(ends_without) > most as u64;
        if !self.ingest.batches.open.contains_key(id) {
            if sequence != 1 {
                let large = e::ATOMIC_PUBLISH_TOO_LARGE_BATCH.with(most);
                return Err(if too_large { large } else { e::ATOMIC_PUBLISH_INCOMPLETE_BATCH.err() });
            }
            self.open_batch(id)?;
        }
        let Ok(commit) = commit else {
            self.close_batch(id, None);
            return Err(e::ATOMIC_PUBLISH_INVALID_BATCH_COMMIT.err());
        };
        let level = marks.required_level.map(|text| headers::number(text).unwrap_or(u64::MAX));
        if level.is_some_and(|level| level > u64::from(API_LEVEL)) {
            self.close_batch(id, Some(Abandoned::RequirementsNotMet));
            return Err(e::REQUIRED_API_LEVEL.err());
        }
        let known = self.ingest.batches.open.get(id).map_or(0, |open| open.messages.len() as u64);
        if known + 1 != sequence || (sequence == 1 && commit == Commit::Without) {
            self.close_batch(id, Some(Abandoned::Incomplete));
            return Err(e::ATOMIC_PUBLISH_INCOMPLETE_BATCH.err());
        }
        if too_large {
            self.close_batch(id, Some(Abandoned::Large));
            return Err(e::ATOMIC_PUBLISH_TOO_LARGE_BATCH.with(most));
        }
        self.keep(message, marks, id, commit)?;
        Ok(commit)
    }

    fn open_batch(&mut self, id: &[u8]) -> Result<(), ApiError> {
        let batches = &mut self.ingest.batches;
        if !self.stream.may_open_batch(batches.len()) {
            return Err(e::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT.err());
        }
        batches.open.insert(id.to_vec(), Open { messages: Vec::new(), touched: self.now, bytes: 0 });
        Ok(())
    }

    fn close_batch(&mut self, id: &[u8], why: Option<Abandoned>) {
        if self.ingest.batches.close(id).is_some() {
            self.stream.batch_closed(1);
            if let Some(why) = why {
                self.stream.batch_abandoned(&String::from_utf8_lossy(id), why);
            }
        }
    }

    fn keep(
        &mut self,
        message: &Message<'_>,
        marks: &Marks<'_>,
        id: &[u8],
        commit: Commit,
    ) -> Result<(), ApiError> {
        let bytes = self.subject.len() + message.headers.len() + message.payload.len();
        if self.ingest.batches.bytes + bytes > MAX_BYTES {
            self.close_batch(id, Some(Abandoned::Large));
            return Err(e::ATOMIC_PUBLISH_TOO_MANY_INFLIGHT.err());
        }
        let Some(open) = self.ingest.batches.open.get_mut(id) else { return Ok(()) };
        open.touched = self.now;
        if commit == Commit::Without {
            // The last one kept ends the batch.
            if let Some(last) = open.messages.last_mut() {
                last.headers = headers::set(&last.headers, b"Nats-Batch-Commit", Some(b"1"));
            }
            return Ok(());
        }
        open.bytes += bytes;
        let headers = match marks.required_level {
            Some(_) => headers::set(message.headers, b"Nats-Required-Api-Level", None),
            None => message.headers.to_vec(),
        };
        open.messages.push(Kept {
            subject: self.subject.to_vec(),
            headers,
            payload: message.payload.to_vec(),
        });
        self.ingest.batches.bytes += bytes;
        Ok(())
    }

    fn commit_batch(&mut self, reply: &[u8], id: &[u8]) -> Result<(), ApiError> {
        let Some(open) = self.ingest.batches.close(id) else {
            return Err(e::ATOMIC_PUBLISH_INCOMPLETE_BATCH.err());
        };
        self.stream.batch_closed(1);
        let mut staged = Staged::default();
        let mut checked = Vec::with_capacity(open.messages.len());
        for kept in &open.messages {
            checked.push(self.check_kept(kept, &mut staged)?);
        }
        let appends: Vec<Append<'_>> = open
            .messages
            .iter()
            .zip(&checked)
            .map(|(kept, checked)| Append {
                subject: &kept.subject,
                headers: &checked.headers,
                payload: &checked.payload,
                time: self.now.0.unsigned_abs(),
                expires: checked.expires,
                seq: None,
            })
            .collect();
        let done = self.stream.log.append_atomic(&appends).map_err(|(_, error)| refusal(&error))?;
        self.stored(&done, b"");
        let mut position = done.position;
        for (at, (kept, checked)) in open.messages.iter().zip(&checked).enumerate() {
            let sequence = done.first + at as u64;
            let marks = Marks::read(&kept.headers);
            let id = marks.msg_id.unwrap_or_default();
            self.ingest.dedupe.set_last(id);
            if self.config.subject_delete_marker_ttl > 0 && marks.is_marker() {
                self.ingest.markers.note(sequence, &self.stream.log);
            }
            if !id.is_empty() {
                self.remember(id, sequence);
            }
            position = self.stream.roll_up(&kept.subject, checked.rollup, 1).unwrap_or(position);
            self.stream.schedule(&kept.subject, checked, sequence);
        }
        let extra = Extra::Batch(String::from_utf8_lossy(id).into_owned(), appends.len() as u64);
        if done.durable {
            self.ack(reply, done.last, &extra);
        } else {
            self.ack_later(position, reply, done.last, extra);
        }
        Ok(())
    }

    fn check_kept<'m>(&mut self, kept: &'m Kept, staged: &mut Staged) -> Result<Checked<'m>, ApiError> {
        let marks = Marks::read(&kept.headers);
        if marks.expected_last_msg_id.is_some_and(|id| !id.is_empty()) {
            return Err(e::ATOMIC_PUBLISH_UNSUPPORTED_HEADER_BATCH.with("Nats-Expected-Last-Msg-Id"));
        }
        if let Some(id) = marks.msg_id.filter(|id| !id.is_empty()) {
            self.stream.load_ids(self.ingest, self.config, self.now);
            let known = self.ingest.dedupe.find(id, self.config.duplicate_window, self.now).is_some();
            if known || !staged.ids.insert(id.to_vec()) {
                return Err(e::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE.err());
            }
        }
        let checked = self.check(&kept.subject, &kept.headers, &kept.payload, &marks, Some(staged))?;
        if let Some(error) = checked.not_stored {
            return Err(error);
        }
        if self.config.allow_msg_counter {
            let standing = Standing::read(&checked.headers, &checked.payload)?;
            staged.counters.insert(kept.subject.clone(), standing);
        }
        staged.subjects.insert(kept.subject.clone());
        staged.count += 1;
        Ok(checked)
    }
}
