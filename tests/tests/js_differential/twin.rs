//! Both servers, and one call made to both.

use std::time::Duration;

use anyhow::{Context, Result};
use async_nats::Client;
use futures_util::StreamExt;
use gatehouse_tests::{ConfServer, Kind};
use serde_json::{Value, json};

use crate::ops::{Fetch, Op};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

struct Side {
    client: Client,
    _server: ConfServer,
}

pub(crate) struct Twins {
    ours: Side,
    stock: Side,
}

impl Twins {
    /// `None` where there is no nats-server.
    pub(crate) async fn start() -> Result<Option<Self>> {
        let Some(stock) = side(Kind::Stock).await? else { return Ok(None) };
        let Some(ours) = side(Kind::Ours).await? else { return Ok(None) };
        Ok(Some(Self { ours, stock }))
    }

    pub(crate) async fn both(&self, op: &Op) -> Result<(Value, Value)> {
        let (ours, stock) = tokio::join!(self.ours.call(op), self.stock.call(op));
        Ok((ours.context("ours")?, stock.context("stock")?))
    }
}

async fn side(kind: Kind) -> Result<Option<Side>> {
    let conf =
        "server_name: twin\njetstream { store_dir: \"js\", max_memory_store: 1GB, max_file_store: 1GB }\n";
    let Some(server) = ConfServer::fresh(kind, conf).await? else { return Ok(None) };
    let client = async_nats::connect(server.url()).await?;
    Ok(Some(Side { client, _server: server }))
}

impl Side {
    async fn call(&self, op: &Op) -> Result<Value> {
        match op {
            Op::Api { subject, body } => {
                let payload = if body.is_null() { String::new() } else { body.to_string() };
                self.ask(subject, &[], payload.into_bytes()).await
            }
            Op::Publish { subject, headers, payload } => {
                self.ask(subject, headers, payload.clone().into_bytes()).await
            }
            Op::Fetch(fetch) => self.fetch(fetch).await,
        }
    }

    /// One request, one answer: as JSON where it is, else its headers and text.
    async fn ask(&self, subject: &str, headers: &[(String, String)], payload: Vec<u8>) -> Result<Value> {
        let request = async_nats::Request::new().timeout(Some(PATIENCE)).payload(payload.into());
        let request = if headers.is_empty() { request } else { request.headers(map(headers)) };
        match self.client.send_request(subject.to_owned(), request).await {
            Ok(answer) => Ok(show(&answer)),
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                Ok(json!("no responders"))
            }
            Err(error) => Err(error).with_context(|| format!("asking {subject}")),
        }
    }

    /// A pull, and what is said about each message that came.
    async fn fetch(&self, fetch: &Fetch) -> Result<Value> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await?;
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{}.{}", fetch.stream, fetch.consumer);
        self.client.publish_with_reply(subject, inbox, fetch.body.to_string().into()).await?;
        let mut came = Vec::new();
        let batch = fetch.body["batch"].as_u64().unwrap_or(1).max(1);
        // A batch that is complete has no end of its own.
        for turn in 0..batch {
            let message =
                tokio::time::timeout(PATIENCE, answers.next()).await.context("a pull without end")?;
            let Some(message) = message else { break };
            if message.status.is_some() {
                came.push(show(&message));
                break;
            }
            let reply = message.reply.clone();
            came.push(show(&message));
            let say = fetch.acks.iter().cycle().nth(usize::try_from(turn)?);
            if let (Some(reply), Some(say)) = (reply, say)
                && say != "none"
            {
                // A double ack: the next call must find it done.
                let done = self.client.request(reply, say.clone().into()).await;
                came.push(json!(done.is_ok()));
            }
        }
        Ok(json!(came))
    }
}

fn map(headers: &[(String, String)]) -> async_nats::HeaderMap {
    let mut map = async_nats::HeaderMap::new();
    for (name, value) in headers {
        map.append(name.as_str(), value.as_str());
    }
    map
}

/// Everything a message says, in a form that can be compared.
fn show(message: &async_nats::Message) -> Value {
    let body = String::from_utf8_lossy(&message.payload).into_owned();
    let body = serde_json::from_str(&body).unwrap_or(json!(body));
    let mut headers: Vec<String> = Vec::new();
    for (name, values) in message.headers.iter().flat_map(async_nats::HeaderMap::iter) {
        for value in values {
            headers.push(format!("{name}: {value}"));
        }
    }
    headers.sort();
    let plain = headers.is_empty() && message.status.is_none() && message.reply.is_none();
    if plain {
        return body;
    }
    // `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`: the time differs, and
    // what is pending between two runs of nats-server, too; consumer info, which is compared, has it exactly.
    let reply: Vec<String> =
        message.reply.iter().flat_map(|reply| reply.split('.').map(str::to_owned)).collect();
    let reply: Vec<&String> =
        reply.iter().enumerate().filter(|(at, _)| *at < 7).map(|(_, token)| token).collect();
    let subject = if message.subject.starts_with("_INBOX.") { "inbox" } else { message.subject.as_str() };
    json!({
        "subject": subject,
        "status": message.status.map(|status| status.as_u16()),
        "description": message.description,
        "headers": headers,
        "reply": reply,
        "payload": body,
    })
}
