//! `jetstream { … }`: where streams are kept and how much they may take.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::secret::Secret;
use super::value::{Entry, Kind, Value};

/// The `jetstream` block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStream {
    /// Streams are on.
    pub enabled: bool,
    /// Folder of the store; also from `store_dir` at the top level. Default: a folder for temporary files.
    pub store_dir: Option<PathBuf>,
    /// Bytes in memory; `None` means a share of the machine's.
    pub max_memory: Option<u64>,
    /// Bytes on disk; `None` means a share of the disk's.
    pub max_file: Option<u64>,
    /// Domain that tells this server's streams from those across a leafnode link.
    pub domain: Option<String>,
    /// When data is forced to disk; `None` means this server's own default.
    pub sync: Option<SyncPolicy>,
    /// API requests with unknown fields are refused. Default true.
    pub strict: Option<bool>,
    /// Key the store is encrypted with.
    pub encryption_key: Option<Secret>,
    /// Key the store was encrypted with before.
    pub previous_encryption_key: Option<Secret>,
    /// How the store is encrypted.
    pub cipher: Option<Cipher>,
    /// Bounds for the whole server.
    pub limits: JetStreamLimits,
}

/// When data is forced to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before each acknowledgement.
    Always,
    /// This often.
    Every(Duration),
}

/// A cipher for data at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// ChaCha20-Poly1305
    ChaCha,
    /// AES-GCM
    Aes,
}

/// Bounds for the whole server; `None` means the server's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JetStreamLimits {
    /// Deliveries of one consumer that wait for their acknowledgement.
    pub max_ack_pending: Option<u64>,
    /// Greatest batch of one pull request, in messages.
    pub max_request_batch: Option<u64>,
    /// Longest time in which a stream recognises a repeated message.
    pub duplicate_window: Option<Duration>,
    /// Atomic batches open at once in one stream.
    pub max_batch_inflight_per_stream: Option<u64>,
    /// Atomic batches open at once in all.
    pub max_batch_inflight_total: Option<u64>,
    /// Greatest atomic batch, in messages.
    pub max_batch_messages: Option<u64>,
    /// Time after which an atomic batch that stays open is given up.
    pub max_batch_timeout: Option<Duration>,
}

const MOST: i64 = i64::MAX;

pub(super) fn read(reader: &mut Reader, block: &Entry) -> Option<JetStream> {
    if !matches!(block.value.kind, Kind::Map(_)) {
        let enabled = switch(reader, &block.value)?;
        return Some(JetStream { enabled, ..JetStream::default() });
    }
    let mut jetstream = JetStream { enabled: true, ..JetStream::default() };
    reader.each(&block.value, |reader, key, entry| setting(reader, &mut jetstream, key, entry));
    Some(jetstream)
}

/// A boolean, or `enabled`/`disabled`.
pub(super) fn switch(reader: &mut Reader, value: &Value) -> Option<bool> {
    let word = match &value.kind {
        Kind::Boolean(truth) => return Some(*truth),
        Kind::Text(text) => text.to_ascii_lowercase(),
        _ => String::new(),
    };
    match word.as_str() {
        "enabled" | "enable" => Some(true),
        "disabled" | "disable" => Some(false),
        _ => {
            reader.error(&value.at, "expected a boolean, `enabled`, `disabled` or a map");
            None
        }
    }
}

fn setting(reader: &mut Reader, jetstream: &mut JetStream, key: &str, entry: &Entry) {
    let value = &entry.value;
    match key {
        "enable" | "enabled" => jetstream.enabled = reader.boolean(value).unwrap_or(true),
        "strict" => jetstream.strict = reader.boolean(value),
        "store" | "store_dir" | "storedir" => jetstream.store_dir = reader.path(value),
        "max_memory_store" | "max_mem_store" | "max_mem" | "max_memory" => {
            jetstream.max_memory = storage_size(reader, value);
        }
        "max_file_store" | "max_file" => jetstream.max_file = storage_size(reader, value),
        "domain" => jetstream.domain = reader.text_or_unset(value),
        "sync" | "sync_interval" => jetstream.sync = sync(reader, value),
        "key" | "ek" | "encryption_key" => jetstream.encryption_key = reader.secret(value),
        "prev_key" | "prev_ek" | "prev_encryption_key" => {
            jetstream.previous_encryption_key = reader.secret(value);
        }
        "cipher" => jetstream.cipher = cipher(reader, value),
        "limits" => {
            reader.each(value, |reader, key, entry| limits(reader, &mut jetstream.limits, key, entry));
        }
        "extension_hint"
        | "unique_tag"
        | "max_outstanding_catchup"
        | "meta_compact"
        | "meta_compact_size"
        | "meta_compact_sync" => reader.no_effect(entry, "there is no cluster"),
        "max_buffered_size"
        | "max_buffered_msgs"
        | "request_queue_limit"
        | "info_queue_limit"
        | "max_concurrent_io" => reader.no_effect(entry, "this server bounds its queues by itself"),
        "tpm" => reader.unsupported(entry, "jetstream"),
        _ => reader.unknown(entry, "jetstream"),
    }
}

/// A number of bytes, or text ending in K, M, G or T (powers of 1024). Negative means "not set".
fn storage_size(reader: &mut Reader, value: &Value) -> Option<u64> {
    let text = match &value.kind {
        Kind::Integer(bytes) => return u64::try_from(*bytes).ok(),
        Kind::Text(text) if text.is_empty() => return None,
        Kind::Text(text) => text,
        _ => "",
    };
    let size = [("K", 10), ("M", 20), ("G", 30), ("T", 40)].iter().find_map(|(suffix, shift)| {
        let number: i64 = text.strip_suffix(suffix)?.parse().ok()?;
        number.checked_mul(1 << shift)
    });
    if size.is_none() {
        reader.error(&value.at, "expected a size such as 10GB, or text such as \"10G\" (K, M, G or T)");
    }
    u64::try_from(size?).ok()
}

fn sync(reader: &mut Reader, value: &Value) -> Option<SyncPolicy> {
    match &value.kind {
        Kind::Text(text) if text.eq_ignore_ascii_case("always") => Some(SyncPolicy::Always),
        _ => reader.duration(value).map(SyncPolicy::Every),
    }
}

fn cipher(reader: &mut Reader, value: &Value) -> Option<Cipher> {
    match reader.text(value)?.to_ascii_lowercase().as_str() {
        "chacha" | "chachapoly" => Some(Cipher::ChaCha),
        "aes" => Some(Cipher::Aes),
        _ => {
            reader.error(&value.at, "expected `chacha` or `aes`");
            None
        }
    }
}

fn limits(reader: &mut Reader, limits: &mut JetStreamLimits, key: &str, entry: &Entry) {
    let value = &entry.value;
    match key {
        "max_ack_pending" => limits.max_ack_pending = reader.count(value, MOST),
        "max_ha_assets" => reader.no_effect(entry, "there is no cluster"),
        "max_request_batch" => limits.max_request_batch = reader.count(value, MOST),
        "duplicate_window" => limits.duplicate_window = reader.strict_duration(value),
        "batch" => reader.each(value, |reader, key, entry| match key {
            "max_inflight_per_stream" => {
                limits.max_batch_inflight_per_stream = reader.count(&entry.value, MOST);
            }
            "max_inflight_total" => limits.max_batch_inflight_total = reader.count(&entry.value, MOST),
            "max_msgs" => limits.max_batch_messages = reader.count(&entry.value, MOST),
            "timeout" => limits.max_batch_timeout = reader.strict_duration(&entry.value),
            _ => reader.unknown(entry, "batch"),
        }),
        _ => reader.unknown(entry, "limits"),
    }
}
