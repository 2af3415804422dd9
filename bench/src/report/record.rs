//! One run, as it is written to a file: a JSON line.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::measure::Usage;
use crate::servers::Side;

/// What a figure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Quantity {
    /// Messages per second: published where nobody listens, else delivered.
    Messages,
    /// Requests answered per second.
    Requests,
    /// Connections made per second, login included.
    Connections,
    /// Subscriptions made per second.
    Subscriptions,
    /// Server memory per subscription, bytes.
    SubscriptionMemory,
    /// Server memory per idle connection that has only logged in, KiB.
    IdleFresh,
    /// Server memory per idle connection that has carried some messages, KiB.
    IdleAfterTraffic,
    /// Median latency, microseconds.
    LatencyP50,
    /// 99th percentile of the latency, microseconds.
    LatencyP99,
    /// Stored messages read per second.
    Reads,
    /// From starting a server that had ended in order until it answers about its stream, milliseconds.
    RestartInOrder,
    /// The same for one that was killed.
    RestartKilled,
    /// Resident memory of the server with the stream in it, MiB.
    StoredMemory,
    /// From a reset of the link until all interest is known at the other end again, milliseconds.
    InterestAfterReset,
    /// The same, counted from when the link was dialled anew.
    InterestAfterDial,
    /// CPU time of all servers for a message beyond what it costs without the one in front, nanoseconds.
    AddedCpu,
}

/// One figure of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) quantity: Quantity,
    /// In the unit of the quantity.
    pub(crate) value: f64,
    /// For rates: per second of server CPU instead of wall clock.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) per_cpu: Option<f64>,
}

/// What a scenario found out.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) readings: Vec<Reading>,
    pub(crate) usage: Usage,
}

/// One run of one scenario on one side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) scenario: String,
    pub(crate) side: Side,
    /// Number of the repetition, from 0.
    pub(crate) repetition: usize,
    /// Empty when the run failed.
    #[serde(default)]
    pub(crate) readings: Vec<Reading>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) usage: Option<Usage>,
    /// Why the run is not valid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) error: Option<String>,
}

impl Quantity {
    /// Name in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Messages => "messages/s",
            Self::Requests => "requests/s",
            Self::Connections => "connections/s",
            Self::Subscriptions => "subscriptions/s",
            Self::SubscriptionMemory => "bytes per subscription",
            Self::IdleFresh => "KiB per connection, fresh",
            Self::IdleAfterTraffic => "KiB per connection, after traffic",
            Self::LatencyP50 => "p50 µs",
            Self::LatencyP99 => "p99 µs",
            Self::Reads => "reads/s",
            Self::RestartInOrder => "ms to serve again, ended in order",
            Self::RestartKilled => "ms to serve again, killed",
            Self::StoredMemory => "MiB resident",
            Self::InterestAfterReset => "ms from reset to complete interest",
            Self::InterestAfterDial => "ms from dialling to complete interest",
            Self::AddedCpu => "ns CPU added per message",
        }
    }
}

impl Reading {
    /// A rate, per second of wall clock and of server CPU.
    pub(crate) fn rate(quantity: Quantity, count: u64, usage: &Usage) -> Self {
        Self { quantity, value: usage.rate(count), per_cpu: usage.rate_per_cpu(count) }
    }

    /// A figure with a unit of its own.
    pub(crate) fn plain(quantity: Quantity, value: f64) -> Self {
        Self { quantity, value, per_cpu: None }
    }
}

impl Record {
    /// Whether others disturbed the run.
    pub(crate) fn noisy(&self) -> bool {
        self.usage.as_ref().is_some_and(Usage::noisy)
    }
}

/// Reads records written one per line.
///
/// # Errors
/// When the file is unreadable or a line is no record.
pub(crate) fn read(path: &Path) -> Result<Vec<Record>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), number + 1))
        })
        .collect()
}
