//! What this server writes into a stream's metadata, and reads from it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{PersistMode, StreamConfig};
use crate::errors::{ApiError, STREAM_INVALID_CONFIG};

/// The JetStream API level that is implemented.
pub const API_LEVEL: u32 = 5;
/// The metadata key for when a message is acknowledged: `commit` (default), `interval:<milliseconds>`, `none`.
pub const SYNC_KEY: &str = "gatehouse.sync";

const REQUIRED: &str = "_nats.req.level";
const VERSION: &str = "_nats.ver";
const LEVEL: &str = "_nats.level";

/// Puts into the metadata what is stored there: the API level the stream asks for.
pub fn store_metadata(config: &mut StreamConfig) {
    config.metadata.remove(VERSION);
    config.metadata.remove(LEVEL);
    let level = if config.allow_batched {
        4
    } else if config.allow_msg_counter
        || config.allow_atomic
        || config.allow_msg_schedules
        || config.persist_mode == PersistMode::Async
    {
        2
    } else {
        u32::from(config.allow_msg_ttl || config.subject_delete_marker_ttl > 0)
    };
    config.metadata.insert(REQUIRED.into(), level.to_string());
}

/// The metadata as it is shown: with this server's version and API level.
#[must_use]
pub fn shown(metadata: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut shown = metadata.clone();
    shown.insert(VERSION.into(), broker::NATS_VERSION.into());
    shown.insert(LEVEL.into(), API_LEVEL.to_string());
    shown
}

/// When messages of the stream count as stored, where its metadata says it; `None` leaves the server's default.
///
/// # Errors
/// The metadata says something else.
pub fn sync_of(metadata: &BTreeMap<String, String>) -> Result<Option<store::Sync>, ApiError> {
    let Some(text) = metadata.get(SYNC_KEY) else { return Ok(None) };
    match text.as_str() {
        "commit" => Ok(Some(store::Sync::Commit)),
        "none" => Ok(Some(store::Sync::None)),
        other => other
            .strip_prefix("interval:")
            .and_then(|text| text.strip_suffix("ms").unwrap_or(text).parse::<u64>().ok())
            .filter(|ms| (1..=3_600_000).contains(ms))
            .map(|ms| Some(store::Sync::Interval(Duration::from_millis(ms))))
            .ok_or_else(|| {
                STREAM_INVALID_CONFIG.with(format_args!(
                    "metadata {SYNC_KEY} is {text:?}; it can be commit, interval:<milliseconds> or none"
                ))
            }),
    }
}
