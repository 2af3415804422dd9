//! The audit log of a process under test, as an auditor reads it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;

use crate::wait::eventually;

/// An audit log.
#[derive(Debug, Clone)]
pub struct AuditLog(PathBuf);

impl AuditLog {
    /// The log at `path`.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// All whole lines so far.
    pub fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// How many lines there are of an event.
    pub fn count(&self, event: &str) -> usize {
        self.lines().iter().filter(|line| line["event"] == event).count()
    }

    /// Waits until there are more than `before` lines of an event, and gives the last one.
    ///
    /// # Errors
    /// When none comes.
    pub async fn next(&self, event: &str, before: usize) -> Result<Value> {
        eventually(&format!("`{event}` in the audit log"), || async {
            let lines = self.lines();
            let mut of_event = lines.into_iter().filter(|line| line["event"] == event);
            of_event.by_ref().nth(before)
        })
        .await
    }
}
