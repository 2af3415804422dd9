//! The API of the account: what it uses, and may use.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::Serialize;

use super::Answer;
use crate::account::Account;
use crate::config::{API_LEVEL, Storage};
use crate::hub::Hub;

/// An account as `INFO` shows it.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // The names are the API's.
pub struct AccountInfo {
    pub memory: u64,
    pub storage: u64,
    pub reserved_memory: u64,
    pub reserved_storage: u64,
    pub streams: usize,
    pub consumers: usize,
    pub limits: Limits,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    pub api: ApiStats,
}

/// Bounds of an account; -1 is none.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // The names are the API's.
pub struct Limits {
    pub max_memory: i64,
    pub max_storage: i64,
    pub max_streams: i64,
    pub max_consumers: i64,
    pub max_ack_pending: i64,
    pub memory_max_stream_bytes: i64,
    pub storage_max_stream_bytes: i64,
    pub max_bytes_required: bool,
}

/// Requests answered.
#[derive(Debug, Serialize)]
#[allow(missing_docs)] // The names are the API's.
pub struct ApiStats {
    pub level: u32,
    pub total: u64,
    pub errors: u64,
}

fn or_none(bound: Option<u64>) -> i64 {
    bound.map_or(-1, |bound| i64::try_from(bound).unwrap_or(i64::MAX))
}

impl Account {
    /// What it uses, and may use.
    #[must_use]
    pub fn info(&self) -> AccountInfo {
        let used = |storage| self.usage.bytes(storage).load(Ordering::Relaxed).try_into().unwrap_or(0);
        let streams = self.streams();
        let reserved = |storage: Storage| {
            let of = |bytes: i64| u64::try_from(bytes).unwrap_or(0);
            let configs = streams.iter().map(|stream| stream.config());
            configs.filter(|config| config.storage == storage).map(|config| of(config.max_bytes)).sum()
        };
        let limits = &self.limits;
        AccountInfo {
            memory: used(Storage::Memory),
            storage: used(Storage::File),
            reserved_memory: reserved(Storage::Memory),
            reserved_storage: reserved(Storage::File),
            streams: streams.len(),
            consumers: streams
                .iter()
                .map(|stream| stream.consumers().map_or(0, |consumers| consumers.count()))
                .sum(),
            limits: Limits {
                max_memory: or_none(limits.max_memory),
                max_storage: or_none(limits.max_file),
                max_streams: or_none(limits.max_streams),
                max_consumers: or_none(limits.max_consumers),
                max_ack_pending: or_none(limits.max_ack_pending),
                memory_max_stream_bytes: or_none(limits.memory_max_stream_bytes),
                storage_max_stream_bytes: or_none(limits.file_max_stream_bytes),
                max_bytes_required: limits.max_bytes_required,
            },
            domain: self.hub().and_then(|hub| hub.settings.domain.clone()),
            api: ApiStats {
                level: API_LEVEL,
                total: self.usage.api_requests.load(Ordering::Relaxed),
                errors: self.usage.api_errors.load(Ordering::Relaxed),
            },
        }
    }
}

/// `INFO`
pub(super) fn info(_: &Arc<Hub>, account: &Arc<Account>) -> Answer {
    Answer::of("account_info_response", Ok(account.info()))
}
