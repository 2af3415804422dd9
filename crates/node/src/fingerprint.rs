//! Whether a file is the one seen before.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Changes with every way of replacing or editing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(Option<(u64, u64, i64, i64)>);

impl Fingerprint {
    /// Looks at the file at `path`; a file that is not there has a fingerprint, too. Reads no content.
    #[must_use]
    pub fn of(path: Option<&Path>) -> Self {
        let metadata = path.and_then(|path| fs::metadata(path).ok());
        Self(metadata.map(|file| (file.ino(), file.len(), file.mtime(), file.mtime_nsec())))
    }
}
