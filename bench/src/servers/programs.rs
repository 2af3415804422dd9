//! Which binaries stand on either side.

use std::env;
use std::fmt;
use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Where `tests/run` installs foreign programs, unless `GATEHOUSE_PEERS` says otherwise.
const PEERS: &str = "target/peers";

/// One of the two sides of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Side {
    /// `internal-bus` and `event-gateway`.
    Ours,
    /// nats-server.
    Theirs,
}

impl Side {
    /// In the order in which they run.
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Theirs];
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        })
    }
}

/// What runs on our side.
pub(crate) enum Ours {
    /// The two binaries of this project.
    Gatehouse { bus: PathBuf, gateway: PathBuf },
    /// A stock server, to check the bench itself: all ratios must come out near 1.
    Stock(PathBuf),
}

/// The binaries under test.
pub(crate) struct Programs {
    pub(crate) ours: Ours,
    pub(crate) nats_server: PathBuf,
}

impl Programs {
    /// Finds the binaries. `ours` is a directory with our two, or one stock server;
    /// `nats_server` is looked for in `target/peers` and on the `PATH` when not given.
    ///
    /// # Errors
    /// When one that every scenario needs does not exist.
    pub(crate) fn find(ours: &Path, nats_server: Option<&Path>) -> Result<Self> {
        let nats_server = match nats_server {
            Some(given) => existing(given)?,
            None => installed().context("nats-server not found: --nats-server PATH says where it is")?,
        };
        let ours = if ours.is_dir() {
            // Only one scenario needs the gateway; where it is missing, that one says so.
            let gateway = fs::canonicalize(ours)?.join("event-gateway");
            Ours::Gatehouse { bus: existing(&ours.join("internal-bus"))?, gateway }
        } else {
            Ours::Stock(existing(ours)?)
        };
        Ok(Self { ours, nats_server })
    }

    /// The binary that serves a scenario with one process.
    pub(crate) fn single(&self, side: Side) -> &Path {
        match (side, &self.ours) {
            (Side::Ours, Ours::Gatehouse { bus, .. }) => bus,
            (Side::Ours, Ours::Stock(server)) => server,
            (Side::Theirs, _) => &self.nats_server,
        }
    }
}

/// Servers run in directories of their own, so their paths must be absolute.
fn existing(path: &Path) -> Result<PathBuf> {
    match fs::canonicalize(path) {
        Ok(found) if found.is_file() => Ok(found),
        _ => bail!("{}: no such program (cargo build --release makes ours)", path.display()),
    }
}

/// Where `tests/run` installs the peers, then the `PATH`.
fn installed() -> Option<PathBuf> {
    let peers = env::var_os("GATEHOUSE_PEERS").map_or_else(|| PathBuf::from(PEERS), PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = iter::once(peers.join("bin")).chain(env::split_paths(&path));
    folders.map(|folder| folder.join("nats-server")).find_map(|program| existing(&program).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_named() {
        let error = Programs::find(Path::new("/nowhere"), Some(Path::new("/nowhere/nats-server"))).err();
        assert!(error.unwrap().to_string().contains("/nowhere/nats-server"));
    }
}
