//! What operators see: the documents of nats-server's monitoring, and figures for metrics.

mod accounts;

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use identity::Quotas;
use serde_json::{Map, Value, json};

pub use accounts::AccountFacts;
pub(crate) use accounts::Past;

use crate::conn::Conn;
use crate::server::Server;

/// Figures of a server at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Totals {
    pub clients: usize,
    pub links: usize,
    pub subscriptions: usize,
    pub in_messages: u64,
    pub in_bytes: u64,
    pub out_messages: u64,
    pub out_bytes: u64,
    /// Bytes queued and not yet written, for all connections.
    pub pending_bytes: usize,
    /// Messages queued and not yet written, for all connections.
    pub pending_messages: usize,
}

/// One link, for metrics and readiness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkState {
    /// Its configured name, or the other end's.
    pub name: String,
    /// The other server's name.
    pub remote: String,
    /// Last measured round trip.
    pub rtt: Option<Duration>,
    /// Bytes waiting for it.
    pub pending_bytes: usize,
}

impl Server {
    /// Sums over living and ended connections.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let counters = &self.core.counters;
        let (pending_bytes, pending_messages) = self.core.budget.queued();
        let mut totals = Totals {
            in_messages: counters.ended_in_messages.get(),
            in_bytes: counters.ended_in_bytes.get(),
            out_messages: counters.ended_out_messages.get(),
            out_bytes: counters.ended_out_bytes.get(),
            pending_bytes,
            pending_messages,
            subscriptions: self.core.accounts().iter().map(|account| account.subscriptions()).sum(),
            ..Totals::default()
        };
        for conn in self.core.conns() {
            totals.clients += usize::from(conn.is_client());
            totals.links += usize::from(conn.link().is_some());
            totals.in_messages += conn.in_messages.load(Ordering::Relaxed);
            totals.in_bytes += conn.in_bytes.load(Ordering::Relaxed);
            let (out_messages, out_bytes) = conn.outbox.totals();
            totals.out_messages += out_messages;
            totals.out_bytes += out_bytes;
        }
        totals
    }

    /// The links there are.
    #[must_use]
    pub fn links(&self) -> Vec<LinkState> {
        let conns = self.core.conns();
        conns
            .iter()
            .filter_map(|conn| {
                let link = conn.link()?;
                Some(LinkState {
                    name: link.name.to_string(),
                    remote: link.remote_name.clone(),
                    rtt: conn.rtt(),
                    pending_bytes: conn.outbox.queued(),
                })
            })
            .collect()
    }

    /// `/varz`
    #[must_use]
    pub fn varz(&self) -> Value {
        let (core, totals) = (&self.core, self.totals());
        let slow = self.slow_consumers();
        let stale = core.counters.closed_for(crate::CloseReason::StaleConnection);
        let (auth_required, tls_required) = core.demands.get().copied().unwrap_or_default();
        let mut document = json!({
            "server_id": core.server_id,
            "server_name": core.server_name,
            "version": crate::NATS_VERSION,
            "gatehouse": crate::VERSION,
            "proto": 1,
            "host": core.address.get().map(|address| address.ip().to_string()),
            "port": core.address.get().map(std::net::SocketAddr::port),
            "max_connections": core.max_connections.load(Ordering::Relaxed),
            "max_subscriptions": core.limits.max_subscriptions,
            "max_payload": core.limits.max_payload,
            "max_pending": core.limits.max_pending,
            "max_control_line": core.limits.max_control_line,
            "ping_interval": nanos(core.limits.ping_interval),
            "ping_max": core.limits.ping_max,
            "auth_timeout": core.limits.auth_timeout.as_secs_f64(),
            "tls_timeout": core.limits.tls_timeout.as_secs_f64(),
            "write_deadline": nanos(core.limits.write_deadline),
            "start": timestamp(core.started_at),
            "now": timestamp(SystemTime::now()),
            "uptime": format!("{}s", core.started.elapsed().as_secs()),
            "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "connections": totals.clients,
            "total_connections": core.counters.accepted.get(),
            "leafnodes": totals.links,
            "routes": 0,
            "in_msgs": totals.in_messages,
            "out_msgs": totals.out_messages,
            "in_bytes": totals.in_bytes,
            "out_bytes": totals.out_bytes,
            "pending_bytes": totals.pending_bytes,
            "slow_consumers": slow,
            "stale_connections": stale,
            "remotes": 0,
            "subscriptions": totals.subscriptions,
            "cluster": { "name": core.cluster },
            "gateway": {},
            "leaf": {},
            "mqtt": {},
            "websocket": {},
        });
        // As nats-server does: said only where it is so.
        for (name, so) in [("auth_required", auth_required), ("tls_required", tls_required)] {
            if so {
                document[name] = json!(true);
            }
        }
        document
    }

    fn slow_consumers(&self) -> u64 {
        let closed = |reason| self.core.counters.closed_for(reason);
        closed(crate::CloseReason::SlowConsumer) + closed(crate::CloseReason::WriteDeadline)
    }

    /// `/connz`, with `limit`, `offset`, `cid`, `subs` (`detail` too), `auth`, `acc`, `user` and `sort` as nats-server
    /// understands them.
    #[must_use]
    pub fn connz(&self, query: &HashMap<String, String>) -> Value {
        let number = |key: &str, default: usize| {
            query.get(key).and_then(|value| value.parse().ok()).unwrap_or(default)
        };
        let (offset, limit) = (number("offset", 0), number("limit", 1024));
        let wanted: Option<u64> = query.get("cid").and_then(|id| id.parse().ok()).filter(|id| *id > 0);
        let text = |key: &str| query.get(key).map(String::as_str).filter(|text| !text.is_empty());
        let (account, user) = (text("acc"), text("user"));
        let detail = text("subs") == Some("detail") || truth(query, "subscriptions_detail");
        let subs = detail || truth(query, "subs") || truth(query, "subscriptions");
        let mut conns = self.core.conns();
        conns.retain(|conn| {
            conn.is_client()
                && wanted.is_none_or(|id| conn.id == id)
                && account.is_none_or(|name| *conn.account.name == *name)
                && user.is_none_or(|name| *conn.grant().identity == *name)
        });
        sort(&mut conns, text("sort").unwrap_or("cid"));
        let total = conns.len();
        let page: Vec<Value> = conns
            .iter()
            .skip(offset)
            .take(limit)
            .map(|conn| describe(conn, Shown { subs, detail, auth: truth(query, "auth") }))
            .collect();
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

    /// `/subsz`, with `subs`, `acc`, `test` (a subject they have to match), `offset` and `limit`.
    #[must_use]
    pub fn subsz(&self, query: &HashMap<String, String>) -> Value {
        let number = |key: &str| query.get(key).and_then(|value| value.parse::<usize>().ok());
        let (offset, limit) =
            (number("offset").unwrap_or(0), number("limit").filter(|limit| *limit > 0).unwrap_or(1024));
        let subscriptions = self.totals().subscriptions;
        let mut document = json!({
            "server_id": self.core.server_id,
            "now": timestamp(SystemTime::now()),
            "num_subscriptions": subscriptions,
            "total": subscriptions,
            "offset": offset,
            "limit": limit,
        });
        if truth(query, "subs") || truth(query, "subscriptions") {
            let text = |key: &str| query.get(key).map(String::as_str).filter(|text| !text.is_empty());
            let (account, test) = (text("acc").or(text("account")), text("test"));
            let mut conns = self.core.conns();
            conns.retain(|conn| account.is_none_or(|name| *conn.account.name == *name));
            conns.sort_by_key(|conn| conn.id);
            let mut found = Vec::new();
            for conn in &conns {
                let subs = conn.subs.lock();
                let about = subs
                    .iter()
                    .filter(|sub| test.is_none_or(|test| subject::matches(sub.subject(), test.as_bytes())));
                found.extend(about.map(|sub| subscription(conn, sub, true)));
            }
            document["total"] = json!(found.len());
            let page: Vec<Value> = found.into_iter().skip(offset).take(limit).collect();
            document["subscriptions_list"] = json!(page);
        }
        document
    }

    /// `/leafz`
    #[must_use]
    pub fn leafz(&self) -> Value {
        let mut leafs: Vec<Value> = Vec::new();
        for conn in self.core.conns() {
            let Some(link) = conn.link() else { continue };
            let (out_messages, out_bytes) = conn.outbox.totals();
            leafs.push(json!({
                "id": conn.id,
                "name": link.remote_name,
                "link": &*link.name,
                "is_spoke": link.role == crate::Role::Spoke,
                "is_solicited": link.solicited,
                "account": &*conn.account.name,
                "identity": &*conn.grant().identity,
                "cluster": link.remote_cluster,
                "ip": conn.about.address.map(|address| address.ip().to_string()),
                "port": conn.about.address.map(|address| address.port()),
                "rtt": conn.rtt().map(|rtt| format!("{}µs", rtt.as_micros())),
                "in_msgs": conn.in_messages.load(Ordering::Relaxed),
                "out_msgs": out_messages,
                "in_bytes": conn.in_bytes.load(Ordering::Relaxed),
                "out_bytes": out_bytes,
                "pending_bytes": conn.outbox.queued(),
                "active": link.is_active(),
                "compression": link.compressed.as_ref().map_or("off", |compressed| compressed.word()),
                "compressed": link.compressed.as_deref().map(saved),
                "permissions": permissions(link),
                "subscriptions": conn.subs.lock().len(),
                "announced": link.announced.lock().len(),
                "tls_version": conn.about.tls_version,
                "tls_cipher_suite": conn.about.tls_cipher,
            }));
        }
        json!({
            "server_id": self.core.server_id,
            "now": timestamp(SystemTime::now()),
            "leafnodes": leafs.len(),
            "leafs": leafs,
        })
    }
}

/// Bytes before compression and after it.
fn saved(compressed: &crate::link::compression::Compressed) -> Value {
    let [sent, received] = [&compressed.sent, &compressed.received].map(|[plain, packed]| {
        json!({ "plain": plain.load(Ordering::Relaxed), "packed": packed.load(Ordering::Relaxed) })
    });
    json!({ "sent": sent, "received": received })
}

/// What the other end of a link lets us do, as it told; null where it set no bounds.
fn permissions(link: &crate::link::Link) -> Value {
    let told = link.told.read();
    let [publish, subscribe] = &*told;
    if publish.is_none() && subscribe.is_none() {
        return Value::Null;
    }
    json!({ "publish": publish, "subscribe": subscribe })
}

/// Whether an option is switched on.
fn truth(query: &HashMap<String, String>, key: &str) -> bool {
    query.get(key).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

/// By what nats-server sorts; what it does not know is by id.
fn sort(conns: &mut [Arc<Conn>], by: &str) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    // The keys go on changing: each is looked at once.
    match by {
        "subs" => conns.sort_by_cached_key(|conn| Reverse(conn.subs.lock().len())),
        "pending" => conns.sort_by_cached_key(|conn| Reverse(conn.outbox.queued())),
        "msgs_to" => conns.sort_by_cached_key(|conn| Reverse(conn.outbox.totals().0)),
        "bytes_to" => conns.sort_by_cached_key(|conn| Reverse(conn.outbox.totals().1)),
        "msgs_from" => conns.sort_by_cached_key(|conn| Reverse(count(&conn.in_messages))),
        "bytes_from" => conns.sort_by_cached_key(|conn| Reverse(count(&conn.in_bytes))),
        "last" => conns.sort_by_cached_key(|conn| Reverse(last_active(conn))),
        "idle" => conns.sort_by_cached_key(|conn| last_active(conn)),
        "uptime" => conns.sort_by_cached_key(|conn| conn.epoch),
        "rtt" => conns.sort_by_cached_key(|conn| Reverse(conn.rtt())),
        _ => conns.sort_by_cached_key(|conn| conn.id),
    }
}

fn last_active(conn: &Conn) -> std::time::Instant {
    conn.epoch + Duration::from_millis(conn.active_ms.load(Ordering::Relaxed))
}

/// What of a connection is shown beside its figures.
#[derive(Clone, Copy)]
struct Shown {
    subs: bool,
    /// Subscriptions with more than their subjects.
    detail: bool,
    auth: bool,
}

fn subscription(conn: &Conn, sub: &crate::subscription::Subscription, account: bool) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut value = json!({ "subject": text(sub.subject()), "sid": text(sub.tag()), "cid": conn.id });
    if let Some(queue) = sub.queue() {
        value["qgroup"] = json!(text(queue));
    }
    if account {
        value["account"] = json!(&*conn.account.name);
    }
    value
}

fn describe(conn: &Conn, shown: Shown) -> Value {
    let (out_messages, out_bytes) = conn.outbox.totals();
    let active = last_active(conn);
    let mut value = json!({
        "cid": conn.id,
        "kind": "Client",
        "type": if conn.about.websocket { "websocket" } else { "nats" },
        "ip": conn.about.address.map(|address| address.ip().to_string()),
        "port": conn.about.address.map(|address| address.port()),
        "start": timestamp(conn.about.start),
        "last_activity": timestamp(SystemTime::now() - active.elapsed()),
        "idle": format!("{}s", active.elapsed().as_secs()),
        "uptime": format!("{}s", conn.epoch.elapsed().as_secs()),
        "rtt": conn.rtt().map(|rtt| format!("{}µs", rtt.as_micros())),
        "pending_bytes": conn.outbox.queued(),
        "in_msgs": conn.in_messages.load(Ordering::Relaxed),
        "out_msgs": out_messages,
        "in_bytes": conn.in_bytes.load(Ordering::Relaxed),
        "out_bytes": out_bytes,
        "subscriptions": conn.subs.lock().len(),
        "name": conn.about.name,
        "lang": conn.about.lang,
        "version": conn.about.version,
        "tls_version": conn.about.tls_version,
        "tls_cipher_suite": conn.about.tls_cipher,
        "account": &*conn.account.name,
    });
    if let Value::Object(fields) = &mut value {
        if shown.auth {
            fields.extend(entitlement(conn));
        }
        if shown.detail {
            let list: Vec<Value> =
                conn.subs.lock().iter().map(|sub| subscription(conn, sub, false)).collect();
            fields.insert("subscriptions_list_detail".into(), json!(list));
        } else if shown.subs {
            let list: Vec<String> = conn
                .subs
                .lock()
                .iter()
                .map(|sub| String::from_utf8_lossy(sub.subject()).into_owned())
                .collect();
            fields.insert("subscriptions_list".into(), json!(list));
        }
        fields.retain(|_, value| !value.is_null());
    }
    value
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

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// RFC 3339 in UTC with microseconds, as nats-server writes times.
fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}Z",
        seconds / 3600,
        seconds % 3600 / 60,
        seconds % 60,
        since.subsec_micros()
    )
}

/// The date of a day counted from 1970-01-01 (proleptic Gregorian calendar, years of 400-year eras from March).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day_of_year - (153 * shifted_month + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_778), (2026, 11, 21));
        assert_eq!(
            timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(86_399)),
            "1970-01-01T23:59:59.000000Z"
        );
    }
}
