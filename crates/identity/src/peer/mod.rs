//! What a peer's certificate says about it, and which of its names is its identity.
//!
//! The TLS handshake has already proved that the peer holds the key and that a trusted CA signed the certificate;
//! here the certificate is only read.

mod names;
mod pins;
mod spiffe;

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use names::Names;

pub use pins::{NotPinned, Pins};

/// Where an identity is looked for in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentitySource {
    /// Subject alternative name of type URI, such as a SPIFFE id.
    Uri,
    /// Subject alternative name of type DNS.
    Dns,
    /// Subject alternative name of type e-mail.
    Email,
    /// Common name of the subject.
    Cn,
}

impl IdentitySource {
    /// The order used unless another one is configured.
    pub const DEFAULT_ORDER: [Self; 4] = [Self::Uri, Self::Dns, Self::Email, Self::Cn];
}

impl fmt::Display for IdentitySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Email => "email",
            Self::Cn => "cn",
        })
    }
}

/// Why a certificate gives no identity. The peer's (or its CA's) fault, except for [`PeerError::NoIdentity`], which
/// may be the configured order's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not a certificate, or one with damaged or repeated extensions.
    #[error("certificate can't be read")]
    Unreadable,
    /// A name that is empty or holds control characters; it must reach no log and no comparison.
    #[error("certificate holds a {0} name that is empty or has control characters")]
    BadName(IdentitySource),
    /// A CA's certificate, or one whose key may sign certificates, in the place of a leaf.
    #[error("certificate of a CA used as a peer's own")]
    CertificateAuthority,
    /// More than one URI: which one the peer is, is anybody's guess (SPIFFE X509-SVID forbids it).
    #[error("certificate has {0} URI names, exactly one may be an identity")]
    SeveralUris(usize),
    /// A `spiffe:` URI that is no SPIFFE id of a workload.
    #[error("certificate's spiffe: URI is not a valid SPIFFE id: {0}")]
    BadSpiffeId(&'static str),
    /// A name with a wildcard: it is nobody's, and a rule might take it for everybody's.
    #[error("certificate's {0} name holds a wildcard, which is no identity")]
    Wildcard(IdentitySource),
    /// None of the configured sources is in the certificate.
    #[error("certificate has no name of the kinds that count as identity")]
    NoIdentity,
}

/// The name a peer is known by, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PeerIdentity {
    /// Where the name stood. Names of different sources are never the same identity.
    pub source: IdentitySource,
    /// The name as written; DNS names in lower case.
    pub value: String,
}

impl fmt::Display for PeerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.value)
    }
}

/// What a leaf certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// URI names, in the certificate's order.
    pub uris: Vec<String>,
    /// DNS names in lower case, in the certificate's order.
    pub dns: Vec<String>,
    /// E-mail names, in the certificate's order.
    pub emails: Vec<String>,
    /// Common name of the subject; `None` also where there are several.
    pub cn: Option<String>,
    /// Serial number: lower-case hex, no separators, no leading zero bytes.
    pub serial: String,
    /// Distinguished name of the issuer, RFC 4514 style.
    pub issuer: String,
    /// First second of validity, since 1970.
    pub not_before: i64,
    /// Last second of validity, since 1970.
    pub not_after: i64,
    /// SHA-256 of the SubjectPublicKeyInfo: what key pins compare.
    pub spki_sha256: [u8; 32],
    /// SHA-256 of the whole certificate: what a certificate-bound token names (RFC 8705 `x5t#S256`).
    pub cert_sha256: [u8; 32],
    /// Whether the certificate is a CA's, or its key may sign certificates or revocation lists.
    pub is_ca: bool,
}

impl PeerCertificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// [`PeerError::Unreadable`], or [`PeerError::BadName`] where a name must not be used at all.
    pub fn from_der(der: &[u8]) -> Result<Self, PeerError> {
        let (rest, cert) = X509Certificate::from_der(der).map_err(|_| PeerError::Unreadable)?;
        if !rest.is_empty() {
            return Err(PeerError::Unreadable);
        }
        let Names { uris, dns, emails, cn } = names::of(&cert)?;
        Ok(Self {
            uris,
            dns,
            emails,
            cn,
            serial: serial(cert.raw_serial()),
            issuer: cert.issuer().to_string(),
            not_before: cert.validity().not_before.timestamp(),
            not_after: cert.validity().not_after.timestamp(),
            spki_sha256: sha256(cert.public_key().raw),
            cert_sha256: sha256(der),
            is_ca: signs(&cert)?,
        })
    }

    /// The peer's identity: the first source of `order` the certificate has a name of. Of several DNS or e-mail
    /// names the first counts; of URIs there must be exactly one.
    ///
    /// # Errors
    /// [`PeerError`]; nothing later in the order is tried after an error, so that a bad certificate never ends up
    /// under a weaker name.
    pub fn identity(&self, order: &[IdentitySource]) -> Result<PeerIdentity, PeerError> {
        if self.is_ca {
            return Err(PeerError::CertificateAuthority);
        }
        for &source in order {
            let value = match source {
                IdentitySource::Uri => self.uri()?,
                IdentitySource::Dns => self.dns.first(),
                IdentitySource::Email => self.emails.first(),
                IdentitySource::Cn => self.cn.as_ref(),
            };
            if let Some(value) = value {
                if value.contains('*') && source != IdentitySource::Uri {
                    return Err(PeerError::Wildcard(source));
                }
                return Ok(PeerIdentity { source, value: value.clone() });
            }
        }
        Err(PeerError::NoIdentity)
    }

    fn uri(&self) -> Result<Option<&String>, PeerError> {
        match self.uris.as_slice() {
            [] => Ok(None),
            [uri] => spiffe::check(uri).map(|()| Some(uri)).map_err(PeerError::BadSpiffeId),
            several => Err(PeerError::SeveralUris(several.len())),
        }
    }

    /// Every name, strongest kind first: DNS, URI, e-mail, common name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let lists = [&self.dns, &self.uris, &self.emails];
        lists.into_iter().flatten().chain(&self.cn).map(String::as_str)
    }

    /// Whether the certificate bears one of `allowed`; for peers that are listed by name. DNS names compare without
    /// regard to case. The common name counts only where there is no alternative name, as in TLS.
    pub fn bears_any<S: AsRef<str>>(&self, allowed: &[S]) -> bool {
        let alternative = [&self.dns, &self.uris, &self.emails].into_iter().flatten();
        let none = self.dns.is_empty() && self.uris.is_empty() && self.emails.is_empty();
        let mut names = alternative.chain(self.cn.as_ref().filter(|_| none));
        names.any(|name| allowed.iter().any(|allowed| same_name(name, allowed.as_ref())))
    }

    /// [`Self::cert_sha256`] as RFC 8705 writes it: base64url without padding.
    pub fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.cert_sha256)
    }

    /// [`Self::spki_sha256`] in lower-case hex.
    pub fn spki_hex(&self) -> String {
        hex(&self.spki_sha256)
    }
}

/// URIs and the local part of an e-mail address are case-sensitive; host names are not.
fn same_name(name: &str, allowed: &str) -> bool {
    let exact = name.contains([':', '@', '/']);
    if exact { name == allowed } else { name.eq_ignore_ascii_case(allowed) }
}

/// Whether the certificate may sign others: by its basic constraints or by its key usage.
fn signs(cert: &X509Certificate<'_>) -> Result<bool, PeerError> {
    let constraints = cert.basic_constraints().map_err(|_| PeerError::Unreadable)?;
    let usage = cert.key_usage().map_err(|_| PeerError::Unreadable)?;
    let by_constraints = constraints.is_some_and(|constraints| constraints.value.ca);
    let by_usage = usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign());
    Ok(by_constraints || by_usage)
}

fn serial(bytes: &[u8]) -> String {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len().saturating_sub(1));
    hex(bytes.get(first..).unwrap_or_default())
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String can't fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}
