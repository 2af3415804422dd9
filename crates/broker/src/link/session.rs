//! What the other end of a leafnode link says, and what it does to the broker.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use identity::{Permission, Rights};
use wire::Step;
use wire::leaf::{Message, Op};

use super::Link;
use super::arrivals::{Arrivals, Arriving};
use super::group::{LinkGroup, LinkUp, NodeClaim};
use super::heard::Heard;
use super::interest::LEAF;
use crate::conn::{CloseReason, Conn};
use crate::core::Core;
use crate::route::RouteCache;
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
    arrivals: Arrivals,
    /// What the other end wants, where it lets us compare.
    heard: Option<Heard>,
}

impl LinkSession {
    pub(crate) fn new(
        core: Arc<Core>,
        conn: Arc<Conn>,
        link: Arc<Link>,
        group: Arc<LinkGroup>,
        node: Option<NodeClaim>,
    ) -> Self {
        let compared = link.announced.lock().is_compared();
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
            arrivals: Arrivals::default(),
            heard: compared.then(Heard::default),
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
            self.conn.send_now(|out| self.link.announce_inboxes(&self.conn.account.name, out));
            self.conn.account.attach_link(&self.conn);
        }
        self.sum_up();
        self.pings.sent(now);
        self.conn.send_now(|out| out.extend_from_slice(wire::encode::PING));
    }

    pub(crate) fn group(&self) -> &Arc<LinkGroup> {
        &self.group
    }

    /// Tells the other end what it should know of our interest by now.
    pub(crate) fn sum_up(&self) {
        self.conn.send_now(|out| self.link.sum_up(out));
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
                    Ok(more) => at += length + more,
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

    /// Does what one operation says; how many bytes behind it are done with, too.
    fn apply(
        &mut self,
        op: &Op<'_>,
        bytes: &[u8],
        frame: Range<usize>,
        work: &mut Work,
        now: Instant,
    ) -> Result<usize, CloseReason> {
        if let Op::Message(message) = op {
            if let Some(held) = &self.link.held
                && !held.may_send(message.subject, &self.conn, now)
            {
                self.finish_run(bytes, work);
                return Err(self.violation(&wire::text::publish_violation(message.subject)));
            }
            return Ok(self.message(message, bytes, frame, work));
        }
        self.finish_run(bytes, work);
        match op {
            Op::Subscribe { subject, queue } => self.subscribe(subject, *queue)?,
            Op::Unsubscribe { subject, queue } => self.unsubscribe(subject, *queue),
            Op::Ping => self.conn.send_ahead(wire::encode::PONG),
            Op::Pong => {
                if self.early_ping {
                    // The answer to what was asked while dialling; an end that says nothing else has now let us in.
                    self.early_ping = false;
                    self.attach(now);
                    return Ok(0);
                }
                self.pings.answered(&self.conn, now);
                if let (Some(compressed), Some(rtt)) = (&self.link.compressed, self.conn.rtt()) {
                    compressed.tune(rtt);
                }
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
        Ok(0)
    }

    /// A leaf does what it was told it may not: stock servers, too, end the link then, and the leaf waits with the next.
    fn violation(&self, text: &str) -> CloseReason {
        tracing::error!(conn = self.conn.id, link = %self.link.name, %text, "a leaf does what it was told it may not");
        self.conn.send_now(|out| wire::encode::error_line(out, text));
        CloseReason::ProtocolViolation
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
                if let (Some(heard), Some(said)) = (&mut self.heard, &info.gatehouse) {
                    let counted = |sub: &Sub| !sub.tag_pattern().starts_with(b"$LDS.");
                    let stale = heard.hear(said, &self.conn, &self.core.counters, counted);
                    self.conn.account.unsubscribe(&stale);
                    if said.retell {
                        self.conn.send_now(|out| self.link.retell(&self.conn.account.name, out));
                    }
                }
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
        if self.link.held.as_ref().is_some_and(|held| !held.may_ask(subject, queue.map(|(name, _)| name))) {
            return Err(self.violation(&wire::text::subscription_violation(subject, None)));
        }
        if let Some(heard) = &mut self.heard {
            heard.told(LEAF, subject, queue.map(|(name, _)| name), queue.map_or(1, |(_, weight)| weight));
        }
        for (rule, pattern) in self.link.local_patterns(subject) {
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
        if let Some(heard) = &mut self.heard {
            heard.taken_back(LEAF, subject, queue);
        }
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

    /// Takes a message, and those behind it that are like it: how many bytes these are.
    fn message(
        &mut self,
        message: &Message<'_>,
        bytes: &[u8],
        frame: Range<usize>,
        work: &mut Work,
    ) -> usize {
        // Answers are counted one by one.
        let counted = self.link.held.as_ref().is_some_and(|held| held.counts_answers());
        let (mut from, arrivals) = self.arriving();
        let handed = arrivals.take(&mut from, message, bytes, frame.clone(), work);
        let more = if counted { 0 } else { arrivals.take_alike(message, bytes, &frame, work) };
        if handed.messages > 0 {
            self.conn.count_in(handed.messages, handed.bytes);
        }
        more
    }

    fn finish_run(&mut self, bytes: &[u8], work: &mut Work) {
        let (mut from, arrivals) = self.arriving();
        let handed = arrivals.finish(&mut from, bytes, work);
        if handed.messages > 0 {
            self.conn.count_in(handed.messages, handed.bytes);
        }
    }

    fn arriving(&mut self) -> (Arriving<'_>, &mut Arrivals) {
        let from = Arriving {
            core: &self.core,
            link: &self.link,
            origin: &self.conn,
            cache: &mut self.cache,
            generation: self.generation,
        };
        (from, &mut self.arrivals)
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
