//! Operations to bytes. Every function appends to a buffer and writes nothing else anywhere.
//!
//! Subjects, queue groups and sids are written as given: they come out of the parsers or out of
//! checked configuration and contain neither blanks nor line ends.

/// `PING` frame.
pub const PING: &[u8] = b"PING\r\n";
/// `PONG` frame.
pub const PONG: &[u8] = b"PONG\r\n";
/// `+OK` frame.
pub const OK: &[u8] = b"+OK\r\n";

/// `MSG subject sid `, to be followed by a tail: [`message_tail`], or a publisher's bytes from
/// [`crate::client::Publish::tail_at`] on.
#[inline]
pub fn message_prefix(out: &mut Vec<u8>, subject: &[u8], sid: &[u8]) {
    prefix(out, b"MSG ", &[subject, sid]);
}

/// `HMSG subject sid `, to be followed by a tail with header length.
#[inline]
pub fn header_message_prefix(out: &mut Vec<u8>, subject: &[u8], sid: &[u8]) {
    prefix(out, b"HMSG ", &[subject, sid]);
}

/// `LMSG subject `, to be followed by a tail.
#[inline]
pub fn leaf_prefix(out: &mut Vec<u8>, subject: &[u8]) {
    prefix(out, b"LMSG ", &[subject]);
}

/// `HMSG subject ` as leafnodes spell it, to be followed by a tail with header length.
#[inline]
pub fn leaf_header_prefix(out: &mut Vec<u8>, subject: &[u8]) {
    prefix(out, b"HMSG ", &[subject]);
}

/// `[reply ][hdrlen ]size CR LF payload CR LF`. An empty `reply` is none; `payload` is header block
/// and body, `header_len` the length of the block and `Some` exactly after a header prefix.
#[inline]
pub fn message_tail(out: &mut Vec<u8>, reply: &[u8], header_len: Option<usize>, payload: &[u8]) {
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    sizes_and_payload(out, header_len, payload);
}

/// [`message_tail`] for headers and body that lie apart; no headers when `headers` is empty.
#[inline]
pub fn split_message_tail(out: &mut Vec<u8>, reply: &[u8], headers: &[u8], body: &[u8]) {
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    if !headers.is_empty() {
        decimal(out, headers.len() as u64);
        out.push(b' ');
    }
    decimal(out, (headers.len() + body.len()) as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(headers);
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// A whole `LMSG` (`HMSG` with headers) that names the queue groups to serve over there. With no
/// queue groups it is the plain form.
pub fn leaf_message_with_queues(
    out: &mut Vec<u8>,
    subject: &[u8],
    reply: &[u8],
    queues: &[&[u8]],
    header_len: Option<usize>,
    payload: &[u8],
) {
    match header_len {
        Some(_) => leaf_header_prefix(out, subject),
        None => leaf_prefix(out, subject),
    }
    if queues.is_empty() {
        return message_tail(out, reply, header_len, payload);
    }
    if reply.is_empty() {
        out.extend_from_slice(b"| ");
    } else {
        prefix(out, b"+ ", &[reply]);
    }
    prefix(out, b"", queues);
    sizes_and_payload(out, header_len, payload);
}

/// `LS+ subject [queue weight]`; the weight is how many members the group has here.
pub fn leaf_subscribe(out: &mut Vec<u8>, subject: &[u8], queue: Option<(&[u8], u32)>) {
    out.extend_from_slice(b"LS+ ");
    out.extend_from_slice(subject);
    if let Some((name, weight)) = queue {
        out.push(b' ');
        out.extend_from_slice(name);
        out.push(b' ');
        decimal(out, u64::from(weight));
    }
    out.extend_from_slice(b"\r\n");
}

/// `LS- subject [queue]`.
pub fn leaf_unsubscribe(out: &mut Vec<u8>, subject: &[u8], queue: Option<&[u8]>) {
    out.extend_from_slice(b"LS- ");
    out.extend_from_slice(subject);
    if let Some(name) = queue {
        out.push(b' ');
        out.extend_from_slice(name);
    }
    out.extend_from_slice(b"\r\n");
}

/// `RS+ account subject [queue 1]`: gateways count no members.
pub fn remote_subscribe(out: &mut Vec<u8>, account: &[u8], subject: &[u8], queue: Option<&[u8]>) {
    prefix(out, b"RS+ ", &[account]);
    out.extend_from_slice(subject);
    if let Some(name) = queue {
        out.push(b' ');
        out.extend_from_slice(name);
        out.extend_from_slice(b" 1");
    }
    out.extend_from_slice(b"\r\n");
}

/// `RS- account subject [queue]`.
pub fn remote_unsubscribe(out: &mut Vec<u8>, account: &[u8], subject: &[u8], queue: Option<&[u8]>) {
    prefix(out, b"RS- ", &[account]);
    out.extend_from_slice(subject);
    if let Some(name) = queue {
        out.push(b' ');
        out.extend_from_slice(name);
    }
    out.extend_from_slice(b"\r\n");
}

/// `A- account`: nothing of this account is wanted.
pub fn account_unsubscribe(out: &mut Vec<u8>, account: &[u8]) {
    out.extend_from_slice(b"A- ");
    out.extend_from_slice(account);
    out.extend_from_slice(b"\r\n");
}

/// `A+ account`: takes back an `A-`.
pub fn account_subscribe(out: &mut Vec<u8>, account: &[u8]) {
    out.extend_from_slice(b"A+ ");
    out.extend_from_slice(account);
    out.extend_from_slice(b"\r\n");
}

/// `-ERR 'text'`. Control characters in the text become spaces: it may name what a peer sent.
pub fn error_line(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR '");
    out.extend(text.bytes().map(|b| if b.is_ascii_control() { b' ' } else { b }));
    out.extend_from_slice(b"'\r\n");
}

/// The answer to a request on `subject` that nobody listens to: an empty `HMSG` with status 503 on its reply subject.
/// nats-server names the subject in it since 2.12.
pub fn no_responders(out: &mut Vec<u8>, reply_subject: &[u8], sid: &[u8], subject: &[u8]) {
    header_message_prefix(out, reply_subject, sid);
    let headers = no_responders_headers(subject);
    message_tail(out, b"", Some(headers.len()), &headers);
}

/// Header block of the answer to a request on `subject` that nobody listens to.
#[must_use]
pub fn no_responders_headers(subject: &[u8]) -> Vec<u8> {
    [b"NATS/1.0 503\r\nNats-Subject: ", subject, b"\r\n\r\n"].concat()
}

/// A number in decimal digits, without allocating.
#[inline]
pub fn decimal(out: &mut Vec<u8>, mut n: u64) {
    // u64::MAX has 20 digits.
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (n % 10) as u8;
        start -= 1;
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// `verb` and every word with a space behind it.
#[inline(always)]
fn prefix(out: &mut Vec<u8>, verb: &[u8], words: &[&[u8]]) {
    out.extend_from_slice(verb);
    for word in words {
        out.extend_from_slice(word);
        out.push(b' ');
    }
}

#[inline(always)]
fn sizes_and_payload(out: &mut Vec<u8>, header_len: Option<usize>, payload: &[u8]) {
    if let Some(len) = header_len {
        decimal(out, len as u64);
        out.push(b' ');
    }
    decimal(out, payload.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}
