//! The credential of the health check: a random token that lives as long as the process, in a file only its owner
//! may read.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::distr::Alphanumeric;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Characters of the token: 256 bits and more.
const LENGTH: usize = 44;

/// What every such token begins with, so that it is recognised where it should not be. No JWT begins so.
const PREFIX: &str = "health-check.";

/// Why the credential's file can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file system refused.
    #[error("health check credentials {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("health check credentials {}: not written by this program", path.display())]
    Content {
        /// The file.
        path: PathBuf,
    },
}

/// The token. `Debug` does not show it.
#[derive(Clone)]
pub struct HealthCredential(String);

impl HealthCredential {
    /// A new one, from the thread's cryptographically secure generator.
    #[must_use]
    pub fn generate() -> Self {
        let random = rand::rng().sample_iter(Alphanumeric).take(LENGTH).map(char::from);
        Self(PREFIX.chars().chain(random).collect())
    }

    /// Whether `presented` is this token, in a time that does not tell how much of it is right.
    #[must_use]
    pub fn is(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }
}

impl fmt::Debug for HealthCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HealthCredential")
    }
}

/// What the health check has to know, as JSON in a file of mode 0600.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialFile {
    /// Where to connect.
    pub url: String,
    /// The token.
    pub token: String,
    /// Certificates of which the gateway must show one; empty without TLS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<PathBuf>,
    /// TLS begins before INFO.
    #[serde(default)]
    pub handshake_first: bool,
    /// Certificate and key to show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

impl fmt::Debug for CredentialFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialFile").field("url", &self.url).finish_non_exhaustive()
    }
}

impl CredentialFile {
    /// A file for a gateway that listens on `address`; `certificates` are those of its door.
    #[must_use]
    pub fn new(credential: &HealthCredential, address: SocketAddr, certificates: Vec<PathBuf>) -> Self {
        let scheme = if certificates.is_empty() { "nats" } else { "tls" };
        Self {
            url: format!("{scheme}://{}", reachable(address)),
            token: credential.0.clone(),
            certificates,
            handshake_first: false,
            client_certificate: None,
        }
    }

    /// Writes it in one step, mode 0600; makes the folder if there is none.
    ///
    /// # Errors
    /// [`CredentialError::File`].
    pub fn write(&self, path: &Path) -> Result<(), CredentialError> {
        let failed = |source| CredentialError::File { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        write_private(path, &text).map_err(failed)
    }

    /// Reads what [`CredentialFile::write`] wrote.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn read(path: &Path) -> Result<Self, CredentialError> {
        let text =
            fs::read(path).map_err(|source| CredentialError::File { path: path.to_owned(), source })?;
        // The parser's error could repeat what it read.
        serde_json::from_slice(&text).map_err(|_| CredentialError::Content { path: path.to_owned() })
    }
}

/// Puts a file in place at once that only its owner may read, also when one with other rights was there.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(bytes))
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to tell; the leftover may not even exist.
        drop(fs::remove_file(&temporary));
    }
    written
}

/// An address to connect to, of one to listen on: "any" means the loopback for who is on this machine.
pub(crate) fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/health.token");
        let credential = HealthCredential::generate();
        let file = CredentialFile::new(&credential, "0.0.0.0:4222".parse().unwrap(), Vec::new());
        file.write(&path).unwrap();
        file.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        let read = CredentialFile::read(&path).unwrap();
        assert_eq!(read.url, "nats://127.0.0.1:4222");
        assert!(credential.is(&read.token) && !HealthCredential::generate().is(&read.token));
    }

    #[test]
    fn nothing_shows_the_token() {
        let credential = HealthCredential::generate();
        let file = CredentialFile::new(&credential, "[::]:1".parse().unwrap(), vec!["a.crt".into()]);
        assert_eq!(file.url, "tls://[::1]:1");
        assert!(!format!("{credential:?} {file:?}").contains(&credential.0[PREFIX.len()..]));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, "{\"token\": \"secret\", \"url\": 3}").unwrap();
        assert!(!CredentialFile::read(&path).unwrap_err().to_string().contains("secret"));
    }
}
