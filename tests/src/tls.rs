//! The client's side of TLS.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

/// Files a client uses: whom it trusts, and what it shows.
#[derive(Clone, Debug)]
pub struct ClientTls {
    /// The CA (bundle) it trusts.
    pub ca: PathBuf,
    /// Its certificate and key.
    pub pair: Option<(PathBuf, PathBuf)>,
}

impl ClientTls {
    /// Trusts `ca` and shows no certificate.
    pub fn new(ca: PathBuf) -> Self {
        Self { ca, pair: None }
    }

    /// Trusts another CA.
    #[must_use]
    pub fn with_ca(mut self, ca: PathBuf) -> Self {
        self.ca = ca;
        self
    }

    /// Shows `DIR/NAME.crt`.
    #[must_use]
    pub fn with_pair(mut self, dir: &Path, name: &str) -> Self {
        self.pair = Some((dir.join(format!("{name}.crt")), dir.join(format!("{name}.key"))));
        self
    }

    /// The same as options of the peers' scripts.
    pub fn peer_options(&self) -> Value {
        match &self.pair {
            None => json!({ "ca": self.ca }),
            Some((cert, key)) => json!({ "ca": self.ca, "cert": cert, "key": key }),
        }
    }

    /// The same as options of async-nats.
    pub fn async_nats(&self) -> async_nats::ConnectOptions {
        let options =
            async_nats::ConnectOptions::new().require_tls(true).add_root_certificates(self.ca.clone());
        match &self.pair {
            None => options,
            Some((cert, key)) => options.add_client_certificate(cert.clone(), key.clone()),
        }
    }
}

/// A rustls configuration from files, with all protocol versions or the given ones.
///
/// # Errors
/// When a file cannot be read or does not hold what it should.
pub fn client_config(
    tls: &ClientTls,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(&tls.ca)? {
        roots.add(cert?)?;
    }
    let versions = if versions.is_empty() { tokio_rustls::rustls::DEFAULT_VERSIONS } else { versions };
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_root_certificates(roots);
    let config = match &tls.pair {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = CertificateDer::pem_file_iter(cert)?.collect::<Result<Vec<_>, _>>()?;
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key)?)?
        }
    };
    Ok(Arc::new(config))
}

/// The certificate a server shows (DER): INFO is read in clear first, as clients do.
///
/// # Errors
/// When there is no INFO, or the handshake fails.
pub async fn peer_certificate(address: SocketAddr, config: Arc<ClientConfig>, name: &str) -> Result<Vec<u8>> {
    let (stream, _) = crate::raw::info_then_tls(address, config, name).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    Ok(shown.context("no certificate was shown")?.to_vec())
}

/// The certificate a server shows (DER) where TLS begins at once.
///
/// # Errors
/// When the handshake fails.
pub(crate) async fn peer_certificate_first(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    name: &str,
) -> Result<Vec<u8>> {
    let stream = crate::raw::tls_at_once(address, config, name).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
    Ok(shown.context("no certificate was shown")?.to_vec())
}

/// The first certificate of a PEM file (DER).
///
/// # Errors
/// When there is none.
pub fn first_certificate(file: &Path) -> Result<Vec<u8>> {
    Ok(CertificateDer::from_pem_file(file)?.to_vec())
}
