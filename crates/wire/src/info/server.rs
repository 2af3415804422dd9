//! `INFO` as a server sends it to clients.

use serde::{Deserialize, Serialize};

use super::json;
use crate::{ParseError, Verb};

/// What a server tells a client, first on the connection and again when something changes.
/// Options that are unset, false or empty stay out of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerInfo {
    /// The server's unique id.
    pub server_id: String,
    /// The server's name.
    pub server_name: String,
    /// The nats-server version whose behaviour clients may count on, as `2.14.5`.
    pub version: String,
    /// Protocol number; 1 means the server sends `INFO` again when its facts change.
    pub proto: u32,
    /// Commit the server was built from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// Go version nats-server was built with. Some clients expect the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go: Option<String>,
    /// Address the server listens on.
    pub host: String,
    /// Port the server listens on.
    pub port: u16,
    /// Whether `HPUB` and `HMSG` may be used.
    pub headers: bool,
    /// Largest payload in bytes, headers included.
    pub max_payload: usize,
    /// Whether JetStream is there.
    #[serde(skip_serializing_if = "json::is_false")]
    pub jetstream: bool,
    /// The server's number for this connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<u64>,
    /// The client's address as the server sees it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// Whether `CONNECT` needs credentials.
    #[serde(skip_serializing_if = "json::is_false")]
    pub auth_required: bool,
    /// Whether the connection has to be upgraded to TLS next.
    #[serde(skip_serializing_if = "json::is_false")]
    pub tls_required: bool,
    /// Whether the client needs a certificate.
    #[serde(skip_serializing_if = "json::is_false")]
    pub tls_verify: bool,
    /// Whether the connection may be upgraded to TLS.
    #[serde(skip_serializing_if = "json::is_false")]
    pub tls_available: bool,
    /// What an nkey client signs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// Name of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// JetStream domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Level of the JetStream API: clients ask for no feature above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_lvl: Option<u32>,
    /// `host:port` of every server a client may connect to.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "json::null_default")]
    pub connect_urls: Vec<String>,
    /// The same for WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "json::null_default")]
    pub ws_connect_urls: Vec<String>,
    /// Lame duck mode: the server is about to stop, clients should go elsewhere.
    #[serde(skip_serializing_if = "json::is_false")]
    pub ldm: bool,
    /// Said to a client that has logged in, not to one that comes.
    #[serde(skip_serializing_if = "json::is_false")]
    pub connect_info: bool,
    /// The account the client is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_account: Option<String>,
    /// Whether that is the system account.
    #[serde(skip_serializing_if = "json::is_false")]
    pub acc_is_sys: bool,
    /// The server's public curve key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub xkey: Option<String>,
    /// Our own version; its presence tells our clients and links who they talk to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gatehouse: Option<String>,
}

impl ServerInfo {
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
}
