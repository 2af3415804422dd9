//! `[websocket]`: a second port for clients, which speak WebSocket. It has the TLS, the logins and the rights of the
//! first one.

use std::net::{IpAddr, SocketAddr};

use broker::{ListenerTls, TlsStart, WebsocketConfig};
use daemon::config::{KeyPath, Problems};
use serde::{Deserialize, Serialize};

/// Port unless configured.
pub const DEFAULT_PORT: u16 = 9222;

/// `[websocket]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Websocket {
    /// Address to listen on.
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one.
    pub port: u16,
    /// Pages that may connect, such as `https://app.example.com`; empty: all.
    pub allowed_origins: Vec<String>,
    /// Only pages that come from this very host and port.
    pub same_origin: bool,
}

impl Default for Websocket {
    fn default() -> Self {
        Self {
            host: IpAddr::from([0, 0, 0, 0]),
            port: DEFAULT_PORT,
            allowed_origins: Vec::new(),
            same_origin: false,
        }
    }
}

impl Websocket {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host, self.port)
    }

    /// What the listener needs; origins that are none are found by [`Self::check`].
    #[must_use]
    pub fn config(&self) -> WebsocketConfig {
        WebsocketConfig {
            allowed_origins: self.allowed_origins.iter().filter_map(|origin| origin.parse().ok()).collect(),
            same_origin: self.same_origin,
        }
    }

    /// Reports what is wrong with it. `in_clear`: there is no TLS; `remote_plaintext`: other machines may connect
    /// nevertheless.
    pub fn check(&self, in_clear: bool, remote_plaintext: bool, problems: &mut Problems<'_>) {
        if in_clear && !remote_plaintext && !self.host.is_loopback() {
            let message = "without TLS only a loopback address is listened on, unless `allow_remote_plaintext = true` in [service]";
            problems.at("websocket.host", message);
        }
        for (index, origin) in self.allowed_origins.iter().enumerate() {
            if let Err(error) = origin.parse::<broker::WebOrigin>() {
                problems.at(KeyPath::from("websocket.allowed_origins").index(index), error.to_string());
            }
        }
    }
}

/// TLS of a port for WebSocket, from that of the first port: here it begins with the first byte.
#[must_use]
pub fn tls(of_clients: &ListenerTls) -> ListenerTls {
    ListenerTls { start: TlsStart::First, optional: false, ..of_clients.clone() }
}

/// The scheme of its URL.
#[must_use]
pub fn scheme(tls: bool) -> &'static str {
    if tls { "wss" } else { "ws" }
}
