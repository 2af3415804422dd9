//! The claims of a verified token.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::error::TokenError;

/// Largest number taken for a time, in seconds: beyond it, JSON numbers lose precision.
const MAX_TIME: f64 = 9_007_199_254_740_991.0;

/// The claims of a token. Cloning is cheap; `Debug` shows names and no values.
#[derive(Clone)]
pub struct Claims(Arc<Map<String, Value>>);

impl Claims {
    /// Wraps claims that were verified elsewhere, or that stand for a token in `explain` and in tests.
    #[must_use]
    pub fn from_map(map: Map<String, Value>) -> Self {
        Self(Arc::new(map))
    }

    /// Reads claims that a trusted service answered with: one JSON object without duplicate members.
    #[must_use]
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        super::json::parse_object(bytes).ok().map(Self::from_map)
    }

    /// Who the token is about.
    #[must_use]
    pub fn sub(&self) -> Option<&str> {
        self.text("sub")
    }

    /// Who issued it.
    #[must_use]
    pub fn iss(&self) -> Option<&str> {
        self.text("iss")
    }

    /// The token's own identifier.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.text("jti")
    }

    /// When it expires, in seconds since the Unix epoch; fractions are cut off.
    #[must_use]
    pub fn exp(&self) -> Option<u64> {
        self.time("exp").ok().flatten()
    }

    /// Before when it is not valid, in seconds since the Unix epoch; fractions are cut off.
    #[must_use]
    pub fn nbf(&self) -> Option<u64> {
        self.time("nbf").ok().flatten()
    }

    /// Whether it is for one of `ours`: `aud` is one text or a list of texts.
    #[must_use]
    pub fn is_for(&self, ours: &[String]) -> bool {
        super::check::audience(self, ours).is_ok()
    }

    /// When it was issued, in seconds since the Unix epoch; fractions are cut off.
    #[must_use]
    pub fn iat(&self) -> Option<u64> {
        self.time("iat").ok().flatten()
    }

    /// The claim at `path`: a name, or names of nested objects joined by dots. Names may hold dots
    /// themselves (`https://example.com/groups`); the longest name that exists wins.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        find(&self.0, path)
    }

    /// All claims.
    #[must_use]
    pub fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The top-level claim `name`.
    pub(super) fn get_own(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A claim that holds a time.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.0.get(name) else {
            return Ok(None);
        };
        if let Some(seconds) = value.as_u64() {
            return Ok(Some(seconds));
        }
        match value.as_f64() {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked by the guard
            Some(seconds) if (0.0..=MAX_TIME).contains(&seconds) => Ok(Some(seconds as u64)),
            _ => Err(TokenError::ClaimType(name)),
        }
    }
}

/// Looks for the whole of `path` as a name, then for ever shorter beginnings of it that hold an object.
fn find<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = map.get(path) {
        return Some(value);
    }
    path.rmatch_indices('.').find_map(|(dot, _)| {
        let inner = map.get(&path[..dot])?.as_object()?;
        find(inner, &path[dot + 1..])
    })
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Claims")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(text: &str) -> Claims {
        Claims::from_map(serde_json::from_str(text).unwrap())
    }

    #[test]
    fn paths_reach_nested_and_dotted_names() {
        let claims = claims(
            r#"{"realm_access":{"roles":["a"]},"https://x.y/groups":["b"],"a":{"b.c":1,"b":{"c":2,"d":3}}}"#,
        );
        assert_eq!(claims.get("realm_access.roles").unwrap()[0], "a");
        assert_eq!(claims.get("https://x.y/groups").unwrap()[0], "b");
        assert_eq!(claims.get("a.b.c").unwrap(), 1);
        assert_eq!(claims.get("a.b.d").unwrap(), 3);
        assert!(claims.get("a.b.e").is_none());
        assert!(claims.get("").is_none());
    }

    #[test]
    fn debug_shows_no_values() {
        let shown = format!("{:?}", claims(r#"{"sub":"alice","secret":"hunter2"}"#));
        assert!(shown.contains("secret") && !shown.contains("hunter2") && !shown.contains("alice"));
    }

    #[test]
    fn times_are_whole_seconds_or_refused() {
        let claims = claims(r#"{"a":1.9,"b":-1,"c":"1","d":1e300,"e":7,"f":null}"#);
        assert_eq!(claims.time("a"), Ok(Some(1)));
        assert_eq!(claims.time("e"), Ok(Some(7)));
        assert_eq!(claims.time("nope"), Ok(None));
        for name in ["b", "c", "d", "f"] {
            assert_eq!(claims.time(name), Err(TokenError::ClaimType(name)));
        }
    }
}
