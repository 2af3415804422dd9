//! The buffer's place in the broker: takes what is published, and the answers to what it has sent on.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use broker::{Call, Handler, Letter, Message, Reception};
use parking_lot::Mutex;
use store::{Committed, Listener, Stopped};
use tokio::sync::{Notify, watch};

use super::buffer::{Buffer, Incoming, Refusal};
use super::forward::{Forward, Outcome};
use super::{Served, answer, unix_nanos};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct EdgeHandler {
    state: Mutex<State>,
    /// Where answers to what was sent on come in.
    inbox: OnceLock<Vec<u8>>,
    /// Whether the links are up but do not answer.
    silence: watch::Receiver<bool>,
    served: Vec<Served>,
    changed: Arc<Notify>,
    stored: AtomicU64,
    forwarded: AtomicU64,
    refused: AtomicU64,
}

#[derive(Debug)]
struct State {
    buffer: Buffer,
    forward: Forward,
    /// Acknowledged by the other side, not yet removed.
    done: Vec<u64>,
    /// Refusals that are to be told.
    refusals: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Wakes the task that sends on.
struct Wake(Arc<Notify>);

impl Listener for Wake {
    fn committed(&self, _: Committed) {
        self.0.notify_one();
    }

    fn failed(&self, why: &Stopped, _: Committed) {
        tracing::error!(%why, "the edge buffer takes nothing more for now");
        self.0.notify_one();
    }

    fn resumed(&self) {
        tracing::info!("the edge buffer takes messages again");
        self.0.notify_one();
    }
}

impl EdgeHandler {
    pub(super) fn new(
        buffer: Buffer,
        served: Vec<Served>,
        forward: Forward,
        silence: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let changed = Arc::new(Notify::new());
        buffer.stream().set_listener(Arc::new(Wake(Arc::clone(&changed))));
        let state = State { buffer, forward, done: Vec::new(), refusals: Vec::new() };
        Arc::new(Self {
            state: Mutex::new(state),
            inbox: OnceLock::new(),
            silence,
            served,
            changed,
            stored: AtomicU64::new(0),
            forwarded: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// Says under which prefix answers come in.
    pub(super) fn settle(&self, inbox: Vec<u8>) {
        self.inbox.get_or_init(|| inbox);
    }

    /// Waits until there is something to do.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn is_full(&self, now: u64) -> bool {
        self.state.lock().buffer.is_full(now)
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.state.lock().forward.wake_at()
    }

    /// The link has come or gone.
    pub(super) fn reset(&self) {
        self.state.lock().forward.reset();
    }

    /// The link has fallen silent, or answers again: nothing on its way is overdue yet.
    pub(super) fn wait_anew(&self, now: Instant) {
        self.state.lock().forward.wait_anew(now);
    }

    /// Replies and texts that publishers are owed now.
    pub(super) fn acknowledgements(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut state = self.state.lock();
        let mut told = std::mem::take(&mut state.refusals);
        if let Some(why) = state.buffer.stream().stopped() {
            let failed = state.buffer.failed();
            self.refused.fetch_add(failed.len() as u64, Ordering::Relaxed);
            let text = why.to_string();
            told.extend(failed.into_iter().map(|owed| (owed.reply, answer::refusal(&text))));
        }
        let due = state.buffer.due();
        told.extend(
            due.into_iter().map(|owed| (owed.reply, answer::acknowledgement(owed.seq, owed.duplicate))),
        );
        told
    }

    /// Removes what was acknowledged and hands the next messages to `send`, which says whether anybody got them.
    pub(super) fn send_on(&self, now: Instant, mut send: impl FnMut(&Letter<'_>) -> bool) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut done = std::mem::take(&mut state.done);
        done.extend(state.buffer.aside());
        done.sort_unstable();
        if let Err(why) = state.buffer.done(&done) {
            tracing::warn!(%why, "acknowledged messages stay in the edge buffer for now");
            state.done = done;
        }
        if state.forward.expire(now) {
            tracing::warn!("the other side does not acknowledge buffered messages; they are sent again");
        }
        let Some((from, room)) = state.forward.ready(now) else { return };
        let next = match state.buffer.next(from, room) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "the edge buffer can't be read");
                state.forward.unsent(now);
                return;
            }
        };
        let inbox = self.inbox.get().map(Vec::as_slice).unwrap_or_default();
        for outgoing in next {
            let headers = state.buffer.headers(&outgoing);
            let answer_to = format!("{}.{}", state.forward.epoch(), outgoing.seq);
            let letter = Letter {
                subject: outgoing.message.subject(),
                reply: &[inbox, answer_to.as_bytes()].concat(),
                headers: &headers,
                payload: outgoing.message.payload(),
                ..Letter::default()
            };
            if !send(&letter) {
                // The link is there, but the interest of the other side has not come yet, or nobody listens.
                state.forward.unsent(now);
                return;
            }
            state.forward.sent(outgoing.seq, now);
        }
    }

    /// An answer to `<epoch>.<sequence>`.
    fn answered(&self, token: &[u8], message: &Message<'_>) {
        let parse = || {
            let (epoch, seq) = std::str::from_utf8(token).ok()?.split_once('.')?;
            Some((epoch.parse::<u64>().ok()?, seq.parse::<u64>().ok()?))
        };
        let Some((epoch, seq)) = parse() else { return };
        let mut state = self.state.lock();
        match state.forward.answered(
            seq,
            epoch,
            answer::read(message.headers, message.payload),
            Instant::now(),
        ) {
            Outcome::Done => {
                state.done.push(seq);
                self.forwarded.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Refused(why) => {
                tracing::error!(seq, %why, "a buffered message is refused for good; it is put aside");
                state.buffer.put_aside(seq);
            }
            Outcome::Again(why) => tracing::warn!(seq, %why, "a buffered message is not taken yet"),
            Outcome::Stale => {}
        }
        drop(state);
        self.changed.notify_one();
    }

    pub(super) fn held(&self) -> (u64, u64) {
        self.state.lock().buffer.held()
    }

    pub(super) fn put_aside(&self) -> u64 {
        self.state.lock().buffer.refused()
    }

    pub(super) fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    pub(super) fn forwarded(&self) -> u64 {
        self.forwarded.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Handler for EdgeHandler {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        if let Some(token) = self.inbox.get().and_then(|inbox| call.subject().strip_prefix(inbox.as_slice()))
        {
            call.messages().for_each(|message| self.answered(token, &message));
            return Reception::Taken;
        }
        let mut state = self.state.lock();
        if !call.links_down() && !*self.silence.borrow() && state.buffer.is_empty() {
            return Reception::Absent;
        }
        let now = unix_nanos();
        let stamp = self.stamp(call);
        for message in call.messages() {
            let headers = with_lines(message.headers, &stamp);
            let incoming = Incoming {
                subject: call.subject(),
                reply: message.reply,
                headers: &headers,
                payload: message.payload,
            };
            match state.buffer.keep(&incoming, now) {
                Ok(()) => {
                    self.stored.fetch_add(1, Ordering::Relaxed);
                }
                Err(why) => self.refuse(&mut state, &message, &why),
            }
        }
        Reception::Taken
    }

    fn batch_done(&self) {
        self.changed.notify_one();
    }
}

/// A header block with lines added.
fn with_lines<'a>(block: &'a [u8], lines: &[u8]) -> Cow<'a, [u8]> {
    match block.strip_suffix(b"\r\n") {
        _ if lines.is_empty() => Cow::Borrowed(block),
        Some(open) => Cow::Owned([open, lines, b"\r\n"].concat()),
        None => Cow::Owned([b"NATS/1.0\r\n", lines, b"\r\n"].concat()),
    }
}

impl EdgeHandler {
    /// Who vouches for the publisher now does not when the message is sent on: it is written down with it.
    fn stamp(&self, call: &Call<'_>) -> Vec<u8> {
        let stamped =
            |served: &Served| served.stamp && subject::matches(served.pattern.as_bytes(), call.subject());
        if self.served.iter().any(stamped) { call.origin().provenance() } else { Vec::new() }
    }

    /// A publisher that listens is told; for one that does not, the log is the only place.
    fn refuse(&self, state: &mut State, message: &Message<'_>, why: &Refusal) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        if message.reply.is_empty() {
            tracing::error!(%why, "a message without a reply subject was refused by the edge buffer");
        } else {
            state.refusals.push((message.reply.to_vec(), answer::refusal(&why.to_string())));
        }
    }
}
