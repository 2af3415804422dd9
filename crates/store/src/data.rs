//! The bytes of a segment: in memory, or in a file with a tail that is not written yet.

use std::sync::Arc;

use bytes::Bytes;

use crate::crypt::FileCipher;
use crate::record::{Draft, encode};
use crate::segment::SegmentFile;

/// What holds the bytes of a segment.
#[derive(Debug)]
pub(crate) enum Data {
    /// In memory, still growing.
    Ram(Vec<u8>),
    /// In memory, full.
    Block(Bytes),
    /// In a file.
    File(FileData),
}

/// A file that is written to its end by the committing thread, and what is not in it yet.
#[derive(Debug)]
pub(crate) struct FileData {
    pub(crate) file: Arc<SegmentFile>,
    /// Bytes the operating system has.
    pub(crate) written: u64,
    /// What is being written behind them.
    pub(crate) flying: Option<Bytes>,
    /// What follows that.
    pub(crate) pending: Vec<u8>,
    /// How long the last write was: the next one may be as long.
    expected: usize,
}

/// Room is made for a write as long as the last one, up to this many bytes.
const EXPECTED: usize = 1024 * 1024;

/// Bytes of a segment, or where to get them without a lock.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Here they are, as they were encoded.
    Here(Bytes),
    /// They are to be read.
    There { from: u64, to: u64 },
}

/// In which of the places a record is: no range of records is fetched over two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Region {
    Stored,
    Flying,
    Pending,
}

impl FileData {
    /// A file that begins with its header, which is not written yet.
    pub(crate) fn begin(file: SegmentFile) -> Self {
        let pending = file.header.encode().to_vec();
        Self { file: Arc::new(file), written: 0, flying: None, pending, expected: 0 }
    }

    /// A file in which so much is written.
    pub(crate) fn existing(file: Arc<SegmentFile>, written: u64) -> Self {
        Self { file, written, flying: None, pending: Vec::new(), expected: 0 }
    }

    pub(crate) fn end(&self) -> u64 {
        self.flying_end() + self.pending.len() as u64
    }

    fn flying_end(&self) -> u64 {
        self.written + self.flying.as_ref().map_or(0, Bytes::len) as u64
    }

    /// Whether the next record is the first one of a write.
    pub(crate) fn at_front(&self) -> bool {
        self.pending.is_empty() || (self.written == 0 && self.pending.len() <= crate::segment::SEGMENT_HEADER)
    }

    /// Hands out what is to be written next, and where.
    pub(crate) fn take(&mut self) -> Option<(u64, Bytes)> {
        if self.pending.is_empty() || self.flying.is_some() {
            return None;
        }
        let mut pending = std::mem::take(&mut self.pending);
        self.expected = pending.len().min(EXPECTED);
        if pending.capacity() - pending.len() > pending.len() / 8 {
            // It may be kept for a while.
            pending.shrink_to_fit();
        }
        let bytes = Bytes::from(pending);
        self.flying = Some(bytes.clone());
        Some((self.written, bytes))
    }

    /// What was handed out is written.
    pub(crate) fn landed(&mut self) {
        self.written = self.flying_end();
        self.flying = None;
    }
}

fn slice(bytes: &[u8], base: u64, from: u64, to: u64) -> Option<&[u8]> {
    let start = usize::try_from(from.checked_sub(base)?).ok()?;
    bytes.get(start..usize::try_from(to.checked_sub(base)?).ok()?)
}

impl Data {
    /// Where the next record will stand.
    pub(crate) fn end(&self) -> u64 {
        match self {
            Self::Ram(bytes) => bytes.len() as u64,
            Self::Block(bytes) => bytes.len() as u64,
            Self::File(data) => data.end(),
        }
    }

    /// Adds a record. False, and nothing added, when it could not be encrypted.
    pub(crate) fn push(&mut self, draft: &Draft<'_>) -> bool {
        match self {
            Self::Ram(bytes) => encode(draft, &FileCipher::default(), 0, 0, bytes),
            Self::Block(_) => false,
            Self::File(data) => {
                let end = data.end();
                if data.pending.is_empty() {
                    data.pending.reserve(data.expected);
                }
                encode(draft, &data.file.cipher, data.file.seed, end, &mut data.pending)
            }
        }
    }

    pub(crate) fn region(&self, at: u64) -> Region {
        match self {
            Self::File(data) if at >= data.flying_end() => Region::Pending,
            Self::File(data) if at >= data.written => Region::Flying,
            _ => Region::Stored,
        }
    }

    /// Bytes `from..to`, which are whole records of one region.
    pub(crate) fn piece(&self, from: u64, to: u64) -> Option<Piece> {
        let here = match self {
            Self::Ram(bytes) => Bytes::copy_from_slice(slice(bytes, 0, from, to)?),
            Self::Block(bytes) => bytes.slice_ref(slice(bytes, 0, from, to)?),
            Self::File(data) => match self.region(from) {
                Region::Stored => return Some(Piece::There { from, to }),
                Region::Flying => {
                    let flying = data.flying.as_ref()?;
                    flying.slice_ref(slice(flying, data.written, from, to)?)
                }
                Region::Pending => Bytes::copy_from_slice(slice(&data.pending, data.flying_end(), from, to)?),
            },
        };
        Some(Piece::Here(here))
    }

    /// A record in memory.
    pub(crate) fn stored(&self, from: u64, length: u32) -> Option<&[u8]> {
        match self {
            Self::Ram(bytes) => slice(bytes, 0, from, from + u64::from(length)),
            Self::Block(bytes) => slice(bytes, 0, from, from + u64::from(length)),
            Self::File(_) => None,
        }
    }

    /// No record follows.
    pub(crate) fn seal(&mut self) {
        if let Self::Ram(bytes) = self {
            bytes.shrink_to_fit();
            *self = Self::Block(Bytes::from(std::mem::take(bytes)));
        }
    }

    pub(crate) fn file(&self) -> Option<&Arc<SegmentFile>> {
        match self {
            Self::File(data) => Some(&data.file),
            _ => None,
        }
    }
}
