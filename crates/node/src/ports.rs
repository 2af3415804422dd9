//! The file that tells scripts which ports a process listens on.

use std::io;
use std::path::Path;

use serde::Serialize;

/// The addresses of a process, as URLs; empty lists are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// For clients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nats: Vec<String>,
    /// For clients that speak WebSocket.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub websocket: Vec<String>,
    /// For links.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leafnodes: Vec<String>,
    /// For gateways.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// For monitoring.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<String>,
    /// Where issuers tell of logouts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub logout: Vec<String>,
}

impl Ports {
    /// Writes the file in one step: a reader sees all of it or nothing.
    ///
    /// # Errors
    /// The file or its folder can't be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("tmp");
        std::fs::write(&temporary, serde_json::to_vec(self)?)?;
        std::fs::rename(&temporary, path)
    }
}
