//! JWK sets (RFC 7517): public signing keys out of JSON. Members nobody asked for are ignored, keys that are
//! meant for something else are skipped, keys that are unsafe make the whole set unusable.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::config;
use super::json::{JsonError, parse_object};
use super::public_key::PublicKey;

/// Largest JWK set read, in bytes.
pub(super) const MAX_SET: usize = 1024 * 1024;

/// Most keys read from one set.
const MAX_KEYS: usize = 256;

/// One usable key of a set.
pub(super) struct Jwk {
    pub(super) kid: Option<String>,
    /// The one algorithm the issuer restricts the key to.
    pub(super) only: Option<Algorithm>,
    pub(super) key: PublicKey,
}

/// Reads a set. The error says what is wrong with which key and holds no key material. With `lenient`, keys that are
/// unsafe are left out: an issuer's other keys are not the worse for them.
pub(super) fn parse(bytes: &[u8], lenient: bool) -> Result<Vec<Jwk>, String> {
    if bytes.len() > MAX_SET {
        return Err(format!("the JWK set is larger than {MAX_SET} bytes"));
    }
    let set = parse_object(bytes).map_err(|error| match error {
        JsonError::Malformed => "is not a JSON object with a JWK set".to_owned(),
        JsonError::Duplicate => "holds a duplicate member".to_owned(),
    })?;
    let Some(Value::Array(keys)) = set.get("keys") else {
        return Err("has no list `keys`".to_owned());
    };
    if keys.len() > MAX_KEYS {
        return Err(format!("has more than {MAX_KEYS} keys"));
    }
    let mut found = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let Value::Object(key) = key else {
            return Err(format!("key {index} is not an object"));
        };
        match read(key) {
            Ok(Some(jwk)) => found.push(jwk),
            Ok(None) => {}
            Err(problem) if lenient => tracing::warn!(index, %problem, "a key of a JWK set is left out"),
            Err(problem) => return Err(format!("key {index} {problem}")),
        }
    }
    Ok(found)
}

/// Reads one key; `None` when it is of no use for checking signatures here.
fn read(jwk: &Map<String, Value>) -> Result<Option<Jwk>, String> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    for name in ["d", "k"] {
        // A shared secret (`k`) in a file of public keys is as wrong as a private key.
        if jwk.contains_key(name) {
            return Err("holds a private or secret key; only public keys belong here".to_owned());
        }
    }
    if !meant_for_verifying(jwk) {
        return Ok(None);
    }
    let only = match jwk.get("alg") {
        None => None,
        Some(name) => match name.as_str().and_then(config::algorithm) {
            Some(algorithm) => Some(algorithm),
            None => return Ok(None),
        },
    };
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) => Some(kid.clone()),
        Some(_) => return Err("has a `kid` that is not text".to_owned()),
    };
    let key = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => PublicKey::rsa(&field(jwk, "n")?, &field(jwk, "e")?)?,
        (Some("EC"), Some("P-256")) => PublicKey::p256(point(jwk, 32)?)?,
        (Some("EC"), Some("P-384")) => PublicKey::p384(point(jwk, 48)?)?,
        (Some("OKP"), Some("Ed25519")) => PublicKey::ed25519(field(jwk, "x")?)?,
        _ => return Ok(None),
    };
    Ok(Some(Jwk { kid, only, key }))
}

fn meant_for_verifying(jwk: &Map<String, Value>) -> bool {
    let usage = jwk.get("use").is_none_or(|usage| usage == "sig");
    let operations = jwk.get("key_ops").is_none_or(|operations| {
        operations.as_array().is_some_and(|list| list.iter().any(|op| op == "verify"))
    });
    usage && operations
}

fn field(jwk: &Map<String, Value>, name: &str) -> Result<Vec<u8>, String> {
    let text = jwk.get(name).and_then(Value::as_str);
    let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.ok_or_else(|| format!("has no `{name}` in base64url"))
}

/// Joins the coordinates to an uncompressed point.
fn point(jwk: &Map<String, Value>, size: usize) -> Result<Vec<u8>, String> {
    let (x, y) = (field(jwk, "x")?, field(jwk, "y")?);
    if x.len() != size || y.len() != size {
        return Err(format!("has coordinates that are not {size} bytes long"));
    }
    Ok([&[4], x.as_slice(), y.as_slice()].concat())
}
