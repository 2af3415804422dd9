//! Certificates of a bench run: a throw-away development PKI.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::client::tls::{ServerCheck, client_config};

/// Name in the certificate of the bus, and of every server that stands alone.
pub(crate) const BUS: &str = "internal-bus";
/// Name in the certificate of the process outside.
pub(crate) const GATEWAY: &str = "event-gateway";
/// Service whose certificate the load connections show.
const SERVICE: &str = certs_dev::SERVICES[0];
/// Key pair that signs tokens; any will do.
pub(crate) const ISSUER_KEY: &str = certs_dev::SERVICES[1];

/// A directory of certificates; it goes away with this value.
pub(crate) struct Pki {
    dir: TempDir,
}

/// Where a certificate and its key are.
pub(crate) struct KeyPair {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pki {
    /// Makes the certificates.
    ///
    /// # Errors
    /// When the temporary directory can't be written.
    pub(crate) fn generate() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("bench-pki-").tempdir()?;
        certs_dev::init(dir.path(), false).context("making certificates")?;
        Ok(Self { dir })
    }

    /// The CA that signs servers, services and both ends of a link.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("internal-ca.crt")
    }

    /// Certificate and key of `name`.
    pub(crate) fn pair(&self, name: &str) -> KeyPair {
        KeyPair { cert: self.path(&format!("{name}.crt")), key: self.path(&format!("{name}.key")) }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// TLS settings of load connections: the server is not verified.
    ///
    /// # Errors
    /// When the files are unreadable.
    pub(crate) fn load_client(&self, with_certificate: bool) -> Result<Arc<ClientConfig>> {
        self.client(&ServerCheck::Skip, with_certificate)
    }

    /// TLS settings of a client that verifies the server.
    ///
    /// # Errors
    /// When the files are unreadable.
    pub(crate) fn strict_client(&self, with_certificate: bool) -> Result<Arc<ClientConfig>> {
        let ca = CertificateDer::from_pem_file(self.ca())?;
        self.client(&ServerCheck::Verify(&ca), with_certificate)
    }

    fn client(&self, check: &ServerCheck<'_>, with_certificate: bool) -> Result<Arc<ClientConfig>> {
        let pair = self.pair(SERVICE);
        let identity = if with_certificate {
            let chain = CertificateDer::pem_file_iter(&pair.cert)?.collect::<Result<_, _>>()?;
            Some((chain, PrivateKeyDer::from_pem_file(&pair.key)?))
        } else {
            None
        };
        client_config(check, identity)
    }
}
