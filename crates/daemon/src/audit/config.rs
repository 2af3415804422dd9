//! `[audit]`: where the audit log is written, and what happens when it can't be.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::{Period, Size};

/// What to do with an event that can't be written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnFull {
    /// Logins and renewals are refused until events can be written again.
    Refuse,
    /// Logins go on; what was not written is counted, and the count is written as soon as that is possible.
    #[default]
    Count,
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// The file; none: no audit log.
    pub file: Option<PathBuf>,
    /// What happens when the disk can't keep up, or is full.
    pub on_full: OnFull,
    /// Size above which a file is put aside and a new one begun.
    pub max_file: Size,
    /// Files put aside that are kept; older ones are deleted. 0 keeps all.
    pub keep: usize,
    /// Events waiting to be written at most.
    pub queue: usize,
    /// Refusals written one by one per second; further ones are counted by reason. 0 writes all.
    pub denials_per_second: u32,
    /// Where the number and hash of the last line are kept; beside the file when absent.
    pub head_file: Option<PathBuf>,
    /// How often the head is told to the ordinary log, so that it is known elsewhere too. 0 never.
    pub announce_head: Period,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            file: None,
            on_full: OnFull::default(),
            max_file: Size::mib(64),
            keep: 0,
            queue: 8_192,
            denials_per_second: 50,
            head_file: None,
            announce_head: Period::secs(300),
        }
    }
}

impl AuditConfig {
    /// Its paths, to be made relative to the configuration's folder.
    pub fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.file, &mut self.head_file].into_iter().flatten()
    }

    pub(super) fn head_path(&self, file: &Path) -> PathBuf {
        self.head_file.clone().unwrap_or_else(|| head_beside(file))
    }
}

/// Where the head of the log `file` is kept unless configured.
#[must_use]
pub fn head_beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".head");
    name.into()
}
