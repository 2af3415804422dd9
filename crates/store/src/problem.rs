//! What was found wrong with what is stored.

use std::fmt;
use std::path::PathBuf;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing; nothing that was committed is lost.
    Notice,
    /// Committed messages are lost or can't be served.
    Damage,
}

/// Something wrong with what is stored. Nothing of it is ever deleted: damaged bytes are kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The stream, if it belongs to one.
    pub stream: Option<String>,
    /// The file or directory.
    pub path: PathBuf,
    /// From where on in the file, in bytes.
    pub offset: Option<u64>,
    /// Sequences that may be lost, as far as that can be told: first and last.
    pub sequences: Option<(u64, u64)>,
    /// What is wrong, and what was done, in words.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(stream) = &self.stream {
            write!(f, "stream `{stream}`: ")?;
        }
        write!(f, "{}", self.path.display())?;
        if let Some(offset) = self.offset {
            write!(f, ", offset {offset}")?;
        }
        write!(f, ": {}", self.what)?;
        if let Some((first, last)) = self.sequences {
            write!(f, " (sequences {first} to {last})")?;
        }
        Ok(())
    }
}

/// The list of problems of a store.
#[derive(Debug, Default)]
pub(crate) struct Problems(parking_lot::Mutex<Vec<Problem>>);

/// Problems kept at most; what else is wrong will be found by a check.
const MOST: usize = 10_000;

impl Problems {
    /// Notes a problem, once.
    pub(crate) fn add(&self, problem: Problem) {
        let mut list = self.0.lock();
        if list.len() < MOST && !list.contains(&problem) {
            list.push(problem);
        }
    }

    pub(crate) fn list(&self) -> Vec<Problem> {
        self.0.lock().clone()
    }

    /// Forgets what was wrong with a stream that is no more.
    pub(crate) fn forget(&self, stream: &str) {
        self.0.lock().retain(|problem| problem.stream.as_deref() != Some(stream));
    }
}
