//! A client in this process: publishes and subscribes without a socket, under the same bounds as others.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use identity::Grant;
use parking_lot::Mutex;
use tokio::sync::Notify;
use wire::Step;
use wire::leaf::Op;

use crate::conn::{About, CloseReason, Conn, ConnParts, Features, Kind};
use crate::core::Core;
use crate::outbox::Pipe;
use crate::route::{Item, Items, Query, Route, Verdict, deliver};
use crate::session::Work;
use crate::subscription::{Sub, Subscription};

/// Bytes a local client may leave unread before its outbox fills (and then publishers feel it).
const UNREAD: usize = 256 * 1024;

/// A message as a local client gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMessage {
    /// What it was published to.
    pub subject: Vec<u8>,
    /// Where answers are wanted; empty when nowhere.
    pub reply: Vec<u8>,
    /// The header block, empty without headers.
    pub headers: Vec<u8>,
    /// The payload.
    pub payload: Vec<u8>,
}

/// Why a local publish was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// Not a subject one can publish to.
    #[error("not a valid subject")]
    Subject,
    /// The grant has no right to it.
    #[error("no right to this subject")]
    Denied,
    /// The link the subject crosses is down.
    #[error("the link this subject crosses is down")]
    LinkDown,
    /// Nobody is subscribed.
    #[error("nobody is subscribed")]
    NoResponders,
    /// The client has been closed.
    #[error("closed")]
    Closed,
}

#[derive(Default)]
struct Inbound {
    bytes: Mutex<Vec<u8>>,
    arrived: Notify,
}

impl Pipe for Inbound {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut unread = self.bytes.lock();
        if unread.len() >= UNREAD {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let take = bytes.len().min(UNREAD - unread.len());
        unread.extend_from_slice(&bytes[..take]);
        self.arrived.notify_one();
        Ok(take)
    }

    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection without a socket.
pub struct LocalClient {
    core: Arc<Core>,
    conn: Arc<Conn>,
    inbound: Arc<Inbound>,
    next_sid: u64,
    /// What came for subscriptions while an answer was waited for.
    aside: VecDeque<LocalMessage>,
}

impl LocalClient {
    pub(crate) fn new(core: Arc<Core>, name: &str, grant: Arc<Grant>) -> Self {
        let inbound = Arc::new(Inbound::default());
        let conn = Arc::new(Conn::new(ConnParts {
            id: core.next_id(),
            kind: Kind::Local,
            outbox: core.outbox(false),
            pipe: inbound.clone(),
            account: core.account(&grant.account),
            grant,
            features: Features::default(),
            inbox: None,
            about: About::of_this_process(name),
            max_pending_replies: 0,
        }));
        core.register(&conn);
        Self { core, conn, inbound, next_sid: 0, aside: VecDeque::new() }
    }

    /// Subscribes to a pattern, in a queue group if one is named.
    ///
    /// # Errors
    /// The pattern is none, or the grant has no right to it.
    pub fn subscribe(&mut self, pattern: &str, queue: Option<&str>) -> Result<(), LocalError> {
        if !subject::valid_pattern(pattern.as_bytes()) {
            return Err(LocalError::Subject);
        }
        let queue = queue.map(str::as_bytes);
        if !self.conn.grant().rights.may_subscribe(pattern.as_bytes(), queue) {
            return Err(LocalError::Denied);
        }
        self.next_sid += 1;
        let sid = self.next_sid.to_string();
        let sub =
            Sub(Arc::new(Subscription::new(self.conn.clone(), pattern.as_bytes(), queue, sid.as_bytes())));
        self.conn.subs.lock().insert(sub.clone());
        self.conn.account.subscribe(&sub);
        Ok(())
    }

    /// Publishes one message.
    ///
    /// # Errors
    /// See [`LocalError`]; [`LocalError::NoResponders`] says that it was given to nobody.
    pub fn publish(&self, subject: &[u8], reply: &[u8], payload: &[u8]) -> Result<(), LocalError> {
        if !subject::valid_subject(subject) {
            return Err(LocalError::Subject);
        }
        let mut tail = Vec::with_capacity(reply.len() + payload.len() + 24);
        wire::encode::message_tail(&mut tail, reply, None, payload);
        let item = Item {
            at: 0,
            len: u32::try_from(tail.len()).unwrap_or(u32::MAX),
            header_len: 0,
            payload_len: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            shown_at: 0,
            shown_len: 0,
            reply_len: u16::try_from(reply.len()).unwrap_or(u16::MAX),
            has_headers: false,
            rewritten: false,
            front: 0,
        };
        let mut route = Route::default();
        let grant = self.conn.grant();
        let query = Query {
            subject,
            account: &self.conn.account,
            origin: &self.conn,
            queues: b"",
            inboxes: &self.core.inboxes,
            rights: Some(&grant.rights),
            depth: 0,
        };
        route.derive(&query, 0);
        match route.verdict {
            Verdict::Denied => return Err(LocalError::Denied),
            Verdict::Hold => return Err(LocalError::LinkDown),
            Verdict::Deliver if route.is_empty() => return Err(LocalError::NoResponders),
            Verdict::Deliver => {}
        }
        let mut work = Work::default();
        let items = Items { list: &[item], read: &tail, side: &[], singly: false };
        let copies = deliver(&route, &items, &self.conn, &mut work.block, &mut work.dirty);
        work.dirty.flush();
        self.conn.count_in(1, payload.len() as u64);
        if copies == 0 { Err(LocalError::NoResponders) } else { Ok(()) }
    }

    /// The next message, when there is one; waits for it otherwise. `None` when the client was closed.
    pub async fn next(&mut self) -> Option<LocalMessage> {
        match self.aside.pop_front() {
            Some(message) => Some(message),
            None => self.arrive().await,
        }
    }

    /// The next message from the pipe.
    async fn arrive(&mut self) -> Option<LocalMessage> {
        loop {
            if let Some(message) = self.take() {
                return Some(message);
            }
            if self.conn.outbox.broken().is_some() {
                return None;
            }
            let arrived = self.inbound.arrived.notified();
            if self.conn.outbox.blocked_since().is_some() {
                self.conn.unblock();
                continue;
            }
            arrived.await;
        }
    }

    #[cfg(test)]
    pub(crate) fn poll_now(&mut self) -> Option<LocalMessage> {
        self.take()
    }

    fn take(&mut self) -> Option<LocalMessage> {
        let mut unread = self.inbound.bytes.lock();
        let limits = wire::Limits { max_payload: usize::MAX, ..self.core.limits.wire() };
        let Ok(Step::Frame(op, used)) = wire::leaf::parse(&unread, &limits) else { return None };
        let message = match op {
            Op::Message(message) => Some(LocalMessage {
                subject: message.subject.to_vec(),
                reply: message.reply.to_vec(),
                headers: message.payload.get(..message.header_len).unwrap_or_default().to_vec(),
                payload: message.payload.get(message.header_len..).unwrap_or_default().to_vec(),
            }),
            _ => None,
        };
        unread.drain(..used);
        message
    }

    /// Publishes a request and waits for the first answer.
    ///
    /// # Errors
    /// What [`LocalClient::publish`] fails with, or [`LocalError::Closed`]. There is no answer in time when the
    /// caller's own timeout says so.
    pub async fn request(&mut self, subject: &[u8], payload: &[u8]) -> Result<LocalMessage, LocalError> {
        // Below the server's inbox prefix: comes back over any link.
        let mut reply = self.core.inboxes.to_vec();
        reply.extend_from_slice(crate::inbox::random_token(22).as_bytes());
        let sub = Sub(Arc::new(Subscription::new(self.conn.clone(), &reply, None, &reply)));
        self.conn.subs.lock().insert(sub.clone());
        self.conn.account.subscribe(&sub);
        let _ended = EndSubscription(self.conn.clone(), sub);
        self.publish(subject, &reply, payload)?;
        loop {
            let message = self.arrive().await.ok_or(LocalError::Closed)?;
            if message.subject == reply {
                return Ok(message);
            }
            self.aside.push_back(message);
        }
    }
}

/// Ends a request's subscription, also when the request is dropped.
struct EndSubscription(Arc<Conn>, Sub);

impl Drop for EndSubscription {
    fn drop(&mut self) {
        self.0.subs.lock().remove(self.1.tag());
        self.0.account.unsubscribe(std::slice::from_ref(&self.1));
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        self.core.retire(&self.conn, CloseReason::ClientClosed);
    }
}
