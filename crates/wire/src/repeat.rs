//! Messages that follow one another with the very same control line: what a publisher with much to say sends.

/// How many whole frames at the start of `buf` begin with `head`, a control line with its end, and are as long as the
/// `frame` it stood in. The parsers would read the same from each of them but for the payload, so that none has to.
///
/// ```
/// let frame = b"PUB a 1\r\nx\r\n";
/// assert_eq!(wire::repeats(b"PUB a 1\r\ny\r\nPUB a 1\r\nz\r\nPUB b 1\r\n", b"PUB a 1\r\n", frame.len()), 2);
/// ```
#[inline]
#[must_use]
pub fn repeats(buf: &[u8], head: &[u8], frame: usize) -> usize {
    // Nothing is as long as its own head, and frames of no length would never end.
    if frame < head.len() + 2 {
        return 0;
    }
    buf.chunks_exact(frame).take_while(|next| next.starts_with(head) && next.ends_with(b"\r\n")).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Step, client, leaf};
    use proptest::prelude::*;

    #[test]
    fn what_differs_in_any_way_is_no_repetition() {
        let head = b"LMSG a 2\r\n";
        let frame = head.len() + 4;
        for (rest, count) in [
            (&b"LMSG a 2\r\nxx\r\nLMSG a 2\r\nyy\r\n"[..], 2),
            (b"LMSG a 2\r\nxx\r\nLMSG a 2\r\nyy\r", 1),
            (b"LMSG a 2\r\nxx\r\nLMSG b 2\r\nyy\r\n", 1),
            (b"LMSG a 2\r\nxxx\r\n", 0),
            (b"PING\r\n", 0),
            (b"", 0),
        ] {
            assert_eq!(repeats(rest, head, frame), count, "{:?}", String::from_utf8_lossy(rest));
        }
        assert_eq!(repeats(b"aaaa", b"", 0), 0);
    }

    /// Frames of few kinds, so that many are alike.
    fn stream(verb: &str, kinds: &[(u8, usize, u8)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (subject, size, fill) in kinds {
            let subject = char::from(b'a' + subject % 2);
            out.extend_from_slice(format!("{verb} {subject} {size}\r\n").as_bytes());
            // Payloads that look like protocol, too.
            out.extend((0..*size).map(|at| if fill % 3 == 0 { b"\r\nPUB a"[at % 7] } else { *fill }));
            out.extend_from_slice(b"\r\n");
        }
        out
    }

    proptest! {
        #[test]
        fn parsers_read_the_same_from_each(kinds in proptest::collection::vec((0..2u8, 0..3usize, any::<u8>()), 1..40)) {
            let limits = Limits::default();
            let bytes = stream("PUB", &kinds);
            let mut at = 0;
            while at < bytes.len() {
                let Ok(Step::Frame(client::Op::Publish(first), length)) = client::parse(&bytes[at..], &limits) else {
                    panic!("a publish");
                };
                let head = &bytes[at..at + length - first.payload.len() - 2];
                for again in 1..=repeats(&bytes[at + length..], head, length) {
                    let from = at + again * length;
                    let Ok(Step::Frame(client::Op::Publish(next), taken)) = client::parse(&bytes[from..], &limits) else {
                        panic!("a publish");
                    };
                    prop_assert_eq!(taken, length);
                    prop_assert_eq!(client::Publish { payload: first.payload, ..next }, first);
                }
                at += length;
            }
            let bytes = stream("LMSG", &kinds);
            let Ok(Step::Frame(leaf::Op::Message(first), length)) = leaf::parse(&bytes, &limits) else {
                panic!("a message");
            };
            let head = &bytes[..length - first.payload.len() - 2];
            for again in 1..=repeats(&bytes[length..], head, length) {
                let next = leaf::parse(&bytes[again * length..], &limits);
                let Ok(Step::Frame(leaf::Op::Message(next), taken)) = next else { panic!("a message") };
                prop_assert_eq!(taken, length);
                prop_assert_eq!(leaf::Message { payload: first.payload, ..next }, first);
            }
        }
    }
}
