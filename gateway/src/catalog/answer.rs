//! What is told of what the other side has answered.

use serde_json::{Map, Value, json};

use super::asking::Ask;

/// What a client may ask that concerns more than one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Figures of the account.
    Account,
    /// Names of streams, of those that take a subject if one is named.
    Names,
    /// The same with their info.
    List,
}

/// Pages asked of the other side for one answer, at most: each has some hundred streams.
const MAX_PAGES: usize = 1000;

impl Question {
    pub(super) const ALL: [Self; 3] = [Self::Account, Self::Names, Self::List];

    pub(super) fn subject(self) -> &'static str {
        match self {
            Self::Account => "$JS.API.INFO",
            Self::Names => "$JS.API.STREAM.NAMES",
            Self::List => "$JS.API.STREAM.LIST",
        }
    }

    pub(super) fn of_subject(subject: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|question| question.subject().as_bytes() == subject)
    }

    /// Most entries of one answer, as stock servers tell.
    fn page(self) -> usize {
        match self {
            Self::Names => 1024,
            Self::Account | Self::List => 256,
        }
    }

    /// The name of a stream in this question's answers.
    fn name(self, entry: &Value) -> Option<&str> {
        match self {
            Self::Names => entry.as_str(),
            Self::Account | Self::List => entry["config"]["name"].as_str(),
        }
    }
}

/// The answer to a client that knows the streams `known` says; `None` where the other side gave none.
pub(super) async fn find(
    question: Question,
    request: &[u8],
    known: &(impl Fn(&str) -> bool + Sync),
    bus: &impl Ask,
) -> Option<Value> {
    let request: Map<String, Value> = serde_json::from_slice(request).unwrap_or_default();
    if question == Question::Account {
        let mut document = ask(bus, question, Value::Null).await?;
        if document.get("error").is_none() {
            let streams = gather(Question::List, &Map::new(), known, bus).await.ok()??;
            account(&mut document, &streams);
        }
        return Some(document);
    }
    match gather(question, &request, known, bus).await {
        Ok(streams) => Some(page(question, &request, streams?)),
        Err(refusal) => Some(refusal),
    }
}

/// What the other side answers; what is no document is none.
async fn ask(bus: &impl Ask, question: Question, request: Value) -> Option<Value> {
    bus.ask(question.subject(), request).await.filter(Value::is_object)
}

/// All streams asked for that the client knows; what the other side said where it is an error.
async fn gather(
    question: Question,
    request: &Map<String, Value>,
    known: &(impl Fn(&str) -> bool + Sync),
    bus: &impl Ask,
) -> Result<Option<Vec<Value>>, Value> {
    let (mut streams, mut offset) = (Vec::new(), 0);
    for _ in 0..MAX_PAGES {
        let mut page = request.clone();
        page.insert("offset".into(), json!(offset));
        let Some(mut document) = ask(bus, question, Value::Object(page)).await else {
            return Ok(None);
        };
        if document.get("error").is_some() {
            return Err(document);
        }
        let total = document["total"].as_u64().unwrap_or_default();
        let Value::Array(entries) = document["streams"].take() else { break };
        offset += entries.len() as u64;
        let last = entries.is_empty() || offset >= total;
        streams.extend(entries.into_iter().filter(|entry| question.name(entry).is_some_and(known)));
        if last {
            break;
        }
    }
    Ok(Some(streams))
}

fn page(question: Question, request: &Map<String, Value>, streams: Vec<Value>) -> Value {
    let kind = if question == Question::Names { "stream_names" } else { "stream_list" };
    let offset = request.get("offset").and_then(Value::as_u64).unwrap_or_default();
    let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
    let (total, limit) = (streams.len(), question.page());
    let streams: Vec<Value> = streams.into_iter().skip(skipped).take(limit).collect();
    json!({
        "type": format!("io.nats.jetstream.api.v1.{kind}_response"),
        "total": total, "offset": offset, "limit": limit, "streams": streams,
    })
}

/// The account as far as its client knows it.
fn account(document: &mut Value, streams: &[Value]) {
    let bytes = |storage: &str| -> u64 {
        let of = streams.iter().filter(|stream| stream["config"]["storage"] == storage);
        of.filter_map(|stream| stream["state"]["bytes"].as_u64()).sum()
    };
    let consumers: u64 = streams.iter().filter_map(|stream| stream["state"]["consumer_count"].as_u64()).sum();
    let level = document.pointer("/api/level").and_then(Value::as_u64).unwrap_or_default();
    let figures = json!({
        "memory": bytes("memory"), "storage": bytes("file"), "reserved_memory": 0, "reserved_storage": 0,
        "streams": streams.len(), "consumers": consumers,
        "api": { "level": level, "total": 0, "errors": 0 },
    });
    if let (Some(document), Value::Object(figures)) = (document.as_object_mut(), figures) {
        document.extend(figures);
        document.remove("tiers");
    }
}
