//! `[link]` and `[leafnodes]`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use broker::{Direction, RouteRule};
use daemon::config::Period;
use serde::{Deserialize, Serialize};

use super::TlsFiles;
use crate::compress::Compress;

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
    super::url::LEAFNODE_PORT
}

impl Leafnodes {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }
}
