//! Gateway operations: what is read, what is refused, and with which error.

use proptest::prelude::*;
use wire::ParseError::{self, BadNumber, PayloadTooLarge, Syntax, UnknownOperation};
use wire::gateway::{Message, Op, parse};
use wire::info::{GatewayCommand, GatewayConnect, GatewayInfo};
use wire::{Limits, Step, Verb, encode};

fn one(bytes: &[u8]) -> Result<Step<Op<'_>>, ParseError> {
    parse(bytes, &Limits::default())
}

fn whole(bytes: &[u8]) -> Op<'_> {
    match one(bytes) {
        Ok(Step::Frame(op, len)) if len == bytes.len() => op,
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(bytes)),
    }
}

/// `(line, reply, queues, header length, tail)` of messages to subject `a` in account `$G` with body `ok`.
const MESSAGES: [(&str, &str, &str, Option<usize>, usize); 9] = [
    ("RMSG $G a 2\r\nok\r\n", "", "", None, 10),
    ("RMSG $G a r 2\r\nok\r\n", "r", "", None, 10),
    ("RMSG $G a + r q1 2\r\nok\r\n", "r", "q1", None, 0),
    ("RMSG $G a + r q1 q2 2\r\nok\r\n", "r", "q1 q2", None, 0),
    ("RMSG $G a | q1 q2  2\r\nok\r\n", "", "q1 q2", None, 0),
    ("rmsg  $G a r 2\nok\r\n", "r", "", None, 0),
    ("HMSG $G a 12 14\r\nNATS/1.0\r\n\r\nok\r\n", "", "", Some(12), 10),
    ("HMSG $G a r 12 14\r\nNATS/1.0\r\n\r\nok\r\n", "r", "", Some(12), 10),
    ("HMSG $G a | q 12 14\r\nNATS/1.0\r\n\r\nok\r\n", "", "q", Some(12), 0),
];

#[test]
fn messages() {
    for (bytes, reply, queues, header_len, tail_at) in MESSAGES {
        let payload = if header_len.is_some() { "NATS/1.0\r\n\r\nok" } else { "ok" };
        let expected = Message {
            subject: b"a",
            reply: reply.as_bytes(),
            queues: queues.as_bytes(),
            has_headers: header_len.is_some(),
            header_len: header_len.unwrap_or(0),
            payload: payload.as_bytes(),
            tail_at,
        };
        assert_eq!(whole(bytes.as_bytes()), Op::Message { account: b"$G", message: expected }, "{bytes:?}");
    }
}

#[test]
fn interest_and_the_rest() {
    let cases: [(&str, Op<'_>); 12] = [
        ("RS+ $G a.*\r\n", Op::Subscribe { account: b"$G", subject: b"a.*", queue: None }),
        ("RS+ $G a q 1\r\n", Op::Subscribe { account: b"$G", subject: b"a", queue: Some((b"q", 1)) }),
        ("rs+ $G\ta\r\n", Op::Subscribe { account: b"$G", subject: b"a", queue: None }),
        ("RS- $G a\r\n", Op::Unsubscribe { account: b"$G", subject: b"a", queue: None }),
        ("RS- $G a q\r\n", Op::Unsubscribe { account: b"$G", subject: b"a", queue: Some(b"q") }),
        ("A+ $G\r\n", Op::AccountSubscribe(b"$G")),
        ("A- $G\r\n", Op::AccountUnsubscribe(b"$G")),
        ("CONNECT {}\r\n", Op::Connect(b"{}")),
        ("INFO {\"a\":1}\r\n", Op::Info(b"{\"a\":1}")),
        ("PING\r\n", Op::Ping),
        ("PONG\r\n", Op::Pong),
        ("-ERR 'no'\r\n", Op::Err(b"no")),
    ];
    for (bytes, op) in cases {
        assert_eq!(whole(bytes.as_bytes()), op, "{bytes:?}");
    }
}

#[test]
fn what_is_refused() {
    let cases: [(&str, ParseError); 11] = [
        ("PUB a 2\r\nok\r\n", UnknownOperation),
        ("LS+ a\r\n", UnknownOperation),
        ("RMSG a 2\r\nok\r\n", Syntax(Verb::Rmsg)),
        ("RMSG $G a r x 2\r\nok\r\n", Syntax(Verb::Rmsg)),
        ("RMSG $G a x\r\n", BadNumber(Verb::Rmsg)),
        ("RMSG $G a 99999999\r\n", PayloadTooLarge { size: 99_999_999, max: 1_048_576 }),
        ("RS+ $G\r\n", Syntax(Verb::RemoteSub)),
        ("RS+ $G a q\r\n", Syntax(Verb::RemoteSub)),
        ("RS+ $G a q b 1\r\n", Syntax(Verb::RemoteSub)),
        ("A+ $G b\r\n", Syntax(Verb::AccountSub)),
        ("A-\r\n", Syntax(Verb::AccountUnsub)),
    ];
    for (bytes, error) in cases {
        assert_eq!(one(bytes.as_bytes()), Err(error), "{bytes:?}");
    }
}

#[test]
fn every_cut_gives_the_same_answer() {
    for (bytes, ..) in MESSAGES {
        let full = one(bytes.as_bytes());
        for cut in 0..bytes.len() {
            match one(&bytes.as_bytes()[..cut]) {
                Ok(Step::Incomplete(need)) => {
                    assert!(need > cut && need <= bytes.len(), "{bytes:?} at {cut}")
                }
                other => panic!("{bytes:?} at {cut}: {other:?} before {full:?}"),
            }
        }
    }
}

#[test]
fn an_account_travels_in_a_command() {
    let info = GatewayInfo::of_account("A", GatewayCommand::AllSubsStart, "$G");
    let line = info.to_line();
    let text = String::from_utf8(line.clone()).unwrap();
    assert!(
        text.contains("\"gateway_cmd\":2") && text.contains("\"gateway_cmd_payload\":\"JEc=\""),
        "{text}"
    );
    let Op::Info(json) = whole(&line) else { panic!("{text}") };
    let read = GatewayInfo::parse(json).unwrap();
    assert_eq!((read.command(), read.account()), (Some(GatewayCommand::AllSubsStart), Some(b"$G".to_vec())));
}

#[test]
fn what_stock_servers_say_is_read() {
    let info = r#"{"server_id":"NA","server_name":"a","version":"2.15.1","proto":3,"go":"go1","host":"127.0.0.1","port":7222,"headers":true,"max_payload":1048576,"gateway":"A","gateway_urls":["127.0.0.1:7222"],"gateway_url":"127.0.0.1:7222","gateway_nrp":true,"gateway_iom":true,"feature_flags":{}}"#;
    let info = GatewayInfo::parse(info.as_bytes()).unwrap();
    assert_eq!((info.gateway.as_deref(), info.gateway_urls.len(), info.gateway_iom), (Some("A"), 1, true));
    let connect = r#"{"echo":false,"verbose":false,"pedantic":false,"user":"u","pass":"hidden","tls_required":false,"name":"NB","cluster":"","gateway":"B"}"#;
    let connect = GatewayConnect::parse(connect.as_bytes()).unwrap();
    assert_eq!(connect.gateway.as_deref(), Some("B"));
    assert!(!format!("{connect:?}").contains("hidden"));
}

proptest! {
    #[test]
    fn interest_survives_being_written(account in "[!-~]{1,8}", subject in "[a-z.*>]{1,12}", queue in proptest::option::of("[a-z]{1,6}")) {
        let (account, subject, queue) = (account.as_bytes(), subject.as_bytes(), queue.as_ref().map(|q| q.as_bytes()));
        let mut out = Vec::new();
        encode::remote_subscribe(&mut out, account, subject, queue);
        prop_assert_eq!(whole(&out), Op::Subscribe { account, subject, queue: queue.map(|q| (q, 1)) });
        out.clear();
        encode::remote_unsubscribe(&mut out, account, subject, queue);
        prop_assert_eq!(whole(&out), Op::Unsubscribe { account, subject, queue });
    }
}
