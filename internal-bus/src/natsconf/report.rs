//! Where something stands in a configuration, and what is wrong or notable there.

use std::fmt;
use std::sync::Arc;

/// A place in a configuration file. Lines and columns count from 1, columns in characters (a tab is one).
///
/// Line 0 means "the file as a whole": it could not be read, or the value came from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The path as it was given, or as it resulted from an `include`; `$NAME` for an environment variable.
    pub file: Arc<str>,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: u32,
}

impl Position {
    /// The file as a whole.
    pub(crate) fn whole(file: &Arc<str>) -> Self {
        Self { file: Arc::clone(file), line: 0, column: 0 }
    }
}

impl Default for Position {
    fn default() -> Self {
        Self { file: Arc::from(""), line: 0, column: 0 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return f.write_str(&self.file);
        }
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// Why a configuration was refused: printed as `file:line:column: what`.
///
/// The text never repeats a value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {what}")]
pub struct ConfError {
    /// Where.
    pub at: Position,
    /// What is wrong, and what was expected.
    pub what: String,
}

/// Something the operator should read although the configuration was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where.
    pub at: Position,
    /// Why it is said.
    pub kind: NoticeKind,
    /// What to know.
    pub what: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

/// What sort of notice it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// Would have been an error; skipped because unsupported settings were to be ignored.
    Unsupported,
    /// Understood, but it changes nothing here.
    NoEffect,
    /// Accepted, but probably not what was meant.
    Advice,
}
