//! What travels on a leafnode connection, in either direction.

use crate::scan::{self, Head, Line};
use crate::{LEAF_MAX_CONTROL_LINE, Limits, ParseError, Step, Verb};

/// One operation of a leafnode peer. Everything borrowed lies in the parsed slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// `LMSG` or `HMSG`.
    Message(Message<'a>),
    /// `LS+ subject [queue weight]`: the peer has interest.
    Subscribe {
        /// The pattern of interest.
        subject: &'a [u8],
        /// Queue group and how many members it has over there.
        queue: Option<(&'a [u8], u32)>,
    },
    /// `LS- subject [queue]`: the peer's interest ended.
    Unsubscribe {
        /// The pattern of interest.
        subject: &'a [u8],
        /// The queue group, if any.
        queue: Option<&'a [u8]>,
    },
    /// `CONNECT`, with its JSON unread. See [`crate::info::LeafConnect::parse`].
    Connect(&'a [u8]),
    /// `INFO`, with its JSON unread. See [`crate::info::LeafInfo::parse`].
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

/// A message that crosses the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it was published to.
    pub subject: &'a [u8],
    /// Where answers are wanted; empty when nowhere.
    pub reply: &'a [u8],
    /// Queue groups the receiver must choose a member of, separated by blanks as sent; empty when
    /// none. See [`Message::queue_names`].
    pub queues: &'a [u8],
    /// Whether it came as `HMSG`.
    pub has_headers: bool,
    /// Length of the header block at the start of the payload, in bytes; 0 for `LMSG`.
    pub header_len: usize,
    /// Header block and body, without the CR LF behind them.
    pub payload: &'a [u8],
    /// Offset in the frame from which `[reply ][hdrlen ]size CR LF payload CR LF` can be sent on
    /// as it is. 0 when there are queue groups, or when the peer's spacing or number spelling
    /// differs and the line must be written anew.
    pub tail_at: usize,
}

impl<'a> Message<'a> {
    /// The queue groups one by one.
    pub fn queue_names(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.queues.split(scan::is_blank).filter(|name| !name.is_empty())
    }
}

const VERBS: [Verb; 10] = [
    Verb::Lmsg,
    Verb::Hmsg,
    Verb::LeafSub,
    Verb::LeafUnsub,
    Verb::Ping,
    Verb::Pong,
    Verb::Connect,
    Verb::Info,
    Verb::Ok,
    Verb::Err,
];

/// Takes apart the reply of a stored event on its way to a consumer's inbox. Over a link the subject to show cannot
/// be named beside the inbox, so it travels behind the acknowledgement subject: `$JS.ACK.…@orders.new`. Returns reply
/// and subject to show; `None` for any other reply.
#[inline]
#[must_use]
pub fn split_shown(reply: &[u8]) -> Option<(&[u8], &[u8])> {
    if !reply.starts_with(b"$JS.ACK.") {
        return None;
    }
    let at = memchr::memrchr(b'@', reply)?;
    let shown = reply.get(at + 1..)?;
    (!shown.is_empty()).then(|| (reply.get(..at).unwrap_or_default(), shown))
}

/// Reads one operation from the start of `buf`. Of `limits` only the payload counts: control
/// lines may take [`LEAF_MAX_CONTROL_LINE`].
///
/// # Errors
/// What the peer did wrong; nothing behind it can be read, so the connection has to be closed.
#[inline]
pub fn parse<'a>(buf: &'a [u8], limits: &Limits) -> Result<Step<Op<'a>>, ParseError> {
    let line = scan::window(buf, 4, LEAF_MAX_CONTROL_LINE);
    if buf.starts_with(b"LMSG ") {
        if let Some(head) = scan::canonical_head::<false>(line, 5) {
            return message(buf, &head, &[], limits, Verb::Lmsg);
        }
    } else if buf.starts_with(b"HMSG ")
        && let Some(head) = scan::canonical_head::<true>(line, 5)
    {
        return message(buf, &head, &[], limits, Verb::Hmsg);
    }
    parse_line(buf, limits)
}

#[inline(always)]
fn message<'a>(
    buf: &'a [u8],
    head: &Head<'a>,
    queues: &'a [u8],
    limits: &Limits,
    verb: Verb,
) -> Result<Step<Op<'a>>, ParseError> {
    Ok(match scan::payload(buf, head, limits.max_payload, verb)? {
        Step::Frame(payload, len) => Step::Frame(
            Op::Message(Message {
                subject: head.subject,
                reply: head.reply,
                queues,
                has_headers: matches!(verb, Verb::Hmsg),
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
    let line = match scan::line(buf, &VERBS, LEAF_MAX_CONTROL_LINE)? {
        Step::Frame(line, _) => line,
        Step::Incomplete(n) => return Ok(Step::Incomplete(n)),
    };
    let op = match line.verb {
        Verb::Lmsg | Verb::Hmsg => {
            let (head, queues) = scan::message_args(line.plain_args()?, line.verb, line.len)?;
            return message(buf, &head, queues, limits, line.verb);
        }
        Verb::LeafSub => subscribe(&line)?,
        Verb::LeafUnsub => unsubscribe(&line)?,
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
    let subject = args.first()?;
    if args.rest().is_empty() {
        return Ok(Op::Subscribe { subject, queue: None });
    }
    let queue = args.first()?;
    // Nine digits fit 32 bits, so the conversion never clamps.
    let weight = u32::try_from(args.last_size()?).unwrap_or(u32::MAX);
    match args.optional()? {
        None => Ok(Op::Subscribe { subject, queue: Some((queue, weight)) }),
        Some(_) => Err(ParseError::Syntax(line.verb)),
    }
}

fn unsubscribe<'a>(line: &Line<'a>) -> Result<Op<'a>, ParseError> {
    let mut args = line.plain_args()?;
    let subject = args.first()?;
    Ok(Op::Unsubscribe { subject, queue: args.optional()? })
}
