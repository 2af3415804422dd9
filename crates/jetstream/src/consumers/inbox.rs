//! What came for a consumer and was not looked at yet: put in by publishers' tasks, taken out by the consumer's turn.
//!
//! Nothing in it is an object of its own: entries are numbers, their texts lie one behind the other.

use crate::consumer::ack::AckSubject;

/// Bytes an entry counts for beside its texts.
const ENTRY: usize = 56;

/// What an entry is.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Ack(AckSubject),
    Pull,
    Flow,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    kind: Kind,
    first: u32,
    second: u32,
}

/// Something that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input<'a> {
    /// An acknowledgement: of what, how, and where a confirmation is wanted.
    Ack { of: AckSubject, payload: &'a [u8], reply: &'a [u8] },
    /// A request for messages.
    Pull { reply: &'a [u8], request: &'a [u8] },
    /// An answer to a flow control request.
    Flow { subject: &'a [u8], headers: &'a [u8] },
}

/// Inputs in the order they came.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    entries: Vec<Entry>,
    text: Vec<u8>,
}

impl Inbox {
    /// Puts something in.
    pub(crate) fn push(&mut self, input: Input<'_>) {
        let (kind, first, second) = match input {
            Input::Ack { of, payload, reply } => (Kind::Ack(of), payload, reply),
            Input::Pull { reply, request } => (Kind::Pull, reply, request),
            Input::Flow { subject, headers } => (Kind::Flow, subject, headers),
        };
        self.text.extend_from_slice(first);
        self.text.extend_from_slice(second);
        self.entries.push(Entry { kind, first: narrow(first.len()), second: narrow(second.len()) });
    }

    /// Memory it takes, about.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() * ENTRY + self.text.len()
    }

    /// Everything, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Input<'_>> {
        let mut rest = self.text.as_slice();
        self.entries.iter().map(move |entry| {
            let (first, after) = rest.split_at_checked(entry.first as usize).unwrap_or_default();
            let (second, after) = after.split_at_checked(entry.second as usize).unwrap_or_default();
            rest = after;
            match entry.kind {
                Kind::Ack(of) => Input::Ack { of, payload: first, reply: second },
                Kind::Pull => Input::Pull { reply: first, request: second },
                Kind::Flow => Input::Flow { subject: first, headers: second },
            }
        })
    }

    /// Empties it. Room for a usual batch is kept.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.text.clear();
        self.entries.shrink_to(64);
        self.text.shrink_to(4096);
    }
}

/// Texts are parts of one published message: far below 4 GiB.
fn narrow(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_comes_out_in_order() {
        let of = AckSubject { deliveries: 1, sequence: 2, delivery: 3 };
        let inputs = [
            Input::Ack { of, payload: b"+ACK", reply: b"" },
            Input::Pull { reply: b"_INBOX.1", request: b"5" },
            Input::Ack { of, payload: b"", reply: b"r" },
            Input::Flow { subject: b"$JS.FC.S.C.x", headers: b"NATS/1.0\r\n\r\n" },
        ];
        let mut inbox = Inbox::default();
        inputs.iter().for_each(|input| inbox.push(*input));
        assert_eq!(inbox.iter().collect::<Vec<_>>(), inputs);
        assert_eq!(inbox.bytes(), 4 * ENTRY + 4 + 9 + 1 + 24);
        inbox.clear();
        assert_eq!(inbox.iter().count(), 0);
    }
}
