//! Pausing, resetting, unpinning, deleting.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::info;
use crate::api::{self, Answer, Request};
use crate::consumer::config::DeliverPolicy;
use crate::consumer::errors::{self, refuse};
use crate::consumer::info::ConsumerInfo;
use crate::consumers::Roster;
use crate::errors::{ApiError, INVALID_JSON};
use crate::stamp::Stamp;
use crate::stream::Stream;

#[derive(Serialize)]
pub(super) struct Deleted {
    success: bool,
}

pub(super) fn delete(roster: &Roster, stream: &Arc<Stream>, name: &str) -> Result<Deleted, ApiError> {
    let _changing = roster.changing.lock();
    let seat = roster.find(name)?;
    roster.dismiss(stream, &seat);
    Ok(Deleted { success: true })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pause {
    pause_until: Option<Stamp>,
}

#[derive(Serialize)]
pub(super) struct Paused {
    paused: bool,
    pause_until: Stamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pause_remaining: Option<i64>,
}

impl Default for Paused {
    fn default() -> Self {
        Self { paused: false, pause_until: Stamp::ZERO, pause_remaining: None }
    }
}

pub(super) fn pause(
    roster: &Roster,
    stream: &Arc<Stream>,
    name: &str,
    request: &Request,
) -> Result<Paused, ApiError> {
    let body = request.body.trim_ascii();
    let object = matches!(body.first(), Some(b'{' | b'['));
    let wish: Pause = if object { api::read(body, strict(stream))? } else { Pause::default() };
    let until = wish.pause_until.filter(|until| !until.is_zero());
    let _changing = roster.changing.lock();
    let seat = roster.find(name)?;
    let mut config = seat.work.lock().consumer.config().clone();
    config.pause_until = until;
    super::create::store_metadata(&mut config);
    seat.update(stream, config)?;
    let now = stream.now().0;
    let remaining = until.map(|until| until.0 - now).filter(|left| *left > 0);
    Ok(Paused {
        paused: remaining.is_some(),
        pause_until: until.unwrap_or(Stamp::ZERO),
        pause_remaining: remaining,
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Reset {
    seq: u64,
}

#[derive(Serialize, Default)]
pub(super) struct WasReset {
    #[serde(flatten)]
    info: Option<ConsumerInfo>,
    reset_seq: u64,
}

pub(super) fn reset_answer(reset: Result<WasReset, ApiError>) -> Answer {
    Answer::full("consumer_reset_response", reset)
}

pub(super) fn reset(
    roster: &Roster,
    stream: &Arc<Stream>,
    name: &str,
    request: &Request,
) -> Result<WasReset, ApiError> {
    let body = request.body.trim_ascii();
    let wish: Reset = if body.is_empty() { Reset::default() } else { api::read(body, false)? };
    let _changing = roster.changing.lock();
    let seat = roster.find(name)?;
    let by_time = {
        let work = seat.work.lock();
        let config = work.consumer.config();
        config.opt_start_time.filter(|_| config.deliver_policy == DeliverPolicy::ByStartTime)
    };
    let at = by_time.map(|time| stream.log.seq_at(time.0.max(0).unsigned_abs()));
    let reset_seq = seat.reset(stream, wish.seq, at)?;
    Ok(WasReset { info: Some(info(&seat)?), reset_seq })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Unpin {
    group: String,
}

#[derive(Serialize)]
pub(super) struct Unpinned {}

pub(super) fn unpin(roster: &Roster, name: &str, request: &Request) -> Result<Unpinned, ApiError> {
    let wish: Unpin = api::read(&request.body, false)?;
    if wish.group.is_empty() {
        return Err(INVALID_JSON.with("consumer group not specified"));
    }
    if !crate::consumer::config::valid_group(&wish.group) {
        return refuse(errors::INVALID_GROUP);
    }
    let seat = roster.find(name)?;
    if !seat.work.lock().consumer.config().priority_groups.contains(&wish.group) {
        return refuse(errors::UNKNOWN_GROUP);
    }
    seat.unpin(&wish.group);
    Ok(Unpinned {})
}

/// Whether requests with fields that are not known are refused.
pub(super) fn strict(stream: &Stream) -> bool {
    stream.account().and_then(|account| account.hub()).is_none_or(|hub| hub.settings.strict)
}
