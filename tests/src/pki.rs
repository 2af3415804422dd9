//! A fresh public-key infrastructure for one test.

use std::path::{Path, PathBuf};

use anyhow::Result;
use certs_dev::{Authority, AuthorityName, LeafRequest, Usage};
use tempfile::TempDir;

use crate::tls::ClientTls;

/// A directory made by `certs-dev`, which is also the test's working directory: configurations, logs and data of
/// its processes lie there, and all of it goes away with this value.
#[derive(Debug)]
pub struct Pki {
    dir: TempDir,
}

impl Pki {
    /// Makes both CAs, the certificates of both processes, of the outside door and of the services `billing` and
    /// `orders`; and `stranger`, signed by a CA of the same name that nobody trusts.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub fn new() -> Result<Self> {
        let dir = TempDir::with_prefix("gatehouse-test-")?;
        certs_dev::init(dir.path(), false)?;
        let pki = Self { dir };
        let stranger = Authority::new("Gatehouse development internal CA")?;
        stranger.write(pki.dir(), "stranger-ca")?;
        let request = LeafRequest::client("stranger").usage(Usage::Server);
        stranger.issue(&request)?.write(pki.dir(), "stranger")?;
        Ok(pki)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A file of the directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.dir().join(file)
    }

    /// A file of the directory, as text for a configuration.
    pub fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }

    /// Issues `NAME.crt` and `NAME.key` from the internal CA.
    ///
    /// # Errors
    /// When the request makes no certificate.
    pub fn issue(&self, name: &str, request: &LeafRequest) -> Result<()> {
        certs_dev::issue_into(self.dir(), name, AuthorityName::Internal, request)?;
        Ok(())
    }

    /// Issues `NAME.crt` and `NAME.key` from the CA of the outside door.
    ///
    /// # Errors
    /// When the request makes no certificate.
    pub fn issue_frontend(&self, name: &str, request: &LeafRequest) -> Result<()> {
        certs_dev::issue_into(self.dir(), name, AuthorityName::Frontend, request)?;
        Ok(())
    }

    /// What a service of the inside needs to connect to the bus.
    pub fn service(&self, name: &str) -> ClientTls {
        self.outsider().with_ca(self.path("internal-ca.crt")).with_pair(self.dir(), name)
    }

    /// What an external client needs to connect to the gateway: its CA, no certificate.
    pub fn outsider(&self) -> ClientTls {
        ClientTls::new(self.path("frontend-ca.crt"))
    }
}
