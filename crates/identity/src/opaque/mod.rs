//! Opaque tokens: random bearer tokens of our own, of which only a hash is kept, in a file.
//!
//! A token is `gh_ID_SECRET`: a prefix that scanners for leaked secrets can look for, the public id, and 256 random
//! bits. The file holds SHA-256 of the whole text. A slow hash would add nothing: such hashes protect secrets that
//! people choose, and 2^256 can't be guessed at any speed; but it would make every login dear, for an attacker to use.

mod file;
mod record;
mod secret;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

pub use file::{FileError, edit, read};
pub use record::{NewToken, RecordError, TokenRecord};
pub use secret::{PREFIX, is_opaque};

use crate::rotate::Material;
use crate::token::Claims;

/// The `iss` that opaque tokens' claims carry; `issuer` in a binding names it.
pub const OPAQUE_ISSUER: &str = "gatehouse:tokens";

/// Why an opaque token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpaqueError {
    /// Not of the form, no such id, or another secret: which of them is nobody's business.
    #[error("the opaque token is not known")]
    Unknown,
    /// Its time is over.
    #[error("the opaque token has expired")]
    Expired,
    /// It was revoked.
    #[error("the opaque token was revoked")]
    Revoked,
}

impl OpaqueError {
    /// A stable word for metrics and audit.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "opaque_unknown",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

/// The tokens of a file, ready for logins. Immutable; a reload makes new ones.
#[derive(Debug, Default)]
pub struct OpaqueTokens {
    records: HashMap<String, TokenRecord>,
    missing: bool,
}

impl OpaqueTokens {
    /// Takes records.
    #[must_use]
    pub fn new(records: Vec<TokenRecord>) -> Self {
        let records = records.into_iter().map(|record| (record.id.clone(), record)).collect();
        Self { records, missing: false }
    }

    /// What a presented token is worth at `now` (seconds since the Unix epoch). Compares in constant time.
    ///
    /// # Errors
    /// [`OpaqueError`].
    pub fn verify(&self, token: &str, now: u64) -> Result<&TokenRecord, OpaqueError> {
        let id = secret::id_of(token).ok_or(OpaqueError::Unknown)?;
        let record = self.records.get(id);
        // An unknown id costs what a known one does.
        let kept = record.map_or([0; 32], |record| record.hash);
        let same = secret::matches(token, &kept);
        let record = record.filter(|_| same).ok_or(OpaqueError::Unknown)?;
        record.check(now).map(|()| record)
    }

    /// Whether a token that was good at login still is: for live sessions.
    ///
    /// # Errors
    /// [`OpaqueError`].
    pub fn check(&self, id: &str, now: u64) -> Result<(), OpaqueError> {
        self.records.get(id).ok_or(OpaqueError::Unknown)?.check(now)
    }

    /// What has happened to tokens since `before`: those that were made, and those that were revoked or taken out before
    /// their time at `now`.
    #[must_use]
    pub fn since<'a>(&'a self, before: &'a Self, now: u64) -> (Vec<&'a TokenRecord>, Vec<&'a TokenRecord>) {
        let made = self.records.values().filter(|record| !before.records.contains_key(&record.id));
        let good = before.records.values().filter(|record| record.check(now).is_ok());
        let gone =
            |record: &&TokenRecord| self.records.get(&record.id).is_none_or(|now| now.revoked.is_some());
        (made.collect(), good.filter(gone).collect())
    }

    /// How many there are, those that are over included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

impl TokenRecord {
    fn check(&self, now: u64) -> Result<(), OpaqueError> {
        if self.revoked.is_some() {
            return Err(OpaqueError::Revoked);
        }
        if now >= self.expires { Err(OpaqueError::Expired) } else { Ok(()) }
    }

    /// The record as claims, for bindings and templates: its own under registered names, then those it was given.
    #[must_use]
    pub fn claims(&self) -> Claims {
        let mut map: Map<String, Value> = self.claims.clone();
        let own = [
            ("iss", json!(OPAQUE_ISSUER)),
            ("sub", json!(self.owner)),
            ("jti", json!(self.id)),
            ("iat", json!(self.created)),
            ("exp", json!(self.expires)),
        ];
        map.extend(own.map(|(name, value)| (name.to_owned(), value)));
        Claims::from_map(map)
    }
}

/// A file of tokens, for [`Rotating`](crate::rotate::Rotating). A file that does not exist yet holds none.
#[derive(Debug, Clone)]
pub struct OpaqueFile(pub PathBuf);

impl OpaqueFile {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Material for OpaqueFile {
    type Value = OpaqueTokens;
    type Error = FileError;

    fn load(&self, _now: i64) -> Result<OpaqueTokens, FileError> {
        let found = read(&self.0)?;
        let missing = found.is_none();
        Ok(OpaqueTokens { missing, ..OpaqueTokens::new(found.unwrap_or_default()) })
    }

    fn may_replace(old: &OpaqueTokens, new: &OpaqueTokens, _now: i64) -> Result<(), FileError> {
        // A volume that is gone for a moment takes nobody's token away.
        if new.missing && !old.missing { Err(FileError::Gone) } else { Ok(()) }
    }

    fn inputs(&self) -> Vec<PathBuf> {
        vec![self.0.clone()]
    }
}
