//! Tokens bound to a key or certificate (RFC 7800, RFC 8705): whoever merely holds such a token has nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::claims::Claims;

/// Why a bound token is of no use on this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindingError {
    /// The token names a certificate, and none was shown.
    #[error("the token is bound to a certificate, and the connection shows none")]
    NoCertificate,
    /// The token names another certificate than the one shown.
    #[error("the token is bound to another certificate")]
    OtherCertificate,
    /// `cnf` is malformed, or asks for a proof that is not understood here.
    #[error("the token's claim `cnf` asks for a proof that is not understood")]
    NotUnderstood,
}

/// Checks `cnf` against the connection's certificate, given as its SHA-256. A token without `cnf` is bound to nothing.
///
/// # Errors
/// The connection lacks the proof the token asks for. A proof that is not understood counts as lacking.
pub fn check_binding(claims: &Claims, certificate: Option<&[u8; 32]>) -> Result<(), BindingError> {
    let Some(confirmation) = claims.get_own("cnf") else { return Ok(()) };
    let members = confirmation.as_object().filter(|members| members.len() == 1);
    let named = members.and_then(|members| members.get("x5t#S256")).and_then(Value::as_str);
    let named = named.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).filter(|hash| hash.len() == 32);
    let named = named.ok_or(BindingError::NotUnderstood)?;
    let shown = certificate.ok_or(BindingError::NoCertificate)?;
    if bool::from(named.as_slice().ct_eq(shown)) { Ok(()) } else { Err(BindingError::OtherCertificate) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::BindingError as E;
    use super::*;

    fn check(cnf: Value, certificate: Option<&[u8; 32]>) -> Result<(), E> {
        let Value::Object(map) = json!({"sub": "alice", "cnf": cnf}) else { unreachable!("made above") };
        check_binding(&Claims::from_map(map), certificate)
    }

    #[test]
    fn only_the_named_certificate_will_do() {
        let (ours, theirs) = ([7; 32], [8; 32]);
        let named = URL_SAFE_NO_PAD.encode(ours);
        assert_eq!(check(json!({"x5t#S256": named}), Some(&ours)), Ok(()));
        assert_eq!(check(json!({"x5t#S256": named}), Some(&theirs)), Err(E::OtherCertificate));
        assert_eq!(check(json!({"x5t#S256": named}), None), Err(E::NoCertificate));
    }

    #[test]
    fn what_is_not_understood_is_not_skipped() {
        let ours = [7; 32];
        let named = URL_SAFE_NO_PAD.encode(ours);
        for cnf in [
            json!({}),
            json!(null),
            json!("x5t#S256"),
            json!({"jkt": named}),
            json!({"x5t#S256": named, "jkt": named}),
            json!({"x5t#S256": 7}),
            json!({"x5t#S256": ""}),
            json!({"x5t#S256": format!("{named}=")}),
            json!({"x5t#S256": URL_SAFE_NO_PAD.encode([7; 31])}),
        ] {
            assert_eq!(check(cnf.clone(), Some(&ours)), Err(E::NotUnderstood), "{cnf}");
        }
    }

    #[test]
    fn other_tokens_are_bound_to_nothing() {
        assert_eq!(check_binding(&Claims::from_map(serde_json::Map::new()), None), Ok(()));
    }
}
