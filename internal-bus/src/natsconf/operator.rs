//! Decentralised authentication: the operators trusted, and the accounts they have signed.

use super::reader::Reader;
use super::units::{NkeyKind, is_public_nkey};
use super::value::{Entry, Kind, Value};

/// Whose accounts and users are let in. JWTs are kept as written: checking them is done elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatorMode {
    /// Operator JWTs, or names of files that hold one.
    pub operators: Vec<String>,
    /// Operators trusted by nothing but their public keys.
    pub trusted_keys: Vec<String>,
    /// Account JWTs by the accounts' public keys.
    pub preload: Vec<(String, String)>,
}

/// `operator`: a JWT, a file with one, or a list of either.
pub(super) fn operators(reader: &mut Reader, mode: &mut OperatorMode, value: &Value) {
    if matches!(value.kind, Kind::List(_)) {
        mode.operators.extend(reader.plain_texts(value).unwrap_or_default());
    } else {
        mode.operators.extend(reader.text(value));
    }
}

/// `trusted_keys`: the public key of an operator, or a list of them.
pub(super) fn trusted_keys(reader: &mut Reader, mode: &mut OperatorMode, value: &Value) {
    let given = if matches!(value.kind, Kind::List(_)) {
        reader.plain_texts(value).unwrap_or_default()
    } else {
        reader.text(value).into_iter().collect()
    };
    if !given.iter().all(|key| is_public_nkey(key, NkeyKind::Operator)) {
        reader.error(
            &value.at,
            "expected public operator nkeys: `O` and 55 more characters, with a valid checksum",
        );
    }
    mode.trusted_keys.extend(given);
}

/// `resolver`: accounts come from this configuration, not from a server or a folder.
pub(super) fn resolver(reader: &mut Reader, entry: &Entry) {
    let memory = matches!(&entry.value.kind, Kind::Text(text) if text.eq_ignore_ascii_case("memory") || text.eq_ignore_ascii_case("mem"));
    if !memory {
        reader.not_done(&entry.at, "a `resolver` other than MEMORY is not supported".to_owned());
    }
}

/// `resolver_preload`: account JWTs by public key.
pub(super) fn preload(reader: &mut Reader, mode: &mut OperatorMode, value: &Value) {
    let Some(map) = reader.map(value) else { return };
    for entry in map.entries() {
        if let Some(jwt) = reader.text(&entry.value) {
            mode.preload.push((entry.key.clone(), jwt));
        }
    }
}
