//! A certificate with its key: loading, and the checks that catch a wrong file before a peer does.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, InconsistentKeys};

use crate::peer::PeerCertificate;
use crate::pem;
use crate::tls::names::HostPattern;
use crate::tls::provider::provider;
use crate::tls::{TlsError, TlsWarning};

/// Where a certificate (leaf first, then intermediates) and its key lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertifiedFile {
    /// Name by which clients ask for it (SNI), perhaps with `*.` in front; `None` takes the certificate's own DNS
    /// names. Of no meaning for client certificates.
    pub server_name: Option<String>,
    /// PEM file of the certificate chain.
    pub cert_path: PathBuf,
    /// PEM file of the private key.
    pub key_path: PathBuf,
}

/// When a certificate of ours ends; for metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateExpiry {
    /// The certificate's file.
    pub cert_path: PathBuf,
    /// What the certificate calls itself: its first DNS name, else another name, else empty.
    pub name: String,
    /// Its end, seconds since 1970.
    pub not_after: i64,
}

/// A certificate ready for use, with what was learnt about it.
pub(crate) struct Certified {
    pub(crate) key: Arc<CertifiedKey>,
    pub(crate) names: Vec<HostPattern>,
    pub(crate) expiry: CertificateExpiry,
    pub(crate) warnings: Vec<TlsWarning>,
}

impl CertifiedFile {
    /// A pair without a server name of its own.
    pub fn new(cert_path: impl Into<PathBuf>, key_path: impl Into<PathBuf>) -> Self {
        Self { server_name: None, cert_path: cert_path.into(), key_path: key_path.into() }
    }

    /// The files to watch.
    pub(crate) fn inputs(&self) -> [PathBuf; 2] {
        [self.cert_path.clone(), self.key_path.clone()]
    }

    /// Reads both files and checks that they belong together. `now` is in seconds since 1970.
    pub(crate) fn load(&self, now: i64) -> Result<Certified, TlsError> {
        let chain = pem::certificates(&self.cert_path)?;
        let leaf = chain.first().ok_or(TlsError::NoCertificate)?;
        let facts = PeerCertificate::from_der(leaf)
            .map_err(|source| TlsError::Certificate { path: self.cert_path.clone(), source })?;
        let loaded = pem::private_key(&self.key_path)?;
        let key =
            CertifiedKey::from_der(chain, loaded.key, &provider()).map_err(|error| self.bad_key(error))?;
        let names = self.names(&facts)?;
        let warnings = self.warnings(&facts, loaded.readable_by_others, now);
        let expiry = CertificateExpiry {
            cert_path: self.cert_path.clone(),
            name: facts.names().next().unwrap_or_default().to_owned(),
            not_after: facts.not_after,
        };
        Ok(Certified { key: Arc::new(key), names, expiry, warnings })
    }

    fn bad_key(&self, error: rustls::Error) -> TlsError {
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                TlsError::KeyMismatch { cert_path: self.cert_path.clone(), key_path: self.key_path.clone() }
            }
            source => TlsError::Key { path: self.key_path.clone(), source },
        }
    }

    /// The names that choose this certificate. A certificate's own names that can't be asked for are left out.
    fn names(&self, facts: &PeerCertificate) -> Result<Vec<HostPattern>, TlsError> {
        match &self.server_name {
            Some(name) => Ok(vec![name.parse()?]),
            None => Ok(facts.dns.iter().filter_map(|name| name.parse().ok()).collect()),
        }
    }

    fn warnings(&self, facts: &PeerCertificate, readable_by_others: bool, now: i64) -> Vec<TlsWarning> {
        let cert_path = || self.cert_path.clone();
        let mut warnings = Vec::new();
        if now > facts.not_after {
            warnings.push(TlsWarning::Expired { cert_path: cert_path(), not_after: facts.not_after });
        }
        if now < facts.not_before {
            warnings.push(TlsWarning::NotYetValid { cert_path: cert_path(), not_before: facts.not_before });
        }
        if readable_by_others {
            warnings.push(TlsWarning::KeyReadableByOthers { key_path: self.key_path.clone() });
        }
        if let Some(server_name) = &self.server_name
            && !made_out_to(facts, server_name)
        {
            let server_name = server_name.clone();
            warnings.push(TlsWarning::NameNotInCertificate { cert_path: cert_path(), server_name });
        }
        warnings
    }
}

/// Refuses a certificate outside its validity as the replacement of one that is good (told by the file it comes
/// from): an operator's slip must not take a working listener away. Where nothing good is lost it is let pass.
pub(crate) fn may_replace(
    old: (&[CertificateExpiry], &[TlsWarning]),
    new: &[TlsWarning],
    now: i64,
) -> Result<(), TlsError> {
    let (old_expiries, old_warnings) = old;
    let good_before = |path: &PathBuf| {
        let early = |warning: &TlsWarning| matches!(warning, TlsWarning::NotYetValid { cert_path, .. } if cert_path == path);
        let unexpired = |expiry: &CertificateExpiry| expiry.cert_path == *path && now <= expiry.not_after;
        old_expiries.iter().any(unexpired) && !old_warnings.iter().any(early)
    };
    let worse = new.iter().find(|warning| match warning {
        TlsWarning::Expired { cert_path, .. } | TlsWarning::NotYetValid { cert_path, .. } => {
            good_before(cert_path)
        }
        _ => false,
    });
    worse.map_or(Ok(()), |warning| Err(TlsError::WorseThanPresent(warning.clone())))
}

/// Whether the certificate covers `name`, which may itself be a wildcard.
fn made_out_to(facts: &PeerCertificate, name: &str) -> bool {
    let covers = |own: &String| {
        own.eq_ignore_ascii_case(name)
            || own.parse::<HostPattern>().is_ok_and(|pattern| pattern.matches(name))
    };
    facts.dns.iter().any(covers)
}
