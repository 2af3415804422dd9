//! Reading on from the origins.

use std::sync::Arc;

use store::{Append, Filter, Message};

use super::State;
use crate::config::{Retention, StreamConfig};
use crate::errors::STREAM_NOT_FOUND;
use crate::stamp::Stamp;
use crate::stream::{Stream, headers};

/// Messages read from an origin at once.
const AT_ONCE: usize = 512;
/// Bytes read from an origin at once.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// The name under which progress is saved.
const PROGRESS: &str = "sources";

impl Stream {
    /// Begins to copy what the configuration says, in the place of what it said before.
    pub(crate) fn start_copying(self: &Arc<Self>) {
        let config = self.config();
        let states: Vec<State> = config.origins().map(State::new).collect();
        let any = !states.is_empty();
        *self.copies.lock() = states;
        if any && let Some(hub) = self.account().and_then(|account| account.hub()) {
            crate::run::copy(&hub, self);
        }
    }

    /// Copies some messages from every origin; whether there is more at once.
    pub(crate) fn copy_some(&self, now: Stamp) -> bool {
        if self.is_closed() {
            return false;
        }
        let config = self.config();
        let mut more = false;
        for state in self.copies.lock().iter_mut() {
            more |= self.copy_from(state, &config, now);
        }
        self.may_age(&config, now);
        self.note_usage();
        self.tell_consumers();
        more
    }

    fn copy_from(&self, state: &mut State, config: &StreamConfig, now: Stamp) -> bool {
        let Some(account) = self.account() else { return false };
        let origin = match &state.source.external {
            None => account.stream(&state.source.name),
            Some(_) => None,
        };
        let Some(origin) = origin else {
            state.error = Some(STREAM_NOT_FOUND.err());
            return false;
        };
        state.error = None;
        origin.watch(self);
        let is_mirror = config.mirror.is_some();
        let next = match state.next {
            Some(next) => next,
            None => self.begin(state, &origin, is_mirror),
        };
        let last = origin.readable();
        if next > last {
            state.next = Some(next);
            state.lag = 0;
            state.heard.get_or_insert(now);
            return false;
        }
        let Ok(scan) = origin.log.scan(&state.filter, next, last, AT_ONCE, BYTES_AT_ONCE) else {
            return false;
        };
        let reached = self.copy_messages(state, config, &scan.messages, now);
        let all = reached == scan.messages.len();
        let next =
            if all { scan.next } else { scan.messages.get(reached).map_or(next, |message| message.seq) };
        if is_mirror && all && next > self.log.last_seq() + 1 {
            // What the origin has no more has no place here either.
            drop(self.log.skip_to(next - 1));
        }
        state.next = Some(next);
        state.heard = Some(now);
        state.lag = origin.log.num_pending(&state.filter, next, false);
        if origin.config().retention == Retention::WorkQueue {
            let taken: Vec<u64> = scan.messages.iter().take(reached).map(|message| message.seq).collect();
            origin.consumed(&taken);
        }
        all && next <= last
    }

    /// Where to begin: behind what is there already, or where the configuration says.
    fn begin(&self, state: &State, origin: &Self, is_mirror: bool) -> u64 {
        let last = self.log.last_seq();
        let known = if is_mirror { (last > 0).then_some(last) } else { self.last_copied(state) };
        if let Some(known) = known {
            return known + 1;
        }
        match (state.source.opt_start_seq, state.source.opt_start_time) {
            (0, Some(time)) => origin.log.seq_at(time.0.max(0).unsigned_abs()),
            (0, None) => 1,
            (sequence, _) => sequence,
        }
    }

    /// The newest message of an origin that is here: looked for in what was stored after progress was saved last.
    fn last_copied(&self, state: &State) -> Option<u64> {
        let mut found = None;
        let (mut from, last) = (0, self.log.last_seq());
        if let Some(saved) = self.log.state_of(PROGRESS) {
            let progress: Vec<(String, u64, u64)> =
                serde_json::from_slice(&saved.snapshot).unwrap_or_default();
            let name = state.index.header(0, b"");
            if let Some((_, copied, own)) = progress.into_iter().find(|(known, ..)| *known == name) {
                (found, from) = (Some(copied), own + 1);
            }
        }
        while from <= last {
            let Ok(scan) = self.log.scan(&Filter::all(), from, last, AT_ONCE, BYTES_AT_ONCE) else { break };
            for message in &scan.messages {
                let header = headers::get(message.headers(), b"Nats-Stream-Source");
                found = header.and_then(|header| state.index.sequence(header)).or(found);
            }
            from = scan.next;
        }
        found
    }

    /// Stores copies; how many.
    fn copy_messages(&self, state: &State, config: &StreamConfig, messages: &[Message], now: Stamp) -> usize {
        let is_mirror = config.mirror.is_some();
        let mut ingest = self.ingest.lock();
        for (at, message) in messages.iter().enumerate() {
            let subject = state.transforms.apply(message.subject());
            let stored = if is_mirror {
                self.mirror_one(message, &subject)
            } else {
                self.source_one(state, config, message, &subject, now, &mut ingest)
            };
            if !stored {
                return at;
            }
        }
        messages.len()
    }

    fn mirror_one(&self, message: &Message, subject: &[u8]) -> bool {
        if message.seq <= self.log.last_seq() {
            return true;
        }
        let append = Append {
            subject,
            headers: message.headers(),
            payload: message.payload(),
            time: message.time,
            expires: message.expires,
            seq: Some(message.seq),
        };
        self.copied(&append)
    }

    fn source_one(
        &self,
        state: &State,
        config: &StreamConfig,
        message: &Message,
        subject: &[u8],
        now: Stamp,
        ingest: &mut crate::stream::Ingest,
    ) -> bool {
        let header = state.index.header(message.seq, message.subject());
        let block = headers::set(message.headers(), b"Nats-Stream-Source", Some(header.as_bytes()));
        let id = headers::get(&block, b"Nats-Msg-Id").unwrap_or_default();
        if !id.is_empty() && self.knows_id(id, config, now, ingest) {
            return true;
        }
        let counted = (config.allow_msg_counter)
            .then(|| {
                let origin = (state.index.stream.as_str(), &*String::from_utf8_lossy(message.subject()));
                self.count_source(subject, origin, &block, message.payload()).ok()
            })
            .flatten();
        let (headers, payload) = match &counted {
            Some(checked) => (&*checked.headers, &*checked.payload),
            None => (&*block, message.payload()),
        };
        let append = Append {
            subject,
            headers,
            payload,
            time: now.0.unsigned_abs(),
            expires: message.expires,
            seq: None,
        };
        if !self.copied(&append) {
            return false;
        }
        self.note_copy(&block, id, config, now, ingest);
        self.roll_up_copied(subject, &block, config);
        true
    }

    fn copied(&self, append: &Append<'_>) -> bool {
        let done = self.log.append(&[*append]);
        if let Some(error) = &done.refused {
            tracing::debug!(stream = %self.name, %error, "a copy waits");
            return matches!(
                error,
                store::AppendError::MaxMessages
                    | store::AppendError::MaxBytes
                    | store::AppendError::MaxPerSubject
                    | store::AppendError::TooLarge
            );
        }
        if let Some(expires) = append.expires {
            self.may_expire(expires);
        }
        self.stored_copy(&done);
        true
    }

    /// Saves how far the origins are read, so that little has to be looked through at the next start.
    pub(crate) fn save_progress(&self) {
        let own = self.log.last_seq();
        let progress: Vec<(String, u64, u64)> = self
            .copies
            .lock()
            .iter()
            .filter_map(|state| Some((state.index.header(0, b""), state.next?.checked_sub(1)?, own)))
            .collect();
        if progress.is_empty() || self.config().mirror.is_some() {
            return;
        }
        let text = serde_json::to_vec(&progress).unwrap_or_default();
        if let Err(error) = self.log.put_state(PROGRESS, &text) {
            tracing::debug!(stream = %self.name, %error, "progress of sources not saved");
        }
    }
}
