//! What goes because of its age, and the markers left behind.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use store::{Append, Filter};

use super::Stream;
use super::headers::Marks;
use super::retain::{AT_ONCE, BYTES_AT_ONCE};
use crate::advisory::Abandoned;
use crate::config::{SECOND, StreamConfig};
use crate::stamp::Stamp;

/// Sequences of markers, and of what clients put in a key's place when they purge it: one that goes leaves none behind.
/// Kept where a stream leaves markers.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    known: BTreeSet<u64>,
    /// Those that an earlier process has left are known.
    loaded: bool,
    /// So many there may be before those that went are looked for.
    tidy_at: usize,
}

/// As many are never looked through.
const FEW_MARKERS: usize = 1024;

impl Markers {
    /// Notes one that was stored.
    pub(super) fn note(&mut self, sequence: u64, stored: &store::Stream) {
        self.known.insert(sequence);
        if self.known.len() > self.tidy_at.max(FEW_MARKERS) {
            self.known.retain(|sequence| stored.contains(*sequence));
            self.tidy_at = 2 * self.known.len();
        }
    }
}

/// Rounds of expiry in one go; what is left waits for the next tick.
const ROUNDS: usize = 64;

impl Stream {
    /// When it wants to be looked at, ns since 1970; `i64::MAX` for never.
    pub(crate) fn due_at(&self) -> i64 {
        let batches = {
            let ingest = self.ingest.lock();
            !ingest.batches.is_empty() || !ingest.fast.is_empty()
        };
        let soon = if batches { self.now().0.saturating_add(SECOND) } else { i64::MAX };
        self.expiry.load(Ordering::Acquire).min(soon).min(self.schedules.lock().next())
    }

    /// Removes what has become too old, sends what was scheduled, gives up batches that are silent.
    pub(crate) fn tick(&self, now: Stamp, out: &mut broker::Outlet) {
        if self.is_closed() {
            self.expiry.store(i64::MAX, Ordering::Release);
            return;
        }
        if self.expiry.load(Ordering::Acquire) <= now.0 {
            self.expire(now);
        }
        self.send_scheduled(now, out);
        let timeout = self.settings(|settings| settings.batch_timeout).unwrap_or(i64::MAX);
        let (silent, fast) = {
            let mut ingest = self.ingest.lock();
            (ingest.batches.forget_silent(timeout, now), ingest.fast.forget_silent(timeout, now))
        };
        self.batch_closed(silent.len());
        self.fast_batches_closed(fast);
        for id in silent {
            self.batch_abandoned(&String::from_utf8_lossy(&id), Abandoned::Timeout);
        }
    }

    /// Something was stored that may expire.
    pub(crate) fn may_expire(&self, at: u64) {
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        let before = self.expiry.fetch_min(at, Ordering::AcqRel);
        // Whoever keeps time knows of the earliest only.
        if at < before && before == i64::MAX {
            self.wake_timers();
        }
    }

    /// Something was stored at `now` where messages have an age.
    pub(crate) fn may_age(&self, config: &StreamConfig, now: Stamp) {
        if config.max_age > 0 {
            self.may_expire(now.0.saturating_add(config.max_age).unsigned_abs());
        }
    }

    fn expire(&self, now: Stamp) {
        let config = self.config();
        if config.mirror.is_some() && config.max_age == 0 {
            self.expiry.store(i64::MAX, Ordering::Release);
            return;
        }
        let marks = config.subject_delete_marker_ttl > 0;
        if marks {
            self.find_markers();
        }
        // What is stored from here on may expire earlier than what is found.
        self.expiry.store(i64::MAX, Ordering::Release);
        for _ in 0..ROUNDS {
            let expired = match self.log.expire(now.0.unsigned_abs()) {
                Ok(expired) => expired,
                Err(error) => {
                    tracing::debug!(stream = %self.name, %error, "nothing expires for now");
                    return self.may_expire(now.0.saturating_add(SECOND).unsigned_abs());
                }
            };
            if !expired.removed.is_empty() {
                self.note_usage();
                self.messages_went();
            }
            if marks {
                let last: Vec<(u64, Vec<u8>)> = expired
                    .removed
                    .iter()
                    .filter(|removal| removal.was_last)
                    .map(|removal| (removal.seq, removal.subject.to_vec()))
                    .collect();
                last.iter().for_each(|(seq, subject)| self.mark(*seq, subject, now));
            }
            match expired.next {
                None => return,
                Some(next) if next > now.0.unsigned_abs() => return self.may_expire(next),
                Some(_) if expired.removed.is_empty() => {
                    return self.may_expire(now.0.saturating_add(SECOND / 10).unsigned_abs());
                }
                Some(_) => {}
            }
        }
        self.may_expire(now.0.unsigned_abs());
    }

    /// Says that the last message of a subject went.
    fn mark(&self, gone: u64, subject: &[u8], now: Stamp) {
        let ttl = self.config().subject_delete_marker_ttl;
        let mut ingest = self.ingest.lock();
        if ingest.markers.known.remove(&gone) {
            return;
        }
        let headers = format!(
            "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: {}\r\nNats-Rollup: sub\r\n\r\n",
            crate::duration::go(ttl / SECOND * SECOND)
        );
        let expires = now.0.saturating_add(ttl).unsigned_abs();
        let append = Append {
            subject,
            headers: headers.as_bytes(),
            time: now.0.unsigned_abs(),
            expires: Some(expires),
            ..Append::default()
        };
        let done = self.log.append(&[append]);
        match &done.refused {
            Some(error) => tracing::warn!(stream = %self.name, %error, "no delete marker"),
            None => {
                ingest.markers.note(done.last, &self.log);
                self.may_expire(expires);
                self.has_news(done.durable);
            }
        }
        drop(ingest);
        self.note_usage();
        self.tell_consumers();
    }

    /// Looks for markers that an earlier process has left, the first time they matter.
    fn find_markers(&self) {
        if std::mem::replace(&mut self.ingest.lock().markers.loaded, true) {
            return;
        }
        let mut found = BTreeSet::new();
        let (mut from, last) = (0, self.log.last_seq());
        while from <= last {
            let Ok(scan) = self.log.scan(&Filter::all(), from, last, AT_ONCE, BYTES_AT_ONCE) else { break };
            let markers = scan.messages.iter().filter(|message| Marks::read(message.headers()).is_marker());
            found.extend(markers.map(|message| message.seq));
            from = scan.next;
        }
        self.ingest.lock().markers.known.append(&mut found);
    }
}
