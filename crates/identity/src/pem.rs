//! Certificates, private keys and revocation lists out of files, PEM or DER. The only user of `rustls_pemfile`.
//!
//! Errors name the file and what it holds instead of what was wanted; they never hold content.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustls_pemfile::Item;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// Largest certificate or key file read, in bytes. A CA bundle of the whole web has 0.3 MB.
const MAX_PEM: u64 = 4 << 20;

/// Largest revocation list read, in bytes. Public CAs' lists reach tens of megabytes.
const MAX_CRL: u64 = 64 << 20;

/// First byte of every DER certificate and revocation list (a SEQUENCE), and of no PEM text.
const DER_SEQUENCE: u8 = 0x30;

/// Bits of a file's mode that let others than the owner read it.
const READABLE_BY_OTHERS: u32 = 0o044;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// The file can't be read.
    #[error("{path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is larger than anything of its kind.
    #[error("{path}: larger than {limit} bytes", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The largest size read, in bytes.
        limit: u64,
    },
    /// The text has PEM marks but is damaged.
    #[error("{path}: damaged PEM: {detail}", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong; never the content.
        detail: &'static str,
    },
    /// The file holds something else.
    #[error("{path}: holds no {wanted}, but {found}", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
        /// What is there instead.
        found: String,
    },
    /// More than one private key, and no telling which is meant.
    #[error("{path}: holds {count} private keys, expected one", path = path.display())]
    SeveralKeys {
        /// The file.
        path: PathBuf,
        /// How many there are.
        count: usize,
    },
}

/// A private key and how well its file was kept.
#[derive(Debug)]
pub struct LoadedKey {
    /// The key (PKCS #8, SEC 1 or PKCS #1). Secret; its `Debug` shows nothing of it.
    pub key: PrivateKeyDer<'static>,
    /// Whether the file's mode lets its group or everybody read it: worth a warning, no reason to refuse, as
    /// orchestrators mount secrets that way.
    pub readable_by_others: bool,
}

/// Reads every certificate of a file, in order; at least one. PEM, or one certificate in DER.
///
/// # Errors
/// [`PemError`], naming the file.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    certificates_from(&read(path, MAX_PEM)?.0, path)
}

/// As [`certificates`], from memory; `path` is for the error text.
///
/// # Errors
/// [`PemError`], naming `path`.
pub fn certificates_from(content: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    if content.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![CertificateDer::from(content.to_vec())]);
    }
    collect(content, path, "certificate", |item| match item {
        Item::X509Certificate(cert) => Some(cert),
        _ => None,
    })
}

/// Reads the one private key of a PEM file: PKCS #8, SEC 1 or PKCS #1, not encrypted. Certificates beside it are
/// skipped.
///
/// # Errors
/// [`PemError`], naming the file.
pub fn private_key(path: &Path) -> Result<LoadedKey, PemError> {
    let (content, mode) = read(path, MAX_PEM)?;
    let key = private_key_from(&content, path)?;
    Ok(LoadedKey { key, readable_by_others: mode & READABLE_BY_OTHERS != 0 })
}

/// As [`private_key`], from memory; `path` is for the error text.
///
/// # Errors
/// [`PemError`], naming `path`.
pub fn private_key_from(content: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    let mut keys = collect(content, path, "private key", |item| match item {
        Item::Pkcs8Key(key) => Some(PrivateKeyDer::from(key)),
        Item::Sec1Key(key) => Some(PrivateKeyDer::from(key)),
        Item::Pkcs1Key(key) => Some(PrivateKeyDer::from(key)),
        _ => None,
    })?;
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (_, others) => Err(PemError::SeveralKeys { path: path.to_owned(), count: others + 1 }),
    }
}

/// Reads every revocation list of a file; at least one. PEM, or one list in DER.
///
/// # Errors
/// [`PemError`], naming the file.
pub fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    revocation_lists_from(&read(path, MAX_CRL)?.0, path)
}

/// As [`revocation_lists`], from memory; `path` is for the error text.
///
/// # Errors
/// [`PemError`], naming `path`.
pub fn revocation_lists_from(
    content: &[u8],
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, PemError> {
    if content.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![CertificateRevocationListDer::from(content.to_vec())]);
    }
    collect(content, path, "revocation list", |item| match item {
        Item::Crl(crl) => Some(crl),
        _ => None,
    })
}

/// The file's content (wiped when dropped: it may be a key) and mode. The mode is the open file's, so that nobody
/// can swap the file in between.
fn read(path: &Path, limit: u64) -> Result<(Zeroizing<Vec<u8>>, u32), PemError> {
    let failed = |source| PemError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.len() > limit {
        return Err(PemError::TooLarge { path: path.to_owned(), limit });
    }
    // Room for all of it at once: a growing buffer would leave copies of a key behind.
    let capacity = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1);
    let mut content = Zeroizing::new(Vec::with_capacity(capacity));
    file.take(limit).read_to_end(&mut content).map_err(failed)?;
    Ok((content, metadata.mode()))
}

fn collect<T>(
    content: &[u8],
    path: &Path,
    wanted: &'static str,
    pick: impl Fn(Item) -> Option<T>,
) -> Result<Vec<T>, PemError> {
    let damaged = |error| PemError::Damaged { path: path.to_owned(), detail: describe(&error) };
    let mut picked = Vec::new();
    let mut rest = content;
    while let Some((item, after)) = rustls_pemfile::read_one_from_slice(rest).map_err(damaged)? {
        picked.extend(pick(item));
        rest = after;
    }
    if picked.is_empty() {
        return Err(PemError::Missing { path: path.to_owned(), wanted, found: inventory(content) });
    }
    Ok(picked)
}

fn describe(error: &rustls_pemfile::Error) -> &'static str {
    match error {
        rustls_pemfile::Error::MissingSectionEnd { .. } => "a BEGIN line without its END line",
        rustls_pemfile::Error::IllegalSectionStart { .. } => "a BEGIN line that doesn't end in dashes",
        rustls_pemfile::Error::Base64Decode(_) => "a block that isn't base64",
    }
}

/// The labels of the PEM blocks in `content`, for people; labels this crate can't use included.
fn inventory(content: &[u8]) -> String {
    let text = String::from_utf8_lossy(content);
    let label = |line: &str| Some(line.strip_prefix("-----BEGIN ")?.strip_suffix("-----")?.to_owned());
    // What isn't a plausible label may be anything, a secret included.
    let plausible = |label: &String| {
        label.len() <= 32 && label.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b' ')
    };
    let labels: Vec<_> =
        text.lines().filter_map(|line| label(line.trim())).filter(plausible).take(4).collect();
    match (content.is_empty(), labels.is_empty()) {
        (true, _) => "is empty".to_owned(),
        (_, true) => "no PEM block at all".to_owned(),
        _ => labels.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use certs_dev::{Authority, LeafRequest};

    use super::*;

    fn armoured(label: &str, der: &[u8]) -> String {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn certificates_come_in_order_from_pem_and_der() {
        let ca = Authority::new("CA").unwrap();
        let leaf = ca.issue(&LeafRequest::client("a")).unwrap();
        let text = format!("a comment\n{}{}", leaf.cert_pem, ca.cert_pem());
        let found = certificates_from(text.as_bytes(), Path::new("x")).unwrap();
        assert_eq!([found[0].as_ref(), found[1].as_ref()], [leaf.cert_der.as_slice(), ca.cert_der()]);
        assert_eq!(certificates_from(ca.cert_der(), Path::new("x")).unwrap().len(), 1);
    }

    #[test]
    fn keys_come_in_three_forms_and_only_one_at_a_time() {
        let ca = Authority::new("CA").unwrap();
        let leaf = ca.issue(&LeafRequest::client("a")).unwrap();
        for label in ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"] {
            let text = leaf.cert_pem.clone() + &armoured(label, &leaf.key_der);
            assert!(private_key_from(text.as_bytes(), Path::new("x")).is_ok(), "{label}");
        }
        let error = private_key_from(leaf.key_pem.repeat(2).as_bytes(), Path::new("x")).unwrap_err();
        assert_eq!(error.to_string(), "x: holds 2 private keys, expected one");
    }

    #[test]
    fn errors_name_the_file_and_what_it_holds() {
        let leaf = Authority::new("CA").unwrap().issue(&LeafRequest::client("a")).unwrap();
        let x = Path::new("x");
        let text = |error: PemError| error.to_string();
        let key_as_cert = certificates_from(leaf.key_pem.as_bytes(), x).unwrap_err();
        assert_eq!(text(key_as_cert), "x: holds no certificate, but PRIVATE KEY");
        let encrypted = armoured("ENCRYPTED PRIVATE KEY", b"secret");
        let error = private_key_from(encrypted.as_bytes(), x).unwrap_err();
        assert_eq!(text(error), "x: holds no private key, but ENCRYPTED PRIVATE KEY");
        assert_eq!(text(certificates_from(b"", x).unwrap_err()), "x: holds no certificate, but is empty");
        let junk = revocation_lists_from(b"hello", x).unwrap_err();
        assert_eq!(text(junk), "x: holds no revocation list, but no PEM block at all");
        let cut = leaf.cert_pem.split("-----END").next().unwrap();
        let cut = text(certificates_from(cut.as_bytes(), x).unwrap_err());
        assert_eq!(cut, "x: damaged PEM: a BEGIN line without its END line");
        let missing = text(certificates(Path::new("/nonexistent/cert.pem")).unwrap_err());
        assert!(missing.starts_with("/nonexistent/cert.pem: "), "{missing}");
    }

    #[test]
    fn a_key_others_can_read_is_flagged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.key");
        let leaf = Authority::new("CA").unwrap().issue(&LeafRequest::client("a")).unwrap();
        leaf.write(dir.path(), "a").unwrap();
        assert!(!private_key(&path).unwrap().readable_by_others);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(private_key(&path).unwrap().readable_by_others);
    }
}
