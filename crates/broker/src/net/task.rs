//! The task of an established connection: reads, hands frames to the session, and keeps time.

mod goodbye;
mod packed;
mod renewal;
mod timer;

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use timer::{FIRST_PING, since_epoch};

use super::buffers::{self, Buffers, KEEP, READ};
use super::source::Source;
use crate::conn::{CloseReason, Conn};
use crate::core::Core;
use crate::outbox::Broken;
use crate::pool;
use crate::session::{Patience, Pause, Session, Work};

/// Read batches worked off before other tasks get their turn.
const BATCHES: usize = 4;
/// Bytes read at once while the server has too much queued.
const READ_HELD: usize = 4 * 1024;
/// What is kept in a buffer of just that size.
const SMALL: usize = 4 * 1024;
/// The most a frame of its own buffer grows by in one read.
const GROW: usize = 256 * 1024;

/// What reading waits for.
enum Wait {
    Nothing,
    /// These readers are full.
    Readers(Vec<Arc<Conn>>, Instant),
    /// A link this connection publishes over is down.
    Link(Instant),
    /// The server has too much queued.
    Overload(Instant),
    /// The identity is over its rate.
    Quota(Instant),
}

impl Wait {
    fn until(&self) -> Option<Instant> {
        match self {
            Self::Nothing => None,
            Self::Readers(_, until) | Self::Link(until) | Self::Overload(until) | Self::Quota(until) => {
                Some(*until)
            }
        }
    }
}

/// An established connection.
pub(crate) struct Task {
    core: Arc<Core>,
    session: Session,
    source: Source,
    /// Bytes read but not worked off.
    kept: Vec<u8>,
    /// Bytes `kept` has to grow to before it is worth a look.
    need: usize,
    wait: Wait,
    patience: Patience,
    active: Instant,
    pinged: Instant,
    sleep: Pin<Box<Sleep>>,
    /// How long publishers wait for a link that is down.
    link_hold: Duration,
    ended: Option<CloseReason>,
    /// The peer has ended the TLS session: what it said before is still worked off.
    closed: bool,
    /// The replacement of rights the timer knows of.
    grants: u32,
    /// When the client is to be told that its rights end, in seconds since the Unix epoch; 0 when it need not be.
    notice_at: u64,
}

impl Task {
    pub(crate) fn new(
        core: Arc<Core>,
        session: Session,
        source: Source,
        kept: Vec<u8>,
        link_hold: Duration,
    ) -> Self {
        let now = Instant::now();
        let limits = &core.limits;
        let notice_at = timer::notice_at(&session.conn().grant(), limits.expiry_notice);
        let ends = session.conn().grant().expires_at.into_iter().chain((notice_at != 0).then_some(notice_at));
        let ends = ends.map(|at| Duration::from_secs(at).saturating_sub(since_epoch()));
        let silent = session.group().and_then(|group| group.silent_after());
        let first = ends.chain([limits.ping_interval, FIRST_PING]).chain(silent).min().unwrap_or(FIRST_PING);
        Self {
            notice_at,
            core,
            session,
            source,
            kept,
            need: 0,
            wait: Wait::Nothing,
            patience: Patience::default(),
            active: now,
            pinged: now,
            sleep: Box::pin(tokio::time::sleep(first)),
            link_hold,
            ended: None,
            closed: false,
            grants: 0,
        }
    }

    pub(crate) fn conn(&self) -> &Arc<Conn> {
        self.session.conn()
    }

    /// Runs the connection to its end.
    pub(crate) async fn run(mut self) -> CloseReason {
        poll_fn(|cx| {
            self.conn().outbox.set_owner(cx.waker());
            Poll::Ready(())
        })
        .await;
        if !self.kept.is_empty() && self.ending().is_none() {
            self.work_kept();
        }
        let reason = poll_fn(|cx| self.poll(cx)).await;
        self.ended = Some(reason);
        self.say_goodbye(reason).await;
        reason
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let now = Instant::now();
        for _ in 0..BATCHES {
            if let Some(reason) = self.ending() {
                return Poll::Ready(reason);
            }
            if self.conn().outbox.blocked_since().is_some() {
                match self.source.socket.as_ref().poll_write_ready(cx) {
                    Poll::Ready(Ok(())) => self.conn().unblock(),
                    Poll::Ready(Err(_)) => return Poll::Ready(CloseReason::Io),
                    Poll::Pending => {}
                }
            }
            if self.poll_wait(cx, now).is_pending() {
                return self.poll_timer(cx, now);
            }
            if self.closed && !self.source.is_packed() || self.ended.is_some() {
                return Poll::Ready(self.ended.unwrap_or(CloseReason::ClientClosed));
            }
            match self.poll_read(cx, now) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(reason)) => return Poll::Ready(reason),
                Poll::Pending => return self.poll_timer(cx, now),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn ending(&self) -> Option<CloseReason> {
        if let Some(reason) = self.ended.or_else(|| self.conn().close_requested()) {
            return Some(reason);
        }
        self.conn().outbox.broken().map(|broken| match broken {
            Broken::SlowConsumer => CloseReason::SlowConsumer,
            Broken::Closed => CloseReason::Io,
        })
    }

    /// Ready when nothing keeps this connection from reading on.
    fn poll_wait(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        // One thing to wait for may follow another; each is asked, so that it knows whom to wake.
        for _ in 0..BATCHES {
            let link = matches!(self.wait, Wait::Link(_));
            ready!(self.poll_one_wait(cx, now));
            if matches!(self.wait, Wait::Nothing) {
                return Poll::Ready(());
            }
            if link && matches!(self.wait, Wait::Link(_)) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ready when what was waited for has come, and what was kept is worked off as far as it goes.
    fn poll_one_wait(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        match &mut self.wait {
            Wait::Nothing => return Poll::Ready(()),
            Wait::Readers(readers, until) => {
                if *until <= now {
                    let client = self.session.conn().is_client();
                    // What a link can't take would be lost with it: its clients wait until it takes bytes again, or
                    // its write deadline ends it. Links do not wait for one another, that could go round in a circle.
                    let patience = self.core.limits.stall_for;
                    readers.retain(|reader| {
                        (client && (reader.link().is_some() || reader.is_handler()))
                            || !reader.outbox.give_up_waiting(now, patience)
                    });
                    *until = now + patience;
                }
                readers.retain(|reader| !reader.outbox.has_room_or_wait(cx.waker()));
                if !readers.is_empty() {
                    return Poll::Pending;
                }
                self.wait = Wait::Nothing;
                return Poll::Ready(());
            }
            Wait::Quota(until) if *until > now => return Poll::Pending,
            Wait::Quota(_) => {}
            Wait::Link(until) => {
                self.patience.link_over = *until <= now;
                self.core.wait_for_link(self.session.conn().id, cx.waker());
            }
            Wait::Overload(until) => {
                self.patience.overload_over = *until <= now;
                if !self.patience.overload_over && !self.core.budget.has_room_or_wait(cx.waker()) {
                    return Poll::Pending;
                }
            }
        }
        self.work_kept();
        Poll::Ready(())
    }

    /// Works off what was kept when reading had to pause.
    fn work_kept(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        let consumed = buffers::with(|buffers| self.work_off(&kept, &mut buffers.work));
        self.keep(kept, consumed);
    }

    /// Gives `bytes` to the session and takes note of what it says; returns how many are done with.
    fn work_off(&mut self, bytes: &[u8], work: &mut Work) -> usize {
        let now = Instant::now();
        work.begin();
        let progress = self.session.read(bytes, work, self.patience, now);
        work.dirty.flush();
        work.shrink();
        if let Some(request) = work.renewal.take() {
            tokio::spawn(renewal::renew(self.core.clone(), self.conn().clone(), request));
        }
        self.need = 0;
        let was = std::mem::replace(&mut self.wait, Wait::Nothing);
        match progress.pause {
            Pause::NeedMore(need) => {
                self.need = need;
                self.patience = Patience::default();
            }
            Pause::LinkDown => {
                self.wait = match was {
                    Wait::Link(until) => Wait::Link(until),
                    _ => {
                        self.core.counters.link_held.add(1);
                        self.patience.link_over = false;
                        Wait::Link(now + self.link_hold)
                    }
                };
            }
            Pause::Overload => {
                self.wait = match was {
                    Wait::Overload(until) => Wait::Overload(until),
                    _ => {
                        self.core.counters.overload_held.add(1);
                        self.patience.overload_over = false;
                        Wait::Overload(now + self.core.limits.overload_hold)
                    }
                };
            }
            Pause::Quota(until) => {
                self.core.counters.quota_held.add(1);
                self.wait = Wait::Quota(until.max(now));
            }
            Pause::Close(reason) => self.ended = Some(reason),
        }
        if !work.dirty.full.is_empty() {
            let mut full = std::mem::take(&mut work.dirty.full);
            full.retain(|reader| !Arc::ptr_eq(reader, self.conn()) && reader.outbox.is_full());
            if !full.is_empty() && matches!(self.wait, Wait::Nothing) {
                self.wait = Wait::Readers(full, now + self.core.limits.stall_for);
            }
        }
        progress.consumed
    }

    /// Reads once and works off what came.
    fn poll_read(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Result<(), CloseReason>> {
        let read = if self.source.is_packed() {
            ready!(self.poll_read_packed(cx))
        } else if self.kept.len() > KEEP || self.need > READ {
            ready!(self.poll_read_large(cx))
        } else {
            ready!(buffers::with(|buffers| self.poll_read_batch(cx, buffers)))
        };
        match read {
            Ok(0) => Poll::Ready(Err(self.ended.unwrap_or(CloseReason::ClientClosed))),
            Ok(_) => {
                self.active = now;
                self.conn().touch(now);
                if self.session.pings().silent {
                    self.is_silent(false);
                }
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                if self.conn().link().is_some() {
                    tracing::warn!(conn = self.conn().id, %error, "link broken");
                } else {
                    tracing::debug!(conn = self.conn().id, %error, "read failed");
                }
                Poll::Ready(Err(match error.kind() {
                    io::ErrorKind::InvalidData => CloseReason::ProtocolViolation,
                    _ => CloseReason::ClientClosed,
                }))
            }
        }
    }

    /// The usual case: kept bytes and new ones side by side in the thread's buffer.
    fn poll_read_batch(&mut self, cx: &mut Context<'_>, buffers: &mut Buffers) -> Poll<io::Result<usize>> {
        let Buffers { input, plain, work } = buffers;
        let start = if self.source.is_plain() { self.kept.len() } else { 0 };
        // What is read while too much is queued will mostly have to be kept.
        let most = if self.core.budget.is_over() { READ_HELD } else { READ };
        let mut room = ReadBuf::new(&mut input[start..start + most]);
        ready!(Pin::new(&mut self.source.socket).poll_read(cx, &mut room))?;
        let read = room.filled().len();
        if read == 0 {
            return Poll::Ready(Ok(0));
        }
        let kept = std::mem::take(&mut self.kept);
        let bytes = if self.source.is_plain() {
            input[..start].copy_from_slice(&kept);
            &input[..start + read]
        } else {
            plain.clear();
            plain.extend_from_slice(&kept);
            self.closed |= !self.source.unwrap(&input[..read], plain)?;
            &plain[..]
        };
        if kept.capacity() > SMALL {
            pool::give(kept);
        }
        let consumed = if bytes.len() >= self.need { self.work_off(bytes, work) } else { 0 };
        if consumed < bytes.len() {
            let rest = &bytes[consumed..];
            // A spare buffer may be large; the start of a frame is not to hold it until the rest comes.
            self.kept = if rest.len() > SMALL { pool::take() } else { Vec::with_capacity(rest.len()) };
            self.kept.extend_from_slice(rest);
        }
        Poll::Ready(Ok(read))
    }

    /// A frame larger than the thread's buffer is gathered in a buffer of its own.
    fn poll_read_large(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = if self.source.is_plain() {
            let have = self.kept.len();
            // Room grows with what has really come, not with what was announced.
            let more = self.need.saturating_sub(have).clamp(KEEP, have.clamp(KEEP, GROW));
            self.kept.resize(have + more, 0);
            let mut room = ReadBuf::new(&mut self.kept[have..]);
            let outcome = Pin::new(&mut self.source.socket).poll_read(cx, &mut room);
            let read = room.filled().len();
            self.kept.truncate(have + read);
            ready!(outcome)?;
            read
        } else {
            ready!(buffers::with(|buffers| {
                let mut room = ReadBuf::new(&mut buffers.input);
                ready!(Pin::new(&mut self.source.socket).poll_read(cx, &mut room))?;
                if !room.filled().is_empty() {
                    self.closed |= !self.source.unwrap(room.filled(), &mut self.kept)?;
                }
                Poll::Ready(Ok::<usize, io::Error>(room.filled().len()))
            }))?
        };
        if read > 0 && self.kept.len() >= self.need {
            self.work_kept();
        }
        Poll::Ready(Ok(read))
    }

    fn keep(&mut self, mut bytes: Vec<u8>, consumed: usize) {
        if consumed == bytes.len() {
            pool::give(bytes);
        } else {
            bytes.drain(..consumed);
            self.kept = bytes;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        let conn = self.session.conn().clone();
        let reason = match self.ended {
            _ if std::thread::panicking() => {
                self.core.counters.panics.add(1);
                CloseReason::Panicked
            }
            Some(reason) => reason,
            None => CloseReason::ServerShutdown,
        };
        if conn.is_client() {
            self.core.clients.fetch_sub(1, Ordering::Relaxed);
        }
        // Others may hold on to what was shared for a while; the peer is to see the end now.
        drop(SockRef::from(self.source.socket.as_ref()).shutdown(Shutdown::Both));
        self.session.going();
        self.core.forget_held(conn.id);
        self.core.retire(&conn, reason);
        let lost = conn.outbox.dropped();
        let unexpected = conn.link().is_some() && reason != CloseReason::ServerShutdown;
        if lost > 0 || unexpected {
            tracing::warn!(conn = conn.id, identity = %conn.grant().identity, reason = reason.name(), lost, "connection closed");
        } else {
            tracing::debug!(conn = conn.id, identity = %conn.grant().identity, reason = reason.name(), "connection closed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle connection costs is mostly this: keep an eye on it.
    #[test]
    fn tasks_are_small() {
        fn size_of_future<F: Future>(_: impl FnOnce(Task) -> F) -> usize {
            size_of::<F>()
        }
        assert!(size_of_future(Task::run) <= 768, "{}", size_of_future(Task::run));
        assert!(size_of::<Conn>() <= 640, "{}", size_of::<Conn>());
        assert!(
            size_of::<crate::session::ClientSession>() <= 640,
            "{}",
            size_of::<crate::session::ClientSession>()
        );
    }
}
