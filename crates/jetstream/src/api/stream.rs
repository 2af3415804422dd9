//! The API of streams: create, change, delete, show, purge.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Answer, Request, read};
use crate::account::Account;
use crate::advisory::Action;
use crate::config::{self, Storage, StreamConfig, Surroundings};
use crate::errors::{self as e, ApiError};
use crate::hub::Hub;
use crate::stamp::Stamp;
use crate::stream::info::{Cluster, StreamInfo};
use crate::stream::{NewStream, Stream};

/// Names in one answer.
const NAMES: usize = 1024;
/// Streams in one answer.
const LIST: usize = 256;
/// Subjects in one answer.
const SUBJECTS: usize = 100_000;

#[derive(Debug, Serialize)]
struct Created {
    #[serde(flatten)]
    info: StreamInfo,
    did_create: bool,
}

/// Reads a configuration; `pedantic` stands beside its fields.
fn config_of(request: &Request, strict: bool) -> Result<(StreamConfig, bool), ApiError> {
    // Not by flattening: that would hide fields that are not known.
    if request.body.trim_ascii().is_empty() {
        return Ok((StreamConfig::default(), false));
    }
    let mut json: serde_json::Value =
        serde_json::from_slice(&request.body).map_err(|error| e::INVALID_JSON.with(error))?;
    let pedantic = json.as_object_mut().and_then(|fields| fields.remove("pedantic"));
    let body = serde_json::to_vec(&json).unwrap_or_default();
    let config: StreamConfig = read(&body, strict)?;
    Ok((config, pedantic.is_some_and(|pedantic| pedantic == true)))
}

fn lookup(account: &Account, name: &str) -> Result<Arc<Stream>, ApiError> {
    account.stream(name).ok_or_else(|| e::STREAM_NOT_FOUND.err())
}

/// `STREAM.CREATE.<name>`
pub(super) fn create_request(
    hub: &Arc<Hub>,
    account: &Arc<Account>,
    request: &Request,
    name: &str,
) -> Answer {
    let made = config_of(request, hub.settings.strict).and_then(|(config, pedantic)| {
        if config.name != name {
            return Err(e::STREAM_MISMATCH.err());
        }
        may_begin(&config)?;
        create(hub, account, config, pedantic, hub.now())
    });
    Answer::of(
        "stream_create_response",
        // Said of a stream that was there already, too: a server that stands alone says so, and clients rely on it.
        made.map(|(stream, _)| Created { info: stream.info(), did_create: true }),
    )
}

/// What a stream can't be from the start, and what is said before anything else is looked at.
fn may_begin(config: &StreamConfig) -> Result<(), ApiError> {
    if config.name.contains(['/', '\\']) {
        return Err(e::STREAM_NAME_CONTAINS_PATH_SEPARATORS.err());
    }
    if config.sealed {
        return Err(e::STREAM_INVALID_CONFIG.with("stream configuration for create can not be sealed"));
    }
    if config.mirror_direct && config.mirror.is_none() {
        return Err(e::STREAM_INVALID_CONFIG.with("stream has no mirror but does have mirror direct"));
    }
    Ok(())
}

/// Checks a configuration and puts the defaults into it.
fn prepared(
    hub: &Hub,
    account: &Account,
    mut config: StreamConfig,
    pedantic: bool,
) -> Result<StreamConfig, ApiError> {
    if config.duplicate_window < 0 || config.max_age < 0 {
        // Said before defaults are made of it.
        config::check(&config, &surroundings(hub, account, config.storage, &|_| None))?;
    }
    config::set_defaults(&mut config, pedantic, hub.settings.max_duplicates)?;
    let lookup = |name: &str| account.stream(name).map(|stream| (*stream.config()).clone());
    config::check(&config, &surroundings(hub, account, config.storage, &lookup))?;
    if let Some(mirror) = &config.mirror
        && let Some(origin) = lookup(&mirror.name)
        && mirror.external.is_none()
    {
        if pedantic && config.mirror_direct != origin.allow_direct {
            return Err(e::PEDANTIC.with("origin stream has direct get set, mirror has it disabled"));
        }
        config.mirror_direct = origin.allow_direct;
    }
    config::store_metadata(&mut config);
    Ok(config)
}

fn surroundings<'a>(
    hub: &Hub,
    account: &Account,
    storage: Storage,
    stream: &'a dyn Fn(&str) -> Option<StreamConfig>,
) -> Surroundings<'a> {
    let limits = &account.limits;
    let most = match storage {
        Storage::File => limits.file_max_stream_bytes,
        Storage::Memory => limits.memory_max_stream_bytes,
    };
    Surroundings {
        stream,
        max_duplicates: hub.settings.max_duplicates,
        max_bytes_required: limits.max_bytes_required,
        max_stream_bytes: most.map_or(0, |most| i64::try_from(most).unwrap_or(i64::MAX)),
    }
}

/// Creates a stream; one that is there already with the same configuration is fine (`false`).
pub(crate) fn create(
    hub: &Arc<Hub>,
    account: &Arc<Account>,
    config: StreamConfig,
    pedantic: bool,
    created: Stamp,
) -> Result<(Arc<Stream>, bool), ApiError> {
    let _changing = account.changing.lock();
    let config = prepared(hub, account, config, pedantic)?;
    if let Some(known) = account.stream(&config.name) {
        return if *known.config() == config { Ok((known, false)) } else { Err(e::STREAM_NAME_EXIST.err()) };
    }
    let most = account.limits.max_streams.unwrap_or(u64::MAX);
    if account.streams().len() as u64 >= most {
        return Err(e::MAXIMUM_STREAMS_LIMIT.err());
    }
    if overlaps(account, &config) {
        return Err(e::STREAM_SUBJECT_OVERLAP.err());
    }
    reserve(hub, account, &config, None)?;
    let stream = Stream::create(hub, account, NewStream { config, created })?;
    stream.enter(account);
    account.advise_stream(&stream.name, Action::Create);
    Ok((stream, true))
}

/// Whether another stream stores some of the same subjects.
fn overlaps(account: &Account, config: &StreamConfig) -> bool {
    let others = account.streams();
    others.iter().filter(|other| *other.name != *config.name).any(|other| {
        let theirs = other.config();
        let clash = |own: &String| {
            theirs.subjects.iter().any(|their| subject::overlaps(own.as_bytes(), their.as_bytes()))
        };
        config.subjects.iter().any(clash)
    })
}

/// Whether there is room for what the stream reserves (`max_bytes`) beside the others.
fn reserve(
    hub: &Hub,
    account: &Account,
    config: &StreamConfig,
    old: Option<&StreamConfig>,
) -> Result<(), ApiError> {
    let memory = config.storage == Storage::Memory;
    let of = |config: &StreamConfig| u64::try_from(config.max_bytes).unwrap_or(0);
    let wanted = of(config).saturating_sub(old.map_or(0, of));
    let reserved = |streams: Vec<Arc<Stream>>| -> u64 {
        let same = |other: &Arc<StreamConfig>| other.storage == config.storage;
        streams.iter().map(|stream| stream.config()).filter(same).map(|other| of(&other)).sum()
    };
    let (in_account, in_all) = if memory {
        (account.limits.max_memory, hub.settings.max_memory)
    } else {
        (account.limits.max_file, hub.settings.max_file)
    };
    let (scarce, name) = if memory {
        (e::MEMORY_RESOURCES_EXCEEDED, "memory")
    } else {
        (e::STORAGE_RESOURCES_EXCEEDED, "storage")
    };
    let used = account.usage.bytes(config.storage).load(std::sync::atomic::Ordering::Relaxed);
    let used = u64::try_from(used).unwrap_or(0);
    if let Some(most) = in_account {
        let taken = reserved(account.streams());
        if taken.saturating_add(wanted) > most || (wanted == 0 && old.is_none() && used >= most) {
            tracing::debug!(account = %account.name, name, "no room for a stream in its account");
            return Err(e::ACCOUNT_RESOURCES_EXCEEDED.err());
        }
    }
    if reserved(hub.all_streams()).saturating_add(wanted) > in_all {
        return Err(scarce.err());
    }
    Ok(())
}

/// `STREAM.UPDATE.<name>`
pub(super) fn update(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request, name: &str) -> Answer {
    let updated = config_of(request, hub.settings.strict)
        .and_then(|(config, pedantic)| change(hub, account, name, config, pedantic));
    Answer::of("stream_update_response", updated.map(|stream| stream.info()))
}

fn change(
    hub: &Arc<Hub>,
    account: &Arc<Account>,
    name: &str,
    config: StreamConfig,
    pedantic: bool,
) -> Result<Arc<Stream>, ApiError> {
    let _changing = account.changing.lock();
    // What is wrong in itself is said first, as by nats-server.
    let mut new = prepared(hub, account, config, pedantic)?;
    if new.name != name {
        return Err(e::STREAM_MISMATCH.err());
    }
    let stream = lookup(account, name)?;
    let old = stream.config();
    config::check_update(&old, &mut new)?;
    if overlaps(account, &new) {
        return Err(e::STREAM_SUBJECT_OVERLAP.err());
    }
    reserve(hub, account, &new, Some(&old))?;
    if let Some(consumers) = stream.consumers() {
        consumers.check(&new)?;
    }
    stream.change(new)?;
    account.advise_stream(&stream.name, Action::Modify);
    Ok(stream)
}

#[derive(Debug, Serialize)]
struct Success {
    success: bool,
}

fn must_be_empty(request: &Request) -> Result<(), ApiError> {
    let empty = matches!(request.body.trim_ascii(), b"" | b"{}" | b"[]" | b"null");
    if empty { Ok(()) } else { Err(e::NOT_EMPTY_REQUEST.err()) }
}

/// `STREAM.DELETE.<name>`
pub(super) fn delete(account: &Arc<Account>, request: &Request, name: &str) -> Answer {
    let deleted = must_be_empty(request).and_then(|()| {
        let _changing = account.changing.lock();
        let stream = account.forget_stream(name).ok_or_else(|| e::STREAM_NOT_FOUND.err())?;
        stream.close(true);
        account.advise_stream(name, Action::Delete);
        Ok(Success { success: true })
    });
    Answer::of("stream_delete_response", deleted)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InfoRequest {
    offset: i64,
    deleted_details: bool,
    subjects_filter: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    page: Option<Page>,
    #[serde(flatten)]
    info: StreamInfo,
}

/// What nats-server says of pages in errors.
pub(super) const NO_PAGE: Page = Page { total: 0, offset: 0, limit: 0 };

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Page {
    total: usize,
    offset: usize,
    limit: usize,
}

/// A request that may be left out.
fn optional<T: Default + serde::de::DeserializeOwned>(hub: &Hub, request: &Request) -> Result<T, ApiError> {
    if request.body.trim_ascii_start().starts_with(b"{") {
        read(&request.body, hub.settings.strict)
    } else {
        Ok(T::default())
    }
}

/// `STREAM.INFO.<name>`
pub(super) fn info(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request, name: &str) -> Answer {
    let shown = optional::<InfoRequest>(hub, request).and_then(|wanted| {
        let stream = lookup(account, name)?;
        let mut info = stream.info();
        if wanted.deleted_details {
            info.state.deleted = stream.deleted();
        }
        let mut page = NO_PAGE;
        if !wanted.subjects_filter.is_empty() {
            let found = stream
                .subjects(&wanted.subjects_filter, usize::MAX)
                .map_err(|_| e::STREAM_INFO_MAX_SUBJECTS.err())?;
            if !found.is_empty() {
                let offset = usize::try_from(wanted.offset).unwrap_or(0);
                page = Page { total: found.len(), offset, limit: SUBJECTS };
                let shown: BTreeMap<String, u64> = found.into_iter().skip(offset).take(SUBJECTS).collect();
                info.state.subjects = Some(shown).filter(|subjects| !subjects.is_empty());
            }
        }
        if let Some(hub) = account.hub() {
            info.cluster = Some(Cluster { leader: hub.server.name().to_owned() });
        }
        Ok(Shown { page: Some(page), info })
    });
    Answer::with("stream_info_response", shown, &NO_PAGE)
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ListRequest {
    offset: i64,
    subject: String,
}

/// The streams that store subjects a filter matches.
fn filtered(account: &Account, filter: &str) -> Vec<Arc<Stream>> {
    let mut streams = account.streams();
    if !filter.is_empty() {
        streams.retain(|stream| {
            let config = stream.config();
            config.subjects.iter().any(|own| subject::overlaps(own.as_bytes(), filter.as_bytes()))
        });
    }
    streams
}

#[derive(Debug, Serialize)]
struct Listed<T> {
    #[serde(flatten)]
    page: Page,
    streams: Option<Vec<T>>,
}

fn listed<T>(
    hub: &Hub,
    account: &Account,
    request: &Request,
    limit: usize,
    show: impl Fn(&Arc<Stream>) -> T,
) -> Result<Listed<T>, ApiError> {
    let wanted = optional::<ListRequest>(hub, request)?;
    let streams = filtered(account, &wanted.subject);
    let offset = usize::try_from(wanted.offset).unwrap_or(0).min(streams.len());
    let shown: Vec<T> = streams.iter().skip(offset).take(limit).map(show).collect();
    Ok(Listed { page: Page { total: streams.len(), offset, limit }, streams: Some(shown) })
}

/// `STREAM.NAMES`
pub(super) fn names(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request) -> Answer {
    let mut names = listed(hub, account, request, NAMES, |stream| stream.name.to_string());
    if let Ok(names) = &mut names {
        names.streams = names.streams.take().filter(|list| !list.is_empty());
    }
    Answer::with("stream_names_response", names, &Listed::<()> { page: NO_PAGE, streams: None })
}

/// `STREAM.LIST`
pub(super) fn list(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request) -> Answer {
    let list = listed(hub, account, request, LIST, |stream| {
        let mut info = stream.info();
        info.config.metadata.clone_from(&stream.config().metadata);
        info
    });
    Answer::with("stream_list_response", list, &Listed::<()> { page: NO_PAGE, streams: None })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PurgeRequest {
    seq: u64,
    filter: String,
    keep: u64,
}

#[derive(Debug, Serialize)]
struct Purged {
    success: bool,
    purged: u64,
}

/// `STREAM.PURGE.<name>`
pub(super) fn purge(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request, name: &str) -> Answer {
    #[derive(Serialize)]
    struct Nothing {
        purged: u64,
    }
    Answer::with("stream_purge_response", purged(hub, account, request, name), &Nothing { purged: 0 })
}

fn purged(hub: &Hub, account: &Account, request: &Request, name: &str) -> Result<Purged, ApiError> {
    let wanted = optional::<PurgeRequest>(hub, request)?;
    if wanted.seq > 0 && wanted.keep > 0 {
        return Err(e::BAD_REQUEST.err());
    }
    let stream = lookup(account, name)?;
    let config = stream.config();
    if config.sealed {
        return Err(e::STREAM_SEALED.err());
    }
    if config.deny_purge {
        return Err(e::STREAM_PURGE_FAILED.with("stream purge not permitted"));
    }
    let pattern = (!wanted.filter.is_empty()).then_some(wanted.filter.as_bytes());
    let below = (wanted.seq > 0).then_some(wanted.seq);
    let purged = stream.purge(pattern, below, wanted.keep);
    let mut purged = purged.map_err(|error| e::STREAM_PURGE_FAILED.with(error))?;
    // Below a sequence that is not given yet: it is the next one, as with nats-server.
    if wanted.filter.is_empty() && wanted.seq > stream.log.last_seq().saturating_add(1) {
        let skipped = stream.log.skip_to(wanted.seq - 1);
        purged.position = skipped.map_err(|error| e::STREAM_PURGE_FAILED.with(error))?;
        stream.cleared(None);
    }
    stream.note_usage();
    stream.wait_for(purged.position).map_err(|error| e::STREAM_PURGE_FAILED.with(error))?;
    Ok(Purged { success: true, purged: purged.messages })
}
