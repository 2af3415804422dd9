//! What of a consumer may change while it exists.

use super::ConsumerConfig;
use super::check::backoff_fits;
use crate::consumer::errors::{self, not_updatable, refuse};
use crate::errors::ApiError;

/// Checks whether `old` may become `new`. `bound`: somebody listens on the old deliver subject.
///
/// # Errors
/// What nats-server refuses, in its words.
pub fn check_update(old: &ConsumerConfig, new: &ConsumerConfig, bound: bool) -> Result<(), ApiError> {
    let fixed = [
        (old.deliver_policy != new.deliver_policy, "deliver policy can not be updated"),
        (old.mem_storage != new.mem_storage, "storage type can not be updated"),
        (old.direct != new.direct, "direct can not be updated"),
        (old.sourcing != new.sourcing, "sourcing can not be updated"),
        (old.opt_start_seq != new.opt_start_seq, "start sequence can not be updated"),
        (old.opt_start_time != new.opt_start_time, "start time can not be updated"),
        (old.ack_policy != new.ack_policy, "ack policy can not be updated"),
        (old.replay_policy != new.replay_policy, "replay policy can not be updated"),
        (old.idle_heartbeat != new.idle_heartbeat, "heart beats can not be updated"),
        (old.flow_control != new.flow_control, "flow control can not be updated"),
    ];
    if let Some((_, words)) = fixed.iter().find(|(differs, _)| *differs) {
        return not_updatable(words);
    }
    if old.deliver_subject != new.deliver_subject {
        if !old.is_push() {
            return not_updatable("can not update pull consumer to push based");
        }
        if !new.is_push() {
            return not_updatable("can not update push consumer to pull based");
        }
        if bound {
            return refuse(errors::NAME_IN_USE);
        }
    }
    if old.max_waiting != new.max_waiting {
        return not_updatable("max waiting can not be updated");
    }
    backoff_fits(new)
}
