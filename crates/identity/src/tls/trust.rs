//! What peers are verified against: CA certificates and revocation lists.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls_pki_types::CertificateRevocationListDer;
use tokio_rustls::rustls::RootCertStore;

use crate::crl::{self, RevocationList};
use crate::pem;
use crate::tls::{TlsError, TlsWarning};

/// Every certificate of a CA file as a trust anchor; during a CA rotation these are the new and the old one.
pub(crate) fn roots(path: &Path) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for cert in pem::certificates(path)? {
        roots.add(cert).map_err(|source| TlsError::Root { path: path.to_owned(), source })?;
    }
    Ok(Arc::new(roots))
}

/// The CAs the operating system trusts. Certificates it holds that can't be used are left out.
pub(crate) fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(usable, ignored, errors = found.errors.len(), "CAs of the operating system");
    if usable == 0 { Err(TlsError::NoSystemRoots) } else { Ok(Arc::new(roots)) }
}

/// Revocation lists ready for a verifier, and warnings about those that are overdue.
pub(crate) struct Revocation {
    pub(crate) lists: Vec<CertificateRevocationListDer<'static>>,
    pub(crate) warnings: Vec<TlsWarning>,
}

/// Loads the lists of all files and directories in `paths`; `now` is in seconds since 1970.
pub(crate) fn revocation(paths: &[PathBuf], now: i64) -> Result<Revocation, TlsError> {
    let lists = crl::load(paths)?;
    let warnings = lists.iter().filter_map(|list| overdue(list, now)).collect();
    Ok(Revocation { lists: lists.into_iter().map(|list| list.der).collect(), warnings })
}

fn overdue(list: &RevocationList, now: i64) -> Option<TlsWarning> {
    let next_update = list.next_update.filter(|due| now > *due)?;
    Some(TlsWarning::RevocationListExpired { path: list.path.clone(), next_update })
}
