//! JWTs of decentralised NATS authentication.

use anyhow::Result;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// A JWT as NATS operators make them, about `subject` (a public key); `exp` in seconds since the Unix epoch.
///
/// # Errors
/// When the issuer has no private key.
pub fn nats_jwt(
    issuer: &KeyPair,
    subject: &str,
    name: &str,
    nats: &Value,
    exp: Option<u64>,
) -> Result<String> {
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let header = encode(&json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let claims = encode(&json!({
        "jti": name, "iat": 1, "exp": exp.unwrap_or_default(), "iss": issuer.public_key(), "name": name,
        "sub": subject, "nats": nats,
    }));
    let signed = format!("{header}.{claims}");
    let signature = BASE64_URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}
