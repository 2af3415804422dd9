//! Publishing: messages of one subject that arrive together are routed once and handed on together.

use std::ops::Range;
use std::sync::{Arc, Weak};
use std::time::Instant;

use wire::client::Publish;

use super::client::Flow;
use super::external::Vetted;
use super::{ClientSession, Patience, Pause, Work, reserved};
use crate::conn::{CloseReason, Conn};
use crate::mapper::Mapped;
use crate::outbox::{Appended, Load};
use crate::route::{Item, Items, Query, Route, Verdict, deliver, frame};

/// The subject at hand.
#[derive(Debug, Default)]
pub(super) struct Run {
    /// As the client wrote it.
    written: Vec<u8>,
    /// As it is routed: differs for a client's own inbox.
    subject: Vec<u8>,
    /// An answer to a request that came over this link.
    answer_over: Option<Weak<Conn>>,
    /// Under which subject, where that is another one.
    answer_to: Option<Box<[u8]>>,
    /// The next message of this subject may go elsewhere.
    this_time: bool,
    /// Rights were settled otherwise than by the static ones (an owed answer).
    trusted: bool,
    /// Messages handed on in this read batch, and bytes of them and of those at hand: not counted yet.
    handed: u64,
    bytes: u64,
}

impl Run {
    /// What came in during a read batch: messages and bytes.
    pub(super) fn take_count(&mut self) -> (u64, u64) {
        (std::mem::take(&mut self.handed), std::mem::take(&mut self.bytes))
    }

    /// Where the messages go, as their account maps subjects. `false`: nowhere.
    fn map(&mut self, conn: &Conn) -> bool {
        let mapped = match conn.account.mapper() {
            Some(mapper) => mapper.map(&self.written, &mut self.subject),
            None => Mapped::AsItIs,
        };
        match mapped {
            Mapped::AsItIs => self.subject.extend_from_slice(&self.written),
            Mapped::Always => {}
            Mapped::ThisTime => self.this_time = true,
            Mapped::Nowhere => return false,
        }
        true
    }
}

impl ClientSession {
    pub(super) fn publish(
        &mut self,
        publish: &Publish<'_>,
        bytes: &[u8],
        frame: Range<usize>,
        work: &mut Work,
        patience: Patience,
        now: Instant,
    ) -> Flow {
        if reserved::is_reserved(publish.subject) {
            self.finish_run(bytes, work);
            return self.reserved(publish, work);
        }
        if self.overloaded {
            return self.overload(publish, work, patience);
        }
        if publish.payload.len() > self.max_payload {
            return self.too_large();
        }
        if publish.has_headers && !self.conn.features.headers {
            self.complain(wire::text::HEADERS_NOT_SUPPORTED);
            return Flow::Stop(Pause::Close(CloseReason::ProtocolViolation));
        }
        if self.meter.is_on() && !self.meter.take(publish.payload.len()) {
            return self.over_rate(publish, bytes, work, now);
        }
        if work.items.is_empty() || self.run.written != publish.subject {
            self.finish_run(bytes, work);
            match self.begin_run(publish, work, patience, now) {
                Begun::Go => {}
                Begun::Skip => return Flow::Next,
                Begun::Answered => {
                    self.confirm(work);
                    return Flow::Next;
                }
                Begun::Stop(pause) => return Flow::Stop(pause),
            }
        }
        let instead;
        let vetted = match self.vet(publish) {
            Vetted::AsItIs => publish,
            Vetted::Instead(payload, header_len) => {
                instead = payload;
                &Publish { payload: &instead, header_len, tail_at: 0, ..*publish }
            }
            Vetted::BadHeaders => {
                self.complain(wire::text::BAD_MESSAGE_HEADER);
                return Flow::Stop(Pause::Close(CloseReason::ProtocolViolation));
            }
            Vetted::Refused => {
                self.core.counters.publish_denied.add(1);
                self.complain(&wire::text::publish_violation(publish.subject));
                return Flow::Next;
            }
        };
        match self.item(vetted, frame.clone(), work) {
            Some(item) => work.items.push(item),
            None => {
                self.complain(&wire::text::reply_violation(publish.reply));
                return Flow::Next;
            }
        }
        self.run.bytes += publish.payload.len() as u64;
        if self.may_repeat(publish) {
            return Flow::Past(self.take_alike(publish, bytes, &frame, work));
        }
        if self.run.trusted || self.run.answer_over.is_some() || self.run.this_time {
            // Every answer is counted against what is owed.
            self.finish_run(bytes, work);
        }
        self.confirm(work);
        Flow::Next
    }

    /// Whether messages that differ from this one in nothing but their payload need no look of their own.
    fn may_repeat(&self, publish: &Publish<'_>) -> bool {
        let as_read = publish.tail_at != 0 && !publish.has_headers && publish.reply.is_empty();
        let counted = self.meter.is_on() || self.run.trusted || self.run.answer_over.is_some();
        let alike = !counted && !self.run.this_time;
        as_read && alike && !self.conn.features.verbose && !self.looks_into(publish.subject)
    }

    /// Takes such messages behind one just taken. How many bytes they are.
    fn take_alike(
        &mut self,
        publish: &Publish<'_>,
        bytes: &[u8],
        frame: &Range<usize>,
        work: &mut Work,
    ) -> usize {
        let Some(first) = work.items.last().copied() else { return 0 };
        let length = frame.len();
        let line = bytes.get(frame.start..frame.end - publish.payload.len() - 2).unwrap_or_default();
        let count = wire::repeats(bytes.get(frame.end..).unwrap_or_default(), line, length);
        work.items.extend((1..=count).map(|n| Item { at: first.at + narrow(n * length), ..first }));
        self.run.bytes += (count * publish.payload.len()) as u64;
        count * length
    }

    /// More than the rights allow; the parser lets somewhat more pass than they may.
    fn too_large(&self) -> Flow {
        self.complain(wire::text::MAX_PAYLOAD_VIOLATION);
        Flow::Stop(Pause::Close(CloseReason::MaximumPayload))
    }

    fn begin_run(
        &mut self,
        publish: &Publish<'_>,
        work: &mut Work,
        patience: Patience,
        now: Instant,
    ) -> Begun {
        self.follow_rights();
        let run = &mut self.run;
        run.written.clear();
        run.written.extend_from_slice(publish.subject);
        run.subject.clear();
        run.answer_over = None;
        run.answer_to = None;
        run.trusted = false;
        run.this_time = false;
        let answer = self.conn.replies.owed(publish.subject, || self.conn.answers_by_right(), now);
        let own_inbox =
            self.conn.inbox.as_ref().and_then(|space| Some((space, space.rest(publish.subject)?)));
        match (&answer, own_inbox) {
            (None, Some((space, rest))) => {
                run.subject.extend_from_slice(space.own());
                run.subject.extend_from_slice(rest);
            }
            (None, None) => {
                if !run.map(&self.conn) {
                    // Nobody is there.
                    self.answer_refused(publish, work);
                    return Begun::Answered;
                }
            }
            _ => run.subject.extend_from_slice(publish.subject),
        }
        let owed = answer.is_some();
        if let Some(answer) = answer {
            run.trusted = answer.by_right;
            self.cache.forget_last();
            run.answer_over = answer.origin.as_ref().map(Arc::downgrade);
            run.answer_to = answer.routed;
        }
        if !publishable(publish.subject, &self.conn) {
            self.complain(wire::text::INVALID_PUBLISH_SUBJECT);
            return Begun::Skip;
        }
        let verdict = self.route().0.verdict;
        match verdict {
            Verdict::Deliver => {
                if owed {
                    self.conn.replies.spend(publish.subject);
                }
                Begun::Go
            }
            Verdict::Denied => {
                self.core.counters.publish_denied.add(1);
                tracing::debug!(conn = self.conn.id, identity = %self.conn.grant().identity, subject = %String::from_utf8_lossy(publish.subject), "publish denied");
                self.complain(&wire::text::publish_violation(publish.subject));
                Begun::Skip
            }
            Verdict::Hold => self.hold(publish, work, patience),
        }
    }

    /// A link this subject crosses is down.
    fn hold(&self, publish: &Publish<'_>, work: &mut Work, patience: Patience) -> Begun {
        if !patience.link_over {
            return Begun::Stop(Pause::LinkDown);
        }
        if self.answer_unavailable(publish, work) {
            self.core.counters.link_refused.add(1);
            return Begun::Answered;
        }
        Begun::Stop(Pause::Close(CloseReason::LinkUnavailable))
    }

    /// Too much is queued on this server: the publisher waits, and is refused when that takes too long.
    fn overload(&self, publish: &Publish<'_>, work: &mut Work, patience: Patience) -> Flow {
        if !patience.overload_over {
            return Flow::Stop(Pause::Overload);
        }
        if self.answer_unavailable(publish, work) {
            self.confirm(work);
            return Flow::Next;
        }
        tracing::warn!(conn = self.conn.id, identity = %self.conn.grant().identity, "publisher refused: too much is queued on this server");
        Flow::Stop(Pause::Close(CloseReason::Overloaded))
    }

    /// Refuses a message so that its publisher can try again: a request is answered with 503; where nobody would
    /// hear that the connection has to end (`false`), with the words clients reconnect on.
    fn answer_unavailable(&self, publish: &Publish<'_>, work: &mut Work) -> bool {
        let told = self.answer_refused(publish, work);
        if !told {
            self.complain(wire::text::STALE_CONNECTION);
        }
        told
    }

    /// Answers a request with 503, where its publisher listens for it.
    pub(super) fn answer_refused(&self, publish: &Publish<'_>, work: &mut Work) -> bool {
        self.conn.features.no_responders
            && !publish.reply.is_empty()
            && self.no_responders(publish.subject, publish.reply, work).is_some()
    }

    fn route(&mut self) -> (&Route, &Arc<Conn>, &[u8]) {
        let query = Query {
            subject: &self.run.subject,
            account: &self.conn.account,
            depth: 0,
            origin: &self.conn,
            queues: b"",
            inboxes: &self.core.inboxes,
            rights: self.asked.as_deref().map(|grant| &grant.rights).filter(|_| !self.run.trusted),
        };
        // An answer given by right must not be found in, nor leave a trace in, the cache of static rights.
        let generation = if self.run.trusted { 0 } else { self.generation };
        (self.cache.route(&self.run.subject, &query, generation), &self.conn, &self.run.subject)
    }

    /// The message as a tail, rewritten where it can't be passed on as it was read. `None`: the reply is refused.
    fn item(&self, publish: &Publish<'_>, frame: Range<usize>, work: &mut Work) -> Option<Item> {
        let isolated = if publish.reply.is_empty() {
            None
        } else {
            self.conn.inbox.as_ref().and_then(|space| Some((space, space.rest(publish.reply)?)))
        };
        let mut item = Item {
            at: 0,
            len: 0,
            header_len: narrow(publish.header_len),
            payload_len: narrow(publish.payload.len()),
            shown_at: 0,
            shown_len: 0,
            reply_len: 0,
            has_headers: publish.has_headers,
            rewritten: true,
            front: 0,
        };
        if isolated.is_none() && publish.tail_at != 0 {
            item.at = narrow(frame.start + publish.tail_at);
            item.len = narrow(frame.len() - publish.tail_at);
            item.reply_len = u16::try_from(publish.reply.len()).ok()?;
            item.rewritten = false;
            return Some(item);
        }
        let start = work.side.len();
        let header_len = publish.has_headers.then_some(publish.header_len);
        match isolated {
            Some((space, rest)) => {
                let reply = [space.own(), rest].concat();
                wire::encode::message_tail(&mut work.side, &reply, header_len, publish.payload);
                item.reply_len = u16::try_from(reply.len()).ok()?;
            }
            None => {
                wire::encode::message_tail(&mut work.side, publish.reply, header_len, publish.payload);
                item.reply_len = u16::try_from(publish.reply.len()).ok()?;
            }
        }
        item.at = narrow(start);
        item.len = narrow(work.side.len() - start);
        Some(item)
    }

    /// Hands the messages at hand to their targets.
    pub(super) fn finish_run(&mut self, bytes: &[u8], work: &mut Work) {
        if work.items.is_empty() {
            return;
        }
        let mut list = std::mem::take(&mut work.items);
        let side = std::mem::take(&mut work.side);
        let items = Items { list: &list, read: bytes, side: &side, singly: false };
        let over = self.run.answer_over.take().and_then(|link| link.upgrade());
        let (route, origin, subject) = self.route();
        let mut copies = deliver(route, &items, origin, &mut work.block, &mut work.dirty);
        // A route may name the reply too: then the answer has just crossed.
        let over = over.map(|link| (route.reaches(&link, subject), link));
        if let Some((false, link)) = over {
            let subject = self.run.answer_to.as_deref().unwrap_or(&self.run.subject);
            copies += send_answer(&self.conn, &link, subject, &items, work);
        }
        self.run.handed += list.len() as u64;
        if copies == 0 && self.conn.features.no_responders {
            for item in &list {
                let reply = items.reply(item);
                if !reply.is_empty() {
                    let _ = self.no_responders(&self.run.written, reply, work);
                }
            }
        }
        self.end_spent(work);
        list.clear();
        work.items = list;
        work.side = side;
        work.side.clear();
    }

    /// Tells the requester that nobody is there (status 503), on his own subscription to the reply.
    fn no_responders(&self, subject: &[u8], reply: &[u8], work: &mut Work) -> Option<()> {
        let isolated = self.conn.inbox.as_ref().and_then(|space| space.isolate(reply));
        let inside = match (&self.conn.inbox, &isolated) {
            (Some(space), Some(_)) if reply.starts_with(space.own()) => reply,
            (_, Some(isolated)) => isolated,
            _ => reply,
        };
        let mut found = None;
        self.conn.account.index().interest.matches(inside, |members| {
            if found.is_none() {
                found = members.plain().iter().find(|sub| Arc::ptr_eq(&sub.conn, &self.conn)).cloned();
            }
        });
        let sub = found?;
        let restored = self.conn.inbox.as_ref().and_then(|space| space.restore(inside));
        let shown = restored.map_or_else(|| inside.to_vec(), |rest| [crate::inbox::STOCK, rest].concat());
        let appended = self.conn.append(Load { messages: 1, payload: 0 }, |out| {
            wire::encode::no_responders(out, &shown, sub.tag(), subject)
        });
        work.dirty.note(&self.conn, appended);
        Some(())
    }

    /// Drops subscriptions (anybody's) that have had their last message.
    fn end_spent(&self, work: &mut Work) {
        for sub in work.dirty.spent.drain(..) {
            sub.conn.subs.lock().remove_exactly(&sub);
            sub.conn.account.unsubscribe(std::slice::from_ref(&sub));
        }
    }
}

/// Whether one may publish to a subject. One with wildcards goes to whoever takes all that it stands for: clients purge
/// keys in one go by it, and name filters in requests to the API of streams. Who is in a space of its own may only do
/// the latter.
fn publishable(subject: &[u8], conn: &Conn) -> bool {
    let with_wildcards = || subject.starts_with(b"$JS.") || !(conn.features.pedantic || conn.inbox.is_some());
    subject::valid_subject(subject) || (subject::valid_pattern(subject) && with_wildcards())
}

enum Begun {
    Go,
    /// The message is refused with an error.
    Skip,
    /// The message is answered with 503.
    Answered,
    Stop(Pause),
}

/// Sends an answer back over the link its request came over, whatever interest is known there.
fn send_answer(origin: &Conn, link: &Arc<Conn>, subject: &[u8], items: &Items<'_>, work: &mut Work) -> usize {
    work.block.clear();
    for item in items.list {
        frame::answer(&mut work.block, origin, link, subject, items, item);
    }
    let appended = link.append(items.load(), |out| out.extend_from_slice(&work.block));
    work.dirty.note(link, appended);
    if appended == Appended::Closed { 0 } else { items.list.len() }
}

/// Lengths within one read buffer: bounded by the payload limit, far below 4 GiB.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
