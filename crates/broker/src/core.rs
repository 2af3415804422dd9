//! What all parts of one server share: accounts, connections, bounds, counters.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Instant, SystemTime};

use identity::Grant;
use parking_lot::{Mutex, RwLock};

use crate::account::Account;
use crate::budget::Budget;
use crate::conn::{About, CloseReason, Conn, ConnParts, Features, Kind};
use crate::limits::Limits;
use crate::link::gateway::Gateways;
use crate::link::gateway::outbound::{accept_mapped_replies, account_of};
use crate::link::{Link, Via};
use crate::monitor::Closed;
use crate::net::door::Door;
use crate::net::door::network::Network;
use crate::outbox::{Bounds, Outbox};
use crate::server::Nowhere;
use crate::subscription::Sub;

/// Events counted for metrics; read with [`Counter::get`].
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count since start.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Counters of a server, since its start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted, of every kind.
    pub accepted: Counter,
    /// Messages read from connections that have ended (the living keep their own count).
    pub(crate) ended_in_messages: Counter,
    pub(crate) ended_in_bytes: Counter,
    pub(crate) ended_out_messages: Counter,
    pub(crate) ended_out_bytes: Counter,
    /// The same of clients alone.
    pub(crate) ended_clients_in: Traffic,
    pub(crate) ended_clients_out: Traffic,
    /// Connections ended, by reason (index as in [`CloseReason::ALL`]).
    closed: [Counter; CloseReason::ALL.len()],
    /// Of these, the ones that read too slowly, and the ones that were silent for too long.
    pub(crate) slow: ByKind,
    /// See [`Self::slow`].
    pub(crate) stale: ByKind,
    /// Logins that succeeded.
    pub logins: Counter,
    /// Logins refused, by the authenticator's reason.
    denied: Mutex<HashMap<&'static str, u64>>,
    /// Publishes refused for want of rights.
    pub publish_denied: Counter,
    /// Subscriptions refused for want of rights.
    pub subscribe_denied: Counter,
    /// Publishers that were not read from for a while because their identity was over its rate.
    pub quota_held: Counter,
    /// Messages refused because their publisher stayed over its rate.
    pub quota_refused: Counter,
    /// Logins that waited because of where they came from: too many, or too many failed ones.
    pub logins_slowed: Counter,
    /// Connections that went on with a fresh token.
    pub renewals: Counter,
    /// Fresh tokens that were refused on a live connection.
    pub renewals_refused: Counter,
    /// Messages from a link that no route names, dropped.
    pub link_filtered: Counter,
    /// Comparisons of interest with the other end of a link, when both are ours.
    pub interest_compared: Counter,
    /// Those of them that found a difference; each is followed by a repair.
    pub interest_differed: Counter,
    /// Bytes sent over compressed links, before compression and after it.
    pub s2_plain_out: Counter,
    /// See [`Self::s2_plain_out`].
    pub s2_packed_out: Counter,
    /// Bytes received over compressed links, after decompression and before it.
    pub s2_plain_in: Counter,
    /// See [`Self::s2_plain_in`].
    pub s2_packed_in: Counter,
    /// Times that a link which was up left a PING without an answer for long.
    pub link_silent: Counter,
    /// Publishers that were held back because a link was down.
    pub link_held: Counter,
    /// Publishers that were held back because too much was queued.
    pub overload_held: Counter,
    /// Requests answered with 503 because a link stayed down.
    pub link_refused: Counter,
    /// Connection tasks that panicked: a bug each, contained to the connection.
    pub panics: Counter,
}

impl Counters {
    pub(crate) fn closed(&self, reason: CloseReason) {
        if let Some(counter) = self.closed.get(reason as usize - 1) {
            counter.add(1);
        }
    }

    pub(crate) fn denied(&self, reason: &'static str) {
        *self.denied.lock().entry(reason).or_insert(0) += 1;
    }

    /// Connections ended for `reason`.
    #[must_use]
    pub fn closed_for(&self, reason: CloseReason) -> u64 {
        self.closed.get(reason as usize - 1).map_or(0, Counter::get)
    }

    /// Logins refused, by reason.
    #[must_use]
    pub fn denied_by_reason(&self) -> Vec<(&'static str, u64)> {
        self.denied.lock().iter().map(|(reason, count)| (*reason, *count)).collect()
    }
}

/// Messages and bytes, one way.
#[derive(Debug, Default)]
pub(crate) struct Traffic(Counter, Counter);

impl Traffic {
    fn add(&self, messages: u64, bytes: u64) {
        self.0.add(messages);
        self.1.add(bytes);
    }

    pub(crate) fn get(&self) -> (u64, u64) {
        (self.0.get(), self.1.get())
    }
}

/// Connections counted by what was at their other end.
#[derive(Debug, Default)]
pub(crate) struct ByKind {
    pub(crate) clients: Counter,
    pub(crate) gateways: Counter,
    pub(crate) leafs: Counter,
}

impl ByKind {
    fn add(&self, conn: &Conn) {
        let counter = match conn.link() {
            None => &self.clients,
            Some(link) if link.is_gateway() => &self.gateways,
            Some(_) => &self.leafs,
        };
        counter.add(1);
    }

    /// All of them.
    pub(crate) fn sum(&self) -> u64 {
        self.clients.get() + self.gateways.get() + self.leafs.get()
    }
}

/// What clients are told of streams (JetStream).
pub(crate) struct Streams {
    /// The domain they are under, if they have one.
    pub(crate) domain: Option<String>,
    /// Which level of their API is spoken.
    pub(crate) api_level: u32,
}

/// Shared state of one server.
pub(crate) struct Core {
    pub(crate) limits: Limits,
    pub(crate) budget: Arc<Budget>,
    pub(crate) server_id: String,
    pub(crate) server_name: String,
    pub(crate) cluster: Option<String>,
    /// See [`crate::inbox`].
    pub(crate) inboxes: Box<[u8]>,
    pub(crate) counters: Counters,
    /// What connections may cost before they have logged in.
    pub(crate) door: Door,
    /// Whose PROXY headers are believed.
    pub(crate) proxies: OnceLock<Box<[Network]>>,
    pub(crate) started: Instant,
    pub(crate) started_at: SystemTime,
    /// Client connections there may be at once.
    pub(crate) max_connections: AtomicUsize,
    /// The account that is told to be the system's.
    pub(crate) system_account: OnceLock<Box<str>>,
    /// Set when streams are there.
    pub(crate) streams: OnceLock<Streams>,
    /// The first address listened on for clients.
    pub(crate) address: OnceLock<SocketAddr>,
    /// Whether clients must log in, and must use TLS.
    pub(crate) demands: OnceLock<(bool, bool)>,
    accounts: RwLock<HashMap<Arc<str>, Arc<Account>>>,
    /// See [`Account::join`].
    pub(crate) family: Arc<AtomicU64>,
    conns: Mutex<HashMap<u64, Arc<Conn>>>,
    /// Clients that have ended.
    pub(crate) closed: Closed,
    next_id: AtomicU64,
    /// Client connections, before and after login.
    pub(crate) clients: AtomicUsize,
    /// Links that have not logged in yet.
    pub(crate) links_entering: AtomicUsize,
    pub(crate) draining: AtomicBool,
    /// How this server takes part in a super-cluster, where it does.
    pub(crate) gateways: OnceLock<Arc<Gateways>>,
    /// Publishers held because a link is down.
    held: Mutex<HashMap<u64, Waker>>,
}

impl Core {
    pub(crate) fn new(
        limits: Limits,
        server_name: String,
        server_id: String,
        cluster: Option<String>,
    ) -> Self {
        let door = Door::new(&limits);
        let budget = Arc::new(Budget::new(limits.max_queued_bytes, limits.max_queued_messages));
        Self {
            max_connections: AtomicUsize::new(limits.max_connections),
            system_account: OnceLock::new(),
            closed: Closed::new(limits.max_closed_clients),
            limits,
            budget,
            server_id,
            server_name,
            cluster,
            inboxes: crate::inbox::server_prefix(),
            counters: Counters::default(),
            door,
            proxies: OnceLock::new(),
            started: Instant::now(),
            started_at: SystemTime::now(),
            streams: OnceLock::new(),
            address: OnceLock::new(),
            demands: OnceLock::new(),
            accounts: RwLock::default(),
            family: Arc::default(),
            conns: Mutex::default(),
            next_id: AtomicU64::new(1),
            clients: AtomicUsize::new(0),
            links_entering: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            gateways: OnceLock::new(),
            held: Mutex::default(),
        }
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The account of that name, made when it is the first time.
    pub(crate) fn account(&self, name: &str) -> Arc<Account> {
        if let Some(account) = self.known_account(name) {
            return account;
        }
        let account = {
            let mut accounts = self.accounts.write();
            let account = accounts.entry(name.into()).or_insert_with(|| Arc::new(Account::new(name)));
            account.belongs_to(&self.server_name, self.limits.max_payload);
            account.clone()
        };
        self.tell_gateways(&account);
        account
    }

    pub(crate) fn known_account(&self, name: &str) -> Option<Arc<Account>> {
        self.accounts.read().get(name).cloned()
    }

    /// Other clusters are to hear of the interest in a new account, and get its answers.
    fn tell_gateways(&self, account: &Account) {
        if self.gateways.get().is_none() {
            return;
        }
        for conn in self.conns() {
            let Some(link) = conn.link().filter(|link| !link.is_filtered()) else { continue };
            match &link.via {
                Via::GatewayIn(_) => account.attach_link(&conn),
                Via::GatewayOut(cluster) => accept_mapped_replies(&conn, cluster, account),
                Via::Leafnode => {}
            }
        }
    }

    /// What routes know as the sender of one account's messages that came over a gateway.
    pub(crate) fn stand_in(&self, link: &Arc<Link>, account: Arc<Account>) -> Arc<Conn> {
        Arc::new(Conn::new(ConnParts {
            id: self.next_id(),
            kind: Kind::Link(link.clone()),
            outbox: self.outbox(false),
            pipe: Arc::new(Nowhere),
            account,
            grant: Arc::new(Grant::unrestricted(&link.name)),
            features: Features::default(),
            inbox: None,
            about: About::of_this_process("gateway"),
            max_pending_replies: 0,
        }))
    }

    pub(crate) fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.read().values().cloned().collect()
    }

    /// An outbox with the bounds for a client, or the wider ones for a link.
    pub(crate) fn outbox(&self, link: bool) -> Outbox {
        let widen = if link { 4 } else { 1 };
        let bounds = Bounds {
            max_pending: self.limits.max_pending.saturating_mul(widen),
            stall_at: self.limits.stall_at.saturating_mul(widen),
        };
        let outbox = Outbox::new(bounds, self.budget.clone());
        if link { outbox.of_link() } else { outbox }
    }

    /// Counts what a handler holds. It has room for as much as many readers together: what waits for a disk is written
    /// at once, the more the better.
    pub(crate) fn handler_outbox(&self) -> Outbox {
        let stall_at = self.limits.stall_at.saturating_mul(32);
        Outbox::new(Bounds { max_pending: usize::MAX, stall_at }, self.budget.clone())
    }

    pub(crate) fn register(&self, conn: &Arc<Conn>) {
        self.conns.lock().insert(conn.id, conn.clone());
    }

    pub(crate) fn conns(&self) -> Vec<Arc<Conn>> {
        self.conns.lock().values().cloned().collect()
    }

    pub(crate) fn conn(&self, id: u64) -> Option<Arc<Conn>> {
        self.conns.lock().get(&id).cloned()
    }

    /// Takes a connection's interest away: nothing more is routed to it.
    pub(crate) fn withdraw(&self, conn: &Arc<Conn>) {
        let gateway = conn.link().is_some_and(|link| link.is_gateway());
        if gateway {
            self.accounts().iter().for_each(|account| account.detach_link(conn));
        } else if matches!(conn.kind, Kind::Link(_)) {
            conn.account.detach_link(conn);
        }
        let subs = conn.subs.lock().take_all();
        if !gateway {
            return conn.account.unsubscribe(&subs);
        }
        let mut by_account: HashMap<&[u8], Vec<Sub>> = HashMap::new();
        subs.iter().for_each(|sub| by_account.entry(account_of(sub)).or_default().push(sub.clone()));
        for (name, subs) in by_account {
            if let Some(account) = std::str::from_utf8(name).ok().and_then(|name| self.known_account(name)) {
                account.unsubscribe(&subs);
            }
        }
    }

    /// Takes a connection out of everything: interest, links, registry. What it had queued is given up.
    pub(crate) fn retire(&self, conn: &Arc<Conn>, reason: CloseReason) {
        if self.conns.lock().remove(&conn.id).is_none() {
            return;
        }
        self.withdraw(conn);
        if let Some(follower) = conn.follower.get() {
            follower.closed();
        }
        if let Some(usage) = conn.usage.get() {
            usage.disconnect();
        }
        conn.outbox.close();
        self.counters.closed(reason);
        let (out_messages, out_bytes) = conn.outbox.totals();
        let (in_messages, in_bytes) =
            (conn.in_messages.load(Ordering::Relaxed), conn.in_bytes.load(Ordering::Relaxed));
        if conn.is_client() {
            self.counters.ended_clients_in.add(in_messages, in_bytes);
            self.counters.ended_clients_out.add(out_messages, out_bytes);
        }
        self.counters.ended_in_messages.add(in_messages);
        self.counters.ended_in_bytes.add(in_bytes);
        self.counters.ended_out_messages.add(out_messages);
        self.counters.ended_out_bytes.add(out_bytes);
        match reason {
            CloseReason::SlowConsumer | CloseReason::WriteDeadline => self.counters.slow.add(conn),
            CloseReason::StaleConnection => self.counters.stale.add(conn),
            _ => {}
        }
        conn.account.past.add(conn, reason);
        self.closed.add(conn, reason);
    }

    /// Registers a publisher to be woken when a link comes or goes.
    pub(crate) fn wait_for_link(&self, id: u64, waker: &Waker) {
        self.held.lock().insert(id, waker.clone());
    }

    /// A publisher that has ended waits no more: its waker would keep what is left of its task.
    pub(crate) fn forget_held(&self, id: u64) {
        self.held.lock().remove(&id);
    }

    /// Wakes the publishers held for a link.
    pub(crate) fn release_held(&self) {
        let held = std::mem::take(&mut *self.held.lock());
        held.into_values().for_each(Waker::wake);
    }
}
