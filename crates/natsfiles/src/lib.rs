//! The files in which a nats-server (2.10 to 2.15) keeps its JetStream streams, read and never written.
//!
//! ```text
//! <store>/jetstream/<account>/streams/<stream>/
//!     meta.inf meta.sum     the configuration, JSON, and its checksum in hex; meta.key where they are encrypted
//!     msgs/<number>.blk     blocks of records, in order
//!     msgs/index.db         what was there when the server stopped
//!     obs/<consumer>/       meta.inf, meta.sum and o.dat: a consumer and its state
//! ```
//!
//! All numbers are little-endian. A *checksum* is HighwayHash-64 with the SHA-256 of a name as its key: the stream's,
//! `stream/consumer`, or for a block `stream-number`.
//!
//! ```text
//! record    length u32 (top bit: has headers)  sequence u64  time i64 (ns since 1970)  subject length u16
//!           subject  [headers length u32  headers]  payload  checksum of all but the lengths
//! ```
//!
//! A sequence with bit 63 set was *erased*, one with bit 62 is a *tombstone*: the message of that sequence is deleted.
//! What limits removed has neither: only `index.db` knows, and where that is missing or older than the blocks, all
//! that happened is replayed with the stream's limits. A block may be packed (`cmp`, algorithm, length, then S2, then the last record's
//! checksum once more), or encrypted, which is not read here.
//!
//! Everything is checked before it is believed, no length is allocated by, and what can't be read is [`Damage`].

mod block;
mod checksum;
mod consumer;
mod cursor;
mod index;
mod record;
mod sequences;
mod stream;
mod tree;

pub use block::{LARGEST, unpack};
pub use checksum::Key;
pub use consumer::{ConsumerState, Pending};
pub use index::{Index, IndexedBlock};
pub use record::{Bad, Kind, Record, Records};
pub use sequences::Sequences;
pub use stream::{Block, Consumer, StreamFiles};
pub use tree::{Account, find};

use std::path::PathBuf;

/// Something that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}, byte {offset}: {what}", .file.display())]
pub struct Damage {
    /// Where.
    pub file: PathBuf,
    /// From which byte on; in a packed block, of what was packed.
    pub offset: u64,
    /// What it is.
    pub what: String,
}

/// Why a directory is not read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system refuses.
    #[error("{}: {error}", .file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is encrypted at rest.
    #[error(
        "{}: it is encrypted at rest; start that server and copy from its URL",
        .0.display()
    )]
    Encrypted(PathBuf),
    /// There are no streams.
    #[error("{}: no nats-server has kept streams there", .0.display())]
    Nothing(PathBuf),
    /// It is not what it says it is.
    #[error(transparent)]
    Damaged(#[from] Damage),
}
