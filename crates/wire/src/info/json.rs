//! Reading and writing one JSON body, and the defaults JSON from other languages needs.

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{ParseError, Verb};

/// Reads the argument of `verb`. The error says where, not what: the text may hold credentials.
pub(super) fn read<T: DeserializeOwned>(verb: Verb, json: &[u8]) -> Result<T, ParseError> {
    // A struct would also be read from a list of its values, in an order nobody promised.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(ParseError::InvalidJson { verb, column: 0 });
    }
    serde_json::from_slice(json).map_err(|error| ParseError::InvalidJson { verb, column: error.column() })
}

/// `verb {json} CR LF`.
#[expect(clippy::expect_used, reason = "structs of strings, numbers and lists always serialize into memory")]
pub(super) fn line<T: Serialize>(verb: Verb, value: &T) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(verb.as_str().as_bytes());
    out.push(b' ');
    serde_json::to_writer(&mut out, value).expect("plain data serializes");
    out.extend_from_slice(b"\r\n");
    out
}

/// `null` as the type's default.
pub(super) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// `null` as true: the options that are on unless switched off.
pub(super) fn null_true<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(true))
}

/// `null` and the empty string as `None`: Go programs send "" for what is unset.
pub(super) fn non_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// For `skip_serializing_if`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_false(value: &bool) -> bool {
    !*value
}

/// Shows in `Debug` output whether a secret is present, and nothing of it.
pub(super) struct Redacted<'a>(pub(super) &'a Option<String>);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(<redacted>)" } else { "None" })
    }
}
