//! One stream after the other: its configuration, its messages, its consumers.

use std::sync::Arc;

use broker::Server;
use identity::Grant;
use jetstream::JetStream;
use jetstream::config::StreamConfig;
use jetstream::stream::Stream;
use serde_json::{Value, json};
use store::Append;

use super::arguments::Arguments;
use super::remote::{Message, Remote};

/// What came of a stream.
#[derive(Debug, Default)]
pub(super) struct Copied {
    pub(super) name: String,
    pub(super) messages: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) consumers: usize,
    /// What is different here.
    pub(super) notes: Vec<String>,
}

/// Copies what is wanted.
///
/// # Errors
/// The first thing that went wrong; streams copied before it stay.
pub(super) async fn streams(
    remote: &Remote,
    server: &Server,
    jetstream: &JetStream,
    arguments: &Arguments,
) -> Result<Vec<Copied>, String> {
    let all = remote.streams().await?;
    let name = |stream: &Value| stream["config"]["name"].as_str().unwrap_or_default().to_owned();
    if let Some(missing) =
        arguments.streams.iter().find(|wanted| !all.iter().any(|stream| name(stream) == **wanted))
    {
        return Err(format!("there is no stream {missing:?} to copy"));
    }
    let mut copied = Vec::new();
    for info in &all {
        if arguments.streams.is_empty() || arguments.streams.contains(&name(info)) {
            copied.push(one(remote, server, jetstream, &arguments.account, info).await?);
        }
    }
    Ok(copied)
}

async fn one(
    remote: &Remote,
    server: &Server,
    jetstream: &JetStream,
    account: &str,
    info: &Value,
) -> Result<Copied, String> {
    let mut copied = Copied::default();
    let (config, memory) = config(info, &mut copied)?;
    copied.name.clone_from(&config.name);
    let name = copied.name.clone();
    let stream =
        jetstream.create_stream(account, config).map_err(|error| format!("stream {name}: {error}"))?;
    let state = &info["state"];
    copied.first = state["first_seq"].as_u64().unwrap_or(0);
    copied.last = state["last_seq"].as_u64().unwrap_or(0);
    if memory {
        copied.notes.push("it is in memory: its messages end with the process and are not copied".to_owned());
    } else {
        copied.messages = messages(remote, jetstream, &stream, copied.first, copied.last).await?;
    }
    for consumer in remote.consumers(&name).await? {
        match self::consumer(server, account, &name, &consumer).await {
            Ok(()) => copied.consumers += 1,
            Err(why) => copied.notes.push(format!("consumer {}: {why}", consumer["name"])),
        }
    }
    Ok(copied)
}

/// The configuration as it is to be here, and whether the stream is in memory.
fn config(info: &Value, copied: &mut Copied) -> Result<(StreamConfig, bool), String> {
    let mut config = info["config"].clone();
    if config["num_replicas"].as_u64().unwrap_or(1) > 1 {
        copied.notes.push(format!("it had {} replicas", config["num_replicas"]));
        config["num_replicas"] = json!(1);
    }
    for key in ["mirror", "sources", "placement", "compression"] {
        if let Some(fields) = config.as_object_mut()
            && let Some(old) = fields.remove(key)
            && matches!(key, "mirror" | "sources")
        {
            copied
                .notes
                .push(format!("its {key} {old} is left out: it would be read again from the beginning"));
        }
    }
    let memory = config["storage"] == "memory";
    let config = serde_json::from_value(config);
    config.map(|config| (config, memory)).map_err(|error| format!("a stream's configuration: {error}"))
}

async fn messages(
    remote: &Remote,
    jetstream: &JetStream,
    stream: &Arc<Stream>,
    first: u64,
    last: u64,
) -> Result<u64, String> {
    let (mut from, mut count) = (first.max(1), 0);
    while let Some((found, next)) = remote.messages(&stream.name, from, last).await? {
        let appends: Vec<Append<'_>> = found.iter().map(append).collect();
        jetstream.import(stream, &appends).map_err(|error| format!("stream {}: {error}", stream.name))?;
        count += found.len() as u64;
        from = next;
        // What is acknowledged nowhere else must be safe before more is asked for.
        let waiting = stream.clone();
        let safe = tokio::task::spawn_blocking(move || waiting.log.wait()).await;
        safe.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    }
    jetstream.end_import(stream, last).map_err(|error| format!("stream {}: {error}", stream.name))?;
    Ok(count)
}

fn append(message: &Message) -> Append<'_> {
    Append {
        seq: Some(message.seq),
        time: message.time,
        subject: message.subject.as_bytes(),
        headers: &message.headers,
        payload: &message.payload,
        ..Append::default()
    }
}

/// A consumer goes on behind what was acknowledged without a gap: what was acknowledged further on comes again.
async fn consumer(server: &Server, account: &str, stream: &str, info: &Value) -> Result<(), String> {
    let mut config = info["config"].clone();
    let floor = info["ack_floor"]["stream_seq"].as_u64().unwrap_or(0);
    if floor > 0 {
        config["deliver_policy"] = json!("by_start_sequence");
        config["opt_start_seq"] = json!(floor + 1);
        if let Some(fields) = config.as_object_mut() {
            fields.remove("opt_start_time");
        }
    }
    if config["num_replicas"].as_u64().unwrap_or(0) > 1 {
        config["num_replicas"] = json!(0);
    }
    let name = info["name"].as_str().unwrap_or_default();
    let mut grant = Grant::unrestricted("import");
    grant.account = account.into();
    let mut client = server.local_client("import", Arc::new(grant));
    let subject = format!("$JS.API.CONSUMER.DURABLE.CREATE.{stream}.{name}");
    config["durable_name"] = json!(name);
    let body = json!({ "stream_name": stream, "config": config }).to_string();
    let answer =
        client.request(subject.as_bytes(), body.as_bytes()).await.map_err(|error| error.to_string())?;
    let answer: Value = serde_json::from_slice(&answer.payload).map_err(|error| error.to_string())?;
    match answer.get("error") {
        Some(error) => Err(error["description"].as_str().unwrap_or("refused").to_owned()),
        None => Ok(()),
    }
}
