//! Why a TLS configuration could not be built, and what about a built one deserves a warning.

use std::fmt;
use std::path::PathBuf;

use tokio_rustls::rustls;

use crate::crl::CrlError;
use crate::peer::PeerError;
use crate::pem::PemError;

/// Why a TLS configuration could not be built. Always our own files' or configuration's fault, never a peer's.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate, key or CA file can't be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A revocation list can't be used.
    #[error(transparent)]
    Crl(#[from] CrlError),
    /// The operating system names no CA that can be used.
    #[error("the operating system has no CA certificates; name a file of them")]
    NoSystemRoots,
    /// A server needs at least one certificate.
    #[error("no certificate is configured")]
    NoCertificate,
    /// The first certificate of a file can't be read.
    #[error("{path}: {source}", path = path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PeerError,
    },
    /// Certificate and key belong to different pairs.
    #[error("{key}: is not the key of the first certificate in {cert}", key = key_path.display(), cert = cert_path.display())]
    KeyMismatch {
        /// The certificate's file.
        cert_path: PathBuf,
        /// The key's file.
        key_path: PathBuf,
    },
    /// The key is of a kind TLS can't use.
    #[error("{path}: {source}", path = path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A CA certificate can't serve as a trust anchor.
    #[error("{path}: can't be trusted as a CA: {source}", path = path.display())]
    Root {
        /// The CA file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A configured server name that no TLS client can ask for.
    #[error("{0:?} is not a host name: expected letters, digits, '-' and '.', perhaps with '*.' in front")]
    ServerName(String),
    /// The verifier refused the CAs or revocation lists.
    #[error("can't verify peers with {path}: {source}", path = path.display())]
    Verifier {
        /// The CA file.
        path: PathBuf,
        /// What rustls said.
        source: rustls::server::VerifierBuilderError,
    },
    /// A replacement no peer would accept now, for a certificate that is good.
    #[error("{0}: the certificate in use is still good and stays")]
    WorseThanPresent(TlsWarning),
    /// Anything else rustls refuses.
    #[error("TLS: {0}")]
    Rustls(#[from] rustls::Error),
}

/// Something an operator should know about a configuration that works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsWarning {
    /// The certificate is past its end: peers will refuse it.
    Expired {
        /// The certificate's file.
        cert_path: PathBuf,
        /// Its end, seconds since 1970.
        not_after: i64,
    },
    /// The certificate's time hasn't come: peers will refuse it.
    NotYetValid {
        /// The certificate's file.
        cert_path: PathBuf,
        /// Its beginning, seconds since 1970.
        not_before: i64,
    },
    /// Others than the owner can read the private key.
    KeyReadableByOthers {
        /// The key's file.
        key_path: PathBuf,
    },
    /// The certificate isn't made out to the name it is configured for: clients will refuse it.
    NameNotInCertificate {
        /// The certificate's file.
        cert_path: PathBuf,
        /// The configured name.
        server_name: String,
    },
    /// The revocation list is overdue: every certificate of its issuer is refused until a newer one comes.
    RevocationListExpired {
        /// The list's file.
        path: PathBuf,
        /// When its successor was due, seconds since 1970.
        next_update: i64,
    },
}

impl fmt::Display for TlsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { cert_path, not_after } => {
                write!(f, "{}: expired at {}", cert_path.display(), utc(*not_after))
            }
            Self::NotYetValid { cert_path, not_before } => {
                write!(f, "{}: not valid before {}", cert_path.display(), utc(*not_before))
            }
            Self::KeyReadableByOthers { key_path } => {
                write!(f, "{}: private key can be read by others than its owner", key_path.display())
            }
            Self::NameNotInCertificate { cert_path, server_name } => {
                write!(f, "{}: is not made out to {server_name}", cert_path.display())
            }
            Self::RevocationListExpired { path, next_update } => {
                write!(f, "{}: revocation list was due for renewal at {}", path.display(), utc(*next_update))
            }
        }
    }
}

/// A moment for people; seconds since 1970 where the calendar ends.
fn utc(unix_seconds: i64) -> String {
    let moment = time::OffsetDateTime::from_unix_timestamp(unix_seconds);
    moment.map_or_else(|_| unix_seconds.to_string(), |moment| moment.to_string())
}
