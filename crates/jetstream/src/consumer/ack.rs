//! Acknowledgements: the subject they are sent to, which says what of, and the payload, which says how.
//!
//! A delivered message carries the reply subject
//! `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>`. The newer form has the
//! domain and a hash of the account after `$JS.ACK`, and may have more tokens at the end; it is understood too.

use serde::Deserialize;

use crate::duration;

/// Tokens of the older form.
const TOKENS: usize = 9;
/// Tokens of the newer form, at least.
const TOKENS_V2: usize = 11;

/// What an acknowledgement is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckSubject {
    /// How often the message had been delivered.
    pub deliveries: u64,
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The consumer's sequence of that delivery.
    pub delivery: u64,
}

impl AckSubject {
    /// Reads the subject of an acknowledgement; `None` when it is none.
    #[must_use]
    pub fn parse(subject: &[u8]) -> Option<Self> {
        let rest = subject.strip_prefix(b"$JS.ACK.")?;
        let dots = memchr_count(rest) + 3;
        let skip = match dots {
            TOKENS => 2,
            TOKENS_V2.. => 4,
            _ => return None,
        };
        let mut tokens = rest.split(|byte| *byte == b'.').skip(skip);
        let mut number = || tokens.next().and_then(digits);
        let (deliveries, sequence, delivery) = (number()?, number()?, number()?);
        // Time and pending count are for the client; they must be numbers all the same.
        number()?;
        number()?;
        Some(Self { deliveries, sequence, delivery })
    }
}

fn memchr_count(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'.').count()
}

/// A decimal number without sign.
fn digits(token: &[u8]) -> Option<u64> {
    if token.is_empty() || token.len() > 19 {
        return None;
    }
    token
        .iter()
        .try_fold(0u64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

/// Writes the reply subjects of one consumer's deliveries.
#[derive(Debug, Clone)]
pub struct AckWriter {
    text: Vec<u8>,
    prefix: usize,
}

impl AckWriter {
    /// For the consumer of a stream.
    #[must_use]
    pub fn new(stream: &str, consumer: &str) -> Self {
        let text = format!("$JS.ACK.{stream}.{consumer}").into_bytes();
        Self { prefix: text.len(), text }
    }

    /// The reply subject of a delivery. `pending`: messages left after it.
    pub fn write(&mut self, ack: AckSubject, time: i64, pending: u64) -> &[u8] {
        self.text.truncate(self.prefix);
        let time = u64::try_from(time).unwrap_or(0);
        for number in [ack.deliveries, ack.sequence, ack.delivery, time, pending] {
            self.text.push(b'.');
            push_number(&mut self.text, number);
        }
        &self.text
    }

    /// What was written last.
    #[must_use]
    pub fn last(&self) -> &[u8] {
        &self.text
    }
}

/// Appends a number in decimal.
pub(crate) fn push_number(to: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        // A digit: below ten.
        #[allow(clippy::cast_possible_truncation)]
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (number % 10) as u8;
        }
        number /= 10;
        if number == 0 {
            break;
        }
    }
    to.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// What a client says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Done.
    Ack,
    /// Once more, after a while if one is named (nanoseconds).
    Nak(Option<i64>),
    /// Still at work.
    Progress,
    /// Never again, and why.
    Term(&'a [u8]),
    /// Done, and a request for more: the rest is a pull request.
    Next(&'a [u8]),
    /// Nothing that is known: it is confirmed and changes nothing.
    Unknown,
}

#[derive(Deserialize)]
struct NakOptions {
    #[serde(default)]
    delay: i64,
}

impl<'a> Verdict<'a> {
    /// Reads the payload of an acknowledgement.
    #[must_use]
    pub fn parse(payload: &'a [u8]) -> Self {
        match payload {
            b"" | b"+ACK" | b"+OK" => Self::Ack,
            b"+WPI" => Self::Progress,
            _ => {
                if let Some(rest) = payload.strip_prefix(b"+NXT") {
                    Self::Next(rest)
                } else if let Some(rest) = payload.strip_prefix(b"-NAK") {
                    Self::Nak(delay(rest.trim_ascii()))
                } else if let Some(rest) = payload.strip_prefix(b"+TERM") {
                    Self::Term(rest.trim_ascii())
                } else {
                    Self::Unknown
                }
            }
        }
    }
}

/// The delay of a `-NAK`: an object, or Go's notation. What can't be read is no delay.
fn delay(argument: &[u8]) -> Option<i64> {
    if argument.first() == Some(&b'{') {
        return serde_json::from_slice::<NakOptions>(argument).ok().map(|options| options.delay);
    }
    duration::parse_go(std::str::from_utf8(argument).ok()?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OF: AckSubject = AckSubject { deliveries: 1, sequence: 42, delivery: 7 };

    #[test]
    fn both_forms_are_read() {
        assert_eq!(AckSubject::parse(b"$JS.ACK.S.C.1.42.7.1700000000000000000.5"), Some(OF));
        assert_eq!(AckSubject::parse(b"$JS.ACK.hub.ABCDEF12.S.C.1.42.7.1700000000000000000.5"), Some(OF));
        assert_eq!(AckSubject::parse(b"$JS.ACK._.ABCDEF12.S.C.1.42.7.1700000000000000000.5.x.y"), Some(OF));
    }

    #[test]
    fn what_is_no_acknowledgement_is_refused() {
        for subject in [
            &b"$JS.ACK.S.C.1.42.7.17"[..],
            b"$JS.ACK.a.S.C.1.42.7.17.5",
            b"$JS.ACK.S.C.1.x.7.17.5",
            b"$JS.ACK.S.C.1..7.17.5",
            b"$JS.ACK.S.C.1.99999999999999999999.7.17.5",
            b"orders.new",
        ] {
            assert_eq!(AckSubject::parse(subject), None, "{}", String::from_utf8_lossy(subject));
        }
    }

    #[test]
    fn verdicts_are_read() {
        assert_eq!(Verdict::parse(b""), Verdict::Ack);
        assert_eq!(Verdict::parse(b"+OK"), Verdict::Ack);
        assert_eq!(Verdict::parse(b"-NAK"), Verdict::Nak(None));
        assert_eq!(Verdict::parse(b"-NAK {\"delay\": 5000000}"), Verdict::Nak(Some(5_000_000)));
        assert_eq!(Verdict::parse(b"-NAK 2s"), Verdict::Nak(Some(2_000_000_000)));
        assert_eq!(Verdict::parse(b"-NAK {broken"), Verdict::Nak(None));
        assert_eq!(Verdict::parse(b"+TERM too old"), Verdict::Term(b"too old"));
        assert_eq!(Verdict::parse(b"+NXT {\"batch\":2}"), Verdict::Next(b" {\"batch\":2}"));
        assert_eq!(Verdict::parse(b"hello"), Verdict::Unknown);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(deliveries in 0..1u64 << 62, sequence: u32, delivery: u32, time: i64, pending in 0..1u64 << 62) {
            let of = AckSubject { deliveries, sequence: sequence.into(), delivery: delivery.into() };
            let mut writer = AckWriter::new("ORDERS", "billing");
            let text = writer.write(of, time.max(0), pending).to_vec();
            prop_assert_eq!(AckSubject::parse(&text), Some(of));
        }

        #[test]
        fn anything_may_come(subject: Vec<u8>, payload: Vec<u8>) {
            let of = AckSubject::parse(&subject);
            prop_assert!(of.is_none() || subject.starts_with(b"$JS.ACK."));
            prop_assert_eq!(Verdict::parse(&payload) == Verdict::Progress, payload == b"+WPI");
        }
    }
}
