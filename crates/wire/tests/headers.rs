//! Header blocks: reading, rewriting, refusing.

use wire::headers::{HeaderError, build, parse};

type Pair = (&'static [u8], &'static [u8]);

#[test]
fn reads_names_and_values_in_order() {
    let headers =
        parse(b"NATS/1.0\r\nA: 1\r\nb:2\r\nA:\t 3 \t\r\nEmpty:\r\nUrl: http://x:1\r\n\r\n").unwrap();
    let pairs: Vec<_> = headers.iter().collect();
    let expected: [Pair; 5] =
        [(b"A", b"1"), (b"b", b"2"), (b"A", b"3"), (b"Empty", b""), (b"Url", b"http://x:1")];
    assert_eq!(pairs, expected);
    assert_eq!(headers.get(b"A"), Some(b"1".as_slice()));
    assert_eq!(headers.get(b"B"), None);
    assert_eq!(headers.get_ignore_case(b"B"), Some(b"2".as_slice()));
    assert_eq!(headers.get_ignore_case(b"C"), None);
    assert_eq!(headers.status(), None);
}

#[test]
fn reads_the_status() {
    let cases: [(&[u8], Option<u16>, &[u8]); 5] = [
        (b"NATS/1.0\r\n\r\n", None, b""),
        (b"NATS/1.0 503\r\n\r\n", Some(503), b""),
        (b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", Some(100), b"Idle Heartbeat"),
        (b"NATS/1.0  404  No Messages \r\n\r\n", Some(404), b"No Messages"),
        (b"NATS/1.0 \r\n\r\n", None, b""),
    ];
    for (block, status, description) in cases {
        let headers = parse(block).unwrap();
        assert_eq!((headers.status(), headers.description()), (status, description));
        assert_eq!(headers.iter().count(), 0);
    }
}

#[test]
fn refuses_what_two_readers_could_read_differently() {
    let cases: [(&[u8], HeaderError); 24] = [
        (b"", HeaderError::Version),
        (b"NATS/1.1\r\n\r\n", HeaderError::Version),
        (b"nats/1.0\r\n\r\n", HeaderError::Version),
        (b"NATS/1.0", HeaderError::Unterminated),
        (b"NATS/1.0\r", HeaderError::Unterminated),
        (b"NATS/1.0\r\n", HeaderError::Unterminated),
        (b"NATS/1.0\r\nA: 1", HeaderError::Unterminated),
        (b"NATS/1.0\r\nA: 1\r\n", HeaderError::Unterminated),
        (b"NATS/1.0\r\nA: 1\r\n\r", HeaderError::Unterminated),
        (b"NATS/1.0\n\n", HeaderError::LineEnd),
        (b"NATS/1.0\r\nA: 1\nNats-Hidden: x\r\n\r\n", HeaderError::LineEnd),
        (b"NATS/1.0\r\nA: 1\rNats-Hidden: x\r\n\r\n", HeaderError::LineEnd),
        (b"NATS/1.0\r\nA: 1\r\r\n\r\n", HeaderError::LineEnd),
        (b"NATS/1.0\r\nA\r\n\r\n", HeaderError::MissingColon),
        (b"NATS/1.0\r\n: 1\r\n\r\n", HeaderError::Name),
        (b"NATS/1.0\r\nA : 1\r\n\r\n", HeaderError::Name),
        (b"NATS/1.0\r\n A: 1\r\n\r\n", HeaderError::Name),
        (b"NATS/1.0\r\nA: 1\r\n folded: x\r\n\r\n", HeaderError::Name),
        (b"NATS/1.0\r\nA\0: 1\r\n\r\n", HeaderError::Name),
        (b"NATS/1.0\r\n\xc3\xa4: 1\r\n\r\n", HeaderError::Name),
        (b"NATS/1.0\r\n\r\nbody", HeaderError::Trailing),
        (b"NATS/1.0\r\n\r\n\r\n", HeaderError::Trailing),
        (b"NATS/1.0 50\r\n\r\n", HeaderError::Status),
        (b"NATS/1.0503\r\n\r\n", HeaderError::Status),
    ];
    for (block, expected) in cases {
        assert_eq!(parse(block), Err(expected), "{:?}", String::from_utf8_lossy(block));
    }
    for block in [b"NATS/1.0 5030\r\n\r\n".as_slice(), b"NATS/1.0 abc\r\n\r\n", b"NATS/1.0 099\r\n\r\n"] {
        assert_eq!(parse(block), Err(HeaderError::Status));
    }
}

#[test]
fn strips_in_any_case_and_keeps_the_rest_as_it_was() {
    let headers =
        parse(b"NATS/1.0 200 Fine\r\nKeep:  odd \r\nNats-Who: me\r\nNATS-WHO: also\r\nZ:1\r\n\r\n").unwrap();
    let stripped = headers.strip(&[b"nats-who", b"absent"]);
    assert_eq!(stripped, b"NATS/1.0 200 Fine\r\nKeep:  odd \r\nZ:1\r\n\r\n");
    let all = headers.strip(&[b"keep", b"z", b"nats-who"]);
    assert_eq!(all, b"NATS/1.0 200 Fine\r\n\r\n");
}

#[test]
fn appends_and_rewrites() {
    let headers = parse(b"NATS/1.0\r\nA: 1\r\nX-B: 2\r\n\r\n").unwrap();
    let more = headers.append(&[(b"C", b"3"), (b"D", b"")]).unwrap();
    assert_eq!(more, b"NATS/1.0\r\nA: 1\r\nX-B: 2\r\nC: 3\r\nD: \r\n\r\n");
    let stamped = headers.rewrite(|name| !name.starts_with(b"X-"), &[(b"X-B", b"9")]).unwrap();
    assert_eq!(stamped, b"NATS/1.0\r\nA: 1\r\nX-B: 9\r\n\r\n");
    assert_eq!(build(&[(b"A", b"1")]).unwrap(), b"NATS/1.0\r\nA: 1\r\n\r\n");
    assert_eq!(build(&[]).unwrap(), b"NATS/1.0\r\n\r\n");
}

#[test]
fn writes_nothing_that_could_inject_a_header() {
    assert_eq!(build(&[(b"A", b"1\r\nB: 2")]), Err(HeaderError::Value));
    assert_eq!(build(&[(b"A", b"1\n")]), Err(HeaderError::Value));
    assert_eq!(build(&[(b"A: x\r\nB", b"1")]), Err(HeaderError::Name));
    assert_eq!(build(&[(b"", b"1")]), Err(HeaderError::Name));
    assert_eq!(parse(b"NATS/1.0\r\n\r\n").unwrap().append(&[(b"a b", b"1")]), Err(HeaderError::Name));
}
