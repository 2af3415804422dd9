//! `leafnodes { … }`: links that others dial, and links that this server dials.

use std::path::PathBuf;
use std::time::Duration;

use broker::{Compression, CompressionMode};

use super::reader::Reader;
use super::report::Position;
use super::secret::Secret;
use super::tls::{self, Tls};
use super::units::{self, Port, RemoteUrl};
use super::users::{Queues, subjects};
use super::value::{Entry, Kind, Value};

/// The `leafnodes` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leafnodes {
    /// Address to listen on; default the clients' one.
    pub host: Option<String>,
    /// Port to listen on; `None` means no listener.
    pub port: Option<Port>,
    /// TLS of the listener.
    pub tls: Option<Tls>,
    /// How links log in; `None` means as clients do.
    pub authorization: Option<LeafAuthorization>,
    /// Links to dial.
    pub remotes: Vec<LeafRemote>,
    /// `host:port` told to other servers in place of the listener's own.
    pub advertise: Option<String>,
    /// Addresses of other servers are not told to those who link here.
    pub no_advertise: bool,
    /// Oldest nats-server version that may link here, as written.
    pub min_version: Option<String>,
    /// Time between two attempts to dial. Default 1 s.
    pub reconnect_interval: Option<Duration>,
    /// Time for one attempt to dial.
    pub dial_timeout: Option<Duration>,
    /// Time for one write to a link. Default 10 s.
    pub write_deadline: Option<Duration>,
    /// Compression of the links others dial. Default by round trip time.
    pub compression: Compression,
    /// Leaves are not told what other leaves subscribe to.
    pub isolate: bool,
}

/// How links log in. `user` and `users` exclude each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafAuthorization {
    /// One user name for all links.
    pub user: Option<String>,
    /// Its password, or the bcrypt hash of it.
    pub password: Option<Secret>,
    /// Account those links belong to; `None` is the global one.
    pub account: Option<String>,
    /// Users with accounts.
    pub users: Vec<LeafUser>,
    /// Time from connecting to a complete login. Default 2 s.
    pub timeout: Option<Duration>,
}

/// A user that links log in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafUser {
    /// Its name.
    pub name: String,
    /// Its password, or the bcrypt hash of it.
    pub password: Option<Secret>,
    /// Account the link belongs to; `None` is the global one.
    pub account: Option<String>,
    /// Where the user is defined.
    pub at: Position,
}

/// A link to dial.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeafRemote {
    /// Where to dial, one after the other; at least one.
    pub urls: Vec<RemoteUrl>,
    /// Keep the order of `urls`; otherwise they are shuffled.
    pub no_randomize: bool,
    /// Local account of the link; `None` is the global one.
    pub account: Option<String>,
    /// TLS of the link; without it TLS is used if the URL or the other side asks for it.
    pub tls: Option<Tls>,
    /// This side is the hub, though it dials.
    pub hub: bool,
    /// Subjects that are not taken over from the other side.
    pub deny_imports: Vec<String>,
    /// Subjects that are not handed to the other side.
    pub deny_exports: Vec<String>,
    /// Servers that the other side tells of are not dialled.
    pub ignore_discovered_servers: bool,
    /// File with a user JWT and the seed of its key, to log in with.
    pub credentials: Option<PathBuf>,
    /// Compression. Default by round trip time.
    pub compression: Compression,
    /// Seed of the nkey to log in with.
    pub nkey: Option<Secret>,
    /// Time for the other side's first INFO. Default 1 s.
    pub first_info_timeout: Option<Duration>,
    /// Time for one attempt to dial.
    pub dial_timeout: Option<Duration>,
    /// Configured, but not dialled.
    pub disabled: bool,
    /// Where the link is defined.
    pub at: Position,
}

pub(super) fn read(reader: &mut Reader, block: &Entry) -> Option<Leafnodes> {
    reader.map(&block.value)?;
    let mut leaf = Leafnodes::default();
    reader.each(&block.value, |reader, key, entry| setting(reader, &mut leaf, key, entry));
    Some(leaf)
}

fn setting(reader: &mut Reader, leaf: &mut Leafnodes, key: &str, entry: &Entry) {
    let value = &entry.value;
    match key {
        "listen" => {
            if let Some((host, port)) = reader.address(value) {
                (leaf.host, leaf.port) = (host, port);
            }
        }
        "host" | "net" => leaf.host = reader.text_or_unset(value),
        "port" => leaf.port = reader.port(value),
        "tls" => {
            leaf.tls = tls::read(reader, entry);
            if leaf.tls.as_ref().is_some_and(|tls| tls.certificates.is_empty()) {
                reader.error(&entry.at, "`tls` of a listener needs `cert_file` and `key_file`");
            }
        }
        "authorization" => leaf.authorization = authorization(reader, entry),
        "remotes" => leaf.remotes = remotes(reader, value),
        "leafnode_advertise" | "advertise" => leaf.advertise = reader.text_or_unset(value),
        "no_advertise" => leaf.no_advertise = reader.boolean(value).unwrap_or_default(),
        "min_version" | "minimum_version" => leaf.min_version = reader.text_or_unset(value),
        "reconnect" | "reconnect_delay" | "reconnect_interval" => {
            leaf.reconnect_interval = reader.duration(value);
        }
        "dial_timeout" => leaf.dial_timeout = reader.duration(value),
        "write_deadline" => leaf.write_deadline = reader.duration(value),
        "compression" => leaf.compression = compression(reader, entry),
        "isolate_leafnode_interest" | "isolate" => leaf.isolate = reader.boolean(value).unwrap_or_default(),
        "write_timeout" => reader.no_effect(entry, "a link that misses its write deadline is closed"),
        _ => reader.unknown(entry, "leafnodes"),
    }
}

fn authorization(reader: &mut Reader, block: &Entry) -> Option<LeafAuthorization> {
    reader.map(&block.value)?;
    let mut auth = LeafAuthorization::default();
    reader.each(&block.value, |reader, key, entry| match key {
        "user" | "username" => auth.user = reader.text_or_unset(&entry.value),
        "pass" | "password" => auth.password = reader.secret(&entry.value),
        "account" => auth.account = reader.text_or_unset(&entry.value),
        "timeout" => auth.timeout = reader.timeout(&entry.value),
        "users" => auth.users = leaf_users(reader, &entry.value),
        "nkey" => reader.unsupported(entry, "leafnodes.authorization"),
        "proxy_required" => {
            if reader.boolean(&entry.value).unwrap_or_default() {
                reader.unsupported(entry, "leafnodes.authorization");
            }
        }
        _ => reader.unknown(entry, "leafnodes.authorization"),
    });
    if auth.user.is_some() && !auth.users.is_empty() {
        reader
            .error(&block.at, "`authorization` has both a single user and a list of users; use one of them");
    }
    Some(auth)
}

fn leaf_users(reader: &mut Reader, value: &Value) -> Vec<LeafUser> {
    let mut users: Vec<LeafUser> = Vec::new();
    for item in reader.list(value).unwrap_or_default() {
        let errors = reader.errors.len();
        let (mut name, mut password, mut account) = (None, None, None);
        reader.each(item, |reader, key, entry| match key {
            "user" | "username" => name = reader.text_or_unset(&entry.value),
            "pass" | "password" => password = reader.secret(&entry.value),
            "account" => account = reader.text_or_unset(&entry.value),
            "proxy_required" => {
                if reader.boolean(&entry.value).unwrap_or_default() {
                    reader.unsupported(entry, "leafnodes.authorization.users");
                }
            }
            _ => reader.unknown(entry, "leafnodes.authorization.users"),
        });
        match name {
            Some(name) if users.iter().any(|user| user.name == name) => {
                reader.error(&item.at, format!("user `{}` is listed twice", name.escape_debug()));
            }
            Some(name) => users.push(LeafUser { name, password, account, at: item.at.clone() }),
            None if reader.errors.len() == errors => reader.error(&item.at, "each of `users` needs a `user`"),
            None => {}
        }
    }
    users
}

fn remotes(reader: &mut Reader, value: &Value) -> Vec<LeafRemote> {
    let mut remotes = Vec::new();
    for item in reader.list(value).unwrap_or_default() {
        let errors = reader.errors.len();
        let mut remote = LeafRemote { at: item.at.clone(), ..LeafRemote::default() };
        reader.each(item, |reader, key, entry| remote_setting(reader, &mut remote, key, entry));
        if remote.urls.is_empty() && reader.errors.len() == errors {
            reader.error(&item.at, "each of `remotes` needs a `url`");
        }
        remotes.push(remote);
    }
    remotes
}

fn remote_setting(reader: &mut Reader, remote: &mut LeafRemote, key: &str, entry: &Entry) {
    let value = &entry.value;
    match key {
        "url" | "urls" => remote.urls = urls(reader, value),
        "account" | "local" => remote.account = reader.text_or_unset(value),
        "tls" => remote.tls = tls::read(reader, entry),
        "hub" => remote.hub = reader.boolean(value).unwrap_or_default(),
        "deny_imports" | "deny_import" => remote.deny_imports = subjects(reader, value, Queues::Refused),
        "deny_exports" | "deny_export" => remote.deny_exports = subjects(reader, value, Queues::Refused),
        "compression" => remote.compression = compression(reader, entry),
        "no_randomize" | "dont_randomize" => remote.no_randomize = reader.boolean(value).unwrap_or_default(),
        "ignore_discovered_servers" => {
            remote.ignore_discovered_servers = reader.boolean(value).unwrap_or_default();
        }
        "first_info_timeout" => remote.first_info_timeout = reader.duration(value),
        "dial_timeout" => remote.dial_timeout = reader.duration(value),
        "disabled" => remote.disabled = reader.boolean(value).unwrap_or_default(),
        "creds" | "credentials" => remote.credentials = reader.path(value),
        "nkey" | "seed" => remote.nkey = reader.secret(value),
        "proxy" => reader.unsupported(entry, "leafnodes.remotes"),
        "isolate_leafnode_interest" | "isolate" | "request_isolation" => {
            if reader.boolean(value).unwrap_or_default() {
                reader.unsupported(entry, "leafnodes.remotes");
            }
        }
        "ws_compress"
        | "ws_compression"
        | "websocket_compress"
        | "websocket_compression"
        | "ws_no_masking"
        | "websocket_no_masking" => reader.no_effect(entry, "links do not run over WebSocket"),
        "jetstream_cluster_migrate" | "js_cluster_migrate" => reader.no_effect(entry, "there is no cluster"),
        _ => reader.unknown(entry, "leafnodes.remotes"),
    }
}

fn urls(reader: &mut Reader, value: &Value) -> Vec<RemoteUrl> {
    let mut urls = Vec::new();
    for (at, text) in reader.texts(value).unwrap_or_default() {
        match units::remote_url(&text) {
            Ok(url) if urls.contains(&url) => reader.advise(&at, "this URL is listed twice"),
            Ok(url) => urls.push(url),
            Err(what) => reader.error(&at, what),
        }
    }
    urls
}

/// A word, a boolean, or a map of a word and round trip times.
fn compression(reader: &mut Reader, entry: &Entry) -> Compression {
    let mut read = Compression::default();
    let mode = match &entry.value.kind {
        Kind::Boolean(on) => on.to_string(),
        Kind::Map(_) => {
            let mut mode = String::from("s2_auto");
            reader.each(&entry.value, |reader, key, entry| match key {
                "mode" => mode = reader.text(&entry.value).unwrap_or_default(),
                "rtt_thresholds" | "thresholds" | "rtts" | "rtt" => {
                    let items = reader.list(&entry.value).unwrap_or_default();
                    read.rtt_thresholds = items.iter().filter_map(|item| threshold(reader, item)).collect();
                }
                _ => reader.unknown(entry, "compression"),
            });
            mode
        }
        _ => match reader.text(&entry.value) {
            Some(mode) => mode,
            None => return read,
        },
    };
    match CompressionMode::from_word(&mode.to_ascii_lowercase()) {
        Some(mode) => read.mode = mode,
        None => {
            reader.error(&entry.value.at, "expected off, accept, s2_auto, s2_fast, s2_better or s2_best");
        }
    }
    read
}

/// A round trip time; zero leaves a step out.
fn threshold(reader: &mut Reader, value: &Value) -> Option<Duration> {
    match &value.kind {
        Kind::Text(text) if matches!(text.as_str(), "0" | "0s" | "0ms") => Some(Duration::ZERO),
        _ => reader.strict_duration(value),
    }
}
