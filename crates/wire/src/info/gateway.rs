//! `INFO` and `CONNECT` as gateways exchange them.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::Extension;
use super::json::{self, Redacted};
use crate::{ParseError, Verb};

/// What an `INFO` between gateways is for, beyond introducing the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatewayCommand {
    /// Tells of another gateway, to be dialled as well.
    Gossip,
    /// From here on every subscription of an account is told.
    AllSubsStart,
    /// All of the account's subscriptions have been told: send nothing but on interest.
    AllSubsComplete,
}

impl GatewayCommand {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Gossip => 1,
            Self::AllSubsStart => 2,
            Self::AllSubsComplete => 3,
        }
    }
}

/// `INFO` between gateways. The accepting end sends it first; the dialling end answers with `CONNECT` and its own.
/// Options that are unset, false or empty stay out of the JSON.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayInfo {
    /// The sender's unique id.
    pub server_id: String,
    /// The sender's name.
    pub server_name: String,
    /// The nats-server version whose behaviour the peer may count on.
    pub version: String,
    /// Protocol number.
    pub proto: u32,
    /// Address of the gateway listener.
    pub host: String,
    /// Port of the gateway listener.
    pub port: u16,
    /// Whether `HMSG` may be used.
    #[serde(skip_serializing_if = "json::is_false")]
    pub headers: bool,
    /// Largest payload in bytes, headers included.
    pub max_payload: usize,
    /// Whether `CONNECT` needs user and password.
    #[serde(skip_serializing_if = "json::is_false")]
    pub auth_required: bool,
    /// Whether the connection is under TLS.
    #[serde(skip_serializing_if = "json::is_false")]
    pub tls_required: bool,
    /// Whether the dialling end needs a certificate.
    #[serde(skip_serializing_if = "json::is_false")]
    pub tls_verify: bool,
    /// Name of the sender's cluster; in a gossip, of the one it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// `host:port` of every server of that cluster that takes gateways.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "json::null_default")]
    pub gateway_urls: Vec<String>,
    /// `host:port` of the sender's own listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_url: Option<String>,
    /// See [`GatewayInfo::command`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_cmd: Option<u8>,
    /// The account a command is about, in base64. See [`GatewayInfo::account`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_cmd_payload: Option<String>,
    /// The sender understands replies mapped with `_GR_`, not only `$GR`.
    #[serde(skip_serializing_if = "json::is_false")]
    pub gateway_nrp: bool,
    /// The sender tells all interest of every account, and wants nothing sent without.
    #[serde(skip_serializing_if = "json::is_false")]
    pub gateway_iom: bool,
    /// Our extension.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gatehouse: Option<Extension>,
}

impl GatewayInfo {
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

    /// A command about an account, from the gateway `gateway`.
    #[must_use]
    pub fn of_account(gateway: &str, command: GatewayCommand, account: &str) -> Self {
        Self {
            gateway: Some(gateway.into()),
            gateway_cmd: Some(command.number()),
            gateway_cmd_payload: Some(BASE64_STANDARD.encode(account)),
            ..Self::default()
        }
    }

    /// The command, where it is one of those known.
    #[must_use]
    pub fn command(&self) -> Option<GatewayCommand> {
        let known = [GatewayCommand::Gossip, GatewayCommand::AllSubsStart, GatewayCommand::AllSubsComplete];
        known.into_iter().find(|command| Some(command.number()) == self.gateway_cmd)
    }

    /// The account a command is about; `None` when it names none.
    #[must_use]
    pub fn account(&self) -> Option<Vec<u8>> {
        BASE64_STANDARD.decode(self.gateway_cmd_payload.as_ref()?).ok()
    }
}

/// `CONNECT` between gateways, sent by the end that dialled. Empty strings read as `None`.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayConnect {
    /// Answer every message with `+OK`. nats-servers never ask for it.
    pub verbose: bool,
    /// As clients have it, without effect.
    pub pedantic: bool,
    /// User name.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Password. Secret.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub pass: Option<String>,
    /// Whether the sender wants TLS.
    pub tls_required: bool,
    /// The sender's unique id.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Name of the sender's cluster. Its absence tells a client or a route on the wrong port.
    #[serde(deserialize_with = "json::non_empty", skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
}

impl GatewayConnect {
    /// `CONNECT {json} CR LF`.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        json::line(Verb::Connect, self)
    }

    /// Reads the argument of `CONNECT`.
    ///
    /// # Errors
    /// [`ParseError::InvalidJson`].
    pub fn parse(json: &[u8]) -> Result<Self, ParseError> {
        json::read(Verb::Connect, json)
    }
}

impl fmt::Debug for GatewayConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayConnect")
            .field("user", &Redacted(&self.user))
            .field("pass", &Redacted(&self.pass))
            .field("tls_required", &self.tls_required)
            .field("name", &self.name)
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}
