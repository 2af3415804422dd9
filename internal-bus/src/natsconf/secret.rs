//! Text that must not show up in logs.

use std::fmt;

/// A password, token or key. Its `Debug` says nothing about it, and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the comparison or key derivation it is meant for.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is a bcrypt hash of the secret (`$2a$…`, `$2b$…`, `$2y$…`) and not the secret itself.
    /// Then it must be compared with bcrypt, which this module does not do.
    pub fn is_bcrypt_hash(&self) -> bool {
        super::scalar::is_bcrypt_hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}
