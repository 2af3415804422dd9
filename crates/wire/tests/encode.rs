//! What the encoders write, byte for byte, and that the parsers read it back.

use wire::{Limits, Step, client, encode, leaf, text};

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

#[test]
fn frames() {
    assert_eq!(written(|o| encode::message_prefix(o, b"a.b", b"9")), "MSG a.b 9 ");
    assert_eq!(written(|o| encode::header_message_prefix(o, b"a.b", b"9")), "HMSG a.b 9 ");
    assert_eq!(written(|o| encode::leaf_prefix(o, b"a.b")), "LMSG a.b ");
    assert_eq!(written(|o| encode::leaf_header_prefix(o, b"a.b")), "HMSG a.b ");
    assert_eq!(written(|o| encode::message_tail(o, b"", None, b"hi")), "2\r\nhi\r\n");
    assert_eq!(written(|o| encode::message_tail(o, b"r", None, b"")), "r 0\r\n\r\n");
    assert_eq!(written(|o| encode::message_tail(o, b"r", Some(1), b"hi")), "r 1 2\r\nhi\r\n");
    assert_eq!(written(|o| encode::leaf_subscribe(o, b"a", None)), "LS+ a\r\n");
    assert_eq!(written(|o| encode::leaf_subscribe(o, b"a", Some((b"q", 12)))), "LS+ a q 12\r\n");
    assert_eq!(written(|o| encode::leaf_unsubscribe(o, b"a", None)), "LS- a\r\n");
    assert_eq!(written(|o| encode::leaf_unsubscribe(o, b"a", Some(b"q"))), "LS- a q\r\n");
    assert_eq!(
        written(|o| encode::no_responders(o, b"_INBOX.x", b"3", b"ask")),
        "HMSG _INBOX.x 3 35 35\r\nNATS/1.0 503\r\nNats-Subject: ask\r\n\r\n\r\n"
    );
}

#[test]
fn decimals() {
    for n in [0, 1, 9, 10, 99, 100, 12_345, 1_048_576, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(written(|o| encode::decimal(o, n)), n.to_string());
    }
}

#[test]
fn leaf_messages_with_queues_are_read_back() {
    type Case<'a> = (&'a [u8], &'a [&'a [u8]], Option<usize>, &'a str);
    let queues: [&[u8]; 2] = [b"q1", b"q2"];
    let cases: [Case<'_>; 5] = [
        (b"r", &queues, None, "LMSG s + r q1 q2 2\r\nhi\r\n"),
        (b"", &queues, None, "LMSG s | q1 q2 2\r\nhi\r\n"),
        (b"r", &queues[..1], Some(1), "HMSG s + r q1 1 2\r\nhi\r\n"),
        (b"", &queues, Some(2), "HMSG s | q1 q2 2 2\r\nhi\r\n"),
        (b"r", &[], None, "LMSG s r 2\r\nhi\r\n"),
    ];
    for (reply, queues, header_len, expected) in cases {
        let frame = written(|o| encode::leaf_message_with_queues(o, b"s", reply, queues, header_len, b"hi"));
        assert_eq!(frame, expected);
        let Ok(Step::Frame(leaf::Op::Message(message), len)) =
            leaf::parse(frame.as_bytes(), &Limits::default())
        else {
            panic!("no message")
        };
        assert_eq!(len, frame.len());
        assert_eq!(
            (message.subject, message.reply, message.payload),
            (b"s".as_slice(), reply, b"hi".as_slice())
        );
        assert_eq!(message.queue_names().collect::<Vec<_>>(), queues);
        assert_eq!(
            (message.has_headers, message.header_len),
            (header_len.is_some(), header_len.unwrap_or(0))
        );
    }
}

#[test]
fn error_lines_cannot_break_out_of_their_line() {
    assert_eq!(written(|o| encode::error_line(o, text::STALE_CONNECTION)), "-ERR 'Stale Connection'\r\n");
    let line = written(|o| encode::error_line(o, "x\r\nPING\0"));
    assert_eq!(line, "-ERR 'x  PING '\r\n");
    assert_eq!(
        client::parse(line.as_bytes(), &Limits::default()),
        Ok(Step::Frame(client::Op::Err(b"x  PING "), line.len()))
    );
}

#[test]
fn violation_texts() {
    assert_eq!(text::publish_violation(b"a.b"), "Permissions Violation for Publish to \"a.b\"");
    assert_eq!(text::reply_violation(b"r"), "Permissions Violation for Publish with Reply of \"r\"");
    assert_eq!(
        text::subscription_violation(b"a.>", None),
        "Permissions Violation for Subscription to \"a.>\""
    );
    assert_eq!(
        text::subscription_violation(b"a", Some(b"q")),
        "Permissions Violation for Subscription to \"a\" using queue \"q\""
    );
    assert_eq!(
        text::publish_violation(b"a\"\\\x01"),
        "Permissions Violation for Publish to \"a\\\"\\\\\\u{1}\""
    );
}
