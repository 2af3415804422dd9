//! What can be wrong with a configuration, and how it is told: one line per error, each with its place.

use std::fmt;

use super::keypath::KeyPath;

/// Where the text of a value stands.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// In the file; both count from 1, `column` in characters.
    Line {
        /// Line in the file.
        line: usize,
        /// Column in the line, in characters.
        column: usize,
    },
    /// In an environment variable of this name.
    Variable(String),
    /// Nowhere in particular: the file as a whole.
    File,
}

/// One thing wrong with a configuration.
///
/// Its `Display` is one line, `file:line:column: key: what was expected`; values of the configuration never
/// appear in it, except names of choices and numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    pub(super) file: String,
    pub(super) place: Place,
    pub(super) key: KeyPath,
    pub(super) message: String,
}

impl ConfigError {
    /// An error about the whole of `file`.
    pub fn file(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), place: Place::File, key: KeyPath::root(), message: message.into() }
    }

    /// Where the offending text stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The key the error is about; the root when it is about the file.
    #[must_use]
    pub fn key(&self) -> &KeyPath {
        &self.key
    }

    /// What was expected, without place and key.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Line { line, column } => write!(f, "{}:{line}:{column}: ", self.file)?,
            Place::Variable(name) => write!(f, "{name}: ")?,
            Place::File => write!(f, "{}: ", self.file)?,
        }
        if !self.key.is_root() {
            write!(f, "{}: ", self.key)?;
        }
        // A message of another library may span lines; the promise here is one line per error.
        for (position, line) in
            self.message.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate()
        {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(line)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Everything found wrong with a configuration, in the order of the file; never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// `None` when `errors` is empty. Sorted by place, exact repeats dropped.
    pub(super) fn from_list(mut errors: Vec<ConfigError>) -> Option<Self> {
        errors.sort_by(|a, b| a.place.cmp(&b.place));
        errors.dedup();
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// The errors, in the order of the file; those of environment variables come last.
    #[must_use]
    pub fn errors(&self) -> &[ConfigError] {
        &self.0
    }
}

impl From<ConfigError> for ConfigErrors {
    fn from(error: ConfigError) -> Self {
        Self(vec![error])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(error, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
