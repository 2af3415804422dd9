//! The API: requests on `$JS.API.>`, answers in JSON.
//!
//! What clients do all the time (pulling, acknowledging, direct gets) is answered in the publisher's task
//! ([`inline`]); everything else waits in a queue for the API's own thread.

pub mod account;
mod direct;
pub(crate) mod inline;
mod message;
pub(crate) mod outsider;
pub(crate) mod stream;

use serde::Serialize;
use serde::de::DeserializeOwned;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::account::Account;
pub use crate::errors::ApiError;
use crate::errors::{INVALID_JSON, REQUIRED_API_LEVEL};
use crate::hub::Hub;

/// An API request on its way to the API's thread.
#[derive(Debug, Clone)]
pub struct Request {
    /// The account it came in.
    pub account: Arc<str>,
    /// What follows `$JS.API.`.
    pub operation: String,
    /// The subject as it was published to.
    pub subject: Vec<u8>,
    /// Where the answer is wanted.
    pub reply: Vec<u8>,
    /// The header block.
    pub headers: Vec<u8>,
    /// The request.
    pub body: Vec<u8>,
    /// Who asks.
    pub client: ClientInfo,
}

/// Who asked, as advisories tell it.
#[derive(Debug, Clone, Default, Serialize)]
#[allow(missing_docs)] // nats-server's names.
pub struct ClientInfo {
    pub acc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub ver: String,
    pub id: u64,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// JSON; empty when nothing is answered.
    pub body: Vec<u8>,
    /// It says that something went wrong.
    pub is_error: bool,
}

#[derive(Serialize)]
struct Envelope<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ApiError>,
    #[serde(flatten)]
    body: Option<T>,
}

impl Answer {
    /// No answer at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self { body: Vec::new(), is_error: false }
    }

    /// As [`Self::of`], with fields that stand there beside an error too.
    pub(crate) fn with<T: Serialize, D: Serialize>(
        kind: &str,
        result: Result<T, ApiError>,
        otherwise: &D,
    ) -> Self {
        match result {
            Ok(body) => Self::of(kind, Ok(body)),
            Err(error) => {
                let kind = format!("io.nats.jetstream.api.v1.{kind}");
                let envelope = Envelope { kind: &kind, error: Some(&error), body: Some(otherwise) };
                Self { is_error: true, body: serde_json::to_vec(&envelope).unwrap_or_default() }
            }
        }
    }

    /// The answer of type `io.nats.jetstream.api.v1.<kind>`: the fields of the result, or the error.
    pub fn of<T: Serialize>(kind: &str, result: Result<T, ApiError>) -> Self {
        let kind = format!("io.nats.jetstream.api.v1.{kind}");
        let (body, error) = match result {
            Ok(body) => (Some(body), None),
            Err(error) => (None, Some(error)),
        };
        let envelope = Envelope { kind: &kind, error: error.as_ref(), body };
        Self { is_error: error.is_some(), body: serde_json::to_vec(&envelope).unwrap_or_default() }
    }
}

/// Reads JSON; fields that are `null` are left out, as Go reads them.
pub(crate) fn json(body: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    let mut value = serde_json::from_slice(body)?;
    without_nulls(&mut value);
    Ok(value)
}

fn without_nulls(value: &mut serde_json::Value) {
    // Depth is bounded by the parser.
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// What is wrong with JSON, as Go says it where scripts and clients look at the words.
fn in_gos_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let variant = text.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`'));
    match variant {
        Some((_, rest)) if rest.contains("`s2`") => "unknown compression algorithm".to_owned(),
        Some((word, _)) => format!("can not unmarshal \"\\\"{word}\\\"\""),
        None => text,
    }
}

impl Answer {
    /// As [`Answer::of`], for answers whose fields are there even beside an error.
    pub(crate) fn full<T: Serialize + Default>(kind: &str, result: Result<T, ApiError>) -> Self {
        let kind = format!("io.nats.jetstream.api.v1.{kind}");
        let (body, error) = match result {
            Ok(body) => (body, None),
            Err(error) => (T::default(), Some(error)),
        };
        let envelope = Envelope { kind: &kind, error: error.as_ref(), body: Some(body) };
        Self { is_error: error.is_some(), body: serde_json::to_vec(&envelope).unwrap_or_default() }
    }
}

/// Answers a request. Runs in the API's thread.
pub(crate) fn answer(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request) -> Answer {
    let answer = route(hub, account, request);
    account.usage.api_requests.fetch_add(1, Ordering::Relaxed);
    hub.totals.api_requests.fetch_add(1, Ordering::Relaxed);
    if answer.is_error {
        account.usage.api_errors.fetch_add(1, Ordering::Relaxed);
        hub.totals.api_errors.fetch_add(1, Ordering::Relaxed);
    }
    answer
}

fn route(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request) -> Answer {
    let tokens: Vec<&str> = request.operation.split('.').collect();
    if level_too_high(&request.headers) {
        return Answer::of::<()>(kind_of(&tokens), Err(REQUIRED_API_LEVEL.err()));
    }
    match tokens.as_slice() {
        ["INFO"] => account::info(hub, account),
        ["STREAM", "NAMES"] => stream::names(hub, account, request),
        ["STREAM", "LIST"] => stream::list(hub, account, request),
        ["STREAM", "CREATE", name] => stream::create_request(hub, account, request, name),
        ["STREAM", "UPDATE", name] => stream::update(hub, account, request, name),
        ["STREAM", "DELETE", name] => stream::delete(account, request, name),
        ["STREAM", "INFO", name] => stream::info(hub, account, request, name),
        ["STREAM", "PURGE", name] => stream::purge(hub, account, request, name),
        ["STREAM", "MSG", "GET", name] => message::get(hub, account, request, name),
        ["STREAM", "MSG", "DELETE", name] => message::delete(hub, account, request, name),
        ["STREAM", "SNAPSHOT" | "RESTORE", _] => Answer::of::<()>(kind_of(&tokens), Err(SNAPSHOTS.clone())),
        ["STREAM", "LEADER" | "PEER", ..] | ["CONSUMER", "LEADER", ..] => {
            Answer::of::<()>(kind_of(&tokens), Err(CLUSTERING.clone()))
        }
        ["CONSUMER", "DURABLE", "CREATE", name, rest @ ..] => {
            consumer(account, request, "DURABLE.CREATE", name, rest)
        }
        ["CONSUMER", verb, name, rest @ ..] => consumer(account, request, verb, name, rest),
        _ => Answer::nothing(),
    }
}

/// Streams are copied by `internal-bus import` instead.
const SNAPSHOTS: ApiError = ApiError {
    code: 500,
    err_code: 10064,
    description: std::borrow::Cow::Borrowed(
        "snapshot failed: not supported by this server, see internal-bus import",
    ),
};

/// What only a cluster has.
const CLUSTERING: ApiError = ApiError {
    code: 503,
    err_code: 10010,
    description: std::borrow::Cow::Borrowed("JetStream clustering support required"),
};

/// The stream's name in a request to create a consumer.
fn consumer(account: &Account, request: &Request, verb: &str, name: &str, rest: &[&str]) -> Answer {
    let rest = rest.join(".");
    let Some(stream) = account.stream(name) else {
        return crate::consumers::without_stream(account, verb, name, &rest, request);
    };
    match stream.consumers() {
        Some(consumers) => consumers.api(verb, &rest, request),
        None => Answer::nothing(),
    }
}

/// The type of an answer, for errors that come before the request is looked at.
fn kind_of(tokens: &[&str]) -> &'static str {
    match tokens {
        ["INFO"] => "account_info_response",
        ["STREAM", "NAMES"] => "stream_names_response",
        ["STREAM", "LIST"] => "stream_list_response",
        ["STREAM", "CREATE", ..] => "stream_create_response",
        ["STREAM", "UPDATE", ..] => "stream_update_response",
        ["STREAM", "DELETE", ..] => "stream_delete_response",
        ["STREAM", "INFO", ..] => "stream_info_response",
        ["STREAM", "PURGE", ..] => "stream_purge_response",
        ["STREAM", "SNAPSHOT", ..] => "stream_snapshot_response",
        ["STREAM", "RESTORE", ..] => "stream_restore_response",
        ["STREAM", "LEADER", ..] => "stream_leader_stepdown_response",
        ["STREAM", "PEER", ..] => "stream_remove_peer_response",
        ["CONSUMER", "LEADER", ..] => "consumer_leader_stepdown_response",
        ["STREAM", "MSG", "GET", ..] => "stream_msg_get_response",
        ["STREAM", "MSG", "DELETE", ..] => "stream_msg_delete_response",
        ["CONSUMER", "CREATE" | "DURABLE", ..] => "consumer_create_response",
        ["CONSUMER", "INFO", ..] => "consumer_info_response",
        ["CONSUMER", "DELETE", ..] => "consumer_delete_response",
        ["CONSUMER", "LIST", ..] => "consumer_list_response",
        ["CONSUMER", "NAMES", ..] => "consumer_names_response",
        ["CONSUMER", "PAUSE", ..] => "consumer_pause_response",
        _ => "system_response",
    }
}

/// Whether a request asks for a later API than this one (`Nats-Required-Api-Level`).
pub(crate) fn level_too_high(block: &[u8]) -> bool {
    crate::stream::headers::get(block, b"Nats-Required-Api-Level")
        .filter(|level| !level.is_empty())
        .is_some_and(|level| {
            let level = std::str::from_utf8(level).ok().and_then(|level| level.parse::<u32>().ok());
            level.is_none_or(|level| level > crate::config::API_LEVEL)
        })
}

/// Reads a request. With `strict`, a field that is not known is refused.
///
/// # Errors
/// [`INVALID_JSON`], with the reason in Go's words where clients know them.
pub fn read<T: DeserializeOwned>(body: &[u8], strict: bool) -> Result<T, ApiError> {
    let mut unknown = None;
    let value = json(body)
        .and_then(|json| {
            serde_ignored::deserialize(json, |path| {
                let path = path.to_string();
                let field = path.rsplit('.').next().unwrap_or_default().to_owned();
                unknown.get_or_insert(field);
            })
        })
        .map_err(|error| INVALID_JSON.with(in_gos_words(&error)))?;
    match unknown.filter(|_| strict) {
        Some(field) => Err(INVALID_JSON.with(format_args!("json: unknown field {field:?}"))),
        None => Ok(value),
    }
}
