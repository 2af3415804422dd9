//! How a consumer is configured: the fields of the API's `config` object, as nats-server names them.

mod check;
mod defaults;
mod update;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

pub(crate) use check::valid_group;
pub use check::{Limits, StreamFacts, check};
pub use defaults::set_defaults;
pub use update::check_update;

use crate::stamp::Stamp;

/// A span of time in nanoseconds, as the API writes it.
pub type Nanos = i64;

/// One second.
pub const SECOND: Nanos = 1_000_000_000;
/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;

/// Where a new consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliverPolicy {
    /// With the first message of the stream.
    #[default]
    #[serde(alias = "", alias = "undefined")]
    All,
    /// With the last one.
    Last,
    /// With what comes from now on.
    New,
    /// At `opt_start_seq`.
    ByStartSequence,
    /// At `opt_start_time`.
    ByStartTime,
    /// With the last message of every subject, then what comes.
    LastPerSubject,
}

/// What has to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AckPolicy {
    /// Nothing: delivered is done.
    #[default]
    None,
    /// A message; it stands for all before it.
    All,
    /// Every message.
    Explicit,
    /// As `all`, by the answers to flow control.
    FlowControl,
}

/// At which pace stored messages are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPolicy {
    /// As fast as they are taken.
    #[default]
    Instant,
    /// With the pauses they were published with.
    Original,
}

/// How pull requests share a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PriorityPolicy {
    /// In turn.
    #[default]
    None,
    /// A request may name a backlog below which it gets nothing.
    Overflow,
    /// One client at a time.
    PinnedClient,
    /// Lower priorities first.
    Prioritized,
}

/// A consumer's configuration. Times are nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs)] // The names are the API's; docs/streams.md says what each is for.
pub struct ConsumerConfig {
    #[serde(
        rename = "durable_name",
        skip_serializing_if = "String::is_empty",
        deserialize_with = "nullable"
    )]
    pub durable: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub description: String,
    #[serde(deserialize_with = "nullable")]
    pub deliver_policy: DeliverPolicy,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub opt_start_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opt_start_time: Option<Stamp>,
    #[serde(deserialize_with = "nullable")]
    pub ack_policy: AckPolicy,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub ack_wait: Nanos,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub max_deliver: i64,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub backoff: Vec<Nanos>,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub filter_subjects: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub replay_policy: ReplayPolicy,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub rate_limit_bps: u64,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub sample_freq: String,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub max_waiting: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub max_ack_pending: i64,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "nullable")]
    pub flow_control: bool,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "nullable")]
    pub headers_only: bool,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub max_batch: i64,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub max_expires: Nanos,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub max_bytes: i64,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub deliver_subject: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "nullable")]
    pub deliver_group: String,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub idle_heartbeat: Nanos,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub inactive_threshold: Nanos,
    #[serde(deserialize_with = "nullable")]
    pub num_replicas: i64,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "nullable")]
    pub mem_storage: bool,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "nullable")]
    pub direct: bool,
    #[serde(skip_serializing_if = "is_false", deserialize_with = "nullable")]
    pub sourcing: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nullable")]
    pub metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_until: Option<Stamp>,
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "nullable")]
    pub priority_groups: Vec<String>,
    #[serde(skip_serializing_if = "is_no_priority", deserialize_with = "nullable")]
    pub priority_policy: PriorityPolicy,
    #[serde(rename = "priority_timeout", skip_serializing_if = "is_zero", deserialize_with = "nullable")]
    pub pinned_ttl: Nanos,
}

impl ConsumerConfig {
    /// Whether it delivers by itself, to a subject.
    #[must_use]
    pub fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// Whether it outlives its clients.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !self.durable.is_empty()
    }

    /// All filters, wherever they were given.
    pub fn filters(&self) -> impl Iterator<Item = &str> {
        let single = (!self.filter_subject.is_empty()).then_some(self.filter_subject.as_str());
        self.filter_subjects.iter().map(String::as_str).chain(single)
    }

    /// The percentage of acknowledgements that are measured.
    #[must_use]
    pub fn sampling(&self) -> u32 {
        let digits = self.sample_freq.strip_suffix('%').unwrap_or(&self.sample_freq);
        digits.parse::<u32>().unwrap_or(0).min(100)
    }

    /// How often a message may be delivered; `None` is without end.
    #[must_use]
    pub fn deliveries(&self) -> Option<u32> {
        u32::try_from(self.max_deliver).ok().filter(|max| *max > 0)
    }

    /// How many messages may wait for their acknowledgement; `None` is without bound.
    #[must_use]
    pub fn unacknowledged(&self) -> Option<usize> {
        usize::try_from(self.max_ack_pending).ok().filter(|max| *max > 0)
    }

    /// How long the acknowledgement of a message is waited for that was delivered so often.
    #[must_use]
    pub fn wait_for_ack(&self, deliveries: u32) -> Nanos {
        let step = deliveries.saturating_sub(1) as usize;
        self.backoff.get(step).or_else(|| self.backoff.last()).copied().unwrap_or(self.ack_wait)
    }
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde asks for.
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde asks for.
fn is_no_priority(policy: &PriorityPolicy) -> bool {
    *policy == PriorityPolicy::None
}

/// `null` is as good as leaving the field out.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
