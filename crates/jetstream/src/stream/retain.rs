//! What goes because nobody needs it: acknowledged messages of work queues and of streams that keep by interest. And the
//! message ids of messages that are stored.

use store::{Filter, Purge, Purged, Stopped};

use super::Stream;
use super::headers;
use super::hooks::Cleared;
use super::ingest::Ingest;
use crate::config::{Retention, StreamConfig};
use crate::stamp::Stamp;

/// Messages read at once while looking through a stream.
pub(super) const AT_ONCE: usize = 1024;
/// Bytes read at once.
pub(super) const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;

impl Stream {
    /// A consumer is done with these messages. Where retention goes by that, those that no other one needs go.
    pub fn consumed(&self, sequences: &[u64]) {
        let gone: Vec<u64> = match self.config().retention {
            Retention::Limits => return,
            Retention::WorkQueue => sequences.to_vec(),
            Retention::Interest => sequences.iter().copied().filter(|seq| !self.is_needed(*seq)).collect(),
        };
        self.remove(&gone);
    }

    /// A consumer is gone, or wants other messages: what nobody needs any more goes.
    pub fn interest_changed(&self) {
        if self.config().retention != Retention::Interest {
            return;
        }
        let (mut from, last) = (0, self.log.last_seq());
        while from <= last {
            let Ok(scan) = self.log.scan(&Filter::all(), from, last, AT_ONCE, BYTES_AT_ONCE) else { return };
            let needs = |seq, subject: &[u8]| self.consumers().is_some_and(|all| all.needs(seq, subject));
            let gone: Vec<u64> = scan
                .messages
                .iter()
                .filter(|message| !needs(message.seq, message.subject()))
                .map(|message| message.seq)
                .collect();
            self.remove(&gone);
            from = scan.next;
        }
    }

    /// Removes messages of a pattern, or of all, and tells the consumers.
    ///
    /// # Errors
    /// The stream takes no writes.
    pub(crate) fn purge(
        &self,
        pattern: Option<&[u8]>,
        below: Option<u64>,
        keep: u64,
    ) -> Result<Purged, Stopped> {
        let filter = pattern.map_or_else(Filter::all, |pattern| Filter::new([pattern]));
        let purged = self.log.purge(&Purge { filter, below, keep })?;
        self.cleared(pattern);
        Ok(purged)
    }

    /// Tells the consumers of a purge.
    pub(crate) fn cleared(&self, pattern: Option<&[u8]>) {
        let Some(consumers) = self.consumers().filter(|consumers| consumers.count() > 0) else { return };
        let end = self.log.last_seq() + 1;
        let first = self.log.next_seq(0).unwrap_or(end);
        let next = match pattern {
            None => first,
            Some(pattern) => self.log.first_seq_among(&Filter::new([pattern])).unwrap_or(end),
        };
        consumers.purged(&Cleared { pattern, next, first });
        self.messages_went();
    }

    /// Waits until a change is as durable as the stream promises. For the API's thread.
    ///
    /// # Errors
    /// Writing failed: the change was taken back.
    pub(crate) fn wait_for(&self, position: u64) -> Result<(), Stopped> {
        self.log.wait_for(position).map(drop)
    }

    fn is_needed(&self, sequence: u64) -> bool {
        let Some(consumers) = self.consumers() else { return false };
        match self.log.get(sequence) {
            Ok(Some(message)) => consumers.needs(sequence, message.subject()),
            _ => false,
        }
    }

    fn remove(&self, sequences: &[u64]) {
        if sequences.is_empty() {
            return;
        }
        match self.log.delete_many(sequences) {
            Ok(removed) if !removed.is_empty() => {
                self.note_usage();
                self.messages_went();
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(stream = %self.name, %error, "acknowledged messages stay for now"),
        }
    }

    /// Makes sure that the ids of messages stored before this process started are known.
    pub(super) fn load_ids(&self, ingest: &mut Ingest, config: &StreamConfig, now: Stamp) {
        if std::mem::replace(&mut ingest.dedupe_loaded, true) {
            return;
        }
        let since = now.0.saturating_sub(config.duplicate_window).max(0).unsigned_abs();
        let last = self.log.last_seq();
        let mut from = self.log.seq_at(since);
        let most = self.max_message_ids();
        while from <= last {
            let Ok(scan) = self.log.scan(&Filter::all(), from, last, AT_ONCE, BYTES_AT_ONCE) else { return };
            for message in &scan.messages {
                let id = headers::get(message.headers(), b"Nats-Msg-Id").unwrap_or_default();
                if !id.is_empty() {
                    ingest.dedupe.insert(id, message.seq, Stamp(message.time.cast_signed()), most);
                }
                ingest.dedupe.set_last(id);
            }
            from = scan.next;
        }
    }
}
