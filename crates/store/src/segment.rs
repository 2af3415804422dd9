//! A segment file: its header, its name, and the file itself.
//!
//! A stream's directory holds its messages in files `<number>-<generation>.seg` and its saved states in files
//! `<number>-<generation>.sta`. Each begins with a header, little-endian, of 128 bytes:
//!
//! ```text
//!   0  8 B  "GHSTORE\n"
//!   8  u16  format version, 1
//!  10  u8   what follows: 1 messages, 2 saved states
//!  11  u8   cipher: 0 none, 1 AES-256-GCM, 2 ChaCha20-Poly1305
//!  12  u32  generation: 0 as first written, one more with each compaction
//!  16  u64  number
//!  24  u64  through: the last number whose records this file holds; greater than `number` when a compaction merged
//!  32  u64  base: no message in it has a lower sequence
//!  40  u64  floor: every message below this sequence was gone when the file was begun
//!  48  u64  the end of the file before as it was then known, in bytes: what stands behind it there was never
//!           committed; 0 when the whole file counts
//!  56  16B  the stream's identity, random
//!  72  8 B  which key, see `crypt`
//!  80  32B  salt, see `crypt`
//! 112  u64  number of the segment before, 0 when there was none
//! 120  u32  reserved, 0
//! 124  u32  CRC-32C of the 124 bytes before
//! ```
//!
//! Records follow without a gap, see `record`. What follows the last record is zeros, or was never committed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::crypt::{FileCipher, SALT, Sealing};
use crate::disk::DiskFile;
use crate::error::StoreError;

/// Length of the header in bytes.
pub(crate) const SEGMENT_HEADER: usize = 128;
/// The format written, and the latest that is read.
pub(crate) const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"GHSTORE\n";

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Messages = 1,
    States = 2,
}

impl Content {
    fn extension(self) -> &'static str {
        match self {
            Self::Messages => "seg",
            Self::States => "sta",
        }
    }
}

/// The header of a segment file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) content: Content,
    pub(crate) generation: u32,
    pub(crate) number: u64,
    pub(crate) through: u64,
    pub(crate) base: u64,
    pub(crate) floor: u64,
    pub(crate) previous: u64,
    pub(crate) previous_end: u64,
    pub(crate) stream: [u8; 16],
    pub(crate) sealing: Sealing,
}

impl Header {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut out = [0; SEGMENT_HEADER];
        out[..8].copy_from_slice(MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[10] = self.content as u8;
        out[11] = self.sealing.cipher;
        out[12..16].copy_from_slice(&self.generation.to_le_bytes());
        let numbers = [self.number, self.through, self.base, self.floor, self.previous_end];
        for (place, number) in out[16..56].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        out[112..120].copy_from_slice(&self.previous.to_le_bytes());
        out[56..72].copy_from_slice(&self.stream);
        out[72..80].copy_from_slice(&self.sealing.key);
        out[80..80 + SALT].copy_from_slice(&self.sealing.salt);
        let sum = crc32c::crc32c(&out[..124]);
        out[124..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a header.
    ///
    /// # Errors
    /// It is not one, or one of a later version; `path` names the file.
    pub(crate) fn decode(bytes: &[u8], path: &Path) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::Damaged { path: path.into(), what: what.into() };
        let bytes: &[u8; SEGMENT_HEADER] = bytes.first_chunk().ok_or_else(|| damaged("it has no header"))?;
        if &bytes[..8] != MAGIC {
            return Err(damaged("it is no segment of an event log"));
        }
        let found = u16::from_le_bytes([bytes[8], bytes[9]]);
        if found > VERSION {
            return Err(StoreError::Newer { path: path.into(), found, known: VERSION });
        }
        let number = |at: usize| {
            bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
        };
        if number(120) >> 32 != u64::from(crc32c::crc32c(&bytes[..124])) {
            return Err(damaged("its header is damaged"));
        }
        let content = match bytes[10] {
            1 => Content::Messages,
            2 => Content::States,
            _ => return Err(damaged("its header names an unknown content")),
        };
        let mut header = Self {
            content,
            generation: (number(8) >> 32) as u32,
            number: number(16),
            through: number(24),
            base: number(32),
            floor: number(40),
            previous: number(112),
            previous_end: number(48),
            stream: [0; 16],
            sealing: Sealing { cipher: bytes[11], ..Sealing::default() },
        };
        header.stream.copy_from_slice(&bytes[56..72]);
        header.sealing.key.copy_from_slice(&bytes[72..80]);
        header.sealing.salt.copy_from_slice(&bytes[80..80 + SALT]);
        Ok(header)
    }

    /// What the checksum of its records begins with: a record of another file, or one that somebody put into a
    /// payload, does not pass for one of this file.
    pub(crate) fn seed(&self) -> u32 {
        let number = crc32c::crc32c_append(crc32c::crc32c(&self.stream), &self.number.to_le_bytes());
        crc32c::crc32c_append(number, &self.generation.to_le_bytes())
    }

    /// Name of the file.
    pub(crate) fn name(&self) -> String {
        format!("{:010}-{}.{}", self.number, self.generation, self.content.extension())
    }
}

/// Number, generation and content that a file's name tells.
pub(crate) fn parse_name(name: &str) -> Option<(u64, u32, Content)> {
    let (stem, extension) = name.split_once('.')?;
    let content = [Content::Messages, Content::States].into_iter().find(|c| c.extension() == extension)?;
    let (number, generation) = stem.split_once('-')?;
    Some((number.parse().ok()?, generation.parse().ok()?, content))
}

/// A segment file. It comes to be on disk with its first write.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    pub(crate) cipher: FileCipher,
    pub(crate) seed: u32,
    file: OnceLock<Arc<dyn DiskFile>>,
    /// How long it was made ahead of what is written.
    reserved: AtomicU64,
}

/// A file is made so much longer than what was written to it, as it grows.
const AHEAD: (u64, u64) = (64 * 1024, 4 * 1024 * 1024);

impl SegmentFile {
    /// A file that is not there yet.
    pub(crate) fn new(dir: &Path, header: Header, cipher: FileCipher) -> Self {
        Self {
            path: dir.join(header.name()),
            header,
            cipher,
            seed: header.seed(),
            file: OnceLock::new(),
            reserved: AtomicU64::new(0),
        }
    }

    /// A file that is there.
    pub(crate) fn existing(
        path: PathBuf,
        header: Header,
        cipher: FileCipher,
        file: Arc<dyn DiskFile>,
    ) -> Self {
        Self {
            path,
            header,
            cipher,
            seed: header.seed(),
            file: OnceLock::from(file),
            reserved: AtomicU64::new(0),
        }
    }

    /// The file, if it is there.
    pub(crate) fn file(&self) -> Option<&Arc<dyn DiskFile>> {
        self.file.get()
    }

    /// Makes the file longer than what it is going to hold, now and then: syncs that change no length are cheaper. Called
    /// by the committing thread. What follows the last record is zeros in any case.
    pub(crate) fn reserve(&self, end: u64) {
        if end <= self.reserved.load(Ordering::Relaxed) {
            return;
        }
        let upto = end + end.clamp(AHEAD.0, AHEAD.1);
        // Where it can't be made longer it grows with each write.
        if let Some(Ok(())) = self.file().map(|file| file.reserve(upto)) {
            self.reserved.store(upto, Ordering::Relaxed);
        }
    }

    /// Notes that the file is there now.
    pub(crate) fn created(&self, file: Arc<dyn DiskFile>) {
        // Only the committing thread creates files: nobody else has set it.
        let _first = self.file.set(file);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            content: Content::Messages,
            generation: 3,
            number: 17,
            through: 19,
            base: 1_000_001,
            floor: 900_000,
            previous: 15,
            previous_end: 4711,
            stream: *b"0123456789abcdef",
            sealing: Sealing { cipher: 2, key: *b"key of 8", salt: [9; SALT] },
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let header = header();
        assert_eq!(Header::decode(&header.encode(), Path::new("x")).unwrap(), header);
        assert_eq!(parse_name(&header.name()), Some((17, 3, Content::Messages)));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let bytes = header().encode();
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&flipped, Path::new("x")).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_later_version_is_named() {
        let mut bytes = header().encode();
        bytes[8] = 2;
        let error = Header::decode(&bytes, Path::new("x")).unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 2, known: VERSION, .. }), "{error}");
    }

    #[test]
    fn other_names_are_no_segments() {
        for name in ["", "a-0.seg", "1.seg", "1-0.txt", "1-0", "stream.manifest", "-.seg"] {
            assert_eq!(parse_name(name), None, "{name}");
        }
    }
}
