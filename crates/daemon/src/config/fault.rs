//! The error type of the decoder: a message in a user's words, and the path it is about.

use std::fmt;

use serde::de;

use super::keypath::KeyPath;

/// Why a value could not be decoded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum FaultKind {
    /// A required key is absent from the table.
    Missing(&'static str),
    /// A key that the table does not know, with those it does.
    Unknown(String, &'static [&'static str]),
    /// Anything else, in words.
    Message(String),
}

/// A [`FaultKind`] and where it was met, once known.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) path: Option<KeyPath>,
}

impl Fault {
    pub(super) fn message(message: impl Into<String>) -> Self {
        FaultKind::Message(message.into()).into()
    }

    pub(super) fn mismatch(expected: &str, found: &str) -> Self {
        Self::message(format!("expected {expected}, found {found}"))
    }

    /// Notes where the fault was met; the innermost place wins.
    pub(super) fn located(mut self, path: impl FnOnce() -> KeyPath) -> Self {
        if self.path.is_none() {
            self.path = Some(path());
        }
        self
    }
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, path: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            FaultKind::Missing(name) => write!(f, "required key `{name}` is missing"),
            FaultKind::Unknown(name, known) => f.write_str(&unknown_key(name, known)),
            FaultKind::Message(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::message(message.to_string())
    }

    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::mismatch(&expected.to_string(), describe(found))
    }

    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        match found {
            de::Unexpected::Signed(number) => Self::message(format!("expected {expected}, found {number}")),
            de::Unexpected::Unsigned(number) => Self::message(format!("expected {expected}, found {number}")),
            _ => Self::message(format!("expected {expected}")),
        }
    }

    fn invalid_length(length: usize, expected: &dyn de::Expected) -> Self {
        Self::message(format!("expected {expected}, found {length} items"))
    }

    fn unknown_variant(found: &str, known: &'static [&'static str]) -> Self {
        Self::message(format!("expected {}, found `{}`", choices(known), shorten(found)))
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        FaultKind::Unknown(field.to_owned(), known).into()
    }

    fn missing_field(field: &'static str) -> Self {
        FaultKind::Missing(field).into()
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::message(format!("key `{field}` is given twice, perhaps under two of its names"))
    }
}

/// The message for a key nobody asked for: the likely spelling, or else what there is.
pub(super) fn unknown_key(name: &str, known: &[&str]) -> String {
    let nearest = known.iter().map(|candidate| (distance(name, candidate), candidate)).min();
    match nearest {
        Some((steps, candidate)) if steps <= 2 && steps < name.len() => {
            format!("unknown key; did you mean `{candidate}`?")
        }
        Some(_) => format!("unknown key; expected {}", choices(known)),
        None => "unknown key".to_owned(),
    }
}

/// ``one of `a`, `b` `` for messages.
pub(super) fn choices(known: &[&str]) -> String {
    let quoted: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [] => "nothing".to_owned(),
        [only] => only.clone(),
        several => format!("one of {}", several.join(", ")),
    }
}

/// A type name in a user's words, never the value: it may be a secret that landed under the wrong key.
fn describe(found: de::Unexpected<'_>) -> &'static str {
    match found {
        de::Unexpected::Bool(_) => "a boolean",
        de::Unexpected::Unsigned(_) | de::Unexpected::Signed(_) => "an integer",
        de::Unexpected::Float(_) => "a float",
        de::Unexpected::Char(_) | de::Unexpected::Str(_) => "a string",
        de::Unexpected::Seq | de::Unexpected::Bytes(_) => "an array",
        de::Unexpected::Map => "a table",
        _ => "something else",
    }
}

/// Enough of a misspelt choice to recognise it.
fn shorten(text: &str) -> String {
    const SHOWN: usize = 24;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain(['…']).collect()
}

/// Edit distance (insert, remove, replace), for names of a few dozen bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(b.bytes()) {
            let above = *cell;
            *cell = (diagonal + usize::from(x != y)).min(above + 1).min(left + 1);
            (diagonal, left) = (above, *cell);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, steps) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("port", "prot", 2),
            ("level", "levels", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), steps, "{a} {b}");
        }
    }
}
