//! The API in accounts without JetStream: whoever asks is told so.

use std::borrow::Cow;
use std::sync::{Arc, Weak};

use broker::{Call, Handler, HandlerPort, Letter, LocalError, Reception, Server};
use serde::Serialize;

use super::stream::{NO_PAGE, Page};
use super::{Answer, kind_of};
use crate::errors::NOT_ENABLED_FOR_ACCOUNT;

/// Answers in accounts that have no JetStream, for as long as it lives.
#[derive(Debug)]
pub(crate) struct Outsiders {
    handler: Arc<NotEnabled>,
    ports: Vec<HandlerPort>,
}

#[derive(Debug)]
struct NotEnabled;

impl Outsiders {
    pub(crate) fn new() -> Self {
        Self { handler: Arc::new(NotEnabled), ports: Vec::new() }
    }

    /// Begins to answer in one more account.
    pub(crate) fn add(&mut self, server: &Server, account: &str) -> Result<(), LocalError> {
        let weak: Weak<NotEnabled> = Arc::downgrade(&self.handler);
        let port = server.handler(account, "jetstream", weak);
        port.subscribe_here(b"$JS.API.>")?;
        self.ports.push(port);
        Ok(())
    }
}

impl Handler for NotEnabled {
    fn call(&self, call: &mut Call<'_>) -> Reception {
        // Streams may be at the other end of a link, or in the account the API is imported from.
        if call.elsewhere() {
            return Reception::Absent;
        }
        let Some(operation) = call.subject().strip_prefix(b"$JS.API.") else { return Reception::Absent };
        if [&b"CONSUMER.MSG.NEXT."[..], b"DIRECT.GET."].iter().any(|inline| operation.starts_with(inline)) {
            return Reception::Absent;
        }
        let operation: Cow<'_, str> = String::from_utf8_lossy(operation);
        let answer = refusal(&operation.split('.').collect::<Vec<_>>());
        for message in call.messages().filter(|message| !message.reply.is_empty()) {
            call.answer(&Letter { subject: message.reply, payload: &answer.body, ..Letter::default() });
        }
        Reception::Taken
    }
}

/// The fields that stand in a list beside an error.
#[derive(Serialize)]
struct NoStreams {
    #[serde(flatten)]
    page: Page,
    /// Of names none, of a list an empty one: as nats-server has it.
    streams: Option<[(); 0]>,
}

fn refusal(tokens: &[&str]) -> Answer {
    let (kind, error) = (kind_of(tokens), NOT_ENABLED_FOR_ACCOUNT.err());
    match tokens {
        ["STREAM", verb @ ("NAMES" | "LIST")] => {
            let streams = (*verb == "LIST").then_some([]);
            Answer::with::<(), _>(kind, Err(error), &NoStreams { page: NO_PAGE, streams })
        }
        ["STREAM", "INFO", _] => Answer::with::<(), _>(kind, Err(error), &NO_PAGE),
        ["CONSUMER", verb @ ("NAMES" | "LIST" | "PAUSE"), ..] => crate::consumers::refused(verb, error),
        _ => Answer::of::<()>(kind, Err(error)),
    }
}
