//! The files behind a configuration: reading them within bounds, and never in a circle.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::cursor::Cursor;
use super::limits;
use super::report::{ConfError, Position};
use super::value::Weight;

/// Where variables that no key defines are looked up.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// What all files of one configuration share: the bounds, and the way to the environment.
pub(super) struct Shared<'e> {
    pub(super) environment: Environment<'e>,
    spent: Weight,
    /// The files being read, outermost first.
    pub(super) open_files: Vec<PathBuf>,
    /// The environment variables being read, outermost first.
    pub(super) open_variables: Vec<String>,
}

impl<'e> Shared<'e> {
    pub(super) fn new(environment: Environment<'e>) -> Self {
        Self { environment, spent: Weight::default(), open_files: Vec::new(), open_variables: Vec::new() }
    }

    /// Reads a file and notes it as open; `Err` says why not.
    pub(super) fn open(&mut self, path: &Path) -> Result<Bytes, String> {
        let unreadable = |error: std::io::Error| format!("can't read {}: {error}", path.display());
        if self.open_files.len() >= limits::INCLUDE_DEPTH {
            return Err(format!("includes are nested more than {} deep", limits::INCLUDE_DEPTH));
        }
        let real = path.canonicalize().map_err(unreadable)?;
        if self.open_files.contains(&real) {
            return Err(format!("{} includes itself", path.display()));
        }
        let mut bytes = Vec::new();
        let bound = u64::try_from(limits::FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
        File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes)).map_err(unreadable)?;
        if bytes.len() > limits::FILE_BYTES {
            return Err(format!("{} is longer than {} bytes", path.display(), limits::FILE_BYTES));
        }
        self.spend(Weight { values: 0, bytes: bytes.len() })?;
        self.open_files.push(real);
        Ok(Bytes(bytes))
    }

    pub(super) fn spend(&mut self, weight: Weight) -> Result<(), String> {
        self.spent.values = self.spent.values.saturating_add(weight.values);
        self.spent.bytes = self.spent.bytes.saturating_add(weight.bytes);
        if self.spent.values > limits::VALUES {
            return Err(format!("the configuration has more than {} values", limits::VALUES));
        }
        if self.spent.bytes > limits::TOTAL_BYTES {
            return Err(format!("the configuration holds more than {} bytes of text", limits::TOTAL_BYTES));
        }
        Ok(())
    }
}

/// A file as it was read.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Bytes {
    /// The text, without a byte order mark; it must be UTF-8 and hold no NUL.
    pub(super) fn decode(&self, file: &Arc<str>) -> Result<String, ConfError> {
        let (valid, complaint) = match std::str::from_utf8(&self.0) {
            Ok(text) if !text.contains('\0') => {
                return Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned());
            }
            Ok(text) => (text.find('\0').unwrap_or_default(), "a NUL character; is this a text file?"),
            Err(error) => (error.valid_up_to(), "this is not UTF-8 text"),
        };
        let before = String::from_utf8_lossy(self.0.get(..valid).unwrap_or_default());
        let mut cursor = Cursor::new(&before);
        cursor.take_bytes(before.len());
        let (line, column) = cursor.place();
        Err(ConfError { at: Position { file: Arc::clone(file), line, column }, what: complaint.to_owned() })
    }
}
