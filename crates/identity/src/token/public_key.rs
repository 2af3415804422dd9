//! A public key, whatever notation it came in, checked before it is used.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384, OID_SIG_ED25519};
use x509_parser::prelude::FromDer;
use x509_parser::public_key::PublicKey as X509Key;
use x509_parser::x509::SubjectPublicKeyInfo;

/// Smallest RSA modulus accepted, in bits (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;

/// Largest RSA modulus accepted, in bits: verifying gets slow, and the library refuses more.
const MAX_RSA_BITS: usize = 8192;

/// A key that signatures can be checked with.
pub(super) enum PublicKey {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// Uncompressed point on P-256.
    P256(Vec<u8>),
    /// Uncompressed point on P-384.
    P384(Vec<u8>),
    /// Ed25519 public key.
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER.
    pub(super) fn from_spki(der: &[u8]) -> Result<Self, String> {
        let (rest, spki) =
            SubjectPublicKeyInfo::from_der(der).map_err(|_| "is not a public key".to_owned())?;
        if !rest.is_empty() {
            return Err("has trailing data after the public key".to_owned());
        }
        let oid = &spki.algorithm.algorithm;
        if *oid == OID_SIG_ED25519 {
            return Self::ed25519(spki.subject_public_key.data.to_vec());
        }
        match spki.parsed() {
            Ok(X509Key::RSA(rsa)) => Self::rsa(rsa.modulus, rsa.exponent),
            Ok(X509Key::EC(point)) => {
                let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
                match curve {
                    Some(oid) if oid == OID_EC_P256 => Self::p256(point.data().to_vec()),
                    Some(oid) if oid == OID_NIST_EC_P384 => Self::p384(point.data().to_vec()),
                    _ => Err("is on a curve other than P-256 and P-384".to_owned()),
                }
            }
            _ => Err("is of a type other than RSA, EC and Ed25519".to_owned()),
        }
    }

    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Self, String> {
        let (n, e) = (strip_zeros(modulus), strip_zeros(exponent));
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        if bits < MIN_RSA_BITS {
            return Err(format!("is an RSA key of {bits} bits; at least {MIN_RSA_BITS} are required"));
        }
        if bits > MAX_RSA_BITS {
            return Err(format!("is an RSA key of {bits} bits; at most {MAX_RSA_BITS} are accepted"));
        }
        let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        if !odd(n) || !odd(e) || e == [1] {
            return Err("is an RSA key with an impossible modulus or exponent".to_owned());
        }
        Ok(Self::Rsa { n: n.to_vec(), e: e.to_vec() })
    }

    pub(super) fn p256(point: Vec<u8>) -> Result<Self, String> {
        on_curve(&ECDSA_P256_SHA256_FIXED, &point, 65)?;
        Ok(Self::P256(point))
    }

    pub(super) fn p384(point: Vec<u8>) -> Result<Self, String> {
        on_curve(&ECDSA_P384_SHA384_FIXED, &point, 97)?;
        Ok(Self::P384(point))
    }

    pub(super) fn ed25519(key: Vec<u8>) -> Result<Self, String> {
        on_curve(&ED25519, &key, 32)?;
        Ok(Self::Ed25519(key))
    }

    /// The algorithms a key of this kind can serve.
    pub(super) fn serves(&self) -> &'static [Algorithm] {
        match self {
            Self::Rsa { .. } => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            Self::P256(_) => &[Algorithm::ES256],
            Self::P384(_) => &[Algorithm::ES384],
            Self::Ed25519(_) => &[Algorithm::EdDSA],
        }
    }

    pub(super) fn decoding_key(&self) -> DecodingKey {
        match self {
            Self::Rsa { n, e } => DecodingKey::from_rsa_raw_components(n, e),
            Self::P256(point) | Self::P384(point) => DecodingKey::from_ec_der(point),
            Self::Ed25519(key) => DecodingKey::from_ed_der(key),
        }
    }
}

/// Whether `signature` (in base64url) is what the key's owner has signed `message` with, by `algorithm`.
pub(super) fn signed_by(key: &DecodingKey, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
    matches!(jsonwebtoken::crypto::verify(signature, message, key, algorithm), Ok(true))
}

fn strip_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    &number[start..]
}

fn on_curve(algorithm: &'static dyn VerificationAlgorithm, key: &[u8], length: usize) -> Result<(), String> {
    // The length is checked too, because compressed points would not do later.
    if key.len() != length || ParsedPublicKey::new(algorithm, key).is_err() {
        return Err("is not a point on its curve".to_owned());
    }
    Ok(())
}
