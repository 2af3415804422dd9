//! What a server sends, cut into operations.

/// Bytes of a line end.
const CRLF: usize = 2;

/// One operation received from a server. Lines a generator has no use for are [`Operation::Other`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    /// `MSG` or `HMSG`.
    Message {
        /// Subject it was published to.
        subject: &'a [u8],
        /// Where an answer is expected.
        reply: Option<&'a [u8]>,
        /// Whether it carries headers; no message of ours does, a no-responders status does.
        headers: bool,
        /// Headers, if any, and payload.
        payload: &'a [u8],
    },
    /// `PING`.
    Ping,
    /// `PONG`.
    Pong,
    /// `-ERR`, with its line.
    Error(&'a [u8]),
    /// `INFO` and `+OK`.
    Other,
}

/// Length of the first operation in `bytes` with its payload, when it is there in full.
pub(crate) fn complete(bytes: &[u8]) -> Option<usize> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n')? + 1;
    let line = &bytes[..line_end];
    let length = if is_message(line) { line_end + number(last_word(line)) + CRLF } else { line_end };
    (bytes.len() >= length).then_some(length)
}

/// Reads one complete operation, as measured by [`complete`].
pub(crate) fn decode(bytes: &[u8]) -> Operation<'_> {
    let line_end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
    let line = bytes[..line_end].trim_ascii_end();
    if is_message(line) {
        return message(line, bytes.get(line_end..bytes.len().saturating_sub(CRLF)).unwrap_or_default());
    }
    match line {
        b"PING" => Operation::Ping,
        b"PONG" => Operation::Pong,
        [b'-', ..] => Operation::Error(line),
        _ => Operation::Other,
    }
}

/// `MSG subject sid [reply] size` or `HMSG subject sid [reply] headers size`.
fn message<'a>(line: &'a [u8], payload: &'a [u8]) -> Operation<'a> {
    let headers = line.starts_with(b"H");
    let mut words = line.split(|byte| *byte == b' ').skip(1);
    let subject = words.next().unwrap_or_default();
    let after_sid: Vec<&[u8]> = words.skip(1).collect();
    let sizes = if headers { 2 } else { 1 };
    let reply = if after_sid.len() > sizes { after_sid.first().copied() } else { None };
    Operation::Message { subject, reply, headers, payload }
}

fn is_message(line: &[u8]) -> bool {
    line.starts_with(b"MSG ") || line.starts_with(b"HMSG ")
}

fn last_word(line: &[u8]) -> &[u8] {
    line.trim_ascii_end().rsplit(|byte| *byte == b' ').next().unwrap_or_default()
}

/// Decimal value of `digits`; other bytes are ignored, as the servers under test are trusted.
pub(crate) fn number(digits: &[u8]) -> usize {
    digits
        .iter()
        .filter(|byte| byte.is_ascii_digit())
        .fold(0, |value: usize, byte| value.wrapping_mul(10).wrapping_add(usize::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_is_complete_with_its_payload() {
        let bytes = b"MSG a.b 1 3\r\nxyz\r\nPONG\r\n";
        for cut in 0..18 {
            assert_eq!(complete(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(complete(bytes), Some(18));
        assert_eq!(complete(&bytes[18..]), Some(6));
    }

    #[test]
    fn reply_subjects_and_headers_are_seen() {
        let with = |reply, headers, payload| Operation::Message { subject: b"a.b", reply, headers, payload };
        let (xyz, abcd) = (&b"xyz"[..], &b"abcd"[..]);
        assert_eq!(decode(b"MSG a.b 1 3\r\nxyz\r\n"), with(None, false, xyz));
        assert_eq!(decode(b"MSG a.b 1 r.x 3\r\nxyz\r\n"), with(Some(&b"r.x"[..]), false, xyz));
        assert_eq!(decode(b"HMSG a.b 1 4 4\r\nabcd\r\n"), with(None, true, abcd));
        assert_eq!(decode(b"HMSG a.b 1 r.x 4 4\r\nabcd\r\n"), with(Some(&b"r.x"[..]), true, abcd));
    }

    #[test]
    fn control_lines_are_told_apart() {
        assert_eq!(decode(b"PING\r\n"), Operation::Ping);
        assert_eq!(decode(b"PONG\r\n"), Operation::Pong);
        assert_eq!(decode(b"+OK\r\n"), Operation::Other);
        assert_eq!(decode(b"-ERR 'Stale Connection'\r\n"), Operation::Error(b"-ERR 'Stale Connection'"));
    }
}
