//! `gateway { … }`: this server as a cluster of a super-cluster.

use std::time::Duration;

use super::reader::Reader;
use super::secret::Secret;
use super::tls::{self, Tls};
use super::units::{self, Port, RemoteUrl};
use super::value::{Entry, Value};

/// The `gateway` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Name of our cluster.
    pub name: String,
    /// Address to listen on.
    pub host: Option<String>,
    /// Port to listen on.
    pub port: Option<Port>,
    /// TLS, of the listener and towards others that have none of their own.
    pub tls: Option<Tls>,
    /// User that others log in as here.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// `host:port` told to others in place of the listener's own.
    pub advertise: Option<String>,
    /// Clusters that are not listed are refused.
    pub reject_unknown: bool,
    /// Clusters to connect to.
    pub remotes: Vec<Remote>,
}

/// A cluster to connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Where to dial, one after the other.
    pub urls: Vec<RemoteUrl>,
    /// TLS towards it.
    pub tls: Option<Tls>,
}

pub(super) fn read(reader: &mut Reader, block: &Entry) -> Option<Gateway> {
    reader.map(&block.value)?;
    let mut gateway = Gateway::default();
    let errors = reader.errors.len();
    reader.each(&block.value, |reader, key, entry| setting(reader, &mut gateway, key, entry));
    if reader.errors.len() > errors {
        return Some(gateway);
    }
    if gateway.name.is_empty() || gateway.name.contains(char::is_whitespace) {
        reader.error(&block.at, "`gateway` needs a `name` without spaces");
    } else if gateway.port.is_none() {
        reader.error(&block.at, "`gateway` needs a `port` (-1 takes a free one)");
    }
    Some(gateway)
}

fn setting(reader: &mut Reader, gateway: &mut Gateway, key: &str, entry: &Entry) {
    let value = &entry.value;
    match key {
        "name" => gateway.name = reader.text(value).unwrap_or_default(),
        "listen" => {
            if let Some((host, port)) = reader.address(value) {
                (gateway.host, gateway.port) = (host, port);
            }
        }
        "host" | "net" => gateway.host = reader.text_or_unset(value),
        "port" => gateway.port = reader.port(value),
        "tls" => {
            gateway.tls = tls::read(reader, entry);
            if gateway.tls.as_ref().is_some_and(|tls| tls.certificates.is_empty()) {
                reader.error(&entry.at, "`tls` of a listener needs `cert_file` and `key_file`");
            }
        }
        "authorization" => authorization(reader, gateway, entry),
        "advertise" => gateway.advertise = reader.text_or_unset(value),
        "reject_unknown" | "reject_unknown_cluster" => {
            gateway.reject_unknown = reader.boolean(value).unwrap_or_default();
        }
        "gateways" | "remotes" => gateway.remotes = remotes(reader, value),
        "connect_retries" | "connect_backoff" | "write_deadline" | "write_timeout" => {
            reader.no_effect(
                entry,
                "gateways are dialled with growing delays, for ever if they are configured",
            );
        }
        _ => reader.unknown(entry, "gateway"),
    }
}

fn authorization(reader: &mut Reader, gateway: &mut Gateway, block: &Entry) {
    reader.each(&block.value, |reader, key, entry| match key {
        "user" | "username" => gateway.user = reader.text_or_unset(&entry.value),
        "pass" | "password" => gateway.password = reader.secret(&entry.value),
        "timeout" => drop::<Option<Duration>>(reader.timeout(&entry.value)),
        "users" | "token" => reader.unsupported(entry, "gateway.authorization"),
        _ => reader.unknown(entry, "gateway.authorization"),
    });
    if gateway.password.as_ref().is_some_and(Secret::is_bcrypt_hash) {
        reader.error(&block.at, "the password has to be in clear: it is used to log in at others, too");
    }
}

fn remotes(reader: &mut Reader, value: &Value) -> Vec<Remote> {
    let mut remotes: Vec<Remote> = Vec::new();
    for item in reader.list(value).unwrap_or_default() {
        let errors = reader.errors.len();
        let mut remote = Remote::default();
        reader.each(item, |reader, key, entry| match key {
            "name" => remote.name = reader.text(&entry.value).unwrap_or_default(),
            "url" | "urls" => remote.urls = urls(reader, &entry.value),
            "tls" => remote.tls = tls::read(reader, entry),
            _ => reader.unknown(entry, "gateway.gateways"),
        });
        if reader.errors.len() == errors && (remote.name.is_empty() || remote.urls.is_empty()) {
            reader.error(&item.at, "each of `gateways` needs a `name` and a `url`");
        }
        remotes.push(remote);
    }
    remotes
}

fn urls(reader: &mut Reader, value: &Value) -> Vec<RemoteUrl> {
    let texts = reader.texts(value).unwrap_or_default();
    let read = texts.into_iter().filter_map(|(at, text)| match units::remote_url(&text) {
        Ok(url) => Some(url),
        Err(what) => {
            reader.error(&at, what);
            None
        }
    });
    read.collect()
}
