//! Links to other servers: `/leafz`, `/gatewayz`, `/routez`.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::connz::last_active;
use super::timestamp;
use crate::conn::Conn;
use crate::link::{Link, Via};
use crate::server::Server;

impl Server {
    /// `/leafz`
    #[must_use]
    pub fn leafz(&self) -> Value {
        let mut leafs: Vec<Value> = Vec::new();
        for conn in self.core.conns() {
            let Some(link) = conn.link().filter(|link| !link.is_gateway()) else { continue };
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

    /// `/gatewayz`, with `gw_name`.
    #[must_use]
    pub fn gatewayz(&self, query: &HashMap<String, String>) -> Value {
        let wanted = query.get("gw_name").filter(|name| !name.is_empty());
        let (mut outbound, mut inbound) = (Map::new(), Map::<String, Value>::new());
        for conn in self.core.conns() {
            let Some(link) = conn.link() else { continue };
            let Some(cluster) = link.cluster().filter(|there| wanted.is_none_or(|name| *name == there.name))
            else {
                continue;
            };
            let entry = json!({ "configured": !cluster.implicit, "connection": connection(&conn, link) });
            match link.via {
                Via::GatewayIn(_) => {
                    let list = inbound.entry(cluster.name.clone()).or_insert_with(|| json!([]));
                    list.as_array_mut().into_iter().for_each(|list| list.push(entry.clone()));
                }
                Via::GatewayOut(_) | Via::Leafnode => {
                    outbound.insert(cluster.name.clone(), entry);
                }
            }
        }
        let mut document = json!({
            "server_id": self.core.server_id,
            "now": timestamp(SystemTime::now()),
            "outbound_gateways": outbound,
            "inbound_gateways": inbound,
        });
        if let Some(gateways) = self.core.gateways.get() {
            document["name"] = json!(gateways.terms.name);
            document["port"] = json!(gateways.port());
        }
        document
    }

    /// `/routez`: a server of this kind has none.
    #[must_use]
    pub fn routez(&self) -> Value {
        json!({
            "server_id": self.core.server_id,
            "server_name": self.core.server_name,
            "now": timestamp(SystemTime::now()),
            "num_routes": 0,
            "routes": [],
        })
    }
}

/// A gateway connection as any other one is shown.
fn connection(conn: &Arc<Conn>, link: &Link) -> Value {
    let (out_messages, out_bytes) = conn.outbox.totals();
    let about = &conn.about;
    json!({
        "cid": conn.id,
        "kind": "Gateway",
        "ip": about.address.map(|address| address.ip().to_string()),
        "port": about.address.map(|address| address.port()),
        "start": timestamp(about.start),
        "last_activity": timestamp(SystemTime::now() - last_active(conn).elapsed()),
        "idle": format!("{}s", last_active(conn).elapsed().as_secs()),
        "uptime": format!("{}s", conn.epoch.elapsed().as_secs()),
        "rtt": conn.rtt().map(|rtt| format!("{}µs", rtt.as_micros())),
        "pending_bytes": conn.outbox.queued(),
        "in_msgs": conn.in_messages.load(Ordering::Relaxed),
        "out_msgs": out_messages,
        "in_bytes": conn.in_bytes.load(Ordering::Relaxed),
        "out_bytes": out_bytes,
        "subscriptions": conn.subs.lock().len(),
        "name": link.remote_name,
        "tls_version": about.tls_version,
        "tls_cipher_suite": about.tls_cipher,
    })
}

/// Bytes before compression and after it.
fn saved(compressed: &crate::link::compression::Compressed) -> Value {
    let [sent, received] = [&compressed.sent, &compressed.received].map(|[plain, packed]| {
        json!({ "plain": plain.load(Ordering::Relaxed), "packed": packed.load(Ordering::Relaxed) })
    });
    json!({ "sent": sent, "received": received })
}

/// What the other end of a link lets us do, as it told; null where it set no bounds.
fn permissions(link: &Link) -> Value {
    let told = link.told.read();
    let [publish, subscribe] = &*told;
    if publish.is_none() && subscribe.is_none() {
        return Value::Null;
    }
    json!({ "publish": publish, "subscribe": subscribe })
}
