//! Creating and updating a consumer.

use std::sync::Arc;

use serde::Deserialize;

use super::change::strict;
use super::info;
use crate::account::Account;
use crate::advisory::Action as Happened;
use crate::api::{self, Request};
use crate::config::StreamConfig;
use crate::consumer::config::{
    AckPolicy, ConsumerConfig, DeliverPolicy, PriorityPolicy, check, check_update, set_defaults,
};
use crate::consumer::errors::{self, refuse};
use crate::consumer::info::ConsumerInfo;
use crate::consumers::seat::Seat;
use crate::consumers::{Roster, advice, begin, facts, is_durable};
use crate::errors::{ApiError, STREAM_MISMATCH, STREAM_REPLICAS_NOT_SUPPORTED};
use crate::import::ForeignConsumer;
use crate::stream::Stream;

/// Longest name, in bytes.
const MAX_NAME: usize = 255;
const REQUIRED: &str = "_nats.req.level";

/// What is wanted of a name that is there or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
enum Action {
    #[default]
    #[serde(rename = "")]
    Either,
    #[serde(rename = "create")]
    Create,
    #[serde(rename = "update")]
    Update,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Wish {
    stream_name: String,
    config: ConsumerConfig,
    action: Action,
    pedantic: bool,
}

/// `CONSUMER.CREATE.<stream>[.<name>[.<filter>]]` and `CONSUMER.DURABLE.CREATE.<stream>.<name>`.
pub(super) fn create(
    roster: &Roster,
    stream: &Arc<Stream>,
    verb: &str,
    rest: &str,
    request: &Request,
) -> Result<ConsumerInfo, ApiError> {
    let mut wish = read(request, strict(stream))?;
    names(&mut wish, verb, rest, &stream.name)?;
    if wish.config.num_replicas > 1 {
        return Err(STREAM_REPLICAS_NOT_SUPPORTED.err());
    }
    let Some(account) = stream.account() else { return refuse(errors::DOES_NOT_EXIST) };
    let _changing = roster.changing.lock();
    if wish.config.direct && wish.config.sourcing && !wish.config.name.is_empty() {
        for_another_server(&mut wish.config, stream, &account);
    }
    if let Some(seat) = roster.seat(&wish.config.name) {
        // A pause is changed by its own request only.
        wish.config.pause_until = seat.work.lock().consumer.config().pause_until;
    }
    store_metadata(&mut wish.config);
    let seat = make(roster, stream, &account, wish, None)?;
    info(&seat)
}

/// A consumer that was elsewhere.
pub(crate) fn import(
    roster: &Roster,
    stream: &Arc<Stream>,
    consumer: ForeignConsumer,
) -> Result<(), ApiError> {
    let Some(account) = stream.account() else { return refuse(errors::DOES_NOT_EXIST) };
    let _changing = roster.changing.lock();
    let mut config = consumer.config.clone();
    if !config.is_durable() {
        config.name.clone_from(&consumer.name);
    }
    store_metadata(&mut config);
    let wish = Wish { config, action: Action::Create, ..Wish::default() };
    if roster.seat(&consumer.name).is_some() {
        return refuse(errors::EXISTS);
    }
    make(roster, stream, &account, wish, Some(&consumer)).map(drop)
}

fn read(request: &Request, strict: bool) -> Result<Wish, ApiError> {
    let nothing = request.body.trim_ascii().is_empty();
    if nothing { Ok(Wish::default()) } else { api::read(&request.body, strict) }
}

/// Whether a request to create a consumer of a stream can be read and says the same as its subject.
pub(super) fn readable(
    request: &Request,
    verb: &str,
    stream: &str,
    rest: &str,
    strict: bool,
) -> Result<(), ApiError> {
    names(&mut read(request, strict)?, verb, rest, stream)
}

/// Another server that copies a stream asks with the same name every time: each time another consumer, or where
/// messages go by interest a durable one.
fn for_another_server(config: &mut ConsumerConfig, stream: &Stream, account: &Account) {
    if stream.config().by_interest() {
        config.direct = false;
        config.durable.clone_from(&config.name);
        config.ack_policy = AckPolicy::FlowControl;
        config.ack_wait = 0;
        config.max_deliver = 0;
        config.inactive_threshold = 0;
    } else {
        config.name = format!("{}-{}", config.name, short_name(account));
    }
}

/// The name from the subject, and what must go together with it.
fn names(wish: &mut Wish, verb: &str, rest: &str, stream: &str) -> Result<(), ApiError> {
    let config = &mut wish.config;
    let durable = verb == "DURABLE.CREATE";
    if durable && (rest.is_empty() || rest.contains('.')) {
        return refuse(errors::NO_DURABLE_IN_SUBJECT);
    }
    if wish.stream_name != stream {
        return Err(STREAM_MISMATCH.err());
    }
    let (name, filter) = rest.split_once('.').unwrap_or((rest, ""));
    let named = if rest.is_empty() { config.name.clone() } else { name.to_owned() };
    if named.contains(['\\', '/']) {
        return refuse(errors::PATH_IN_NAME);
    }
    if durable && config.durable.is_empty() {
        return refuse(errors::NO_DURABLE);
    }
    if rest.is_empty() {
        if config.is_durable() {
            return refuse(errors::EPHEMERAL_WITH_DURABLE);
        }
        return Ok(());
    }
    if config.is_durable() && config.durable != name {
        return refuse(errors::DURABLE_MISMATCH);
    }
    name.clone_into(&mut config.name);
    if !filter.is_empty() && !config.filter_subjects.is_empty() {
        return refuse(errors::MANY_FILTERS_IN_SUBJECT);
    }
    if !filter.is_empty() && config.filter_subject != filter {
        return refuse(errors::FILTER_MISMATCH);
    }
    Ok(())
}

fn make(
    roster: &Roster,
    stream: &Arc<Stream>,
    account: &Arc<Account>,
    wish: Wish,
    foreign: Option<&ForeignConsumer>,
) -> Result<Arc<Seat>, ApiError> {
    let (mut config, of_stream) = (wish.config, stream.config());
    let (facts, limits) = (facts(&of_stream), Roster::limits(account));
    set_defaults(&mut config, &facts, &limits, wish.pedantic)?;
    check(&config, &facts, &limits)?;
    let name = if config.is_durable() { config.durable.clone() } else { config.name.clone() };
    if let Some(seat) = roster.seat(&name).filter(|_| !name.is_empty()) {
        return update(roster, stream, &seat, config, wish.action);
    }
    if wish.action == Action::Update {
        return refuse(errors::DOES_NOT_EXIST);
    }
    room(roster, account, &of_stream)?;
    if facts.workqueue && !config.direct && !config.sourcing {
        workqueue(roster, &name, &config)?;
    }
    if config.is_durable() && name.len() > MAX_NAME {
        let words = format!("consumer name is too long, maximum allowed is {MAX_NAME}");
        return Err(ApiError::new(400, 10102, words));
    }
    if name.is_empty() {
        config.name = std::iter::repeat_with(|| short_name(account))
            .find(|name| roster.seat(name).is_none())
            .unwrap_or_default();
    }
    let name = if name.is_empty() { config.name.clone() } else { name };
    let state = foreign.and_then(|foreign| foreign.state.as_ref());
    let ledger = state.map_or_else(|| begin(stream, &config), |state| state.ledger(config.ack_policy));
    let created = foreign.and_then(|foreign| foreign.created).unwrap_or_else(|| stream.now());
    let durable = is_durable(&of_stream, &config);
    let seat = roster.seat_new(stream, name.into(), config, created, ledger, durable);
    if durable && let Err(error) = seat.save_new(stream) {
        roster.dismiss(stream, &seat);
        return Err(ApiError::new(500, 10104, format!("error creating store for consumer: {error}")));
    }
    if !seat.direct {
        advice::changed(account, &stream.name, &seat.name, Happened::Create);
    }
    if seat.work.lock().consumer.config().pause_until.is_some() {
        seat.tell_pause(account);
    }
    Ok(seat)
}

fn update(
    roster: &Roster,
    stream: &Arc<Stream>,
    seat: &Arc<Seat>,
    config: ConsumerConfig,
    action: Action,
) -> Result<Arc<Seat>, ApiError> {
    let old = seat.work.lock().consumer.config().clone();
    if action == Action::Create && !same(&old, &config) {
        return refuse(errors::EXISTS);
    }
    if stream.config().retention == crate::config::Retention::WorkQueue
        && overlaps(roster, &seat.name, &config)
    {
        return refuse(errors::WORKQUEUE_NOT_UNIQUE);
    }
    if same(&old, &config) {
        return Ok(seat.clone());
    }
    let bound =
        stream.account().is_some_and(|account| account.port.is_awaited(old.deliver_subject.as_bytes()));
    check_update(&old, &config, bound)?;
    seat.update(stream, config)?;
    roster.filters.write().insert(seat.name.clone(), seat.work.lock().consumer.filter().clone());
    stream.interest_changed();
    Ok(seat.clone())
}

/// Whether two configurations say the same. What a server puts into the metadata is not compared, nor the threshold
/// that ephemeral consumers get.
fn same(old: &ConsumerConfig, new: &ConsumerConfig) -> bool {
    let bare = |config: &ConsumerConfig| {
        let mut config = config.clone();
        config.metadata.remove(REQUIRED);
        if !config.is_durable() && config.inactive_threshold == 0 {
            config.inactive_threshold = crate::consumer::EPHEMERAL_THRESHOLD;
        }
        config
    };
    bare(old) == bare(new)
}

/// Whether there may be one more.
fn room(roster: &Roster, account: &Account, stream: &StreamConfig) -> Result<(), ApiError> {
    let bound = |bound: Option<u64>| bound.filter(|bound| *bound > 0);
    let bounds = [u64::try_from(stream.max_consumers).ok(), account.limits.max_consumers];
    let most = bounds.into_iter().filter_map(bound).min();
    let count = roster.public().len() as u64;
    if most.is_some_and(|most| count >= most) { refuse(errors::TOO_MANY) } else { Ok(()) }
}

/// Every message of a work queue has one consumer, which acknowledges it.
fn workqueue(roster: &Roster, name: &str, config: &ConsumerConfig) -> Result<(), ApiError> {
    if !matches!(config.ack_policy, AckPolicy::Explicit | AckPolicy::FlowControl) {
        return refuse(errors::WORKQUEUE_NEEDS_EXPLICIT);
    }
    if config.deliver_policy != DeliverPolicy::All {
        return refuse(errors::WORKQUEUE_NOT_ALL);
    }
    if roster.public().is_empty() {
        return Ok(());
    }
    if config.filters().next().is_none() {
        return refuse(errors::WORKQUEUE_UNFILTERED);
    }
    if overlaps(roster, name, config) { refuse(errors::WORKQUEUE_NOT_UNIQUE) } else { Ok(()) }
}

/// Whether another consumer of a work queue may want the same messages.
fn overlaps(roster: &Roster, name: &str, config: &ConsumerConfig) -> bool {
    let filters: Vec<&str> = config.filters().collect();
    roster.public().iter().filter(|seat| &*seat.name != name).any(|seat| {
        let work = seat.work.lock();
        let others: Vec<&str> = work.consumer.config().filters().collect();
        !filters.is_empty()
            && (others.is_empty()
                || filters.iter().any(|filter| {
                    others.iter().any(|other| subject::overlaps(filter.as_bytes(), other.as_bytes()))
                }))
    })
}

/// Whether all consumers could live with another configuration of their stream.
pub(crate) fn fits_stream(roster: &Roster, new: &StreamConfig) -> Result<(), ApiError> {
    let facts = facts(new);
    for seat in roster.public() {
        let config = seat.work.lock().consumer.config().clone();
        let (ack, threshold) = (config.max_ack_pending, config.inactive_threshold);
        if facts.max_ack_pending > 0 && ack > facts.max_ack_pending {
            let words = format!("change to limits violates consumers: {}", seat.name);
            return Err(ApiError::new(500, 10052, words));
        }
        if facts.inactive_threshold > 0 && threshold > facts.inactive_threshold {
            let words = format!("change to limits violates consumers: {}", seat.name);
            return Err(ApiError::new(500, 10052, words));
        }
    }
    Ok(())
}

/// Puts into the metadata what is stored there: the API level the consumer asks for.
pub(super) fn store_metadata(config: &mut ConsumerConfig) {
    config.metadata.remove("_nats.ver");
    config.metadata.remove("_nats.level");
    let level = if config.ack_policy == AckPolicy::FlowControl {
        4
    } else {
        let grouped = config.priority_policy != PriorityPolicy::None || !config.priority_groups.is_empty();
        u32::from(config.pause_until.is_some() || grouped || config.pinned_ttl != 0)
    };
    config.metadata.insert(REQUIRED.into(), level.to_string());
}

/// A name for a consumer that has none.
fn short_name(account: &Account) -> String {
    account.hub().map(|hub| hub.token().chars().take(8).collect()).unwrap_or_default()
}
