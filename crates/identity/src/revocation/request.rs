//! A revocation as people write it, in the admin API and in a file: what it names, flat, and until when.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::entry::{Entry, EntryError, Target};

/// What somebody wants revoked. Exactly one of `jti`, `sub`, `sid`, `client_id`, `serial`, `spki_sha256` and
/// `issued_before` is given, perhaps with an `issuer`; or an `issuer` alone. `issued_before` goes with an `issuer`,
/// and may go with a `sub`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Request {
    /// A token's `jti`.
    pub jti: Option<String>,
    /// Tokens' `sub`.
    pub sub: Option<String>,
    /// Tokens' `sid`.
    pub sid: Option<String>,
    /// Tokens' `azp` or `client_id`.
    pub client_id: Option<String>,
    /// A certificate's serial number, hex.
    pub serial: Option<String>,
    /// SHA-256 of a public key, hex.
    pub spki_sha256: Option<String>,
    /// Tokens issued then or earlier.
    pub issued_before: Option<Instant>,
    /// A token's `iss`, or the distinguished name of a certificate's issuer.
    pub issuer: Option<String>,
    /// Why.
    pub reason: String,
    /// When the entry ends. Without it, it stays until it is lifted.
    pub expires_at: Option<Instant>,
    /// The same, in seconds from now.
    pub expires_in: Option<u64>,
}

/// A moment, as seconds since the Unix epoch or as text of RFC 3339.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Instant {
    /// Seconds since the Unix epoch.
    Seconds(u64),
    /// Such as `2026-12-31T23:59:59Z`.
    Text(String),
}

/// Why a request can't be an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It names nothing, or more than one thing.
    #[error(
        "expected exactly one of `jti`, `sub`, `sid`, `client_id`, `serial`, `spki_sha256`, `issued_before` (with \
         `issuer`, perhaps with `sub`), or `issuer` alone"
    )]
    Target,
    /// Not a moment.
    #[error("`{0}` is neither seconds since 1970 nor a time such as 2026-12-31T23:59:59Z")]
    Instant(&'static str),
    /// Both ways of naming the end.
    #[error("expected only one of `expires_at` and `expires_in`")]
    TwoEnds,
    /// It makes no sense.
    #[error(transparent)]
    Entry(#[from] EntryError),
}

impl Request {
    /// What is to be revoked.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn target(&self) -> Result<Target, RequestError> {
        let Self { jti, sub, sid, client_id, serial, spki_sha256, issued_before, issuer, .. } = self.clone();
        let target = match (jti, sub, sid, client_id, serial, spki_sha256, issued_before, issuer) {
            (Some(jti), None, None, None, None, None, None, issuer) => Target::Token { jti, issuer },
            (None, Some(sub), None, None, None, None, None, issuer) => Target::Subject { sub, issuer },
            (None, None, Some(sid), None, None, None, None, issuer) => Target::Session { sid, issuer },
            (None, None, None, Some(client_id), None, None, None, issuer) => {
                Target::Client { client_id, issuer }
            }
            (None, None, None, None, Some(serial), None, None, issuer) => {
                Target::Certificate { serial, issuer }
            }
            (None, None, None, None, None, Some(spki_sha256), None, None) => Target::Key { spki_sha256 },
            (None, sub, None, None, None, None, Some(before), Some(issuer)) => {
                Target::IssuedBefore { issuer, sub, before: before.seconds("issued_before")? }
            }
            (None, None, None, None, None, None, None, Some(issuer)) => Target::Issuer { issuer },
            _ => return Err(RequestError::Target),
        };
        Ok(target.normal()?)
    }

    /// The entry, under `id`, made at `now` (seconds since the Unix epoch) in the name of `by`.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn entry(&self, id: String, by: &str, now: u64) -> Result<Entry, RequestError> {
        let expires_at = match (&self.expires_at, self.expires_in) {
            (Some(_), Some(_)) => return Err(RequestError::TwoEnds),
            (Some(at), None) => Some(at.seconds("expires_at")?),
            (None, Some(seconds)) => Some(now.saturating_add(seconds)),
            (None, None) => None,
        };
        let (target, reason, by) = (self.target()?, self.reason.clone(), by.to_owned());
        Ok(Entry { id, target, expires_at, reason, by, created_at: now, lifted_at: None })
    }
}

impl Instant {
    fn seconds(&self, name: &'static str) -> Result<u64, RequestError> {
        match self {
            Self::Seconds(seconds) => Ok(*seconds),
            Self::Text(text) => {
                let parsed = OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp);
                parsed.and_then(|seconds| u64::try_from(seconds).ok()).ok_or(RequestError::Instant(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(value: serde_json::Value) -> Result<Target, RequestError> {
        serde_json::from_value::<Request>(value).unwrap().target()
    }

    #[test]
    fn exactly_one_thing_is_named() {
        let text = str::to_owned;
        for (value, expected) in [
            (json!({"jti": "t"}), Target::Token { jti: text("t"), issuer: None }),
            (json!({"sub": "a", "issuer": "i"}), Target::Subject { sub: text("a"), issuer: Some(text("i")) }),
            (json!({"serial": "0A:0b"}), Target::Certificate { serial: text("0a0b"), issuer: None }),
            (json!({"issuer": "i"}), Target::Issuer { issuer: text("i") }),
            (
                json!({"issuer": "i", "sub": "a", "issued_before": "2026-01-01T00:00:00Z"}),
                Target::IssuedBefore { issuer: text("i"), sub: Some(text("a")), before: 1_767_225_600 },
            ),
        ] {
            assert_eq!(target(value), Ok(expected));
        }
        for bad in [
            json!({}),
            json!({"jti": "t", "sub": "a"}),
            json!({"issued_before": 5}),
            json!({"issued_before": 5, "issuer": "i", "jti": "t"}),
            json!({"spki_sha256": "07", "issuer": "i"}),
            json!({"reason": "x"}),
        ] {
            assert_eq!(target(bad.clone()), Err(RequestError::Target), "{bad}");
        }
        assert_eq!(target(json!({"sub": ""})), Err(RequestError::Entry(EntryError::Empty("sub"))));
        let when = json!({"issuer": "i", "issued_before": "soon"});
        assert_eq!(target(when), Err(RequestError::Instant("issued_before")));
        assert!(serde_json::from_value::<Request>(json!({"subject": "a"})).is_err());
    }

    #[test]
    fn ends() {
        let end = |value: serde_json::Value| {
            let request: Request = serde_json::from_value(value).unwrap();
            request.entry("e".into(), "test", 100).map(|entry| entry.expires_at)
        };
        assert_eq!(end(json!({"sub": "a"})), Ok(None));
        assert_eq!(end(json!({"sub": "a", "expires_in": 50})), Ok(Some(150)));
        assert_eq!(end(json!({"sub": "a", "expires_at": 170})), Ok(Some(170)));
        assert_eq!(end(json!({"sub": "a", "expires_at": 170, "expires_in": 1})), Err(RequestError::TwoEnds));
    }
}
