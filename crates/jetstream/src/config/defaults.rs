//! What a stream's configuration says where its author said nothing.

use super::{MILLISECOND, Republish, SECOND, StreamConfig};
use crate::errors::{ApiError, PEDANTIC};

/// The window in which a `Nats-Msg-Id` is known, when nothing else is said: 2 minutes.
const DUPLICATE_WINDOW: i64 = 120 * SECOND;

/// Fills in defaults. With `pedantic`, what would have to be changed is refused instead.
/// `max_duplicates`: the server's bound on the duplicate window; 0 without.
///
/// # Errors
/// In pedantic mode: what the author said and can't be.
pub fn set_defaults(config: &mut StreamConfig, pedantic: bool, max_duplicates: i64) -> Result<(), ApiError> {
    if config.num_replicas == 0 {
        config.num_replicas = 1;
    }
    let bounds = [
        (&mut config.max_msgs, "max_msgs"),
        (&mut config.max_msgs_per_subject, "max_msgs_per_subject"),
        (&mut config.max_bytes, "max_bytes"),
        (&mut config.max_msg_size, "max_msg_size"),
        (&mut config.max_consumers, "max_consumers"),
    ];
    for (bound, name) in bounds {
        if pedantic && *bound < -1 {
            return Err(PEDANTIC.with(format_args!("{name} must be set to -1")));
        }
        if *bound == 0 || *bound < -1 {
            *bound = -1;
        }
    }
    duplicates(config, pedantic, max_duplicates)?;
    markers(config, pedantic)?;
    republish(config, pedantic)?;
    if config.subjects.is_empty() && config.mirror.is_none() && config.sources.is_empty() {
        config.subjects.push(config.name.clone());
    }
    if config.placement == Some(super::Placement::default()) {
        config.placement = None;
    }
    Ok(())
}

fn duplicates(config: &mut StreamConfig, pedantic: bool, most: i64) -> Result<(), ApiError> {
    if config.duplicate_window != 0 || config.mirror.is_some() || !config.sources.is_empty() {
        return Ok(());
    }
    let mut window = DUPLICATE_WINDOW;
    if most > 0 && window > most {
        if pedantic {
            return Err(PEDANTIC.with("duplicate window limits are higher than current limits"));
        }
        window = most;
    }
    if config.max_age >= 100 * MILLISECOND && config.max_age < window {
        if pedantic {
            return Err(PEDANTIC.with("duplicate window cannot be bigger than max age"));
        }
        window = config.max_age;
    }
    config.duplicate_window = window;
    Ok(())
}

/// Markers and schedules rest on TTLs and roll-ups.
fn markers(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    let invalid = |words: &'static str| Err(crate::errors::STREAM_INVALID_CONFIG.with(words));
    if config.subject_delete_marker_ttl > 0 {
        if !config.allow_msg_ttl && pedantic {
            return invalid("subject delete marker cannot be set if message TTLs are disabled");
        }
        if !config.allow_rollup_hdrs && pedantic {
            return invalid("subject delete marker cannot be set if roll-ups are disabled");
        }
        config.allow_msg_ttl = true;
        (config.allow_rollup_hdrs, config.deny_purge) = (true, config.deny_purge && config.allow_rollup_hdrs);
    }
    if config.allow_msg_schedules && !config.allow_rollup_hdrs {
        if pedantic {
            return invalid("message scheduling cannot be set if roll-ups are disabled");
        }
        (config.allow_rollup_hdrs, config.deny_purge) = (true, false);
    }
    Ok(())
}

fn republish(config: &mut StreamConfig, pedantic: bool) -> Result<(), ApiError> {
    let Some(Republish { src, dest, .. }) = &mut config.republish else { return Ok(()) };
    if src.is_empty() {
        if pedantic {
            return Err(PEDANTIC.with("republish source can not be empty"));
        }
        ">".clone_into(src);
    }
    if let Some(transform) = &config.subject_transform
        && src == ">"
        && dest == ">"
        && matches!(config.subjects.as_slice(), [only] if *only == transform.src)
    {
        if pedantic {
            return Err(PEDANTIC.with("implicit republish based on subject transform"));
        }
        (*src, *dest) = (transform.dest.clone(), transform.dest.clone());
    }
    Ok(())
}
