//! Leafnode operations: what is read, what is refused, and with which error.

use wire::ParseError::{self, BadNumber, ControlLineTooLong, PayloadTooLarge, Syntax, UnknownOperation};
use wire::leaf::{Message, Op, parse};
use wire::{LEAF_MAX_CONTROL_LINE, Limits, Step, Verb};

fn one(bytes: &[u8]) -> Result<Step<Op<'_>>, ParseError> {
    parse(bytes, &Limits::default())
}

fn whole(bytes: &[u8]) -> Op<'_> {
    match one(bytes) {
        Ok(Step::Frame(op, len)) if len == bytes.len() => op,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

struct Expected {
    reply: &'static str,
    queues: &'static str,
    header_len: Option<usize>,
    payload: &'static str,
    tail_at: usize,
}

/// A message on subject `a`.
fn message(e: &Expected) -> Op<'_> {
    Op::Message(Message {
        subject: b"a",
        reply: e.reply.as_bytes(),
        queues: e.queues.as_bytes(),
        has_headers: e.header_len.is_some(),
        header_len: e.header_len.unwrap_or(0),
        payload: e.payload.as_bytes(),
        tail_at: e.tail_at,
    })
}

#[test]
fn messages() {
    let e = |reply, queues, tail_at| Expected { reply, queues, header_len: None, payload: "ok", tail_at };
    let plain = [
        ("LMSG a 2\r\nok\r\n", e("", "", 7)),
        ("LMSG a r 2\r\nok\r\n", e("r", "", 7)),
        ("LMSG a + r q1 2\r\nok\r\n", e("r", "q1", 0)),
        ("LMSG a + r q1 q2 q3 2\r\nok\r\n", e("r", "q1 q2 q3", 0)),
        ("LMSG a | q1 2\r\nok\r\n", e("", "q1", 0)),
        ("LMSG a | q1  q2\t2\r\nok\r\n", e("", "q1  q2", 0)),
        ("lmsg a   r 2\nok\r\n", e("r", "", 0)),
        // A lone indicator is a reply subject.
        ("LMSG a + 2\r\nok\r\n", e("+", "", 7)),
        ("LMSG  a | 2\r\nok\r\n", e("|", "", 0)),
        ("LMSG a + r 2\r\nok\r\n", e("r", "", 0)),
    ];
    for (bytes, expected) in &plain {
        assert_eq!(whole(bytes.as_bytes()), message(expected), "{bytes:?}");
    }
    let h = |reply, queues, tail_at| Expected {
        reply,
        queues,
        header_len: Some(12),
        payload: "NATS/1.0\r\n\r\nok",
        tail_at,
    };
    let with_headers = [
        ("HMSG a 12 14\r\nNATS/1.0\r\n\r\nok\r\n", h("", "", 7)),
        ("HMSG a r 12 14\r\nNATS/1.0\r\n\r\nok\r\n", h("r", "", 7)),
        ("HMSG a + r q1 q2 12 14\r\nNATS/1.0\r\n\r\nok\r\n", h("r", "q1 q2", 0)),
        ("HMSG a | 7 12 14\r\nNATS/1.0\r\n\r\nok\r\n", h("", "7", 0)),
        ("hmsg a r\t12 14 \r\nNATS/1.0\r\n\r\nok\r\n", h("r", "", 0)),
    ];
    for (bytes, expected) in &with_headers {
        assert_eq!(whole(bytes.as_bytes()), message(expected), "{bytes:?}");
    }
}

#[test]
fn queue_names_come_one_by_one() {
    let Op::Message(message) = whole(b"LMSG a |  q1 \tq2  0\r\n\r\n") else { panic!("no message") };
    let names: Vec<&[u8]> = message.queue_names().collect();
    assert_eq!(names, [b"q1", b"q2"]);
    let Op::Message(message) = whole(b"LMSG a 0\r\n\r\n") else { panic!("no message") };
    assert_eq!(message.queue_names().count(), 0);
}

#[test]
fn other_operations() {
    let cases: [(&str, Op<'_>); 12] = [
        ("LS+ a.>\r\n", Op::Subscribe { subject: b"a.>", queue: None }),
        ("LS+ a q 3\r\n", Op::Subscribe { subject: b"a", queue: Some((b"q", 3)) }),
        ("ls+\ta  q 999999999 \n", Op::Subscribe { subject: b"a", queue: Some((b"q", 999_999_999)) }),
        ("LS- a\r\n", Op::Unsubscribe { subject: b"a", queue: None }),
        ("ls- a q\r\n", Op::Unsubscribe { subject: b"a", queue: Some(b"q") }),
        ("LS+ $LDS.abc\r\n", Op::Subscribe { subject: b"$LDS.abc", queue: None }),
        ("CONNECT {}\r\n", Op::Connect(b"{}")),
        ("INFO {\"a\":1} \r\n", Op::Info(b"{\"a\":1}")),
        ("PING\r\n", Op::Ping),
        ("PONG\r\n", Op::Pong),
        ("+OK\r\n", Op::Ok),
        ("-ERR 'Loop detected'\r\n", Op::Err(b"Loop detected")),
    ];
    for (bytes, expected) in cases {
        assert_eq!(whole(bytes.as_bytes()), expected, "{bytes:?}");
    }
}

#[test]
fn malformed() {
    let cases = [
        ("LMSG\r\n", Syntax(Verb::Lmsg)),
        ("LMSG a\r\n", Syntax(Verb::Lmsg)),
        ("LMSG a r x 2\r\n", Syntax(Verb::Lmsg)),
        ("LMSG a ++ r q 2\r\n", Syntax(Verb::Lmsg)),
        ("LMSG a\r 2\r\n", Syntax(Verb::Lmsg)),
        ("LMSG a + r q x\r\n", BadNumber(Verb::Lmsg)),
        ("LMSG a 1234567890\r\n", BadNumber(Verb::Lmsg)),
        ("LMSG a -2\r\n", BadNumber(Verb::Lmsg)),
        ("LMSG a | q 1048577\r\n", PayloadTooLarge { size: 1_048_577, max: 1_048_576 }),
        ("LMSG a 1048577\r\n", PayloadTooLarge { size: 1_048_577, max: 1_048_576 }),
        ("LMSG a 2\r\nokXX", ParseError::MissingPayloadTerminator(Verb::Lmsg)),
        ("LMSG a | q 2\r\nokXX", ParseError::MissingPayloadTerminator(Verb::Lmsg)),
        ("HMSG a 2\r\n", Syntax(Verb::Hmsg)),
        ("HMSG a x 2\r\n", BadNumber(Verb::Hmsg)),
        ("HMSG a 3 2\r\n", ParseError::HeaderLargerThanTotal(Verb::Hmsg)),
        ("HMSG a | q 3 2\r\n", ParseError::HeaderLargerThanTotal(Verb::Hmsg)),
        ("LS+\r\n", Syntax(Verb::LeafSub)),
        ("LS+ a q\r\n", Syntax(Verb::LeafSub)),
        ("LS+ a q x\r\n", BadNumber(Verb::LeafSub)),
        ("LS+ a q -1\r\n", BadNumber(Verb::LeafSub)),
        ("LS+ a q r 1\r\n", Syntax(Verb::LeafSub)),
        ("LS-\r\n", Syntax(Verb::LeafUnsub)),
        ("LS- a q 1\r\n", Syntax(Verb::LeafUnsub)),
        ("PING x\r\n", Syntax(Verb::Ping)),
        ("PUB a 0\r\n\r\n", UnknownOperation),
        ("SUB a 1\r\n", UnknownOperation),
        ("RMSG acc a 0\r\n\r\n", UnknownOperation),
        ("LS* a\r\n", UnknownOperation),
    ];
    for (bytes, expected) in cases {
        assert_eq!(one(bytes.as_bytes()), Err(expected), "{bytes:?}");
    }
}

#[test]
fn control_lines_have_their_own_limit() {
    let limits = Limits { max_control_line: 1, max_payload: 1 };
    let names = "q".repeat(LEAF_MAX_CONTROL_LINE - 6);
    for (subject, fits) in [("a", true), ("aaa", false)] {
        let line = format!("LMSG {subject} | {names} 1\r\nx\r\n");
        match parse(line.as_bytes(), &limits) {
            Ok(Step::Frame(Op::Message(_), len)) => assert!(fits && len == line.len()),
            other => assert_eq!((other, fits), (Err(ControlLineTooLong), false)),
        }
    }
    let endless = vec![b'a'; LEAF_MAX_CONTROL_LINE + 10];
    let endless = [b"INFO ".as_slice(), &endless].concat();
    assert_eq!(parse(&endless, &limits), Err(ControlLineTooLong));
    let longest = LEAF_MAX_CONTROL_LINE + 6;
    assert_eq!(parse(&endless[..longest], &limits), Ok(Step::Incomplete(longest + 1)));
}
