//! What of a stream may change while it exists.

use super::check::discard_per_subject;
use super::{Discard, Retention, StreamConfig};
use crate::errors::{ApiError, STREAM_INVALID_CONFIG, STREAM_MIRROR_NOT_UPDATABLE};

/// Checks whether `old` may become `new`, which has passed [`super::check`]; a sealed stream's settings are adjusted.
///
/// # Errors
/// What nats-server refuses, in its words.
pub fn check_update(old: &StreamConfig, new: &mut StreamConfig) -> Result<(), ApiError> {
    let to_or_from_queue = new.retention != old.retention
        && (old.retention == Retention::WorkQueue || new.retention == Retention::WorkQueue);
    let fixed = [
        (new.name != old.name, "stream configuration name must match original"),
        (new.storage != old.storage, "stream configuration update can not change storage type"),
        (to_or_from_queue, "stream configuration update can not change retention policy to/from workqueue"),
        (old.sealed && !new.sealed, "stream configuration update can not unseal a sealed stream"),
        (
            old.deny_delete && !new.deny_delete,
            "stream configuration update can not cancel deny message deletes",
        ),
        (old.deny_purge && !new.deny_purge, "stream configuration update can not cancel deny purge"),
    ];
    if let Some((_, words)) = fixed.iter().find(|(refused, _)| *refused) {
        return Err(STREAM_INVALID_CONFIG.with(words));
    }
    // A mirror may be made an ordinary stream.
    if new.mirror.is_some() && new.mirror != old.mirror {
        return Err(STREAM_MIRROR_NOT_UPDATABLE.err());
    }
    if new.discard_new_per_subject {
        discard_per_subject(new)?;
    }
    let fixed = [
        (old.allow_msg_ttl && !new.allow_msg_ttl, "message TTL status can not be disabled"),
        (
            old.allow_msg_counter != new.allow_msg_counter,
            "stream configuration update can not change message counter setting",
        ),
        (old.allow_msg_schedules && !new.allow_msg_schedules, "message schedules can not be disabled"),
        (old.persist_mode != new.persist_mode, "stream configuration update can not change persist mode"),
    ];
    if let Some((_, words)) = fixed.iter().find(|(refused, _)| *refused) {
        return Err(STREAM_INVALID_CONFIG.with(words));
    }
    if new.sealed {
        new.max_age = 0;
        new.discard = Discard::New;
        (new.deny_delete, new.deny_purge) = (true, true);
        new.allow_rollup_hdrs = false;
    }
    Ok(())
}
