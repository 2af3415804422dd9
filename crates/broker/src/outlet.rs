//! Publishing from code in this process: in batches, to many subjects, without a socket.

use std::ops::Range;
use std::sync::Arc;

use crate::conn::{Conn, Kind};
use crate::core::Core;
use crate::route::{Dirty, Item, Items, Query, RouteCache, deliver};

/// One message to be sent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Letter<'a> {
    /// Where it goes: who is subscribed to this gets it.
    pub subject: &'a [u8],
    /// The subject it shows when that is another one (a stored event delivered to an inbox); empty otherwise.
    pub shown: &'a [u8],
    /// Where answers are wanted; empty when nowhere.
    pub reply: &'a [u8],
    /// The header block (`NATS/1.0 … CRLF CRLF`); empty without headers.
    pub headers: &'a [u8],
    /// What follows the headers.
    pub payload: &'a [u8],
}

/// What became of a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Somebody gets it.
    Ok,
    /// Somebody gets it, but has much to read already: send no more before it has caught up.
    Full,
    /// Nobody is subscribed.
    Nobody,
}

/// The messages at hand: all to one subject.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    cache: RouteCache,
    subject: Vec<u8>,
    generation: u64,
    empty: bool,
    items: Vec<Item>,
    bytes: Vec<u8>,
    payload: u64,
    block: Vec<u8>,
}

/// A batch goes on before it holds more than this.
const BATCH: usize = 256 * 1024;

impl Batch {
    /// Takes a letter; `false` when nobody is subscribed.
    fn push(&mut self, conn: &Arc<Conn>, inboxes: &[u8], letter: &Letter<'_>, dirty: &mut Dirty) -> bool {
        if self.items.is_empty() || self.subject != letter.subject || self.bytes.len() > BATCH {
            self.finish(conn, inboxes, dirty);
            self.subject.clear();
            self.subject.extend_from_slice(letter.subject);
            self.generation = conn.account.generation();
            let query = query(&self.subject, conn, inboxes);
            self.empty = self.cache.route(&self.subject, &query, self.generation).is_empty();
        }
        if self.empty {
            return false;
        }
        self.items.push(encode(&mut self.bytes, 0, letter));
        self.payload += (letter.headers.len() + letter.payload.len()) as u64;
        true
    }

    /// Hands on what is at hand.
    fn finish(&mut self, conn: &Arc<Conn>, inboxes: &[u8], dirty: &mut Dirty) {
        if self.items.is_empty() {
            return;
        }
        let query = query(&self.subject, conn, inboxes);
        let route = self.cache.route(&self.subject, &query, self.generation);
        let items = Items { list: &self.items, read: &self.bytes, side: &[], singly: false };
        deliver(route, &items, conn, &mut self.block, dirty);
        conn.count_in(self.items.len() as u64, std::mem::take(&mut self.payload));
        self.items.clear();
        self.bytes.clear();
    }
}

/// Appends what is shown and the tail of a letter; where they are is counted from `base`.
fn encode(bytes: &mut Vec<u8>, base: usize, letter: &Letter<'_>) -> Item {
    let shown_at = narrow(bytes.len() - base);
    bytes.extend_from_slice(letter.shown);
    let at = bytes.len();
    wire::encode::split_message_tail(bytes, letter.reply, letter.headers, letter.payload);
    Item {
        at: narrow(at - base),
        len: narrow(bytes.len() - at),
        header_len: narrow(letter.headers.len()),
        payload_len: narrow(letter.headers.len() + letter.payload.len()),
        shown_at,
        shown_len: u16::try_from(letter.shown.len()).unwrap_or(0),
        reply_len: u16::try_from(letter.reply.len()).unwrap_or(u16::MAX),
        has_headers: !letter.headers.is_empty(),
        rewritten: false,
        front: 0,
    }
}

fn query<'a>(subject: &'a [u8], origin: &'a Arc<Conn>, inboxes: &'a [u8]) -> Query<'a> {
    Query { subject, account: &origin.account, origin, queues: b"", inboxes, rights: None, depth: 0 }
}

/// Lengths within one batch: far below 4 GiB.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Publishes for one handler. Messages to one subject that follow one another are handed on together; nothing is
/// sure to have left before [`Outlet::flush`].
pub struct Outlet {
    core: Arc<Core>,
    conn: Arc<Conn>,
    batch: Batch,
    dirty: Dirty,
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet").field("conn", &self.conn).finish_non_exhaustive()
    }
}

impl Outlet {
    pub(crate) fn new(core: Arc<Core>, conn: Arc<Conn>) -> Self {
        Self { core, conn, batch: Batch::default(), dirty: Dirty::default() }
    }

    /// Takes a message. Its subject must be valid and without wildcards.
    pub fn push(&mut self, letter: &Letter<'_>) -> Sent {
        if !self.batch.push(&self.conn, &self.core.inboxes, letter, &mut self.dirty) {
            return Sent::Nobody;
        }
        let full = self.batch.bytes.len() > BATCH || !self.dirty.full.is_empty();
        if full { Sent::Full } else { Sent::Ok }
    }

    /// Sends what was taken. [`Sent::Full`] when some reader has more to read than it should.
    pub fn flush(&mut self) -> Sent {
        self.batch.finish(&self.conn, &self.core.inboxes, &mut self.dirty);
        self.dirty.flush();
        for sub in self.dirty.spent.drain(..) {
            sub.conn.subs.lock().remove_exactly(&sub);
            sub.conn.account.unsubscribe(std::slice::from_ref(&sub));
        }
        let full = !self.dirty.full.is_empty();
        self.dirty.full.clear();
        if full { Sent::Full } else { Sent::Ok }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Answers given by handlers during a read batch, sent when it is done.
#[derive(Default)]
pub(crate) struct Letters {
    /// From whom each of `items` is, and its subject, which it lies behind.
    list: Vec<(Arc<Conn>, Range<usize>)>,
    /// Messages as they are handed on, counted from their subject.
    items: Vec<Item>,
    bytes: Vec<u8>,
    block: Vec<u8>,
}

impl std::fmt::Debug for Letters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Letters").field("len", &self.list.len()).finish_non_exhaustive()
    }
}

impl Letters {
    pub(crate) fn push(&mut self, port: &Arc<Conn>, letter: &Letter<'_>) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(letter.subject);
        self.list.push((port.clone(), at..self.bytes.len()));
        self.items.push(encode(&mut self.bytes, at, letter));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Sends all of them; those to one subject that follow one another together.
    pub(crate) fn send(mut self, dirty: &mut Dirty) {
        let text = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let mut cache = RouteCache::default();
        let mut from = 0;
        while let Some((port, first)) = self.list.get(from) {
            let (subject, base) = (text(first), first.start);
            let alike = |(other, to): &&(Arc<Conn>, Range<usize>)| {
                to.start - base <= BATCH && Arc::ptr_eq(other, port) && text(to) == subject
            };
            let count = self.list.iter().skip(from).take_while(alike).count();
            let list = self.items.get_mut(from..from + count).unwrap_or_default();
            for (item, (_, to)) in list.iter_mut().zip(self.list.iter().skip(from)) {
                let behind = narrow(to.start - base);
                (item.at, item.shown_at) = (item.at + behind, item.shown_at + behind);
            }
            from += count;
            let Kind::Handler(seat) = &port.kind else { continue };
            let query = query(subject, port, &seat.inboxes);
            let route = cache.route(subject, &query, port.account.generation());
            let read = self.bytes.get(base..).unwrap_or_default();
            let items = Items { list, read, side: &[], singly: false };
            deliver(route, &items, port, &mut self.block, dirty);
            port.count_in(count as u64, items.load().payload as u64);
        }
        self.list.clear();
        self.items.clear();
        self.bytes.clear();
        if dirty.letters.is_empty() {
            self.bytes.shrink_to(crate::session::Work::KEPT);
            self.block.shrink_to(crate::session::Work::KEPT);
            dirty.letters = self;
        }
    }
}
