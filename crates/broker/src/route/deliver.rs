//! Handing a batch of messages to the targets of its route.
//!
//! A block of frames is encoded once and used for every target with the same prefix. A large block goes
//! straight to the socket of a target for whom nothing waits; small ones are queued and flushed when the
//! publisher's read batch is done.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use super::{How, Item, Items, Passage, Route, Target, frame};
use crate::conn::{Conn, Kind};
use crate::handler::{Call, Reception};
use crate::import::{Import, Requests};
use crate::outbox::{Appended, Load};
use crate::outlet::Letters;
use crate::subscription::Claim;

/// A block of at least this many bytes is written at once, without a detour through the outbox.
const WRITE_AT_ONCE: usize = 16 * 1024;
/// How often handlers may answer one another in one read batch.
const ROUNDS: usize = 16;

/// What a read batch has left to do: connections to flush, readers that are full, subscriptions that ended.
#[derive(Debug, Default)]
pub(crate) struct Dirty {
    flush: Vec<Arc<Conn>>,
    /// Readers to wait for before more is read from the publisher.
    pub(crate) full: Vec<Arc<Conn>>,
    /// Limited subscriptions that have had their last message.
    pub(crate) spent: Vec<crate::subscription::Sub>,
    /// Handlers that were called.
    called: Vec<Arc<Conn>>,
    /// What they answered.
    pub(crate) letters: Letters,
}

impl Dirty {
    pub(crate) fn note(&mut self, conn: &Arc<Conn>, appended: Appended) {
        match appended {
            Appended::Flush => self.flush.push(conn.clone()),
            Appended::Heaped => self.relieve(conn),
            Appended::Queued | Appended::Closed => {}
        }
    }

    /// Writes before the batch ends, where much is queued, and notes who could not take it.
    fn relieve(&mut self, conn: &Arc<Conn>) {
        conn.flush();
        self.look(conn);
    }

    /// Writes what was queued; afterwards `full` names who could not take it.
    pub(crate) fn flush(&mut self) {
        for round in 0.. {
            self.settle_handlers();
            let letters = std::mem::take(&mut self.letters);
            if letters.is_empty() {
                self.letters = letters;
                break;
            }
            if round == ROUNDS {
                tracing::warn!("handlers answer one another without end: the rest is dropped");
                break;
            }
            letters.send(self);
        }
        while let Some(conn) = self.flush.pop() {
            conn.flush();
            self.look(&conn);
        }
    }

    /// Tells the handlers that were called that no more comes for now; notes who has too much to do.
    fn settle_handlers(&mut self) {
        while let Some(conn) = self.called.pop() {
            if let Kind::Handler(seat) = &conn.kind
                && let Some(handler) = seat.handler()
            {
                handler.batch_done();
            }
            self.look(&conn);
        }
    }

    fn called(&mut self, conn: &Arc<Conn>) {
        if !self.called.iter().any(|known| Arc::ptr_eq(known, conn)) {
            self.called.push(conn.clone());
        }
    }

    fn look(&mut self, conn: &Arc<Conn>) {
        if conn.outbox.is_full() && !self.full.iter().any(|known| Arc::ptr_eq(known, conn)) {
            self.full.push(conn.clone());
        }
    }
}

/// Delivers; returns how many copies were handed to somebody.
pub(crate) fn deliver(
    route: &Route,
    items: &Items<'_>,
    origin: &Arc<Conn>,
    block: &mut Vec<u8>,
    dirty: &mut Dirty,
) -> usize {
    let mut delivery = Delivery { route, items, origin, block, dirty, encoded: 0..0 };
    let mut copies = delivery.plain();
    for members in &route.queues {
        copies += delivery.queue(route.members.get(members.clone()).unwrap_or_default());
    }
    copies += delivery.across();
    for passage in &route.passages {
        copies += pass(passage, route.text(&passage.subject), items, origin, block, dirty);
    }
    copies
}

/// Delivers in another account.
fn pass(
    passage: &Passage,
    subject: &[u8],
    items: &Items<'_>,
    origin: &Arc<Conn>,
    block: &mut Vec<u8>,
    dirty: &mut Dirty,
) -> usize {
    match &*passage.import {
        Import::Stream { .. } => deliver(&passage.route, items, origin, block, dirty),
        Import::Service { terms, .. } => {
            let requests = Requests::new(items, &passage.from, &passage.into, origin, terms);
            let copies = deliver(&passage.route, &requests.items(), origin, block, dirty);
            if copies == 0 {
                requests.give_up(&passage.into);
            }
            copies
        }
        Import::Answers => {
            let empty = items.list.iter().map(|item| item.payload_len == 0);
            let wanted = passage.from.responses.take(subject, empty, Instant::now());
            let list = items.list.get(..wanted).unwrap_or_default();
            if list.is_empty() {
                return 0;
            }
            deliver(&passage.route, &Items { list, ..*items }, origin, block, dirty)
        }
    }
}

struct Delivery<'a> {
    route: &'a Route,
    items: &'a Items<'a>,
    origin: &'a Arc<Conn>,
    block: &'a mut Vec<u8>,
    dirty: &'a mut Dirty,
    /// The prefix `block` was encoded with; empty when it holds something else.
    encoded: Range<usize>,
}

impl Delivery<'_> {
    fn plain(&mut self) -> usize {
        let all = self.items.load();
        let small = self.items.tail_bytes() < WRITE_AT_ONCE / 2;
        let mut copies = 0;
        for (at, target) in self.route.plain.iter().enumerate() {
            copies += match target.how.of(self.items) {
                How::Singly => self.items.list.iter().map(|item| self.one(target, item)).sum(),
                How::Handler => self.call(target, self.items),
                How::Block if small && self.is_alone(at, target) => self.write(target, all),
                How::Block | How::Framed => {
                    if self.encoded != target.prefix || self.encoded.is_empty() {
                        self.encode(target, 0, 1);
                    }
                    self.hand_over(target, all)
                }
            };
        }
        self.encoded = 0..0;
        copies
    }

    /// Whether nobody else gets the very same block.
    fn is_alone(&self, at: usize, target: &Target) -> bool {
        self.encoded != target.prefix
            && self.route.plain.get(at + 1).is_none_or(|next| next.prefix != target.prefix)
    }

    /// Encodes a small block where it is to go, for one target.
    fn write(&mut self, target: &Target, load: Load) -> usize {
        let conn = &target.sub.conn;
        target.sub.count(load.messages);
        let appended = conn.append(load, |out| frames(out, self.route, self.items, target, 0, 1));
        self.dirty.note(conn, appended);
        if appended == Appended::Closed { 0 } else { load.messages }
    }

    /// Deals the batch out among the members in turn, starting at a random one.
    fn queue(&mut self, members: &[Target]) -> usize {
        let step = members.len();
        let count = self.items.list.len();
        let offset = if step > 1 { fast_random() as usize % step } else { 0 };
        let mut copies = 0;
        for turn in 0..step.min(count) {
            copies += self.deal(members, (turn + offset) % step, turn, step);
        }
        copies
    }

    /// Gives every `step`th message from `start` to a member, or to the next one that takes them.
    fn deal(&mut self, members: &[Target], first: usize, start: usize, step: usize) -> usize {
        let share = self.items.load_of(start, step);
        for attempt in 0..members.len() {
            let Some(target) = members.get((first + attempt) % members.len()) else { break };
            if target.how.of(self.items) == How::Singly {
                return self.deal_singly(members, first + attempt, start, step);
            }
            if target.how == How::Handler {
                let list: Vec<Item> = self.items.list.iter().skip(start).step_by(step).copied().collect();
                let given = self.call(target, &Items { list: &list, ..*self.items });
                if given > 0 {
                    return given;
                }
                continue;
            }
            self.encode(target, start, step);
            self.encoded = 0..0;
            let given = self.hand_over(target, share);
            if given > 0 {
                return given;
            }
        }
        0
    }

    /// The same for a member that may have had enough half-way: each message goes to the next one that takes it.
    fn deal_singly(&mut self, members: &[Target], first: usize, start: usize, step: usize) -> usize {
        let count = self.items.list.len();
        let mut copies = 0;
        for at in (start..count).step_by(step) {
            let Some(item) = self.items.list.get(at) else { break };
            for target in members.iter().cycle().skip(first % members.len()).take(members.len()) {
                let given = if target.how.of(self.items) == How::Singly {
                    self.one(target, item)
                } else if target.how == How::Handler {
                    self.call(target, &Items { list: std::slice::from_ref(item), ..*self.items })
                } else {
                    self.encode(target, at, count);
                    self.encoded = 0..0;
                    self.hand_over(target, self.items.load_of(at, count))
                };
                if given > 0 {
                    copies += given;
                    break;
                }
            }
        }
        copies
    }

    /// Encodes every `step`th message from `start` for a target.
    fn encode(&mut self, target: &Target, start: usize, step: usize) {
        self.block.clear();
        frames(self.block, self.route, self.items, target, start, step);
        self.encoded = target.prefix.clone();
    }

    /// Calls a handler; how many messages it took.
    fn call(&mut self, target: &Target, items: &Items<'_>) -> usize {
        let conn = &target.sub.conn;
        let Kind::Handler(seat) = &conn.kind else { return 0 };
        let Some(handler) = seat.handler() else { return 0 };
        target.sub.count(items.list.len());
        self.dirty.called(conn);
        let subject = self.route.text(&target.prefix);
        let mut call = Call::new(subject, items, self.origin, conn, &mut self.dirty.letters);
        call.links_down = self.route.gated;
        call.elsewhere = self.route.leads_elsewhere();
        match handler.call(&mut call) {
            Reception::Taken => items.list.len(),
            Reception::Absent => 0,
        }
    }

    /// Sends the block to a target.
    fn hand_over(&mut self, target: &Target, load: Load) -> usize {
        let conn = &target.sub.conn;
        target.sub.count(load.messages);
        if send_block(conn, self.block, load, self.dirty) { load.messages } else { 0 }
    }

    /// One message to a target that needs a look at each.
    fn one(&mut self, target: &Target, item: &Item) -> usize {
        let (sub, conn) = (&target.sub, &target.sub.conn);
        match sub.claim() {
            Claim::More => {}
            Claim::Last => self.dirty.spent.push(sub.clone()),
            Claim::Spent => return 0,
        }
        let reply = self.items.reply(item);
        let routed = (item.front > 0).then(|| self.items.whole_reply(item));
        if !reply.is_empty() && (routed.is_some() || conn.tracks_replies(self.origin)) {
            let way_back = self.origin.link().and_then(|link| link.way_back(self.origin));
            let limit = conn.grant().rights.responses();
            conn.replies.note(reply, way_back.unwrap_or_default(), routed, limit, Instant::now());
        }
        let prefix = self.route.text(&target.prefix);
        let payload = self.items.payload(item);
        let load = Load { messages: 1, payload: item.payload_len as usize };
        let shown = self.items.shown(item);
        let appended = conn.append(load, |out| {
            if let Some(shown) = shown {
                let has_headers = item.has_headers && conn.features.headers;
                shown_prefix(out, shown, target, has_headers);
                if !has_headers {
                    let body = payload.get(item.header_len as usize..).unwrap_or_default();
                    wire::encode::message_tail(out, reply, None, body);
                } else {
                    out.extend_from_slice(self.items.tail(item));
                }
            } else if item.has_headers && !conn.features.headers {
                out.extend_from_slice(&prefix[1..]);
                wire::encode::message_tail(
                    out,
                    reply,
                    None,
                    payload.get(item.header_len as usize..).unwrap_or_default(),
                );
            } else {
                out.extend_from_slice(if item.has_headers { prefix } else { &prefix[1..] });
                out.extend_from_slice(self.items.tail(item));
            }
        });
        self.dirty.note(conn, appended);
        usize::from(appended != Appended::Closed)
    }

    /// To the interceptor, or over the links.
    fn across(&mut self) -> usize {
        let Some(target) = &self.route.interceptor else { return self.links() };
        let taken = self.call(target, self.items);
        if taken > 0 || self.route.gated { taken } else { self.links() }
    }

    fn links(&mut self) -> usize {
        let mut copies = 0;
        if self.route.choices.is_empty() {
            for link in &self.route.links {
                self.block.clear();
                frame::all_for_link(self.block, self.origin, self.route, link, self.items);
                if link.answers {
                    note_answers(&link.conn, self.items, self.items.list);
                }
                if send_block(&link.conn, self.block, self.items.load(), self.dirty) {
                    copies += self.items.list.len();
                }
            }
            return copies;
        }
        for item in self.items.list {
            copies += self.one_over_links(item);
        }
        copies
    }

    /// Chooses a link for every queue group that several could serve, and sends one copy to each link concerned.
    fn one_over_links(&mut self, item: &Item) -> usize {
        let mut names: Vec<Vec<u8>> =
            self.route.links.iter().map(|link| self.route.text(&link.queues).to_vec()).collect();
        for choice in &self.route.choices {
            if let Some(names) = pick(&choice.candidates).and_then(|at| names.get_mut(at)) {
                if !names.is_empty() {
                    names.push(b' ');
                }
                names.extend_from_slice(self.route.text(&choice.name));
            }
        }
        let mut copies = 0;
        for (link, queues) in self.route.links.iter().zip(&names) {
            if !link.plain && queues.is_empty() {
                continue;
            }
            self.block.clear();
            frame::for_link(self.block, self.origin, self.route, link, queues, self.items, item);
            if link.answers {
                note_answers(&link.conn, self.items, std::slice::from_ref(item));
            }
            let load = Load { messages: 1, payload: item.payload_len as usize };
            copies += usize::from(send_block(&link.conn, self.block, load, self.dirty));
        }
        copies
    }
}

/// Appends every `step`th message from `start` as a target gets it.
fn frames(out: &mut Vec<u8>, route: &Route, items: &Items<'_>, target: &Target, start: usize, step: usize) {
    let prefix = route.text(&target.prefix);
    out.reserve(items.tail_bytes() / step + (prefix.len() + 64) * items.list.len());
    let framed = target.how == How::Framed;
    for item in items.list.iter().skip(start).step_by(step) {
        if let Some(shown) = items.shown(item).filter(|_| !framed) {
            shown_prefix(out, shown, target, item.has_headers);
            out.extend_from_slice(items.tail(item));
            continue;
        }
        match (framed, item.has_headers) {
            (false, true) => out.extend_from_slice(prefix),
            (false, false) => out.extend_from_slice(&prefix[1..]),
            (true, true) => {
                out.push(b'H');
                out.extend_from_slice(&prefix[1..]);
            }
            (true, false) => out.extend_from_slice(prefix),
        }
        out.extend_from_slice(if framed { items.whole_tail(item) } else { items.tail(item) });
    }
}

/// `MSG shown sid ` (`HMSG` with headers) for a message that shows another subject than the routed one.
fn shown_prefix(out: &mut Vec<u8>, shown: &[u8], target: &Target, has_headers: bool) {
    if has_headers {
        wire::encode::header_message_prefix(out, shown, target.sub.tag());
    } else {
        wire::encode::message_prefix(out, shown, target.sub.tag());
    }
}

/// A leaf may answer what it is given.
fn note_answers(conn: &Conn, items: &Items<'_>, list: &[Item]) {
    let Some(held) = conn.link().and_then(|link| link.held.as_ref()) else { return };
    let now = Instant::now();
    list.iter().for_each(|item| held.note(items.reply(item), conn, now));
}

/// Hands a block to a connection: at once when it is large, else with the flush at the end of the batch.
fn send_block(conn: &Arc<Conn>, block: &[u8], load: Load, dirty: &mut Dirty) -> bool {
    let appended = if block.len() >= WRITE_AT_ONCE {
        let appended = conn.send(block, load);
        dirty.look(conn);
        appended
    } else {
        conn.append(load, |out| out.extend_from_slice(block))
    };
    dirty.note(conn, appended);
    appended != Appended::Closed
}

/// A random candidate, by weight.
fn pick(candidates: &[(usize, u32)]) -> Option<usize> {
    let total: u64 = candidates.iter().map(|(_, weight)| u64::from(*weight)).sum();
    let mut at = fast_random() % total.max(1);
    for (candidate, weight) in candidates {
        match at.checked_sub(u64::from(*weight)) {
            Some(left) => at = left,
            None => return Some(*candidate),
        }
    }
    None
}

/// A cheap random number (xorshift), good enough to spread load and for nothing else.
fn fast_random() -> u64 {
    use std::cell::Cell;
    thread_local! {
        static STATE: Cell<u64> = Cell::new(rand::random::<u64>() | 1);
    }
    STATE.with(|state| {
        let mut x = state.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        state.set(x);
        x
    })
}
