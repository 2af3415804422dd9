//! What a server reads from a client.

use crate::scan::{self, Head, Line};
use crate::{Limits, ParseError, Step, Verb};

/// One operation of a client. Everything borrowed lies in the parsed slice; no token contains
/// white space, and nothing is known about subjects beyond that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// `PUB` or `HPUB`.
    Publish(Publish<'a>),
    /// `SUB subject [queue] sid`.
    Subscribe {
        /// The pattern subscribed to.
        subject: &'a [u8],
        /// The queue group, if any.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription.
        sid: &'a [u8],
    },
    /// `UNSUB sid [max]`.
    Unsubscribe {
        /// The client's name for the subscription.
        sid: &'a [u8],
        /// Deliveries, counted from the subscription's start, after which it ends; 0 and `None`
        /// mean at once.
        max: Option<u64>,
    },
    /// `CONNECT`, with its JSON unread. See [`crate::info::ConnectOptions::parse`].
    Connect(&'a [u8]),
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `INFO`, with its JSON unread. No client has a reason to send it; a server may ignore it.
    Info(&'a [u8]),
    /// `+OK`
    Ok,
    /// `-ERR`, its text without the quotes.
    Err(&'a [u8]),
}

/// A published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where it is published to.
    pub subject: &'a [u8],
    /// Where answers are wanted; empty when nowhere.
    pub reply: &'a [u8],
    /// Whether it came as `HPUB`.
    pub has_headers: bool,
    /// Length of the header block at the start of the payload, in bytes; 0 for `PUB`.
    pub header_len: usize,
    /// Header block and body, without the CR LF behind them.
    pub payload: &'a [u8],
    /// Offset in the frame from which `[reply ][hdrlen ]size CR LF payload CR LF` can be sent on
    /// as it is: a delivery is `MSG subject sid ` (`HMSG` with headers) and `frame[tail_at..len]`.
    /// 0 when the sender's spacing or number spelling differs and the line must be written anew.
    pub tail_at: usize,
}

const VERBS: [Verb; 10] = [
    Verb::Pub,
    Verb::Hpub,
    Verb::Sub,
    Verb::Unsub,
    Verb::Ping,
    Verb::Pong,
    Verb::Connect,
    Verb::Info,
    Verb::Ok,
    Verb::Err,
];

/// Reads one operation from the start of `buf`.
///
/// # Errors
/// What the sender did wrong; nothing behind it can be read, so the connection has to be closed.
/// Limits are enforced as soon as the control line, or as much of it as allowed, has been seen.
#[inline]
pub fn parse<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    if buf.starts_with(b"PUB ") {
        let line = scan::window(buf, 3, limits.max_control_line);
        if let Some(head) = scan::canonical_head::<false>(line, 4) {
            return publish(buf, &head, limits, Verb::Pub);
        }
    } else if buf.starts_with(b"HPUB ") {
        let line = scan::window(buf, 4, limits.max_control_line);
        if let Some(head) = scan::canonical_head::<true>(line, 5) {
            return publish(buf, &head, limits, Verb::Hpub);
        }
    }
    parse_line(buf, limits)
}

#[inline(always)]
fn publish<'a>(
    buf: &'a [u8],
    head: &Head<'a>,
    limits: &Limits,
    verb: Verb,
) -> Result<Step<Op<'a>>, ParseError> {
    Ok(match scan::payload(buf, head, limits.max_payload, verb)? {
        Step::Frame(payload, len) => Step::Frame(
            Op::Publish(Publish {
                subject: head.subject,
                reply: head.reply,
                has_headers: matches!(verb, Verb::Hpub),
                header_len: head.header_len,
                payload,
                tail_at: head.tail_at,
            }),
            len,
        ),
        Step::Incomplete(n) => Step::Incomplete(n),
    })
}

/// Everything that is not a message in canonical form.
#[inline(never)]
fn parse_line<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    let line = match scan::line(buf, &VERBS, limits.max_control_line)? {
        Step::Frame(line, _) => line,
        Step::Incomplete(n) => return Ok(Step::Incomplete(n)),
    };
    let op = match line.verb {
        Verb::Pub | Verb::Hpub => return publish(buf, &publish_args(&line)?, limits, line.verb),
        Verb::Sub => subscribe(&line)?,
        Verb::Unsub => unsubscribe(&line)?,
        Verb::Connect => Op::Connect(line.args),
        Verb::Info => Op::Info(line.args),
        Verb::Err => Op::Err(scan::unquoted(line.args)),
        Verb::Ping => line.no_args().map(|()| Op::Ping)?,
        Verb::Pong => line.no_args().map(|()| Op::Pong)?,
        Verb::Ok => line.no_args().map(|()| Op::Ok)?,
        _ => return Err(ParseError::UnknownOperation),
    };
    Ok(Step::Frame(op, line.len))
}

/// `subject [reply] [hdrlen] size` in any spacing.
fn publish_args<'a>(line: &Line<'a>) -> Result<Head<'a>, ParseError> {
    let mut args = line.plain_args()?;
    let subject = args.first()?;
    let size = args.last_size()?;
    let header_len = if line.verb == Verb::Hpub { args.last_size()? } else { 0 };
    if header_len > size {
        return Err(ParseError::HeaderLargerThanTotal(line.verb));
    }
    let reply = args.optional()?.unwrap_or_default();
    Ok(Head { subject, reply, tail_at: 0, header_len, size, body_at: line.len })
}

fn subscribe<'a>(line: &Line<'a>) -> Result<Op<'a>, ParseError> {
    let mut args = line.plain_args()?;
    let subject = args.first()?;
    let sid = args.last()?;
    Ok(Op::Subscribe { subject, queue: args.optional()?, sid })
}

fn unsubscribe<'a>(line: &Line<'a>) -> Result<Op<'a>, ParseError> {
    let mut args = line.plain_args()?;
    let sid = args.first()?;
    let max = match args.optional()? {
        Some(digits) => Some(scan::decimal(digits, 20).ok_or(ParseError::BadNumber(line.verb))?),
        None => None,
    };
    Ok(Op::Unsubscribe { sid, max })
}
