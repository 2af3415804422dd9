//! The API of consumers: requests that start with `CONSUMER.`, for a stream that is there.

mod change;
mod create;
mod list;

pub(super) use create::{fits_stream, import};

use std::sync::Arc;

use super::Roster;
use super::calls::not_found;
use super::seat::Seat;
use crate::account::Account;
use crate::api::{Answer, Request};
use crate::consumer::info::ConsumerInfo;
use crate::errors::{ApiError, NOT_EMPTY_REQUEST, STREAM_NOT_FOUND};

/// Answers a request. `rest`: what follows the stream's name.
pub(super) fn answer(roster: &Roster, verb: &str, rest: &str, request: &Request) -> Answer {
    let Some(stream) = roster.stream.upgrade() else { return Answer::nothing() };
    match verb {
        "CREATE" | "DURABLE.CREATE" => {
            let created = create::create(roster, &stream, verb, rest, request);
            Answer::of("consumer_create_response", created)
        }
        "NAMES" => Answer::full("consumer_names_response", list::names(roster, request)),
        "LIST" => Answer::full("consumer_list_response", list::list(roster, request)),
        "INFO" => {
            let found = empty(request).and_then(|()| roster.find(rest)).and_then(|seat| info(&seat));
            Answer::of("consumer_info_response", found)
        }
        "DELETE" => {
            let deleted = empty(request).and_then(|()| change::delete(roster, &stream, rest));
            Answer::of("consumer_delete_response", deleted)
        }
        "PAUSE" => {
            let paused = change::pause(roster, &stream, rest, request);
            Answer::full("consumer_pause_response", paused)
        }
        "RESET" => {
            let reset = change::reset(roster, &stream, rest, request);
            change::reset_answer(reset)
        }
        "UNPIN" => {
            let unpinned = change::unpin(roster, rest, request);
            Answer::of("consumer_unpin_response", unpinned)
        }
        _ => Answer::nothing(),
    }
}

/// The answer to a request for a stream that is not there: what is wrong with the request itself comes first.
pub(crate) fn without_stream(
    account: &Account,
    verb: &str,
    stream: &str,
    rest: &str,
    request: &Request,
) -> Answer {
    let strict = account.hub().is_none_or(|hub| hub.settings.strict);
    let fine = match verb {
        "CREATE" | "DURABLE.CREATE" => create::readable(request, verb, stream, rest, strict),
        _ => Ok(()),
    };
    refused(verb, fine.err().unwrap_or_else(|| STREAM_NOT_FOUND.err()))
}

/// The answer to a request that is refused before the consumer is looked for.
pub(crate) fn refused(verb: &str, error: ApiError) -> Answer {
    match verb {
        "NAMES" => Answer::full::<list::Paged<String>>("consumer_names_response", Err(error)),
        "LIST" => Answer::full::<list::Paged<ConsumerInfo>>("consumer_list_response", Err(error)),
        "PAUSE" => Answer::full::<change::Paused>("consumer_pause_response", Err(error)),
        "RESET" => change::reset_answer(Err(error)),
        "DURABLE.CREATE" => Answer::of::<()>("consumer_create_response", Err(error)),
        _ => Answer::of::<()>(&format!("consumer_{}_response", verb.to_ascii_lowercase()), Err(error)),
    }
}

impl Roster {
    /// The consumer of a name.
    fn find(&self, name: &str) -> Result<Arc<Seat>, ApiError> {
        self.seat(name).map_or_else(not_found, Ok)
    }
}

/// A consumer as it is shown: with this server's version in its metadata.
fn info(seat: &Arc<Seat>) -> Result<ConsumerInfo, ApiError> {
    let Some(mut info) = seat.info() else { return not_found() };
    info.config.metadata = crate::config::shown(&info.config.metadata);
    Ok(info)
}

fn empty(request: &Request) -> Result<(), ApiError> {
    let body = request.body.trim_ascii();
    if body.is_empty() || body == b"{}" { Ok(()) } else { Err(NOT_EMPTY_REQUEST.err()) }
}
