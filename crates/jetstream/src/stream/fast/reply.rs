//! Where a message stands in a fast batch: its reply subject says it.
//!
//! `<prefix>.<batch>.<flow>.<gap mode>.<sequence>.<operation>.$FI`

use crate::stream::headers::number;

/// How such a reply subject ends.
const SUFFIX: &[u8] = b".$FI";
/// Messages to an acknowledgement where the reply names no number of them.
const DEFAULT_FLOW: u16 = 10;

/// What a message of a fast batch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// The first of several.
    Start,
    /// One more.
    Append,
    /// The last one.
    Commit,
    /// Ends the batch and is not part of it.
    End,
    /// Asks how far the batch is.
    Ping,
}

/// What the reply subject says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) id: &'a [u8],
    /// The most messages to an acknowledgement.
    pub(super) flow: u16,
    /// Messages may be missing.
    pub(super) gaps: bool,
    pub(super) sequence: u64,
    pub(super) operation: Operation,
}

/// Whether a message with this reply belongs to a fast batch.
pub(in crate::stream) fn is_fast(reply: &[u8]) -> bool {
    reply.ends_with(SUFFIX)
}

impl<'a> Place<'a> {
    /// Reads a reply subject; `None` when it does not follow the pattern.
    pub(super) fn read(reply: &'a [u8]) -> Option<Self> {
        let mut tokens = reply.strip_suffix(SUFFIX)?.rsplitn(6, |byte| *byte == b'.');
        let operation = match number(tokens.next()?)? {
            0 => Operation::Start,
            1 => Operation::Append,
            2 => Operation::Commit,
            3 => Operation::End,
            4 => Operation::Ping,
            _ => return None,
        };
        let sequence = number(tokens.next()?).filter(|sequence| (1..u64::MAX).contains(sequence))?;
        let fits = match operation {
            Operation::Start => sequence == 1,
            Operation::Append | Operation::End => sequence > 1,
            Operation::Commit | Operation::Ping => true,
        };
        let gaps = match tokens.next()? {
            b"ok" => true,
            b"fail" => false,
            _ => return None,
        };
        let flow = match number(tokens.next()?) {
            None | Some(0) => DEFAULT_FLOW,
            Some(flow) => u16::try_from(flow).unwrap_or(u16::MAX),
        };
        let id = tokens.next()?;
        // Something is before it: where the client listens.
        tokens.next()?;
        fits.then_some(Self { id, flow, gaps, sequence, operation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read() {
        let place = Place::read(b"_INBOX.x.y.uuid.100.ok.7.1.$FI").unwrap();
        let expected =
            Place { id: b"uuid", flow: 100, gaps: true, sequence: 7, operation: Operation::Append };
        assert_eq!(place, expected);
        for (flow, expected) in [("0", 10), ("x", 10), ("70000", u16::MAX), ("1", 1)] {
            let reply = format!("p.uuid.{flow}.fail.1.0.$FI");
            assert_eq!(Place::read(reply.as_bytes()).unwrap().flow, expected, "{flow}");
        }
    }

    #[test]
    fn other_replies_are_none() {
        for reply in [
            "p.uuid.1.fail.1.0",
            "uuid.1.fail.1.0.$FI",
            "p.uuid.1.maybe.1.0.$FI",
            "p.uuid.1.fail.0.0.$FI",
            "p.uuid.1.fail.2.0.$FI",
            "p.uuid.1.fail.1.1.$FI",
            "p.uuid.1.fail.1.3.$FI",
            "p.uuid.1.fail.1.5.$FI",
            "p.uuid.1.fail.x.1.$FI",
            "p.uuid.1.fail.18446744073709551615.2.$FI",
            ".$FI",
            "",
        ] {
            assert_eq!(Place::read(reply.as_bytes()), None, "{reply}");
        }
    }
}
