//! The subjects of a stream: each stored once, known by a small number, with how many messages it has and where the
//! first and the last of them are.
//!
//! Meant for millions: about 40 bytes a subject besides its text, nothing on the heap of its own. The number of a
//! subject without messages is given to another.

use hashbrown::HashTable;
use std::hash::BuildHasher;

/// Number of a subject within its stream.
pub(crate) type SubjectId = u32;

/// Tables the subjects are spread over, so that growing never moves more than a small part of them at once.
const SHARDS: usize = 64;
/// Entries allocated together.
const ENTRIES: usize = 1024;
/// Bytes of text allocated together. A subject (at most 64 KiB) fits.
const TEXT: usize = 64 * 1024;
/// Dead text up to this many bytes is left alone.
const DEAD_TEXT: usize = 1024 * 1024;

/// What is known of one subject.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entry {
    /// Sequence of its oldest message; a lower bound while `first_is_stale`.
    pub(crate) first: u64,
    /// Sequence of its newest message.
    pub(crate) last: u64,
    /// Its messages.
    pub(crate) count: u32,
    pub(super) chunk: u32,
    pub(super) at: u16,
    pub(super) length: u16,
    /// Its number in the segment that was written last, perhaps: whoever looks checks.
    pub(super) number: u16,
    /// Whether `first` went and nobody has looked for the next one yet.
    pub(crate) first_is_stale: bool,
}

/// All subjects of a stream.
#[derive(Debug)]
pub(crate) struct Subjects {
    shards: Vec<HashTable<SubjectId>>,
    hasher: foldhash::fast::RandomState,
    entries: Vec<Vec<Entry>>,
    allocated: usize,
    free: Vec<SubjectId>,
    text: Vec<Box<[u8]>>,
    /// Bytes used of the last chunk of text.
    text_used: usize,
    dead_text: usize,
    live_text: usize,
}

impl Default for Subjects {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| HashTable::new()).collect(),
            hasher: foldhash::fast::RandomState::default(),
            entries: Vec::new(),
            allocated: 0,
            free: Vec::new(),
            text: Vec::new(),
            text_used: TEXT,
            dead_text: 0,
            live_text: 0,
        }
    }
}

fn shard_of(hash: u64) -> usize {
    // The table itself uses the top seven bits and the low ones.
    (hash >> 40) as usize % SHARDS
}

impl Subjects {
    /// Subjects that have messages.
    pub(crate) fn len(&self) -> usize {
        self.allocated - self.free.len()
    }

    pub(crate) fn entry(&self, id: SubjectId) -> Entry {
        let (chunk, at) = (id as usize / ENTRIES, id as usize % ENTRIES);
        self.entries.get(chunk).and_then(|chunk| chunk.get(at)).copied().unwrap_or_default()
    }

    pub(crate) fn entry_mut(&mut self, id: SubjectId) -> Option<&mut Entry> {
        self.entries.get_mut(id as usize / ENTRIES)?.get_mut(id as usize % ENTRIES)
    }

    pub(crate) fn text(&self, id: SubjectId) -> &[u8] {
        self.text_of(self.entry(id))
    }

    fn text_of(&self, entry: Entry) -> &[u8] {
        let from = usize::from(entry.at);
        let chunk = self.text.get(entry.chunk as usize);
        chunk.and_then(|chunk| chunk.get(from..from + usize::from(entry.length))).unwrap_or_default()
    }

    /// The number of a subject that has messages.
    pub(crate) fn find(&self, subject: &[u8]) -> Option<SubjectId> {
        let hash = self.hasher.hash_one(subject);
        self.shards.get(shard_of(hash))?.find(hash, |id| self.text(*id) == subject).copied()
    }

    /// The number of a subject; a new one without messages if there is none. The caller counts the message, or
    /// calls [`Subjects::release`].
    pub(crate) fn intern(&mut self, subject: &[u8]) -> SubjectId {
        let hash = self.hasher.hash_one(subject);
        let shard = shard_of(hash);
        if let Some(id) = self.shards.get(shard).and_then(|s| s.find(hash, |id| self.text(*id) == subject)) {
            return *id;
        }
        let (chunk, at) = self.store_text(subject);
        let entry = Entry { chunk, at: at as u16, length: subject.len() as u16, ..Entry::default() };
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.entry_mut(id) {
                    *place = entry;
                }
                id
            }
            None => self.allocate(entry),
        };
        self.put(subject, id);
        id
    }

    fn allocate(&mut self, entry: Entry) -> SubjectId {
        let id = self.allocated;
        if id.is_multiple_of(ENTRIES) {
            self.entries.push(Vec::with_capacity(if id == 0 { 16 } else { ENTRIES }));
        }
        if let Some(chunk) = self.entries.last_mut() {
            chunk.push(entry);
        }
        self.allocated += 1;
        id as SubjectId
    }

    fn store_text(&mut self, subject: &[u8]) -> (u32, usize) {
        if self.text_used + subject.len() > TEXT || self.text.is_empty() {
            self.text.push(vec![0; TEXT].into_boxed_slice());
            self.text_used = 0;
        }
        let at = self.text_used;
        if let Some(place) = self.text.last_mut().and_then(|chunk| chunk.get_mut(at..at + subject.len())) {
            place.copy_from_slice(subject);
        }
        self.text_used += subject.len();
        self.live_text += subject.len();
        ((self.text.len() - 1) as u32, at)
    }

    /// Numbers given so far, free ones included.
    pub(super) fn slots(&self) -> usize {
        self.allocated
    }

    /// Gives the next number to a subject that is known to be new, as it was.
    pub(super) fn restore(&mut self, subject: &[u8], entry: Entry) {
        let (chunk, at) = self.store_text(subject);
        let id = self.allocate(Entry { chunk, at: at as u16, length: subject.len() as u16, ..entry });
        self.put(subject, id);
    }

    /// Leaves the next number free.
    pub(super) fn restore_free(&mut self) {
        let id = self.allocate(Entry::default());
        self.free.push(id);
    }

    fn put(&mut self, subject: &[u8], id: SubjectId) {
        let hash = self.hasher.hash_one(subject);
        let (entries, text, hasher) = (&self.entries, &self.text, &self.hasher);
        let rehash = |id: &SubjectId| hasher.hash_one(text_in(entries, text, *id));
        if let Some(table) = self.shards.get_mut(shard_of(hash)) {
            table.insert_unique(hash, id, rehash);
        }
    }

    /// Gives up a subject without messages.
    pub(crate) fn release(&mut self, id: SubjectId) {
        let entry = self.entry(id);
        let hash = self.hasher.hash_one(self.text_of(entry));
        let Some(table) = self.shards.get_mut(shard_of(hash)) else { return };
        let Ok(found) = table.find_entry(hash, |known| *known == id) else { return };
        found.remove();
        self.free.push(id);
        self.dead_text += usize::from(entry.length);
        self.live_text -= usize::from(entry.length);
        if self.dead_text > DEAD_TEXT && self.dead_text > self.live_text {
            self.rewrite_text();
        }
    }

    /// Moves the live texts together.
    fn rewrite_text(&mut self) {
        let old = std::mem::take(&mut self.text);
        (self.text_used, self.dead_text, self.live_text) = (TEXT, 0, 0);
        let ids: Vec<SubjectId> = self.ids().collect();
        for id in ids {
            let entry = self.entry(id);
            let from = usize::from(entry.at);
            let text =
                old.get(entry.chunk as usize).and_then(|c| c.get(from..from + usize::from(entry.length)));
            let (chunk, at) = self.store_text(text.unwrap_or_default());
            if let Some(place) = self.entry_mut(id) {
                (place.chunk, place.at) = (chunk, at as u16);
            }
        }
    }

    /// Bytes of memory they take, about.
    pub(crate) fn memory(&self) -> usize {
        let tables: usize = self.shards.iter().map(|shard| shard.capacity() * 6).sum();
        self.allocated.next_multiple_of(ENTRIES) * size_of::<Entry>() + self.text.len() * TEXT + tables
    }

    /// The numbers of all subjects with messages, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = SubjectId> + '_ {
        self.shards.iter().flat_map(|shard| shard.iter().copied())
    }
}

fn text_in<'a>(entries: &[Vec<Entry>], text: &'a [Box<[u8]>], id: SubjectId) -> &'a [u8] {
    let entry = entries.get(id as usize / ENTRIES).and_then(|chunk| chunk.get(id as usize % ENTRIES));
    let slice = entry.and_then(|entry| {
        let from = usize::from(entry.at);
        text.get(entry.chunk as usize)?.get(from..from + usize::from(entry.length))
    });
    slice.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_keeps_its_number_until_it_is_released() {
        let mut subjects = Subjects::default();
        let ids: Vec<SubjectId> = (0..5000).map(|n| subjects.intern(format!("a.{n}").as_bytes())).collect();
        assert_eq!(subjects.len(), 5000);
        for (n, id) in ids.iter().enumerate() {
            assert_eq!(subjects.find(format!("a.{n}").as_bytes()), Some(*id));
            assert_eq!(subjects.intern(format!("a.{n}").as_bytes()), *id);
        }
        subjects.release(ids[17]);
        assert_eq!(subjects.find(b"a.17"), None);
        assert_eq!(subjects.intern(b"other"), ids[17]);
        assert_eq!(subjects.text(ids[17]), b"other");
        assert_eq!(subjects.len(), 5000);
    }

    #[test]
    fn text_of_released_subjects_does_not_pile_up() {
        let mut subjects = Subjects::default();
        let keep = subjects.intern(b"keep.this");
        for n in 0..200_000 {
            let id = subjects.intern(format!("a.long.subject.that.is.used.once.{n}").as_bytes());
            subjects.release(id);
        }
        assert_eq!(subjects.text(keep), b"keep.this");
        assert!(subjects.text.len() < 40, "{} chunks of text", subjects.text.len());
    }
}
