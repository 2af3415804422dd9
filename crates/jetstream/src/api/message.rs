//! The API of single messages: get and delete.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use store::{Erase, Filter, Message};

use super::{Answer, Request, read};
use crate::account::Account;
use crate::config::Storage;
use crate::errors::{self as e, ApiError};
use crate::hub::Hub;
use crate::stamp::Stamp;
use crate::stream::Stream;

/// Which message, or messages, are wanted; of `STREAM.MSG.GET` and of direct gets.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct GetRequest {
    pub(crate) seq: u64,
    pub(crate) last_by_subj: String,
    pub(crate) next_by_subj: String,
    pub(crate) batch: i64,
    pub(crate) max_bytes: i64,
    pub(crate) start_time: Option<Stamp>,
    pub(crate) multi_last: Vec<String>,
    pub(crate) up_to_seq: u64,
    pub(crate) up_to_time: Option<Stamp>,
    pub(crate) no_hdr: bool,
}

#[derive(Debug, Serialize)]
struct Got {
    message: StoredMessage,
}

#[derive(Debug, Serialize)]
struct StoredMessage {
    subject: String,
    seq: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    hdrs: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    data: String,
    time: Stamp,
}

/// `STREAM.MSG.GET.<name>`
pub(super) fn get(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request, name: &str) -> Answer {
    let got = got(hub, account, request, name).map(|(message, without_headers)| Got {
        message: StoredMessage {
            subject: String::from_utf8_lossy(message.subject()).into_owned(),
            seq: message.seq,
            hdrs: if without_headers { String::new() } else { STANDARD.encode(message.headers()) },
            data: STANDARD.encode(message.payload()),
            time: Stamp(message.time.cast_signed()),
        },
    });
    Answer::of("stream_msg_get_response", got)
}

fn got(hub: &Hub, account: &Account, request: &Request, name: &str) -> Result<(Message, bool), ApiError> {
    if is_empty(request) {
        return Err(e::BAD_REQUEST.err());
    }
    let wanted: GetRequest = read(&request.body, hub.settings.strict)?;
    let (last, next) = (!wanted.last_by_subj.is_empty(), !wanted.next_by_subj.is_empty());
    let timed = wanted.start_time.is_some();
    let contradicts = (wanted.seq > 0 && last)
        || (wanted.seq == 0 && !last && !next && !timed)
        || (wanted.seq > 0 && timed)
        || (timed && last)
        || (last && next);
    if wanted.batch > 0 || wanted.max_bytes > 0 || contradicts {
        return Err(e::BAD_REQUEST.err());
    }
    let stream = account.stream(name).ok_or_else(|| e::STREAM_NOT_FOUND.err())?;
    let message = find(&stream, &wanted).map_err(|error| e::STREAM_STORE_FAILED.with(error))?;
    Ok((message.ok_or_else(|| e::NO_MESSAGE_FOUND.err())?, wanted.no_hdr))
}

/// The one message that is asked for.
pub(super) fn find(stream: &Stream, wanted: &GetRequest) -> Result<Option<Message>, store::ReadError> {
    let log = &stream.log;
    let seq = match wanted.start_time {
        Some(time) => log.seq_at(time.0.max(0).unsigned_abs()),
        None => wanted.seq,
    };
    if !wanted.next_by_subj.is_empty() {
        return log.next(&Filter::new([&wanted.next_by_subj]), seq);
    }
    if seq > 0 {
        return log.get(seq);
    }
    log.last(&Filter::new([&wanted.last_by_subj]))
}

fn is_empty(request: &Request) -> bool {
    matches!(request.body.trim_ascii(), b"" | b"{}" | b"[]" | b"null")
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeleteRequest {
    seq: u64,
    no_erase: bool,
}

#[derive(Debug, Serialize)]
struct Deleted {
    success: bool,
}

/// `STREAM.MSG.DELETE.<name>`
pub(super) fn delete(hub: &Arc<Hub>, account: &Arc<Account>, request: &Request, name: &str) -> Answer {
    let deleted = deleted(hub, account, request, name).map(|()| Deleted { success: true });
    Answer::of("stream_msg_delete_response", deleted)
}

/// There is no such message to delete: nats-server's words for it depend on where the messages are kept.
fn not_there(stream: &Stream, seq: u64) -> ApiError {
    match stream.config().storage {
        Storage::Memory => e::SEQUENCE_NOT_FOUND.with(seq),
        Storage::File if seq > stream.log.last_seq() => e::STREAM_MSG_DELETE_FAILED.with("stream store EOF"),
        Storage::File => e::STREAM_MSG_DELETE_FAILED.with("no message found"),
    }
}

fn deleted(hub: &Hub, account: &Account, request: &Request, name: &str) -> Result<(), ApiError> {
    if is_empty(request) {
        return Err(e::BAD_REQUEST.err());
    }
    let wanted: DeleteRequest = read(&request.body, hub.settings.strict)?;
    let stream = account.stream(name).ok_or_else(|| e::STREAM_NOT_FOUND.err())?;
    let config = stream.config();
    if config.sealed {
        return Err(e::STREAM_SEALED.err());
    }
    if config.deny_delete {
        return Err(e::STREAM_MSG_DELETE_FAILED.with("message delete not permitted"));
    }
    let erase = if wanted.no_erase { Erase::No } else { Erase::Yes };
    match stream.log.delete(wanted.seq, erase) {
        Err(error) => Err(e::STREAM_MSG_DELETE_FAILED.with(error)),
        Ok(None) => Err(not_there(&stream, wanted.seq)),
        Ok(Some(gone)) => {
            stream.note_usage();
            stream.messages_went();
            stream.wait_for(gone.position).map_err(|error| e::STREAM_MSG_DELETE_FAILED.with(error))
        }
    }
}
