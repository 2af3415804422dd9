//! `/api/v1/…`: commands and questions in JSON, for those who have proved that they may ask.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Path, Query as Pairs, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use serde_json::{Map, Value, json};

use super::login::{AdminLogin, Admission, Peer};
use super::query::Query;
use crate::audit::{Audit, Event, Kind};

/// What a path is asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A question; changes nothing.
    Get,
    /// A command.
    Post,
    /// A command that takes something away.
    Delete,
}

impl Method {
    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// A request that was let in.
#[derive(Debug, Clone, Default)]
pub struct ApiRequest {
    /// The parameters behind `?`.
    pub query: Query,
    /// The body; null where there is none.
    pub body: Value,
    /// What stands in the place of `{tail}` in the path; empty without one.
    pub tail: String,
    /// Who asks, for what is written down about it.
    pub actor: String,
}

impl ApiRequest {
    /// The body as `T`.
    ///
    /// # Errors
    /// 400, saying what does not fit.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, ApiError> {
        serde_json::from_value(self.body.clone()).map_err(|error| ApiError::bad(error.to_string()))
    }
}

/// Why a request was not done, told as `{"error": …}`.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    status: u16,
    members: Map<String, Value>,
}

impl ApiError {
    /// An error with an HTTP status of its own.
    #[must_use]
    pub fn new(status: u16, error: impl Into<String>) -> Self {
        let mut members = Map::new();
        members.insert("error".to_owned(), Value::String(error.into()));
        Self { status, members }
    }

    /// 400: the request makes no sense.
    #[must_use]
    pub fn bad(error: impl Into<String>) -> Self {
        Self::new(400, error)
    }

    /// 404: there is no such thing.
    #[must_use]
    pub fn missing(error: impl Into<String>) -> Self {
        Self::new(404, error)
    }

    /// Another member of the answer.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The error in words.
    #[must_use]
    pub fn message(&self) -> &str {
        self.members.get("error").and_then(Value::as_str).unwrap_or_default()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json_answer(status, &Value::Object(self.members))
    }
}

pub(super) fn json_answer(status: StatusCode, body: &Value) -> Response {
    // No cache may keep what was asked with a credential. `{:#}` of a JSON value can't fail.
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{body:#}\n")).into_response()
}

type Handler = dyn Fn(&ApiRequest) -> Result<Value, ApiError> + Send + Sync;
type FormHandler = dyn Fn(&Query) -> Result<Value, ApiError> + Send + Sync;

/// One path with one method.
pub(super) struct Command {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) handler: Arc<Handler>,
}

/// What all commands share.
#[derive(Clone, Default)]
pub(super) struct Gate {
    pub(super) login: AdminLogin,
    pub(super) audit: Audit,
}

#[derive(Clone)]
struct Ready {
    gate: Gate,
    command: Arc<Command>,
}

/// Mounts a command.
pub(super) fn mount(router: Router, gate: &Gate, command: Command) -> Router {
    let path = command.path.clone();
    let filter = command.method.filter();
    let ready = Ready { gate: gate.clone(), command: Arc::new(command) };
    router.route(&path, on(filter, run).with_state(ready))
}

/// The end of a path, where it has one.
struct Tail(String);

impl<S: Send + Sync> FromRequestParts<S> for Tail {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let path = Path::<Map<String, Value>>::from_request_parts(parts, state).await;
        let tail = path.ok().and_then(|Path(mut members)| members.remove("tail"));
        Ok(Self(tail.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned()))
    }
}

async fn run(
    State(Ready { gate, command }): State<Ready>,
    peer: Peer,
    Tail(tail): Tail,
    headers: HeaderMap,
    pairs: Result<Pairs<Vec<(String, String)>>, axum::extract::rejection::QueryRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let changes = command.method != Method::Get;
    let actor = match gate.login.admit(&headers, &peer, changes) {
        Admission::Granted(actor) => actor,
        Admission::Refused(error) => {
            let event = Event::new(Kind::AdminDenied)
                .with_some("address", peer.address.map(|address| address.to_string()))
                .with_some("certificate", peer.certificate)
                .with("request", format!("{} {}", command.method.name(), command.path))
                .detail(error.message());
            gate.audit.note(event);
            return error.into_response();
        }
    };
    let request =
        pairs.map_err(|_| ApiError::bad("the parameters can't be read")).and_then(|Pairs(pairs)| {
            let body = read_body(&headers, body)?;
            Ok(ApiRequest { query: Query::new(pairs), body, tail: tail.clone(), actor: actor.clone() })
        });
    let outcome = match request {
        Ok(request) => {
            let command = Arc::clone(&command);
            // Handlers may write to the disk: the probes must not wait for that.
            tokio::task::spawn_blocking(move || (command.handler)(&request))
                .await
                .unwrap_or_else(|_| Err(ApiError::new(500, "the request failed, see the log")))
        }
        Err(error) => Err(error),
    };
    if changes {
        let status = outcome.as_ref().map_or_else(ApiError::status, |_| 200);
        let event = Event::new(Kind::Admin)
            .with("actor", actor)
            .with_some("address", peer.address.map(|address| address.to_string()))
            .with("request", format!("{} {}", command.method.name(), command.path))
            .with("object", tail)
            .with("status", status);
        gate.audit.note(event);
    }
    match outcome {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err(error) => error.into_response(),
    }
}

fn read_body(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Value, ApiError> {
    let body = body
        .map_err(|error| ApiError::new(error.status().as_u16(), "the body is too large, or was cut off"))?;
    if body.is_empty() {
        return Ok(Value::Null);
    }
    // Also what keeps a page in somebody's browser from sending commands: a form can't have this type.
    if !media_type(headers).eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(415, "expected a body of type application/json"));
    }
    serde_json::from_slice(&body).map_err(|error| ApiError::bad(format!("the body is not JSON: {error}")))
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// Mounts what takes a form from whoever sends it: the form itself has to prove that it is good.
pub(super) fn mount_form(router: Router, path: &str, handler: Arc<FormHandler>) -> Router {
    router.route(path, on(MethodFilter::POST, run_form).with_state(handler))
}

async fn run_form(
    State(handler): State<Arc<FormHandler>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let fields = body.map_err(|_| ApiError::new(413, "the form is too large")).and_then(|body| {
        if !media_type(&headers).eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(ApiError::new(415, "expected a body of type application/x-www-form-urlencoded"));
        }
        form(&body).ok_or_else(|| ApiError::bad("the form can't be read"))
    });
    let outcome = match fields {
        Ok(fields) => tokio::task::spawn_blocking(move || handler(&fields))
            .await
            .unwrap_or_else(|_| Err(ApiError::new(500, "the request failed, see the log"))),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(value) => json_answer(StatusCode::OK, &value),
        Err(error) => error.into_response(),
    }
}

/// The fields of a form, which is written like the parameters behind a path.
fn form(body: &[u8]) -> Option<Query> {
    let uri = format!("/?{}", std::str::from_utf8(body).ok()?).parse().ok()?;
    let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(&uri).ok()?;
    Some(Query::new(pairs))
}

/// The answer to what nothing answers.
pub(super) async fn nothing_here() -> Response {
    json_answer(StatusCode::NOT_FOUND, &json!({"error": "there is nothing at this path"}))
}
