//! The API: requests on `$JS.API.>`, answers in JSON.
//!
//! What clients do all the time (pulling, acknowledging, direct gets) is answered in the publisher's task
//! ([`inline`]); everything else waits in a queue for the API's own thread.

pub(crate) mod inline;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::errors::{ApiError, INVALID_JSON};

/// An API request on its way to the API's thread.
#[derive(Debug, Clone)]
pub struct Request {
    /// The account it came in.
    pub account: std::sync::Arc<str>,
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

/// Reads a request. With `strict`, a field that is not known is refused.
///
/// # Errors
/// [`INVALID_JSON`], with the reason in Go's words where clients know them.
pub fn read<T: DeserializeOwned>(body: &[u8], strict: bool) -> Result<T, ApiError> {
    let mut unknown = None;
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_ignored::deserialize(&mut json, |path| {
        let path = path.to_string();
        let field = path.rsplit('.').next().unwrap_or_default().to_owned();
        unknown.get_or_insert(field);
    })
    .and_then(|value| json.end().map(|()| value))
    .map_err(|error| INVALID_JSON.with(error))?;
    match unknown.filter(|_| strict) {
        Some(field) => Err(INVALID_JSON.with(format_args!("json: unknown field {field:?}"))),
        None => Ok(value),
    }
}
