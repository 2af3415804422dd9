//! What can go wrong while making certificates.

use std::io;
use std::path::PathBuf;

/// Why a certificate could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file concerned.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A file holds something other than the certificate or key it should.
    #[error("{path}: {what}", path = path.display())]
    BadFile {
        /// The file concerned.
        path: PathBuf,
        /// What is wrong with its content.
        what: String,
    },
    /// The directory already holds a development PKI.
    #[error("{path} exists already: use --force to replace every certificate and key in the directory", path = .0.display())]
    Exists(PathBuf),
    /// A name that cannot be a file name and a DNS label at once.
    #[error(
        "{0:?} can't be a certificate's name: use letters, digits, '-', '_' and '.', not the name of a CA, not a dot first"
    )]
    BadName(String),
    /// A subject alternative name that could not be understood.
    #[error("{0:?} is not a subject alternative name: write dns:NAME, ip:ADDRESS, uri:URI or email:ADDRESS")]
    BadSan(String),
    /// No CA in the directory has issued this certificate.
    #[error("{path}: issued by {issuer:?}, which is not the current CA of this directory", path = path.display())]
    UnknownIssuer {
        /// The certificate concerned.
        path: PathBuf,
        /// Its issuer's distinguished name.
        issuer: String,
    },
    /// A second CA rotation was asked for before the first was finished.
    #[error("{path} still trusts two CAs: finish the rotation under way first (rotate ca --finish)", path = .0.display())]
    RotationUnderWay(PathBuf),
    /// There is no rotation to finish.
    #[error("{path} trusts one CA only: there is no rotation to finish", path = .0.display())]
    NoRotation(PathBuf),
    /// The certificate library refused the request.
    #[error("can't make the certificate: {0}")]
    Generate(#[from] rcgen::Error),
}

impl Error {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn bad_file(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::BadFile { path: path.into(), what: what.into() }
    }
}
