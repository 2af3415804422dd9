//! `CONNECT` as a client sends it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::json::{self, Redacted};
use crate::{ParseError, Verb};

/// What a client says of itself. Defaults are those of nats-server for a bare `CONNECT {}`:
/// verbose, pedantic and echo are on. Empty strings read as `None`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConnectOptions {
    /// Answer every operation with `+OK`.
    #[serde(deserialize_with = "json::null_true")]
    pub verbose: bool,
    /// Check subjects of publishes.
    #[serde(deserialize_with = "json::null_true")]
    pub pedantic: bool,
    /// Deliver the client's own messages to its own subscriptions.
    #[serde(deserialize_with = "json::null_true")]
    pub echo: bool,
    /// The client reads `HMSG`.
    #[serde(deserialize_with = "json::null_default")]
    pub headers: bool,
    /// The client wants a 503 when nobody listens to its request; needs `headers`.
    #[serde(deserialize_with = "json::null_default")]
    pub no_responders: bool,
    /// The client insists on TLS.
    #[serde(deserialize_with = "json::null_default")]
    pub tls_required: bool,
    /// Language of the client library.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub lang: Option<String>,
    /// Version of the client library.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// 1 when the client understands an `INFO` at any time. nats-server refuses other numbers than 0 and 1.
    #[serde(deserialize_with = "json::null_default")]
    pub protocol: i32,
    /// The connection's name, for people to read.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// User name.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// Bearer token. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub auth_token: Option<String>,
    /// User JWT. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// Public nkey.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub nkey: Option<String>,
    /// Signature of the nonce. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub sig: Option<String>,
    /// Account asked for.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            tls_required: false,
            lang: None,
            version: None,
            protocol: 0,
            name: None,
            user: None,
            pass: None,
            auth_token: None,
            jwt: None,
            nkey: None,
            sig: None,
            account: None,
        }
    }
}

impl ConnectOptions {
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

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("verbose", &self.verbose)
            .field("pedantic", &self.pedantic)
            .field("echo", &self.echo)
            .field("headers", &self.headers)
            .field("no_responders", &self.no_responders)
            .field("tls_required", &self.tls_required)
            .field("lang", &self.lang)
            .field("version", &self.version)
            .field("protocol", &self.protocol)
            .field("name", &self.name)
            .field("user", &Redacted(&self.user))
            .field("pass", &Redacted(&self.pass))
            .field("auth_token", &Redacted(&self.auth_token))
            .field("jwt", &Redacted(&self.jwt))
            .field("nkey", &self.nkey)
            .field("sig", &Redacted(&self.sig))
            .field("account", &self.account)
            .finish()
    }
}
