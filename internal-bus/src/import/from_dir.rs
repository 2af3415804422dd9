//! Streams in the files of a server that does not run.

use std::path::Path;
use std::sync::Arc;

use jetstream::JetStream;
use jetstream::consumer::Position;
use jetstream::import::ForeignState;
use jetstream::stream::Stream;
use natsfiles::{ConsumerState, Kind, Record, StreamFiles};
use serde_json::Value;
use store::Append;

use super::arguments::Arguments;
use super::copy::{self, Copied};

/// Messages appended at once.
const AT_ONCE: usize = 1024;

/// Copies what is wanted.
///
/// # Errors
/// The first thing that went wrong; streams copied before it stay. What is damaged in the files is no error here:
/// [`Copied::lost`] names it.
pub(super) async fn streams(
    dir: &Path,
    jetstream: &JetStream,
    arguments: &Arguments,
) -> Result<Vec<Copied>, String> {
    let accounts = natsfiles::find(dir).map_err(|error| error.to_string())?;
    let wanted = |account: &str| arguments.account.as_deref().is_none_or(|wanted| wanted == account);
    let mut missing: Vec<&str> = arguments.streams.iter().map(String::as_str).collect();
    let mut copied = Vec::new();
    for account in accounts.iter().filter(|account| wanted(&account.name)) {
        for dir in &account.streams {
            let name = dir.file_name().unwrap_or_default().to_string_lossy();
            missing.retain(|wanted| *wanted != name);
            if arguments.streams.is_empty() || arguments.streams.iter().any(|wanted| *wanted == name) {
                copied.push(one(dir, jetstream, &account.name).await?);
            }
        }
    }
    match missing.first() {
        Some(missing) => Err(format!("there is no stream {missing:?} to copy")),
        None if copied.is_empty() => Err(format!("{}: no stream of that account", dir.display())),
        None => Ok(copied),
    }
}

async fn one(dir: &Path, jetstream: &JetStream, account: &str) -> Result<Copied, String> {
    let files = StreamFiles::open(dir).map_err(|error| error.to_string())?;
    let fault =
        |error: &dyn std::fmt::Display| format!("stream {} of account {account}: {error}", files.name);
    let mut copied = Copied { notes: files.notes.clone(), ..Copied::default() };
    let mut json: Value = serde_json::from_slice(&files.config).map_err(|error| fault(&error))?;
    let created = json.as_object_mut().and_then(|fields| fields.remove("Created"));
    let (config, _) = copy::config(json, &mut copied).map_err(|error| fault(&error))?;
    let created = created.as_ref().and_then(copy::stamp);
    copied.name.clone_from(&config.name);
    let stream = jetstream.create_stream(account, config, created).map_err(|error| fault(&error))?;
    (copied.first, copied.last) = (files.first, files.last);
    for at in 0..files.blocks() {
        let (stored, lost) = files.messages_of(at, |found| append(jetstream, &stream, found));
        copied.messages += stored.unwrap_or(Ok(0)).map_err(|error| fault(&error))?;
        copied.lost.extend(lost.iter().map(ToString::to_string));
        copy::safe(&stream).await?;
    }
    jetstream.end_import(&stream, files.last).map_err(|error| fault(&error))?;
    copy::safe(&stream).await?;
    if !files.is_indexed() {
        // Some of what was read did not last.
        let state = stream.info().state;
        (copied.messages, copied.first) = (state.messages, state.first_seq);
    }
    if let Some(there) = files.messages.filter(|there| *there > copied.messages) {
        let (dir, lost) = (dir.display(), there - copied.messages);
        copied.lost.push(format!("{dir}: {lost} messages of {there} are in none of its blocks"));
    }
    consumers(&files, jetstream, &stream, &mut copied)?;
    Ok(copied)
}

fn append(jetstream: &JetStream, stream: &Stream, found: &[Record<'_>]) -> Result<u64, String> {
    let mut stored = 0;
    for run in found.chunk_by(|before, after| before.kind == after.kind) {
        if run.first().is_some_and(|record| record.kind == Kind::Tombstone) {
            let gone: Vec<u64> = run.iter().map(|record| record.sequence).collect();
            jetstream.import_deletions(stream, &gone).map_err(|error| error.to_string())?;
            continue;
        }
        for some in run.chunks(AT_ONCE) {
            let appends: Vec<Append<'_>> = some.iter().map(message).collect();
            jetstream.import(stream, &appends).map_err(|error| error.to_string())?;
        }
        stored += run.len() as u64;
    }
    Ok(stored)
}

fn message<'a>(record: &Record<'a>) -> Append<'a> {
    Append {
        seq: Some(record.sequence),
        time: record.time.try_into().unwrap_or(0),
        subject: record.subject,
        headers: record.headers,
        payload: record.payload,
        ..Append::default()
    }
}

fn consumers(
    files: &StreamFiles,
    jetstream: &JetStream,
    stream: &Arc<Stream>,
    copied: &mut Copied,
) -> Result<(), String> {
    for consumer in files.consumers().map_err(|error| error.to_string())? {
        let consumer = match consumer {
            Ok(consumer) => consumer,
            Err(error) => {
                copied.lost.push(format!("a consumer: {error}"));
                continue;
            }
        };
        match self::consumer(jetstream, stream, &consumer) {
            Ok(()) => copied.consumers += 1,
            Err(why) => copied.lost.push(format!("consumer {}: {why}", consumer.name)),
        }
    }
    Ok(())
}

fn consumer(jetstream: &JetStream, stream: &Stream, consumer: &natsfiles::Consumer) -> Result<(), String> {
    let mut config: Value = serde_json::from_slice(&consumer.config).map_err(|error| error.to_string())?;
    let created = config.as_object_mut().and_then(|fields| {
        fields.remove("Name");
        fields.remove("Created")
    });
    let created = created.as_ref().and_then(copy::stamp);
    let foreign = copy::consumer(&consumer.name, config, created, consumer.state.as_ref().map(state))?;
    jetstream.import_consumer(stream, foreign).map_err(|error| error.to_string())
}

fn state(state: &ConsumerState) -> ForeignState {
    let place = |(consumer, stream)| Position { consumer, stream };
    let times = |times: u64| u32::try_from(times.saturating_add(1)).unwrap_or(u32::MAX);
    ForeignState {
        delivered: place(state.delivered),
        floor: place(state.floor),
        pending: state
            .pending
            .iter()
            .map(|waits| (waits.sequence, waits.delivery, waits.since.saturating_mul(1_000_000_000)))
            .collect(),
        deliveries: state.again.iter().map(|(sequence, again)| (*sequence, times(*again))).collect(),
    }
}
