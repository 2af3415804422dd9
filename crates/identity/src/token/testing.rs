//! Keys, tokens and verifiers for the tests of this module.

use std::path::PathBuf;
use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::dev::private_key_pem;
use super::{Claims, IssuerConfig, KeySource, TokenError, TokenVerifier};

pub(super) const NOW: u64 = 1_800_000_000;
pub(super) const ISSUER: &str = "https://login.example.com";
pub(super) const OTHER_ISSUER: &str = "https://login.example.org";
pub(super) const SECRET_ISSUER: &str = "https://secret.example.com";
pub(super) const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A key that signs, and its public half.
pub(super) struct Signer {
    pub(super) algorithm: Algorithm,
    pub(super) encoding: EncodingKey,
    pub(super) pem: String,
    jwk: Value,
}

pub(super) static EC: LazyLock<Signer> = LazyLock::new(|| Signer::ec(Algorithm::ES256));
pub(super) static EC_OTHER: LazyLock<Signer> = LazyLock::new(|| Signer::ec(Algorithm::ES256));
pub(super) static EC384: LazyLock<Signer> = LazyLock::new(|| Signer::ec(Algorithm::ES384));
pub(super) static ED: LazyLock<Signer> = LazyLock::new(Signer::ed);
pub(super) static RSA: LazyLock<Signer> = LazyLock::new(Signer::rsa);

impl Signer {
    fn ec(algorithm: Algorithm) -> Self {
        let (signing, curve, size): (&'static EcdsaSigningAlgorithm, _, _) = match algorithm {
            Algorithm::ES384 => (&ECDSA_P384_SHA384_FIXED_SIGNING, "P-384", 48),
            _ => (&ECDSA_P256_SHA256_FIXED_SIGNING, "P-256", 32),
        };
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(signing, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(signing, pkcs8.as_ref()).unwrap();
        let (x, y) = pair.public_key().as_ref()[1..].split_at(size);
        Self {
            algorithm,
            encoding: EncodingKey::from_ec_der(pkcs8.as_ref()),
            pem: private_key_pem(pkcs8.as_ref()).to_string(),
            jwk: json!({"kty": "EC", "crv": curve, "x": base64(x), "y": base64(y)}),
        }
    }

    fn ed() -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        Self {
            algorithm: Algorithm::EdDSA,
            encoding: EncodingKey::from_ed_der(pkcs8.as_ref()),
            pem: private_key_pem(pkcs8.as_ref()).to_string(),
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "x": base64(pair.public_key().as_ref())}),
        }
    }

    fn rsa() -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let pem = private_key_pem(AsDer::as_der(&pair).unwrap().as_ref()).to_string();
        let public = RsaKeyPair::public_key(&pair);
        let (n, e) = (public.modulus(), public.exponent());
        let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
        Self {
            algorithm: Algorithm::RS256,
            encoding: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            pem,
            jwk: json!({"kty": "RSA", "n": base64(n), "e": base64(e)}),
        }
    }

    /// The public half with further members.
    pub(super) fn jwk(&self, more: Value) -> Value {
        let mut jwk = self.jwk.clone();
        let Value::Object(more) = more else { panic!("not an object") };
        jwk.as_object_mut().unwrap().extend(more);
        jwk
    }

    /// `alg` as the header has it.
    pub(super) fn name(&self) -> String {
        format!("{:?}", self.algorithm)
    }

    /// A token with exactly this header and these claims, as text.
    pub(super) fn sign(&self, header: &str, claims: &str) -> String {
        sign_with(&self.encoding, self.algorithm, header, claims)
    }

    /// A token with this `kid` and these claims.
    pub(super) fn token(&self, kid: &str, claims: &Value) -> String {
        let header = json!({"alg": self.name(), "typ": "JWT", "kid": kid});
        self.sign(&header.to_string(), &claims.to_string())
    }
}

pub(super) fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(super) fn sign_with(key: &EncodingKey, algorithm: Algorithm, header: &str, claims: &str) -> String {
    crate::install_crypto();
    let message = format!("{}.{}", base64(header), base64(claims));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// Claims that are accepted, changed by `more`; a null removes a claim.
pub(super) fn claims(more: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "events", "sub": "alice", "iat": NOW - 10, "exp": NOW + 300,
    });
    let object = claims.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(object.remove(name)),
            value => drop(object.insert(name.clone(), value.clone())),
        }
    }
    claims
}

/// Files that go away with the test.
pub(super) struct Files(tempfile::TempDir);

impl Files {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

pub(super) fn config(issuer: &str, algorithms: &[Algorithm], keys: KeySource) -> IssuerConfig {
    IssuerConfig::new(issuer, vec!["events".into()], algorithms.to_vec(), keys)
}

/// A verifier with a set of keys for [`ISSUER`], another issuer's key under the same `kid`, and an issuer
/// with a shared secret.
pub(super) static VERIFIER: LazyLock<TokenVerifier> = LazyLock::new(|| {
    let files = Files::new();
    let keys = [
        EC.jwk(json!({"kid": "ec", "use": "sig", "alg": "ES256"})),
        RSA.jwk(json!({"kid": "rsa"})),
        ED.jwk(json!({"kid": "ed"})),
    ];
    let ours = files.write("ours.json", json!({"keys": keys}).to_string());
    let theirs =
        files.write("theirs.json", json!({"keys": [EC_OTHER.jwk(json!({"kid": "ec"}))]}).to_string());
    let secret = files.write("secret", SECRET);
    let ours =
        config(ISSUER, &[Algorithm::ES256, Algorithm::RS256, Algorithm::EdDSA], KeySource::JwksFile(ours));
    let theirs = config(OTHER_ISSUER, &[Algorithm::ES256], KeySource::JwksFile(theirs));
    let secret = config(SECRET_ISSUER, &[Algorithm::HS256], KeySource::SecretFile(secret));
    TokenVerifier::new(vec![ours, theirs, secret]).unwrap()
});

pub(super) fn verify(token: &str) -> Result<Claims, TokenError> {
    VERIFIER.verify(token, NOW)
}
