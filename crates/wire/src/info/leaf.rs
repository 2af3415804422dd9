//! `INFO` and `CONNECT` as leafnodes exchange them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::json::{self, Redacted};
use crate::{ParseError, Verb};

/// What both ends may add about themselves when both are ours. Absent from stock servers, and
/// ignored by them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Extension {
    /// Version of the sender.
    pub version: String,
    /// Number that grows with every start of the sender, so that stale state can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Names of link extensions the sender understands.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "json::null_default")]
    pub features: Vec<String>,
    /// All interest told so far, summed up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interest: Option<InterestSum>,
    /// All interest is told anew from here on, under this epoch; what is not told again is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retelling: Option<u64>,
    /// Asks the other end to tell all of its interest anew.
    #[serde(skip_serializing_if = "json::is_false")]
    pub retell: bool,
    /// Between gateways: the account that `interest`, `retelling` or `retell` is about; without it, `interest` is of
    /// all accounts together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Between gateways: asks the other end for the sum of each account.
    #[serde(skip_serializing_if = "json::is_false")]
    pub sums: bool,
}

impl Extension {
    /// The feature of comparing [`Extension::interest`].
    pub const INTEREST: &'static str = "interest";

    /// What a sender of this version says of itself.
    #[must_use]
    pub fn of(version: &str) -> Self {
        Self { version: version.into(), features: vec![Self::INTEREST.into()], ..Self::default() }
    }

    /// Whether the sender names a feature.
    #[must_use]
    pub fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }
}

/// The interest one end has told, as both ends count it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InterestSum {
    /// Grows each time all interest is told anew.
    pub epoch: u64,
    /// Patterns and queue groups.
    pub count: u64,
    /// Sum of their hashes, in hexadecimal.
    pub sum: String,
}

/// Subject patterns allowed and denied. An empty `allow` allows everything not denied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SubjectPermission {
    /// Patterns allowed.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "json::null_default")]
    pub allow: Vec<String>,
    /// Patterns denied, whatever `allow` says.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "json::null_default")]
    pub deny: Vec<String>,
}

/// `INFO` on a leafnode connection. The hub sends it twice: first on the connection, and with
/// `connect_info` after `CONNECT`. Options that are unset, false or empty stay out of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LeafInfo {
    /// The sender's unique id.
    pub server_id: String,
    /// The sender's name.
    pub server_name: String,
    /// The nats-server version whose behaviour the peer may count on.
    pub version: String,
    /// Protocol number.
    pub proto: u32,
    /// Commit the server was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// Go version of a nats-server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go: Option<String>,
    /// Address the leafnode listener is on.
    pub host: String,
    /// Port the leafnode listener is on.
    pub port: u16,
    /// Whether `HMSG` may be used.
    pub headers: bool,
    /// Largest payload in bytes, headers included.
    pub max_payload: usize,
    /// Whether JetStream is there.
    #[serde(skip_serializing_if = "json::is_false")]
    pub jetstream: bool,
    /// The hub's number for this connection. The solicitor takes an `INFO` without one for a
    /// wrong port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<u64>,
    /// The peer's address as the sender sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// Whether `CONNECT` needs credentials.
    #[serde(skip_serializing_if = "json::is_false")]
    pub auth_required: bool,
    /// Whether the connection has to be upgraded to TLS next.
    #[serde(skip_serializing_if = "json::is_false")]
    pub tls_required: bool,
    /// Whether the solicitor needs a certificate.
    #[serde(skip_serializing_if = "json::is_false")]
    pub tls_verify: bool,
    /// Whether the connection may be upgraded to TLS.
    #[serde(skip_serializing_if = "json::is_false")]
    pub tls_available: bool,
    /// What an nkey user signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Name of the cluster; a stand-alone server uses its own name. Must differ at the two ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether the cluster name was made up at start.
    #[serde(skip_serializing_if = "json::is_false")]
    pub cluster_dynamic: bool,
    /// JetStream domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// `host:port` of leafnode listeners. The hub's first `INFO` needs at least one: the solicitor
    /// takes an `INFO` without for a wrong port.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "json::null_default")]
    pub leafnode_urls: Vec<String>,
    /// Compression the hub offers; absent means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
    /// The hub will answer `CONNECT` with a second `INFO`.
    #[serde(skip_serializing_if = "json::is_false")]
    pub info_on_connect: bool,
    /// This is that second `INFO`.
    #[serde(skip_serializing_if = "json::is_false")]
    pub connect_info: bool,
    /// Account the connection is bound to at the sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_account: Option<String>,
    /// Whether that account is the system account.
    #[serde(skip_serializing_if = "json::is_false")]
    pub acc_is_sys: bool,
    /// What the leaf may subscribe to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<SubjectPermission>,
    /// What the leaf may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub export: Option<SubjectPermission>,
    /// Level of the JetStream API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_lvl: Option<u32>,
    /// Lame duck mode: the sender is about to stop.
    #[serde(skip_serializing_if = "json::is_false")]
    pub ldm: bool,
    /// Name of the gateway, on a gateway port; never on a leafnode port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The sender's public curve key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xkey: Option<String>,
    /// Our extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gatehouse: Option<Extension>,
}

impl LeafInfo {
    /// `INFO {json} CR LF`.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        json::line(Verb::Info, self)
    }

    /// Reads the argument of `INFO`.
    ///
    /// # Errors
    /// [`ParseError::InvalidJson`].
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        json::read(Verb::Info, json)
    }

    /// Where the sender's cluster accepts leafnodes. A server of ours has no cluster, and names itself only because
    /// stock solicitors insist on a list.
    #[must_use]
    pub fn cluster_addresses(&self) -> &[String] {
        if self.gatehouse.is_some() { &[] } else { &self.leafnode_urls }
    }
}

/// `CONNECT` on a leafnode connection, sent by the end that dialled. Empty strings read as `None`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LeafConnect {
    /// Version of the sender.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Language of a client library. Never set by a leafnode: a client has dialled the wrong port.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// Public nkey.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
    /// User JWT. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// Signature of the nonce. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// User name. nats-server repeats it in `auth_token` when there is no password.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// Bearer token. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// The sender's unique id.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// JetStream domain.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The sender's name. With cluster and account it identifies the link.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The sender acts as hub although it dialled.
    #[serde(deserialize_with = "json::null_default", skip_serializing_if = "json::is_false")]
    pub is_hub: bool,
    /// Name of the sender's cluster.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The sender reads `HMSG`.
    #[serde(deserialize_with = "json::null_default", skip_serializing_if = "json::is_false")]
    pub headers: bool,
    /// Whether the sender has JetStream.
    #[serde(deserialize_with = "json::null_default", skip_serializing_if = "json::is_false")]
    pub jetstream: bool,
    /// Patterns the hub must not send to the leaf's side.
    #[serde(deserialize_with = "json::null_default", skip_serializing_if = "Vec::is_empty")]
    pub deny_pub: Vec<String>,
    /// No traffic of other leafnodes wanted.
    #[serde(deserialize_with = "json::null_default", skip_serializing_if = "json::is_false")]
    pub isolate: bool,
    /// Compression chosen.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub compress_mode: Option<String>,
    /// Name of a gateway. Never set by a leafnode: a gateway has dialled the wrong port.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Account the connection is bound to at the sender.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub remote_account: Option<String>,
    /// Protocol number.
    #[serde(deserialize_with = "json::null_default")]
    pub protocol: i32,
    /// Our extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gatehouse: Option<Extension>,
}

impl LeafConnect {
    /// Reads the argument of `CONNECT`.
    ///
    /// # Errors
    /// [`ParseError::InvalidJson`].
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        json::read(Verb::Connect, json)
    }

    /// `CONNECT {json} CR LF`.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        json::line(Verb::Connect, self)
    }
}

impl fmt::Debug for LeafConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeafConnect")
            .field("version", &self.version)
            .field("lang", &self.lang)
            .field("nkey", &self.nkey)
            .field("jwt", &Redacted(&self.jwt))
            .field("sig", &Redacted(&self.sig))
            .field("user", &Redacted(&self.user))
            .field("pass", &Redacted(&self.pass))
            .field("auth_token", &Redacted(&self.auth_token))
            .field("server_id", &self.server_id)
            .field("domain", &self.domain)
            .field("name", &self.name)
            .field("is_hub", &self.is_hub)
            .field("cluster", &self.cluster)
            .field("headers", &self.headers)
            .field("jetstream", &self.jetstream)
            .field("deny_pub", &self.deny_pub)
            .field("isolate", &self.isolate)
            .field("compress_mode", &self.compress_mode)
            .field("gateway", &self.gateway)
            .field("remote_account", &self.remote_account)
            .field("protocol", &self.protocol)
            .field("gatehouse", &self.gatehouse)
            .finish()
    }
}
