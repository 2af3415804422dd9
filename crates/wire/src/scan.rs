//! What both parsers share: verbs, control lines, arguments, numbers, payloads.
//!
//! Two ways lead through a message's control line. [`canonical_head`] takes the spelling every
//! real client sends (single spaces, no leading zeros, CR LF) in one pass. Whatever it declines,
//! for any reason, goes the general way, which finds the line first and then splits it; all errors
//! come from there, so that a stream gives the same answer however it was cut into reads.

use memchr::memchr;

use crate::{ParseError, Step, Verb};

/// A message's control line, as offsets into the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) reply: &'a [u8],
    /// Where the arguments after the subject start, 0 when they are not in canonical form.
    pub(crate) tail_at: usize,
    pub(crate) header_len: usize,
    /// Header and body.
    pub(crate) size: usize,
    /// Where the payload starts.
    pub(crate) body_at: usize,
}

/// The part of `buf` a control line must end in: verb, one separator, the arguments, CR LF.
#[inline(always)]
pub(crate) fn window(buf: &[u8], verb_len: usize, max_args: usize) -> &[u8] {
    let end = max_args.saturating_add(verb_len + 3);
    buf.get(..end).unwrap_or(buf)
}

/// Index of the first byte at or after `at` that cannot be part of a token (space or below).
///
/// Eight bytes at a time: for `x` of eight bytes the subtraction borrows into the top bit of
/// exactly those below 0x21, at least up to the lowest of them, which is the one wanted.
#[inline(always)]
fn token_end(line: &[u8], mut at: usize) -> Option<usize> {
    const LOW: u64 = u64::from_ne_bytes([0x21; 8]);
    const TOP: u64 = u64::from_ne_bytes([0x80; 8]);
    while let Some(chunk) = line.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let x = u64::from_le_bytes(*chunk);
        let hits = x.wrapping_sub(LOW) & !x & TOP;
        if hits != 0 {
            return Some(at + (hits.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    let rest = line.get(at..)?;
    rest.iter().position(|&b| b <= b' ').map(|n| at + n)
}

/// A number as a client library prints it: no sign, no leading zero, at most nine digits.
#[inline(always)]
fn canonical_number(digits: &[u8]) -> Option<usize> {
    if digits.first() == Some(&b'0') && digits.len() > 1 {
        return None;
    }
    decimal(digits, MAX_SIZE_DIGITS).map(|n| n as usize)
}

/// Reads `subject [reply ][hdrlen ]size CR LF` starting at `at`, or declines.
#[inline(always)]
pub(crate) fn canonical_head<const HEADERS: bool>(line: &[u8], at: usize) -> Option<Head<'_>> {
    let subject_end = token_end(line, at)?;
    let tail_at = subject_end + 1;
    let first_end = token_end(line, tail_at)?;
    if line.get(subject_end) != Some(&b' ') || subject_end == at || first_end == tail_at {
        return None;
    }
    // `numbers_at..last_end` holds the last argument, or the last two.
    let (mut reply_end, mut last_end) = (tail_at, first_end);
    let mut header = tail_at..first_end;
    let mut size_at = tail_at;
    if HEADERS {
        size_at = first_end + 1;
        last_end = next_end(line, first_end)?;
    }
    if line.get(last_end) == Some(&b' ') {
        reply_end = first_end;
        if HEADERS {
            header = size_at..last_end;
        }
        size_at = last_end + 1;
        last_end = token_end(line, size_at)?;
    }
    if line.get(last_end..last_end + 2) != Some(b"\r\n") {
        return None;
    }
    let header_len = if HEADERS { canonical_number(line.get(header)?)? } else { 0 };
    let size = canonical_number(line.get(size_at..last_end)?)?;
    if header_len > size {
        return None;
    }
    Some(Head {
        subject: line.get(at..subject_end)?,
        reply: line.get(tail_at..reply_end)?,
        tail_at,
        header_len,
        size,
        body_at: last_end + 2,
    })
}

/// The end of the word that starts at `at`, where a single space follows it.
#[inline(always)]
pub(crate) fn canonical_word(line: &[u8], at: usize) -> Option<usize> {
    let end = token_end(line, at)?;
    (end > at && line.get(end) == Some(&b' ')).then_some(end)
}

/// The end of the argument after the one that ends, with a space, at `end`.
#[inline(always)]
fn next_end(line: &[u8], end: usize) -> Option<usize> {
    if line.get(end) == Some(&b' ') { token_end(line, end + 1) } else { None }
}

/// Cuts the payload announced by a control line, once it is all there.
#[inline(always)]
pub(crate) fn payload<'a>(
    buf: &'a [u8],
    head: &Head<'a>,
    max: usize,
    verb: Verb,
) -> Result<Step<&'a [u8]>, ParseError> {
    if head.size > max {
        return Err(ParseError::PayloadTooLarge { size: head.size, max });
    }
    let end = head.body_at + head.size;
    let Some(framed) = buf.get(head.body_at..end + 2) else {
        return Ok(Step::Incomplete(end + 2));
    };
    match framed.split_last_chunk::<2>() {
        Some((payload, b"\r\n")) => Ok(Step::Frame(payload, end + 2)),
        _ => Err(ParseError::MissingPayloadTerminator(verb)),
    }
}

/// A complete control line, verb recognised.
pub(crate) struct Line<'a> {
    pub(crate) verb: Verb,
    /// Without the verb, without the line end, without space at either end.
    pub(crate) args: &'a [u8],
    /// Bytes the line takes, its end included.
    pub(crate) len: usize,
}

/// Finds verb and line end at the start of `buf`.
pub(crate) fn line<'a>(buf: &'a [u8], verbs: &[Verb], max_args: usize) -> Result<Step<Line<'a>>, ParseError> {
    let Some(verb) = find_verb(buf, verbs)? else {
        return Ok(Step::Incomplete(buf.len() + 1));
    };
    let verb_len = verb.as_str().len();
    let window = window(buf, verb_len, max_args);
    let rest = window.get(verb_len..).unwrap_or_default();
    let Some(lf) = memchr(b'\n', rest) else {
        // The window is as long as a line may be: when it is full, no byte to come can end it.
        let full = window.len() == max_args.saturating_add(verb_len + 3);
        return if full { Err(ParseError::ControlLineTooLong) } else { Ok(Step::Incomplete(buf.len() + 1)) };
    };
    let text = rest.get(..lf).unwrap_or_default();
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    // One separator is not counted; without CR the window has room for a byte too many.
    if text.len() > max_args.saturating_add(1) {
        return Err(ParseError::ControlLineTooLong);
    }
    let args = trim(text);
    let len = verb_len + lf + 1;
    Ok(Step::Frame(Line { verb, args, len }, len))
}

/// The verb at the start of `buf`; `None` while more bytes could still complete one.
fn find_verb(buf: &[u8], verbs: &[Verb]) -> Result<Option<Verb>, ParseError> {
    let mut partial = false;
    for &verb in verbs {
        let name = verb.as_str().as_bytes();
        let n = name.len().min(buf.len());
        let same = buf.iter().zip(name).all(|(b, v)| b.eq_ignore_ascii_case(v));
        if !same {
            continue;
        }
        match buf.get(n) {
            Some(b' ' | b'\t' | b'\r' | b'\n') => return Ok(Some(verb)),
            Some(_) => {}
            None => partial = true,
        }
    }
    if partial { Ok(None) } else { Err(ParseError::UnknownOperation) }
}

impl<'a> Line<'a> {
    /// The arguments, which may not contain a carriage return.
    pub(crate) fn plain_args(&self) -> Result<Args<'a>, ParseError> {
        match memchr(b'\r', self.args) {
            Some(_) => Err(ParseError::Syntax(self.verb)),
            None => Ok(Args { rest: self.args, verb: self.verb }),
        }
    }

    /// Succeeds when there are no arguments.
    pub(crate) fn no_args(&self) -> Result<(), ParseError> {
        if self.args.is_empty() { Ok(()) } else { Err(ParseError::Syntax(self.verb)) }
    }
}

/// Arguments taken from either end of a line; what is left in between never starts or ends with space.
pub(crate) struct Args<'a> {
    rest: &'a [u8],
    verb: Verb,
}

impl<'a> Args<'a> {
    /// Takes the first argument; a missing one is a syntax error.
    pub(crate) fn first(&mut self) -> Result<&'a [u8], ParseError> {
        let end = self.rest.iter().position(is_blank).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = trim(rest);
        if token.is_empty() { Err(ParseError::Syntax(self.verb)) } else { Ok(token) }
    }

    /// Takes the last argument; a missing one is a syntax error.
    pub(crate) fn last(&mut self) -> Result<&'a [u8], ParseError> {
        let start = self.rest.iter().rposition(is_blank).map_or(0, |n| n + 1);
        let (rest, token) = self.rest.split_at(start);
        self.rest = trim(rest);
        if token.is_empty() { Err(ParseError::Syntax(self.verb)) } else { Ok(token) }
    }

    /// Takes the last argument as a size in bytes.
    pub(crate) fn last_size(&mut self) -> Result<usize, ParseError> {
        let number = decimal(self.last()?, MAX_SIZE_DIGITS);
        number.map(|n| n as usize).ok_or(ParseError::BadNumber(self.verb))
    }

    /// What is left, if that is nothing or one argument.
    pub(crate) fn optional(&mut self) -> Result<Option<&'a [u8]>, ParseError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let token = self.first()?;
        if self.rest.is_empty() { Ok(Some(token)) } else { Err(ParseError::Syntax(self.verb)) }
    }

    /// Everything left, with the separators as sent.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether more than one argument is left.
    pub(crate) fn several_left(&self) -> bool {
        self.rest.iter().any(is_blank)
    }
}

/// Reads `subject [reply | "+" reply queue.. | "|" queue..] [hdrlen] size`; answers with the queues apart.
///
/// A lone `+` or `|` between subject and sizes is a reply subject: that is what the grammar leaves
/// it to be, and how nats-server reads it.
pub(crate) fn message_args<'a>(
    mut args: Args<'a>,
    verb: Verb,
    body_at: usize,
) -> Result<(Head<'a>, &'a [u8]), ParseError> {
    let subject = args.first()?;
    let size = args.last_size()?;
    let header_len = if verb == Verb::Hmsg { args.last_size()? } else { 0 };
    if header_len > size {
        return Err(ParseError::HeaderLargerThanTotal(verb));
    }
    let (reply, queues): (&[u8], &[u8]) = if args.several_left() {
        match args.first()? {
            b"+" => (args.first()?, args.rest()),
            b"|" => (&[], args.rest()),
            _ => return Err(ParseError::Syntax(verb)),
        }
    } else {
        (args.optional()?.unwrap_or_default(), &[])
    };
    Ok((Head { subject, reply, tail_at: 0, header_len, size, body_at }, queues))
}

/// Sizes have at most this many digits; no limit anybody sets needs more, and no sum of them overflows.
pub(crate) const MAX_SIZE_DIGITS: usize = 9;

/// An unsigned decimal number of 1 to `max_digits` digits that fits 64 bits.
#[inline(always)]
pub(crate) fn decimal(digits: &[u8], max_digits: usize) -> Option<u64> {
    if digits.is_empty() || digits.len() > max_digits {
        return None;
    }
    let mut n: u64 = 0;
    for &b in digits {
        let digit = b.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(n)
}

pub(crate) fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Without spaces and tabs at either end.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let Some(start) = bytes.iter().position(|b| !is_blank(b)) else {
        return &[];
    };
    let end = bytes.iter().rposition(|b| !is_blank(b)).map_or(0, |n| n + 1);
    bytes.get(start..end).unwrap_or_default()
}

/// The text of a `-ERR`, without the quotes around it.
pub(crate) fn unquoted(args: &[u8]) -> &[u8] {
    args.strip_prefix(b"'").and_then(|rest| rest.strip_suffix(b"'")).unwrap_or(args)
}
