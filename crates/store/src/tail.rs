//! What was written last, kept in memory for those who read it soon: keys just put, consumers that are up to date.
//!
//! One bound for the whole store: the oldest writes go first, whichever stream they are of. Streams know theirs by weak
//! references, so making room needs the lock of no stream.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::segment::SegmentFile;

/// What a kept write takes besides its bytes, about.
const OVERHEAD: usize = 128;

/// One write: whole records, as they were encoded.
#[derive(Debug)]
pub(crate) struct Block {
    at: u64,
    bytes: Bytes,
}

/// The writes that are kept, of all streams of a store.
#[derive(Debug)]
pub(crate) struct TailCache {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    blocks: VecDeque<Arc<Block>>,
    bytes: usize,
}

impl TailCache {
    /// One that holds at most this many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    /// Keeps a write until newer ones need its room; `None` when it is longer than all of it.
    fn keep(&self, at: u64, bytes: Bytes) -> Option<Weak<Block>> {
        let cost = bytes.len() + OVERHEAD;
        if cost > self.most {
            return None;
        }
        let block = Arc::new(Block { at, bytes });
        let weak = Arc::downgrade(&block);
        let mut kept = self.kept.lock();
        kept.bytes += cost;
        kept.blocks.push_back(block);
        while kept.bytes > self.most
            && let Some(oldest) = kept.blocks.pop_front()
        {
            kept.bytes -= oldest.bytes.len() + OVERHEAD;
        }
        Some(weak)
    }

    /// Lets go of these.
    fn drop_all(&self, gone: &[*const Block]) {
        let mut kept = self.kept.lock();
        kept.blocks.retain(|block| !gone.contains(&Arc::as_ptr(block)));
        kept.bytes = kept.blocks.iter().map(|block| block.bytes.len() + OVERHEAD).sum();
    }
}

/// The writes of a stream's newest segment that may still be kept, in their order.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    file: Option<Arc<SegmentFile>>,
    blocks: VecDeque<(u64, Weak<Block>)>,
}

/// Part of a segment that is in memory.
#[derive(Clone, Debug)]
pub(crate) struct Recent(Arc<Block>);

impl Tail {
    /// Takes note of a write at the end of a file.
    pub(crate) fn add(&mut self, cache: &TailCache, file: &Arc<SegmentFile>, at: u64, bytes: &Bytes) {
        if !self.is_of(file) {
            self.blocks.clear();
            self.file = Some(Arc::clone(file));
        }
        while self.blocks.front().is_some_and(|(_, block)| block.strong_count() == 0) {
            self.blocks.pop_front();
        }
        self.blocks.extend(cache.keep(at, bytes.clone()).map(|block| (at, block)));
    }

    fn is_of(&self, file: &Arc<SegmentFile>) -> bool {
        self.file.as_ref().is_some_and(|known| Arc::ptr_eq(known, file))
    }

    /// The write that holds bytes `from..to` of a file, if it is still there.
    pub(crate) fn find(&self, file: &Arc<SegmentFile>, from: u64, to: u64) -> Option<Recent> {
        if !self.is_of(file) {
            return None;
        }
        let at = self.blocks.partition_point(|(at, _)| *at <= from).checked_sub(1)?;
        let recent = Recent(self.blocks.get(at)?.1.upgrade()?);
        recent.holds(from, to).then_some(recent)
    }

    /// Lets go of everything, as when messages are to be unreadable from now on.
    pub(crate) fn forget(&mut self, cache: &TailCache) {
        let gone: Vec<*const Block> = self.blocks.drain(..).map(|(_, block)| block.as_ptr()).collect();
        if !gone.is_empty() {
            cache.drop_all(&gone);
        }
        self.file = None;
    }
}

impl Recent {
    /// Whether bytes `from..to` of the file are in it.
    pub(crate) fn holds(&self, from: u64, to: u64) -> bool {
        self.0.at <= from && to <= self.0.at + self.0.bytes.len() as u64
    }

    /// Bytes `from..to` of the file.
    pub(crate) fn slice(&self, from: u64, to: u64) -> Option<Bytes> {
        let start = usize::try_from(from.checked_sub(self.0.at)?).ok()?;
        let end = usize::try_from(to.checked_sub(self.0.at)?).ok()?;
        (start <= end && end <= self.0.bytes.len()).then(|| self.0.bytes.slice(start..end))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::crypt::{FileCipher, Sealing};
    use crate::segment::{Content, Header};

    fn file(number: u64) -> Arc<SegmentFile> {
        let header = Header {
            content: Content::Messages,
            generation: 0,
            number,
            through: number,
            base: 1,
            floor: 1,
            previous: 0,
            previous_end: 0,
            stream: [0; 16],
            sealing: Sealing::default(),
        };
        Arc::new(SegmentFile::new(Path::new("x"), header, FileCipher::default()))
    }

    #[test]
    fn what_was_written_last_is_found_and_makes_room_for_what_follows() {
        let (cache, file) = (TailCache::new(3 * (100 + OVERHEAD)), file(1));
        let mut tail = Tail::default();
        for n in 0..5_u8 {
            tail.add(&cache, &file, 64 + u64::from(n) * 100, &Bytes::from(vec![n; 100]));
        }
        assert!(tail.find(&file, 64, 90).is_none(), "the first two had to go");
        assert!(tail.find(&file, 164, 200).is_none());
        let found = tail.find(&file, 270, 280).unwrap();
        assert_eq!(found.slice(270, 280).unwrap(), vec![2; 10]);
        assert!(tail.find(&file, 360, 370).is_none(), "in two writes");
        assert!(tail.find(&file, 500, 565).is_none(), "beyond the end");
        assert!(cache.kept.lock().bytes <= cache.most);
    }

    #[test]
    fn writes_of_other_streams_count_and_older_segments_are_forgotten() {
        let (cache, one, other) = (TailCache::new(2 * (100 + OVERHEAD)), file(1), file(2));
        let (mut first, mut second) = (Tail::default(), Tail::default());
        first.add(&cache, &one, 0, &Bytes::from(vec![1; 100]));
        second.add(&cache, &one, 0, &Bytes::from(vec![2; 100]));
        assert!(first.find(&one, 0, 100).is_some());
        second.add(&cache, &other, 0, &Bytes::from(vec![3; 100]));
        assert!(first.find(&one, 0, 100).is_none());
        assert!(second.find(&one, 0, 100).is_none());
        assert!(second.find(&other, 0, 100).is_some());
        second.forget(&cache);
        assert!(second.find(&other, 0, 100).is_none());
        assert_eq!(cache.kept.lock().blocks.len(), 1);
    }

    #[test]
    fn without_room_nothing_is_kept() {
        let (cache, file) = (TailCache::new(0), file(1));
        let mut tail = Tail::default();
        tail.add(&cache, &file, 0, &Bytes::from_static(b"abc"));
        assert!(tail.find(&file, 0, 1).is_none());
        assert_eq!(cache.kept.lock().bytes, 0);
    }
}
