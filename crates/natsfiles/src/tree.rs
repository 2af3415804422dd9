//! Where streams lie in the directory of a server.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Error;

/// One account's streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// The directories of its streams, by name.
    pub streams: Vec<PathBuf>,
}

/// What is in a directory, by name. `None`: there is no such directory.
pub(crate) fn entries(dir: &Path) -> Result<Option<Vec<PathBuf>>, Error> {
    let fault = |error| Error::Io { file: dir.to_path_buf(), error };
    let listed = match fs::read_dir(dir) {
        Ok(listed) => listed,
        Err(error)
            if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(fault(error)),
    };
    let paths: Result<Vec<PathBuf>, _> = listed.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(fault)?;
    paths.sort();
    Ok(Some(paths))
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The streams of an account's directory. `None`: it is not one.
fn account(dir: &Path) -> Result<Option<Account>, Error> {
    let Some(streams) = entries(&dir.join("streams"))? else { return Ok(None) };
    // What begins with a dot was being deleted when the server ended.
    let streams = streams.into_iter().filter(|path| path.is_dir() && !name(path).starts_with('.')).collect();
    Ok(Some(Account { name: name(dir), streams }))
}

/// The accounts under `dir`: what a server was given as its `store_dir`, the `jetstream` directory in it, or one
/// account's directory.
///
/// # Errors
/// There are none, or the directory can't be read.
pub fn find(dir: &Path) -> Result<Vec<Account>, Error> {
    if let Some(account) = account(dir)? {
        return Ok(vec![account]);
    }
    let inner = dir.join("jetstream");
    let base = if inner.is_dir() { &inner } else { dir };
    let mut accounts = Vec::new();
    for path in entries(base)?.unwrap_or_default() {
        accounts.extend(account(&path)?.filter(|account| !account.streams.is_empty()));
    }
    if accounts.is_empty() { Err(Error::Nothing(dir.to_path_buf())) } else { Ok(accounts) }
}
