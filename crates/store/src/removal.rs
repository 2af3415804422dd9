//! What went: the messages an operation removed.

use smallvec::SmallVec;

/// Messages that an operation removed, in the order they went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    /// A put into a bucket removes one.
    items: SmallVec<[Item; 1]>,
    /// The subjects, one after the other.
    text: SmallVec<[u8; 64]>,
    bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    seq: u64,
    text_end: usize,
    was_last: bool,
}

/// One removed message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal<'a> {
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: &'a [u8],
    /// Whether its subject had no message after it went.
    pub was_last: bool,
}

impl Removals {
    pub(crate) fn push(&mut self, seq: u64, subject: &[u8], was_last: bool, bytes: u64) {
        self.text.extend_from_slice(subject);
        self.items.push(Item { seq, text_end: self.text.len(), was_last });
        self.bytes += bytes;
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether nothing went.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes they took, as [`State::bytes`](crate::State::bytes) counts them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Removal<'_>> {
        let mut from = 0;
        self.items.iter().map(move |item| {
            let subject = self.text.get(from..item.text_end).unwrap_or_default();
            from = item.text_end;
            Removal { seq: item.seq, subject, was_last: item.was_last }
        })
    }

    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.items.iter().map(|item| item.seq).collect()
    }
}
