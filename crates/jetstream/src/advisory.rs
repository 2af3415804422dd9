//! Advisories: what is told to whoever watches, on `$JS.EVENT.ADVISORY.>`.

use serde::Serialize;

use crate::account::Account;
use crate::api::ClientInfo;
use crate::stamp::Stamp;

/// What happened to a stream or consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Action {
    /// It is new.
    Create,
    /// It is gone.
    Delete,
    /// Its configuration is another one.
    Modify,
}

/// Why a batch was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Abandoned {
    /// It was silent for too long.
    #[serde(rename = "timeout")]
    Timeout,
    /// It had too many messages.
    #[serde(rename = "large")]
    Large,
    /// A message is missing.
    #[serde(rename = "incomplete")]
    Incomplete,
    /// It asked for what is not there.
    #[serde(rename = "unsupported")]
    RequirementsNotMet,
}

/// Something to be published by the task that publishes for others.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) account: std::sync::Arc<str>,
    pub(crate) subject: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

#[derive(Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    timestamp: Stamp,
    #[serde(flatten)]
    body: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
}

#[derive(Serialize)]
struct StreamAction<'a> {
    stream: &'a str,
    action: Action,
}

#[derive(Serialize)]
struct BatchAbandoned<'a> {
    account: &'a str,
    stream: &'a str,
    batch: &'a str,
    reason: Abandoned,
}

#[derive(Serialize)]
struct Audit<'a> {
    server: &'a str,
    client: &'a ClientInfo,
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    request: &'a str,
    response: &'a str,
}

impl Account {
    /// Tells whoever listens to `subject`, in this account; costs little when nobody does. `kind` is what follows
    /// `io.nats.jetstream.` in the type, as `advisory.v1.stream_action`. May be called from anywhere.
    pub(crate) fn advise<T: Serialize>(&self, subject: &str, kind: &str, body: T) {
        let Some(hub) = self.hub() else { return };
        if !self.port.has_interest(subject.as_bytes()) {
            return;
        }
        let event = Event {
            kind: format!("io.nats.jetstream.{kind}"),
            id: hub.token(),
            timestamp: hub.now(),
            body,
            domain: hub.settings.domain.as_deref(),
        };
        let payload = serde_json::to_vec(&event).unwrap_or_default();
        let outgoing = Outgoing { account: self.name.clone(), subject: subject.as_bytes().to_vec(), payload };
        if hub.outgoing.push(outgoing).is_err() {
            tracing::debug!(account = %self.name, subject, "advisory not sent: too many wait");
        }
    }

    pub(crate) fn advise_stream(&self, stream: &str, action: Action) {
        let word = match action {
            Action::Create => "CREATED",
            Action::Delete => "DELETED",
            Action::Modify => "UPDATED",
        };
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.{word}.{stream}");
        self.advise(&subject, "advisory.v1.stream_action", StreamAction { stream, action });
    }

    pub(crate) fn advise_batch(&self, stream: &str, batch: &str, reason: Abandoned) {
        let subject = format!("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED.{stream}");
        let body = BatchAbandoned { account: &self.name, stream, batch, reason };
        self.advise(&subject, "advisory.v1.stream_batch_abandoned", body);
    }

    /// Tells of an API request and its answer.
    pub(crate) fn audit(&self, request: &crate::api::Request, response: &[u8]) {
        let Some(hub) = self.hub() else { return };
        let body = Audit {
            server: hub.server.name(),
            client: &request.client,
            subject: &String::from_utf8_lossy(&request.subject),
            request: &String::from_utf8_lossy(&request.body),
            response: &String::from_utf8_lossy(response),
        };
        self.advise("$JS.EVENT.ADVISORY.API", "advisory.v1.api_audit", body);
    }
}
