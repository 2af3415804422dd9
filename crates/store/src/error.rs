//! What can go wrong.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a message was not appended. Nothing of it was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// `max_messages` is reached and new ones are to be refused.
    #[error("maximum messages exceeded")]
    MaxMessages,
    /// `max_bytes` is reached and new ones are to be refused, or the message alone is larger.
    #[error("maximum bytes exceeded")]
    MaxBytes,
    /// `max_per_subject` is reached and new ones are to be refused.
    #[error("maximum messages per subject exceeded")]
    MaxPerSubject,
    /// Subject, headers or payload are longer than a record can be.
    #[error("the message is too large to be stored")]
    TooLarge,
    /// A given sequence is not above the last one.
    #[error("sequence {given} is not above the last sequence {last}")]
    Sequence {
        /// What was asked for.
        given: u64,
        /// The stream's last sequence.
        last: u64,
    },
    /// More is waiting for the disk than may be held in memory; try again after the next commit.
    #[error("the disk does not keep up: {pending} bytes wait to be written")]
    Busy {
        /// Bytes that wait.
        pending: usize,
    },
    /// The stream takes no writes.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Why a stream takes no writes at the moment.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Stopped {
    /// The disk is full. The stream goes on by itself when there is room.
    #[error("stream `{stream}` takes no writes, the disk is full: {file}")]
    DiskFull {
        /// The stream.
        stream: String,
        /// What was to be written.
        file: PathBuf,
    },
    /// Writing failed. The stream goes on by itself when writing succeeds.
    #[error("stream `{stream}` takes no writes, {file}: {error}")]
    Io {
        /// The stream.
        stream: String,
        /// What was to be written.
        file: PathBuf,
        /// The operating system's reason.
        error: Arc<io::Error>,
    },
    /// The stream was removed or its store closed.
    #[error("stream `{stream}` is closed")]
    Closed {
        /// The stream.
        stream: String,
    },
}

/// Why something stored could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The operating system could not read it.
    #[error("{file}: {error}")]
    Io {
        /// Where it stands.
        file: PathBuf,
        /// The operating system's reason.
        error: Arc<io::Error>,
    },
    /// It was read and is not what was written. Listed in [`Store::problems`](crate::Store::problems).
    #[error("message {seq} is damaged ({file}, offset {offset})")]
    Damaged {
        /// The message.
        seq: u64,
        /// Where it stands.
        file: PathBuf,
        /// From where on, in bytes.
        offset: u64,
    },
}

/// Why a store or a stream could not be opened, created, changed or removed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the directory.
    #[error("{dir} is in use by process {}", .pid.map_or_else(|| "unknown".to_owned(), |pid| pid.to_string()))]
    Locked {
        /// The directory.
        dir: PathBuf,
        /// Who has it, if it could be read.
        pid: Option<u32>,
    },
    /// There is a stream of this name.
    #[error("stream `{0}` exists")]
    Exists(String),
    /// There is no stream of this name.
    #[error("there is no stream `{0}`")]
    Unknown(String),
    /// The store has no directory, so it can hold no stream on disk.
    #[error("a store without a directory holds streams in memory only")]
    NoDirectory,
    /// The operating system refused.
    #[error("{path}: {error}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// The operating system's reason.
        error: io::Error,
    },
    /// Written by a later version.
    #[error("{path} has format version {found}; this program reads up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u16,
        /// The latest known here.
        known: u16,
    },
    /// Not what was written.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Encrypted with a key that was not given.
    #[error("{path} is encrypted with a key that was not given")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The store or the stream is closed.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}
