//! What is kept of an opaque token.

use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::secret;

/// Longest owner and role name, in bytes.
const MAX_NAME: usize = 256;

/// Claims that a token's own record decides.
const OWN: [&str; 7] = ["iss", "sub", "jti", "iat", "exp", "nbf", "cnf"];

/// Why a token can't be made or a record not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// No owner, or one that is too long or holds control characters.
    #[error("expected an owner of 1 to 256 bytes without control characters")]
    Owner,
    /// A role's name that can be none.
    #[error("expected role names of 1 to 256 bytes without control characters")]
    Role,
    /// A claim that the record decides itself.
    #[error("the claim `{0}` is the token's own")]
    Claim(&'static str),
    /// An end that has passed.
    #[error("the token would have expired already")]
    Expired,
    /// An id that is none.
    #[error("holds an id that is none")]
    Id,
    /// The system gives no random numbers.
    #[error("no random numbers to be had")]
    Random,
}

/// What is kept of one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Its public name.
    pub id: String,
    /// Who it stands for: the connection's identity.
    pub owner: String,
    /// SHA-256 of the token.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub hash: [u8; 32],
    /// When it was made, in seconds since the Unix epoch.
    pub created: u64,
    /// When it ends, in seconds since the Unix epoch.
    pub expires: u64,
    /// Roles it gives, besides those that bindings give.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// Claims for templates and bindings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    /// When it was revoked, in seconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

/// What a new token is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Who it stands for.
    pub owner: String,
    /// When it ends, in seconds since the Unix epoch.
    pub expires: u64,
    /// Roles it gives.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Claims for templates and bindings.
    #[serde(default)]
    pub claims: Map<String, Value>,
}

impl NewToken {
    /// Makes the token at `now` (seconds since the Unix epoch): its text, which is shown once and not kept, and what
    /// is kept of it.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn make(self, now: u64) -> Result<(Zeroizing<String>, TokenRecord), RecordError> {
        let (token, id) = secret::generate()?;
        let record = TokenRecord {
            id,
            hash: secret::hash(&token),
            owner: self.owner,
            created: now,
            expires: self.expires,
            roles: self.roles,
            claims: self.claims,
            revoked: None,
        };
        record.check_form()?;
        if record.expires <= now { Err(RecordError::Expired) } else { Ok((token, record)) }
    }
}

impl TokenRecord {
    /// Whether the record could have been made here.
    pub(super) fn check_form(&self) -> Result<(), RecordError> {
        let sound = |name: &str| {
            !name.is_empty() && name.len() <= MAX_NAME && !name.contains(|c: char| c.is_control())
        };
        if !secret::is_id(&self.id) {
            return Err(RecordError::Id);
        }
        if !sound(&self.owner) {
            return Err(RecordError::Owner);
        }
        if !self.roles.iter().all(|role| sound(role)) {
            return Err(RecordError::Role);
        }
        match OWN.into_iter().find(|name| self.claims.contains_key(*name)) {
            Some(name) => Err(RecordError::Claim(name)),
            None => Ok(()),
        }
    }
}

/// What stands before a hash in the file.
const SCHEME: &str = "sha256:";

fn to_hex<S: Serializer>(hash: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
    let text = hash.iter().fold(SCHEME.to_owned(), |mut text, byte| {
        // Writing to a String can't fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    });
    serializer.serialize_str(&text)
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
    let wrong = || serde::de::Error::custom("expected `sha256:` and 64 hexadecimal digits");
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix(SCHEME).filter(|digits| digits.len() == 64 && digits.is_ascii());
    let digits = digits.ok_or_else(wrong)?;
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(hash)
}
