//! The API of consumers: requests that start with `CONSUMER.`, for a stream that is there.

mod change;
mod create;
mod list;

pub(super) use create::fits_stream;

use super::Roster;
use super::seat::Seat;
use crate::api::{Answer, Request};
use crate::consumer::errors;
use crate::consumer::info::ConsumerInfo;
use crate::errors::{ApiError, NOT_EMPTY_REQUEST, REQUIRED_API_LEVEL};

use std::sync::Arc;

/// Answers a request. `rest`: what follows the stream's name.
pub(super) fn answer(roster: &Roster, verb: &str, rest: &str, request: &Request) -> Answer {
    let Some(stream) = roster.stream.upgrade() else { return Answer::nothing() };
    let too_much = crate::api::asks_too_much(&request.headers);
    let level = || if too_much { Err(REQUIRED_API_LEVEL.err()) } else { Ok(()) };
    match verb {
        "CREATE" | "DURABLE.CREATE" => {
            let created = level().and_then(|()| create::create(roster, &stream, verb, rest, request));
            Answer::of("consumer_create_response", created)
        }
        "NAMES" => Answer::of("consumer_names_response", level().and_then(|()| list::names(roster, request))),
        "LIST" => Answer::of("consumer_list_response", level().and_then(|()| list::list(roster, request))),
        "INFO" => {
            let found = level().and_then(|()| empty(request)).and_then(|()| roster.find(rest)).map(|seat| info(&seat));
            Answer::of("consumer_info_response", found)
        }
        "DELETE" => {
            let deleted =
                level().and_then(|()| empty(request)).and_then(|()| change::delete(roster, &stream, rest));
            Answer::of("consumer_delete_response", deleted)
        }
        "PAUSE" => {
            let paused = level().and_then(|()| change::pause(roster, &stream, rest, request));
            Answer::of("consumer_pause_response", paused)
        }
        "RESET" => {
            let reset = level().and_then(|()| change::reset(roster, &stream, rest, request));
            Answer::of("consumer_reset_response", reset)
        }
        "UNPIN" => {
            let unpinned = level().and_then(|()| change::unpin(roster, rest, request));
            Answer::of("consumer_unpin_response", unpinned)
        }
        _ => Answer::nothing(),
    }
}

impl Roster {
    /// The consumer of a name.
    fn find(&self, name: &str) -> Result<Arc<Seat>, ApiError> {
        self.seat(name).map_or_else(|| errors::refuse(errors::NOT_FOUND), Ok)
    }
}

/// A consumer as it is shown: with this server's version in its metadata.
fn info(seat: &Arc<Seat>) -> ConsumerInfo {
    let mut info = seat.info();
    info.config.metadata = crate::config::shown(&info.config.metadata);
    info
}

fn empty(request: &Request) -> Result<(), ApiError> {
    let body = request.body.trim_ascii();
    if body.is_empty() || body == b"{}" { Ok(()) } else { Err(NOT_EMPTY_REQUEST.err()) }
}
