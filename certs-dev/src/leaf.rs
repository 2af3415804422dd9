//! What to put into a leaf certificate, and what comes out.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType,
    SerialNumber,
};

use crate::{Error, files};

/// How long a leaf certificate is valid unless asked otherwise.
pub(crate) const LEAF_VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// Certificates start this long ago, so that a peer whose clock is a little behind takes them.
pub(crate) const BACKDATED: Duration = Duration::from_secs(3600);

/// A subject alternative name. Text form, as on the command line: `dns:x`, `ip:x`, `uri:x`, `email:x`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum San {
    /// A host name; a first label `*` makes it a wildcard.
    Dns(String),
    /// An address.
    Ip(IpAddr),
    /// A URI, such as a SPIFFE id.
    Uri(String),
    /// An e-mail address.
    Email(String),
}

impl San {
    /// A DNS name.
    pub fn dns(name: impl Into<String>) -> Self {
        Self::Dns(name.into())
    }

    /// A URI.
    pub fn uri(uri: impl Into<String>) -> Self {
        Self::Uri(uri.into())
    }

    fn to_rcgen(&self) -> Result<SanType, Error> {
        let bad = |_| Error::BadSan(self.to_string());
        Ok(match self {
            Self::Dns(name) => SanType::DnsName(name.as_str().try_into().map_err(bad)?),
            Self::Ip(address) => SanType::IpAddress(*address),
            Self::Uri(uri) => SanType::URI(uri.as_str().try_into().map_err(bad)?),
            Self::Email(email) => SanType::Rfc822Name(email.as_str().try_into().map_err(bad)?),
        })
    }
}

impl fmt::Display for San {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "dns:{name}"),
            Self::Ip(address) => write!(f, "ip:{address}"),
            Self::Uri(uri) => write!(f, "uri:{uri}"),
            Self::Email(email) => write!(f, "email:{email}"),
        }
    }
}

impl FromStr for San {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || Error::BadSan(text.to_owned());
        match text.split_once(':') {
            Some((_, "")) => Err(bad()),
            Some(("dns", name)) => Ok(Self::Dns(name.to_owned())),
            Some(("ip", address)) => address.parse().map(Self::Ip).map_err(|_| bad()),
            Some(("uri", uri)) => Ok(Self::Uri(uri.to_owned())),
            Some(("email", email)) => Ok(Self::Email(email.to_owned())),
            _ => Err(bad()),
        }
    }
}

/// An extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// The certificate may stand on the server side of TLS.
    Server,
    /// The certificate may stand on the client side of TLS.
    Client,
    /// A usage no TLS peer accepts; for tests.
    CodeSigning,
}

impl Usage {
    /// The usage in one word, for people.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
            Self::CodeSigning => "code signing",
        }
    }

    fn to_rcgen(self) -> ExtendedKeyUsagePurpose {
        match self {
            Self::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Self::Client => ExtendedKeyUsagePurpose::ClientAuth,
            Self::CodeSigning => ExtendedKeyUsagePurpose::CodeSigning,
        }
    }
}

/// What a leaf certificate shall say. Start from [`LeafRequest::client`], [`LeafRequest::server`] or
/// [`LeafRequest::named`] and adjust.
#[derive(Clone, Debug)]
pub struct LeafRequest {
    /// Common name of the subject.
    pub common_name: String,
    /// Subject alternative names, in order; any number, also several of a kind.
    pub sans: Vec<San>,
    /// Extended key usages; none means that the extension is left out (any use).
    pub usages: Vec<Usage>,
    /// First moment of validity.
    pub not_before: SystemTime,
    /// Last moment of validity.
    pub not_after: SystemTime,
    /// Serial number, big-endian; derived from the key when `None`.
    pub serial: Option<Vec<u8>>,
    /// Says in the certificate that it is a CA: what a leaf must never be.
    pub is_ca: bool,
}

impl LeafRequest {
    /// A request with a common name, no other name and no usage, valid from an hour ago for a year.
    pub fn named(common_name: impl Into<String>) -> Self {
        let now = SystemTime::now();
        Self {
            common_name: common_name.into(),
            sans: Vec::new(),
            usages: Vec::new(),
            not_before: now - BACKDATED,
            not_after: now + LEAF_VALIDITY,
            serial: None,
            is_ca: false,
        }
    }

    /// A TLS server: `dns:NAME`, localhost and both loopback addresses.
    pub fn server(name: &str) -> Self {
        Self::named(name).usage(Usage::Server).with_sans(server_sans(name))
    }

    /// A service of the inside: `dns:NAME.internal` and its SPIFFE id.
    pub fn client(name: &str) -> Self {
        Self::named(name).usage(Usage::Client).with_sans(client_sans(name))
    }

    /// Adds a usage.
    #[must_use]
    pub fn usage(mut self, usage: Usage) -> Self {
        self.usages.push(usage);
        self
    }

    /// Replaces the usages.
    #[must_use]
    pub fn with_usages(mut self, usages: impl Into<Vec<Usage>>) -> Self {
        self.usages = usages.into();
        self
    }

    /// Adds a subject alternative name.
    #[must_use]
    pub fn san(mut self, san: San) -> Self {
        self.sans.push(san);
        self
    }

    /// Replaces the subject alternative names.
    #[must_use]
    pub fn with_sans(mut self, sans: impl Into<Vec<San>>) -> Self {
        self.sans = sans.into();
        self
    }

    /// Sets the validity, any two moments.
    #[must_use]
    pub fn valid(mut self, not_before: SystemTime, not_after: SystemTime) -> Self {
        self.not_before = not_before;
        self.not_after = not_after;
        self
    }

    /// Valid until an hour ago.
    #[must_use]
    pub fn expired(self) -> Self {
        let now = SystemTime::now();
        self.valid(now - 48 * BACKDATED, now - BACKDATED)
    }

    /// Valid from an hour from now.
    #[must_use]
    pub fn not_yet_valid(self) -> Self {
        let now = SystemTime::now();
        self.valid(now + BACKDATED, now + 48 * BACKDATED)
    }

    /// Chooses the serial number (big-endian, at most 20 bytes, first bit zero).
    #[must_use]
    pub fn serial(mut self, serial: impl Into<Vec<u8>>) -> Self {
        self.serial = Some(serial.into());
        self
    }

    /// Marks the certificate as a CA.
    #[must_use]
    pub fn as_ca(mut self) -> Self {
        self.is_ca = true;
        self
    }

    pub(crate) fn to_params(&self) -> Result<CertificateParams, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.subject_alt_names = self.sans.iter().map(San::to_rcgen).collect::<Result<_, _>>()?;
        params.not_before = self.not_before.into();
        params.not_after = self.not_after.into();
        params.serial_number = self.serial.as_deref().map(SerialNumber::from_slice);
        params.extended_key_usages = self.usages.iter().map(|usage| usage.to_rcgen()).collect();
        // ECDSA keys sign the handshake and do nothing else: no key encipherment, no agreement.
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        params.is_ca = IsCa::ExplicitNoCa;
        if self.is_ca {
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.key_usages.push(KeyUsagePurpose::KeyCertSign);
        }
        Ok(params)
    }
}

/// Names of a server that is reached by its name and on loopback.
pub(crate) fn server_sans(name: &str) -> Vec<San> {
    let mut sans = vec![San::dns(name)];
    if name != "localhost" {
        sans.push(San::dns("localhost"));
    }
    sans.extend([San::Ip([127, 0, 0, 1].into()), San::Ip(std::net::Ipv6Addr::LOCALHOST.into())]);
    sans
}

/// Names of a service that is known by its certificate.
pub(crate) fn client_sans(name: &str) -> Vec<San> {
    vec![
        San::Dns(format!("{name}.internal")),
        San::Uri(format!("spiffe://{}/{name}", crate::SPIFFE_TRUST_DOMAIN)),
    ]
}

/// A certificate with its private key.
#[derive(Clone)]
pub struct Issued {
    /// The leaf, followed by the intermediates a peer may need, in PEM.
    pub cert_pem: String,
    /// The private key, PKCS #8 in PEM. Secret.
    pub key_pem: String,
    /// The leaf alone, in DER.
    pub cert_der: Vec<u8>,
    /// The private key, PKCS #8 in DER. Secret.
    pub key_der: Vec<u8>,
    /// The leaf's serial number, big-endian, as CRLs name it.
    pub serial: Vec<u8>,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

impl Issued {
    /// Writes `NAME.key` (mode 0600) and `NAME.crt` into `dir`, each in one step.
    ///
    /// # Errors
    /// [`Error::Io`] when a file can't be written.
    pub fn write(&self, dir: &Path, name: &str) -> Result<(), Error> {
        files::write_key(&dir.join(format!("{name}.key")), &self.key_pem)?;
        files::write_cert(&dir.join(format!("{name}.crt")), &self.cert_pem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sans_read_as_they_print() {
        for text in ["dns:a.example", "ip:127.0.0.1", "ip:::1", "uri:spiffe://a/b", "email:a@b.example"] {
            assert_eq!(text.parse::<San>().unwrap().to_string(), text);
        }
        for text in ["", "a.example", "dns:", "ip:localhost", "host:a"] {
            assert!(matches!(text.parse::<San>(), Err(Error::BadSan(_))), "{text}");
        }
    }
}
