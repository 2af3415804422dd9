//! What a consumer's configuration is filled up with.

use super::{AckPolicy, ConsumerConfig, Limits, PriorityPolicy, SECOND, StreamFacts};
use crate::consumer::errors::pedantic;
use crate::errors::ApiError;

const ACK_WAIT: i64 = 30 * SECOND;
const MAX_ACK_PENDING: i64 = 1000;
const MAX_WAITING: i64 = 512;
const PINNED_TTL: i64 = 120 * SECOND;
/// What the ack policy `flow_control` asks for.
pub(super) const FLOW_HEARTBEAT: i64 = SECOND;

/// Fills up what was left out. A pedantic request is refused where something it says would be changed.
///
/// # Errors
/// Only for a pedantic request.
pub fn set_defaults(
    config: &mut ConsumerConfig,
    stream: &StreamFacts,
    limits: &Limits,
    strictly: bool,
) -> Result<(), ApiError> {
    no_negatives(config, strictly)?;
    if !config.is_push() && config.max_waiting == 0 {
        config.max_waiting = MAX_WAITING;
    }
    if config.ack_wait == 0 && matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::All) {
        config.ack_wait = ACK_WAIT;
    }
    if let Some(first) = config.backoff.first().copied() {
        if strictly && config.ack_wait != first {
            return pedantic("first backoff value has to equal batch AckWait");
        }
        config.ack_wait = first;
    }
    from_stream(config, stream, limits, strictly)?;
    if config.priority_policy == PriorityPolicy::PinnedClient && config.pinned_ttl == 0 {
        config.pinned_ttl = PINNED_TTL;
    }
    if config.ack_policy == AckPolicy::FlowControl && !strictly {
        config.flow_control = true;
        config.idle_heartbeat = FLOW_HEARTBEAT;
    }
    Ok(())
}

/// Negative numbers become what they stand for.
fn no_negatives(config: &mut ConsumerConfig, strictly: bool) -> Result<(), ApiError> {
    if config.max_deliver == 0 || config.max_deliver < -1 {
        if strictly && config.max_deliver < -1 {
            return pedantic("max_deliver must be set to -1");
        }
        config.max_deliver = -1;
    }
    if config.max_ack_pending < -1 {
        if strictly {
            return pedantic("max_ack_pending must be set to -1");
        }
        config.max_ack_pending = -1;
    }
    let fields = [
        (&mut config.max_waiting, "max_waiting must not be negative"),
        (&mut config.max_batch, "max_batch must not be negative"),
        (&mut config.max_expires, "max_expires must not be negative"),
        (&mut config.max_bytes, "max_bytes must not be negative"),
        (&mut config.idle_heartbeat, "idle_heartbeat must not be negative"),
        (&mut config.inactive_threshold, "inactive_threshold must not be negative"),
        (&mut config.pinned_ttl, "priority_timeout must not be negative"),
    ];
    for (field, words) in fields {
        if *field < 0 {
            if strictly {
                return pedantic(words);
            }
            *field = 0;
        }
    }
    Ok(())
}

/// What the stream and the limits give.
fn from_stream(
    config: &mut ConsumerConfig,
    stream: &StreamFacts,
    limits: &Limits,
    strictly: bool,
) -> Result<(), ApiError> {
    if config.max_ack_pending == 0 {
        if strictly && stream.max_ack_pending > 0 {
            return pedantic("max_ack_pending must be set if it's configured in stream limits");
        }
        config.max_ack_pending = stream.max_ack_pending;
    }
    if config.inactive_threshold == 0 {
        if strictly && stream.inactive_threshold > 0 {
            return pedantic("inactive_threshold must be set if it's configured in stream limits");
        }
        config.inactive_threshold = stream.inactive_threshold;
    }
    if config.max_ack_pending == 0 && config.ack_policy != AckPolicy::None {
        let given = Some(limits.max_ack_pending).filter(|max| *max > 0);
        config.max_ack_pending = given.unwrap_or(MAX_ACK_PENDING).min(MAX_ACK_PENDING);
    }
    if !config.is_push() && config.max_batch == 0 && limits.max_request_batch > 0 {
        if strictly {
            return pedantic("max_request_batch must be set if it's JetStream limits are set");
        }
        config.max_batch = limits.max_request_batch;
    }
    Ok(())
}
