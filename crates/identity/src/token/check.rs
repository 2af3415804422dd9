//! The checks on claims once the signature is known to be good. `now` is an argument.

use serde_json::Value;

use super::claims::Claims;
use super::config::IssuerConfig;
use super::error::TokenError;

/// Audience, times, and the types of registered claims.
pub(super) fn check(claims: &Claims, issuer: &IssuerConfig, now: u64) -> Result<(), TokenError> {
    check_for(claims, &issuer.audience, issuer.leeway, now)?;
    // Security event tokens (RFC 8417), logout tokens among them, are no access tokens, whatever their `typ` says.
    if claims.get_own("events").is_some() { Err(TokenError::ClaimType("events")) } else { Ok(()) }
}

/// The same for another audience, and for tokens that report events.
pub(super) fn check_for(claims: &Claims, ours: &[String], leeway: u64, now: u64) -> Result<(), TokenError> {
    audience(claims, ours)?;
    let exp = claims.time("exp")?.ok_or(TokenError::MissingClaim("exp"))?;
    if now >= exp.saturating_add(leeway) {
        return Err(TokenError::Expired);
    }
    let latest = now.saturating_add(leeway);
    if claims.time("nbf")?.is_some_and(|nbf| nbf > latest) {
        return Err(TokenError::NotYetValid);
    }
    if claims.time("iat")?.is_some_and(|iat| iat > latest) {
        return Err(TokenError::IssuedInFuture);
    }
    for name in ["sub", "jti"] {
        if claims.get(name).is_some_and(|value| value.as_str().is_none_or(str::is_empty)) {
            return Err(TokenError::ClaimType(name));
        }
    }
    Ok(())
}

/// `aud` is one text or a list of texts, and names one of ours.
pub(super) fn audience(claims: &Claims, ours: &[String]) -> Result<(), TokenError> {
    let is_ours = |text: &str| ours.iter().any(|our| our == text);
    let found = match claims.get("aud") {
        None => return Err(TokenError::MissingClaim("aud")),
        Some(Value::String(text)) => is_ours(text),
        Some(Value::Array(list)) => {
            let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            let texts = texts.ok_or(TokenError::ClaimType("aud"))?;
            texts.into_iter().any(is_ours)
        }
        Some(_) => return Err(TokenError::ClaimType("aud")),
    };
    if found { Ok(()) } else { Err(TokenError::Audience) }
}
