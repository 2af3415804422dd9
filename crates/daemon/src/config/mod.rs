//! Configuration files: TOML with overrides from the environment, in which every error names its line.
//!
//! Unknown keys are errors whether or not a type says `deny_unknown_fields`; only what a type takes by
//! `#[serde(flatten)]` can't be checked, so configuration types don't use it. All errors of a file are told at once:
//! every unknown key, every wrong value, and of each table the first required key that is missing. Checks across
//! keys belong in the function given to [`load_checked`], which reports them with the line of the key they are about.

mod decode;
mod env;
mod error;
mod fault;
mod keypath;
#[cfg(test)]
mod tests;
mod tree;
pub mod values;

use std::io::Read;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::tree::Node;

pub use self::env::{ENV_PREFIX, environment};
pub use self::error::{ConfigError, ConfigErrors, Place};
pub use self::keypath::{KeyPath, Segment};
pub use self::values::{Listen, Period, Size};

/// Largest file read, in bytes; a configuration of thousands of roles stays far below.
pub const MAX_FILE_BYTES: u64 = 8 << 20;

/// Reads and decodes the file at `path`, with `env` (see [`environment`]) on top.
///
/// # Errors
/// Everything found wrong, one line each; a file that can't be read or is no TOML gives one.
pub fn load<T: DeserializeOwned>(
    path: &Path,
    env: impl Iterator<Item = (String, String)>,
) -> Result<T, ConfigErrors> {
    Document::read(path, env)?.decode()
}

/// As [`load`], then has `check` look at what types can't say.
///
/// # Errors
/// As [`load`]; or what `check` reported.
pub fn load_checked<T: DeserializeOwned>(
    path: &Path,
    env: impl Iterator<Item = (String, String)>,
    check: impl FnOnce(&T, &mut Problems<'_>),
) -> Result<T, ConfigErrors> {
    Document::read(path, env)?.decode_checked(check)
}

/// The canonical text of a configuration: what a file would say to get exactly this.
///
/// # Errors
/// When the value has no TOML form, such as a list of mixed absent and present values.
pub fn render<T: Serialize>(config: &T) -> Result<String, toml::ser::Error> {
    toml::to_string_pretty(config)
}

/// A configuration file as read, with its overrides: remembers where each key stands.
#[derive(Debug)]
pub struct Document {
    name: String,
    root: Node,
}

impl Document {
    /// Reads the file at `path` and applies the overrides in `env`.
    ///
    /// # Errors
    /// When the file can't be read, is larger than [`MAX_FILE_BYTES`], is no TOML, or an override does not fit.
    pub fn read(path: &Path, env: impl Iterator<Item = (String, String)>) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        let text = read_bounded(path).map_err(|message| ConfigError::file(name.clone(), message))?;
        Self::parse(name, &text, env)
    }

    /// As [`Document::read`], of text that is at hand; `name` stands for the file in errors.
    ///
    /// # Errors
    /// When the text is no TOML or an override does not fit.
    pub fn parse(
        name: impl Into<String>,
        text: &str,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        let name = name.into();
        let mut root = tree::parse(text).map_err(|fault| ConfigError {
            file: name.clone(),
            place: fault.place,
            key: KeyPath::root(),
            message: fault.message,
        })?;
        match ConfigErrors::from_list(env::apply(&mut root, &name, env)) {
            Some(errors) => Err(errors),
            None => Ok(Self { name, root }),
        }
    }

    /// Decodes the whole document.
    ///
    /// # Errors
    /// Everything found wrong, in the order of the file.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, ConfigErrors> {
        decode::decode(&self.root, &self.name).map_err(|errors| {
            ConfigErrors::from_list(errors).unwrap_or_else(|| {
                ConfigError::file(self.name.clone(), "the configuration could not be decoded").into()
            })
        })
    }

    /// As [`Document::decode`], then has `check` look at what types can't say.
    ///
    /// # Errors
    /// As [`Document::decode`]; or what `check` reported.
    pub fn decode_checked<T: DeserializeOwned>(
        &self,
        check: impl FnOnce(&T, &mut Problems<'_>),
    ) -> Result<T, ConfigErrors> {
        let config = self.decode()?;
        let mut problems = Problems { document: self, errors: Vec::new() };
        check(&config, &mut problems);
        match ConfigErrors::from_list(problems.errors) {
            Some(errors) => Err(errors),
            None => Ok(config),
        }
    }

    /// An error about `key`, with the place where it is written (or, if it is not, its nearest parent's).
    pub fn error_at(&self, key: impl Into<KeyPath>, message: impl Into<String>) -> ConfigError {
        decode::error_at(&self.root, &self.name, key.into(), message.into())
    }

    /// True when the file or an override gives `key` a value.
    pub fn has(&self, key: impl Into<KeyPath>) -> bool {
        self.root.find(&key.into()).is_some()
    }

    /// The name of the file, as errors give it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Collects what is wrong with a configuration that types could not see.
#[derive(Debug)]
pub struct Problems<'a> {
    document: &'a Document,
    errors: Vec<ConfigError>,
}

impl Problems<'_> {
    /// Reports that the value of `key` is wrong; `message` says what was expected, and holds no secret.
    pub fn at(&mut self, key: impl Into<KeyPath>, message: impl Into<String>) {
        self.errors.push(self.document.error_at(key, message));
    }

    /// The document being checked.
    #[must_use]
    pub fn document(&self) -> &Document {
        self.document
    }
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let cannot_read = |error: std::io::Error| format!("cannot read: {error}");
    let file = std::fs::File::open(path).map_err(cannot_read)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(format!("larger than {MAX_FILE_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8 text".to_owned())
}
