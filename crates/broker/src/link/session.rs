//! What the other end of a leafnode link says, and what it does to the broker.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use identity::{Permission, Rights};
use wire::Step;
use wire::leaf::{Message, Op};

use super::Link;
use super::group::{LinkGroup, LinkUp, NodeClaim};
use crate::conn::{CloseReason, Conn};
use crate::core::Core;
use crate::link::interest::is_isolated;
use crate::outbox::Load;
use crate::route::{Dirty, Item, Items, Query, RouteCache, deliver};
use crate::session::{Patience, Pause, Pings, Progress, Work};
use crate::subscription::{Sub, Subscription};

/// An established link: both ends have shown who they are.
pub(crate) struct LinkSession {
    pub(crate) conn: Arc<Conn>,
    link: Arc<Link>,
    core: Arc<Core>,
    pub(crate) cache: RouteCache,
    limits: wire::Limits,
    pub(crate) pings: Pings,
    generation: u64,
    attached: bool,
    /// A PING was sent while dialling, and is not answered yet.
    early_ping: bool,
    group: Arc<LinkGroup>,
    up: Option<LinkUp>,
    /// The node of a cluster this link goes to, held against further links there.
    _node: Option<NodeClaim>,
    run: Run,
}

/// Messages of one subject that arrived together.
#[derive(Debug, Default)]
struct Run {
    /// `subject` or `subject queues…` as read.
    key: Vec<u8>,
    subject_len: usize,
    /// What the subject is called here: usually one name, none when no route names it.
    names: Vec<Vec<u8>>,
    bytes: u64,
}

impl LinkSession {
    pub(crate) fn new(
        core: Arc<Core>,
        conn: Arc<Conn>,
        link: Arc<Link>,
        group: Arc<LinkGroup>,
        node: Option<NodeClaim>,
    ) -> Self {
        Self {
            limits: core.limits.wire(),
            conn,
            core,
            cache: RouteCache::default(),
            pings: Pings::default(),
            generation: 0,
            attached: false,
            early_ping: link.solicited,
            link,
            group,
            up: None,
            _node: node,
            run: Run::default(),
        }
    }

    /// Tells the other end our interest, and asks for a sign that it has told us all of its own.
    pub(crate) fn attach(&mut self, now: Instant) {
        if self.attached {
            return;
        }
        self.attached = true;
        self.conn.send_now(|out| self.link.announce_loop_mark(out));
        if self.link.is_active() {
            self.conn.send_now(|out| self.link.announce_inboxes(out));
            self.conn.account.attach_link(&self.conn);
        }
        self.pings.sent(now);
        self.conn.send_now(|out| out.extend_from_slice(wire::encode::PING));
    }

    /// The link is about to end: publishers are held from now on, before its interest goes.
    pub(crate) fn going(&mut self) {
        if self.up.take().is_some() {
            tracing::warn!(conn = self.conn.id, link = %self.link.name, remote = %self.link.remote_name, "link down");
        }
    }

    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        work: &mut Work,
        patience: Patience,
        now: Instant,
    ) -> Progress {
        // A link can't be refused: it is slowed down to a read batch per hold, and passes that on to its other end.
        let hold = self.core.budget.is_over() && !patience.overload_over;
        self.generation = self.conn.account.generation();
        let mut at = 0;
        let pause = loop {
            match wire::leaf::parse(&bytes[at..], &self.limits) {
                Ok(Step::Frame(Op::Message(_), _)) if hold => break Pause::Overload,
                Ok(Step::Frame(op, length)) => match self.apply(&op, bytes, at..at + length, work, now) {
                    Ok(()) => at += length,
                    Err(reason) => break Pause::Close(reason),
                },
                Ok(Step::Incomplete(need)) => break Pause::NeedMore(need),
                Err(error) => {
                    tracing::warn!(conn = self.conn.id, link = %self.link.name, %error, "protocol violation on a link");
                    self.conn.send_now(|out| wire::encode::error_line(out, error.client_text()));
                    break Pause::Close(CloseReason::ProtocolViolation);
                }
            }
        };
        self.finish_run(bytes, work);
        Progress { consumed: at, pause }
    }

    fn apply(
        &mut self,
        op: &Op<'_>,
        bytes: &[u8],
        frame: Range<usize>,
        work: &mut Work,
        now: Instant,
    ) -> Result<(), CloseReason> {
        if let Op::Message(message) = op {
            self.message(message, bytes, frame, work);
            return Ok(());
        }
        self.finish_run(bytes, work);
        match op {
            Op::Subscribe { subject, queue } => self.subscribe(subject, *queue)?,
            Op::Unsubscribe { subject, queue } => self.unsubscribe(subject, *queue),
            Op::Ping => self.conn.send_now(|out| out.extend_from_slice(wire::encode::PONG)),
            Op::Pong => {
                if self.early_ping {
                    // The answer to what was asked while dialling; an end that says nothing else has now let us in.
                    self.early_ping = false;
                    self.attach(now);
                    return Ok(());
                }
                self.pings.answered(&self.conn, now);
                if self.up.is_none() {
                    tracing::info!(conn = self.conn.id, link = %self.link.name, remote = %self.link.remote_name, "link up");
                    self.up = Some(self.group.ready(&self.conn));
                }
            }
            Op::Info(json) => self.info(json, now),
            Op::Err(text) => {
                let text = String::from_utf8_lossy(text);
                tracing::warn!(conn = self.conn.id, link = %self.link.name, %text, "the other end of the link complains");
                if text.contains("Loop detected") || text.contains("cluster name") {
                    return Err(CloseReason::LoopDetected);
                }
                // The other end closes, and would again: our own filter and its lists do not agree.
                if text.contains("Permissions Violation") {
                    return Err(CloseReason::LinkRefused);
                }
            }
            Op::Connect(_) | Op::Ok | Op::Message(_) => {}
        }
        Ok(())
    }

    /// What the other end says of itself later on: mostly what it lets us do.
    fn info(&mut self, json: &[u8], now: Instant) {
        match wire::info::LeafInfo::parse(json) {
            Ok(info) => {
                // The other end's export is what we may send, its import what we may ask for.
                let publish = info
                    .export
                    .as_ref()
                    .map(|lists| Permission::for_publish(some(&lists.allow), &lists.deny));
                let subscribe = info
                    .import
                    .as_ref()
                    .map(|lists| Permission::for_subscribe(some(&lists.allow), &lists.deny));
                if publish.is_some() || subscribe.is_some() {
                    let rights = Rights::new(
                        publish.and_then(Result::ok).unwrap_or_else(Permission::everything),
                        subscribe.and_then(Result::ok).unwrap_or_else(Permission::everything),
                        None,
                    );
                    *self.link.told.write() = [info.export.clone(), info.import.clone()];
                    self.conn.send_now(|out| self.link.allow(Some(rights), out));
                    self.conn.account.invalidate();
                }
                self.learn(&info);
                if info.connect_info {
                    self.attach(now);
                }
            }
            Err(error) => {
                tracing::warn!(conn = self.conn.id, link = %self.link.name, %error, "unreadable INFO on a link")
            }
        }
    }

    /// Where else the other end's cluster is to be found.
    fn learn(&self, info: &wire::info::LeafInfo) {
        let Some(addresses) = &self.link.addresses else { return };
        let new = addresses.learn(info.cluster_addresses());
        if new > 0 {
            tracing::info!(conn = self.conn.id, link = %self.link.name, new, "the other end's cluster told of further addresses");
        }
    }

    fn subscribe(&mut self, subject: &[u8], queue: Option<(&[u8], u32)>) -> Result<(), CloseReason> {
        if subject == self.link.loop_subject.as_bytes() {
            tracing::error!(conn = self.conn.id, link = %self.link.name, "this link closes a loop");
            let account = &self.conn.account.name;
            let text = format!(
                "Loop detected for leafnode account={account:?}. Delaying attempt to reconnect for 30s"
            );
            self.conn.send_now(|out| wire::encode::error_line(out, &text));
            return Err(CloseReason::LoopDetected);
        }
        if !subject::valid_pattern(subject) || queue.is_some_and(|(name, _)| name.len() > u16::MAX as usize) {
            return Err(CloseReason::ProtocolViolation);
        }
        for (rule, pattern) in self.local_patterns(subject) {
            let tag = tag(subject, queue.map(|(name, _)| name), rule);
            let weight = queue.map_or(1, |(_, weight)| weight);
            let name = queue.map(|(name, _)| name);
            let sub =
                Sub(Arc::new(Subscription::for_link(self.conn.clone(), &pattern, name, &tag, rule, weight)));
            let old = self.conn.subs.lock().insert(sub.clone());
            match old {
                Some(old) => self.conn.account.replace(&old, &sub),
                None => self.conn.account.subscribe(&sub),
            }
        }
        self.generation = self.conn.account.generation();
        Ok(())
    }

    fn unsubscribe(&mut self, subject: &[u8], queue: Option<&[u8]>) {
        let gone: Vec<Sub> = {
            let mut subs = self.conn.subs.lock();
            let rules = self.link.crossing.as_ref().map_or(1, |crossing| crossing.send.len());
            (0..rules)
                .filter_map(|rule| subs.remove(&tag(subject, queue, u16::try_from(rule).ok()?)))
                .collect()
        };
        self.conn.account.unsubscribe(&gone);
        self.generation = self.conn.account.generation();
    }

    /// The other end's interest in `pattern` as interest in our own subjects, with the rule that makes it so.
    fn local_patterns(&self, pattern: &[u8]) -> Vec<(u16, Vec<u8>)> {
        match &self.link.crossing {
            None => vec![(0, pattern.to_vec())],
            Some(crossing) => crossing
                .send
                .iter()
                .enumerate()
                .filter_map(|(at, rule)| Some((u16::try_from(at).ok()?, rule.source_interest(pattern)?)))
                .collect(),
        }
    }

    fn message(&mut self, message: &Message<'_>, bytes: &[u8], frame: Range<usize>, work: &mut Work) {
        let same = self.run.subject_len == message.subject.len()
            && self.run.key.starts_with(message.subject)
            && self.run.key.get(message.subject.len() + 1..).unwrap_or_default() == message.queues;
        if work.items.is_empty() || !same {
            self.finish_run(bytes, work);
            self.begin_run(message);
        }
        if self.run.names.is_empty() {
            self.core.counters.link_filtered.add(1);
            return;
        }
        self.run.bytes += message.payload.len() as u64;
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
        };
        let shown = wire::leaf::split_shown(message.reply);
        if message.tail_at == 0 || shown.is_some() {
            let (reply, shown) = shown.unwrap_or((message.reply, b""));
            item.shown_at = narrow(work.side.len());
            item.shown_len = u16::try_from(shown.len()).unwrap_or(0);
            work.side.extend_from_slice(shown);
            item.reply_len = u16::try_from(reply.len()).unwrap_or(u16::MAX);
            let start = work.side.len();
            let header_len = message.has_headers.then_some(message.header_len);
            wire::encode::message_tail(&mut work.side, reply, header_len, message.payload);
            item.at = narrow(start);
            item.len = narrow(work.side.len() - start);
            item.rewritten = true;
        }
        work.items.push(item);
    }

    fn begin_run(&mut self, message: &Message<'_>) {
        let run = &mut self.run;
        run.key.clear();
        run.key.extend_from_slice(message.subject);
        run.subject_len = message.subject.len();
        if !message.queues.is_empty() {
            run.key.push(b' ');
            run.key.extend_from_slice(message.queues);
        }
        run.names.clear();
        match &self.link.crossing {
            None => run.names.push(message.subject.to_vec()),
            Some(_) if is_isolated(message.subject, &self.core.inboxes) => {
                run.names.push(message.subject.to_vec())
            }
            Some(crossing) => {
                for rule in &crossing.receive {
                    let mut name = Vec::new();
                    if rule.apply(message.subject, &mut name) && !run.names.contains(&name) {
                        run.names.push(name);
                    }
                }
            }
        }
    }

    fn finish_run(&mut self, bytes: &[u8], work: &mut Work) {
        if work.items.is_empty() {
            return;
        }
        let mut list = std::mem::take(&mut work.items);
        let side = std::mem::take(&mut work.side);
        let items = Items { list: &list, read: bytes, side: &side };
        let queues = self.run.key.get(self.run.subject_len + 1..).unwrap_or_default();
        let mut key = Vec::new();
        for name in &self.run.names {
            let query = Query {
                subject: name,
                account: &self.conn.account,
                depth: 0,
                origin: &self.conn,
                queues,
                inboxes: &self.core.inboxes,
                trusted: true,
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
            let route = self.cache.route(key, &query, self.generation);
            let copies = deliver(route, &items, &self.conn, &mut work.block, &mut work.dirty);
            if copies == 0 && route.is_handled() {
                self.nobody_there(name, &items, &mut work.dirty);
            }
        }
        self.conn.count_in(list.len() as u64, std::mem::take(&mut self.run.bytes));
        for sub in work.dirty.spent.drain(..) {
            sub.conn.subs.lock().remove_exactly(&sub);
            sub.conn.account.unsubscribe(std::slice::from_ref(&sub));
        }
        list.clear();
        work.items = list;
        work.side = side;
        work.side.clear();
    }
}

impl LinkSession {
    /// A handler has said that nobody is there. The other end has seen its interest and can't know: requesters are told.
    fn nobody_there(&self, subject: &[u8], items: &Items<'_>, dirty: &mut Dirty) {
        for reply in items.list.iter().map(|item| items.reply(item)).filter(|reply| !reply.is_empty()) {
            let headers = wire::encode::no_responders_headers(subject);
            let appended = self.conn.append(Load::default(), |out| {
                wire::encode::leaf_header_prefix(out, reply);
                wire::encode::message_tail(out, b"", Some(headers.len()), &headers);
            });
            dirty.note(&self.conn, appended);
        }
    }
}

/// An empty list of what is allowed means everything.
fn some(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}

/// A link entry's tag: the pattern as the other side knows it, the queue, and the rule it crosses by.
fn tag(pattern: &[u8], queue: Option<&[u8]>, rule: u16) -> Vec<u8> {
    [pattern, b" ", queue.unwrap_or_default(), b" ", rule.to_string().as_bytes()].concat()
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
