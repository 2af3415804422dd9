//! A token taken apart, before anything in it is believed.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::config::algorithm;
use super::error::TokenError;
use super::json::{JsonError, parse_object};

/// Headers that would have the token say how it is to be verified.
const NEVER_HONOURED: [&str; 7] = ["crit", "jwk", "jku", "x5u", "x5c", "b64", "zip"];

/// The three parts of a token, decoded but not verified.
pub(super) struct Parts<'a> {
    /// `header.payload` as signed.
    pub(super) message: &'a str,
    /// The signature, in base64url.
    pub(super) signature: &'a str,
    pub(super) header: Header,
    /// Claims that nobody has vouched for yet: good for choosing the issuer, for nothing else.
    pub(super) unverified: Claims,
}

/// What of the header is used.
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    typ: Option<String>,
}

impl<'a> Parts<'a> {
    pub(super) fn split(token: &'a str) -> Result<Self, TokenError> {
        let mut segments = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (segments.next(), segments.next(), segments.next(), segments.next())
        else {
            return Err(TokenError::Malformed("not three segments"));
        };
        // Decoded here only to refuse what is not strict base64url; an empty one is a blank signature.
        decode(signature, "signature is not base64url")?;
        if signature.is_empty() {
            return Err(TokenError::Signature);
        }
        let header = object(header, "header")?;
        let header = Header::read(&header)?;
        let unverified = Claims::from_map(object(payload, "claim")?);
        Ok(Self { message: &token[..token.len() - signature.len() - 1], signature, header, unverified })
    }
}

impl Header {
    fn read(header: &Map<String, Value>) -> Result<Self, TokenError> {
        for name in NEVER_HONOURED {
            if header.contains_key(name) {
                return Err(TokenError::Header(name));
            }
        }
        let text = |name: &'static str| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(TokenError::Malformed("a header is not text")),
        };
        let algorithm = text("alg")?.and_then(algorithm).ok_or(TokenError::Algorithm)?;
        Ok(Self { algorithm, kid: text("kid")?.map(str::to_owned), typ: text("typ")?.map(str::to_owned) })
    }

    pub(super) fn has_type(&self, allowed: &[String]) -> bool {
        let Some(typ) = self.typ.as_deref() else {
            return true;
        };
        let bare = match typ.split_at_checked("application/".len()) {
            Some((prefix, rest)) if prefix.eq_ignore_ascii_case("application/") => rest,
            _ => typ,
        };
        allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(bare))
    }
}

fn object(segment: &str, what: &'static str) -> Result<Map<String, Value>, TokenError> {
    let problem = match what {
        "header" => "header is not a JSON object in base64url",
        _ => "payload is not a JSON object in base64url",
    };
    parse_object(&decode(segment, problem)?).map_err(|error| match error {
        JsonError::Duplicate => TokenError::Duplicate(what),
        JsonError::Malformed => TokenError::Malformed(problem),
    })
}

/// Strict: no padding, no white space, no other alphabet, no stray bits at the end.
fn decode(segment: &str, problem: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(segment).map_err(|_| TokenError::Malformed(problem))
}
