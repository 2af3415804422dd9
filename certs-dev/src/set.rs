//! The directory of a development PKI: what `init` puts there, and how one more certificate joins it.
//!
//! Two CAs, so that nothing the outside door shows is ever trusted inside:
//! - `internal-ca` signs what speaks mutual TLS: `internal-bus`, `event-gateway` (its side of the link) and the
//!   named services;
//! - `frontend-ca` signs `frontend`, the certificate external clients see.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::inspect::{self, CertificateFacts};
use crate::leaf::{San, Usage, server_sans};
use crate::{Authority, Error, Issued, LeafRequest};

/// Trust domain of the SPIFFE ids in the services' certificates.
pub const SPIFFE_TRUST_DOMAIN: &str = "gatehouse.dev";

/// Services of the inside that get a client certificate from the start.
pub const SERVICES: [&str; 2] = ["billing", "orders"];

/// One of the two CAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityName {
    /// Signs what speaks mutual TLS inside.
    Internal,
    /// Signs the outside door.
    Frontend,
}

impl AuthorityName {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Internal, Self::Frontend];

    /// File name without extension, in a directory made by [`init`].
    pub fn stem(self) -> &'static str {
        match self {
            Self::Internal => "internal-ca",
            Self::Frontend => "frontend-ca",
        }
    }

    /// Common name of the CA, before the digits that tell generations apart.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Internal => "Gatehouse development internal CA",
            Self::Frontend => "Gatehouse development frontend CA",
        }
    }
}

/// One certificate that was made, and where it lies.
#[derive(Clone, Debug)]
pub struct Made {
    /// The certificate.
    pub cert_path: PathBuf,
    /// Its private key.
    pub key_path: PathBuf,
    /// What it says, in one line.
    pub summary: String,
}

impl Made {
    pub(crate) fn new(dir: &Path, name: &str, cert: &CertificateFacts) -> Self {
        Self {
            cert_path: dir.join(format!("{name}.crt")),
            key_path: dir.join(format!("{name}.key")),
            summary: summary(cert),
        }
    }
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key_path.file_name().unwrap_or_default().to_string_lossy();
        write!(f, "{} + {key}  {}", self.cert_path.display(), self.summary)
    }
}

fn summary(cert: &CertificateFacts) -> String {
    let until = time::OffsetDateTime::from(cert.not_after).date();
    if cert.is_ca {
        return format!("{}, until {until}", cert.subject);
    }
    let usages: Vec<_> = cert.usages.iter().map(|usage| usage.word()).collect();
    let names: Vec<_> = cert.sans.iter().map(San::to_string).collect();
    format!("{}, {}, until {until}", usages.join("+"), names.join(" "))
}

/// Makes a whole development PKI in `dir`: both CAs, `internal-bus`, `event-gateway`, `frontend`, and a client
/// certificate for each of [`SERVICES`]. Creates the directory.
///
/// # Errors
/// [`Error::Exists`] if there is one and `force` is not set; [`Error::Io`] when a file can't be written.
pub fn init(dir: &Path, force: bool) -> Result<Vec<Made>, Error> {
    fs::create_dir_all(dir).map_err(Error::io(dir))?;
    if !force {
        let taken = AuthorityName::ALL.map(|ca| dir.join(format!("{}.crt", ca.stem())));
        if let Some(path) = taken.into_iter().find(|path| path.exists()) {
            return Err(Error::Exists(path));
        }
    }
    let mut made = Vec::new();
    for name in AuthorityName::ALL {
        let authority = Authority::new(name.title())?;
        authority.write(dir, name.stem())?;
        made.push(Made::new(dir, name.stem(), &inspect::facts(authority.cert_der(), dir)?));
        for request in first_leaves(name) {
            made.push(write_leaf(dir, &request.common_name, &authority.issue(&request)?)?);
        }
    }
    Ok(made)
}

fn first_leaves(name: AuthorityName) -> Vec<LeafRequest> {
    match name {
        AuthorityName::Internal => {
            // Either side may dial the link, so both processes are server and client.
            let processes = ["internal-bus", "event-gateway"];
            let both_sides = processes.map(|name| LeafRequest::server(name).usage(Usage::Client));
            both_sides.into_iter().chain(SERVICES.map(LeafRequest::client)).collect()
        }
        AuthorityName::Frontend => {
            let sans = server_sans("localhost").into_iter().chain([San::dns("event-gateway")]);
            vec![LeafRequest::server("frontend").with_sans(sans.collect::<Vec<_>>())]
        }
    }
}

/// Issues `request` from a CA of `dir` as `NAME.crt` and `NAME.key`. A validity that would end after the CA's is
/// cut to the CA's.
///
/// # Errors
/// [`Error::BadName`] for a name that can't be a file's; otherwise as [`Authority::load`] and [`Authority::issue`].
pub fn issue_into(dir: &Path, name: &str, ca: AuthorityName, request: &LeafRequest) -> Result<Made, Error> {
    check_name(name)?;
    let authority = Authority::load(dir, ca.stem())?;
    let request = within(request.clone(), authority.not_after());
    write_leaf(dir, name, &authority.issue(&request)?)
}

/// A leaf must not outlive its CA: nobody would notice until the CA's end.
pub(crate) fn within(mut request: LeafRequest, ca_not_after: SystemTime) -> LeafRequest {
    request.not_after = request.not_after.min(ca_not_after);
    request
}

pub(crate) fn write_leaf(dir: &Path, name: &str, issued: &Issued) -> Result<Made, Error> {
    issued.write(dir, name)?;
    Ok(Made::new(dir, name, &inspect::facts(&issued.cert_der, dir)?))
}

/// A name becomes a file name and a DNS label, and must not overwrite a CA.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let reserved = name == "ca" || AuthorityName::ALL.iter().any(|ca| name.starts_with(ca.stem()));
    if name.is_empty() || name.starts_with(['.', '-']) || reserved || !name.chars().all(allowed) {
        return Err(Error::BadName(name.to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_files_and_are_not_the_cas() {
        for name in ["billing", "a-b_c.d", "9"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in
            ["", ".hidden", "-x", "a/b", "..", "ca", "internal-ca", "internal-ca.cross", "frontend-ca", "ä"]
        {
            assert!(matches!(check_name(name), Err(Error::BadName(_))), "{name}");
        }
    }
}
