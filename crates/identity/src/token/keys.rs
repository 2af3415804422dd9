//! The keys of one issuer, indexed by algorithm and `kid`, and where they are loaded from.
//!
//! A set belongs to exactly one issuer; nothing here can look into another's.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::pem::{PemObject, SectionKind};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use super::config::{IssuerConfig, KeySource};
use super::error::{KeyError, TokenError};
use super::jwks::{self, Jwk};
use super::public_key::PublicKey;

/// Keys of one issuer that fit its configured algorithms.
#[derive(Default)]
pub(super) struct KeySet(HashMap<Algorithm, Vec<Key>>);

struct Key {
    kid: Option<String>,
    /// Whether the issuer gave the key its `kid`. A name we made up (a file's) need not be in the token as
    /// long as there is only one key to choose from.
    named_by_issuer: bool,
    decoding: DecodingKey,
}

impl KeySet {
    /// The key a token with this header must have been signed with.
    pub(super) fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Result<&DecodingKey, TokenError> {
        let keys = self.0.get(&algorithm).map_or(&[][..], Vec::as_slice);
        let named = kid.and_then(|kid| keys.iter().find(|key| key.kid.as_deref() == Some(kid)));
        let only = || match keys {
            [key] if kid.is_none() || !key.named_by_issuer => Some(key),
            _ => None,
        };
        named.or_else(only).map(|key| &key.decoding).ok_or(TokenError::UnknownKey)
    }

    /// Reads the keys from where the configuration says they are.
    pub(super) fn load(config: &IssuerConfig) -> Result<Self, KeyError> {
        match &config.keys {
            KeySource::Pushed => Ok(Self::default()),
            KeySource::JwksFile(path) => {
                let bytes = read(config, path)?;
                Self::from_jwks(config, Some(path), &bytes)
            }
            KeySource::PemFiles(paths) => {
                let mut keys = Vec::with_capacity(paths.len());
                for path in paths {
                    let key = from_pem(&read(config, path)?);
                    let key = key.map_err(|problem| bad(config, Some(path), problem))?;
                    let kid = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
                    keys.push((Jwk { kid, only: None, key }, false));
                }
                Self::index(config, None, keys)
            }
            KeySource::SecretFile(path) => Self::from_secret(config, path, &read(config, path)?),
        }
    }

    /// Takes the keys of a JWK set.
    pub(super) fn from_jwks(
        config: &IssuerConfig,
        path: Option<&Path>,
        bytes: &[u8],
    ) -> Result<Self, KeyError> {
        let keys = jwks::parse(bytes, path.is_none()).map_err(|problem| bad(config, path, problem))?;
        let keys = keys.into_iter().map(|key| {
            let named = key.kid.is_some();
            (key, named)
        });
        Self::index(config, path, keys.collect())
    }

    fn index(config: &IssuerConfig, path: Option<&Path>, keys: Vec<(Jwk, bool)>) -> Result<Self, KeyError> {
        let mut set = Self::default();
        for (position, (jwk, _)) in keys.iter().enumerate() {
            let twice = |(other, _): &(Jwk, bool)| jwk.kid.is_some() && other.kid == jwk.kid;
            if keys[..position].iter().any(twice) {
                let problem = format!("duplicate kid `{}`", jwk.kid.as_deref().unwrap_or_default());
                return Err(bad(config, path, problem));
            }
        }
        for (jwk, named_by_issuer) in keys {
            let fits = |algorithm: &&Algorithm| {
                config.algorithms.contains(algorithm) && jwk.only.is_none_or(|only| only == **algorithm)
            };
            for algorithm in jwk.key.serves().iter().filter(fits) {
                set.0.entry(*algorithm).or_default().push(Key {
                    kid: jwk.kid.clone(),
                    named_by_issuer,
                    decoding: jwk.key.decoding_key(),
                });
            }
        }
        if set.0.is_empty() {
            let problem = "holds no key for any of the issuer's algorithms".to_owned();
            return Err(bad(config, path, problem));
        }
        Ok(set)
    }

    fn from_secret(config: &IssuerConfig, path: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let secret = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let secret = secret.strip_suffix(b"\r").unwrap_or(secret);
        let mut set = Self::default();
        for algorithm in &config.algorithms {
            let least = hash_length(*algorithm);
            if secret.len() < least {
                let problem = format!("the secret is shorter than the {least} bytes {algorithm:?} requires");
                return Err(bad(config, Some(path), problem));
            }
            let key = Key { kid: None, named_by_issuer: false, decoding: DecodingKey::from_secret(secret) };
            set.0.insert(*algorithm, vec![key]);
        }
        Ok(set)
    }
}

/// The smallest secret an HMAC algorithm may be used with, in bytes (RFC 7518, section 3.2).
pub(super) fn hash_length(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::HS512 => 64,
        Algorithm::HS384 => 48,
        _ => 32,
    }
}

/// Reads a file of at most [`jwks::MAX_SET`] bytes.
fn read(config: &IssuerConfig, path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let read = || {
        let mut bytes = Zeroizing::new(Vec::new());
        File::open(path)?.take(jwks::MAX_SET as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > jwks::MAX_SET {
            return Err(std::io::Error::other(format!("larger than {} bytes", jwks::MAX_SET)));
        }
        Ok(bytes)
    };
    read().map_err(|source| KeyError::Read { issuer: config.issuer.clone(), path: path.to_owned(), source })
}

/// The one public key, or the key of the one certificate, in a PEM file.
fn from_pem(bytes: &[u8]) -> Result<PublicKey, String> {
    let sections: Result<Vec<(SectionKind, Vec<u8>)>, _> =
        <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes).collect();
    let sections = sections.map_err(|_| "is not valid PEM".to_owned())?;
    match sections.as_slice() {
        [(SectionKind::PublicKey, der)] => PublicKey::from_spki(der),
        [(SectionKind::Certificate, der)] => {
            let (_, certificate) =
                X509Certificate::from_der(der).map_err(|_| "is not a certificate".to_owned())?;
            PublicKey::from_spki(certificate.public_key().raw)
        }
        [(SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _)] => {
            Err("is a private key; the public key is what belongs here".to_owned())
        }
        _ => Err("must hold exactly one PUBLIC KEY or CERTIFICATE".to_owned()),
    }
}

fn bad(config: &IssuerConfig, path: Option<&Path>, problem: String) -> KeyError {
    KeyError::Key { issuer: config.issuer.clone(), path: path.map(Path::to_owned), problem }
}
