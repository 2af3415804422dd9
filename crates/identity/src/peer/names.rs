//! The names in a certificate: subject alternative names and the common name.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::peer::{IdentitySource, PeerError};

/// Names by kind, in the certificate's order.
#[derive(Default)]
pub(super) struct Names {
    pub(super) uris: Vec<String>,
    pub(super) dns: Vec<String>,
    pub(super) emails: Vec<String>,
    pub(super) cn: Option<String>,
}

/// Takes the names out of a certificate. Kinds that are no identity (addresses, directory names) are left out.
pub(super) fn of(cert: &X509Certificate<'_>) -> Result<Names, PeerError> {
    let mut names = Names { cn: common_name(cert)?, ..Names::default() };
    let Some(alternative) = cert.subject_alternative_name().map_err(|_| PeerError::Unreadable)? else {
        return Ok(names);
    };
    for name in &alternative.value.general_names {
        match name {
            GeneralName::URI(uri) => names.uris.push(checked(uri, IdentitySource::Uri)?),
            GeneralName::DNSName(host) => {
                names.dns.push(checked(host, IdentitySource::Dns)?.to_ascii_lowercase());
            }
            GeneralName::RFC822Name(email) => names.emails.push(checked(email, IdentitySource::Email)?),
            GeneralName::Invalid(..) => return Err(PeerError::Unreadable),
            _ => {}
        }
    }
    Ok(names)
}

/// The one common name; of several none, as it would be arbitrary which one counts.
fn common_name(cert: &X509Certificate<'_>) -> Result<Option<String>, PeerError> {
    let mut all = cert.subject().iter_common_name();
    let (Some(name), None) = (all.next(), all.next()) else {
        return Ok(None);
    };
    let bad = PeerError::BadName(IdentitySource::Cn);
    // Only the encodings a comparison can rely on (UTF8String, PrintableString, IA5String…) give a `str`.
    name.as_str().map_err(|_| bad).and_then(|name| checked(name, IdentitySource::Cn)).map(Some)
}

/// A name as it may be logged and compared: not empty, and without the NULs and line breaks that have let names
/// pass for others.
fn checked(name: &str, source: IdentitySource) -> Result<String, PeerError> {
    let blank = name.trim().is_empty();
    if blank || name.chars().any(char::is_control) {
        return Err(PeerError::BadName(source));
    }
    Ok(name.to_owned())
}
