//! One revocation: what is taken back, until when, why, and by whom.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest text in an entry, in bytes.
pub const MAX_TEXT: usize = 512;

/// What is revoked. Issuers are a token's `iss`; without one an entry speaks about every issuer's tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Target {
    /// One token, by its `jti`.
    Token {
        /// The token's `jti`.
        jti: String,
        /// Its `iss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// Every token of a subject, also future ones.
    Subject {
        /// The tokens' `sub`.
        sub: String,
        /// Their `iss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// Every token of a login session at the issuer (`sid`).
    Session {
        /// The tokens' `sid`.
        sid: String,
        /// Their `iss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// Every token issued to an application (`azp`, `client_id`).
    Client {
        /// The tokens' `azp` or `client_id`.
        client_id: String,
        /// Their `iss`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// Tokens of an issuer issued at `before` or earlier; a token that does not say when counts as earlier.
    IssuedBefore {
        /// Their `iss`.
        issuer: String,
        /// Only those of this `sub`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sub: Option<String>,
        /// The last second of issue that is revoked, since the Unix epoch, by the issuer's clock.
        before: u64,
    },
    /// A certificate, by serial number.
    Certificate {
        /// Lower-case hex, as [`crate::peer::PeerCertificate::serial`] has it.
        serial: String,
        /// Distinguished name of its issuer, RFC 4514 style.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issuer: Option<String>,
    },
    /// Every certificate with a public key.
    Key {
        /// SHA-256 of the SubjectPublicKeyInfo, lower-case hex.
        spki_sha256: String,
    },
    /// Everything an issuer vouches for: tokens by `iss`, certificates by the issuer's distinguished name.
    Issuer {
        /// The `iss`, or the distinguished name.
        issuer: String,
    },
}

/// Why an entry can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// A text that must say something is empty.
    #[error("`{0}` must not be empty")]
    Empty(&'static str),
    /// A text is longer than [`MAX_TEXT`].
    #[error("`{0}` is longer than {MAX_TEXT} bytes")]
    TooLong(&'static str),
    /// Not hex digits, or not as many as it takes.
    #[error("`{0}` is not {1}")]
    NotHex(&'static str, &'static str),
    /// It would end before it begins.
    #[error("the entry would have expired already")]
    Expired,
}

impl Target {
    /// The target with its hex in one form: lower case, without separators; serial numbers without leading zero bytes.
    ///
    /// # Errors
    /// [`EntryError`] for what revokes nothing, or can't be.
    pub fn normal(self) -> Result<Self, EntryError> {
        let target = match self {
            Self::Certificate { serial, issuer } => {
                let digits = hex(&serial).ok_or(EntryError::NotHex("serial", "hexadecimal"))?;
                let even = if digits.len() % 2 == 1 { format!("0{digits}") } else { digits };
                let mut serial = even.as_str();
                while let Some(rest) = serial.strip_prefix("00").filter(|rest| !rest.is_empty()) {
                    serial = rest;
                }
                Self::Certificate { serial: serial.to_owned(), issuer }
            }
            Self::Key { spki_sha256 } => {
                let digits = hex(&spki_sha256).filter(|digits| digits.len() == 64);
                let spki_sha256 = digits
                    .ok_or(EntryError::NotHex("spki_sha256", "the 64 hexadecimal digits of a SHA-256"))?;
                Self::Key { spki_sha256 }
            }
            other => other,
        };
        target.texts().try_for_each(|(name, text)| check(name, text))?;
        Ok(target)
    }

    fn texts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let (first, second) = match self {
            Self::Token { jti, issuer } => (("jti", jti), issuer.as_ref().map(|text| ("issuer", text))),
            Self::Subject { sub, issuer } => (("sub", sub), issuer.as_ref().map(|text| ("issuer", text))),
            Self::Session { sid, issuer } => (("sid", sid), issuer.as_ref().map(|text| ("issuer", text))),
            Self::Client { client_id, issuer } => {
                (("client_id", client_id), issuer.as_ref().map(|text| ("issuer", text)))
            }
            Self::IssuedBefore { issuer, sub, .. } => {
                (("issuer", issuer), sub.as_ref().map(|text| ("sub", text)))
            }
            Self::Certificate { serial, issuer } => {
                (("serial", serial), issuer.as_ref().map(|text| ("issuer", text)))
            }
            Self::Key { spki_sha256 } => (("spki_sha256", spki_sha256), None),
            Self::Issuer { issuer } => (("issuer", issuer), None),
        };
        std::iter::once(first).chain(second).map(|(name, text)| (name, text.as_str()))
    }
}

impl fmt::Display for Target {
    /// The target in words for a log, such as `sub=alice issuer=https://login.example.com`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, text)) in self.texts().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name}={}", text.escape_debug())?;
        }
        match self {
            Self::IssuedBefore { before, .. } => write!(f, " issued_before={before}"),
            _ => Ok(()),
        }
    }
}

fn check(name: &'static str, text: &str) -> Result<(), EntryError> {
    match text.len() {
        0 => Err(EntryError::Empty(name)),
        length if length > MAX_TEXT => Err(EntryError::TooLong(name)),
        _ => Ok(()),
    }
}

/// Hex digits in lower case, without the colons and spaces tools print between them.
fn hex(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect();
    let good = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
    good.then(|| digits.to_ascii_lowercase())
}

/// A revocation. Its id is unique among all gateways; everything but `lifted_at` never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Unique name: letters, digits and hyphens.
    pub id: String,
    /// What is revoked.
    pub target: Target,
    /// When the entry may be forgotten because what it revokes has ended by itself, in seconds since the Unix epoch.
    /// `None`: it stays until it is lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Why, in the words of whoever revoked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who revoked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
    /// When, in seconds since the Unix epoch.
    pub created_at: u64,
    /// When the entry was taken back. It is remembered for a while, so that an older copy does not bring it to life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifted_at: Option<u64>,
}

impl Entry {
    /// The entry with its target in normal form, if it makes sense at `now`.
    ///
    /// # Errors
    /// [`EntryError`].
    pub fn normal(self, now: u64) -> Result<Self, EntryError> {
        check("id", &self.id)?;
        if self.reason.len() > MAX_TEXT {
            return Err(EntryError::TooLong("reason"));
        }
        if self.by.len() > MAX_TEXT {
            return Err(EntryError::TooLong("by"));
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(EntryError::Expired);
        }
        Ok(Self { target: self.target.normal()?, ..self })
    }

    /// Whether it is in force at `now`.
    #[must_use]
    pub fn in_force(&self, now: u64) -> bool {
        self.lifted_at.is_none() && !self.over(now)
    }

    /// Whether what it revokes has ended at `now`.
    #[must_use]
    pub fn over(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}
