//! Servers that are configured by a `nats.conf`: stock nats-server, and the internal bus in its place.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use tempfile::TempDir;

use crate::address::Addresses;
use crate::http::http_get;
use crate::peer::peers_dir;
use crate::process::{Process, ProcessBuilder, binary};
use crate::skip::skip;

/// Whose server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `internal-bus -c FILE`.
    Ours,
    /// nats-server, as its makers publish it.
    Stock,
    /// An earlier nats-server, by the first two numbers of its version; see `tests/peers/install`.
    Older(&'static str),
}

impl Kind {
    /// The program. `None`, counted as a skip, where it is not installed.
    ///
    /// # Errors
    /// When ours has not been built.
    pub(crate) fn program(self) -> Result<Option<PathBuf>> {
        let program = match self {
            Self::Ours => binary("internal-bus")?,
            Self::Stock => peers_dir().join("bin/nats-server"),
            Self::Older(version) => peers_dir().join(format!("bin/nats-server-{version}")),
        };
        if !program.exists() {
            skip("no such nats-server on this machine");
            return Ok(None);
        }
        Ok(Some(program))
    }
}

/// What a client is told that has not logged in in time: nats.js gives up after the second time it hears stock's words.
#[must_use]
pub fn late_login(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => "Login Undecided, Try Again Later",
        Kind::Stock | Kind::Older(_) => "Authentication Timeout",
    }
}

/// A running server.
#[derive(Debug)]
pub struct ConfServer {
    /// The process.
    pub process: Process,
    /// Where it listens.
    pub addresses: Addresses,
    /// Its directory, if it has one of its own; dropped after the process, whose log lies there.
    _dir: Option<TempDir>,
}

impl ConfServer {
    /// As [`ConfServer::start`], in a directory of its own, listening for clients on a free port.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn fresh(kind: Kind, conf: &str) -> Result<Option<Self>> {
        let dir = TempDir::with_prefix("gatehouse-test-")?;
        let server = Self::start(kind, dir.path(), &format!("listen: \"127.0.0.1:-1\"\n{conf}")).await?;
        Ok(server.map(|server| Self { _dir: Some(dir), ..server }))
    }

    /// Starts a server with `conf` in `dir`, and waits until it listens. `None`, counted as a skip, where stock
    /// nats-server is not installed.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn start(kind: Kind, dir: &Path, conf: &str) -> Result<Option<Self>> {
        Self::named(kind, dir, "server", conf).await
    }

    /// As [`ConfServer::start`], with a name for its files, so that several fit into one directory.
    ///
    /// # Errors
    /// When it does not come up; its log is in the error.
    pub async fn named(kind: Kind, dir: &Path, name: &str, conf: &str) -> Result<Option<Self>> {
        let Some(program) = kind.program()? else { return Ok(None) };
        let file = dir.join(format!("{name}.conf"));
        fs::write(&file, conf)?;
        let builder = ProcessBuilder::new(program, dir.join(format!("{name}.log"))).arg("-c").arg(&file);
        let mut process = builder.current_dir(dir).spawn()?;
        let addresses = process.wait_log("a listening server", Addresses::from_log).await?;
        Ok(Some(Self { process, addresses, _dir: None }))
    }

    /// URL for clients in clear.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addresses.clients)
    }

    /// A monitoring page as JSON; the configuration must have `http`.
    ///
    /// # Errors
    /// When there is no such page.
    pub async fn page(&self, path: &str) -> Result<Value> {
        let admin = self.addresses.admin.ok_or_else(|| anyhow::anyhow!("no monitoring port"))?;
        http_get(admin, path).await?.json()
    }
}
