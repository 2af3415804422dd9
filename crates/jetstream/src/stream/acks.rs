//! Acknowledgements (PubAck): how they are written, and those that wait until their message is safe.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::errors::ApiError;

/// What is said about a stored message beside stream and sequence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Extra {
    /// Nothing.
    #[default]
    None,
    /// It was stored before.
    Duplicate,
    /// The value of the counter.
    Counter(String),
    /// The batch it ended, and how many messages that had.
    Batch(String, u64),
    /// Something else, as it is sent: that the message was not stored after all, or how far a fast batch is.
    Other(Arc<[u8]>),
}

/// Writes acknowledgements of one stream.
#[derive(Debug)]
pub(crate) struct AckWriter {
    /// `{"stream":"NAME", ` with the domain if there is one, up to the sequence.
    start: Vec<u8>,
    name: String,
}

impl AckWriter {
    pub(crate) fn new(stream: &str, domain: Option<&str>) -> Self {
        let name = serde_json::to_string(stream).unwrap_or_default();
        let domain = domain
            .map(|domain| format!("\"domain\":{},", serde_json::to_string(domain).unwrap_or_default()))
            .unwrap_or_default();
        Self { start: format!("{{\"stream\":{name},{domain}\"seq\":").into_bytes(), name }
    }

    /// Appends the acknowledgement of a message.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>, sequence: u64, extra: &Extra) {
        if let Extra::Other(text) = extra {
            return out.extend_from_slice(text);
        }
        out.extend_from_slice(&self.start);
        wire::encode::decimal(out, sequence);
        match extra {
            Extra::None | Extra::Other(_) => {}
            Extra::Duplicate => out.extend_from_slice(b",\"duplicate\":true"),
            Extra::Counter(value) => {
                out.extend_from_slice(format!(",\"val\":{}", json_text(value)).as_bytes());
            }
            Extra::Batch(id, count) => {
                out.extend_from_slice(format!(",\"batch\":{},\"count\":{count}", json_text(id)).as_bytes());
            }
        }
        out.push(b'}');
    }

    /// The refusal of a message.
    pub(crate) fn refusal(&self, error: &ApiError) -> Vec<u8> {
        let error = serde_json::to_string(error).unwrap_or_default();
        format!("{{\"error\":{error},\"stream\":{},\"seq\":0}}", self.name).into_bytes()
    }
}

fn json_text(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[derive(Debug)]
struct Entry {
    position: u64,
    sequence: u64,
    reply: u16,
    /// What the message holds of the publisher's credit, in bytes.
    held: u32,
    extra: Option<Box<Extra>>,
}

/// Acknowledgements that wait for the disk, in the order of their messages. Bounded by what the store lets wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    entries: VecDeque<Entry>,
    /// The reply subjects, one behind the other.
    replies: VecDeque<u8>,
}

/// Acknowledgements that are due.
#[derive(Debug, Default)]
pub(crate) struct Due {
    entries: Vec<Entry>,
    replies: Vec<u8>,
}

impl Waiting {
    /// Adds one. `reply` may be empty: then only the credit is given back.
    pub(crate) fn push(&mut self, position: u64, sequence: u64, reply: &[u8], held: usize, extra: Extra) {
        let (Ok(length), Ok(held)) = (u16::try_from(reply.len()), u32::try_from(held)) else { return };
        self.replies.extend(reply);
        let extra = (extra != Extra::None).then(|| Box::new(extra));
        self.entries.push_back(Entry { position, sequence, reply: length, held, extra });
    }

    /// Those up to a position, in `due`, which is emptied first.
    pub(crate) fn take(&mut self, position: u64, due: &mut Due) {
        due.entries.clear();
        due.replies.clear();
        let count = self.entries.partition_point(|entry| entry.position <= position);
        let bytes: usize = self.entries.iter().take(count).map(|entry| usize::from(entry.reply)).sum();
        due.entries.extend(self.entries.drain(..count));
        let (front, back) = self.replies.as_slices();
        let of_front = bytes.min(front.len());
        due.replies.extend_from_slice(front.get(..of_front).unwrap_or_default());
        due.replies.extend_from_slice(back.get(..bytes - of_front).unwrap_or_default());
        self.replies.drain(..bytes);
        if self.entries.is_empty() && self.replies.capacity() > 1 << 20 {
            *self = Self::default();
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What waits for positions above `from`, up to `upto`, was taken back: it is refused in its turn.
    pub(crate) fn refuse(&mut self, from: u64, upto: u64, refusal: &Arc<[u8]>) {
        let first = self.entries.partition_point(|entry| entry.position <= from);
        let taken_back = self.entries.iter_mut().skip(first).take_while(|entry| entry.position <= upto);
        for entry in taken_back {
            entry.position = from;
            entry.extra = Some(Box::new(Extra::Other(Arc::clone(refusal))));
        }
    }

    /// The position the last one waits for; 0 when none waits.
    pub(crate) fn last_position(&self) -> u64 {
        self.entries.back().map_or(0, |entry| entry.position)
    }
}

impl Due {
    /// Each of them: reply, sequence, extra.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], u64, &Extra)> {
        let mut from = 0;
        self.entries.iter().map(move |entry| {
            let to = from + usize::from(entry.reply);
            let reply = self.replies.get(from..to).unwrap_or_default();
            from = to;
            (reply, entry.sequence, entry.extra.as_deref().unwrap_or(&Extra::None))
        })
    }

    /// The credit they give back, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.entries.iter().map(|entry| entry.held as usize).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_are_json() {
        let writer = AckWriter::new("OR\"D", Some("hub"));
        for (extra, rest) in [
            (Extra::None, ""),
            (Extra::Duplicate, ",\"duplicate\":true"),
            (Extra::Counter("5".into()), ",\"val\":\"5\""),
            (Extra::Batch("b".into(), 3), ",\"batch\":\"b\",\"count\":3"),
        ] {
            let mut out = Vec::new();
            writer.write(&mut out, 7, &extra);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, format!("{{\"stream\":\"OR\\\"D\",\"domain\":\"hub\",\"seq\":7{rest}}}"));
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }

    #[test]
    fn what_was_taken_back_is_refused_in_its_turn() {
        let (mut waiting, mut due) = (Waiting::default(), Due::default());
        for n in 1..=6 {
            waiting.push(n, n, b"r", 1, Extra::None);
        }
        let refusal: Arc<[u8]> = Arc::from(b"no".as_slice());
        waiting.refuse(2, 4, &refusal);
        waiting.take(5, &mut due);
        let writer = AckWriter::new("S", None);
        let said = due.iter().map(|(_, sequence, extra)| {
            let mut out = Vec::new();
            writer.write(&mut out, sequence, extra);
            String::from_utf8(out).unwrap()
        });
        let stored = |n: u64| format!("{{\"stream\":\"S\",\"seq\":{n}}}");
        let expected = [stored(1), stored(2), "no".into(), "no".into(), stored(5)];
        assert_eq!(said.collect::<Vec<_>>(), expected);
        assert_eq!(waiting.last_position(), 6);
    }

    #[test]
    fn they_wait_for_their_position() {
        let (mut waiting, mut due) = (Waiting::default(), Due::default());
        for n in 1..=5 {
            waiting.push(n, 10 + n, format!("r.{n}").as_bytes(), 3, Extra::None);
        }
        waiting.take(3, &mut due);
        let got: Vec<_> = due.iter().map(|(reply, sequence, _)| (reply.to_vec(), sequence)).collect();
        assert_eq!(got, [(b"r.1".to_vec(), 11), (b"r.2".to_vec(), 12), (b"r.3".to_vec(), 13)]);
        assert_eq!(due.held(), 9);
        waiting.take(9, &mut due);
        assert_eq!(due.iter().count(), 2);
        assert_eq!(waiting.last_position(), 0);
    }
}
