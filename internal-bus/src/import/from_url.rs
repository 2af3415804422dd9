//! Streams of a server that runs, asked for one after the other.

use std::sync::Arc;

use jetstream::JetStream;
use jetstream::consumer::Position;
use jetstream::import::ForeignState;
use jetstream::stream::Stream;
use serde_json::Value;
use store::Append;

use super::arguments::Arguments;
use super::copy::{self, Copied};
use super::remote::{Message, Remote};

/// Copies what is wanted.
///
/// # Errors
/// The first thing that went wrong; streams copied before it stay.
pub(super) async fn streams(
    remote: &Remote,
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
    let account = arguments.account.as_deref().unwrap_or(identity::DEFAULT_ACCOUNT);
    jetstream.open_account(account);
    let mut copied = Vec::new();
    for info in &all {
        if arguments.streams.is_empty() || arguments.streams.contains(&name(info)) {
            copied.push(one(remote, jetstream, account, info).await?);
        }
    }
    Ok(copied)
}

async fn one(remote: &Remote, jetstream: &JetStream, account: &str, info: &Value) -> Result<Copied, String> {
    let mut copied = Copied::default();
    let (config, memory) = copy::config(info["config"].clone(), &mut copied)?;
    copied.name.clone_from(&config.name);
    let name = copied.name.clone();
    let stream = jetstream
        .create_stream(account, config, copy::stamp(&info["created"]))
        .map_err(|error| format!("stream {name}: {error}"))?;
    let state = &info["state"];
    copied.first = state["first_seq"].as_u64().unwrap_or(0);
    copied.last = state["last_seq"].as_u64().unwrap_or(0);
    if memory {
        copied.notes.push("it is in memory: its messages end with the process and are not copied".to_owned());
    } else {
        copied.messages = messages(remote, jetstream, &stream, copied.first, copied.last).await?;
    }
    for consumer in remote.consumers(&name).await? {
        match self::consumer(jetstream, &stream, &consumer, memory) {
            Ok(()) => copied.consumers += 1,
            Err(why) => copied.notes.push(format!("consumer {}: {why}", consumer["name"])),
        }
    }
    Ok(copied)
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
        copy::safe(stream).await?;
    }
    jetstream.end_import(stream, last).map_err(|error| format!("stream {}: {error}", stream.name))?;
    copy::safe(stream).await?;
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

/// A server that runs does not tell what waits: a consumer goes on behind what was acknowledged without a gap, and what
/// was acknowledged further on comes again.
fn consumer(jetstream: &JetStream, stream: &Stream, info: &Value, memory: bool) -> Result<(), String> {
    let place = |of: &str| info["ack_floor"][of].as_u64().unwrap_or(0);
    let floor = Position { consumer: place("consumer_seq"), stream: place("stream_seq") };
    let state = ForeignState { delivered: floor, floor, ..ForeignState::default() };
    let state = (floor.stream > 0 && !memory).then_some(state);
    let name = info["name"].as_str().unwrap_or_default();
    let foreign = copy::consumer(name, info["config"].clone(), copy::stamp(&info["created"]), state)?;
    jetstream.import_consumer(stream, foreign).map_err(|error| error.to_string())
}
