//! What the API tells of a stream.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use store::{Filter, State};

use super::Stream;
use crate::config::{External, StreamConfig, Transform};
use crate::errors::ApiError;
use crate::stamp::Stamp;

/// Sequences of deleted messages listed at most.
const MAX_DELETED: usize = 1_000_000;

/// A stream in numbers.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // The names are the API's.
pub struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    pub first_seq: u64,
    pub first_ts: Stamp,
    pub last_seq: u64,
    pub last_ts: Stamp,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_subjects: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub num_deleted: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<u64>,
    pub consumer_count: usize,
}

/// A stream as `STREAM.INFO` shows it.
#[derive(Debug, Clone, Serialize)]
#[allow(missing_docs)] // The names are the API's.
pub struct StreamInfo {
    pub config: StreamConfig,
    pub created: Stamp,
    pub state: StreamState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<SourceInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceInfo>,
    pub ts: Stamp,
}

/// The server that has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are the API's.
pub struct Cluster {
    pub leader: String,
}

/// The origin of a copy, and how far it is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // The names are the API's.
pub struct SourceInfo {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    pub lag: u64,
    /// Nanoseconds since something came; -1 for never.
    pub active: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_transforms: Vec<Transform>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde asks for.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn stamp(time: u64) -> Stamp {
    if time == 0 { Stamp::ZERO } else { Stamp(time.cast_signed()) }
}

impl Stream {
    /// It in numbers.
    #[must_use]
    pub fn state(&self) -> StreamState {
        let state: State = self.log.state();
        let never_used = state.last_seq == 0 && state.messages == 0;
        StreamState {
            messages: state.messages,
            bytes: state.bytes,
            first_seq: if never_used { 0 } else { state.first_seq },
            first_ts: stamp(state.first_time),
            last_seq: state.last_seq,
            last_ts: stamp(state.last_time),
            num_subjects: state.subjects,
            subjects: None,
            num_deleted: state.deleted,
            deleted: Vec::new(),
            consumer_count: self.consumers().map_or(0, |consumers| consumers.count()),
        }
    }

    /// What the API tells of it.
    #[must_use]
    pub fn info(&self) -> StreamInfo {
        let config: Arc<StreamConfig> = self.config();
        let now = self.now();
        let mut shown = (*config).clone();
        shown.metadata = crate::config::shown(&config.metadata);
        if let Some(sync) = self.shown_sync(&config) {
            shown.metadata.insert(crate::config::SYNC_KEY.into(), sync);
        }
        let copies: Vec<SourceInfo> = self.copies.lock().iter().map(|copy| copy.info(now)).collect();
        let (mirror, sources) = match config.mirror {
            Some(_) => (copies.into_iter().next(), Vec::new()),
            None => (None, copies),
        };
        StreamInfo {
            config: shown,
            created: self.created,
            state: self.state(),
            domain: self.settings(|settings| settings.domain.clone()).flatten(),
            cluster: None,
            mirror,
            sources,
            ts: now,
        }
    }

    /// When a message counts as stored, in the words of the metadata; only where that is not the safest: clients compare
    /// the metadata with what they have asked for, and some take no field they don't know.
    fn shown_sync(&self, config: &StreamConfig) -> Option<String> {
        if config.storage == crate::config::Storage::Memory {
            return None;
        }
        match self.log.options().sync {
            store::Sync::Commit => None,
            store::Sync::Interval(every) => Some(format!("interval:{}", every.as_millis())),
            store::Sync::None => Some("none".to_owned()),
        }
    }

    /// Sequences of deleted messages between the first and the last.
    pub(crate) fn deleted(&self) -> Vec<u64> {
        self.log.deleted(MAX_DELETED).into_iter().flatten().take(MAX_DELETED).collect()
    }

    /// Subjects that match, with their number of messages.
    pub(crate) fn subjects(
        &self,
        filter: &str,
        most: usize,
    ) -> Result<BTreeMap<String, u64>, store::TooMany> {
        let found = self.log.subjects(&Filter::new([filter]), most)?;
        Ok(found
            .into_iter()
            .map(|(subject, messages)| (String::from_utf8_lossy(&subject).into_owned(), messages))
            .collect())
    }
}
