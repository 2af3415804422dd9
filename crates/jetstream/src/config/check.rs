//! What a stream's configuration may say, in nats-server's words where it may not.

use std::collections::{BTreeSet, VecDeque};

use super::{
    Discard, MILLISECOND, PersistMode, Retention, SECOND, Source, Storage, StreamConfig, SubjectMapping,
    Transform,
};
use crate::errors::{self as e, ApiError, STREAM_INVALID_CONFIG};

/// Longest name, in bytes.
pub(crate) const MAX_NAME: usize = 255;
/// Longest description, in bytes.
const MAX_DESCRIPTION: usize = 4 * 1024;
/// Most metadata, keys and values together, in bytes.
const MAX_METADATA: usize = 128 * 1024;

/// What a configuration has to fit to: the account's other streams, and the bounds.
pub struct Surroundings<'a> {
    /// The configuration of a stream of the account.
    pub stream: &'a dyn Fn(&str) -> Option<StreamConfig>,
    /// The greatest duplicate window, in nanoseconds; 0 without.
    pub max_duplicates: i64,
    /// Every stream has to have `max_bytes`.
    pub max_bytes_required: bool,
    /// The greatest `max_bytes` of one stream; 0 without.
    pub max_stream_bytes: i64,
}

fn invalid<T>(words: impl std::fmt::Display) -> Result<T, ApiError> {
    Err(STREAM_INVALID_CONFIG.with(words))
}

/// Whether a name may be that of a stream or consumer.
pub(crate) fn valid_name(name: &str) -> bool {
    !name.is_empty()
        && !name.contains(|c: char| {
            matches!(c, '.' | '*' | '>' | '/' | '\\') || c.is_whitespace() || c.is_control()
        })
}

/// Checks a configuration with its defaults filled in.
///
/// # Errors
/// What nats-server refuses, in its words.
pub fn check(config: &StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    texts(config)?;
    replicas(config)?;
    ages(config, around)?;
    features(config)?;
    super::sync_of(&config.metadata)?;
    if let Some(mirror) = &config.mirror {
        self::mirror(config, mirror, around)?;
    }
    sources(config, around)?;
    prefixes(config, around)?;
    cycle(config, around)?;
    subjects(config)?;
    if around.max_bytes_required && config.max_bytes <= 0 {
        return Err(e::STREAM_MAX_BYTES_REQUIRED.err());
    }
    if around.max_stream_bytes > 0 && config.max_bytes > around.max_stream_bytes {
        return Err(e::STREAM_MAX_STREAM_BYTES_EXCEEDED.err());
    }
    mappings(config)?;
    one_copy(config)
}

fn texts(config: &StreamConfig) -> Result<(), ApiError> {
    if !valid_name(&config.name) {
        return invalid("stream name is required and can not contain '.', '*', '>', '\\', '/'");
    }
    if config.name.len() > MAX_NAME {
        return invalid(format_args!("stream name is too long, maximum allowed is {MAX_NAME}"));
    }
    if config.description.len() > MAX_DESCRIPTION {
        return invalid(format_args!("stream description is too long, maximum allowed is {MAX_DESCRIPTION}"));
    }
    let size: usize = config.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > MAX_METADATA {
        return invalid(format_args!("stream metadata exceeds maximum size of {MAX_METADATA} bytes"));
    }
    Ok(())
}

fn replicas(config: &StreamConfig) -> Result<(), ApiError> {
    match config.num_replicas {
        ..0 => Err(e::REPLICAS_COUNT_CANNOT_BE_NEGATIVE.err()),
        0..=5 => Ok(()),
        _ => invalid("maximum replicas is 5"),
    }
}

/// One server holds one copy: said of what is right otherwise. The way to more of them is named, because clients show
/// the words to people.
fn one_copy(config: &StreamConfig) -> Result<(), ApiError> {
    if config.num_replicas <= 1 {
        return Ok(());
    }
    Err(ApiError::new(
        500,
        e::STREAM_REPLICAS_NOT_SUPPORTED.number(),
        "replicas > 1 not supported in non-clustered mode: link a nats-server cluster behind the gateway for replicated streams",
    ))
}

fn ages(config: &StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if config.max_age < 0 {
        return invalid("max age can not be negative");
    }
    if config.max_age != 0 && config.max_age < 100 * MILLISECOND {
        return invalid("max age needs to be >= 100ms");
    }
    if config.duplicate_window < 0 {
        return invalid("duplicates window can not be negative");
    }
    if config.max_age != 0 && config.duplicate_window > config.max_age {
        return invalid("duplicates window can not be larger then max age");
    }
    if around.max_duplicates > 0 && config.duplicate_window > around.max_duplicates {
        return invalid(format_args!(
            "duplicates window can not be larger then server limit of {}",
            crate::duration::go(around.max_duplicates)
        ));
    }
    if config.duplicate_window > 0 && config.duplicate_window < 100 * MILLISECOND {
        return invalid("duplicates window needs to be >= 100ms");
    }
    Ok(())
}

fn features(config: &StreamConfig) -> Result<(), ApiError> {
    if config.deny_purge && config.allow_rollup_hdrs {
        return invalid("roll-ups require the purge permission");
    }
    if config.allow_msg_counter {
        counter(config)?;
    }
    if config.discard_new_per_subject {
        discard_per_subject(config)?;
    }
    match config.subject_delete_marker_ttl {
        ..=-1 => return invalid("subject delete marker TTL must not be negative"),
        1..SECOND => return invalid("subject delete marker TTL must be at least 1 second"),
        _ => {}
    }
    if config.allow_msg_schedules && config.discard == Discard::New {
        return invalid("message scheduling cannot use discard new");
    }
    if config.persist_mode == PersistMode::Async {
        if config.storage != Storage::File {
            return invalid("async persist mode is only supported on file storage");
        }
        if config.allow_atomic {
            return invalid("async persist mode is not supported with atomic batch publish");
        }
    }
    Ok(())
}

pub(super) fn discard_per_subject(config: &StreamConfig) -> Result<(), ApiError> {
    if config.discard != Discard::New {
        return invalid("discard new per subject requires discard new policy to be set");
    }
    if config.max_msgs_per_subject <= 0 {
        return invalid("discard new per subject requires max msgs per subject > 0");
    }
    Ok(())
}

fn counter(config: &StreamConfig) -> Result<(), ApiError> {
    if config.discard == Discard::New {
        return invalid("counter stream cannot use discard new");
    }
    if config.allow_msg_ttl {
        return invalid("counter stream cannot use message TTLs");
    }
    if config.allow_msg_schedules {
        return invalid("counter stream cannot use message schedules");
    }
    if config.retention != Retention::Limits {
        return invalid("counter stream can only use limits retention");
    }
    Ok(())
}

fn mirror(config: &StreamConfig, mirror: &Source, around: &Surroundings<'_>) -> Result<(), ApiError> {
    let refusals = [
        (config.first_seq > 0, e::MIRROR_WITH_FIRST_SEQ),
        (!config.subjects.is_empty(), e::MIRROR_WITH_SUBJECTS),
        (!config.sources.is_empty(), e::MIRROR_WITH_SOURCES),
        (config.allow_msg_counter, e::MIRROR_WITH_COUNTERS),
        (config.allow_atomic, e::MIRROR_WITH_ATOMIC_PUBLISH),
        (config.allow_batched, e::MIRROR_WITH_BATCH_PUBLISH),
        (config.allow_msg_schedules, e::MIRROR_WITH_MSG_SCHEDULES),
        (!durable_is_valid(mirror), e::MIRROR_DURABLE_CONSUMER_CFG_INVALID),
        (
            !mirror.filter_subject.is_empty() && !mirror.subject_transforms.is_empty(),
            e::MIRROR_MULTIPLE_FILTERS_NOT_ALLOWED,
        ),
    ];
    if let Some((_, reason)) = refusals.iter().find(|(refused, _)| *refused) {
        return Err(reason.err());
    }
    if config.subject_delete_marker_ttl > 0 {
        return invalid("subject delete markers forbidden on mirrors");
    }
    transforms(
        &mirror.subject_transforms,
        e::MIRROR_INVALID_SUBJECT_FILTER,
        e::MIRROR_INVALID_TRANSFORM_DESTINATION,
        e::MIRROR_OVERLAPPING_SUBJECT_FILTERS,
    )?;
    if mirror.external.is_none() {
        if !valid_name(&mirror.name) {
            return Err(e::MIRROR_INVALID_STREAM_NAME.err());
        }
        if (around.stream)(&mirror.name).is_some_and(|origin| too_small(config, &origin)) {
            return Err(e::MIRROR_MAX_MESSAGE_SIZE_TOO_BIG.err());
        }
    }
    Ok(())
}

fn too_small(config: &StreamConfig, origin: &StreamConfig) -> bool {
    config.max_msg_size > 0 && origin.max_msg_size > 0 && config.max_msg_size < origin.max_msg_size
}

/// A durable consumer to read with has to be named completely and decides alone where it begins.
fn durable_is_valid(source: &Source) -> bool {
    source.consumer.as_ref().is_none_or(|consumer| {
        valid_name(&consumer.name)
            && subject::valid_subject(consumer.deliver_subject.as_bytes())
            && source.opt_start_seq == 0
            && source.opt_start_time.is_none()
            && source.filter_subject.is_empty()
    })
}

fn transforms(
    list: &[Transform],
    bad_source: e::Reason,
    bad_destination: e::Reason,
    overlap: e::Reason,
) -> Result<(), ApiError> {
    for (at, transform) in list.iter().enumerate() {
        if !transform.src.is_empty() && !subject::valid_pattern(transform.src.as_bytes()) {
            return Err(bad_source.with(format_args!("invalid subject {}", transform.src)));
        }
        SubjectMapping::new(&transform.src, &transform.dest).map_err(|words| bad_destination.with(words))?;
        let collides = |other: &Transform| {
            subject::overlaps(or_all(&transform.src).as_bytes(), or_all(&other.src).as_bytes())
        };
        if list.iter().skip(at + 1).any(collides) {
            return Err(overlap.err());
        }
    }
    Ok(())
}

fn or_all(pattern: &str) -> &str {
    if pattern.is_empty() { ">" } else { pattern }
}

fn sources(config: &StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    if !config.sources.is_empty() && config.allow_msg_schedules {
        return Err(e::SOURCE_WITH_MSG_SCHEDULES.err());
    }
    let (mut known, mut durables) = (BTreeSet::new(), BTreeSet::new());
    for source in &config.sources {
        if !valid_name(&source.name) {
            return Err(e::SOURCE_INVALID_STREAM_NAME.err());
        }
        if !known.insert(identity(source)) {
            return Err(e::SOURCE_DUPLICATE_DETECTED.err());
        }
        if !source.filter_subject.is_empty() && !source.subject_transforms.is_empty() {
            return Err(e::SOURCE_MULTIPLE_FILTERS_NOT_ALLOWED.err());
        }
        transforms(
            &source.subject_transforms,
            e::SOURCE_INVALID_SUBJECT_FILTER,
            e::SOURCE_INVALID_TRANSFORM_DESTINATION,
            e::SOURCE_OVERLAPPING_SUBJECT_FILTERS,
        )?;
        if !durable_is_valid(source) {
            return Err(e::SOURCE_DURABLE_CONSUMER_CFG_INVALID.err());
        }
        if let Some(consumer) = &source.consumer
            && !durables.insert((source.name.clone(), consumer.name.clone()))
        {
            return Err(e::SOURCE_DURABLE_CONSUMER_DUPLICATE_DETECTED.err());
        }
        if source.external.is_none()
            && (around.stream)(&source.name).is_some_and(|origin| too_small(config, &origin))
        {
            return Err(e::SOURCE_MAX_MESSAGE_SIZE_TOO_BIG.err());
        }
    }
    Ok(())
}

/// What tells two sources of one stream apart.
pub(crate) fn identity(source: &Source) -> String {
    let external = source.external.as_ref().map_or("", |external| external.api.as_str());
    let filters: Vec<(&str, &str)> = if source.subject_transforms.is_empty() {
        vec![(or_all(&source.filter_subject), ">")]
    } else {
        let pair = |transform: &Transform| -> (String, String) {
            (or_all(&transform.src).into(), or_all(&transform.dest).into())
        };
        return format!(
            "{} {external} {:?}",
            source.name,
            source.subject_transforms.iter().map(pair).collect::<Vec<_>>()
        );
    };
    format!("{} {external} {filters:?}", source.name)
}

fn prefixes(config: &StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    let local: Vec<String> = config
        .origins()
        .filter(|source| source.external.is_none())
        .filter_map(|source| (around.stream)(&source.name))
        .flat_map(|origin| origin.subjects)
        .collect();
    for external in config.origins().filter_map(|source| source.external.as_ref()) {
        if !external.deliver.is_empty() {
            if !subject::valid_subject(external.deliver.as_bytes()) {
                return Err(e::STREAM_INVALID_EXTERNAL_DELIVERY_SUBJ.with(&external.deliver));
            }
            let clash = |own: &&String| {
                subject::overlaps(own.as_bytes(), format!("{}.{own}", external.deliver).as_bytes())
            };
            if let Some(own) = local.iter().find(clash) {
                return Err(e::STREAM_EXTERNAL_DEL_PREFIX_OVERLAPS.with_two(&external.deliver, own));
            }
        }
        if !external.api.is_empty() {
            if !subject::valid_subject(external.api.as_bytes()) {
                let words = "must be a valid subject without wildcards";
                return invalid(format_args!("stream external api prefix {:?} {words}", external.api));
            }
            if subject::overlaps(external.api.as_bytes(), b"$JS.API") {
                return Err(e::STREAM_EXTERNAL_API_OVERLAP.with_two(&external.api, "$JS.API"));
            }
        }
    }
    Ok(())
}

/// Whether a stream would, over others, copy from itself. Also what reaches a stream twice counts where nats-server
/// counts it: by the order in which it looks, from near to far.
fn cycle(config: &StreamConfig, around: &Surroundings<'_>) -> Result<(), ApiError> {
    let mut visited = BTreeSet::new();
    let mut to_visit = VecDeque::from([config.clone()]);
    while let Some(next) = to_visit.pop_front() {
        visited.insert(next.name.clone());
        for source in next.origins().filter(|source| source.external.is_none()) {
            if visited.contains(&source.name) {
                let is_mirror = next.mirror.is_some();
                let filter = or_all(&source.filter_subject).as_bytes();
                let collides = next.subjects.iter().any(|own| subject::overlaps(own.as_bytes(), filter));
                if is_mirror || source.filter_subject.is_empty() || collides {
                    return invalid("detected cycle");
                }
            } else if let Some(origin) = (around.stream)(&source.name) {
                to_visit.push_back(origin);
            }
        }
    }
    Ok(())
}

fn subjects(config: &StreamConfig) -> Result<(), ApiError> {
    for (at, subject) in config.subjects.iter().enumerate() {
        let bytes = subject.as_bytes();
        let rest = config.subjects.get(at + 1..).unwrap_or_default();
        if !subject::valid_pattern(bytes) {
            return invalid("invalid subject");
        }
        if !config.no_ack {
            if subject == ">" {
                return invalid("capturing all subjects requires no-ack to be true");
            }
            let reserved = [&b"$JS.>"[..], b"$JSC.>", b"$NRG.>"];
            if reserved.iter().any(|space| subject::overlaps(bytes, space))
                && !subject::covers(b"$JS.EVENT.>", bytes)
            {
                return invalid("subjects that overlap with jetstream api require no-ack to be true");
            }
            if subject::overlaps(bytes, b"$SYS.>") && !subject::covers(b"$SYS.ACCOUNT.>", bytes) {
                return invalid("subjects that overlap with system api require no-ack to be true");
            }
        }
        if let Some(other) = rest.iter().find(|other| subject::overlaps(other.as_bytes(), bytes)) {
            return invalid(format_args!("subject {subject:?} overlaps with {other:?}"));
        }
    }
    Ok(())
}

fn mappings(config: &StreamConfig) -> Result<(), ApiError> {
    if let Some(transform) = &config.subject_transform {
        if !transform.src.is_empty() && !subject::valid_pattern(transform.src.as_bytes()) {
            return Err(
                e::STREAM_TRANSFORM_INVALID_SOURCE.with(format_args!("invalid subject {}", transform.src))
            );
        }
        super::mapping::compiled(transform)?;
    }
    if let Some(republish) = &config.republish {
        let collides = |own: &String| subject::overlaps(own.as_bytes(), republish.dest.as_bytes());
        if config.subjects.iter().any(collides) {
            return invalid("stream configuration for republish destination forms a cycle");
        }
        if republish.dest.is_empty() || SubjectMapping::new(&republish.src, &republish.dest).is_err() {
            return invalid(format_args!(
                "stream configuration for republish with transform from '{}' to '{}' not valid",
                republish.src, republish.dest
            ));
        }
    }
    if config.placement.as_ref().is_some_and(|placement| !placement.preferred.is_empty()) {
        return invalid("preferred server not permitted in placement");
    }
    Ok(())
}
