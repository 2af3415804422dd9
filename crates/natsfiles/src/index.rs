//! `index.db`: what was in a stream when its server stopped.
//!
//! ```text
//! 11 version  messages bytes first first-time last last-time
//! subjects    n × (length, subject, messages, first block, [last block])
//! blocks      n × (number bytes first first-time last last-time deleted [ttls] [schedules] [set of the deleted])
//! last block's number  checksum of its last record    checksum of all this
//! ```

use crate::checksum::Key;
use crate::cursor::Cursor;
use crate::sequences::Sequences;

const MAGIC: u8 = 11;
const NEWEST: u8 = 4;

/// A stream as it was when its server stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// How many messages it has.
    pub messages: u64,
    /// The first of them, or where the next one would be.
    pub first: u64,
    /// The last sequence that was given.
    pub last: u64,
    /// Blocks that hold something, by their order.
    pub blocks: Vec<IndexedBlock>,
    /// Number of the last block, and the checksum of its last record: whether this index fits the blocks.
    pub end: (u32, [u8; 8]),
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedBlock {
    /// Its number.
    pub number: u32,
    /// Its first message.
    pub first: u64,
    /// Its last sequence.
    pub last: u64,
    /// What is deleted between them.
    pub deleted: Sequences,
}

impl IndexedBlock {
    /// Whether the message of this sequence is there.
    #[must_use]
    pub fn has(&self, sequence: u64) -> bool {
        (self.first..=self.last).contains(&sequence) && !self.deleted.contains(sequence)
    }
}

impl Index {
    /// Reads the file of the stream of this name.
    ///
    /// # Errors
    /// It can't be read.
    pub fn read(bytes: &[u8], stream: &str) -> Result<Self, &'static str> {
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or("the index is cut short")?;
        if Key::of(stream).sum(&[body]) != *sum {
            return Err("the index's checksum is another");
        }
        let mut read = Cursor(body);
        match (read.byte(), read.byte()) {
            (Some(MAGIC), Some(version @ 1..=NEWEST)) => {
                parse(&mut read, version).ok_or("the index ends where it should not")
            }
            _ => Err("the index has a form this release does not know"),
        }
    }

    /// The block of this number.
    #[must_use]
    pub fn block(&self, number: u32) -> Option<&IndexedBlock> {
        self.blocks.iter().find(|block| block.number == number)
    }
}

fn parse(read: &mut Cursor<'_>, version: u8) -> Option<Index> {
    let (messages, _, first, _) = (read.varint()?, read.varint()?, read.varint()?, read.signed()?);
    let (last, _) = (read.varint()?, read.signed()?);
    for _ in 0..read.count(1)? {
        let length = usize::try_from(read.varint()?).ok()?;
        if length > 0 {
            read.bytes(length)?;
            let (messages, _) = (read.varint()?, read.varint()?);
            if messages > 1 || version >= 4 {
                read.varint()?;
            }
        }
    }
    let count = read.count(7)?;
    let mut blocks = Vec::with_capacity(count);
    for _ in 0..count {
        let (number, _) = (u32::try_from(read.varint()?).ok()?, read.varint()?);
        let (first, _, last, _) = (read.varint()?, read.signed()?, read.varint()?, read.signed()?);
        let deleted = read.varint()?;
        for _ in 2..=version.min(3) {
            read.varint()?;
        }
        let deleted = if deleted > 0 { Sequences::read(read)? } else { Sequences::default() };
        blocks.push(IndexedBlock { number, first, last, deleted });
    }
    let number = u32::try_from(read.varint()?).ok()?;
    let checksum = *read.0.first_chunk::<8>()?;
    Some(Index { messages, first, last, blocks, end: (number, checksum) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(body: &[u8]) -> Vec<u8> {
        let sum = Key::of("S").sum(&[body]);
        [body, &sum].concat()
    }

    fn sample() -> Vec<u8> {
        let mut body = vec![MAGIC, 4, 3, 90, 2, 20, 5, 30, 1, 1, b'a', 3, 1, 1];
        // One block: number, bytes, first, time, last, time, deleted, ttls, schedules.
        body.extend([1, 1, 90, 2, 0, 5, 10, 0, 0, 0]);
        body.extend([1, 1, 2, 3, 4, 5, 6, 7, 8]);
        body
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let index = Index::read(&sealed(&sample()), "S").unwrap();
        assert_eq!((index.messages, index.first, index.last), (3, 2, 5));
        assert_eq!(index.end, (1, [1, 2, 3, 4, 5, 6, 7, 8]));
        let block = index.block(1).unwrap();
        assert!(block.has(2) && block.has(5) && !block.has(1) && !block.has(6));
        assert!(Index::read(&sealed(&sample()), "T").is_err());
        assert!(Index::read(b"", "S").is_err());
        assert!(Index::read(&sealed(&[MAGIC, 9]), "S").is_err());
    }

    proptest! {
        #[test]
        fn nothing_is_believed(junk in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..40) {
            let mut body = sample();
            body.truncate(cut.min(body.len()));
            body.extend(junk);
            drop(Index::read(&sealed(&body), "S"));
        }
    }
}
