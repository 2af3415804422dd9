//! What waits to be written to one connection: bounded, appended in batches, drained by whoever is there.
//!
//! Any task may append frames and then flush: it writes to the socket itself, without blocking, as long as
//! the socket takes bytes. When the socket is full the outbox is *blocked* and the connection's own task goes
//! on when the socket is writable again. Only one task writes at a time (`writing`).
//!
//! Rule: whoever drains wakes those who wait for room, on every way out of [`Outbox::flush`].

mod ahead;

use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use ahead::Ahead;

use crate::budget::Budget;
use crate::pool;

/// A queue with this much in it is written before the read batch of its publisher ends.
const FLUSH_EARLY: usize = 64 * 1024;
/// A reader that keeps reading, only too slowly, is waited for so many times as long as one that does not.
const PATIENCE_WITH_THE_BUSY: u32 = 10;

/// Where an outbox's bytes go: a socket, or a TLS session over one. Never blocks.
pub(crate) trait Pipe: Send + Sync {
    /// Takes some bytes; `WouldBlock` when it can take none now.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Takes some bytes of two slices, the first one's first; counts them together.
    fn try_write_two(&self, first: &[u8], then: &[u8]) -> io::Result<usize> {
        if first.is_empty() { self.try_write(then) } else { self.try_write(first) }
    }
    /// Pushes on what the pipe itself still holds (encrypted records); `WouldBlock` when some is left.
    fn try_flush(&self) -> io::Result<()>;
}

/// The bounds of one outbox, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// More than this is a slow consumer.
    pub(crate) max_pending: usize,
    /// Above this publishers wait.
    pub(crate) stall_at: usize,
}

/// How much of what is queued are messages; protocol lines count for nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) messages: usize,
    /// Bytes of headers and payload.
    pub(crate) payload: usize,
}

/// What became of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Appended {
    /// Queued; the caller is the first since the last flush and has to see to the next one.
    Flush,
    /// Queued; somebody is already due to flush.
    Queued,
    /// The same, and so much is queued that it should not wait for that.
    Heaped,
    /// The connection is closing: the bytes went nowhere.
    Closed,
}

/// Why an outbox takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// More than the bound was queued.
    SlowConsumer,
    /// The pipe failed or the connection ended.
    Closed,
}

pub(crate) struct Outbox {
    state: Mutex<State>,
    budget: Arc<Budget>,
    bounds: Bounds,
}

#[derive(Default)]
struct State {
    /// Frames not yet taken by a flush.
    buf: Vec<u8>,
    messages: usize,
    /// Frames a flush has taken; `rest[rest_at..]` is still to be written.
    rest: Vec<u8>,
    rest_at: usize,
    rest_messages: usize,
    /// Everything queued, whoever holds it.
    queued: usize,
    writing: bool,
    /// The socket is full (or the pipe holds bytes): the owner continues when it is writable.
    blocked: Option<Instant>,
    /// An appender has promised a flush.
    promised: bool,
    /// Since when publishers have waited for it, and when it last took something meanwhile.
    waited_since: Option<Instant>,
    took_at: Option<Instant>,
    /// Publishers waited for it in vain and do not wait again before it has caught up.
    lagging: bool,
    /// Of a link: where lines may be put between frames.
    ahead: Option<Box<Ahead>>,
    broken: Option<Broken>,
    owner: Option<Waker>,
    waiters: Vec<Waker>,
    out_messages: u64,
    out_bytes: u64,
    /// Messages that were queued and never written.
    dropped: usize,
}

impl State {
    /// Takes note of the end of a frame, or of a protocol line, in `buf`.
    #[inline]
    fn note_frame(&mut self, is_line: bool) {
        if let Some(ahead) = &mut self.ahead {
            ahead.appended(self.buf.len(), is_line);
        }
    }

    fn count(&mut self, load: Load) {
        self.out_messages += load.messages as u64;
        self.out_bytes += load.payload as u64;
    }
}

impl Outbox {
    pub(crate) fn new(bounds: Bounds, budget: Arc<Budget>) -> Self {
        Self { state: Mutex::new(State::default()), budget, bounds }
    }

    /// Queues what `write` appends to the buffer: so many messages as `load` says.
    pub(crate) fn append(&self, load: Load, write: impl FnOnce(&mut Vec<u8>)) -> Appended {
        let mut state = self.state.lock();
        if state.broken.is_some() {
            return Appended::Closed;
        }
        if state.buf.capacity() == 0 {
            state.buf = pool::take();
        }
        let before = state.buf.len();
        write(&mut state.buf);
        let added = state.buf.len() - before;
        state.note_frame(load.messages == 0 && added > 0);
        self.account(&mut state, added, load)
    }

    fn account(&self, state: &mut MutexGuard<'_, State>, added: usize, load: Load) -> Appended {
        state.queued += added;
        state.messages += load.messages;
        state.count(load);
        self.budget.add(added, load.messages);
        if state.queued > self.bounds.max_pending {
            self.break_off(state, Broken::SlowConsumer);
            return Appended::Closed;
        }
        if state.promised || state.blocked.is_some() {
            if state.queued < FLUSH_EARLY { Appended::Queued } else { Appended::Heaped }
        } else {
            state.promised = true;
            Appended::Flush
        }
    }

    /// Writes a ready-made block of frames: straight to the pipe when nothing waits before it, else queued.
    pub(crate) fn send(&self, pipe: &dyn Pipe, block: &[u8], load: Load) -> Appended {
        let mut state = self.state.lock();
        if state.broken.is_some() {
            return Appended::Closed;
        }
        if state.writing || state.blocked.is_some() || state.queued > 0 {
            if state.buf.capacity() == 0 {
                state.buf = pool::take();
            }
            state.buf.extend_from_slice(block);
            state.note_frame(false);
            return self.account(&mut state, block.len(), load);
        }
        state.writing = true;
        state.count(load);
        drop(state);
        let (written, outcome) = write_out(pipe, block);
        let mut state = self.state.lock();
        state.writing = false;
        if state.broken.is_some() {
            return Appended::Closed;
        }
        let left = block.len() - written;
        if left > 0 {
            state.rest = pool::take();
            state.rest.extend_from_slice(&block[written..]);
            state.rest_at = 0;
            state.rest_messages = load.messages;
            if let Some(ahead) = &mut state.ahead {
                ahead.written();
            }
            state.queued += left;
            self.budget.add(left, load.messages);
        }
        self.settle(&mut state, outcome);
        if state.broken.is_some() {
            return Appended::Closed;
        }
        let more = !state.buf.is_empty() && state.blocked.is_none();
        drop(state);
        if more {
            self.flush(pipe);
        }
        Appended::Queued
    }

    /// Writes what is queued until it is gone or the pipe is full. Called by appenders and by the owner.
    pub(crate) fn flush(&self, pipe: &dyn Pipe) {
        let mut state = self.state.lock();
        state.promised = false;
        while !state.writing && state.blocked.is_none() && state.broken.is_none() {
            if state.rest_at == state.rest.len() {
                if state.buf.is_empty() {
                    break;
                }
                let taken = std::mem::take(&mut state.buf);
                pool::give(std::mem::replace(&mut state.rest, taken));
                state.rest_at = 0;
                state.rest_messages += std::mem::take(&mut state.messages);
                if let Some(ahead) = &mut state.ahead {
                    ahead.taken();
                }
            }
            let chunk = std::mem::take(&mut state.rest);
            let at = state.rest_at;
            state.writing = true;
            drop(state);
            let (written, outcome) = write_out(pipe, &chunk[at..]);
            state = self.state.lock();
            state.writing = false;
            if state.broken.is_some() {
                // Closed meanwhile: what was queued has been given back already.
                break;
            }
            state.queued -= written;
            if written > 0 && state.waited_since.is_some() {
                state.took_at = Some(Instant::now());
            }
            let mut done = 0;
            state.rest_at = at + written;
            if state.rest_at == chunk.len() {
                done = std::mem::take(&mut state.rest_messages);
                state.rest_at = 0;
                pool::give(chunk);
                if let Some(ahead) = &mut state.ahead {
                    ahead.written();
                }
            } else {
                state.rest = chunk;
            }
            self.budget.release(written, done);
            self.settle(&mut state, outcome);
        }
        Self::wake_waiters(&mut state, self.bounds);
    }

    /// Takes the outcome of a write into the state.
    fn settle(&self, state: &mut MutexGuard<'_, State>, outcome: io::Result<()>) {
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                state.blocked = Some(Instant::now());
                if let Some(owner) = &state.owner {
                    owner.wake_by_ref();
                }
            }
            Err(_) => self.break_off(state, Broken::Closed),
        }
    }

    fn wake_waiters(state: &mut MutexGuard<'_, State>, bounds: Bounds) {
        if state.queued <= bounds.stall_at / 2 {
            state.lagging = false;
            state.waited_since = None;
            state.waiters.drain(..).for_each(Waker::wake);
        }
    }

    /// Takes no more, gives back what was queued, and tells everybody who waits.
    fn break_off(&self, state: &mut MutexGuard<'_, State>, why: Broken) {
        state.broken = Some(why);
        let (bytes, messages) = (state.queued, state.messages + state.rest_messages);
        state.dropped += messages;
        state.queued = 0;
        state.messages = 0;
        state.rest_messages = 0;
        state.rest_at = 0;
        pool::give(std::mem::take(&mut state.buf));
        pool::give(std::mem::take(&mut state.rest));
        self.budget.release(bytes, messages);
        state.waiters.drain(..).for_each(Waker::wake);
        if let Some(owner) = state.owner.take() {
            owner.wake();
        }
    }

    /// Counts bytes that wait elsewhere (in a handler) against this outbox: above the bound publishers wait.
    pub(crate) fn hold(&self, bytes: usize) {
        let mut state = self.state.lock();
        if state.broken.is_none() {
            state.queued += bytes;
            self.budget.add(bytes, 0);
        }
    }

    /// Takes back what [`Self::hold`] counted.
    pub(crate) fn release(&self, bytes: usize) {
        let mut state = self.state.lock();
        if state.broken.is_some() {
            return;
        }
        let bytes = bytes.min(state.queued);
        state.queued -= bytes;
        self.budget.release(bytes, 0);
        if state.waited_since.is_some() {
            state.took_at = Some(Instant::now());
        }
        Self::wake_waiters(&mut state, self.bounds);
    }

    /// Ends it from outside.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if state.broken.is_none() {
            self.break_off(&mut state, Broken::Closed);
        }
    }

    /// The owner's waker: called when the pipe is full or the outbox breaks.
    pub(crate) fn set_owner(&self, waker: &Waker) {
        let mut state = self.state.lock();
        if !state.owner.as_ref().is_some_and(|known| known.will_wake(waker)) {
            state.owner = Some(waker.clone());
        }
    }

    /// Wakes the owner, for it to look at what has changed.
    pub(crate) fn wake_owner(&self) {
        let owner = self.state.lock().owner.clone();
        if let Some(owner) = owner {
            owner.wake();
        }
    }

    /// Since when the pipe has been full.
    pub(crate) fn blocked_since(&self) -> Option<Instant> {
        self.state.lock().blocked
    }

    /// The owner saw the pipe become writable.
    pub(crate) fn unblock(&self, pipe: &dyn Pipe) {
        {
            let mut state = self.state.lock();
            if state.blocked.take().is_none() || state.broken.is_some() {
                return;
            }
            // Nobody else writes while the pipe is pushed: what it holds goes first.
            state.writing = true;
        }
        let outcome = pipe.try_flush();
        {
            let mut state = self.state.lock();
            state.writing = false;
            if state.broken.is_none() {
                self.settle(&mut state, outcome);
            }
        }
        self.flush(pipe);
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.state.lock().broken
    }

    /// Whether publishers should wait for this reader.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.state.lock();
        state.queued > self.bounds.stall_at && !state.lagging && state.broken.is_none()
    }

    /// True when there is room (or no point in waiting); otherwise `waker` is called when there is.
    pub(crate) fn has_room_or_wait(&self, waker: &Waker) -> bool {
        let mut state = self.state.lock();
        if state.queued <= self.bounds.stall_at / 2 || state.lagging || state.broken.is_some() {
            return true;
        }
        state.waited_since.get_or_insert_with(Instant::now);
        if !state.waiters.iter().any(|known| known.will_wake(waker)) {
            state.waiters.push(waker.clone());
        }
        false
    }

    /// Publishers have waited for this reader for `patience`. One that has taken nothing meanwhile is given up, and
    /// so is one that has not caught up after [`PATIENCE_WITH_THE_BUSY`] times as long; `false` says to wait on.
    pub(crate) fn give_up_waiting(&self, now: Instant, patience: Duration) -> bool {
        let mut state = self.state.lock();
        let busy = state.took_at.is_some_and(|at| now.saturating_duration_since(at) < patience);
        let since = state.waited_since.unwrap_or(now);
        if busy && now.saturating_duration_since(since) < patience * PATIENCE_WITH_THE_BUSY {
            return false;
        }
        state.lagging = true;
        state.waiters.drain(..).for_each(Waker::wake);
        true
    }

    /// Bytes queued now.
    pub(crate) fn queued(&self) -> usize {
        self.state.lock().queued
    }

    /// Whether nothing waits to be written, neither here nor in the pipe.
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.broken.is_some() || (state.queued == 0 && !state.writing && state.blocked.is_none())
    }

    /// Messages that were queued and never written.
    pub(crate) fn dropped(&self) -> usize {
        self.state.lock().dropped
    }

    /// Messages and their bytes (headers and payload) ever queued for this connection.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.out_messages, state.out_bytes)
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.close();
    }
}

/// Writes until all is taken or the pipe refuses.
fn write_out(pipe: &dyn Pipe, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut at = 0;
    while at < bytes.len() {
        match pipe.try_write(&bytes[at..]) {
            Ok(0) => return (at, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => at += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (at, Err(error)),
        }
    }
    (at, pipe.try_flush())
}

#[cfg(test)]
mod tests;
