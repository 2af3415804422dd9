//! The dialling side: verifies the server by name, shows a certificate where one is configured.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::client::{ClientConfig, Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::sign::SingleCertAndKey;

use crate::rotate::{Material, unix_now};
use crate::tls::certified;
use crate::tls::provider::provider;
use crate::tls::trust;
use crate::tls::{CertificateExpiry, CertifiedFile, TlsError, TlsVersion, TlsWarning};

/// What a TLS client is configured with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// PEM file of the CAs servers may come from. Without effect when `system_roots` is set.
    pub root_ca_path: PathBuf,
    /// Servers may come from the CAs that the operating system trusts.
    pub system_roots: bool,
    /// Certificate to show when asked; `None` shows none.
    pub certificate: Option<CertifiedFile>,
    /// Revocation lists over server certificates: files, or directories of nothing else.
    pub crls: Vec<PathBuf>,
    /// Refuse server certificates whose issuer none of the `crls` speaks for. Of no effect without `crls`.
    pub require_revocation_status: bool,
    /// Lowest version spoken.
    pub min_version: TlsVersion,
}

/// A client's configuration as loaded from its files.
#[derive(Debug)]
pub struct LoadedClient {
    /// For `tokio_rustls::TlsConnector`.
    pub config: Arc<ClientConfig>,
    /// The end of the certificate it shows, if any.
    pub certificates: Vec<CertificateExpiry>,
    /// What an operator should know.
    pub warnings: Vec<TlsWarning>,
}

impl ClientTls {
    /// The rustls configuration alone, built from the files as they are now.
    ///
    /// # Errors
    /// [`TlsError`] naming the file that can't be used.
    pub fn build(&self) -> Result<Arc<ClientConfig>, TlsError> {
        Ok(self.load(unix_now())?.config)
    }
}

impl Material for ClientTls {
    type Value = LoadedClient;
    type Error = TlsError;

    fn load(&self, now: i64) -> Result<LoadedClient, TlsError> {
        let roots =
            if self.system_roots { trust::system_roots()? } else { trust::roots(&self.root_ca_path)? };
        let revocation = trust::revocation(&self.crls, now)?;
        let mut warnings = revocation.warnings;
        let mut verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
            .with_crls(revocation.lists)
            .enforce_revocation_expiration();
        if !self.require_revocation_status {
            verifier = verifier.allow_unknown_revocation_status();
        }
        let verifier = verifier
            .build()
            .map_err(|source| TlsError::Verifier { path: self.root_ca_path.clone(), source })?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(self.min_version.and_later())?
            .with_webpki_verifier(verifier);

        let certified = self.certificate.as_ref().map(|file| file.load(now)).transpose()?;
        let mut certificates = Vec::new();
        let mut config = match certified {
            None => builder.with_no_client_auth(),
            Some(mut certified) => {
                warnings.append(&mut certified.warnings);
                certificates.push(certified.expiry);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified.key)))
            }
        };
        config.resumption = Resumption::disabled();
        Ok(LoadedClient { config: Arc::new(config), certificates, warnings })
    }

    fn may_replace(old: &LoadedClient, new: &LoadedClient, now: i64) -> Result<(), TlsError> {
        certified::may_replace((&old.certificates, &old.warnings), &new.warnings, now)
    }

    fn inputs(&self) -> Vec<PathBuf> {
        let pair = self.certificate.iter().flat_map(CertifiedFile::inputs);
        let roots = (!self.system_roots).then(|| self.root_ca_path.clone());
        pair.chain(roots).chain(self.crls.iter().cloned()).collect()
    }

    fn expiries(value: &LoadedClient) -> &[CertificateExpiry] {
        &value.certificates
    }
}
