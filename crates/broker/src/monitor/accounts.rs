//! What operators see of accounts: `/accountz`, `/accstatz`, and the figures a server tells of itself when it is asked
//! who is there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{timestamp, truth};
use crate::account::Account;
use crate::conn::{CloseReason, Conn};
use crate::core::Counter;
use crate::server::Server;

/// What connections of an account that have ended came to.
#[derive(Debug, Default)]
pub(crate) struct Past {
    connections: Counter,
    in_messages: Counter,
    in_bytes: Counter,
    out_messages: Counter,
    out_bytes: Counter,
    slow: Counter,
}

impl Past {
    /// A connection has ended.
    pub(crate) fn add(&self, conn: &Conn, reason: CloseReason) {
        let (out_messages, out_bytes) = conn.outbox.totals();
        self.connections.add(u64::from(conn.is_client()));
        self.in_messages.add(conn.in_messages.load(Ordering::Relaxed));
        self.in_bytes.add(conn.in_bytes.load(Ordering::Relaxed));
        self.out_messages.add(out_messages);
        self.out_bytes.add(out_bytes);
        self.slow.add(u64::from(matches!(reason, CloseReason::SlowConsumer | CloseReason::WriteDeadline)));
    }
}

/// Messages and bytes, one way.
#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    messages: u64,
    bytes: u64,
}

impl Traffic {
    fn add(&mut self, (messages, bytes): (u64, u64)) {
        self.messages += messages;
        self.bytes += bytes;
    }

    fn document(self) -> Value {
        json!({ "msgs": self.messages, "bytes": self.bytes })
    }
}

/// An account's connections, summed.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    clients: u64,
    links: u64,
    sent: Traffic,
    received: Traffic,
    /// Of links that are up.
    sent_to_links: Traffic,
    received_from_links: Traffic,
}

impl Sums {
    fn of(account: &Account, conns: &[Arc<Conn>]) -> Self {
        let past = &account.past;
        let mut sums = Self::default();
        sums.received.add((past.in_messages.get(), past.in_bytes.get()));
        sums.sent.add((past.out_messages.get(), past.out_bytes.get()));
        for conn in conns.iter().filter(|conn| std::ptr::eq(&*conn.account, account)) {
            let received = (conn.in_messages.load(Ordering::Relaxed), conn.in_bytes.load(Ordering::Relaxed));
            let sent = conn.outbox.totals();
            sums.received.add(received);
            sums.sent.add(sent);
            sums.clients += u64::from(conn.is_client());
            if conn.link().is_some() {
                sums.links += 1;
                sums.received_from_links.add(received);
                sums.sent_to_links.add(sent);
            }
        }
        sums
    }

    fn is_used(&self) -> bool {
        self.clients + self.links > 0
    }
}

fn with_parts(all: Traffic, links: Traffic) -> Value {
    let none = Traffic::default().document();
    let mut document = all.document();
    document["leafs"] = links.document();
    document["routes"] = none.clone();
    document["gateways"] = none;
    document
}

/// What only the process knows of accounts.
pub struct AccountFacts<'a> {
    /// Whose members may ask about the server.
    pub system: Option<&'a str>,
    /// Whether an account has streams.
    pub streams: &'a dyn Fn(&str) -> bool,
}

impl std::fmt::Debug for AccountFacts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccountFacts").field("system", &self.system).finish_non_exhaustive()
    }
}

impl Server {
    fn sorted_accounts(&self) -> Vec<Arc<Account>> {
        let mut accounts = self.core.accounts();
        accounts.sort_by(|one, other| one.name.cmp(&other.name));
        accounts
    }

    /// `/accountz`; with `acc` one account more closely.
    #[must_use]
    pub fn accountz(&self, query: &HashMap<String, String>, facts: &AccountFacts<'_>) -> Value {
        let mut document = json!({
            "server_id": self.core.server_id,
            "now": timestamp(SystemTime::now()),
        });
        if let Some(system) = facts.system {
            document["system_account"] = json!(system);
        }
        let wanted = query.get("acc").or_else(|| query.get("account")).filter(|name| !name.is_empty());
        match wanted {
            None => {
                let names: Vec<String> =
                    self.sorted_accounts().iter().map(|account| account.name.to_string()).collect();
                document["accounts"] = json!(names);
            }
            Some(name) => {
                document["account_detail"] = self.account_detail(name, facts).unwrap_or(Value::Null);
            }
        }
        document
    }

    /// One account more closely; `None` where it is not known.
    #[must_use]
    pub fn account_detail(&self, name: &str, facts: &AccountFacts<'_>) -> Option<Value> {
        let account = self.core.accounts().into_iter().find(|account| *account.name == *name)?;
        let sums = Sums::of(&account, &self.core.conns());
        let subscriptions = account.subscriptions();
        Some(json!({
            "account_name": &*account.name,
            "name_tag": &*account.name,
            "update_time": timestamp(self.core.started_at),
            "expired": false,
            "complete": true,
            "is_system": facts.system == Some(&*account.name),
            "jetstream_enabled": (facts.streams)(&account.name),
            "leafnode_connections": sums.links,
            "client_connections": sums.clients,
            "subscriptions": subscriptions,
            "sublist_stats": { "num_subscriptions": subscriptions },
        }))
    }

    /// `/accstatz`: accounts with somebody connected, all of them with `unused`; those in `accounts` where it names some.
    #[must_use]
    pub fn accstatz(&self, query: &HashMap<String, String>) -> Value {
        let unused = truth(query, "unused") || truth(query, "include_unused");
        let named: Vec<String> =
            query.get("accounts").and_then(|list| serde_json::from_str(list).ok()).unwrap_or_default();
        let conns = self.core.conns();
        let mut statz = Vec::new();
        for account in self.sorted_accounts() {
            let sums = Sums::of(&account, &conns);
            let wanted = named.is_empty() || named.iter().any(|name| **name == *account.name);
            if wanted && (unused || sums.is_used()) {
                statz.push(account_statz(&account, sums));
            }
        }
        json!({ "server_id": self.core.server_id, "now": timestamp(SystemTime::now()), "account_statz": statz })
    }

    /// The figures of one account.
    #[must_use]
    pub fn one_accstatz(&self, name: &str) -> Option<Value> {
        let account = self.core.accounts().into_iter().find(|account| *account.name == *name)?;
        Some(account_statz(&account, Sums::of(&account, &self.core.conns())))
    }

    /// What the server tells of itself to whoever asks who is there.
    #[must_use]
    pub fn statz(&self) -> Map<String, Value> {
        let (totals, conns) = (self.totals(), self.core.conns());
        let active = self.core.accounts();
        let active = active.iter().filter(|account| Sums::of(account, &conns).is_used()).count();
        let document = json!({
            "start": timestamp(self.core.started_at),
            "cores": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            "connections": totals.clients,
            "total_connections": self.core.counters.accepted.get(),
            "active_accounts": active,
            "subscriptions": totals.subscriptions,
            "sent": { "msgs": totals.out_messages, "bytes": totals.out_bytes },
            "received": { "msgs": totals.in_messages, "bytes": totals.in_bytes },
            "slow_consumers": self.core.counters.slow.sum(),
            "active_servers": 1,
        });
        match document {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }
}

fn account_statz(account: &Account, sums: Sums) -> Value {
    json!({
        "acc": &*account.name,
        "name": &*account.name,
        "conns": sums.clients,
        "leafnodes": sums.links,
        "total_conns": account.past.connections.get() + sums.clients,
        "num_subscriptions": account.subscriptions(),
        "sent": with_parts(sums.sent, sums.sent_to_links),
        "received": with_parts(sums.received, sums.received_from_links),
        "slow_consumers": account.past.slow.get(),
    })
}
