//! Streams: where they are kept, how they are synced, and who may have how many.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use daemon::config::Problems;
use jetstream::{AccountLimits, Settings};
use node::leafnodes::beside;
use store::Sync;

use crate::config::{Streams, SyncLevel};
use crate::natsconf::{AccountJetStream, Cipher, JetStream, NatsConf, Secret, SyncPolicy};

/// The folder below `store_dir`: nats-server's own store may lie beside it.
const FOLDER: &str = "streams";
/// nats-server's folder below `store_dir`.
const STOCK_FOLDER: &str = "jetstream";
/// How often the disk gets what has come, where nothing else is said.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// What becomes of streams.
#[derive(Debug, Clone)]
pub struct StreamsPlan {
    /// Where the store is.
    pub store_dir: StoreDir,
    /// Keys the store is encrypted with: the present one, then those of before.
    pub keys: Vec<StoreKey>,
    /// Bytes of what was written last that are kept in memory; the store's default without it.
    pub tail_cache: Option<usize>,
    /// Percent of a file that may be dead before it is written again without, 0 is never; the store's default without it.
    pub compact_percent: Option<u8>,
    /// Everything else.
    pub settings: Settings,
    /// Accounts that have streams.
    pub accounts: Vec<String>,
}

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreDir {
    /// In this folder, and nowhere else.
    Given(PathBuf),
    /// None was asked for: in the folder `below` of `base`, or of `base-2` and so on where another process has that.
    Temporary {
        /// Folder of the first process.
        base: PathBuf,
        /// The store's own folder in it.
        below: &'static str,
    },
}

/// A key of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreKey {
    /// What it is derived from.
    pub secret: Secret,
    /// For what.
    pub cipher: Cipher,
}

/// From `[streams]`.
pub(super) fn from_toml(path: &Path, section: &Streams, problems: &mut Problems<'_>) -> StreamsPlan {
    let interval = section.sync_interval.map(Duration::from);
    if interval.is_some() && section.sync != SyncLevel::Interval {
        problems.at("streams.sync_interval", "has no effect: expected `sync = \"interval\"` beside it");
    }
    let settings = Settings {
        domain: section.domain.clone(),
        max_memory: section.max_memory.as_u64(),
        max_file: section.max_file.as_u64(),
        sync: match section.sync {
            SyncLevel::Commit => Sync::Commit,
            SyncLevel::Interval => Sync::Interval(interval.unwrap_or(SYNC_INTERVAL)),
            SyncLevel::None => Sync::None,
        },
        strict: section.strict,
        max_duplicates: section.max_duplicate_window.map_or(0, |time| nanos(time.into())),
        max_request_batch: section.max_request_batch,
        max_ack_pending: section.max_ack_pending,
        ..Settings::default()
    };
    let cipher = section.cipher.into();
    let mut keys = Vec::new();
    let files = section.encryption_key_path.iter().chain(&section.previous_encryption_key_paths);
    for file in files {
        let file = beside(path, file);
        match std::fs::read_to_string(&file) {
            Ok(text) if !text.trim().is_empty() => {
                keys.push(StoreKey { secret: Secret::new(text.trim()), cipher });
            }
            Ok(_) => problems.at("streams.encryption_key_path", format!("{}: no key in it", file.display())),
            Err(error) => {
                problems.at("streams.encryption_key_path", format!("{}: {error}", file.display()));
            }
        }
    }
    let tail_cache = Some(usize::try_from(section.tail_cache.as_u64()).unwrap_or(usize::MAX));
    if section.compact_percent > 99 {
        problems.at("streams.compact_percent", "out of range: expected 0 to 99");
    }
    StreamsPlan {
        store_dir: StoreDir::Given(beside(path, &section.store_dir)),
        keys,
        tail_cache,
        compact_percent: Some(section.compact_percent),
        settings,
        accounts: vec![identity::DEFAULT_ACCOUNT.to_owned()],
    }
}

/// From `jetstream { … }` and what accounts say; `notices` gets what the operator should know.
pub(super) fn from_natsconf(
    conf: &NatsConf,
    section: &JetStream,
    signed: Vec<(String, AccountLimits)>,
    notices: &mut Vec<String>,
) -> StreamsPlan {
    let default = Settings::default();
    let store_dir = match &section.store_dir {
        Some(base) => {
            if base.join(STOCK_FOLDER).is_dir() {
                notices.push(format!(
                    "{} holds streams of nats-server, which are not served: `internal-bus import` copies them",
                    base.join(STOCK_FOLDER).display()
                ));
            }
            StoreDir::Given(base.join(FOLDER))
        }
        None => StoreDir::Temporary { base: std::env::temp_dir().join("internal-bus"), below: FOLDER },
    };
    let (accounts, limits) = accounts(conf, signed);
    let bounds = &section.limits;
    let many = |value: Option<u64>, default: usize| {
        value.map_or(default, |value| usize::try_from(value).unwrap_or(usize::MAX))
    };
    let settings = Settings {
        domain: section.domain.clone(),
        max_memory: section.max_memory.unwrap_or(default.max_memory),
        max_file: section.max_file.unwrap_or(default.max_file),
        sync: match section.sync {
            None | Some(SyncPolicy::Always) => Sync::Commit,
            Some(SyncPolicy::Every(interval)) => Sync::Interval(interval),
        },
        strict: section.strict.unwrap_or(default.strict),
        max_duplicates: bounds.duplicate_window.map_or(0, nanos),
        max_request_batch: bounds.max_request_batch.unwrap_or(0),
        max_ack_pending: bounds.max_ack_pending.unwrap_or(0),
        max_batches: (
            many(bounds.max_batch_inflight_per_stream, default.max_batches.0),
            many(bounds.max_batch_inflight_total, default.max_batches.1),
        ),
        max_fast_batches: (
            many(bounds.max_batch_inflight_per_stream, default.max_fast_batches.0),
            many(bounds.max_batch_inflight_total, default.max_fast_batches.1),
        ),
        max_batch_size: many(bounds.max_batch_messages, default.max_batch_size),
        batch_timeout: bounds.max_batch_timeout.map_or(default.batch_timeout, nanos),
        accounts: limits,
        ..default
    };
    let cipher = section.cipher.unwrap_or(Cipher::ChaCha);
    let keys = [&section.encryption_key, &section.previous_encryption_key].into_iter().flatten();
    let keys = keys.map(|secret| StoreKey { secret: secret.clone(), cipher }).collect();
    StreamsPlan { store_dir, keys, compact_percent: None, tail_cache: None, settings, accounts }
}

/// Who has streams: the default account where it is alone, else the accounts that say so.
fn accounts(
    conf: &NatsConf,
    signed: Vec<(String, AccountLimits)>,
) -> (Vec<String>, BTreeMap<Arc<str>, AccountLimits>) {
    let system = conf.system_account.as_deref().unwrap_or("$SYS");
    let alone = conf.operator.is_none() && conf.accounts.iter().all(|account| account.name == system);
    if alone {
        return (vec![identity::DEFAULT_ACCOUNT.to_owned()], BTreeMap::new());
    }
    let listed = conf.accounts.iter().filter_map(|account| {
        account.jetstream.as_ref().map(|limits| (account.name.clone(), bounds(limits)))
    });
    let limits: BTreeMap<Arc<str>, AccountLimits> =
        listed.chain(signed).map(|(name, limits)| (name.into(), limits)).collect();
    (limits.keys().map(ToString::to_string).collect(), limits)
}

fn bounds(limits: &AccountJetStream) -> AccountLimits {
    AccountLimits {
        max_memory: limits.max_memory,
        max_file: limits.max_store,
        max_streams: limits.max_streams,
        max_consumers: limits.max_consumers,
        max_ack_pending: limits.max_ack_pending,
        memory_max_stream_bytes: limits.memory_max_stream_bytes,
        file_max_stream_bytes: limits.store_max_stream_bytes,
        max_bytes_required: limits.max_bytes_required,
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}
