//! Where a started process listens: from its log, or from the file of addresses it writes.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use serde_json::Value;

/// The listeners of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Clients.
    pub clients: SocketAddr,
    /// Leafnode links, where there is such a listener.
    pub leafnodes: Option<SocketAddr>,
    /// Clients that speak WebSocket, where there is such a listener.
    pub websocket: Option<SocketAddr>,
    /// Monitoring over HTTP, where there is such a listener.
    pub admin: Option<SocketAddr>,
}

impl Addresses {
    /// Reads the log lines that nats-server and both of our processes print. `None` until the client port is open,
    /// which every server opens last.
    pub fn from_log(log: &str) -> Option<Self> {
        let after = |words: &str| log.lines().find_map(|line| address(line.split_once(words)?.1));
        Some(Self {
            clients: after("Listening for client connections on ")?,
            leafnodes: after("Listening for leafnode connections on "),
            websocket: after("Listening for websocket clients on ws://")
                .or_else(|| after("Listening for websocket clients on wss://")),
            admin: after("http monitor on "),
        })
    }

    /// Reads the JSON file of a process's addresses: each key has a list of URLs.
    ///
    /// # Errors
    /// When it is not such a file, or has no client address.
    pub fn from_ports_file(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text)?;
        let first = |key: &str| address(json.get(key)?.get(0)?.as_str()?.split_once("://")?.1);
        Ok(Self {
            clients: first("nats").context("no client address in the ports file")?,
            leafnodes: first("leafnodes"),
            websocket: first("websocket"),
            admin: first("monitoring"),
        })
    }
}

/// The address a text starts with.
fn address(text: &str) -> Option<SocketAddr> {
    text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '/')).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_a_log() {
        let log = "[1] [INF] Starting http monitor on 127.0.0.1:3\n[1] [INF] Listening for leafnode connections on \
                   127.0.0.1:2\n[1] [INF] Listening for client connections on 127.0.0.1:1\n";
        let found = Addresses::from_log(log).unwrap();
        assert_eq!(found.clients.port(), 1);
        assert_eq!(found.leafnodes.unwrap().port(), 2);
        assert_eq!(found.admin.unwrap().port(), 3);
        assert_eq!(Addresses::from_log("starting"), None);
    }

    #[test]
    fn addresses_are_found_in_a_ports_file() {
        let found = Addresses::from_ports_file(
            r#"{"nats":["tls://127.0.0.1:1"],"monitoring":["http://127.0.0.1:3"]}"#,
        );
        let found = found.unwrap();
        assert_eq!((found.clients.port(), found.leafnodes, found.admin.unwrap().port()), (1, None, 3));
    }
}
