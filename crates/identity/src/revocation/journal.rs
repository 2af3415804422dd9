//! Revocations on disk: appended to and synced before anybody is told, read back at the next start.
//!
//! One line per entry: sixteen hex digits (the beginning of a SHA-256), a space, the entry as JSON. Reading merges the
//! lines in their order, so a later line about the same entry (its lifting) counts. A last line that is not complete
//! is what a crash leaves: it was never answered for. Any other damage stops the start, since it may hide a revocation.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

use super::entry::{Entry, EntryError};
use super::store::{RevocationError, Revocations};

/// Lines that speak about nothing any more are tolerated up to this number before the file is written anew.
const SLACK: usize = 1_000;

/// Largest file read, in bytes.
const MAX_FILE: u64 = 1 << 30;

/// Why revocations can't be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file can't be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line in the middle is damaged.
    #[error("{path}, line {line}: damaged; take the file from a backup, or remove the line knowing what it revoked", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// A line does not go with the others, or is one too many.
    #[error("{path}, line {line}: {source}", path = path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        source: RevocationError,
    },
}

/// The file revocations are kept in.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of whole lines.
    length: u64,
    lines: usize,
}

impl Journal {
    /// Opens the file at `path`, or begins it, and merges what it holds into `into`. Reads files.
    ///
    /// # Errors
    /// [`JournalError`]: nothing is to be served without knowing what has been revoked.
    pub fn open(path: &Path, into: &mut Revocations, now: u64) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let file = append_to(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.len() > MAX_FILE {
            return Err(failed(io::Error::other("is larger than 1 GiB")));
        }
        let text = fs::read(path).map_err(failed)?;
        let (whole, lines) = read(path, &text, into, now)?;
        if whole < text.len() {
            tracing::warn!(file = %path.display(), "the last revocation was not written to its end, it is left out");
            file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        let mut journal = Self { path: path.to_owned(), file, length: whole as u64, lines };
        journal.tidy(into)?;
        Ok(journal)
    }

    /// Writes entries and waits until they are on the disk. Writes files.
    ///
    /// # Errors
    /// [`JournalError::Io`]; nothing of them is left in the file then.
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        let text: String = entries.iter().map(line).collect();
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|source| {
            // What was written in part would be taken for damage. If this fails as well, the next start cuts it off:
            // it is the end of the file.
            let _also_failed = self.file.set_len(self.length);
            JournalError::Io { path: self.path.clone(), source }
        })?;
        self.length += text.len() as u64;
        self.lines += entries.len();
        Ok(())
    }

    /// Writes the file anew, without what is no longer remembered, if that is worth it. Writes files.
    ///
    /// # Errors
    /// [`JournalError::Io`]; the old file goes on then.
    pub fn tidy(&mut self, entries: &Revocations) -> Result<(), JournalError> {
        let kept = || entries.iter().filter(|entry| !entry.id.starts_with(super::FILE_PREFIX));
        let count = kept().count();
        if self.lines <= 2 * count + SLACK {
            return Ok(());
        }
        let text: String = kept().map(|entry| line(entry)).collect();
        let mut draft = self.path.as_os_str().to_owned();
        draft.push(".new");
        let draft = PathBuf::from(draft);
        let path = self.path.clone();
        let failed = |source| JournalError::Io { path: path.clone(), source };
        let _from_an_earlier_attempt = fs::remove_file(&draft);
        let mut file = append_to(&draft).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&draft, &self.path).map_err(failed)?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(failed)?;
        (self.file, self.length, self.lines) = (file, text.len() as u64, count);
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

fn line(entry: &Entry) -> String {
    // Texts and numbers only: this can't fail.
    let json = serde_json::to_string(entry).unwrap_or_default();
    format!("{} {json}\n", check(&json))
}

fn check(json: &str) -> String {
    crate::peer::hex(&digest(&SHA256, json.as_bytes()).as_ref()[..8])
}

/// Merges the lines of `text`. Returns how many bytes are whole lines, and how many those are.
fn read(path: &Path, text: &[u8], into: &mut Revocations, now: u64) -> Result<(usize, usize), JournalError> {
    let (mut at, mut lines) = (0, 0);
    while let Some(length) = text[at..].iter().position(|byte| *byte == b'\n') {
        let line = lines + 1;
        let entry = std::str::from_utf8(&text[at..at + length]).ok().and_then(parse);
        let entry = entry.ok_or_else(|| JournalError::Damaged { path: path.to_owned(), line })?;
        match into.merge(entry, now) {
            // What has ended meanwhile is no longer of interest.
            Ok(_) | Err(RevocationError::Entry(EntryError::Expired)) => {}
            Err(source) => return Err(JournalError::Entry { path: path.to_owned(), line, source }),
        }
        at += length + 1;
        lines = line;
    }
    Ok((at, lines))
}

fn parse(line: &str) -> Option<Entry> {
    let (sum, json) = line.split_once(' ')?;
    let entry = (check(json) == sum).then(|| serde_json::from_str(json));
    entry?.ok()
}
