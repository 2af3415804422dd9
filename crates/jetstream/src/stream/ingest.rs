//! What comes in: whole runs from the broker, in their publisher's task.
//!
//! Messages that ask for nothing are gathered and appended at once; one that has to be compared with what is stored
//! waits until those before it are appended. Everything happens under one lock a stream, held for a run.

use broker::{Call, Handler, Letter, Message, Reception};
use smallvec::SmallVec;
use store::{Append, AppendError, Appended, Fate};

use super::Stream;
use super::acks::{Extra, Waiting};
use super::batch::Batches;
use super::check::Rollup;
use super::dedupe::Dedupe;
use super::fast::{self, FastBatches};
use super::headers::Marks;
use crate::config::{Retention, StreamConfig};
use crate::errors::{self as e, ApiError};
use crate::stamp::Stamp;

/// Headers longer than this are refused, as by nats-server.
const MAX_HEADERS: usize = u16::MAX as usize;
/// Bytes a message holds of its publishers' credit beside its text.
pub(super) const HELD: usize = 64;

/// What the lock of a stream's entrance protects.
#[derive(Debug, Default)]
pub(crate) struct Ingest {
    pub(crate) dedupe: Dedupe,
    /// The message ids that were stored before this process are known.
    pub(crate) dedupe_loaded: bool,
    pub(crate) waiting: Waiting,
    pub(crate) batches: Batches,
    pub(crate) fast: FastBatches,
    /// What is to be published once more, when it is safe.
    pub(crate) republish: super::republish::Queue,
    pub(crate) markers: super::expiry::Markers,
    /// Bytes of waiting messages that are not counted against their publishers yet.
    pub(super) unheld: usize,
    /// An acknowledgement, while it is written.
    ack: Vec<u8>,
}

/// Where answers go.
pub(crate) trait Answers {
    /// Sends something.
    fn send(&mut self, letter: &Letter<'_>);
}

impl Answers for Call<'_> {
    fn send(&mut self, letter: &Letter<'_>) {
        self.answer(letter);
    }
}

impl Answers for broker::Outlet {
    fn send(&mut self, letter: &Letter<'_>) {
        self.push(letter);
    }
}

impl Handler for Stream {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        if self.is_closed() {
            return Reception::Absent;
        }
        let messages: SmallVec<[Message<'_>; 16]> = call.messages().collect();
        self.publish(call.subject(), &messages, self.now(), call);
        Reception::Taken
    }

    fn batch_done(&self) {
        {
            let mut ingest = self.ingest.lock();
            self.hold(&mut ingest);
        }
        self.log.commit_soon();
        self.note_usage();
        self.tell_consumers();
    }
}

/// Messages about to be appended together.
struct Gathered<'a> {
    list: SmallVec<[Append<'a>; 8]>,
    about: SmallVec<[About<'a>; 8]>,
}

/// What is to be remembered of a message while it is appended.
#[derive(Clone, Copy)]
struct About<'a> {
    reply: &'a [u8],
    id: &'a [u8],
}

impl Stream {
    /// Stores a message that this server has made itself, as of a schedule.
    pub(super) fn publish_own(
        &self,
        subject: &[u8],
        message: Message<'_>,
        now: Stamp,
        out: &mut dyn Answers,
    ) {
        let config = self.config();
        let mut ingest = self.ingest.lock();
        self.settle(&mut ingest);
        let trusted = true;
        let mut run = Run { stream: self, config: &config, ingest: &mut ingest, subject, now, out, trusted };
        run.take(&[message]);
        drop(ingest);
        self.batch_done();
    }

    /// Takes messages of one subject.
    pub(crate) fn publish(
        &self,
        subject: &[u8],
        messages: &[Message<'_>],
        now: Stamp,
        out: &mut dyn Answers,
    ) {
        let config = self.config();
        let mut rewritten = Vec::new();
        let subject = match &*self.transform() {
            Some(transform) if transform.apply(subject, &mut rewritten) => &rewritten,
            _ => subject,
        };
        let mut ingest = self.ingest.lock();
        self.settle(&mut ingest);
        let trusted = false;
        let mut run = Run { stream: self, config: &config, ingest: &mut ingest, subject, now, out, trusted };
        run.take(messages);
    }

    /// Counts what waits against its publishers. Under the entrance's lock: it is done before it is undone.
    pub(super) fn hold(&self, ingest: &mut Ingest) {
        let bytes = std::mem::take(&mut ingest.unheld);
        if bytes > 0 {
            self.port.hold(bytes);
        }
    }
}

/// Messages of one subject on their way in.
pub(super) struct Run<'a> {
    pub(super) stream: &'a Stream,
    pub(super) config: &'a StreamConfig,
    pub(super) ingest: &'a mut Ingest,
    pub(super) subject: &'a [u8],
    pub(super) now: Stamp,
    pub(super) out: &'a mut dyn Answers,
    /// The message was made here: it may have headers that clients' messages may not.
    pub(super) trusted: bool,
}

impl Run<'_> {
    fn take(&mut self, messages: &[Message<'_>]) {
        if let Err(error) = self.admits() {
            for message in messages {
                self.refuse(message.reply, &error);
            }
            return;
        }
        let config = self.config;
        let unwanted = config.retention == Retention::Interest && !self.is_wanted();
        let each_looked_at = config.allow_msg_counter || config.republish.is_some() || unwanted;
        let leaves_markers = config.subject_delete_marker_ttl > 0;
        let mut gathered = Gathered { list: SmallVec::new(), about: SmallVec::new() };
        let mut next = None;
        for message in messages {
            let marks =
                if message.headers.is_empty() { Marks::default() } else { Marks::read(message.headers) };
            let is_marker = leaves_markers && marks.is_marker();
            if each_looked_at || is_marker || !marks.is_simple() || fast::is_fast(message.reply) {
                self.append(&mut gathered);
                next = None;
                self.one(message, &marks, unwanted);
                continue;
            }
            if let Err(error) = self.fits(message.headers.len(), message.payload.len()) {
                self.refuse(message.reply, &error);
                continue;
            }
            let id = marks.msg_id.unwrap_or_default();
            if !id.is_empty() {
                let next = *next.get_or_insert_with(|| self.stream.log.last_seq() + 1);
                if self.is_duplicate(id, message.reply) {
                    continue;
                }
                self.remember(id, next + gathered.list.len() as u64);
            }
            gathered.list.push(self.plain(message));
            gathered.about.push(About { reply: message.reply, id });
        }
        self.append(&mut gathered);
    }

    fn plain<'m>(&self, message: &Message<'m>) -> Append<'m>
    where
        Self: 'm,
    {
        // The subject outlives the run, not the message: see `append`.
        Append {
            subject: b"",
            headers: message.headers,
            payload: message.payload,
            time: self.now.0.unsigned_abs(),
            expires: None,
            seq: None,
        }
    }

    /// Whether the stream takes anything at all.
    fn admits(&self) -> Result<(), ApiError> {
        if self.config.sealed {
            return Err(e::STREAM_SEALED.err());
        }
        self.stream.check_limits()
    }

    pub(super) fn fits(&self, headers: usize, payload: usize) -> Result<(), ApiError> {
        let most = usize::try_from(self.config.max_msg_size).unwrap_or(usize::MAX);
        if headers + payload > most {
            return Err(e::STREAM_MESSAGE_EXCEEDS_MAXIMUM.err());
        }
        if headers > MAX_HEADERS {
            return Err(e::STREAM_HEADER_EXCEEDS_MAXIMUM.err());
        }
        Ok(())
    }

    fn is_wanted(&self) -> bool {
        self.stream.consumers().is_some_and(|consumers| consumers.wants(self.subject))
    }

    /// Appends what was gathered.
    fn append(&mut self, gathered: &mut Gathered<'_>) {
        while !gathered.list.is_empty() {
            let list: SmallVec<[Append<'_>; 8]> =
                gathered.list.iter().map(|append| Append { subject: self.subject, ..*append }).collect();
            let done = self.stream.log.append_more(&list);
            self.acknowledge(&done, gathered);
            drop(list);
            let Some(error) = &done.refused else {
                gathered.list.clear();
                gathered.about.clear();
                return;
            };
            let refused = gathered.about.get(done.count).copied();
            self.ingest.dedupe.forget_after(self.stream.log.last_seq());
            if let Some(about) = refused {
                self.refuse(about.reply, &refusal(error));
            }
            let gone = (done.count + 1).min(gathered.list.len());
            gathered.list.drain(..gone);
            gathered.about.drain(..gone);
            let next = self.stream.log.last_seq() + 1;
            for (at, about) in gathered.about.iter().enumerate().filter(|(_, about)| !about.id.is_empty()) {
                self.remember(about.id, next + at as u64);
            }
        }
    }

    /// Acknowledges what was appended, now or when it is safe.
    fn acknowledge(&mut self, done: &Appended, gathered: &Gathered<'_>) {
        if done.count == 0 {
            return;
        }
        if let Some(last) = gathered.about.get(done.count - 1) {
            self.ingest.dedupe.set_last(last.id);
        }
        if !done.removed.is_empty() {
            self.stream.made_room();
        }
        self.stream.has_news(done.durable);
        self.stream.may_age(self.config, self.now);
        for (at, (append, about)) in gathered.list.iter().zip(&gathered.about).take(done.count).enumerate() {
            let sequence = done.first + at as u64;
            let reply = if self.config.no_ack { b"" } else { about.reply };
            if done.durable {
                self.ack(reply, sequence, &Extra::None);
                continue;
            }
            let held = HELD + append.headers.len() + append.payload.len();
            self.ingest.unheld += held;
            self.ingest.waiting.push(done.position, sequence, reply, held, Extra::None);
        }
    }

    /// Acknowledges one message.
    pub(super) fn ack(&mut self, reply: &[u8], sequence: u64, extra: &Extra) {
        if !self.config.no_ack {
            self.answer(reply, sequence, extra);
        }
    }

    fn answer(&mut self, reply: &[u8], sequence: u64, extra: &Extra) {
        if reply.is_empty() {
            return;
        }
        let ack = &mut self.ingest.ack;
        ack.clear();
        self.stream.acks.write(ack, sequence, extra);
        self.out.send(&Letter { subject: reply, payload: ack, ..Letter::default() });
    }

    /// Acknowledges one message when everything up to a position is safe.
    pub(super) fn ack_later(&mut self, position: u64, reply: &[u8], sequence: u64, extra: Extra) {
        self.answer_later(position, if self.config.no_ack { b"" } else { reply }, sequence, extra);
    }

    /// The same, where the stream's `no_ack` does not matter.
    pub(super) fn answer_later(&mut self, position: u64, reply: &[u8], sequence: u64, extra: Extra) {
        match self.stream.log.fate(position) {
            Fate::Committed => self.answer(reply, sequence, &extra),
            Fate::TakenBack(why) => self.refuse(reply, &e::STREAM_STORE_FAILED.with(why)),
            Fate::Waits => self.ingest.waiting.push(position, sequence, reply, 0, extra),
        }
    }

    /// Refuses one message.
    pub(super) fn refuse(&mut self, reply: &[u8], error: &ApiError) {
        if reply.is_empty() || self.config.no_ack {
            return;
        }
        let body = self.stream.acks.refusal(error);
        self.out.send(&Letter { subject: reply, payload: &body, ..Letter::default() });
    }

    /// Answers a message that was stored before, if it was.
    pub(super) fn is_duplicate(&mut self, id: &[u8], reply: &[u8]) -> bool {
        let Some(sequence) = self.stored_before(id) else { return false };
        self.ack_duplicate(reply, sequence);
        true
    }

    fn ack_duplicate(&mut self, reply: &[u8], sequence: u64) {
        // The first one may not be safe yet.
        let position = self.ingest.waiting.last_position();
        self.ack_later(position, reply, sequence, Extra::Duplicate);
    }

    /// The sequence of a message of this id that was stored before.
    fn stored_before(&mut self, id: &[u8]) -> Option<u64> {
        if id.is_empty() || self.config.mirror.is_some() || self.config.duplicate_window <= 0 {
            return None;
        }
        self.stream.load_ids(self.ingest, self.config, self.now);
        self.stream.settle(self.ingest);
        self.ingest.dedupe.find(id, self.config.duplicate_window, self.now)
    }

    pub(super) fn remember(&mut self, id: &[u8], sequence: u64) {
        if self.config.duplicate_window > 0 {
            self.ingest.dedupe.insert(id, sequence, self.now, self.stream.max_message_ids());
        }
    }

    /// A message that has to be looked at by itself.
    fn one(&mut self, message: &Message<'_>, marks: &Marks<'_>, unwanted: bool) {
        if fast::is_fast(message.reply) {
            return self.fast(message, marks, unwanted);
        }
        if let Some(id) = marks.batch_id {
            return self.batch(message, marks, id);
        }
        match self.store(message, marks, unwanted) {
            Ok(Stored { sequence, durable: true, extra, .. }) => self.ack(message.reply, sequence, &extra),
            Ok(Stored { sequence, position, extra, .. }) => {
                self.ack_later(position, message.reply, sequence, extra);
            }
            Err(Unstored::Duplicate(sequence)) => self.ack_duplicate(message.reply, sequence),
            Err(Unstored::Refused(error)) => self.refuse(message.reply, &error),
        }
    }

    /// Checks one message and stores it.
    pub(super) fn store(
        &mut self,
        message: &Message<'_>,
        marks: &Marks<'_>,
        unwanted: bool,
    ) -> Result<Stored, Unstored> {
        let checked = self.check(self.subject, message.headers, message.payload, marks, None)?;
        let id = marks.msg_id.unwrap_or_default();
        if let Some(sequence) = self.stored_before(id) {
            return Err(Unstored::Duplicate(sequence));
        }
        self.expects_last_id(marks)?;
        if unwanted {
            return Ok(self.pass_over(id, checked.rollup)?);
        }
        if let Some(error) = checked.not_stored {
            return Err(error.into());
        }
        let before = self.republishes().then(|| self.stream.log.last_seq_of(self.subject).unwrap_or(0));
        let append = Append {
            subject: self.subject,
            headers: &checked.headers,
            payload: &checked.payload,
            time: self.now.0.unsigned_abs(),
            expires: checked.expires,
            seq: None,
        };
        let done = self.stream.log.append_more(&[append]);
        if let Some(error) = &done.refused {
            return Err(refusal(error).into());
        }
        self.stored(&done, id);
        if self.config.subject_delete_marker_ttl > 0 && marks.is_marker() {
            self.ingest.markers.note(done.last, &self.stream.log);
        }
        let position = self.stream.roll_up(self.subject, checked.rollup, 1).unwrap_or(done.position);
        self.stream.schedule(self.subject, &checked, done.last);
        if let Some(before) = before {
            self.republish(position, done.last, before, &checked.headers, &checked.payload);
        }
        let Appended { last: sequence, position, durable, .. } = done;
        Ok(Stored { sequence, position, durable, extra: checked.extra })
    }

    /// Takes note of a single message that was stored.
    pub(super) fn stored(&mut self, done: &Appended, id: &[u8]) {
        self.ingest.dedupe.set_last(id);
        if !id.is_empty() {
            self.remember(id, done.last);
        }
        if !done.removed.is_empty() {
            self.stream.made_room();
        }
        self.stream.has_news(done.durable);
        self.stream.may_age(self.config, self.now);
    }

    /// Nobody wants the message: its sequence is used up, nothing is stored.
    fn pass_over(&mut self, id: &[u8], rollup: Rollup) -> Result<Stored, ApiError> {
        let sequence = self.stream.log.last_seq() + 1;
        let position = self.stream.log.skip_to(sequence).map_err(|error| refusal(&error))?;
        self.ingest.dedupe.set_last(id);
        if !id.is_empty() {
            self.remember(id, sequence);
        }
        let position = self.stream.roll_up(self.subject, rollup, 0).unwrap_or(position);
        Ok(Stored { sequence, position, durable: false, extra: Extra::None })
    }
}

/// A message that was stored by itself.
pub(super) struct Stored {
    pub(super) sequence: u64,
    /// It is safe when the log is durable up to here.
    pub(super) position: u64,
    /// It is safe already.
    pub(super) durable: bool,
    extra: Extra,
}

/// Why a message was not stored.
pub(super) enum Unstored {
    /// It was before, as this sequence.
    Duplicate(u64),
    /// It may not be.
    Refused(ApiError),
}

impl From<ApiError> for Unstored {
    fn from(error: ApiError) -> Self {
        Self::Refused(error)
    }
}

/// The store's refusal in the API's words.
pub(crate) fn refusal(error: &AppendError) -> ApiError {
    match error {
        AppendError::Busy { .. } => e::STREAM_TOO_MANY_REQUESTS.err(),
        AppendError::TooLarge => e::STREAM_STORE_FAILED.with("message to large"),
        other => e::STREAM_STORE_FAILED.with(other),
    }
}

impl Stream {
    /// Removes what a roll-up replaces; returns the position of that.
    pub(crate) fn roll_up(&self, subject: &[u8], rollup: Rollup, keep: u64) -> Option<u64> {
        let pattern = match rollup {
            Rollup::None => return None,
            Rollup::Subject => Some(subject),
            Rollup::All => None,
        };
        match self.purge(pattern, None, keep) {
            Ok(purged) => Some(purged.position),
            Err(error) => {
                tracing::warn!(stream = %self.name, %error, "roll-up not done");
                None
            }
        }
    }
}
