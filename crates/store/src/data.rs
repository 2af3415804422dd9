//! The bytes of a segment: in memory, or in a file with a tail that is not written yet.

use bytes::Bytes;

/// What holds the bytes of a segment.
#[derive(Debug)]
pub(crate) enum Data {
    /// In memory, still growing.
    Ram(Vec<u8>),
    /// In memory, full.
    Block(Bytes),
}

/// Bytes of a segment, or where to get them without a lock.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Here they are.
    Here(Bytes),
}

impl Data {
    /// Where the next record will stand.
    pub(crate) fn end(&self) -> u64 {
        match self {
            Self::Ram(bytes) => bytes.len() as u64,
            Self::Block(bytes) => bytes.len() as u64,
        }
    }

    /// Bytes `from..to`, which are whole records.
    pub(crate) fn piece(&self, from: u64, to: u64) -> Option<Piece> {
        let (start, stop) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
        match self {
            Self::Ram(bytes) => Some(Piece::Here(Bytes::copy_from_slice(bytes.get(start..stop)?))),
            Self::Block(bytes) => {
                (start <= stop && stop <= bytes.len()).then(|| Piece::Here(bytes.slice(start..stop)))
            }
        }
    }

    /// No record follows.
    pub(crate) fn seal(&mut self) {
        if let Self::Ram(bytes) = self {
            bytes.shrink_to_fit();
            *self = Self::Block(Bytes::from(std::mem::take(bytes)));
        }
    }
}
