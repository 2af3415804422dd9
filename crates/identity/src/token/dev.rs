//! A development issuer: an ES256 key and the JWK set that verifies its tokens, in one directory.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::mint::{MintError, MintKey, mint};

/// The private key, PKCS #8 in PEM, mode 0600.
const KEY_FILE: &str = "issuer-key.pem";

/// The public key, as a JWK set.
const JWKS_FILE: &str = "jwks.json";

/// Characters on a line of PEM.
const PEM_LINE: usize = 64;

/// An issuer for development. Its private key lies in a file: nothing to run a production system on.
#[derive(Debug)]
pub struct DevIssuer {
    directory: PathBuf,
    key: MintKey,
}

impl DevIssuer {
    /// Makes a new key pair in `directory`, which is created if need be.
    ///
    /// # Errors
    /// A key is there already, or the files can't be written.
    pub fn create(directory: &Path) -> Result<Self, MintError> {
        fs::create_dir_all(directory).map_err(MintError::file(directory))?;
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let pkcs8 = pkcs8.map_err(|_| MintError::Sign)?;
        let path = directory.join(KEY_FILE);
        let pem = private_key_pem(pkcs8.as_ref());
        write_private(&path, &pem).map_err(MintError::file(&path))?;
        Self::load(directory)
    }

    /// Opens what [`DevIssuer::create`] made. The JWK set is written anew from the key, so that it always
    /// fits.
    ///
    /// # Errors
    /// The key can't be read or is no P-256 key, or the JWK set can't be written.
    pub fn load(directory: &Path) -> Result<Self, MintError> {
        let path = directory.join(KEY_FILE);
        let pem = Zeroizing::new(fs::read(&path).map_err(MintError::file(&path))?);
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).map_err(|_| MintError::Key)?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
            .map_err(|_| MintError::Key)?;
        let (kid, jwks) = public_half(pair.public_key().as_ref()).ok_or(MintError::Key)?;
        let issuer = Self { directory: directory.to_owned(), key: MintKey::from_pem(&pem)?.with_kid(kid) };
        let path = issuer.jwks_path();
        replace(&path, jwks.as_bytes()).map_err(MintError::file(&path))?;
        Ok(issuer)
    }

    /// Opens the issuer in `directory`, or makes it when there is none.
    ///
    /// # Errors
    /// As for [`DevIssuer::create`] and [`DevIssuer::load`].
    pub fn load_or_create(directory: &Path) -> Result<Self, MintError> {
        if directory.join(KEY_FILE).exists() { Self::load(directory) } else { Self::create(directory) }
    }

    /// The JWK set for the gateway's `jwks_file`.
    #[must_use]
    pub fn jwks_path(&self) -> PathBuf {
        self.directory.join(JWKS_FILE)
    }

    /// The private key, mode 0600.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.directory.join(KEY_FILE)
    }

    /// The key to sign with.
    #[must_use]
    pub fn key(&self) -> &MintKey {
        &self.key
    }

    /// Signs `claims` as they are.
    ///
    /// # Errors
    /// As for [`mint`].
    pub fn mint(&self, claims: &impl Serialize) -> Result<String, MintError> {
        mint(&self.key, claims)
    }
}

/// The key's thumbprint (RFC 7638), which serves as `kid`, and the JWK set. `None` unless `point` is an
/// uncompressed point on P-256.
fn public_half(point: &[u8]) -> Option<(String, String)> {
    let (x, y) = point.strip_prefix(&[4])?.split_at_checked(32)?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let required = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let thumbprint = digest::digest(&digest::SHA256, required.as_bytes());
    let kid = URL_SAFE_NO_PAD.encode(thumbprint);
    let set = json!({"keys": [{
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid, "x": x, "y": y,
    }]});
    Some((kid, format!("{set:#}\n")))
}

pub(super) fn private_key_pem(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(String::with_capacity(body.len() * 2));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, next) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = next;
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}

/// Writes a file only its owner may read, which must not exist yet.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Puts a file in place at once, so that nobody reads half of it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
