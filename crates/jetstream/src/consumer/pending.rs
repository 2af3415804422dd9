//! Messages that were delivered and wait for their acknowledgement.
//!
//! Deliveries come in the order of the stream, so the entries lie in a queue sorted by sequence; an acknowledged
//! one leaves a hole that goes when it reaches the front, or when holes outnumber entries.

use std::collections::VecDeque;

/// Holes kept before the queue is packed, whatever the number of entries.
const HOLES: usize = 64;

/// A message that waits for its acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its sequence in the stream.
    pub sequence: u64,
    /// The consumer's sequence of its first delivery; 0 marks a hole.
    pub delivery: u64,
    /// When the wait began, in nanoseconds since 1970.
    pub since: i64,
    /// Waits to be delivered again.
    pub queued: bool,
}

/// The unacknowledged messages of a consumer.
#[derive(Debug, Clone, Default)]
pub struct Pending {
    entries: VecDeque<Entry>,
    live: usize,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Self) -> bool {
        self.live == other.live && self.iter().eq(other.iter())
    }
}

impl Pending {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// The one with the lowest sequence.
    #[must_use]
    pub fn first(&self) -> Option<&Entry> {
        self.entries.front()
    }

    /// In the order of sequences.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.delivery != 0)
    }

    /// In the order of sequences, to change what is not their order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().filter(|entry| entry.delivery != 0)
    }

    /// Adds a message; one with this sequence is replaced.
    pub fn insert(&mut self, entry: Entry) {
        if self.entries.back().is_none_or(|last| last.sequence < entry.sequence) {
            self.entries.push_back(entry);
            self.live += 1;
            return;
        }
        match self.entries.binary_search_by_key(&entry.sequence, |known| known.sequence) {
            Ok(at) => {
                if let Some(known) = self.entries.get_mut(at) {
                    self.live += usize::from(known.delivery == 0);
                    *known = entry;
                }
            }
            Err(at) => {
                self.entries.insert(at, entry);
                self.live += 1;
            }
        }
    }

    /// The entry of a message.
    #[must_use]
    pub fn get(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(self.position(sequence)?).filter(|entry| entry.delivery != 0)
    }

    /// The entry of a message, to change.
    pub fn get_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let at = self.position(sequence)?;
        self.entries.get_mut(at).filter(|entry| entry.delivery != 0)
    }

    /// Takes a message out.
    pub fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let at = self.position(sequence)?;
        let entry = self.entries.get_mut(at).filter(|entry| entry.delivery != 0)?;
        let removed = *entry;
        entry.delivery = 0;
        self.live -= 1;
        self.tidy();
        Some(removed)
    }

    /// Takes out all messages up to and including a sequence, lowest first.
    pub fn remove_through(&mut self, sequence: u64, mut each: impl FnMut(Entry)) {
        while self.entries.front().is_some_and(|entry| entry.sequence <= sequence) {
            if let Some(entry) = self.entries.pop_front().filter(|entry| entry.delivery != 0) {
                self.live -= 1;
                each(entry);
            }
        }
        self.tidy();
    }

    /// Takes out all.
    pub fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.live = 0;
    }

    /// Where a message is, or its hole.
    fn position(&self, sequence: u64) -> Option<usize> {
        let ahead = sequence.checked_sub(self.entries.front()?.sequence)?;
        // Without a filter sequences follow one another: the distance is the place.
        let guess = usize::try_from(ahead).ok()?;
        if self.entries.get(guess).is_some_and(|entry| entry.sequence == sequence) {
            return Some(guess);
        }
        self.entries.binary_search_by_key(&sequence, |entry| entry.sequence).ok()
    }

    /// Drops holes at the front, and all of them when they are the greater part.
    fn tidy(&mut self) {
        while self.entries.front().is_some_and(|entry| entry.delivery == 0) {
            self.entries.pop_front();
        }
        if self.entries.len() > 2 * self.live + HOLES {
            self.entries.retain(|entry| entry.delivery != 0);
        }
        if self.entries.is_empty() && self.entries.capacity() > 4 * HOLES {
            self.entries = VecDeque::new();
        }
    }
}
