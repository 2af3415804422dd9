//! Tokens made here, for development and tests. A production issuer is somebody else's server.

use std::fmt;
use std::path::Path;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    RsaKeyPair,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Serialize;
use zeroize::Zeroizing;

use super::keys::hash_length;

/// Why a token could not be made. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A file can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The private key is in no form that is understood.
    #[error(
        "expected a PKCS #8 private key in PEM: EC (P-256, P-384), Ed25519, or RSA of at least 2048 bits"
    )]
    Key,
    /// The secret is too short for HS256.
    #[error("the secret is shorter than 32 bytes")]
    Secret,
    /// The claims can't be written as a JSON object.
    #[error("the claims are not a JSON object")]
    Claims,
    /// The cryptographic library refused.
    #[error("signing failed")]
    Sign,
}

impl MintError {
    pub(super) fn file(path: &Path) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::File { path: path.to_owned(), source }
    }
}

/// A key to sign with, and what the tokens' headers say about it. `Debug` shows no key material.
pub struct MintKey {
    algorithm: Algorithm,
    kid: Option<String>,
    encoding: EncodingKey,
}

impl MintKey {
    /// Takes a PKCS #8 private key in PEM. The algorithm follows from the key: ES256, ES384, EdDSA, RS256.
    ///
    /// # Errors
    /// [`MintError::Key`] when it is none of those.
    pub fn from_pem(pem: &[u8]) -> Result<Self, MintError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| MintError::Key)?;
        let der = der.secret_pkcs8_der();
        let (algorithm, encoding) = if EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).is_ok()
        {
            (Algorithm::ES256, EncodingKey::from_ec_pem(pem))
        } else if EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).is_ok() {
            (Algorithm::ES384, EncodingKey::from_ec_pem(pem))
        } else if Ed25519KeyPair::from_pkcs8(der).is_ok() {
            (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem))
        } else if RsaKeyPair::from_pkcs8(der).is_ok() {
            (Algorithm::RS256, EncodingKey::from_rsa_pem(pem))
        } else {
            return Err(MintError::Key);
        };
        let encoding = encoding.map_err(|_| MintError::Key)?;
        Ok(Self { algorithm, kid: None, encoding })
    }

    /// Reads a private key from a PEM file.
    ///
    /// # Errors
    /// The file can't be read, or as for [`MintKey::from_pem`].
    pub fn from_pem_file(path: &Path) -> Result<Self, MintError> {
        let pem = Zeroizing::new(std::fs::read(path).map_err(MintError::file(path))?);
        Self::from_pem(&pem)
    }

    /// Takes a shared secret, for HS256.
    ///
    /// # Errors
    /// [`MintError::Secret`] when it is shorter than 32 bytes.
    pub fn from_secret(secret: &[u8]) -> Result<Self, MintError> {
        if secret.len() < hash_length(Algorithm::HS256) {
            return Err(MintError::Secret);
        }
        Ok(Self { algorithm: Algorithm::HS256, kid: None, encoding: EncodingKey::from_secret(secret) })
    }

    /// Sets the `kid` that tokens will carry.
    #[must_use]
    pub fn with_kid(mut self, kid: impl Into<String>) -> Self {
        self.kid = Some(kid.into());
        self
    }

    /// Signs with another algorithm; minting fails unless the key is of its family.
    #[must_use]
    pub fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The algorithm tokens will be signed with.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The `kid` tokens will carry.
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }
}

impl fmt::Debug for MintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintKey")
            .field("algorithm", &self.algorithm)
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// Signs `claims` (anything that serialises to a JSON object) as they are: nothing is added.
///
/// # Errors
/// The claims are not an object, or the key can't sign with its algorithm.
pub fn mint(key: &MintKey, claims: &impl Serialize) -> Result<String, MintError> {
    crate::install_crypto();
    let claims = serde_json::to_value(claims).map_err(|_| MintError::Claims)?;
    if !claims.is_object() {
        return Err(MintError::Claims);
    }
    let mut header = Header::new(key.algorithm);
    header.kid.clone_from(&key.kid);
    jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(|_| MintError::Sign)
}
