//! The buffer itself: a stream on disk, the ids of what is in it, and who waits for an acknowledgement.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::time::Duration;

use store::{
    Append, AppendError, Filter, ReadError, Stopped, Store, StoreError, StoreOptions, Stream, StreamOptions,
};

/// Header a message is told apart by (ADR-8).
const MESSAGE_ID: &[u8] = b"Nats-Msg-Id";
/// Headers by which a publisher makes storing depend on what the stream holds: nobody can say that here.
const CONDITIONS: [&[u8]; 2] = [b"Nats-Expected-", b"Nats-Batch-"];

/// Bounds of the buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes: u64,
    pub(super) age: Duration,
}

/// Why a message is not buffered.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the edge buffer can't check what the message expects of the stream")]
    Conditional,
    #[error("malformed headers")]
    Headers,
    #[error("{0}")]
    Store(#[from] AppendError),
}

/// A message as it came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) subject: &'a [u8],
    pub(super) reply: &'a [u8],
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

/// A message that is on disk, and where its publisher wants to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owed {
    pub(super) seq: u64,
    /// It was in the buffer before.
    pub(super) duplicate: bool,
    pub(super) reply: Vec<u8>,
}

/// A message to be sent on.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) seq: u64,
    pub(super) message: store::Message,
}

/// The ids of buffered messages.
#[derive(Debug, Default)]
struct Ids {
    by_id: HashMap<Box<[u8]>, u64>,
    by_seq: BTreeMap<u64, Box<[u8]>>,
}

impl Ids {
    fn seq(&self, id: &[u8]) -> Option<u64> {
        self.by_id.get(id).copied()
    }

    fn insert(&mut self, id: Box<[u8]>, seq: u64) {
        self.by_seq.insert(seq, id.clone());
        self.by_id.insert(id, seq);
    }

    fn forget(&mut self, seq: u64) {
        if let Some(id) = self.by_seq.remove(&seq) {
            self.by_id.remove(&id);
        }
    }

    fn forget_after(&mut self, seq: u64) {
        for id in self.by_seq.split_off(&(seq + 1)).into_values() {
            self.by_id.remove(&id);
        }
    }
}

/// What is buffered.
#[derive(Debug)]
pub(super) struct Buffer {
    _store: Store,
    stream: Stream,
    /// What was refused for good by whoever it was sent to; kept for the operator, the oldest goes first.
    refused: Stream,
    /// Makes ids of our own unlike those of another gateway.
    origin: String,
    ids: Ids,
    owed: VecDeque<Owed>,
    /// Being put aside: sequence here and there.
    aside: Vec<(u64, u64)>,
    bounds: Bounds,
}

impl Buffer {
    /// Opens the buffer in a folder. `origin` is used where there was none before.
    pub(super) fn open(dir: &Path, origin: &str, bounds: Bounds) -> Result<Self, StoreError> {
        let store = Store::open(dir, StoreOptions::default())?;
        let stream = match store.stream("buffer") {
            Some(stream) => stream,
            None => store.create("buffer", StreamOptions::file(), origin.as_bytes())?,
        };
        let refused = match store.stream("refused") {
            Some(stream) => stream,
            None => store.create("refused", StreamOptions::file(), b"")?,
        };
        let limits = store::Limits {
            max_bytes: Some((bounds.bytes / 8).max(1024 * 1024)),
            ..store::Limits::default()
        };
        refused.set_limits(limits)?;
        let origin = String::from_utf8_lossy(&stream.metadata()).into_owned();
        let mut buffer = Self {
            _store: store,
            stream,
            refused,
            origin,
            ids: Ids::default(),
            owed: VecDeque::new(),
            aside: Vec::new(),
            bounds,
        };
        buffer.learn_ids();
        Ok(buffer)
    }

    pub(super) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Messages and bytes in the buffer.
    pub(super) fn held(&self) -> (u64, u64) {
        let state = self.stream.state();
        (state.messages, state.bytes)
    }

    /// How many were refused for good and are kept aside.
    pub(super) fn refused(&self) -> u64 {
        self.refused.state().messages
    }

    pub(super) fn is_empty(&self) -> bool {
        self.stream.state().messages == 0
    }

    /// Whether it takes nothing more for now: too much is in it, or the oldest has waited too long, or the disk fails.
    pub(super) fn is_full(&self, now: u64) -> bool {
        let state = self.stream.state();
        let age = u64::try_from(self.bounds.age.as_nanos()).unwrap_or(u64::MAX);
        let old = state.messages > 0 && now.saturating_sub(state.first_time) > age;
        state.bytes >= self.bounds.bytes || old || self.stream.stopped().is_some()
    }

    /// Appends a message, unless it is there. Its acknowledgement falls [`Self::due`] when it is on disk.
    pub(super) fn keep(&mut self, message: &Incoming<'_>, now: u64) -> Result<(), Refusal> {
        let id = id_of(message.headers)?;
        if let Some(seq) = id.as_deref().and_then(|id| self.ids.seq(id)) {
            self.owe(seq, true, message.reply);
            return Ok(());
        }
        let append = Append {
            subject: message.subject,
            headers: message.headers,
            payload: message.payload,
            time: now,
            ..Append::default()
        };
        let done = self.stream.append(&[append]);
        if let Some(refused) = done.refused {
            return Err(refused.into());
        }
        if let Some(id) = id {
            self.ids.insert(id, done.last);
        }
        self.owe(done.last, false, message.reply);
        Ok(())
    }

    fn owe(&mut self, seq: u64, duplicate: bool, reply: &[u8]) {
        if !reply.is_empty() {
            self.owed.push_back(Owed { seq, duplicate, reply: reply.to_vec() });
        }
    }

    /// Takes the acknowledgements that are due now.
    pub(super) fn due(&mut self) -> Vec<Owed> {
        let committed = self.stream.committed().seq;
        let due = self.owed.iter().take_while(|owed| owed.seq <= committed).count();
        self.owed.drain(..due).collect()
    }

    /// Writing failed: takes what waits for an acknowledgement that will not come, and forgets what is not stored.
    pub(super) fn failed(&mut self) -> Vec<Owed> {
        let committed = self.stream.committed().seq;
        self.ids.forget_after(committed);
        let (good, lost): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.owed).into_iter().partition(|owed| owed.seq <= committed);
        self.owed = good;
        lost.into()
    }

    /// The next messages from `from` on, that are on disk.
    pub(super) fn next(&self, from: u64, most: usize) -> Result<Vec<Outgoing>, ReadError> {
        let committed = self.stream.committed().seq;
        let scan = self.stream.scan(&Filter::all(), from.max(1), committed, most, 1024 * 1024)?;
        let outgoing = |message: store::Message| Outgoing { seq: message.seq, message };
        Ok(scan.messages.into_iter().map(outgoing).collect())
    }

    /// Headers to send a message on with: it can be told apart.
    pub(super) fn headers(&self, outgoing: &Outgoing) -> Vec<u8> {
        let headers = outgoing.message.headers();
        let own = format!("{}-{}", self.origin, outgoing.seq);
        let pair: [(&[u8], &[u8]); 1] = [(MESSAGE_ID, own.as_bytes())];
        match wire::headers::parse(headers) {
            Ok(parsed) if parsed.get(MESSAGE_ID).is_some() => headers.to_vec(),
            Ok(parsed) => parsed.append(&pair).unwrap_or_else(|_| headers.to_vec()),
            Err(_) => wire::headers::build(&pair).unwrap_or_default(),
        }
    }

    /// Messages are done with.
    pub(super) fn done(&mut self, seqs: &[u64]) -> Result<(), Stopped> {
        if seqs.is_empty() {
            return Ok(());
        }
        self.stream.delete_many(seqs)?;
        seqs.iter().for_each(|seq| self.ids.forget(*seq));
        Ok(())
    }

    /// Puts a message aside that is refused for good. It leaves the buffer when it is on disk there.
    pub(super) fn put_aside(&mut self, seq: u64) {
        let Ok(Some(message)) = self.stream.get(seq) else { return };
        let append = Append {
            subject: message.subject(),
            headers: message.headers(),
            payload: message.payload(),
            time: message.time,
            ..Append::default()
        };
        let done = self.refused.append(&[append]);
        match done.refused {
            None => self.aside.push((seq, done.last)),
            Some(why) => tracing::error!(seq, %why, "it can't be put aside; it stays in the edge buffer"),
        }
    }

    /// Takes the sequences of messages that are safely aside.
    pub(super) fn aside(&mut self) -> Vec<u64> {
        let committed = self.refused.committed().seq;
        let (safe, rest) = std::mem::take(&mut self.aside).into_iter().partition(|(_, at)| *at <= committed);
        self.aside = rest;
        safe.into_iter().map(|(seq, _): (u64, u64)| seq).collect()
    }

    /// The ids of what an earlier run has left.
    fn learn_ids(&mut self) {
        let mut from = 1;
        let last = self.stream.last_seq();
        while from <= last {
            let Ok(scan) = self.stream.scan(&Filter::all(), from, last, 1024, 1024 * 1024) else { return };
            for message in &scan.messages {
                if let Ok(Some(id)) = id_of(message.headers()) {
                    self.ids.insert(id, message.seq);
                }
            }
            from = scan.next.max(from + 1);
        }
    }
}

/// The id a publisher gave a message.
fn id_of(headers: &[u8]) -> Result<Option<Box<[u8]>>, Refusal> {
    if headers.is_empty() {
        return Ok(None);
    }
    let parsed = wire::headers::parse(headers).map_err(|_| Refusal::Headers)?;
    if parsed.iter().any(|(name, _)| CONDITIONS.iter().any(|condition| name.starts_with(condition))) {
        return Err(Refusal::Conditional);
    }
    Ok(parsed.get(MESSAGE_ID).map(Into::into))
}
