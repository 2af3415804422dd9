//! `/connz`: clients that are connected, and those that were.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use identity::Quotas;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use super::{subscription, timestamp, truth};
use crate::conn::{About, CloseReason, Conn};
use crate::server::Server;

/// Clients that have ended, the last ones.
#[derive(Debug)]
pub(crate) struct Closed {
    most: usize,
    list: Mutex<VecDeque<Arc<Ended>>>,
}

/// A client that has ended.
#[derive(Debug)]
struct Ended {
    figures: Figures,
    about: About,
    /// Empty where it was refused before it had one.
    account: Arc<str>,
    identity: Arc<str>,
    reason: CloseReason,
    stop: SystemTime,
}

/// What is counted of a client.
#[derive(Debug, Clone, Copy)]
struct Figures {
    id: u64,
    lived: Duration,
    idle: Duration,
    rtt: Option<Duration>,
    pending: usize,
    subscriptions: usize,
    in_messages: u64,
    in_bytes: u64,
    out_messages: u64,
    out_bytes: u64,
}

impl Closed {
    pub(crate) fn new(most: usize) -> Self {
        Self { most, list: Mutex::default() }
    }

    /// A client has ended.
    pub(crate) fn add(&self, conn: &Conn, reason: CloseReason) {
        if self.most > 0 && conn.is_client() {
            let (account, identity) = (conn.account.name.clone(), conn.grant().identity.clone());
            let about = About::clone(&conn.about);
            self.push(Ended {
                figures: Figures::of(conn),
                about,
                account,
                identity,
                reason,
                stop: SystemTime::now(),
            });
        }
    }

    /// A client was turned away before it had logged in.
    pub(crate) fn add_refused(&self, id: u64, about: About, reason: CloseReason) {
        if self.most > 0 {
            let (account, identity) = (Arc::from(""), Arc::from(""));
            let stop = SystemTime::now();
            let figures = Figures {
                id,
                lived: stop.duration_since(about.start).unwrap_or_default(),
                idle: Duration::ZERO,
                rtt: None,
                pending: 0,
                subscriptions: 0,
                in_messages: 0,
                in_bytes: 0,
                out_messages: 0,
                out_bytes: 0,
            };
            self.push(Ended { figures, about, account, identity, reason, stop });
        }
    }

    fn push(&self, ended: Ended) {
        let ended = Arc::new(ended);
        let mut list = self.list.lock();
        let gone = if list.len() >= self.most { list.pop_front() } else { None };
        list.push_back(ended);
        drop(list);
        drop(gone);
    }

    fn all(&self) -> Vec<Arc<Ended>> {
        self.list.lock().iter().cloned().collect()
    }
}

impl Figures {
    fn of(conn: &Conn) -> Self {
        let (out_messages, out_bytes) = conn.outbox.totals();
        Self {
            id: conn.id,
            lived: conn.epoch.elapsed(),
            idle: last_active(conn).elapsed(),
            rtt: conn.rtt(),
            pending: conn.outbox.queued(),
            subscriptions: conn.subs.lock().len(),
            in_messages: conn.in_messages.load(Ordering::Relaxed),
            in_bytes: conn.in_bytes.load(Ordering::Relaxed),
            out_messages,
            out_bytes,
        }
    }
}

/// A client of the list.
enum Entry {
    Open(Arc<Conn>),
    Closed(Arc<Ended>),
}

impl Entry {
    fn figures(&self) -> Figures {
        match self {
            Self::Open(conn) => Figures::of(conn),
            Self::Closed(ended) => ended.figures,
        }
    }

    fn is_of(&self, account: Option<&str>, user: Option<&str>) -> bool {
        match self {
            Self::Open(conn) => {
                account.is_none_or(|name| *conn.account.name == *name)
                    && user.is_none_or(|name| *conn.grant().identity == *name)
            }
            Self::Closed(ended) => {
                account.is_none_or(|name| *ended.account == *name)
                    && user.is_none_or(|name| *ended.identity == *name)
            }
        }
    }

    fn ended(&self) -> Option<&Ended> {
        match self {
            Self::Open(_) => None,
            Self::Closed(ended) => Some(ended),
        }
    }

    fn describe(&self, shown: Shown) -> Value {
        match self {
            Self::Open(conn) => living(conn, shown),
            Self::Closed(ended) => gone(ended, shown),
        }
    }
}

/// What of a connection is shown beside its figures.
#[derive(Clone, Copy)]
struct Shown {
    subs: bool,
    /// Subscriptions with more than their subjects.
    detail: bool,
    auth: bool,
}

impl Server {
    /// `/connz`, with `limit`, `offset`, `cid`, `state`, `subs` (`detail` too), `auth`, `acc`, `user` and `sort` as
    /// nats-server understands them.
    #[must_use]
    pub fn connz(&self, query: &HashMap<String, String>) -> Value {
        let number = |key: &str, default: usize| {
            query.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
        };
        let (offset, limit) = (number("offset", 0), number("limit", 1024));
        let text = |key: &str| query.get(key).map(String::as_str).filter(|text| !text.is_empty());
        let detail = text("subs") == Some("detail") || truth(query, "subscriptions_detail");
        let subs = detail || truth(query, "subs") || truth(query, "subscriptions");
        let state = text("state").unwrap_or("open").to_ascii_lowercase();
        let wanted: Option<u64> = text("cid").and_then(|id| id.parse().ok()).filter(|id| *id > 0);
        let mut entries: Vec<Entry> = Vec::new();
        // One that is asked for by its number is found whatever became of it.
        if wanted.is_some() || !matches!(&*state, "closed" | "1") {
            entries.extend(self.core.conns().into_iter().filter(|conn| conn.is_client()).map(Entry::Open));
        }
        if wanted.is_some() || matches!(&*state, "closed" | "1" | "any" | "all" | "2") {
            entries.extend(self.core.closed.all().into_iter().map(Entry::Closed));
        }
        entries.retain(|entry| {
            wanted.is_none_or(|id| entry.figures().id == id) && entry.is_of(text("acc"), text("user"))
        });
        sort(&mut entries, text("sort").unwrap_or("cid"));
        let total = entries.len();
        let shown = Shown { subs, detail, auth: truth(query, "auth") };
        let page: Vec<Value> =
            entries.iter().skip(offset).take(limit).map(|entry| entry.describe(shown)).collect();
        json!({
            "server_id": self.core.server_id,
            "now": timestamp(SystemTime::now()),
            "num_connections": page.len(),
            "total": total,
            "offset": offset,
            "limit": limit,
            "connections": page,
        })
    }
}

/// By what nats-server sorts; what it does not know is by id.
fn sort(entries: &mut [Entry], by: &str) {
    // The keys go on changing: each is looked at once.
    match by {
        "subs" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().subscriptions)),
        "pending" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().pending)),
        "msgs_to" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().out_messages)),
        "bytes_to" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().out_bytes)),
        "msgs_from" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().in_messages)),
        "bytes_from" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().in_bytes)),
        "last" => entries.sort_by_cached_key(|entry| entry.figures().idle),
        "idle" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().idle)),
        "uptime" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().lived)),
        "rtt" => entries.sort_by_cached_key(|entry| Reverse(entry.figures().rtt)),
        "stop" => entries.sort_by_cached_key(|entry| Reverse(entry.ended().map(|ended| ended.stop))),
        "reason" => entries.sort_by_cached_key(|entry| entry.ended().map(|ended| words(ended.reason))),
        _ => entries.sort_by_cached_key(|entry| entry.figures().id),
    }
}

pub(super) fn last_active(conn: &Conn) -> Instant {
    conn.epoch + Duration::from_millis(conn.active_ms.load(Ordering::Relaxed))
}

/// What is said of every client; `until` is when it ended, or now.
fn common(figures: &Figures, about: &About, account: &str, until: SystemTime) -> Map<String, Value> {
    let document = json!({
        "cid": figures.id,
        "kind": "Client",
        "type": if about.websocket { "websocket" } else { "nats" },
        "ip": about.address.map(|address| address.ip().to_string()),
        "port": about.address.map(|address| address.port()),
        "start": timestamp(about.start),
        "last_activity": timestamp(until - figures.idle),
        "idle": format!("{}s", figures.idle.as_secs()),
        "uptime": format!("{}s", figures.lived.as_secs()),
        "rtt": figures.rtt.map(|rtt| format!("{}µs", rtt.as_micros())),
        "pending_bytes": figures.pending,
        "in_msgs": figures.in_messages,
        "out_msgs": figures.out_messages,
        "in_bytes": figures.in_bytes,
        "out_bytes": figures.out_bytes,
        "subscriptions": figures.subscriptions,
        "name": about.name,
        "lang": about.lang,
        "version": about.version,
        "tls_version": about.tls_version,
        "tls_cipher_suite": about.tls_cipher,
        "account": (!account.is_empty()).then_some(account),
    });
    match document {
        Value::Object(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => Map::new(),
    }
}

fn living(conn: &Conn, shown: Shown) -> Value {
    let mut fields = common(&Figures::of(conn), &conn.about, &conn.account.name, SystemTime::now());
    if shown.auth {
        fields.extend(entitlement(conn).into_iter().filter(|(_, value)| !value.is_null()));
    }
    let subs = conn.subs.lock();
    if shown.detail {
        let list: Vec<Value> = subs.iter().map(|sub| subscription(conn, sub, false)).collect();
        fields.insert("subscriptions_list_detail".into(), json!(list));
    } else if shown.subs {
        let list: Vec<String> =
            subs.iter().map(|sub| String::from_utf8_lossy(sub.subject()).into_owned()).collect();
        fields.insert("subscriptions_list".into(), json!(list));
    }
    Value::Object(fields)
}

fn gone(ended: &Ended, shown: Shown) -> Value {
    let mut fields = common(&ended.figures, &ended.about, &ended.account, ended.stop);
    fields.insert("stop".into(), timestamp(ended.stop).into());
    fields.insert("reason".into(), words(ended.reason).into());
    if shown.auth && !ended.identity.is_empty() {
        fields.insert("authorized_user".into(), json!(&*ended.identity));
    }
    Value::Object(fields)
}

/// Why a connection ended, in nats-server's words where it has some.
fn words(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::ClientClosed => "Client Closed",
        CloseReason::SlowConsumer => "Slow Consumer (Pending Bytes)",
        CloseReason::WriteDeadline => "Slow Consumer (Write Deadline)",
        CloseReason::StaleConnection => "Stale Connection",
        CloseReason::AuthenticationTimeout => "Authentication Timeout",
        CloseReason::AuthenticationFailed => "Authentication Failure",
        CloseReason::AuthenticationExpired => "Authentication Expired",
        CloseReason::ProtocolViolation => "Protocol Violation",
        CloseReason::MaximumPayload => "Maximum Message Payload Exceeded",
        CloseReason::MaximumConnections => "Maximum Connections Exceeded",
        CloseReason::MaximumSubscriptions => "Maximum Subscriptions Exceeded",
        CloseReason::TlsHandshake => "TLS Handshake Failure",
        CloseReason::ServerShutdown => "Server Shutdown",
        CloseReason::Overloaded => "Overloaded",
        CloseReason::LinkUnavailable => "Link Unavailable",
        CloseReason::Kicked => "Kicked",
        CloseReason::Replaced => "Replaced",
        CloseReason::LoopDetected => "Loop Detected",
        CloseReason::LinkRefused => "Link Refused",
        CloseReason::Panicked => "Internal Error",
        CloseReason::Io => "Read Error",
        CloseReason::Revoked => "Credentials Revoked",
        CloseReason::RightsWithdrawn => "Rights Withdrawn",
        CloseReason::MaximumIdentityConnections => "Maximum Account Connections Exceeded",
        CloseReason::Crowded => "Crowded",
    }
}

/// Who a connection belongs to, until when, and what of its quotas is used.
fn entitlement(conn: &Conn) -> Map<String, Value> {
    let grant = conn.grant();
    let issuer = grant.provenance.as_ref().map(|origin| &*origin.issuer);
    let Quotas { subscriptions, payload, connections, messages_per_second, bytes_per_second } = grant.quotas;
    let used = conn.usage.get().map(|usage| {
        json!({
            "connections": usage.connections(),
            "subscriptions": usage.subscriptions.load(Ordering::Relaxed),
            "held": usage.held.load(Ordering::Relaxed),
            "refused": usage.refused.load(Ordering::Relaxed),
        })
    });
    let fields = [
        ("authorized_user", json!(&*grant.identity)),
        ("issuer", json!(issuer)),
        ("roles", json!(grant.roles.iter().map(|role| &**role).collect::<Vec<_>>())),
        ("expires_at", json!(grant.expires_at)),
        (
            "quotas",
            json!({
                "connections": connections,
                "subscriptions": subscriptions,
                "messages_per_second": messages_per_second,
                "bytes_per_second": bytes_per_second,
                "payload": payload,
            }),
        ),
        ("used", json!(used)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
