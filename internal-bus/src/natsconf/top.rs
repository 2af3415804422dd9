//! The settings at the top level.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reader::Reader;
use super::value::{Entry, Kind, Map, Value};
use super::{Limit, NatsConf, auth, check, gateway, jetstream, leaf, mappings, operator, tls, websocket};

/// nats-server keeps these sizes in 32 bits.
const MOST_32: i64 = i32::MAX as i64;

/// The shortest lame duck mode: clients need time to move.
const SHORTEST_LAME_DUCK: Duration = Duration::from_secs(30);

/// Settings of nats-server that this server does not have. One that is merely switched off is no problem.
const UNSUPPORTED: &[&str] = &[
    "account_resolver",
    "accounts_resolver",
    "default_js_domain",
    "default_sentinel",
    "https",
    "https_port",
    "mqtt",
    "ocsp",
    "ocsp_cache",
    "prof_block_rate",
    "prof_port",
    "proxies",
    "proxy_protocol",
    "remote_syslog",
    "resolver_pinned_accounts",
    "resolver_tls",
    "root",
    "roots",
    "syslog",
];

/// What to do in place of a cluster.
const NO_CLUSTER: &str =
    "is not supported: this server is one machine; a cluster of nats-server belongs behind event-gateway";

/// Settings that tune nats-server's inside; nothing here corresponds to them.
const NO_EFFECT: &[&str] = &[
    "connect_error_reports",
    "disable_sublist_cache",
    "feature_flags",
    "no_fast_producer_stall",
    "no_sublist_cache",
    "reconnect_error_reports",
    "write_timeout",
];

/// Reads the whole configuration.
pub(super) fn read(reader: &mut Reader, root: &Map) -> NatsConf {
    let mut conf = NatsConf::default();
    for entry in root.entries() {
        let key = entry.key.to_ascii_lowercase();
        let known = listener(reader, &mut conf, &key, entry)
            || limit(reader, &mut conf, &key, entry)
            || log(reader, &mut conf, &key, entry)
            || login(reader, &mut conf, &key, entry)
            || block(reader, &mut conf, &key, entry)
            || not_done(reader, &key, entry);
        if !known {
            reader.unknown(entry, "");
        }
    }
    store_dir(reader, &mut conf, root);
    check::check(reader, &conf, root);
    conf
}

fn listener(reader: &mut Reader, conf: &mut NatsConf, key: &str, entry: &Entry) -> bool {
    let value = &entry.value;
    match key {
        "listen" => {
            if let Some((host, port)) = reader.address(value) {
                (conf.host, conf.port) = (host, port);
            }
        }
        "host" | "net" => conf.host = reader.text_or_unset(value),
        "port" => conf.port = reader.port(value),
        "client_advertise" => conf.client_advertise = reader.text_or_unset(value),
        "server_name" => conf.server_name = server_name(reader, value),
        "server_tags" => conf.server_tags = reader.plain_texts(value).unwrap_or_default(),
        "server_metadata" => conf.server_metadata = metadata(reader, value),
        "http" => {
            if let Some((host, port)) = reader.address(value) {
                (conf.http_host, conf.http_port) = (host, port);
            }
        }
        "http_port" | "monitor_port" => conf.http_port = reader.port(value),
        "http_base_path" => conf.http_base_path = reader.text_or_unset(value),
        "pidfile" | "pid_file" => conf.pid_file = reader.path(value),
        "ports_file_dir" => conf.ports_file_dir = reader.path(value),
        "no_header_support" => conf.no_header_support = reader.boolean(value),
        _ => return false,
    }
    true
}

fn server_name(reader: &mut Reader, value: &Value) -> Option<String> {
    let name = reader.text_or_unset(value)?;
    if name.contains(' ') {
        reader.error(&value.at, "a server name can't hold spaces");
        return None;
    }
    Some(name)
}

fn metadata(reader: &mut Reader, value: &Value) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    // The case of these keys matters.
    for entry in reader.map(value).map(Map::entries).unwrap_or_default() {
        if let Some(text) = reader.text(&entry.value) {
            metadata.insert(entry.key.clone(), text);
        }
    }
    metadata
}

fn limit(reader: &mut Reader, conf: &mut NatsConf, key: &str, entry: &Entry) -> bool {
    let value = &entry.value;
    match key {
        "max_payload" => conf.max_payload = reader.count(value, MOST_32),
        "max_closed_clients" => conf.max_closed_clients = reader.count(value, i64::MAX),
        "max_pending" => conf.max_pending = reader.count(value, i64::MAX),
        "max_control_line" => conf.max_control_line = reader.count(value, MOST_32),
        "max_connections" | "max_conn" => conf.max_connections = at_most(reader, value),
        "max_subscriptions" | "max_subs" => conf.max_subscriptions = at_most(reader, value),
        "max_sub_tokens" | "max_subscription_tokens" => {
            conf.max_subscription_tokens = reader.count(value, i64::from(u8::MAX));
        }
        "ping_interval" => conf.ping_interval = reader.duration(value).filter(|time| !time.is_zero()),
        "ping_max" => conf.ping_max = reader.count(value, MOST_32),
        "write_deadline" => conf.write_deadline = reader.duration(value).filter(|time| !time.is_zero()),
        "lame_duck_duration" => conf.lame_duck_duration = lame_duck(reader, value),
        "lame_duck_grace_period" => conf.lame_duck_grace_period = reader.strict_duration(value),
        _ => return false,
    }
    true
}

/// 0 and negative numbers mean no limit.
fn at_most(reader: &mut Reader, value: &Value) -> Option<Limit> {
    let number = reader.integer(value)?;
    Some(match u64::try_from(number) {
        Ok(0) | Err(_) => Limit::Unlimited,
        Ok(most) => Limit::AtMost(most),
    })
}

fn lame_duck(reader: &mut Reader, value: &Value) -> Option<Duration> {
    let duration = reader.strict_duration(value)?;
    if duration < SHORTEST_LAME_DUCK {
        let shortest = SHORTEST_LAME_DUCK.as_secs();
        reader.error(&value.at, format!("`lame_duck_duration` must be at least {shortest} seconds"));
        return None;
    }
    Some(duration)
}

fn log(reader: &mut Reader, conf: &mut NatsConf, key: &str, entry: &Entry) -> bool {
    let value = &entry.value;
    match key {
        "debug" => conf.debug = reader.boolean(value),
        "trace" => conf.trace = reader.boolean(value),
        "trace_verbose" => {
            conf.trace_verbose = reader.boolean(value);
            conf.trace = conf.trace_verbose;
        }
        "trace_headers" => {
            conf.trace_headers = reader.boolean(value);
            conf.trace = conf.trace_headers;
        }
        "logtime" => conf.logtime = reader.boolean(value),
        "logtime_utc" => conf.logtime_utc = reader.boolean(value),
        "log_file" | "logfile" => conf.log_file = reader.path(value),
        "log_size_limit" | "logfile_size_limit" => conf.log_size_limit = reader.count(value, i64::MAX),
        "log_max_num" | "logfile_max_num" => conf.log_max_num = reader.count(value, i64::MAX),
        "max_traced_msg_len" => conf.max_traced_msg_len = reader.count(value, MOST_32),
        _ => return false,
    }
    true
}

fn login(reader: &mut Reader, conf: &mut NatsConf, key: &str, entry: &Entry) -> bool {
    let value = &entry.value;
    match key {
        "authorization" => conf.authorization = auth::read_authorization(reader, entry),
        "accounts" => conf.accounts = auth::read_accounts(reader, entry),
        "mappings" | "maps" => conf.mappings = mappings::mappings(reader, value),
        "no_auth_user" => conf.no_auth_user = reader.text_or_unset(value),
        "system_account" | "system" => conf.system_account = reader.text_or_unset(value),
        "no_system_account" | "no_system" | "no_sys_acc" => conf.no_system_account = reader.boolean(value),
        "operator" | "operators" | "root_operator" | "root_operators" => {
            operator::operators(reader, conf.operator.get_or_insert_default(), value);
        }
        "trusted_keys" | "trusted" => {
            operator::trusted_keys(reader, conf.operator.get_or_insert_default(), value);
        }
        "resolver" => operator::resolver(reader, entry),
        "resolver_preload" => operator::preload(reader, conf.operator.get_or_insert_default(), value),
        "allow_non_tls" => conf.allow_non_tls = reader.boolean(value),
        _ => return false,
    }
    true
}

fn block(reader: &mut Reader, conf: &mut NatsConf, key: &str, entry: &Entry) -> bool {
    match key {
        "tls" => {
            conf.tls = tls::read(reader, entry);
            if conf.tls.as_ref().is_some_and(|tls| tls.certificates.is_empty()) {
                reader.error(&entry.at, "`tls` of a listener needs `cert_file` and `key_file`");
            }
        }
        "leafnodes" | "leaf" => conf.leafnodes = leaf::read(reader, entry),
        "websocket" | "ws" => conf.websocket = websocket::read(reader, entry),
        "gateway" => conf.gateway = gateway::read(reader, entry),
        "jetstream" => conf.jetstream = jetstream::read(reader, entry),
        // Joined with the `jetstream` block when that is known.
        "store_dir" | "storedir" => {}
        _ => return false,
    }
    true
}

/// `store_dir` at the top level belongs to `jetstream`, but does not switch it on.
fn store_dir(reader: &mut Reader, conf: &mut NatsConf, root: &Map) {
    let entries = root.entries().iter();
    let named =
        |entry: &&Entry| ["store_dir", "storedir"].iter().any(|key| entry.key.eq_ignore_ascii_case(key));
    for entry in entries.filter(named) {
        let path = reader.path(&entry.value);
        let jetstream = conf.jetstream.get_or_insert_default();
        if jetstream.store_dir.is_some() {
            reader.error(&entry.at, "the store's folder is given twice");
            return;
        }
        jetstream.store_dir = path;
    }
}

fn not_done(reader: &mut Reader, key: &str, entry: &Entry) -> bool {
    let off = matches!(entry.value.kind, Kind::Boolean(false));
    if key == "cluster" {
        reader.not_done(&entry.at, format!("`cluster` {NO_CLUSTER}"));
        return true;
    }
    if UNSUPPORTED.binary_search(&key).is_ok() {
        if !off {
            reader.unsupported(entry, "");
        }
        return true;
    }
    if NO_EFFECT.binary_search(&key).is_ok() {
        if !off {
            reader.no_effect(entry, "nothing here corresponds to it");
        }
        return true;
    }
    false
}

#[cfg(test)]
mod tests {
    #[test]
    fn tables_are_sorted_for_the_search() {
        assert!(super::UNSUPPORTED.is_sorted());
        assert!(super::NO_EFFECT.is_sorted());
    }
}
