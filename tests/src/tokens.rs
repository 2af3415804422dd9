//! A development issuer: one ES256 key, its JWKS file, and tokens good and bad.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs_dev::{Authority, Issued, LeafRequest};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

/// What a token says. Start from [`Tokens::claims`].
#[derive(Clone, Debug)]
pub struct Claims(Value);

impl Claims {
    /// Sets a claim.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        if let Some(claims) = self.0.as_object_mut() {
            claims.insert(name.to_owned(), value.into());
        }
        self
    }

    /// Removes a claim.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        if let Some(claims) = self.0.as_object_mut() {
            claims.remove(name);
        }
        self
    }

    /// As JSON.
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Ends so many seconds from now; negative is in the past.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        self.with("exp", now() + seconds)
    }
}

/// The issuer.
#[derive(Debug)]
pub struct Tokens {
    key: Issued,
    jwks: PathBuf,
}

impl Tokens {
    /// Issuer name in the tokens.
    pub const ISSUER: &'static str = "https://login.example.com/realms/partners";
    /// Audience in the tokens.
    pub const AUDIENCE: &'static str = "events";
    /// Key id in the tokens' headers.
    pub const KID: &'static str = "test-1";

    /// Makes a key and writes its JWKS file into `dir`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn new(dir: &Path) -> Result<Self> {
        let tokens = Self { key: fresh_key()?, jwks: dir.join("jwks.json") };
        std::fs::write(&tokens.jwks, json!({ "keys": [jwk(&tokens.key, Self::KID)?] }).to_string())?;
        Ok(tokens)
    }

    /// The JWKS file.
    pub fn jwks_path(&self) -> &Path {
        &self.jwks
    }

    /// Claims of a partner of tenant `acme`, good for ten minutes.
    pub fn claims(&self) -> Claims {
        Claims(json!({
            "iss": Self::ISSUER, "aud": Self::AUDIENCE, "sub": "partner-1", "tenant": "acme",
            "groups": ["partners"], "iat": now(), "nbf": now() - 5, "exp": now() + 600,
        }))
    }

    /// A token that opens the gateway.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn good(&self) -> Result<String> {
        self.sign(&self.claims())
    }

    /// Signs claims.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, claims: &Claims) -> Result<String> {
        sign_with(&self.key, Self::KID, claims)
    }

    /// A token with all the right words, signed by a key nobody knows.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn forged(&self) -> Result<String> {
        sign_with(&fresh_key()?, Self::KID, &self.claims())
    }

    /// A token with exactly this header and these claims, as text, signed by the issuer's key.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign_text(&self, header: &str, claims: &str) -> Result<String> {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let key = EncodingKey::from_ec_pem(self.key.key_pem.as_bytes())?;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::ES256)?;
        Ok(format!("{message}.{signature}"))
    }

    /// The public key as JWK.
    ///
    /// # Errors
    /// Never in practice: the key is P-256.
    pub fn public_jwk(&self) -> Result<Value> {
        jwk(&self.key, Self::KID)
    }

    /// A token without signature that says so (`alg: none`).
    ///
    /// # Errors
    /// Never in practice: JSON of known shape.
    pub fn unsigned(&self) -> Result<String> {
        let part = |value: &Value| Ok::<_, anyhow::Error>(URL_SAFE_NO_PAD.encode(serde_json::to_vec(value)?));
        Ok(format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" }))?, part(&self.claims().0)?))
    }

    /// A token whose HMAC key is the public key's file: the classic confusion of algorithms.
    ///
    /// # Errors
    /// When the JWKS file cannot be read.
    pub fn confused(&self) -> Result<String> {
        let secret = std::fs::read(&self.jwks)?;
        let header = Header { kid: Some(Self::KID.to_owned()), ..Header::new(Algorithm::HS256) };
        Ok(jsonwebtoken::encode(&header, &self.claims().0, &EncodingKey::from_secret(&secret))?)
    }
}

pub(crate) fn fresh_key() -> Result<Issued> {
    Ok(Authority::new("token issuer")?.issue(&LeafRequest::named("token key"))?)
}

pub(crate) fn sign_with(key: &Issued, kid: &str, claims: &Claims) -> Result<String> {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
    Ok(jsonwebtoken::encode(&header, &claims.0, &EncodingKey::from_ec_pem(key.key_pem.as_bytes())?)?)
}

/// The public key as JWK. In a certificate, a P-256 key is a bit string of 66 bytes: unused bits 0, form 4, x, y.
pub(crate) fn jwk(key: &Issued, kid: &str) -> Result<Value> {
    let marker = [0x03, 0x42, 0x00, 0x04];
    let start = key.cert_der.windows(4).position(|bytes| bytes == marker).context("no P-256 key")? + 4;
    let point = key.cert_der.get(start..start + 64).context("a cut certificate")?;
    let (x, y) = point.split_at(32);
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Ok(json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": kid,
        "x": coordinate(x), "y": coordinate(y),
    }))
}

fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::jwk::JwkSet;
    use jsonwebtoken::{DecodingKey, Validation};

    #[test]
    fn the_written_keys_verify_the_signed_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::new(dir.path()).unwrap();
        let set: JwkSet = serde_json::from_slice(&std::fs::read(tokens.jwks_path()).unwrap()).unwrap();
        let key = DecodingKey::from_jwk(set.find(Tokens::KID).unwrap()).unwrap();
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_audience(&[Tokens::AUDIENCE]);
        let decode = |token: &str| jsonwebtoken::decode::<Value>(token, &key, &validation);
        assert_eq!(decode(&tokens.good().unwrap()).unwrap().claims["tenant"], "acme");
        assert!(decode(&tokens.forged().unwrap()).is_err());
        assert!(decode(&tokens.sign(&tokens.claims().expires_in(-3600)).unwrap()).is_err());
    }
}
