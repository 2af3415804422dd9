//! Client operations: what is read, what is refused, and with which error.

use wire::ParseError::{self, BadNumber, ControlLineTooLong, PayloadTooLarge, Syntax, UnknownOperation};
use wire::client::{Op, Publish, parse};
use wire::{Limits, Step, Verb};

fn one(bytes: &[u8]) -> Result<Step<Op<'_>>, ParseError> {
    parse(bytes, &Limits::default())
}

/// Parses exactly one frame that takes all the bytes.
fn whole(bytes: &[u8]) -> Op<'_> {
    match one(bytes) {
        Ok(Step::Frame(op, len)) if len == bytes.len() => op,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

fn publish<'a>(
    subject: &'a str,
    reply: &'a str,
    header_len: Option<usize>,
    payload: &'a str,
    tail_at: usize,
) -> Op<'a> {
    Op::Publish(Publish {
        subject: subject.as_bytes(),
        reply: reply.as_bytes(),
        has_headers: header_len.is_some(),
        header_len: header_len.unwrap_or(0),
        payload: payload.as_bytes(),
        tail_at,
    })
}

#[test]
fn publishes() {
    let long = "subject.of.rather.many.tokens.that.spans.words";
    let long_frame = format!("PUB {long} 3\r\nabc\r\n");
    let cases = [
        ("PUB a.b 5\r\nhello\r\n", publish("a.b", "", None, "hello", 8)),
        ("PUB a.b 0\r\n\r\n", publish("a.b", "", None, "", 8)),
        ("PUB a reply.to 2\r\nok\r\n", publish("a", "reply.to", None, "ok", 6)),
        ("PUB a 12 2\r\nok\r\n", publish("a", "12", None, "ok", 6)),
        ("PUB a 2\r\n\r\n\r\n", publish("a", "", None, "\r\n", 6)),
        (long_frame.as_str(), publish(long, "", None, "abc", 5 + long.len())),
        // Readable, but not in the form that may be sent on as it is.
        ("pub a 2\r\nok\r\n", publish("a", "", None, "ok", 0)),
        ("PUB  a 2\r\nok\r\n", publish("a", "", None, "ok", 0)),
        ("PUB a  2\r\nok\r\n", publish("a", "", None, "ok", 0)),
        ("PUB a 2 \r\nok\r\n", publish("a", "", None, "ok", 0)),
        ("PUB\ta\tr\t2\r\nok\r\n", publish("a", "r", None, "ok", 0)),
        ("PUB a 002\r\nok\r\n", publish("a", "", None, "ok", 0)),
        ("PUB a 2\nok\r\n", publish("a", "", None, "ok", 0)),
        ("PUB a\0b 2\r\nok\r\n", publish("a\0b", "", None, "ok", 0)),
        // With headers.
        ("HPUB a 12 14\r\nNATS/1.0\r\n\r\nok\r\n", publish("a", "", Some(12), "NATS/1.0\r\n\r\nok", 7)),
        ("HPUB a r 12 14\r\nNATS/1.0\r\n\r\nok\r\n", publish("a", "r", Some(12), "NATS/1.0\r\n\r\nok", 7)),
        ("HPUB a 7 12 14\r\nNATS/1.0\r\n\r\nok\r\n", publish("a", "7", Some(12), "NATS/1.0\r\n\r\nok", 7)),
        ("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", publish("a", "", Some(12), "NATS/1.0\r\n\r\n", 7)),
        ("HPUB a 0 2\r\nok\r\n", publish("a", "", Some(0), "ok", 7)),
        ("hPuB a  12\t12\r\nNATS/1.0\r\n\r\n\r\n", publish("a", "", Some(12), "NATS/1.0\r\n\r\n", 0)),
        ("HPUB a 012 12\r\nNATS/1.0\r\n\r\n\r\n", publish("a", "", Some(12), "NATS/1.0\r\n\r\n", 0)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(whole(bytes.as_bytes()), expected, "{bytes:?}");
    }
}

#[test]
fn tail_turns_a_publish_into_a_delivery() {
    for (bytes, delivered) in [
        ("PUB a.b r 5\r\nhello\r\n", "MSG a.b 7 r 5\r\nhello\r\n"),
        ("HPUB a.b 12 13\r\nNATS/1.0\r\n\r\nx\r\n", "HMSG a.b 7 12 13\r\nNATS/1.0\r\n\r\nx\r\n"),
    ] {
        let Op::Publish(message) = whole(bytes.as_bytes()) else { panic!("no publish") };
        let mut out = Vec::new();
        if message.has_headers {
            wire::encode::header_message_prefix(&mut out, message.subject, b"7");
        } else {
            wire::encode::message_prefix(&mut out, message.subject, b"7");
        }
        out.extend_from_slice(&bytes.as_bytes()[message.tail_at..]);
        assert_eq!(String::from_utf8(out).unwrap(), delivered);
    }
}

#[test]
fn other_operations() {
    let subscribe = |subject, queue, sid| Op::Subscribe { subject, queue, sid };
    let cases: [(&str, Op<'_>); 24] = [
        ("SUB a.> 1\r\n", subscribe(b"a.>", None, b"1")),
        ("SUB a q 1\r\n", subscribe(b"a", Some(b"q"), b"1")),
        ("sub\t a\t\tq  sid-9 \n", subscribe(b"a", Some(b"q"), b"sid-9")),
        ("UNSUB 1\r\n", Op::Unsubscribe { sid: b"1", max: None }),
        ("UNSUB 1 5\r\n", Op::Unsubscribe { sid: b"1", max: Some(5) }),
        ("UNSUB 1 0\r\n", Op::Unsubscribe { sid: b"1", max: Some(0) }),
        ("Unsub x 18446744073709551615\r\n", Op::Unsubscribe { sid: b"x", max: Some(u64::MAX) }),
        ("CONNECT {}\r\n", Op::Connect(b"{}")),
        ("connect   {\"a\": 1}\t\n", Op::Connect(b"{\"a\": 1}")),
        ("CONNECT {\r}\r\n", Op::Connect(b"{\r}")),
        ("CONNECT\r\n", Op::Connect(b"")),
        ("INFO {}\r\n", Op::Info(b"{}")),
        ("PING\r\n", Op::Ping),
        ("ping \t\r\n", Op::Ping),
        ("PING\n", Op::Ping),
        ("PONG\r\n", Op::Pong),
        ("pOnG\n", Op::Pong),
        ("+OK\r\n", Op::Ok),
        ("+ok\n", Op::Ok),
        ("-ERR 'Stale Connection'\r\n", Op::Err(b"Stale Connection")),
        ("-err no quotes\r\n", Op::Err(b"no quotes")),
        ("-ERR '\r\n", Op::Err(b"'")),
        ("-ERR ''\r\n", Op::Err(b"")),
        ("-ERR\r\n", Op::Err(b"")),
    ];
    for (bytes, expected) in cases {
        assert_eq!(whole(bytes.as_bytes()), expected, "{bytes:?}");
    }
}

#[test]
fn malformed() {
    let cases = [
        ("PUB\r\n", Syntax(Verb::Pub)),
        ("PUB a\r\n", Syntax(Verb::Pub)),
        ("PUB 5\r\n", Syntax(Verb::Pub)),
        ("PUB a b c 5\r\n", Syntax(Verb::Pub)),
        ("PUB a\rb 5\r\n", Syntax(Verb::Pub)),
        ("PUB a 5\r\r\n", Syntax(Verb::Pub)),
        ("PUB a x\r\n", BadNumber(Verb::Pub)),
        ("PUB a -1\r\n", BadNumber(Verb::Pub)),
        ("PUB a +1\r\n", BadNumber(Verb::Pub)),
        ("PUB a 1.5\r\n", BadNumber(Verb::Pub)),
        ("PUB a 0x10\r\n", BadNumber(Verb::Pub)),
        ("PUB a 1000000000\r\n", BadNumber(Verb::Pub)),
        ("PUB a 0000000001\r\n", BadNumber(Verb::Pub)),
        ("PUB a 18446744073709551617\r\n", BadNumber(Verb::Pub)),
        ("PUB a \u{0661}\r\n", BadNumber(Verb::Pub)),
        ("PUB a 2\r\nokXX", ParseError::MissingPayloadTerminator(Verb::Pub)),
        ("PUB a 2\r\nok\n\n", ParseError::MissingPayloadTerminator(Verb::Pub)),
        ("PUB a 2\r\nokay\r\n", ParseError::MissingPayloadTerminator(Verb::Pub)),
        ("PUB a 1048577\r\n", PayloadTooLarge { size: 1_048_577, max: 1_048_576 }),
        ("PUB  a 999999999\r\n", PayloadTooLarge { size: 999_999_999, max: 1_048_576 }),
        ("HPUB a 5\r\n", Syntax(Verb::Hpub)),
        ("HPUB a b c 5 5\r\n", Syntax(Verb::Hpub)),
        ("HPUB a x 5\r\n", BadNumber(Verb::Hpub)),
        ("HPUB a 5 x\r\n", BadNumber(Verb::Hpub)),
        ("HPUB a -5 5\r\n", BadNumber(Verb::Hpub)),
        ("HPUB a 6 5\r\n", ParseError::HeaderLargerThanTotal(Verb::Hpub)),
        ("HPUB a 0 1048577\r\n", PayloadTooLarge { size: 1_048_577, max: 1_048_576 }),
        ("HPUB a 1 2\r\nokXX", ParseError::MissingPayloadTerminator(Verb::Hpub)),
        ("SUB\r\n", Syntax(Verb::Sub)),
        ("SUB a\r\n", Syntax(Verb::Sub)),
        ("SUB a b c d\r\n", Syntax(Verb::Sub)),
        ("SUB a\rb 1\r\n", Syntax(Verb::Sub)),
        ("UNSUB\r\n", Syntax(Verb::Unsub)),
        ("UNSUB 1 2 3\r\n", Syntax(Verb::Unsub)),
        ("UNSUB 1 x\r\n", BadNumber(Verb::Unsub)),
        ("UNSUB 1 -1\r\n", BadNumber(Verb::Unsub)),
        ("UNSUB 1 18446744073709551616\r\n", BadNumber(Verb::Unsub)),
        ("PING now\r\n", Syntax(Verb::Ping)),
        ("PONG now\r\n", Syntax(Verb::Pong)),
        ("+OK then\r\n", Syntax(Verb::Ok)),
    ];
    for (bytes, expected) in cases {
        assert_eq!(one(bytes.as_bytes()), Err(expected), "{bytes:?}");
    }
}

#[test]
fn unknown_verbs_are_refused_at_the_first_wrong_byte() {
    for bytes in [
        "X",
        "\r\n",
        " PING\r\n",
        "GET / HTTP/1.1\r\n",
        "\x16\x03\x01",
        "PUX",
        "PUBX",
        "PINGS",
        "\0",
        "LS+ a\r\n",
        "MSG a 1 0\r\n",
    ] {
        assert_eq!(one(bytes.as_bytes()), Err(UnknownOperation), "{bytes:?}");
        let first_wrong = (1..=bytes.len()).find(|&n| one(&bytes.as_bytes()[..n]).is_err());
        let before = first_wrong.unwrap() - 1;
        assert!(matches!(one(&bytes.as_bytes()[..before]), Ok(Step::Incomplete(_))), "{bytes:?}");
    }
}

/// A limit of ten bytes of arguments, in every form a line can end.
#[test]
fn control_line_limit() {
    let limits = Limits { max_control_line: 10, max_payload: 100 };
    for (verb, end, args) in [
        ("PUB", "\r\n", "abcdefgh 1"),
        ("PUB", "\n", "abcdefgh 1"),
        ("SUB", "\r\n", "abcdefgh 1"),
        ("CONNECT", "\r\n", "0123456789"),
    ] {
        let fits = format!("{verb} {args}{end}");
        assert!(!matches!(parse(fits.as_bytes(), &limits), Err(ControlLineTooLong)), "{fits:?}");
        let over = format!("{verb} x{args}{end}");
        assert_eq!(parse(over.as_bytes(), &limits), Err(ControlLineTooLong), "{over:?}");
    }
    // Without an end in sight it is refused as soon as no byte to come could end it in time.
    let endless = [b"SUB ".as_slice(), &[b'a'; 40]].concat();
    for n in 0..endless.len() {
        let expected = if n < 16 { Ok(Step::Incomplete(n + 1)) } else { Err(ControlLineTooLong) };
        assert_eq!(parse(&endless[..n], &limits), expected, "{n}");
    }
}

#[test]
fn limits_of_zero_and_the_largest_hold() {
    let none = Limits { max_control_line: 0, max_payload: 0 };
    assert_eq!(parse(b"PING\r\n", &none), Ok(Step::Frame(Op::Ping, 6)));
    assert_eq!(parse(b"PUB a 0\r\n\r\n", &none), Err(ControlLineTooLong));
    let all = Limits { max_control_line: usize::MAX, max_payload: usize::MAX };
    assert_eq!(parse(b"PUB a 999999999\r\n", &all), Ok(Step::Incomplete(17 + 999_999_999 + 2)));
    assert_eq!(parse(b"CONNECT {", &all), Ok(Step::Incomplete(10)));
}

#[test]
fn missing_bytes_are_counted() {
    let limits = Limits::default();
    assert_eq!(parse(b"", &limits), Ok(Step::Incomplete(1)));
    assert_eq!(parse(b"PUB a 5\r", &limits), Ok(Step::Incomplete(9)));
    assert_eq!(parse(b"PUB a 5\r\n", &limits), Ok(Step::Incomplete(16)));
    assert_eq!(parse(b"PUB a 5\r\nhello\r", &limits), Ok(Step::Incomplete(16)));
    assert_eq!(parse(b"HPUB  a 2 5\r\nhel", &limits), Ok(Step::Incomplete(20)));
}

#[test]
fn what_follows_a_frame_is_left_alone() {
    assert_eq!(one(b"PING\r\nPONG\r\n"), Ok(Step::Frame(Op::Ping, 6)));
    assert_eq!(one(b"PUB a 1\r\nx\r\nrubbish"), Ok(Step::Frame(publish("a", "", None, "x", 6), 12)));
}

#[test]
fn errors_have_the_words_clients_know() {
    let texts = [
        (ControlLineTooLong, "maximum control line exceeded"),
        (PayloadTooLarge { size: 2, max: 1 }, "Maximum Payload Violation"),
        (UnknownOperation, "Unknown Protocol Operation"),
        (ParseError::MissingPayloadTerminator(Verb::Pub), "Unknown Protocol Operation"),
        (Syntax(Verb::Sub), "Parser Error"),
        (BadNumber(Verb::Pub), "Parser Error"),
        (ParseError::InvalidJson { verb: Verb::Connect, column: 3 }, "Parser Error"),
    ];
    for (error, text) in texts {
        assert_eq!(error.client_text(), text);
    }
    assert_eq!(BadNumber(Verb::Hpub).to_string(), "HPUB: bad number");
}
