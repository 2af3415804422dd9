//! The file of opaque tokens: JSON, read whole, replaced whole.
//!
//! Several processes may change it (the command line, the admin API): each takes a lock on a file beside it, reads,
//! changes, writes a new file, syncs it and puts it in place.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::record::{RecordError, TokenRecord};

/// Largest file read, in bytes.
const MAX_FILE: u64 = 32 << 20;

/// The version of the file's format.
const VERSION: u32 = 1;

/// Why a file of tokens can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It holds something else.
    #[error("{path}: {problem}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A token in it, or for it, is wrong.
    #[error("{path}: token {id}: {source}", path = path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Which one.
        id: String,
        /// What is wrong.
        #[source]
        source: RecordError,
    },
    /// It was there, and is not any more.
    #[error("the file of opaque tokens is gone")]
    Gone,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    tokens: Vec<TokenRecord>,
}

/// Reads a file; `None` when there is none.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path) -> Result<Option<Vec<TokenRecord>>, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    let wrong = |problem: String| FileError::Content { path: path.to_owned(), problem };
    if bytes.len() as u64 > MAX_FILE {
        return Err(wrong(format!("is larger than {MAX_FILE} bytes")));
    }
    let content: Content = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if content.version != VERSION {
        return Err(wrong(format!("has version {}, expected {VERSION}", content.version)));
    }
    let mut known = HashSet::new();
    for record in &content.tokens {
        let id = || record.id.clone();
        record.check_form().map_err(|source| FileError::Record {
            path: path.to_owned(),
            id: id(),
            source,
        })?;
        if !known.insert(&record.id) {
            return Err(wrong(format!("holds the id {} twice", record.id)));
        }
    }
    Ok(Some(content.tokens))
}

/// Changes a file, which is made if need be; nobody sees half of a change, and no two changes are lost in each other.
///
/// # Errors
/// The file can't be read or written; it is as it was then.
pub fn edit<T>(path: &Path, change: impl FnOnce(&mut Vec<TokenRecord>) -> T) -> Result<T, FileError> {
    let failed = |source| FileError::Io { path: path.to_owned(), source };
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(beside(path, "lock"))
        .map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut tokens = read(path)?.unwrap_or_default();
    let outcome = change(&mut tokens);
    let text = serde_json::to_vec_pretty(&Content { version: VERSION, tokens });
    let text = text.map_err(|error| failed(error.into()))?;
    replace(path, &text).map_err(failed)?;
    Ok(outcome)
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path, "new");
    // The gateway may run as another user of the file's group; what is kept are hashes.
    let mode = fs::metadata(path).map_or(0o640, |found| found.permissions().mode() & 0o777);
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(&temporary)?;
    file.write_all(bytes)?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A file of the same name with something added.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(what);
    name.into()
}
