//! Sections that mean the same in both configuration files. Keys are documented for users in `config/`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use broker::{Direction, RemoteUrl, Role, RouteRule};
use daemon::config::{Period, Size};
use serde::{Deserialize, Serialize};

pub use crate::compress::Compress;

/// `[admin]`: the HTTP port for probes, metrics and monitoring.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address to listen on; loopback unless configured.
    pub host: IpAddr,
    /// Port; 0 takes a free one. Absent: the process's own default.
    pub port: Option<u16>,
    /// No admin port at all.
    pub disabled: bool,
    /// File of tokens that open `/api/`, one a line.
    pub token_file: Option<PathBuf>,
    /// HTTPS instead of HTTP.
    pub tls: Option<AdminTlsFiles>,
    /// Names of which a client certificate must bear one to open `/api/`.
    pub peers: Vec<String>,
}

/// `tls` of `[admin]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminTlsFiles {
    /// Certificate chain, PEM.
    pub cert_path: PathBuf,
    /// Its key, PEM.
    pub key_path: PathBuf,
    /// CAs of client certificates, PEM.
    #[serde(default)]
    pub root_ca_path: Option<PathBuf>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: None,
            disabled: false,
            token_file: None,
            tls: None,
            peers: Vec::new(),
        }
    }
}

impl Admin {
    /// Where to listen.
    #[must_use]
    pub fn address(&self, default_port: u16) -> SocketAddr {
        SocketAddr::new(self.host, self.port.unwrap_or(default_port))
    }

    /// Its paths, to be made relative to the configuration's folder.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let tls = self.tls.iter_mut().flat_map(|tls| {
            [Some(&mut tls.cert_path), Some(&mut tls.key_path), tls.root_ca_path.as_mut()]
                .into_iter()
                .flatten()
        });
        self.token_file.iter_mut().chain(tls)
    }
}

/// `[limits]`: every bound of the broker; see [`broker::Limits`] for meaning and defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Limits {
    pub max_control_line: Option<Size>,
    pub max_connect_line: Option<Size>,
    pub max_payload: Option<Size>,
    pub max_connections: Option<usize>,
    pub max_subscriptions: Option<usize>,
    pub max_pending: Option<Size>,
    pub stall_at: Option<Size>,
    pub stall_for: Option<Period>,
    pub max_queued_bytes: Option<Size>,
    pub max_queued_messages: Option<usize>,
    pub overload_hold: Option<Period>,
    pub write_deadline: Option<Period>,
    pub auth_timeout: Option<Period>,
    pub tls_timeout: Option<Period>,
    pub ping_interval: Option<Period>,
    pub ping_max: Option<u32>,
    pub handshakes_at_once: Option<usize>,
    pub max_login_bytes: Option<Size>,
    pub login_grace: Option<Period>,
    pub source_logins_per_second: Option<u32>,
    pub source_login_burst: Option<u32>,
    pub failed_logins_free: Option<u32>,
    pub failed_login_delay: Option<Period>,
    pub max_sources: Option<usize>,
    pub quota_hold: Option<Period>,
    pub expiry_notice: Option<Period>,
    pub max_pending_replies: Option<usize>,
    pub max_closed_clients: Option<usize>,
}

impl Limits {
    /// The broker's bounds: its defaults where nothing is configured.
    #[must_use]
    pub fn to_broker(&self) -> broker::Limits {
        let default = broker::Limits::default();
        let size = |size: Option<Size>, default: usize| size.map_or(default, Size::as_usize);
        let time = |time: Option<Period>, default: Duration| time.map_or(default, Duration::from);
        broker::Limits {
            max_control_line: size(self.max_control_line, default.max_control_line),
            max_connect_line: size(self.max_connect_line, default.max_connect_line),
            max_payload: size(self.max_payload, default.max_payload),
            headers: default.headers,
            max_connections: self.max_connections.unwrap_or(default.max_connections),
            max_subscriptions: self.max_subscriptions.unwrap_or(default.max_subscriptions),
            max_pending: size(self.max_pending, default.max_pending),
            stall_at: size(self.stall_at, default.stall_at),
            stall_for: time(self.stall_for, default.stall_for),
            max_queued_bytes: size(self.max_queued_bytes, default.max_queued_bytes),
            max_queued_messages: self.max_queued_messages.unwrap_or(default.max_queued_messages),
            overload_hold: time(self.overload_hold, default.overload_hold),
            write_deadline: time(self.write_deadline, default.write_deadline),
            auth_timeout: time(self.auth_timeout, default.auth_timeout),
            tls_timeout: time(self.tls_timeout, default.tls_timeout),
            ping_interval: time(self.ping_interval, default.ping_interval),
            ping_max: self.ping_max.unwrap_or(default.ping_max),
            handshakes_at_once: self.handshakes_at_once.unwrap_or(default.handshakes_at_once),
            max_login_bytes: size(self.max_login_bytes, default.max_login_bytes),
            login_grace: time(self.login_grace, default.login_grace),
            source_logins_per_second: self
                .source_logins_per_second
                .unwrap_or(default.source_logins_per_second),
            source_login_burst: self.source_login_burst.unwrap_or(default.source_login_burst),
            failed_logins_free: self.failed_logins_free.unwrap_or(default.failed_logins_free),
            failed_login_delay: time(self.failed_login_delay, default.failed_login_delay),
            max_sources: self.max_sources.unwrap_or(default.max_sources),
            quota_hold: time(self.quota_hold, default.quota_hold),
            expiry_notice: time(self.expiry_notice, default.expiry_notice),
            max_pending_replies: self.max_pending_replies.unwrap_or(default.max_pending_replies),
            max_closed_clients: self.max_closed_clients.unwrap_or(default.max_closed_clients),
        }
    }
}

/// Certificate, key and trust of one end of a mutual TLS connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// Our certificate chain, PEM.
    pub cert_path: PathBuf,
    /// Its key, PEM.
    pub key_path: PathBuf,
    /// Who may have signed the other end's certificate, PEM.
    pub root_ca_path: PathBuf,
    /// The name the other end's certificate must carry, when dialling; the URL's host otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
    /// Certificate revocation lists: files or folders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl_paths: Vec<PathBuf>,
    /// TLS begins before the server's INFO.
    #[serde(default)]
    pub handshake_first: bool,
}

/// One `[[routes]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Pattern of the messages' subjects at their source.
    pub subject: String,
    /// Which way they may cross.
    pub direction: RouteDirection,
    /// What they are called on arrival; the same when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Whether what crosses inward carries who it comes from.
    #[serde(default = "stamped")]
    pub stamp: bool,
    /// Whether what crosses inward is kept in the edge buffer while the link is down.
    #[serde(default)]
    pub store_and_forward: bool,
}

fn stamped() -> bool {
    true
}

/// Which way a route leads; inward is towards the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteDirection {
    /// From the gateway's clients to the bus.
    Inward,
    /// From the bus to the gateway's clients.
    Outward,
    /// Both.
    Both,
}

impl From<&Route> for RouteRule {
    fn from(route: &Route) -> Self {
        Self {
            subject: route.subject.clone(),
            direction: match route.direction {
                RouteDirection::Inward => Direction::Inward,
                RouteDirection::Outward => Direction::Outward,
                RouteDirection::Both => Direction::Both,
            },
            to: route.to.clone(),
            stamp: route.stamp,
        }
    }
}

/// Which server-to-server protocol a link speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkProtocol {
    /// One connection, dialled by either end.
    #[default]
    Leafnode,
    /// As a cluster of a super-cluster: see `[gateway]`.
    Gateway,
}

/// `[link]` (of the gateway) and `[[leafnodes.remotes]]` (of the bus): a link this process dials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Its name in logs and metrics.
    #[serde(default = "default_name")]
    pub name: String,
    /// The protocol spoken.
    #[serde(default)]
    pub protocol: LinkProtocol,
    /// Where to dial, tried in turn: `tls://host:port`, or `nats-leaf://host:port` without TLS.
    #[serde(default)]
    pub urls: Vec<String>,
    /// Whether other nodes that the cluster at the other end tells of are dialled, too. Default true.
    #[serde(default = "yes")]
    pub discover: bool,
    /// Links kept up at once, each to another node of the cluster: one carries, the others stand by. Default 1.
    #[serde(default = "one")]
    pub connections: usize,
    /// User to log in as, where the URL names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Its password. Secret.
    #[serde(default, skip_serializing)]
    pub password: Option<String>,
    /// Bearer token. Secret.
    #[serde(default, skip_serializing)]
    pub token: Option<String>,
    /// File with an nkey seed (`SU…`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nkey_path: Option<PathBuf>,
    /// File with a user JWT and its seed (`.creds`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_path: Option<PathBuf>,
    /// JetStream domain of the other end: clients here use its streams as if they were here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jetstream_domain: Option<String>,
    /// Mutual TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Compression of dialled links: off, accept, s2_auto (default), s2_uncompressed, s2_fast, s2_better, s2_best.
    #[serde(default)]
    pub compression: Compress,
    /// How long publishers are held while no link is up, before requests are answered with 503 and publishers
    /// without a reply are disconnected. Default 5 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Period>,
    /// First delay before dialling again. Default 100 ms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_min: Option<Period>,
    /// Longest delay. Default 5 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff_max: Option<Period>,
    /// Instead of dialling: wait here for the other end to dial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<Leafnodes>,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            name: default_name(),
            protocol: LinkProtocol::default(),
            urls: Vec::new(),
            discover: yes(),
            connections: one(),
            user: None,
            password: None,
            token: None,
            nkey_path: None,
            credentials_path: None,
            jetstream_domain: None,
            tls: None,
            compression: Compress::default(),
            hold: None,
            backoff_min: None,
            backoff_max: None,
            listen: None,
        }
    }
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

fn default_name() -> String {
    "bus".into()
}

/// How long publishers wait for a link where nothing is configured.
pub const DEFAULT_HOLD: Duration = Duration::from_secs(5);

impl Link {
    /// How long publishers wait for a link.
    #[must_use]
    pub fn hold(&self) -> Duration {
        self.hold.map_or(DEFAULT_HOLD, Duration::from)
    }

    /// The routes that lead clients here to the streams of the domain over there: the API, and what it has to carry
    /// because stock servers let nothing else of JetStream cross between domains.
    #[must_use]
    pub fn jetstream_routes(&self) -> Vec<RouteRule> {
        let Some(domain) = &self.jetstream_domain else { return Vec::new() };
        let inward = |subject: &str, to: Option<String>| RouteRule {
            subject: subject.into(),
            direction: Direction::Inward,
            to,
            stamp: true,
        };
        vec![
            inward("$JS.API.>", Some(format!("$JS.{domain}.API.>"))),
            inward("$KV.>", Some(format!("$JS.{domain}.API.$KV.>"))),
            // Object stores have no name with a domain: stock servers let them cross as they are.
            inward("$O.>", None),
            inward("$JS.ACK.>", None),
            inward("$JS.FC.>", None),
        ]
    }

    /// The files it names besides certificates, to be put beside the configuration.
    pub fn login_files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.nkey_path, &mut self.credentials_path].into_iter().flatten()
    }

    /// First and longest delay before dialling again.
    #[must_use]
    pub fn backoff(&self) -> (Duration, Duration) {
        (
            self.backoff_min.map_or(Duration::from_millis(100), Duration::from),
            self.backoff_max.map_or(Duration::from_secs(5), Duration::from),
        )
    }
}

/// `[leafnodes]`: where links are accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leafnodes {
    /// Address to listen on.
    #[serde(default = "any_address")]
    pub host: IpAddr,
    /// Port; 0 takes a free one. Default 7422.
    #[serde(default = "leafnode_port")]
    pub port: u16,
    /// Certificate names that may link. Empty: nobody, unless the listener has no TLS.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Mutual TLS; the process's own `[tls]` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
    /// Without TLS: for tests and for links protected otherwise.
    #[serde(default)]
    pub plaintext: bool,
    /// Compression of accepted links: off, accept, s2_auto (default), s2_uncompressed, s2_fast, s2_better, s2_best.
    #[serde(default)]
    pub compression: Compress,
    /// Links dialled from here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<Link>,
    /// Whether links are accepted at all.
    #[serde(default)]
    pub disabled: bool,
}

fn any_address() -> IpAddr {
    IpAddr::from([0, 0, 0, 0])
}

fn leafnode_port() -> u16 {
    7422
}

impl Leafnodes {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}

/// Why a link's URL is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no link URL: expected tls://host:port or nats-leaf://host:port, with user:password@ before the host if needed"
)]
pub struct UrlError(String);

/// Reads a link's URL. The port defaults to 7422.
///
/// # Errors
/// Anything but `scheme://[user[:password]@]host[:port]` with a known scheme. The error does not repeat credentials.
pub fn parse_url(url: &str) -> Result<RemoteUrl, UrlError> {
    parse_url_with(url, leafnode_port())
}

/// The same with another port where the URL names none.
///
/// # Errors
/// As [`parse_url`].
pub fn parse_url_with(url: &str, default_port: u16) -> Result<RemoteUrl, UrlError> {
    let error = || UrlError(url.rsplit_once('@').map_or(url, |(_, host)| host).to_owned());
    let (scheme, rest) = url.split_once("://").ok_or_else(error)?;
    let tls = match scheme {
        "tls" => true,
        "nats" | "nats-leaf" | "leaf" => false,
        _ => return Err(error()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (login, address) =
        rest.rsplit_once('@').map_or((None, rest), |(login, address)| (Some(login), address));
    let (host, port) = split_port(address, default_port).ok_or_else(error)?;
    let (user, password) =
        match login.map(|login| login.split_once(':').map_or((login, None), |(u, p)| (u, Some(p)))) {
            Some((user, password)) => (Some(user.to_owned()), password.map(str::to_owned)),
            None => (None, None),
        };
    Ok(RemoteUrl { host, port, tls, user, password, certificate_name: None })
}

fn split_port(address: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (host, after.strip_prefix(':'))
        }
        None => match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
    (!host.is_empty() && !host.contains(['/', ' ', ':']) || address.starts_with('['))
        .then(|| (host.to_owned(), port))
}

/// The key a policy error is about, as the configuration file spells it (`roles[2].publish.allow[0]`).
#[must_use]
pub fn policy_key(error: &identity::policy::PolicyError) -> String {
    let mut parts = error.place.split(' ');
    let first = parts.next().unwrap_or_default();
    match parts.next_back() {
        Some(last) if !last.ends_with('"') => format!("{first}.{last}"),
        _ => first.to_owned(),
    }
}

/// Our end of a link by what dials and what accepts: the gateway is the bus's leaf, whoever dials.
#[must_use]
pub fn gateway_role() -> Role {
    Role::Spoke
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let url = parse_url("tls://bus.internal:7422").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.tls), ("bus.internal", 7422, true));
        let url = parse_url("nats-leaf://u:p@[::1]:1").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.user.as_deref(), url.password.as_deref()),
            ("::1", 1, Some("u"), Some("p"))
        );
        assert_eq!(parse_url("tls://host").unwrap().port, 7422);
        for bad in ["bus:7422", "http://x", "tls://", "tls://h:x", "tls://a b:1"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
        assert!(!parse_url("tls://user:secret@").unwrap_err().to_string().contains("secret"));
    }
}
