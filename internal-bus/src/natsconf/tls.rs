//! `tls { … }` blocks. Files are named here and read elsewhere.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::value::{Entry, Value};

/// How long a listener waits for a client's TLS hello before it falls back to sending INFO in clear.
const HANDSHAKE_FIRST_FALLBACK: Duration = Duration::from_millis(50);

/// A `tls` block. Relative paths are relative to the working directory, as in nats-server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Certificates to show: `cert_file` and `key_file`, or the pairs of `certs`. May be empty for a dialled link.
    pub certificates: Vec<CertificatePair>,
    /// CAs the peer's certificate is checked against. Not set: the system's.
    pub ca_file: Option<PathBuf>,
    /// The peer must show a certificate; also set by `verify_and_map`.
    pub verify: bool,
    /// The peer's certificate names the user.
    pub verify_and_map: bool,
    /// The peer's certificate is not checked. Only meaningful for dialled links.
    pub insecure: bool,
    /// Time for the handshake. Default 2 s.
    pub timeout: Option<Duration>,
    /// Whether TLS comes before INFO.
    pub handshake_first: HandshakeFirst,
    /// Oldest protocol version allowed. Default 1.2.
    pub min_version: Option<TlsVersion>,
}

/// A certificate chain and its private key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificatePair {
    /// The chain, the server's own certificate first.
    pub cert_file: PathBuf,
    /// The private key of the first certificate.
    pub key_file: PathBuf,
}

/// The order of INFO and the TLS handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandshakeFirst {
    /// INFO in clear, then the handshake.
    #[default]
    Never,
    /// The handshake comes first; clients that wait for INFO get nothing.
    Always,
    /// The handshake comes first if the client starts one within this time, else INFO in clear.
    WithFallback(Duration),
}

/// A TLS protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2
    V1_2,
    /// TLS 1.3
    V1_3,
}

pub(super) fn read(reader: &mut Reader, block: &Entry) -> Option<Tls> {
    reader.map(&block.value)?;
    let mut tls = Tls::default();
    let (mut cert_file, mut key_file, mut pairs) = (None, None, None);
    reader.each(&block.value, |reader, key, entry| match key {
        "cert_file" => cert_file = reader.path(&entry.value),
        "key_file" => key_file = reader.path(&entry.value),
        "certs" | "certificates" => pairs = certificates(reader, &entry.value),
        _ => setting(reader, &mut tls, key, entry),
    });
    let lone = match (cert_file, key_file) {
        (Some(cert_file), Some(key_file)) => Some(CertificatePair { cert_file, key_file }),
        (None, None) => None,
        (Some(_), None) => return missing(reader, block, "key_file"),
        (None, Some(_)) => return missing(reader, block, "cert_file"),
    };
    if lone.is_some() && pairs.as_ref().is_some_and(|pairs| !pairs.is_empty()) {
        reader.error(&block.at, "`tls` has both `cert_file` and `certs`; use one of them");
    }
    tls.certificates = lone.into_iter().chain(pairs.into_iter().flatten()).collect();
    Some(tls)
}

fn missing(reader: &mut Reader, block: &Entry, key: &str) -> Option<Tls> {
    reader.error(&block.at, format!("`tls` needs `{key}` as well"));
    None
}

fn setting(reader: &mut Reader, tls: &mut Tls, key: &str, entry: &Entry) {
    let value = &entry.value;
    match key {
        "ca_file" => tls.ca_file = reader.path(value),
        "verify" => tls.verify |= reader.boolean(value).unwrap_or_default(),
        "verify_and_map" => {
            tls.verify_and_map = reader.boolean(value).unwrap_or_default();
            tls.verify |= tls.verify_and_map;
        }
        "insecure" => tls.insecure = reader.boolean(value).unwrap_or_default(),
        "timeout" => tls.timeout = reader.timeout(value),
        "handshake_first" | "first" | "immediate" => tls.handshake_first = handshake_first(reader, value),
        "min_version" => tls.min_version = min_version(reader, value),
        "cipher_suites" | "curve_preferences" => {
            let named = reader.list(value).is_some_and(|items| !items.is_empty());
            if named {
                reader.no_effect(entry, "the TLS library's own choice is used");
            } else {
                reader.error(&value.at, format!("`{key}` must name at least one"));
            }
        }
        "allow_insecure_cipher_suites" | "ocsp_peer" | "verify_cert_and_check_known_urls" => {
            if reader.boolean(value).unwrap_or(true) {
                reader.unsupported(entry, "tls");
            }
        }
        "pinned_certs"
        | "connection_rate_limit"
        | "cert_store"
        | "cert_match_by"
        | "cert_match"
        | "ca_certs_match"
        | "cert_match_skip_invalid" => reader.unsupported(entry, "tls"),
        _ => reader.unknown(entry, "tls"),
    }
}

fn certificates(reader: &mut Reader, value: &Value) -> Option<Vec<CertificatePair>> {
    let mut pairs = Vec::new();
    for item in reader.list(value)? {
        let (mut cert_file, mut key_file) = (None, None);
        reader.each(item, |reader, key, entry| match key {
            "cert_file" => cert_file = reader.path(&entry.value),
            "key_file" => key_file = reader.path(&entry.value),
            _ => reader.unknown(entry, "certs"),
        });
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => pairs.push(CertificatePair { cert_file, key_file }),
            _ => reader.error(&item.at, "each of `certs` needs `cert_file` and `key_file`"),
        }
    }
    Some(pairs)
}

fn handshake_first(reader: &mut Reader, value: &Value) -> HandshakeFirst {
    use super::value::Kind;
    let text = match &value.kind {
        Kind::Boolean(true) => return HandshakeFirst::Always,
        Kind::Boolean(false) => return HandshakeFirst::Never,
        Kind::Text(text) => text.to_ascii_lowercase(),
        _ => {
            reader.error(&value.at, "expected true, false, \"auto\" or a duration such as \"50ms\"");
            return HandshakeFirst::Never;
        }
    };
    match text.as_str() {
        "true" | "on" => HandshakeFirst::Always,
        "false" | "off" => HandshakeFirst::Never,
        "auto" | "auto_fallback" => HandshakeFirst::WithFallback(HANDSHAKE_FIRST_FALLBACK),
        _ => match super::units::duration(&text).and_then(super::units::Nanoseconds::positive) {
            Some(delay) if delay.is_zero() => HandshakeFirst::Always,
            Some(delay) => HandshakeFirst::WithFallback(delay),
            None => {
                reader.error(&value.at, "expected true, false, \"auto\" or a duration such as \"50ms\"");
                HandshakeFirst::Never
            }
        },
    }
}

fn min_version(reader: &mut Reader, value: &Value) -> Option<TlsVersion> {
    match reader.text(value)?.as_str() {
        "1.2" => Some(TlsVersion::V1_2),
        "1.3" => Some(TlsVersion::V1_3),
        _ => {
            reader.error(&value.at, "expected \"1.2\" or \"1.3\"; older versions of TLS are not spoken");
            None
        }
    }
}
