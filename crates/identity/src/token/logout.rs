//! Logout tokens of OpenID Connect Back-Channel Logout 1.0: an issuer's word that a session, or all of somebody's, is over.

use super::claims::Claims;
use super::config::IssuerConfig;
use super::error::TokenError;
use super::{TokenVerifier, check};

/// The member of `events` that makes a token a logout token.
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// What is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logout {
    /// The issuer who says so. What it says holds for its own sessions alone.
    pub issuer: String,
    /// Whose sessions; all of them where there is no `sid`.
    pub sub: Option<String>,
    /// Which session.
    pub sid: Option<String>,
    /// The token's own identifier, by which a repetition is known.
    pub jti: String,
    /// When it was issued, in seconds since the Unix epoch.
    pub issued_at: u64,
}

impl TokenVerifier {
    /// Verifies a logout token at `now` (seconds since the Unix epoch) with the keys at hand; its `typ`, where it has
    /// one, must be `logout+jwt`, and its audience the issuer's `logout_audience`.
    ///
    /// # Errors
    /// As for [`TokenVerifier::verify`]; and what section 2.6 of the specification asks for is missing.
    pub fn verify_logout(&self, token: &str, now: u64) -> Result<Logout, TokenError> {
        let types = ["logout+jwt".to_owned()];
        let (claims, config) = self.signed(token, Some(&types))?;
        check::check_for(&claims, &config.logout_audience, config.leeway, now)?;
        logout(&claims, config)
    }
}

fn logout(claims: &Claims, config: &IssuerConfig) -> Result<Logout, TokenError> {
    let events = claims.get_own("events").ok_or(TokenError::MissingClaim("events"))?;
    if !events.get(EVENT).is_some_and(serde_json::Value::is_object) {
        return Err(TokenError::ClaimType("events"));
    }
    // An ID token with an `events` claim must not pass for a logout token.
    if claims.get_own("nonce").is_some() {
        return Err(TokenError::ClaimType("nonce"));
    }
    let text = |name: &'static str| match claims.get_own(name) {
        None => Ok(None),
        Some(value) => match value.as_str().filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(text.to_owned())),
            None => Err(TokenError::ClaimType(name)),
        },
    };
    let (sub, sid) = (text("sub")?, text("sid")?);
    if sub.is_none() && sid.is_none() {
        return Err(TokenError::MissingClaim("sid"));
    }
    Ok(Logout {
        issuer: config.issuer.clone(),
        sub,
        sid,
        jti: text("jti")?.ok_or(TokenError::MissingClaim("jti"))?,
        issued_at: claims.time("iat")?.ok_or(TokenError::MissingClaim("iat"))?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::testing::*;
    use super::*;

    fn token(typ: &str, more: Value) -> String {
        let mut said = claims(json!({"sub": "alice", "sid": "s1", "jti": "j1", "events": {EVENT: {}}}));
        for (name, value) in more.as_object().unwrap() {
            match value {
                Value::Null => drop(said.as_object_mut().unwrap().remove(name)),
                value => said[name] = value.clone(),
            }
        }
        EC.sign(&json!({"alg": "ES256", "kid": "ec", "typ": typ}).to_string(), &said.to_string())
    }

    fn verify(token: &str) -> Result<Logout, TokenError> {
        VERIFIER.verify_logout(token, NOW)
    }

    #[test]
    fn a_logout_token_says_whose_session_is_over() {
        let found = verify(&token("logout+jwt", json!({}))).unwrap();
        assert_eq!((found.sub.as_deref(), found.sid.as_deref()), (Some("alice"), Some("s1")));
        assert_eq!((found.issuer.as_str(), found.jti.as_str(), found.issued_at), (ISSUER, "j1", NOW - 10));
        assert!(verify(&token("logout+jwt", json!({"sub": null}))).is_ok());
        assert!(verify(&token("logout+jwt", json!({"sid": null}))).is_ok());
    }

    #[test]
    fn whatever_else_an_issuer_signs_is_no_logout() {
        use TokenError as E;
        for (more, error) in [
            (json!({"events": null}), E::MissingClaim("events")),
            (json!({"events": {}}), E::ClaimType("events")),
            (json!({"events": {EVENT: true}}), E::ClaimType("events")),
            (json!({"events": [EVENT]}), E::ClaimType("events")),
            (json!({"nonce": "n"}), E::ClaimType("nonce")),
            (json!({"sub": null, "sid": null}), E::MissingClaim("sid")),
            (json!({"sid": 7}), E::ClaimType("sid")),
            (json!({"jti": null}), E::MissingClaim("jti")),
            (json!({"iat": null}), E::MissingClaim("iat")),
            (json!({"aud": "other"}), E::Audience),
            (json!({"exp": NOW - 60}), E::Expired),
            (json!({"exp": null}), E::MissingClaim("exp")),
        ] {
            assert_eq!(verify(&token("logout+jwt", more.clone())), Err(error), "{more}");
        }
        assert_eq!(verify(&token("JWT", json!({}))), Err(E::Type));
        assert_eq!(verify(&token("at+jwt", json!({}))), Err(E::Type));
        // And a logout token opens no door.
        assert_eq!(VERIFIER.verify(&token("logout+jwt", json!({})), NOW).unwrap_err(), E::Type);
        let untyped =
            EC.sign(r#"{"alg":"ES256","kid":"ec"}"#, &claims(json!({"events": {EVENT: {}}})).to_string());
        assert_eq!(VERIFIER.verify(&untyped, NOW).unwrap_err(), E::ClaimType("events"));
    }
}
