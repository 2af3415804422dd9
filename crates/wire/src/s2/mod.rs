//! S2 streams, as links are compressed with: Snappy's framing, and Snappy's blocks with longer copies.
//!
//! [`Reader`] takes bytes as they come and gives back one block at a time, so that a few bytes that stand for many cost
//! no more than one block of memory. [`Writer`] makes a chunk of every batch it is given: nothing waits for more. Both
//! are our own, because what stock servers send cannot be bounded block by block with a library's reader.
//!
//! A stream is a sequence of chunks: a type, a length of three bytes, a body. It begins with an identifier, which may
//! come again at any time. Other chunks are blocks, compressed or not, behind a masked CRC-32C of what they hold, and
//! padding.

mod decode;
mod encode;
mod read;
mod write;

pub use decode::decode_block;
pub use encode::{Effort, Tables, encode_block};
pub use read::Reader;
pub use write::{WRITE_AT_ONCE, Writer};

/// The largest block of the format, decoded.
pub const MAX_BLOCK: usize = 4 << 20;
/// The largest block of a stream that says it is plain Snappy.
const MAX_SNAPPY_BLOCK: usize = 64 << 10;

const COMPRESSED: u8 = 0x00;
const UNCOMPRESSED: u8 = 0x01;
/// From here on chunks may be skipped by who does not know them.
const SKIPPABLE: u8 = 0x80;
const IDENTIFIER: u8 = 0xff;
const S2: &[u8] = b"S2sTwO";
const SNAPPY: &[u8] = b"sNaPpY";
/// Length of a chunk's type and length.
const HEAD: usize = 4;
/// Length of a checksum.
const SUM: usize = 4;

/// What is wrong with an S2 stream. It can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum S2Error {
    /// It does not begin with the identifier.
    #[error("is no S2 stream")]
    NoStream,
    /// A block, or what it stands for, is larger than allowed.
    #[error("has a block that is too large")]
    TooLarge,
    /// A chunk that has to be understood, and is not.
    #[error("has a chunk of an unknown kind")]
    Unknown,
    /// A block that can't be decoded.
    #[error("has a block that can't be decoded")]
    Corrupt,
    /// A block does not hold what its sum says.
    #[error("has a block with a wrong checksum")]
    Checksum,
}

/// The checksum of a block's content, as it stands before it.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}
