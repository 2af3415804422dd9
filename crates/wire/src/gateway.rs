//! What travels between the gateways of two clusters, in either direction.
//!
//! A connection belongs to no account, so every line names one: the grammar of leafnodes with an account before each
//! subject, and lines that speak of an account as a whole.

pub use crate::leaf::Message;
use crate::scan::{self, Head, Line};
use crate::{LEAF_MAX_CONTROL_LINE, Limits, ParseError, Step, Verb};

/// One operation of a gateway. Everything borrowed lies in the parsed slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// `RMSG` or `HMSG`.
    Message {
        /// The account it was published in.
        account: &'a [u8],
        /// The message; offsets count from the start of the frame.
        message: Message<'a>,
    },
    /// `RS+ account subject [queue weight]`: the peer has interest.
    Subscribe {
        /// The account.
        account: &'a [u8],
        /// The pattern of interest.
        subject: &'a [u8],
        /// Queue group and weight; nat-servers always say 1.
        queue: Option<(&'a [u8], u32)>,
    },
    /// `RS- account subject [queue]`: the peer's interest ended, or it never had any in this subject.
    Unsubscribe {
        /// The account.
        account: &'a [u8],
        /// The pattern.
        subject: &'a [u8],
        /// The queue group, if any.
        queue: Option<&'a [u8]>,
    },
    /// `A+ account`: takes back an `A-`.
    AccountSubscribe(&'a [u8]),
    /// `A- account`: the peer wants nothing of this account.
    AccountUnsubscribe(&'a [u8]),
    /// `CONNECT`, with its JSON unread. See [`crate::info::GatewayConnect::parse`].
    Connect(&'a [u8]),
    /// `INFO`, with its JSON unread. See [`crate::info::GatewayInfo::parse`].
    Info(&'a [u8]),
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`
    Ok,
    /// `-ERR`, its text without the quotes.
    Err(&'a [u8]),
}

const VERBS: [Verb; 12] = [
    Verb::Rmsg,
    Verb::Hmsg,
    Verb::RemoteSub,
    Verb::RemoteUnsub,
    Verb::AccountSub,
    Verb::AccountUnsub,
    Verb::Ping,
    Verb::Pong,
    Verb::Connect,
    Verb::Info,
    Verb::Ok,
    Verb::Err,
];

/// Reads one operation from the start of `buf`. Of `limits` only the payload counts: control lines may take
/// [`LEAF_MAX_CONTROL_LINE`].
///
/// # Errors
/// What the peer did wrong; nothing behind it can be read, so the connection has to be closed.
#[inline]
pub fn parse<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    let line = scan::window(buf, 4, LEAF_MAX_CONTROL_LINE);
    let (verb, headers) = match buf.first_chunk::<5>() {
        Some(b"RMSG ") => (Verb::Rmsg, false),
        Some(b"HMSG ") => (Verb::Hmsg, true),
        _ => return parse_line(buf, limits),
    };
    let head = scan::canonical_word(line, 5).and_then(|end| {
        let at = end + 1;
        let head = if headers {
            scan::canonical_head::<true>(line, at)
        } else {
            scan::canonical_head::<false>(line, at)
        };
        Some((line.get(5..end)?, head?))
    });
    match head {
        Some((account, head)) => message(buf, account, &head, &[], limits, verb),
        None => parse_line(buf, limits),
    }
}

#[inline(always)]
fn message<'a>(
    buf: &'a [u8],
    account: &'a [u8],
    head: &Head<'a>,
    queues: &'a [u8],
    limits: &Limits,
    verb: Verb,
) -> Result<Step<Op<'a>>, ParseError> {
    Ok(match scan::payload(buf, head, limits.max_payload, verb)? {
        Step::Frame(payload, len) => Step::Frame(
            Op::Message {
                account,
                message: Message {
                    subject: head.subject,
                    reply: head.reply,
                    queues,
                    has_headers: matches!(verb, Verb::Hmsg),
                    header_len: head.header_len,
                    payload,
                    tail_at: head.tail_at,
                },
            },
            len,
        ),
        Step::Incomplete(n) => Step::Incomplete(n),
    })
}

/// Everything that is not a message in canonical form.
#[inline(never)]
fn parse_line<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    let line = match scan::line(buf, &VERBS, LEAF_MAX_CONTROL_LINE)? {
        Step::Frame(line, _) => line,
        Step::Incomplete(n) => return Ok(Step::Incomplete(n)),
    };
    let op = match line.verb {
        Verb::Rmsg | Verb::Hmsg => {
            let mut args = line.plain_args()?;
            let account = args.first()?;
            let (head, queues) = scan::message_args(args, line.verb, line.len)?;
            return message(buf, account, &head, queues, limits, line.verb);
        }
        Verb::RemoteSub => subscribe(&line)?,
        Verb::RemoteUnsub => unsubscribe(&line)?,
        Verb::AccountSub => Op::AccountSubscribe(only(&line)?),
        Verb::AccountUnsub => Op::AccountUnsubscribe(only(&line)?),
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

fn subscribe<'a>(line: &Line<'a>) -> Result<Op<'a>, ParseError> {
    let mut args = line.plain_args()?;
    let (account, subject) = (args.first()?, args.first()?);
    if args.rest().is_empty() {
        return Ok(Op::Subscribe { account, subject, queue: None });
    }
    let queue = args.first()?;
    // Nine digits fit 32 bits, so the conversion never clamps.
    let weight = u32::try_from(args.last_size()?).unwrap_or(u32::MAX);
    match args.optional()? {
        None => Ok(Op::Subscribe { account, subject, queue: Some((queue, weight)) }),
        Some(_) => Err(ParseError::Syntax(line.verb)),
    }
}

fn unsubscribe<'a>(line: &Line<'a>) -> Result<Op<'a>, ParseError> {
    let mut args = line.plain_args()?;
    let (account, subject) = (args.first()?, args.first()?);
    Ok(Op::Unsubscribe { account, subject, queue: args.optional()? })
}

/// The single argument of a line.
fn only<'a>(line: &Line<'a>) -> Result<&'a [u8], ParseError> {
    let mut args = line.plain_args()?;
    let first = args.first()?;
    if args.rest().is_empty() { Ok(first) } else { Err(ParseError::Syntax(line.verb)) }
}
