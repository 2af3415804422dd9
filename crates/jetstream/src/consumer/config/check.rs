//! What a consumer's configuration may say.

use super::defaults::FLOW_HEARTBEAT;
use super::{AckPolicy, ConsumerConfig, DeliverPolicy, MILLISECOND, PriorityPolicy};
use crate::consumer::errors::{self, bad_policy, invalid, refuse};
use crate::errors::ApiError;

/// Longest description, in bytes.
const MAX_DESCRIPTION: usize = 4 * 1024;
/// Most metadata, keys and values together, in bytes.
const MAX_METADATA: usize = 128 * 1024;

/// What a consumer has to know of its stream.
#[derive(Debug, Clone, Default)]
pub struct StreamFacts {
    /// The subjects it stores.
    pub subjects: Vec<String>,
    /// Its replicas; 1 here.
    pub replicas: i64,
    /// Messages go when their consumers have acknowledged them (`interest`, `workqueue`).
    pub by_interest: bool,
    /// A message has one consumer (`workqueue`).
    pub workqueue: bool,
    /// The stream's own bound on `max_ack_pending`; 0 without.
    pub max_ack_pending: i64,
    /// The stream's own bound on `inactive_threshold`, in nanoseconds; 0 without.
    pub inactive_threshold: i64,
}

/// Bounds set for the account or the server; 0 is without.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// The greatest `max_ack_pending`.
    pub max_ack_pending: i64,
    /// The greatest batch of a pull request.
    pub max_request_batch: i64,
}

/// Checks a configuration with its defaults filled in.
///
/// # Errors
/// What nats-server refuses, in its words.
pub fn check(config: &ConsumerConfig, stream: &StreamFacts, limits: &Limits) -> Result<(), ApiError> {
    if !valid_name(&config.name) {
        return invalid("consumer name can not contain '.', '*', '>', '\\', '/'");
    }
    if !valid_name(&config.durable) {
        return invalid("consumer durable name can not contain '.', '*', '>', '\\', '/'");
    }
    replicas(config, stream)?;
    if config.backoff.iter().any(|wait| *wait < 0) {
        return refuse(errors::NEGATIVE_BACKOFF);
    }
    if config.ack_wait < 0 {
        return refuse(errors::NEGATIVE_ACK_WAIT);
    }
    acked_by_flow(config)?;
    backoff_fits(config)?;
    if config.description.len() > MAX_DESCRIPTION {
        let words = format!("consumer description is too long, maximum allowed is {MAX_DESCRIPTION}");
        return Err(ApiError::new(400, 10107, words));
    }
    if config.is_push() {
        push(config, stream)?
    } else {
        pull(config, stream, limits)?
    }
    bounds(config, stream, limits)?;
    if config.direct && !config.is_push() {
        return refuse(errors::DIRECT_NEEDS_PUSH);
    }
    if config.direct && config.is_durable() {
        return refuse(errors::DIRECT_NEEDS_EPHEMERAL);
    }
    filters(config)?;
    start(config)?;
    rest(config)?;
    priority(config)
}

/// Whether a name may be that of a stream or consumer; an empty one is no name and fine here.
pub(crate) fn valid_name(name: &str) -> bool {
    !name
        .bytes()
        .any(|byte| matches!(byte, b'.' | b'*' | b'>' | b'\\' | b'/' | b' ' | b'\t' | b'\r' | b'\n' | 0))
}

fn replicas(config: &ConsumerConfig, stream: &StreamFacts) -> Result<(), ApiError> {
    if config.num_replicas > 0 && config.num_replicas > stream.replicas {
        return refuse(errors::REPLICAS_OVER_STREAM);
    }
    if config.num_replicas < 0 {
        return refuse(errors::NEGATIVE_REPLICAS);
    }
    if stream.by_interest && config.num_replicas != 0 && config.num_replicas != stream.replicas {
        return refuse(errors::REPLICAS_NOT_STREAM);
    }
    Ok(())
}

fn acked_by_flow(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.ack_policy != AckPolicy::FlowControl {
        return Ok(());
    }
    if !config.is_push() {
        return refuse(errors::ACK_FLOW_NEEDS_PUSH);
    }
    if !config.flow_control {
        return refuse(errors::ACK_FLOW_NEEDS_FLOW);
    }
    if config.idle_heartbeat != FLOW_HEARTBEAT {
        return invalid("flow control ack policy heartbeat needs to be 1s");
    }
    if config.max_ack_pending <= 0 {
        return refuse(errors::ACK_FLOW_NEEDS_MAX);
    }
    if config.ack_wait != 0 || !config.backoff.is_empty() {
        return refuse(errors::ACK_FLOW_NEEDS_NO_WAIT);
    }
    if config.max_deliver > 0 {
        return refuse(errors::ACK_FLOW_NEEDS_NO_MAX);
    }
    Ok(())
}

/// Every step of the back-off must be reachable.
pub(super) fn backoff_fits(config: &ConsumerConfig) -> Result<(), ApiError> {
    let steps = i64::try_from(config.backoff.len()).unwrap_or(i64::MAX);
    if steps > 0 && config.max_deliver != -1 && steps > config.max_deliver {
        return refuse(errors::BACKOFF_TOO_LONG);
    }
    Ok(())
}

fn push(config: &ConsumerConfig, stream: &StreamFacts) -> Result<(), ApiError> {
    let subject = config.deliver_subject.as_bytes();
    if subject::has_wildcard(subject) {
        return refuse(errors::WILDCARD_DELIVERY);
    }
    if !subject::valid_subject(subject) {
        return refuse(errors::INVALID_DELIVERY);
    }
    if stream.subjects.iter().any(|stored| subject::matches(stored.as_bytes(), subject)) {
        return refuse(errors::CYCLE);
    }
    if config.max_waiting != 0 {
        return refuse(errors::PUSH_MAX_WAITING);
    }
    if config.max_ack_pending > 0 && config.ack_policy == AckPolicy::None {
        return refuse(errors::MAX_PENDING_NEEDS_ACKS);
    }
    if config.idle_heartbeat > 0 && config.idle_heartbeat < 100 * MILLISECOND {
        return refuse(errors::SMALL_HEARTBEAT);
    }
    Ok(())
}

fn pull(config: &ConsumerConfig, stream: &StreamFacts, limits: &Limits) -> Result<(), ApiError> {
    if config.ack_policy == AckPolicy::None && stream.workqueue {
        return refuse(errors::PULL_NEEDS_ACKS);
    }
    if config.rate_limit_bps > 0 {
        return refuse(errors::PULL_RATE_LIMIT);
    }
    if config.idle_heartbeat > 0 {
        return refuse(errors::HEARTBEAT_NEEDS_PUSH);
    }
    if config.flow_control {
        return refuse(errors::FLOW_NEEDS_PUSH);
    }
    if config.max_expires != 0 && config.max_expires < MILLISECOND {
        return refuse(errors::SMALL_EXPIRES);
    }
    let max = limits.max_request_batch;
    if max > 0 && config.max_batch > max {
        let words = format!("consumer max request batch exceeds server limit of {max}");
        return Err(ApiError::new(400, 10125, words));
    }
    Ok(())
}

fn bounds(config: &ConsumerConfig, stream: &StreamFacts, limits: &Limits) -> Result<(), ApiError> {
    for max in [limits.max_ack_pending, stream.max_ack_pending] {
        if max > 0 && config.max_ack_pending > max {
            let words = format!("consumer max ack pending exceeds system limit of {max}");
            return Err(ApiError::new(400, 10121, words));
        }
    }
    let longest = stream.inactive_threshold;
    if longest > 0 && config.inactive_threshold > longest {
        let shown = crate::duration::go(longest);
        let words = format!("consumer inactive threshold exceeds system limit of {shown}");
        return Err(ApiError::new(400, 10153, words));
    }
    Ok(())
}

fn filters(config: &ConsumerConfig) -> Result<(), ApiError> {
    if !config.filter_subject.is_empty() && !config.filter_subjects.is_empty() {
        return refuse(errors::BOTH_FILTERS);
    }
    if config.filter_subjects.iter().any(String::is_empty) {
        return refuse(errors::EMPTY_FILTER);
    }
    let filters: Vec<&[u8]> = config.filters().map(str::as_bytes).collect();
    for (at, filter) in filters.iter().enumerate() {
        if !subject::valid_pattern(filter) {
            return invalid("subject not valid");
        }
        let others = filters.iter().enumerate().filter(|(other, _)| *other != at);
        if others.into_iter().any(|(_, other)| subject::covers(other, filter)) {
            return refuse(errors::FILTERS_OVERLAP);
        }
    }
    Ok(())
}

/// The start must be the one the deliver policy asks for.
fn start(config: &ConsumerConfig) -> Result<(), ApiError> {
    let (sequence, time) = (config.opt_start_seq > 0, config.opt_start_time.is_some());
    let (name, start) = match config.deliver_policy {
        DeliverPolicy::All => ("all", None),
        DeliverPolicy::Last => ("last", None),
        DeliverPolicy::LastPerSubject => ("last per subject", None),
        DeliverPolicy::New => ("new", None),
        DeliverPolicy::ByStartSequence => {
            ("by start sequence", Some((sequence, time, "start sequence", "time")))
        }
        DeliverPolicy::ByStartTime => {
            ("by start time", Some((time, sequence, "start time", "start sequence")))
        }
    };
    let also = |what: &str| {
        bad_policy(format!(
            "consumer delivery policy is deliver {name}, but optional start {what} is also set"
        ))
    };
    let missing = |what: &str| {
        bad_policy(format!("consumer delivery policy is deliver {name}, but optional {what} is not set"))
    };
    match start {
        Some((false, _, needed, _)) => missing(needed),
        Some((_, true, _, other)) => also(other),
        Some(_) => Ok(()),
        None if sequence => also("sequence"),
        None if time => also("time"),
        None if config.deliver_policy == DeliverPolicy::LastPerSubject
            && config.filters().next().is_none() =>
        {
            missing("filter subject")
        }
        None => Ok(()),
    }
}

fn rest(config: &ConsumerConfig) -> Result<(), ApiError> {
    let frequency = config.sample_freq.strip_suffix('%').unwrap_or(&config.sample_freq);
    if !config.sample_freq.is_empty() && frequency.parse::<u32>().is_err() {
        let words = format!("strconv.Atoi: parsing {frequency:?}: invalid syntax");
        let words = format!("failed to parse consumer sampling configuration: {words}");
        return Err(ApiError::new(400, 10095, words));
    }
    if config.flow_control && config.idle_heartbeat == 0 {
        return refuse(errors::FLOW_NEEDS_HEARTBEAT);
    }
    if config.is_durable() && !config.name.is_empty() && config.name != config.durable {
        return refuse(errors::NAME_NOT_DURABLE);
    }
    let metadata: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if metadata > MAX_METADATA {
        let words = format!("consumer metadata exceeds maximum size of {}KB", MAX_METADATA / 1024);
        return Err(ApiError::new(400, 10135, words));
    }
    Ok(())
}

fn priority(config: &ConsumerConfig) -> Result<(), ApiError> {
    if config.priority_policy == PriorityPolicy::None {
        if !config.priority_groups.is_empty() {
            return refuse(errors::GROUP_WITHOUT_POLICY);
        }
        if config.pinned_ttl > 0 {
            return refuse(errors::PIN_WITHOUT_POLICY);
        }
        return Ok(());
    }
    if config.is_push() {
        return refuse(errors::GROUPS_NEED_PULL);
    }
    if config.priority_groups.is_empty() {
        return refuse(errors::POLICY_WITHOUT_GROUP);
    }
    for group in &config.priority_groups {
        if group.is_empty() {
            return refuse(errors::EMPTY_GROUP);
        }
        if !valid_group(group) {
            return refuse(errors::INVALID_GROUP);
        }
    }
    Ok(())
}

/// Whether a name may be that of a priority group.
pub(crate) fn valid_group(name: &str) -> bool {
    (1..=16).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'=' | b'-'))
}
