//! The connection of another cluster's server to us: its messages come in, our interest leaves on it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use wire::Step;
use wire::gateway::{Message, Op};
use wire::info::{Extension, GatewayInfo};

use super::reply::{self, Destination};
use super::{Cluster, Gateways};
use crate::conn::{CloseReason, Conn};
use crate::core::Core;
use crate::link::Link;
use crate::link::arrivals::{Arrivals, Arriving};
use crate::route::RouteCache;
use crate::session::{Patience, Pause, Pings, Progress, Work};

/// An established inbound connection.
pub(crate) struct GatewayIn {
    pub(crate) conn: Arc<Conn>,
    link: Arc<Link>,
    cluster: Arc<Cluster>,
    gateways: Arc<Gateways>,
    core: Arc<Core>,
    limits: wire::Limits,
    pub(crate) pings: Pings,
    /// The other server has introduced itself, and been told our interest.
    registered: bool,
    /// It has answered since: it knows all of it.
    counted: bool,
    /// What came lately, by account.
    sources: HashMap<Box<[u8]>, Source>,
    /// The account of the messages at hand.
    current: Box<[u8]>,
    arrivals: Arrivals,
}

/// One account's messages of the other cluster.
struct Source {
    /// Whom routes know as their sender; `None` where nobody here has such an account.
    origin: Option<Arc<Conn>>,
    cache: RouteCache,
    generation: u64,
}

impl GatewayIn {
    pub(crate) fn new(
        core: Arc<Core>,
        gateways: Arc<Gateways>,
        cluster: Arc<Cluster>,
        conn: Arc<Conn>,
        link: Arc<Link>,
    ) -> Self {
        cluster.entered();
        Self {
            limits: core.limits.wire(),
            conn,
            link,
            cluster,
            gateways,
            core,
            pings: Pings::default(),
            registered: false,
            counted: false,
            sources: HashMap::new(),
            current: Box::default(),
            arrivals: Arrivals::default(),
        }
    }

    /// The connection is about to end.
    pub(crate) fn going(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.cluster.inbound_ends(&self.gateways.terms.group);
        }
    }

    /// Gives back what an idle connection does not need.
    pub(crate) fn rest(&mut self) {
        self.sources = HashMap::new();
    }

    pub(crate) fn is_rested(&self) -> bool {
        self.sources.is_empty()
    }

    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        work: &mut Work,
        patience: Patience,
        now: Instant,
    ) -> Progress {
        // As with leafnodes: not refused, but slowed down.
        let hold = self.core.budget.is_over() && !patience.overload_over;
        for source in self.sources.values_mut() {
            source.generation = source.origin.as_ref().map_or(0, |origin| origin.account.generation());
        }
        let mut at = 0;
        let pause = loop {
            match wire::gateway::parse(&bytes[at..], &self.limits) {
                Ok(Step::Frame(Op::Message { .. }, _)) if hold => break Pause::Overload,
                Ok(Step::Frame(op, length)) => match self.apply(&op, bytes, at..at + length, work, now) {
                    Ok(more) => at += length + more,
                    Err(reason) => break Pause::Close(reason),
                },
                Ok(Step::Incomplete(need)) => break Pause::NeedMore(need),
                Err(error) => {
                    tracing::warn!(conn = self.conn.id, cluster = %self.cluster.name, %error, "protocol violation on a gateway");
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
        if let Op::Message { account, message } = op {
            return Ok(self.message(account, message, bytes, frame, work));
        }
        self.finish_run(bytes, work);
        match op {
            Op::Info(json) => self.info(json, now)?,
            Op::Ping => self.conn.send_ahead(wire::encode::PONG),
            Op::Pong => {
                self.pings.answered(&self.conn, now);
                if self.registered && !self.counted {
                    self.counted = true;
                    self.cluster.inbound_begins(&self.gateways.terms.group);
                }
            }
            Op::Err(text) => {
                let text = String::from_utf8_lossy(text);
                tracing::warn!(conn = self.conn.id, cluster = %self.cluster.name, %text, "the other cluster complains");
            }
            Op::Subscribe { .. }
            | Op::Unsubscribe { .. }
            | Op::AccountSubscribe(_)
            | Op::AccountUnsubscribe(_) => {
                tracing::warn!(conn = self.conn.id, cluster = %self.cluster.name, "interest where only messages come in");
                return Err(CloseReason::ProtocolViolation);
            }
            Op::Connect(_) | Op::Ok | Op::Message { .. } => {}
        }
        Ok(0)
    }

    /// The other server introduces itself: it is told of other clusters and of our interest, and dialled in turn.
    fn info(&mut self, json: &[u8], now: Instant) -> Result<(), CloseReason> {
        let Ok(info) = GatewayInfo::parse(json) else {
            tracing::warn!(conn = self.conn.id, cluster = %self.cluster.name, "unreadable INFO on a gateway");
            return Err(CloseReason::ProtocolViolation);
        };
        if info.gateway.as_deref() != Some(self.cluster.name.as_str()) {
            tracing::warn!(conn = self.conn.id, cluster = %self.cluster.name, named = ?info.gateway, "CONNECT and INFO name different clusters");
            return Err(CloseReason::ProtocolViolation);
        }
        self.gateways.discover(&self.cluster.name, &info.gateway_urls);
        if std::mem::replace(&mut self.registered, true) {
            if let Some(said) = &info.gatehouse {
                self.tell_again(said);
            }
            return Ok(());
        }
        if info.gatehouse.is_some_and(|said| said.has(Extension::INTEREST)) {
            self.link.announced.lock().compare();
        }
        self.conn.send_now(|out| self.gateways.gossip(&self.core, &self.cluster.name, out));
        match &self.link.crossing {
            Some(_) => self.conn.account.attach_link(&self.conn),
            None => self.core.accounts().iter().for_each(|account| account.attach_link(&self.conn)),
        }
        self.pings.sent(now);
        self.conn.send_now(|out| out.extend_from_slice(wire::encode::PING));
        Ok(())
    }

    /// Tells the other end what it should know of our interest by now.
    pub(crate) fn sum_up(&self) {
        self.conn.send_now(|out| self.link.sum_up(out));
    }

    /// The other end has found that it knows something else than it was told.
    fn tell_again(&self, said: &Extension) {
        if said.sums {
            self.conn.send_now(|out| self.link.sum_up_accounts(out));
        }
        if let (true, Some(account)) = (said.retell, &said.account) {
            self.conn.send_now(|out| self.link.retell(account, out));
        }
    }

    /// Takes a message, and those behind it that are like it: how many bytes these are.
    fn message(
        &mut self,
        account: &[u8],
        message: &Message<'_>,
        bytes: &[u8],
        frame: Range<usize>,
        work: &mut Work,
    ) -> usize {
        if *self.current != *account {
            self.finish_run(bytes, work);
            self.current = account.into();
        }
        let mut message = *message;
        match reply::destination(message.subject, &self.gateways.hash) {
            Destination::Ordinary => {}
            Destination::Here(subject) => message.subject = subject,
            Destination::Elsewhere => {
                self.core.counters.link_filtered.add(1);
                return 0;
            }
        }
        let Some((mut from, arrivals)) = self.arriving() else { return 0 };
        let handed = arrivals.take(&mut from, &message, bytes, frame.clone(), work);
        let more = arrivals.take_alike(&message, bytes, &frame, work);
        if handed.messages > 0 {
            self.conn.count_in(handed.messages, handed.bytes);
        }
        more
    }

    fn finish_run(&mut self, bytes: &[u8], work: &mut Work) {
        if work.items.is_empty() {
            return;
        }
        let Some((mut from, arrivals)) = self.arriving() else { return };
        let handed = arrivals.finish(&mut from, bytes, work);
        if handed.messages > 0 {
            self.conn.count_in(handed.messages, handed.bytes);
        }
    }

    /// Where the messages at hand come from; `None` where nobody here has such an account, which the other end is told.
    fn arriving(&mut self) -> Option<(Arriving<'_>, &mut Arrivals)> {
        if !self.sources.contains_key(&*self.current) {
            let source = self.source();
            // What is kept is a cache: a peer that names account after account starts it anew.
            if self.sources.len() >= super::MOST_ACCOUNTS {
                self.sources.clear();
            }
            self.sources.insert(self.current.clone(), source);
        }
        let source = self.sources.get_mut(&*self.current)?;
        let origin = source.origin.as_ref()?;
        let from = Arriving {
            core: &self.core,
            link: &self.link,
            origin,
            cache: &mut source.cache,
            generation: source.generation,
        };
        Some((from, &mut self.arrivals))
    }

    fn source(&self) -> Source {
        let account = self.gateways.account(&self.core, &self.current);
        if account.is_none() {
            self.conn.send_now(|out| wire::encode::account_unsubscribe(out, &self.current));
        }
        let generation = account.as_ref().map_or(0, |account| account.generation());
        let origin = account.map(|account| self.core.stand_in(&self.link, account));
        Source { origin, cache: RouteCache::default(), generation }
    }
}

impl Drop for GatewayIn {
    fn drop(&mut self) {
        self.going();
        self.cluster.left();
    }
}
