//! How a stream is configured: the fields of the API's `config` object, as nats-server names them.

mod check;
mod defaults;
mod mapping;
mod metadata;
mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub use check::{Surroundings, check};
pub use defaults::set_defaults;
pub use mapping::SubjectMapping;
pub use metadata::{API_LEVEL, SYNC_KEY, shown, store_metadata, sync_of};
pub use update::check_update;

use crate::stamp::Stamp;

/// A span of time in nanoseconds, as the API writes it.
pub type Nanos = i64;

/// One second.
pub const SECOND: Nanos = 1_000_000_000;
/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;

/// When a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Retention {
    /// When a bound is reached.
    #[default]
    Limits,
    /// When every consumer that wants it has acknowledged it.
    Interest,
    /// When its one consumer has acknowledged it.
    WorkQueue,
}

/// What happens to a message for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Discard {
    /// It takes the place of the oldest.
    #[default]
    Old,
    /// It is refused.
    New,
}

/// Where messages are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory.
    Memory,
}

/// How messages are packed on disk. Accepted and shown; nothing is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// S2.
    S2,
}

/// When a message is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PersistMode {
    /// When it is as safe as the stream's `sync` says.
    #[default]
    #[serde(alias = "")]
    Default,
    /// Before it is written.
    Async,
}

/// `null` is the same as nothing.
pub(crate) fn nullable<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A rewriting of subjects.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Transform {
    #[serde(deserialize_with = "nullable")]
    pub src: String,
    #[serde(deserialize_with = "nullable")]
    pub dest: String,
}

/// Publishing what was stored once more.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Republish {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub src: String,
    #[serde(deserialize_with = "nullable")]
    pub dest: String,
    #[serde(skip_serializing_if = "is_default")]
    pub headers_only: bool,
}

/// Where in a cluster; of no effect here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Placement {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub cluster: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub preferred: String,
}

/// Another JetStream, by the prefixes that lead there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct External {
    #[serde(deserialize_with = "nullable")]
    pub api: String,
    #[serde(deserialize_with = "nullable")]
    pub deliver: String,
}

/// A durable consumer to read a source with.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct SourceConsumer {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub name: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub deliver_subject: String,
}

/// A stream whose messages are copied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Source {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub opt_start_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Stamp>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub subject_transforms: Vec<Transform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer: Option<SourceConsumer>,
}

/// Bounds and defaults for consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct ConsumerLimits {
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub inactive_threshold: Nanos,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub max_ack_pending: i64,
}

/// A stream's configuration. Times are nanoseconds, sizes bytes; -1 is no bound.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // The names are the API's; docs/streams.md says what each is for.
pub struct StreamConfig {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub description: String,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub subjects: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub retention: Retention,
    #[serde(deserialize_with = "nullable")]
    pub max_consumers: i64,
    #[serde(deserialize_with = "nullable")]
    pub max_msgs: i64,
    #[serde(deserialize_with = "nullable")]
    pub max_bytes: i64,
    #[serde(deserialize_with = "nullable")]
    pub max_age: Nanos,
    #[serde(deserialize_with = "nullable")]
    pub max_msgs_per_subject: i64,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub max_msg_size: i64,
    #[serde(deserialize_with = "nullable")]
    pub discard: Discard,
    #[serde(deserialize_with = "nullable")]
    pub storage: Storage,
    #[serde(deserialize_with = "nullable")]
    pub num_replicas: i64,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub no_ack: bool,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub duplicate_window: Nanos,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Source>,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub sources: Vec<Source>,
    #[serde(deserialize_with = "nullable")]
    pub compression: Compression,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub first_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_transform: Option<Transform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub republish: Option<Republish>,
    #[serde(deserialize_with = "nullable")]
    pub allow_direct: bool,
    #[serde(deserialize_with = "nullable")]
    pub mirror_direct: bool,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub discard_new_per_subject: bool,
    #[serde(deserialize_with = "nullable")]
    pub sealed: bool,
    #[serde(deserialize_with = "nullable")]
    pub deny_delete: bool,
    #[serde(deserialize_with = "nullable")]
    pub deny_purge: bool,
    #[serde(deserialize_with = "nullable")]
    pub allow_rollup_hdrs: bool,
    #[serde(deserialize_with = "nullable")]
    pub consumer_limits: ConsumerLimits,
    #[serde(deserialize_with = "nullable")]
    pub allow_msg_ttl: bool,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub subject_delete_marker_ttl: Nanos,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub allow_msg_counter: bool,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub allow_atomic: bool,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub allow_msg_schedules: bool,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub persist_mode: PersistMode,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub allow_batched: bool,
    #[serde(skip_serializing_if = "is_default", deserialize_with = "nullable")]
    pub metadata: BTreeMap<String, String>,
}

impl StreamConfig {
    /// Whether messages go when their consumers have acknowledged them.
    #[must_use]
    pub fn by_interest(&self) -> bool {
        self.retention != Retention::Limits
    }

    /// Names of the streams in this account it copies from.
    pub fn origins(&self) -> impl Iterator<Item = &Source> {
        self.mirror.iter().chain(&self.sources)
    }
}
