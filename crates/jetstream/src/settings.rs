//! What the one who starts JetStream decides.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bounds of one account. `None` is no bound of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// Bytes of messages in memory.
    pub max_memory: Option<u64>,
    /// Bytes of messages on disk.
    pub max_file: Option<u64>,
    /// Streams.
    pub max_streams: Option<u64>,
    /// Consumers, of all streams together.
    pub max_consumers: Option<u64>,
    /// The greatest `max_ack_pending` of a consumer.
    pub max_ack_pending: Option<u64>,
    /// The greatest `max_bytes` of a stream in memory, and of one on disk.
    pub memory_max_stream_bytes: Option<u64>,
    /// See [`Self::memory_max_stream_bytes`].
    pub file_max_stream_bytes: Option<u64>,
    /// Every stream has to have `max_bytes`.
    pub max_bytes_required: bool,
}

/// Settings of JetStream.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Its domain: the API is answered under `$JS.<domain>.API.` too. None by default.
    pub domain: Option<String>,
    /// Bytes of messages in memory, all accounts together. Default 1 GiB.
    pub max_memory: u64,
    /// Bytes of messages on disk, all accounts together. Default 100 GiB.
    pub max_file: u64,
    /// When a message of a file stream counts as stored, where the stream's metadata says nothing. Default
    /// [`store::Sync::Commit`].
    pub sync: store::Sync,
    /// Requests with fields that are not known are refused. Default true.
    pub strict: bool,
    /// The greatest duplicate window, in nanoseconds. 0, the default, is none.
    pub max_duplicates: i64,
    /// The greatest batch of a pull request; 0, the default, is none.
    pub max_request_batch: u64,
    /// The greatest `max_ack_pending` of a consumer; 0, the default, is none.
    pub max_ack_pending: u64,
    /// API requests that wait for their answer. Default 10,000.
    pub max_api_requests: usize,
    /// Atomic batches that are open at once, of one stream and of all. Default 50 and 1,000.
    pub max_batches: (usize, usize),
    /// Fast batches that are open at once, of one stream and of all. Default 1,000 and 50,000.
    pub max_fast_batches: (usize, usize),
    /// Messages of one atomic batch. Default 1,000.
    pub max_batch_size: usize,
    /// How long a batch may be silent, in nanoseconds. Default 10 s.
    pub batch_timeout: i64,
    /// Message ids remembered for one stream, for duplicates. The oldest go first. Default 1,000,000.
    pub max_message_ids: usize,
    /// Accounts that have JetStream, with their bounds; empty: every account, without bounds of its own.
    pub accounts: BTreeMap<Arc<str>, AccountLimits>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            domain: None,
            max_memory: 1 << 30,
            max_file: 100 << 30,
            sync: store::Sync::Commit,
            strict: true,
            max_duplicates: 0,
            max_request_batch: 0,
            max_ack_pending: 0,
            max_api_requests: 10_000,
            max_batches: (50, 1000),
            max_fast_batches: (1000, 50_000),
            max_batch_size: 1000,
            batch_timeout: 10_000_000_000,
            max_message_ids: 1_000_000,
            accounts: BTreeMap::new(),
        }
    }
}
