//! Messages that come over a link: gathered by subject, named as they are here, and handed on together.

use std::ops::Range;
use std::sync::Arc;

use wire::leaf::Message;

use super::Link;
use super::gateway::reply;
use super::interest::is_isolated;
use crate::conn::Conn;
use crate::core::Core;
use crate::outbox::Load;
use crate::route::{Dirty, Item, Items, Query, RouteCache, deliver};
use crate::session::Work;

/// Messages of one subject that arrived together.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// `subject` or `subject queues…` as read.
    key: Vec<u8>,
    subject_len: usize,
    /// What the subject is called here: usually one name, none when no route names it.
    names: Vec<Vec<u8>>,
    bytes: u64,
    /// A reply among them names the way back.
    routed: bool,
}

/// Where messages come from, and what is needed to hand them on.
pub(crate) struct Arriving<'a> {
    pub(crate) core: &'a Core,
    pub(crate) link: &'a Link,
    /// Whom routes know as their sender.
    pub(crate) origin: &'a Arc<Conn>,
    pub(crate) cache: &'a mut RouteCache,
    /// The account's generation this read batch works with.
    pub(crate) generation: u64,
}

/// Messages handed on, and their bytes.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Handed {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Arrivals {
    /// Takes a message; those of another subject before it are handed on first.
    pub(crate) fn take(
        &mut self,
        from: &mut Arriving<'_>,
        message: &Message<'_>,
        bytes: &[u8],
        frame: Range<usize>,
        work: &mut Work,
    ) -> Handed {
        let same = self.is_of(message);
        let mut handed = Handed::default();
        if work.items.is_empty() || !same {
            handed = self.finish(from, bytes, work);
            self.begin(from, message);
        }
        if self.names.is_empty() {
            from.core.counters.link_filtered.add(1);
            return handed;
        }
        self.bytes += message.payload.len() as u64;
        let item = self.item(message, frame, work);
        work.items.push(item);
        handed
    }

    /// Takes those behind a message just taken that differ from it in nothing but their payload: their lines need no
    /// look of their own. How many bytes that are.
    pub(crate) fn take_alike(
        &mut self,
        message: &Message<'_>,
        bytes: &[u8],
        frame: &Range<usize>,
        work: &mut Work,
    ) -> usize {
        let as_read = message.tail_at != 0 && !message.has_headers && message.reply.is_empty();
        let Some(first) = work.items.last().copied().filter(|item| as_read && !item.rewritten) else {
            return 0;
        };
        let length = frame.len();
        let line = bytes.get(frame.start..frame.end - message.payload.len() - 2).unwrap_or_default();
        let count = wire::repeats(bytes.get(frame.end..).unwrap_or_default(), line, length);
        work.items.extend((1..=count).map(|n| Item { at: first.at + narrow(n * length), ..first }));
        self.bytes += (count * message.payload.len()) as u64;
        count * length
    }

    /// Whether a message is one of those at hand.
    fn is_of(&self, message: &Message<'_>) -> bool {
        self.subject_len == message.subject.len()
            && self.key.starts_with(message.subject)
            && match message.queues {
                // Nothing is not compared with nothing: `memcmp` of no bytes at a dangling address is anything but cheap.
                [] => self.key.len() == self.subject_len,
                queues => self.key.get(self.subject_len + 1..) == Some(queues),
            }
    }

    /// The message as its tail; a reply that holds more than a reply is taken apart.
    fn item(&mut self, message: &Message<'_>, frame: Range<usize>, work: &mut Work) -> Item {
        let mut item = Item {
            at: narrow(frame.start + message.tail_at),
            len: narrow(frame.len() - message.tail_at),
            header_len: narrow(message.header_len),
            payload_len: narrow(message.payload.len()),
            shown_at: 0,
            shown_len: 0,
            reply_len: u16::try_from(message.reply.len()).unwrap_or(u16::MAX),
            has_headers: message.has_headers,
            rewritten: false,
            front: 0,
        };
        let front = reply::split(message.reply).map_or(0, |routed| routed.front);
        let (front, rest) = message.reply.split_at(front);
        let shown = wire::leaf::split_shown(rest);
        if message.tail_at != 0 && shown.is_none() && front.is_empty() {
            return item;
        }
        let (reply, shown) = shown.unwrap_or((rest, b""));
        item.shown_at = narrow(work.side.len());
        item.shown_len = u16::try_from(shown.len()).unwrap_or(0);
        work.side.extend_from_slice(shown);
        item.reply_len = u16::try_from(reply.len()).unwrap_or(u16::MAX);
        item.front = u8::try_from(front.len()).unwrap_or(0);
        self.routed |= !front.is_empty();
        work.side.extend_from_slice(front);
        let start = work.side.len();
        let header_len = message.has_headers.then_some(message.header_len);
        wire::encode::message_tail(&mut work.side, reply, header_len, message.payload);
        item.at = narrow(start);
        item.len = narrow(work.side.len() - start);
        item.rewritten = true;
        item
    }

    fn begin(&mut self, from: &Arriving<'_>, message: &Message<'_>) {
        self.key.clear();
        self.key.extend_from_slice(message.subject);
        self.subject_len = message.subject.len();
        if !message.queues.is_empty() {
            self.key.push(b' ');
            self.key.extend_from_slice(message.queues);
        }
        self.names.clear();
        self.routed = false;
        match &from.link.crossing {
            None => self.names.push(message.subject.to_vec()),
            Some(_) if is_isolated(message.subject, &from.core.inboxes) => {
                self.names.push(message.subject.to_vec());
            }
            Some(crossing) => {
                for rule in &crossing.receive {
                    let mut name = Vec::new();
                    if rule.apply(message.subject, &mut name) && !self.names.contains(&name) {
                        self.names.push(name);
                    }
                }
            }
        }
    }

    /// Hands on what is at hand.
    pub(crate) fn finish(&mut self, from: &mut Arriving<'_>, bytes: &[u8], work: &mut Work) -> Handed {
        if work.items.is_empty() {
            return Handed::default();
        }
        let mut list = std::mem::take(&mut work.items);
        let side = std::mem::take(&mut work.side);
        let items = Items { list: &list, read: bytes, side: &side, singly: self.routed };
        let queues = self.key.get(self.subject_len + 1..).unwrap_or_default();
        let mut key = Vec::new();
        for name in &self.names {
            let query = Query {
                subject: name,
                account: &from.origin.account,
                depth: 0,
                origin: from.origin,
                queues,
                inboxes: &from.core.inboxes,
                rights: None,
            };
            let key: &[u8] = if queues.is_empty() {
                name
            } else {
                key.clear();
                key.extend_from_slice(name);
                key.push(b' ');
                key.extend_from_slice(queues);
                &key
            };
            let route = from.cache.route(key, &query, from.generation);
            let copies = deliver(route, &items, from.origin, &mut work.block, &mut work.dirty);
            if copies == 0 && route.is_handled() {
                nobody_there(from, name, &items, &mut work.dirty);
            }
        }
        let handed = Handed { messages: list.len() as u64, bytes: std::mem::take(&mut self.bytes) };
        for sub in work.dirty.spent.drain(..) {
            sub.conn.subs.lock().remove_exactly(&sub);
            sub.conn.account.unsubscribe(std::slice::from_ref(&sub));
        }
        list.clear();
        work.items = list;
        work.side = side;
        work.side.clear();
        handed
    }
}

/// A handler has said that nobody is there. The other end has seen its interest and can't know: requesters are told.
fn nobody_there(from: &Arriving<'_>, subject: &[u8], items: &Items<'_>, dirty: &mut Dirty) {
    let Some(back) = from.link.way_back(from.origin).and_then(|way| way.upgrade()) else { return };
    for reply in items.list.iter().map(|item| items.whole_reply(item)).filter(|reply| !reply.is_empty()) {
        let headers = wire::encode::no_responders_headers(subject);
        let appended = back.append(Load::default(), |out| {
            if from.link.is_gateway() {
                let account = from.origin.account.name.as_bytes();
                wire::encode::leaf_header_prefix(out, &[account, b" ", reply].concat());
            } else {
                wire::encode::leaf_header_prefix(out, reply);
            }
            wire::encode::message_tail(out, b"", Some(headers.len()), &headers);
        });
        dirty.note(&back, appended);
    }
}

/// Lengths within one read buffer: bounded by the payload limit, far below 4 GiB.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
