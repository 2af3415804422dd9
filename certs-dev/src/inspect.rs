//! Reading certificates back: what rotation must repeat, and what the command prints.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{Error, LeafRequest, San, Usage};

/// What a certificate says, as far as this crate cares.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFacts {
    pub(crate) der: Vec<u8>,
    pub(crate) subject: String,
    pub(crate) common_name: String,
    pub(crate) issuer: String,
    pub(crate) serial: Vec<u8>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) sans: Vec<San>,
    pub(crate) usages: Vec<Usage>,
    pub(crate) is_ca: bool,
    /// SubjectPublicKeyInfo in DER.
    pub(crate) spki: Vec<u8>,
}

impl CertificateFacts {
    /// A request for a certificate with the same names and usages, valid from now for as long as this one was.
    pub(crate) fn to_request(&self) -> LeafRequest {
        let lifetime = self.not_after.duration_since(self.not_before).unwrap_or(crate::leaf::LEAF_VALIDITY);
        let fresh = LeafRequest::named(self.common_name.as_str());
        let not_after = fresh.not_before + lifetime;
        LeafRequest { sans: self.sans.clone(), usages: self.usages.clone(), not_after, ..fresh }
    }
}

/// Reads every certificate of a PEM file.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateFacts>, Error> {
    let text = fs::read(path).map_err(Error::io(path))?;
    let mut certificates = Vec::new();
    for block in Pem::iter_from_buffer(&text) {
        let block = block.map_err(|_| Error::bad_file(path, "is not PEM"))?;
        if block.label == "CERTIFICATE" {
            certificates.push(facts(&block.contents, path)?);
        }
    }
    Ok(certificates)
}

/// Parses one certificate; `path` is for the error text.
pub(crate) fn facts(der: &[u8], path: &Path) -> Result<CertificateFacts, Error> {
    let bad = |_| Error::bad_file(path, "holds a certificate that can't be read");
    let (_, cert) = X509Certificate::from_der(der).map_err(bad)?;
    let common_name =
        cert.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    let (sans, usages) = names_and_usages(&cert);
    Ok(CertificateFacts {
        der: der.to_vec(),
        subject: cert.subject().to_string(),
        common_name: common_name.to_owned(),
        issuer: cert.issuer().to_string(),
        serial: cert.raw_serial().to_vec(),
        not_before: moment(cert.validity().not_before.timestamp()),
        not_after: moment(cert.validity().not_after.timestamp()),
        sans,
        usages,
        is_ca: cert.is_ca(),
        spki: cert.public_key().raw.to_vec(),
    })
}

fn names_and_usages(cert: &X509Certificate<'_>) -> (Vec<San>, Vec<Usage>) {
    let mut sans = Vec::new();
    let mut usages = Vec::new();
    for extension in cert.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                sans.extend(names.general_names.iter().filter_map(to_san));
            }
            ParsedExtension::ExtendedKeyUsage(usage) => {
                let marks = [
                    (usage.server_auth, Usage::Server),
                    (usage.client_auth, Usage::Client),
                    (usage.code_signing, Usage::CodeSigning),
                ];
                usages.extend(marks.into_iter().filter_map(|(set, usage)| set.then_some(usage)));
            }
            _ => {}
        }
    }
    (sans, usages)
}

fn to_san(name: &GeneralName<'_>) -> Option<San> {
    match name {
        GeneralName::DNSName(name) => Some(San::Dns((*name).to_owned())),
        GeneralName::URI(uri) => Some(San::Uri((*uri).to_owned())),
        GeneralName::RFC822Name(email) => Some(San::Email((*email).to_owned())),
        GeneralName::IPAddress(bytes) => address(bytes).map(San::Ip),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn moment(unix_seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(unix_seconds.unsigned_abs());
    let moment =
        if unix_seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    moment.unwrap_or(UNIX_EPOCH)
}

/// One certificate as a PEM block.
pub(crate) fn to_pem(der: &[u8]) -> String {
    let base64 = STANDARD.encode(der);
    let mut text = String::with_capacity(base64.len() + base64.len() / 64 + 60);
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
