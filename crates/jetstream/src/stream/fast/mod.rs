//! Fast batches: messages that are stored as they come and acknowledged once in a while, so that a publisher fills a
//! stream without an answer to each of them. What is acknowledged is as safe as the stream promises.

mod reply;

use std::collections::BTreeMap;

use broker::{Letter, Message};

pub(super) use reply::is_fast;
use reply::{Operation, Place};

use super::Stream;
use super::acks::Extra;
use super::headers::{self, Marks};
use super::ingest::{Run, Unstored};
use crate::config::API_LEVEL;
use crate::errors::{self as e, ApiError};
use crate::stamp::Stamp;

/// Longest name of a batch, in bytes.
const MAX_ID: usize = 64;
/// Messages to an acknowledgement, at most, of all of a stream's batches together.
const MAX_FLOW: u16 = 500;

/// The open fast batches of a stream.
#[derive(Debug, Default)]
pub(crate) struct FastBatches {
    open: BTreeMap<Vec<u8>, Open>,
}

#[derive(Debug)]
struct Open {
    /// The last message of the batch that was seen.
    seen: u64,
    /// The last one that was acknowledged.
    told: u64,
    /// Where the last one stored is: in the stream, and in its log.
    stored: u64,
    position: u64,
    /// Messages to an acknowledgement: now, and the most the publisher allows.
    flow: u16,
    max_flow: u16,
    gaps: bool,
    touched: Stamp,
}

impl Open {
    /// Whether an acknowledgement is due; it is counted as given then, and the flow adapted to `open` batches.
    fn advance(&mut self, open: usize) -> bool {
        let flow = u64::from(self.flow.max(1));
        let steps = self.seen.saturating_sub(self.told) / flow;
        if steps == 0 {
            return false;
        }
        self.told += steps * flow;
        let share = MAX_FLOW / u16::try_from(open).unwrap_or(u16::MAX).max(1);
        let most = share.max(1).min(self.max_flow);
        self.flow =
            if self.flow < most { self.flow.saturating_mul(2).min(most) } else { (self.flow / 2).max(most) };
        true
    }
}

impl FastBatches {
    /// Gives up batches that have been silent for too long; how many.
    pub(crate) fn forget_silent(&mut self, timeout: i64, now: Stamp) -> usize {
        self.forget(|open| now.0.saturating_sub(open.touched.0) >= timeout)
    }

    /// Gives up batches whose last messages were taken back; how many. Whoever goes on with one is told it is unknown.
    pub(super) fn take_back(&mut self, after: u64) -> usize {
        self.forget(|open| open.position > after)
    }

    fn forget(&mut self, which: impl Fn(&Open) -> bool) -> usize {
        let before = self.open.len();
        self.open.retain(|_, open| !which(open));
        before - self.open.len()
    }

    /// Whether none is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Gives up all; how many.
    pub(super) fn clear(&mut self) -> usize {
        std::mem::take(&mut self.open).len()
    }
}

/// How the publisher is told something.
fn flow_ack(sequence: u64, flow: u16) -> Extra {
    Extra::Other(format!("{{\"type\":\"ack\",\"seq\":{sequence},\"msgs\":{flow}}}").into_bytes().into())
}

fn gap(expected: u64, current: u64) -> Extra {
    let text = format!("{{\"type\":\"gap\",\"last_seq\":{expected},\"seq\":{current}}}");
    Extra::Other(text.into_bytes().into())
}

fn failed(sequence: u64, error: &ApiError) -> Extra {
    let error = serde_json::to_string(error).unwrap_or_default();
    Extra::Other(format!("{{\"type\":\"err\",\"seq\":{sequence},\"error\":{error}}}").into_bytes().into())
}

impl Run<'_> {
    /// Takes one message of a fast batch.
    pub(super) fn fast(&mut self, message: &Message<'_>, marks: &Marks<'_>, unwanted: bool) {
        if let Err(error) = self.take_fast(message, marks, unwanted) {
            self.refuse(message.reply, &error);
        }
    }

    fn take_fast(
        &mut self,
        message: &Message<'_>,
        marks: &Marks<'_>,
        unwanted: bool,
    ) -> Result<(), ApiError> {
        self.fits(message.headers.len(), message.payload.len())?;
        if !self.config.allow_batched {
            return Err(e::BATCH_PUBLISH_DISABLED.err());
        }
        let place = Place::read(message.reply).ok_or_else(|| e::BATCH_PUBLISH_INVALID_PATTERN.err())?;
        if place.id.is_empty() || place.id.len() > MAX_ID {
            return Err(e::BATCH_PUBLISH_INVALID_BATCH_ID.err());
        }
        self.open_fast(&place)?;
        let Some(level) = marks.required_level else {
            self.place_fast(message, marks, &place, unwanted);
            return Ok(());
        };
        if headers::number(level).is_none_or(|level| level > u64::from(API_LEVEL)) {
            self.close_fast(&place);
            return Err(e::REQUIRED_API_LEVEL.err());
        }
        let block = headers::set(message.headers, b"Nats-Required-Api-Level", None);
        let message = Message { headers: &block, ..*message };
        self.place_fast(&message, &Marks::read(&block), &place, unwanted);
        Ok(())
    }

    fn open_fast(&mut self, place: &Place<'_>) -> Result<(), ApiError> {
        let now = self.now;
        let batches = &mut self.ingest.fast.open;
        if let Some(open) = batches.get_mut(place.id) {
            open.touched = now;
            return Ok(());
        }
        if place.sequence != 1 {
            return Err(e::BATCH_PUBLISH_UNKNOWN_BATCH_ID.err());
        }
        if !self.stream.may_open_fast_batch(batches.len()) {
            return Err(e::BATCH_PUBLISH_TOO_MANY_INFLIGHT.err());
        }
        // Beside others it begins slowly.
        let flow = if batches.is_empty() { MAX_FLOW.min(place.flow) } else { 1 };
        let open = Open {
            seen: 0,
            told: 0,
            stored: 0,
            position: 0,
            flow,
            max_flow: place.flow,
            gaps: place.gaps,
            touched: now,
        };
        batches.insert(place.id.to_vec(), open);
        Ok(())
    }

    fn close_fast(&mut self, place: &Place<'_>) -> Option<Open> {
        let open = self.ingest.fast.open.remove(place.id)?;
        self.stream.fast_batches_closed(1);
        Some(open)
    }

    /// Ends a batch with what is stored of it.
    fn commit_fast(&mut self, reply: &[u8], place: &Place<'_>) {
        let Some(open) = self.close_fast(place) else { return };
        let id = String::from_utf8_lossy(place.id).into_owned();
        self.tell(open.position, reply, open.stored, Extra::Batch(id, open.seen));
    }

    /// Tells a publisher something when what came before it is safe, and in the order it was said.
    fn tell(&mut self, position: u64, reply: &[u8], sequence: u64, extra: Extra) {
        let position = position.max(self.ingest.waiting.last_position());
        self.answer_later(position, reply, sequence, extra);
    }

    fn place_fast(&mut self, message: &Message<'_>, marks: &Marks<'_>, place: &Place<'_>, unwanted: bool) {
        let count = self.ingest.fast.open.len();
        let Some(open) = self.ingest.fast.open.get_mut(place.id) else { return };
        let (seen, gaps) = (open.seen, open.gaps);
        if place.operation == Operation::Ping {
            if place.sequence > seen {
                self.tell(0, message.reply, 0, gap(seen + 1, place.sequence + 1));
                if !gaps {
                    return self.commit_fast(message.reply, place);
                }
            }
            return self.answer_ping(message.reply, place, count);
        }
        let expected = seen + 1;
        if place.sequence != expected {
            let forward = place.sequence > expected;
            if forward {
                self.tell(0, message.reply, 0, gap(expected, place.sequence));
            }
            if !(forward && gaps) {
                return self.commit_fast(message.reply, place);
            }
        }
        let Some(open) = self.ingest.fast.open.get_mut(place.id) else { return };
        if place.operation == Operation::End {
            open.seen = place.sequence - 1;
            return self.commit_fast(message.reply, place);
        }
        open.seen = place.sequence;
        let commits = place.operation == Operation::Commit;
        if place.sequence == 1 && !commits && !self.config.no_ack {
            let Extra::Other(text) = flow_ack(0, open.flow) else { return };
            self.out.send(&Letter { subject: message.reply, payload: &text, ..Letter::default() });
        }
        self.store_fast(message, marks, place, unwanted);
    }

    fn answer_ping(&mut self, reply: &[u8], place: &Place<'_>, count: usize) {
        let Some(open) = self.ingest.fast.open.get_mut(place.id) else { return };
        if place.sequence > open.seen {
            open.seen = place.sequence;
            open.advance(count);
        }
        let (position, extra) = (open.position, flow_ack(open.told, open.flow));
        self.tell(position, reply, 0, extra);
    }

    fn store_fast(&mut self, message: &Message<'_>, marks: &Marks<'_>, place: &Place<'_>, unwanted: bool) {
        let commits = place.operation == Operation::Commit;
        let held = message.headers.len() + message.payload.len();
        let stored = self.store(message, marks, unwanted);
        let count = self.ingest.fast.open.len();
        let Some(open) = self.ingest.fast.open.get_mut(place.id) else { return };
        match stored {
            Ok(stored) => {
                (open.stored, open.position) = (stored.sequence, stored.position);
                self.hold_fast(held, stored.position, stored.durable);
                self.after_fast(message.reply, place, count);
            }
            Err(Unstored::Duplicate(sequence)) => {
                if commits && !open.gaps && open.seen == 1 {
                    let text = self.stream.acks.duplicate_batch(sequence, place.id, place.sequence);
                    self.close_fast(place);
                    return self.tell(0, message.reply, sequence, Extra::Other(text.into()));
                }
                self.after_fast(message.reply, place, count);
            }
            Err(Unstored::Refused(error)) => {
                if !open.gaps && open.seen == 1 {
                    // The very first: as if it were no batch.
                    self.close_fast(place);
                    return self.refuse(message.reply, &error);
                }
                let goes_on = open.gaps && !commits;
                if !goes_on {
                    open.seen -= 1;
                }
                self.tell(0, message.reply, 0, failed(place.sequence, &error));
                if !goes_on {
                    self.commit_fast(message.reply, place);
                }
            }
        }
    }

    /// A message is stored, or was before: the batch ends with it, or an acknowledgement may be due.
    fn after_fast(&mut self, reply: &[u8], place: &Place<'_>, count: usize) {
        if place.operation == Operation::Commit {
            return self.commit_fast(reply, place);
        }
        let Some(open) = self.ingest.fast.open.get_mut(place.id) else { return };
        if open.advance(count) {
            let (position, extra) = (open.position, flow_ack(open.told, open.flow));
            self.tell(position, reply, 0, extra);
        }
    }

    /// Counts what is not written yet against its publisher.
    fn hold_fast(&mut self, bytes: usize, position: u64, durable: bool) {
        if !durable {
            let held = bytes + super::ingest::HELD;
            self.ingest.unheld += held;
            self.ingest.waiting.push(position, 0, b"", held, Extra::None);
        }
    }
}

impl super::acks::AckWriter {
    /// The acknowledgement of a batch of one message that was stored before.
    fn duplicate_batch(&self, sequence: u64, id: &[u8], count: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        self.write(&mut out, sequence, &Extra::Batch(String::from_utf8_lossy(id).into_owned(), count));
        out.pop();
        out.extend_from_slice(b",\"duplicate\":true}");
        out
    }
}

impl Stream {
    /// Whether one more fast batch may be opened beside `open` others of this stream; it is counted then.
    fn may_open_fast_batch(&self, open: usize) -> bool {
        let Some(hub) = self.account().and_then(|account| account.hub()) else { return false };
        let (of_stream, of_all) = hub.settings.max_fast_batches;
        !self.is_closed() && open < of_stream && super::batch::count_one(&hub.totals.fast_batches, of_all)
    }

    pub(super) fn fast_batches_closed(&self, count: usize) {
        if count > 0
            && let Some(hub) = self.account().and_then(|account| account.hub())
        {
            hub.totals.fast_batches.fetch_sub(count, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(flow: u16, max_flow: u16) -> Open {
        Open { seen: 0, told: 0, stored: 0, position: 0, flow, max_flow, gaps: false, touched: Stamp(0) }
    }

    #[test]
    fn acknowledgements_come_every_so_many_messages() {
        let mut batch = open(2, 2);
        let due: Vec<u64> = (1..=7)
            .filter(|seen| {
                batch.seen = *seen;
                batch.advance(1)
            })
            .collect();
        assert_eq!(due, [2, 4, 6]);
        batch.seen = u64::MAX - 1;
        assert!(batch.advance(1));
        assert_eq!(batch.told, u64::MAX - 1);
    }

    #[test]
    fn the_flow_follows_the_number_of_batches() {
        let mut batch = open(1, 1000);
        let mut flow_after = |count: usize| {
            batch.seen = batch.told + u64::from(batch.flow);
            assert!(batch.advance(count));
            batch.flow
        };
        assert_eq!([1, 1, 1].map(&mut flow_after), [2, 4, 8]);
        assert_eq!([100, 100, 1000].map(&mut flow_after), [5, 5, 2]);
        assert_eq!(flow_after(70_000), 1);
    }
}
