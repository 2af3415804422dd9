//! Properties: how a stream is cut into reads does not matter, and missing bytes are counted right.

use proptest::prelude::*;
use wire::{Limits, ParseError, Step, client, encode, leaf};

/// Small enough that generated input meets every limit.
const LIMITS: Limits = Limits { max_control_line: 64, max_payload: 48 };

type Parsed = Result<Step<String>, ParseError>;

fn client_step(buf: &[u8]) -> Parsed {
    client::parse(buf, &LIMITS).map(|step| match step {
        Step::Frame(op, len) => Step::Frame(format!("{op:?}"), len),
        Step::Incomplete(n) => Step::Incomplete(n),
    })
}

fn leaf_step(buf: &[u8]) -> Parsed {
    leaf::parse(buf, &LIMITS).map(|step| match step {
        Step::Frame(op, len) => Step::Frame(format!("{op:?}"), len),
        Step::Incomplete(n) => Step::Incomplete(n),
    })
}

/// Everything read from `stream` when it arrives in pieces that end at `cuts`, and the error that ended it.
fn read(
    stream: &[u8],
    cuts: &[usize],
    parse: fn(&[u8]) -> Parsed,
) -> (Vec<(String, usize)>, Option<ParseError>) {
    let (mut ops, mut start) = (Vec::new(), 0);
    for &end in cuts.iter().chain([&stream.len()]) {
        loop {
            match parse(&stream[start..end]) {
                Ok(Step::Frame(op, len)) => {
                    assert!(len > 0 && start + len <= end, "frame beyond the buffer");
                    ops.push((op, len));
                    start += len;
                }
                Ok(Step::Incomplete(n)) => {
                    assert!(n > end - start, "wants {n} bytes, has {}", end - start);
                    break;
                }
                Err(error) => return (ops, Some(error)),
            }
        }
    }
    (ops, None)
}

/// Every proper prefix of a frame asks for more, and for no more than the frame.
fn prefixes_count_right(frames: &[Vec<u8>], parse: fn(&[u8]) -> Parsed) {
    for frame in frames {
        let Ok(Step::Frame(_, len)) = parse(frame) else { continue };
        assert_eq!(len, frame.len(), "{:?}", String::from_utf8_lossy(frame));
        for n in 0..len {
            match parse(&frame[..n]) {
                Ok(Step::Incomplete(need)) => assert!(need > n && need <= len, "{n} of {len}: {need}"),
                other => panic!("{n} bytes of {:?}: {other:?}", String::from_utf8_lossy(frame)),
            }
        }
    }
}

fn token() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{1,4}(\\.[a-z*>]{1,9}){0,3}", "[0-9]{1,3}", "[+|]"]
}

fn gap() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just(" "), 1 => Just("  "), 1 => Just("\t")]
}

fn line_end() -> impl Strategy<Value = &'static str> {
    prop_oneof![8 => Just("\r\n"), 1 => Just("\n"), 1 => Just(" \r\n")]
}

/// A message of either protocol, mostly well-formed, with payloads around the limit.
fn message(verbs: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let body = prop::collection::vec(any::<u8>(), 0..52);
    (prop::sample::select(verbs), prop::collection::vec(token(), 1..5), gap(), line_end(), 0..60_usize, body)
        .prop_map(|(verb, words, gap, end, header_len, body)| {
            let mut line = format!("{verb}{gap}{}", words.join(gap));
            if verb.starts_with(['H', 'h']) {
                line += &format!("{gap}{}", header_len.min(body.len() + 1));
            }
            line += &format!("{gap}{}{end}", body.len());
            [line.as_bytes(), &body, b"\r\n"].concat()
        })
}

fn control(verbs: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(verbs), prop::collection::vec(token(), 0..5), gap(), line_end()).prop_map(
        |(verb, words, gap, end)| {
            let words: String = words.iter().map(|word| format!("{gap}{word}")).collect();
            format!("{verb}{words}{end}").into_bytes()
        },
    )
}

fn client_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => message(&["PUB", "HPUB", "pub", "hpub"]),
        2 => control(&["SUB", "UNSUB", "PING", "PONG", "CONNECT", "+OK", "-ERR", "info", "sub"]),
    ]
}

fn leaf_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => message(&["LMSG", "HMSG", "lmsg"]),
        2 => control(&["LS+", "LS-", "PING", "PONG", "CONNECT", "+OK", "-ERR", "INFO", "ls+"]),
    ]
}

/// Frames in a row, perhaps with a few bytes overwritten.
fn stream(
    frame: impl Strategy<Value = Vec<u8>>,
) -> impl Strategy<Value = (Vec<Vec<u8>>, Vec<u8>, Vec<usize>)> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..12);
    (prop::collection::vec(frame, 1..6), damage, cuts).prop_map(|(frames, damage, cuts)| {
        let mut bytes = frames.concat();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.sort_unstable();
        (frames, bytes, cuts)
    })
}

fn cuts_do_not_matter(bytes: &[u8], cuts: &[usize], parse: fn(&[u8]) -> Parsed) {
    let whole = read(bytes, &[], parse);
    assert_eq!(whole, read(bytes, cuts, parse));
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(whole, read(bytes, &every, parse));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn client_streams((frames, bytes, cuts) in stream(client_frame())) {
        cuts_do_not_matter(&bytes, &cuts, client_step);
        prefixes_count_right(&frames, client_step);
    }

    #[test]
    fn leaf_streams((frames, bytes, cuts) in stream(leaf_frame())) {
        cuts_do_not_matter(&bytes, &cuts, leaf_step);
        prefixes_count_right(&frames, leaf_step);
    }

    #[test]
    fn rubbish(bytes in prop::collection::vec(any::<u8>(), 0..200), cuts in prop::collection::vec(0..200_usize, 0..5)) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.min(&bytes.len()).to_owned()).collect();
        cuts.sort_unstable();
        cuts_do_not_matter(&bytes, &cuts, client_step);
        cuts_do_not_matter(&bytes, &cuts, leaf_step);
    }

    /// What a publisher sends can be sent on by its tail, and by writing it anew, with the same result.
    #[test]
    fn tail_and_formatting_agree(frame in client_frame()) {
        if let Ok(Step::Frame(client::Op::Publish(publish), len)) = client::parse(&frame, &LIMITS) {
            let header_len = publish.has_headers.then_some(publish.header_len);
            let mut tail = Vec::new();
            encode::message_tail(&mut tail, publish.reply, header_len, publish.payload);
            if publish.tail_at != 0 {
                prop_assert_eq!(&tail, &frame[publish.tail_at..len]);
            }
            // A leaf message made of the same tail says the same.
            let mut forwarded = Vec::new();
            match header_len {
                Some(_) => encode::leaf_header_prefix(&mut forwarded, publish.subject),
                None => encode::leaf_prefix(&mut forwarded, publish.subject),
            }
            forwarded.extend_from_slice(&tail);
            let Ok(Step::Frame(leaf::Op::Message(message), taken)) = leaf::parse(&forwarded, &LIMITS) else {
                panic!("not read back: {:?}", String::from_utf8_lossy(&forwarded))
            };
            prop_assert_eq!(taken, forwarded.len());
            prop_assert_eq!((message.subject, message.reply, message.payload), (publish.subject, publish.reply, publish.payload));
            prop_assert_eq!(&forwarded[message.tail_at..], &tail[..]);
        }
    }
}
