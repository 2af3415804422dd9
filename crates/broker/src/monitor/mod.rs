//! What operators see: the documents of nats-server's monitoring, and figures for metrics.

mod accounts;
mod connz;
mod links;

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

pub use accounts::AccountFacts;
pub(crate) use accounts::Past;
pub(crate) use connz::Closed;

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
    /// Of the links, those of the gateway protocol.
    pub gateways: usize,
    /// Messages and bytes read from clients.
    pub clients_in: (u64, u64),
    /// Messages and bytes for clients.
    pub clients_out: (u64, u64),
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
            clients_in: counters.ended_clients_in.get(),
            clients_out: counters.ended_clients_out.get(),
            pending_bytes,
            pending_messages,
            subscriptions: self.core.accounts().iter().map(|account| account.subscriptions()).sum(),
            ..Totals::default()
        };
        for conn in self.core.conns() {
            totals.clients += usize::from(conn.is_client());
            totals.links += usize::from(conn.link().is_some());
            totals.gateways += usize::from(conn.link().is_some_and(|link| link.is_gateway()));
            let (in_messages, in_bytes) =
                (conn.in_messages.load(Ordering::Relaxed), conn.in_bytes.load(Ordering::Relaxed));
            let (out_messages, out_bytes) = conn.outbox.totals();
            totals.in_messages += in_messages;
            totals.in_bytes += in_bytes;
            totals.out_messages += out_messages;
            totals.out_bytes += out_bytes;
            if conn.is_client() {
                totals.clients_in = (totals.clients_in.0 + in_messages, totals.clients_in.1 + in_bytes);
                totals.clients_out = (totals.clients_out.0 + out_messages, totals.clients_out.1 + out_bytes);
            }
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
        let (slow, stale) = (&core.counters.slow, &core.counters.stale);
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
            "subscriptions": totals.subscriptions,
            "cluster": { "name": core.cluster },
            "gateway": {},
            "leaf": {},
            "mqtt": {},
            "websocket": {},
        });
        let counts = json!({
            "connections": totals.clients,
            "total_connections": core.counters.accepted.get(),
            "leafnodes": totals.links - totals.gateways,
            "routes": 0,
            "in_msgs": totals.in_messages,
            "out_msgs": totals.out_messages,
            "in_bytes": totals.in_bytes,
            "out_bytes": totals.out_bytes,
            "in_client_msgs": totals.clients_in.0,
            "in_client_bytes": totals.clients_in.1,
            "out_client_msgs": totals.clients_out.0,
            "out_client_bytes": totals.clients_out.1,
            "pending_bytes": totals.pending_bytes,
            "slow_consumers": slow.sum(),
            "slow_consumer_stats": by_kind(slow),
            "stale_connections": stale.sum(),
            "stale_connection_stats": by_kind(stale),
            "remotes": 0,
        });
        for (name, count) in counts.as_object().into_iter().flatten() {
            document[name] = count.clone();
        }
        // As nats-server does: said only where it is so.
        for (name, so) in [("auth_required", auth_required), ("tls_required", tls_required)] {
            if so {
                document[name] = json!(true);
            }
        }
        document
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
}

/// Whether an option is switched on.
fn truth(query: &HashMap<String, String>, key: &str) -> bool {
    query.get(key).is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}

fn by_kind(counted: &crate::core::ByKind) -> Value {
    json!({
        "clients": counted.clients.get(),
        "routes": 0,
        "gateways": counted.gateways.get(),
        "leafs": counted.leafs.get(),
    })
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
