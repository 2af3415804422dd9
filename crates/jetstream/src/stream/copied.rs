//! What a stream does for copying: as the one that is copied from, and as the copy.

use std::sync::Arc;

use store::Appended;
use tokio::sync::Notify;

use super::Stream;
use super::check::Rollup;
use super::headers::{self, Marks};
use super::ingest::Ingest;
use crate::config::StreamConfig;
use crate::stamp::Stamp;

impl Stream {
    /// Wakes the copy when there is something new here.
    pub(crate) fn watch(&self, copy: &Self) {
        let mut copied_by = self.copied_by.lock();
        if !copied_by.iter().any(|known| Arc::ptr_eq(known, &copy.wake)) {
            copied_by.push(copy.wake.clone());
        }
    }

    /// Wakes the copies of this stream. Those that ended are forgotten.
    pub(super) fn wake_copies(&self) {
        let mut copied_by = self.copied_by.lock();
        copied_by.retain(|wake| Arc::strong_count(wake) > 1);
        copied_by.iter().for_each(|wake| wake.notify_one());
    }

    /// What wakes the task that copies; `None` when there is one already.
    pub(crate) fn begin_copying(&self) -> Option<Arc<Notify>> {
        self.wake.notify_one();
        let was = self.copying.swap(true, std::sync::atomic::Ordering::AcqRel);
        (!was).then(|| self.wake.clone())
    }

    /// Whether a message of this id is here already.
    pub(crate) fn knows_id(&self, id: &[u8], config: &StreamConfig, now: Stamp, ingest: &mut Ingest) -> bool {
        if config.duplicate_window <= 0 {
            return false;
        }
        self.load_ids(ingest, config, now);
        ingest.dedupe.find(id, config.duplicate_window, now).is_some()
    }

    /// Notes the message that was just stored.
    pub(crate) fn note_copy(
        &self,
        block: &[u8],
        id: &[u8],
        config: &StreamConfig,
        now: Stamp,
        ingest: &mut Ingest,
    ) {
        ingest.dedupe.set_last(id);
        if config.subject_delete_marker_ttl > 0 && Marks::read(block).is_marker() {
            ingest.markers.note(self.log.last_seq(), &self.log);
        }
        if config.duplicate_window > 0 && !id.is_empty() {
            ingest.dedupe.insert(id, self.log.last_seq(), now, self.max_message_ids());
        }
    }

    /// A copy was stored.
    pub(crate) fn stored_copy(&self, done: &Appended) {
        if !done.removed.is_empty() {
            self.messages_went();
        }
        self.has_news(done.durable);
    }

    /// A copied message replaces here what it replaced there.
    pub(crate) fn roll_up_copied(&self, subject: &[u8], block: &[u8], config: &StreamConfig) {
        if !config.allow_rollup_hdrs || config.deny_purge {
            return;
        }
        let rollup = match headers::get(block, b"Nats-Rollup") {
            Some(value) if value.eq_ignore_ascii_case(b"sub") => Rollup::Subject,
            Some(value) if value.eq_ignore_ascii_case(b"all") => Rollup::All,
            _ => return,
        };
        self.roll_up(subject, rollup, 1);
    }
}
