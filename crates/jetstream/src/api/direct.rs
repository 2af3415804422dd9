//! Direct gets: messages as they are, with headers that say where they stand. Answered in the publisher's task.

use std::sync::Arc;

use broker::{Call, Letter, Message as Asked, Reception};
use store::{Filter, Message, Point};

use super::message::{GetRequest, find};
use crate::account::Account;
use crate::stamp::Stamp;
use crate::stream::{Stream, headers};

/// Messages answered at once where no batch is named.
const MULTI: usize = 1024;
/// Bytes of a batch where nothing else is said: what a client may have pending.
const BYTES: usize = 64 * 1024 * 1024;

/// `DIRECT.GET.<stream>[.<subject>]`
pub(super) fn get(account: &Account, call: &mut Call<'_>, rest: &[u8]) -> Reception {
    let (name, key) = match memchr::memchr(b'.', rest) {
        Some(dot) => (rest.get(..dot).unwrap_or_default(), rest.get(dot + 1..)),
        None => (rest, None),
    };
    let Some(stream) = std::str::from_utf8(name).ok().and_then(|name| served(account, name)) else {
        return Reception::Absent;
    };
    for asked in call.messages().filter(|asked| !asked.reply.is_empty()) {
        let mut answers = Answers { call, to: asked.reply };
        if let Some(key) = key.filter(|key| plain(&asked, key)) {
            // What key-value clients do all the time.
            match stream.log.newest(key) {
                Ok(Some(message)) => answers.message(&stream, &message),
                _ => answers.status("404 Message Not Found"),
            }
            continue;
        }
        match request(&asked, key) {
            Err(status) => answers.status(status),
            Ok(wanted) if !wanted.multi_last.is_empty() => multi(&stream, &wanted, &mut answers),
            Ok(wanted) if wanted.batch > 0 => batch(&stream, &wanted, &mut answers),
            Ok(wanted) => one(&stream, &wanted, &mut answers),
        }
    }
    Reception::Taken
}

/// The stream that answers direct gets of a name: the one that has it, or for one that is elsewhere, its mirror.
fn served(account: &Account, name: &str) -> Option<Arc<Stream>> {
    if let Some(stream) = account.stream(name) {
        return stream.config().allow_direct.then_some(stream);
    }
    account.streams().into_iter().find(|stream| {
        let config = stream.config();
        config.mirror_direct && config.mirror.as_ref().is_some_and(|mirror| mirror.name == name)
    })
}

/// Whether nothing but the newest message of one subject is asked for.
fn plain(asked: &Asked<'_>, key: &[u8]) -> bool {
    asked.payload.is_empty() && asked.headers.is_empty() && !key.is_empty() && !subject::has_wildcard(key)
}

struct Answers<'a, 'c> {
    call: &'a mut Call<'c>,
    to: &'a [u8],
}

impl Answers<'_, '_> {
    fn send(&mut self, headers: &[u8], payload: &[u8]) {
        self.call.answer(&Letter { subject: self.to, headers, payload, ..Letter::default() });
    }

    fn message(&mut self, stream: &Stream, message: &Message) {
        self.send(&headers_of(stream, message, None), message.payload());
    }

    fn status(&mut self, status: &str) {
        self.send(format!("NATS/1.0 {status}\r\n\r\n").as_bytes(), b"");
    }
}

/// Reads and checks a request; `key` is the subject in the request's own subject.
fn request(asked: &Asked<'_>, key: Option<&[u8]>) -> Result<GetRequest, &'static str> {
    if super::level_too_high(asked.headers) {
        return Err("412 Required Api Level");
    }
    let mut wanted = GetRequest::default();
    if !asked.payload.is_empty() {
        wanted = super::json(asked.payload)
            .and_then(serde_json::from_value)
            .map_err(|_| "408 Malformed Request")?;
    } else if key.is_none() {
        return Err("408 Empty Request");
    }
    let (seq, timed) = (wanted.seq > 0, wanted.start_time.is_some());
    let (last, next) = (!wanted.last_by_subj.is_empty(), !wanted.next_by_subj.is_empty());
    let multi = !wanted.multi_last.is_empty();
    if let Some(key) = key {
        let more = last || next || multi || seq || timed || wanted.batch != 0;
        if key.is_empty() || more || wanted.up_to_seq != 0 || wanted.up_to_time.is_some() {
            return Err("408 Bad Request");
        }
        wanted.last_by_subj = String::from_utf8(key.to_vec()).map_err(|_| "408 Bad Request")?;
        return Ok(wanted);
    }
    if !(seq || last || next || multi || timed) {
        return Err("408 Empty Request");
    }
    let batch = wanted.batch > 0;
    let pairs = [
        (seq, last),
        (seq, timed),
        (timed, last),
        (last, next),
        (last, batch),
        (last, multi),
        (next, multi),
        (wanted.up_to_seq > 0, wanted.up_to_time.is_some()),
    ];
    if pairs.contains(&(true, true)) { Err("408 Bad Request") } else { Ok(wanted) }
}

/// The headers of an answer: those of the message, and where it stands. `place`: messages still to come, and the
/// sequence before.
fn headers_of(stream: &Stream, message: &Message, place: Option<(u64, u64)>) -> Vec<u8> {
    let own = message.headers();
    let mut out = Vec::with_capacity(own.len() + message.subject().len() + 160);
    let names = [&b"Nats-Stream"[..], b"Nats-Subject", b"Nats-Sequence", b"Nats-Time-Stamp"];
    if own.is_empty() {
        out.extend_from_slice(b"NATS/1.0\r\n");
    } else if memchr::memmem::find(own, b"\r\nNats-").is_none() {
        out.extend_from_slice(own.strip_suffix(b"\r\n").unwrap_or(own));
    } else {
        // A message that was itself the answer of a direct get: its old place is not told.
        let mut block = own.to_vec();
        for name in names.into_iter().chain([&b"Nats-Num-Pending"[..], b"Nats-Last-Sequence"]) {
            if headers::get(&block, name).is_some() {
                block = headers::set(&block, name, None);
            }
        }
        if block.is_empty() {
            block.extend_from_slice(b"NATS/1.0\r\n\r\n");
        }
        out.extend_from_slice(block.strip_suffix(b"\r\n").unwrap_or(&block));
    }
    out.extend_from_slice(b"Nats-Stream: ");
    out.extend_from_slice(stream.name.as_bytes());
    out.extend_from_slice(b"\r\nNats-Subject: ");
    out.extend_from_slice(message.subject());
    let time = Stamp(message.time.cast_signed());
    out.extend_from_slice(b"\r\nNats-Sequence: ");
    wire::encode::decimal(&mut out, message.seq);
    out.extend_from_slice(b"\r\nNats-Time-Stamp: ");
    time.write(&mut out);
    out.extend_from_slice(b"\r\n");
    if let Some((pending, before)) = place {
        let rest = format!("Nats-Num-Pending: {pending}\r\nNats-Last-Sequence: {before}\r\n");
        out.extend_from_slice(rest.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

fn one(stream: &Stream, wanted: &GetRequest, answers: &mut Answers<'_, '_>) {
    match find(stream, wanted) {
        Ok(Some(message)) if wanted.no_hdr => answers.send(b"", message.payload()),
        Ok(Some(message)) => answers.message(stream, &message),
        _ => answers.status("404 Message Not Found"),
    }
}

fn batch(stream: &Stream, wanted: &GetRequest, answers: &mut Answers<'_, '_>) {
    let filter =
        if wanted.next_by_subj.is_empty() { Filter::all() } else { Filter::new([&wanted.next_by_subj]) };
    let mut next = match wanted.start_time {
        Some(time) => stream.log.seq_at(time.0.max(0).unsigned_abs()),
        None => wanted.seq,
    };
    let last = stream.log.last_seq();
    let mut pending = stream.log.num_pending(&filter, next, false);
    let mut bytes = max_bytes(wanted);
    let (mut left, mut before) = (usize::try_from(wanted.batch).unwrap_or(0), 0);
    while left > 0 && bytes > 0 && next <= last {
        let Ok(scan) = stream.log.scan(&filter, next, last, left.min(256), bytes) else { break };
        for message in &scan.messages {
            if bytes == 0 {
                break;
            }
            pending = pending.saturating_sub(1);
            let headers =
                if wanted.no_hdr { Vec::new() } else { headers_of(stream, message, Some((pending, before))) };
            answers.send(&headers, message.payload());
            before = message.seq;
            bytes = bytes.saturating_sub(size(message));
            left -= 1;
        }
        next = scan.next;
    }
    if before == 0 {
        return answers.status("404 Message Not Found");
    }
    answers.status(&format!("204 EOB\r\nNats-Num-Pending: {pending}\r\nNats-Last-Sequence: {before}"));
}

fn max_bytes(wanted: &GetRequest) -> usize {
    usize::try_from(wanted.max_bytes).ok().filter(|most| *most > 0).unwrap_or(BYTES)
}

fn size(message: &Message) -> usize {
    message.subject().len() + message.headers().len() + message.payload().len()
}

fn multi(stream: &Stream, wanted: &GetRequest, answers: &mut Answers<'_, '_>) {
    let filter = Filter::new(&wanted.multi_last);
    let state = stream.log.state();
    let upto = match (wanted.up_to_time, wanted.up_to_seq) {
        (Some(time), _) => {
            let upto = stream.log.seq_at(time.0.max(0).unsigned_abs());
            if upto <= state.first_seq {
                return answers.status("404 No Results");
            }
            upto - 1
        }
        (None, 0) => state.last_seq,
        (None, seq) => seq,
    };
    let Ok(mut found) = stream.log.last_per_subject(&filter, Point::Seq(upto), MULTI) else {
        return answers.status("413 Too Many Results");
    };
    found.retain(|seq| *seq >= wanted.seq);
    if found.is_empty() {
        return answers.status("404 No Results");
    }
    let (mut bytes, mut before) = (max_bytes(wanted), 0);
    let most = usize::try_from(wanted.batch).ok().filter(|most| *most > 0).unwrap_or(found.len());
    let mut pending = found.len() as u64;
    for seq in found.into_iter().take(most) {
        let Ok(Some(message)) = stream.log.get(seq) else { continue };
        pending -= 1;
        let headers = headers_of(stream, &message, Some((pending, before)));
        answers.send(&headers, message.payload());
        before = seq;
        bytes = bytes.saturating_sub(size(&message));
        if bytes == 0 {
            break;
        }
    }
    answers.status(&format!(
        "204 EOB\r\nNats-Num-Pending: {pending}\r\nNats-Last-Sequence: {before}\r\nNats-UpTo-Sequence: {upto}"
    ));
}
