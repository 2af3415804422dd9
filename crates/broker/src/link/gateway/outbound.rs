//! Our connection to another cluster: our messages leave on it, its interest comes in.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use wire::Step;
use wire::gateway::Op;
use wire::info::{GatewayCommand, GatewayInfo};

use super::{Cluster, Gateways};
use crate::account::Account;
use crate::conn::{CloseReason, Conn};
use crate::core::Core;
use crate::link::heard::Heard;
use crate::link::{Link, LinkGroup};
use crate::session::{Pause, Pings, Progress};
use crate::subscription::{Sub, Subscription};

/// An established outbound connection.
pub(crate) struct GatewayOut {
    pub(crate) conn: Arc<Conn>,
    link: Arc<Link>,
    cluster: Arc<Cluster>,
    gateways: Arc<Gateways>,
    core: Arc<Core>,
    limits: wire::Limits,
    pub(crate) pings: Pings,
    /// Accounts whose interest is being told.
    telling: HashSet<Vec<u8>>,
    /// The PING that followed our INFO was answered: every account has begun to be told.
    answered: bool,
    /// All interest there was at the start has been told.
    told: bool,
    /// What was told, where the other end lets us compare.
    heard: Option<Heard>,
}

/// What an outbound connection is made from.
pub(crate) struct OutParts {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) conn: Arc<Conn>,
    pub(crate) link: Arc<Link>,
    /// The other end lets us compare what we know of its interest.
    pub(crate) compared: bool,
}

impl GatewayOut {
    pub(crate) fn new(core: Arc<Core>, gateways: Arc<Gateways>, parts: OutParts, now: Instant) -> Self {
        let OutParts { cluster, conn, link, compared } = parts;
        let mut pings = Pings::default();
        pings.sent(now);
        cluster.connected(&conn);
        let session = Self {
            limits: core.limits.wire(),
            conn,
            link,
            cluster,
            gateways,
            core,
            pings,
            telling: HashSet::new(),
            answered: false,
            told: false,
            heard: compared.then(Heard::default),
        };
        session.take_mapped_replies();
        session
    }

    /// Mapped replies that lead to this cluster go there in every account, whatever interest is known.
    fn take_mapped_replies(&self) {
        if self.link.is_filtered() {
            return;
        }
        for account in self.core.accounts() {
            accept_mapped_replies(&self.conn, &self.cluster, &account);
        }
    }

    pub(crate) fn group(&self) -> &Arc<LinkGroup> {
        &self.gateways.terms.group
    }

    /// The connection is about to end.
    pub(crate) fn going(&mut self) {
        self.cluster.disconnected(&self.gateways.terms.group);
    }

    pub(crate) fn read(&mut self, bytes: &[u8], now: Instant) -> Progress {
        let mut at = 0;
        let pause = loop {
            match wire::gateway::parse(&bytes[at..], &self.limits) {
                Ok(Step::Frame(op, length)) => match self.apply(&op, now) {
                    Ok(()) => at += length,
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
        Progress { consumed: at, pause }
    }

    fn apply(&mut self, op: &Op<'_>, now: Instant) -> Result<(), CloseReason> {
        match op {
            Op::Subscribe { account, subject, queue } => {
                self.subscribe(account, subject, queue.map(|(name, _)| name))?;
            }
            Op::Unsubscribe { account, subject, queue } => self.unsubscribe(account, subject, *queue),
            Op::AccountUnsubscribe(account) => self.unwanted(account),
            // Interest is told one by one: nothing was kept that this would take back.
            Op::AccountSubscribe(_) | Op::Ok | Op::Connect(_) => {}
            Op::Info(json) => self.info(json)?,
            Op::Ping => self.conn.send_ahead(wire::encode::PONG),
            Op::Pong => {
                self.pings.answered(&self.conn, now);
                self.answered = true;
                self.look_whether_told();
            }
            Op::Err(text) => {
                let text = String::from_utf8_lossy(text);
                tracing::warn!(conn = self.conn.id, cluster = %self.cluster.name, %text, "the other cluster complains");
            }
            Op::Message { .. } => {
                tracing::warn!(conn = self.conn.id, cluster = %self.cluster.name, "a message where only interest comes in");
                return Err(CloseReason::ProtocolViolation);
            }
        }
        Ok(())
    }

    fn info(&mut self, json: &[u8]) -> Result<(), CloseReason> {
        let Ok(info) = GatewayInfo::parse(json) else {
            tracing::warn!(conn = self.conn.id, cluster = %self.cluster.name, "unreadable INFO on a gateway");
            return Err(CloseReason::ProtocolViolation);
        };
        match info.command() {
            Some(GatewayCommand::Gossip) => {
                let name = info.gateway.as_deref().unwrap_or_default();
                self.gateways.discover(name, &info.gateway_urls);
            }
            Some(command) => {
                let account = info.account().ok_or(CloseReason::ProtocolViolation)?;
                if command == GatewayCommand::AllSubsStart {
                    self.begin(account);
                } else {
                    self.telling.remove(&account);
                    self.look_whether_told();
                }
            }
            None => {
                self.cluster.addresses.learn(&info.gateway_urls);
                if let (Some(heard), Some(said)) = (&mut self.heard, &info.gatehouse) {
                    let of = said.account.as_deref().unwrap_or_default();
                    let belongs = |sub: &Sub| account_of(sub) == of.as_bytes() && !is_for_replies(sub);
                    let stale = heard.hear(said, &self.conn, &self.core.counters, belongs);
                    if let Some(account) = self.core.known_account(of) {
                        account.unsubscribe(&stale);
                    }
                }
            }
        }
        Ok(())
    }

    /// All interest of an account is told from here on. What is known of it from before stays until then.
    fn begin(&mut self, account: Vec<u8>) {
        // Bounds what a peer that begins without end can make us hold.
        if self.telling.len() < super::MOST_ACCOUNTS {
            self.telling.insert(account);
        }
    }

    fn look_whether_told(&mut self) {
        if self.answered && !self.told && self.telling.is_empty() {
            self.told = true;
            self.cluster.told(&self.gateways.terms.group);
        }
    }

    fn subscribe(&mut self, account: &[u8], subject: &[u8], queue: Option<&[u8]>) -> Result<(), CloseReason> {
        if !subject::valid_pattern(subject) || queue.is_some_and(|name| name.len() > u16::MAX as usize) {
            return Err(CloseReason::ProtocolViolation);
        }
        if let Some(heard) = &mut self.heard {
            heard.told(account, subject, queue, 1);
        }
        let Some(account) = self.gateways.account(&self.core, account) else { return Ok(()) };
        for (rule, pattern) in self.link.local_patterns(subject) {
            let tag = tag(subject, queue, rule, &account.name);
            add(&self.conn, &account, &pattern, queue, &tag, rule);
        }
        Ok(())
    }

    fn unsubscribe(&mut self, account: &[u8], subject: &[u8], queue: Option<&[u8]>) {
        if let Some(heard) = &mut self.heard {
            heard.taken_back(account, subject, queue);
        }
        let Some(account) = self.gateways.account(&self.core, account) else { return };
        let rules = self.link.crossing.as_ref().map_or(1, |crossing| crossing.send.len());
        let gone: Vec<Sub> = {
            let mut subs = self.conn.subs.lock();
            let tag = |rule| Some(tag(subject, queue, u16::try_from(rule).ok()?, &account.name));
            (0..rules).filter_map(|rule| subs.remove(&tag(rule)?)).collect()
        };
        account.unsubscribe(&gone);
    }

    /// The other cluster wants nothing of an account, but for its queue groups.
    fn unwanted(&self, account: &[u8]) {
        let Some(account) = self.gateways.account(&self.core, account) else { return };
        let gone: Vec<Sub> = {
            let mut subs = self.conn.subs.lock();
            let plain = |sub: &&Sub| {
                sub.queue().is_none() && account_of(sub) == account.name.as_bytes() && !is_for_replies(sub)
            };
            let gone: Vec<Sub> = subs.iter().filter(plain).cloned().collect();
            gone.iter().for_each(|sub| drop(subs.remove(sub.tag())));
            gone
        };
        account.unsubscribe(&gone);
    }
}

impl Drop for GatewayOut {
    fn drop(&mut self) {
        // Also when its task panicked: the cluster would keep the connection.
        self.going();
    }
}

/// Mapped replies that lead to `cluster` go over `conn`.
pub(crate) fn accept_mapped_replies(conn: &Arc<Conn>, cluster: &Cluster, account: &Account) {
    for pattern in cluster.hash.patterns() {
        add(conn, account, &pattern, None, &tag(&pattern, None, FOR_REPLIES, &account.name), 0);
    }
}

fn add(conn: &Arc<Conn>, account: &Account, pattern: &[u8], queue: Option<&[u8]>, tag: &[u8], rule: u16) {
    let sub = Sub(Arc::new(Subscription::for_link(conn.clone(), pattern, queue, tag, rule, 1)));
    let old = conn.subs.lock().insert(sub.clone());
    match old {
        Some(old) => account.replace(&old, &sub),
        None => account.subscribe(&sub),
    }
}

/// Marks what stands for mapped replies in place of a rule.
const FOR_REPLIES: u16 = u16::MAX;

/// An entry's tag: the pattern as the other side knows it, the queue, the rule it crosses by, and the account.
fn tag(pattern: &[u8], queue: Option<&[u8]>, rule: u16, account: &str) -> Vec<u8> {
    let queue = queue.unwrap_or_default();
    [pattern, b" ", queue, b" ", rule.to_string().as_bytes(), b" ", account.as_bytes()].concat()
}

fn is_for_replies(sub: &Sub) -> bool {
    sub.tag().split(|byte| *byte == b' ').nth(2) == Some(FOR_REPLIES.to_string().as_bytes())
}

/// The account an entry belongs to.
pub(crate) fn account_of(sub: &Sub) -> &[u8] {
    sub.tag().splitn(4, |byte| *byte == b' ').nth(3).unwrap_or_default()
}
