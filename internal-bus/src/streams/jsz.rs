//! `/jsz` and the `jetstream` block of `/varz`, as nats-server shows them.

use std::collections::HashMap;
use std::time::SystemTime;

use jetstream::JetStream;
use serde_json::{Map, Value, json};

use super::Streams;

/// Accounts shown unless `limit` says otherwise.
const LIMIT: usize = 1024;

/// What is asked for.
struct Wanted<'a> {
    account: Option<&'a str>,
    accounts: bool,
    streams: bool,
    consumers: bool,
    config: bool,
    offset: usize,
    limit: usize,
    /// Who leads each stream: this server.
    server: &'a str,
}

impl<'a> Wanted<'a> {
    fn new(query: &'a HashMap<String, String>, server: &'a str) -> Self {
        let flag = |key: &str| {
            query
                .get(key)
                .is_some_and(|value| matches!(value.as_str(), "" | "1") || value.eq_ignore_ascii_case("true"))
        };
        let number = |key: &str| query.get(key).and_then(|value| value.parse().ok());
        let account = query.get("acc").or_else(|| query.get("account")).map(String::as_str);
        let consumers = flag("consumers") || flag("consumer");
        let streams = consumers || flag("streams") || flag("stream");
        Self {
            account,
            accounts: flag("accounts") || streams || account.is_some(),
            streams,
            consumers,
            config: flag("config"),
            offset: number("offset").unwrap_or(0),
            limit: number("limit").filter(|limit| *limit > 0).unwrap_or(LIMIT),
            server,
        }
    }
}

impl Streams {
    /// `/jsz`, with `acc`, `accounts`, `streams`, `consumers`, `config`, `offset` and `limit`; what is about clusters has no
    /// effect.
    pub(crate) fn jsz(&self, query: &HashMap<String, String>) -> Value {
        let mut document = json!({
            "server_id": self.server.id(),
            "now": jetstream::stamp::Stamp::of(SystemTime::now()),
        });
        let (Some(jetstream), Value::Object(fields)) = (self.running(), &mut document) else {
            document["disabled"] = json!(true);
            return document;
        };
        let wanted = Wanted::new(query, self.server.name());
        let figures = jetstream.figures();
        fields.insert("config".into(), self.config(jetstream));
        fields.insert("limits".into(), json!({}));
        fields.extend(object(json!({
            "memory": figures.memory,
            "storage": figures.file,
            "reserved_memory": figures.reserved_memory,
            "reserved_storage": figures.reserved_file,
            "accounts": figures.accounts,
            "ha_assets": 0,
            "api": { "level": API_LEVEL, "total": figures.api_requests, "errors": figures.api_errors },
            "streams": figures.streams,
            "consumers": figures.consumers,
            "messages": figures.messages,
            "bytes": figures.memory + figures.file,
            "total": figures.accounts,
        })));
        if wanted.accounts {
            fields.insert("account_details".into(), details(jetstream, &wanted));
        }
        document
    }

    /// The `jetstream` block of `/varz`.
    pub(crate) fn varz(&self) -> Value {
        let Some(jetstream) = self.running() else { return json!({}) };
        let figures = jetstream.figures();
        json!({
            "config": self.config(jetstream),
            "stats": {
                "memory": figures.memory,
                "storage": figures.file,
                "reserved_memory": figures.reserved_memory,
                "reserved_storage": figures.reserved_file,
                "accounts": figures.accounts,
                "ha_assets": 0,
                "api": { "level": API_LEVEL, "total": figures.api_requests, "errors": figures.api_errors },
            },
            "limits": {},
        })
    }

    fn config(&self, jetstream: &JetStream) -> Value {
        let settings = jetstream.settings();
        let (always, interval) = match settings.sync {
            store::Sync::Commit => (true, 0),
            store::Sync::Interval(interval) => (false, interval.as_nanos()),
            store::Sync::None => (false, 0),
        };
        let mut config = json!({
            "max_memory": settings.max_memory,
            "max_storage": settings.max_file,
            "store_dir": self.folder().map(|folder| folder.display().to_string()),
            "sync_interval": u64::try_from(interval).unwrap_or(u64::MAX),
            "sync_always": always,
            "strict": settings.strict,
        });
        if let Some(domain) = &settings.domain {
            config["domain"] = json!(domain);
        }
        config
    }
}

/// The level of the API that is implemented, as nats-server counts it.
const API_LEVEL: u32 = 5;

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn details(jetstream: &JetStream, wanted: &Wanted<'_>) -> Value {
    let named = jetstream
        .accounts()
        .into_iter()
        .filter(|account| wanted.account.is_none_or(|name| *account.name == *name));
    let page = named.skip(wanted.offset).take(wanted.limit);
    page.map(|account| {
        let usage = account.figures();
        let mut detail = json!({
            "name": &*account.name,
            "id": &*account.name,
            "memory": usage.memory,
            "storage": usage.file,
            "reserved_memory": 0,
            "reserved_storage": 0,
            "accounts": 0,
            "ha_assets": 0,
            "api": { "level": API_LEVEL, "total": usage.api_requests, "errors": usage.api_errors },
        });
        if wanted.streams {
            let streams = account.streams();
            detail["stream_detail"] = streams.iter().map(|stream| of_stream(stream, wanted)).collect();
        }
        detail
    })
    .collect()
}

fn of_stream(stream: &jetstream::stream::Stream, wanted: &Wanted<'_>) -> Value {
    let info = stream.info();
    let mut detail = json!({
        "name": info.config.name,
        "created": info.created,
        "cluster": { "leader": wanted.server },
        "state": info.state,
    });
    if wanted.config {
        detail["config"] = json!(info.config);
    }
    if let Some(mirror) = &info.mirror {
        detail["mirror"] = json!(mirror);
    }
    if !info.sources.is_empty() {
        detail["sources"] = json!(info.sources);
    }
    if wanted.consumers
        && let Some(consumers) = stream.consumers()
    {
        let mut infos = json!(consumers.infos());
        if let (false, Value::Array(list)) = (wanted.config, &mut infos) {
            list.iter_mut().filter_map(Value::as_object_mut).for_each(|info| drop(info.remove("config")));
        }
        detail["consumer_detail"] = infos;
    }
    detail
}
