//! The server streams are copied from, asked by its JetStream API.

use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::arguments::Arguments;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Requests for messages that are under way.
const AT_ONCE: u64 = 128;

/// A connection.
pub(super) struct Remote(Client);

/// A message as it is there.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) seq: u64,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) subject: String,
    pub(super) headers: Vec<u8>,
    pub(super) payload: Vec<u8>,
}

impl Remote {
    /// Logs in.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) async fn connect(arguments: &Arguments) -> Result<Self, String> {
        let mut options = ConnectOptions::new().name("internal-bus import").request_timeout(Some(PATIENCE));
        if let Some(file) = &arguments.creds {
            options = options
                .credentials_file(file)
                .await
                .map_err(|error| format!("{}: {error}", file.display()))?;
        }
        if let Some(file) = &arguments.ca {
            options = options.add_root_certificates(file.clone()).require_tls(true);
        }
        if let (Some(cert), Some(key)) = (&arguments.cert, &arguments.key) {
            options = options.add_client_certificate(cert.clone(), key.clone()).require_tls(true);
        }
        // The URL may hold a password: it is not repeated.
        let client = options.connect(&arguments.from).await;
        client.map(Self).map_err(|error| format!("the server to copy from can't be reached: {error}"))
    }

    async fn ask(&self, what: &str, body: &Value) -> Result<Value, String> {
        let payload = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.0.request(format!("$JS.API.{what}"), payload.into()).await;
        let answer = answer.map_err(|error| format!("{what}: {error}"))?;
        serde_json::from_slice(&answer.payload).map_err(|error| format!("{what}: {error}"))
    }

    /// Everything of a list that is told in pages.
    async fn list(&self, what: &str, field: &str) -> Result<Vec<Value>, String> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let mut page = self.ask(what, &json!({ "offset": all.len() })).await?;
            if let Some(error) = page.get("error") {
                return Err(format!("{what}: {error}"));
            }
            let Some(Value::Array(items)) = page.get_mut(field).map(Value::take) else { return Ok(all) };
            let total = page["total"].as_u64().unwrap_or(0);
            if items.is_empty() {
                return Ok(all);
            }
            all.extend(items);
            if all.len() as u64 >= total {
                return Ok(all);
            }
        }
    }

    /// All streams, as `STREAM.INFO` tells them.
    pub(super) async fn streams(&self) -> Result<Vec<Value>, String> {
        self.list("STREAM.LIST", "streams").await
    }

    /// All consumers of a stream.
    pub(super) async fn consumers(&self, stream: &str) -> Result<Vec<Value>, String> {
        self.list(&format!("CONSUMER.LIST.{stream}"), "consumers").await
    }

    /// The messages from `from` on, in order: some at a time, and where to go on; `None` at the end.
    pub(super) async fn messages(
        &self,
        stream: &str,
        from: u64,
        last: u64,
    ) -> Result<Option<(Vec<Message>, u64)>, String> {
        if from > last {
            return Ok(None);
        }
        let until = last.min(from + AT_ONCE - 1);
        let wanted = (from..=until).map(|seq| self.message(stream, json!({ "seq": seq })));
        let wanted = futures_util::stream::iter(wanted).buffered(usize::try_from(AT_ONCE).unwrap_or(1));
        let mut found = Vec::new();
        for message in wanted.collect::<Vec<_>>().await {
            found.extend(message?);
        }
        if found.is_empty() {
            // A wide gap: the server knows where it ends.
            let next = json!({ "seq": until + 1, "next_by_subj": ">" });
            return Ok(self.message(stream, next).await?.map(|message| {
                let seq = message.seq;
                (vec![message], seq + 1)
            }));
        }
        Ok(Some((found, until + 1)))
    }

    /// One message; `None` when it is not there any more.
    async fn message(&self, stream: &str, body: Value) -> Result<Option<Message>, String> {
        let answer = self.ask(&format!("STREAM.MSG.GET.{stream}"), &body).await?;
        if let Some(error) = answer.get("error") {
            return if error["err_code"] == 10037 {
                Ok(None)
            } else {
                Err(format!("{stream} {body}: {error}"))
            };
        }
        read(&answer["message"])
            .map(Some)
            .ok_or_else(|| format!("{stream} {body}: an answer that can't be read"))
    }
}

fn read(message: &Value) -> Option<Message> {
    let bytes = |field: &str| match message.get(field).and_then(Value::as_str) {
        Some(text) => BASE64_STANDARD.decode(text).ok(),
        None => Some(Vec::new()),
    };
    let time: jetstream::stamp::Stamp = serde_json::from_value(message.get("time")?.clone()).ok()?;
    Some(Message {
        seq: message.get("seq")?.as_u64()?,
        time: u64::try_from(time.0).ok()?,
        subject: message.get("subject")?.as_str()?.to_owned(),
        headers: bytes("hdrs")?,
        payload: bytes("data")?,
    })
}
