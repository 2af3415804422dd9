//! What a store and a stream can be told.

use std::time::Duration;

use crate::crypt::Keys;

/// Settings of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Most bytes a stream holds that are not on disk yet. Above it, appends answer `Busy`. Default 64 MiB.
    pub max_pending_bytes: usize,
    /// How long after an I/O error or a full disk a stream looks whether it can go on. Default 1 s.
    pub retry_after: Duration,
    /// After this many bytes of log, or four times the length of the last one, a snapshot of a stream's index is
    /// written; a start after a crash replays what came since. Default 32 MiB.
    pub snapshot_every: u64,
    /// Bytes of what was written last, of all streams on disk together, that are kept in memory for those who read it
    /// soon. 0 keeps nothing. Default 8 MiB.
    pub tail_bytes: usize,
    /// A segment file of which more than this many percent are of no use any more is written again without them; so a
    /// stream takes at most about `100 / (100 - compact_percent)` times the bytes of its messages on disk, and two
    /// segments. It is looked for such segments when an eighth of a segment has died. 1 to 99; 0 never does it: then
    /// a segment goes when nothing in it and before it is alive. Default 50. Streams in memory: always 50.
    pub compact_percent: u8,
    /// Encrypts everything on disk, if given. Default none.
    pub keys: Option<Keys>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            max_pending_bytes: 64 * 1024 * 1024,
            retry_after: Duration::from_secs(1),
            snapshot_every: 32 * 1024 * 1024,
            tail_bytes: 8 * 1024 * 1024,
            compact_percent: 50,
            keys: None,
        }
    }
}

/// Where a stream's messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Storage {
    /// On disk; they survive the process.
    #[default]
    File,
    /// In memory; they and the stream are gone with the process.
    Memory,
}

/// When a message of a file stream counts as committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Sync {
    /// When it is on disk: one write and one fdatasync cover everything that waits. Survives a power cut.
    #[default]
    Commit,
    /// When the operating system has it; the disk gets it within this time. Survives the end of the process, a power
    /// cut costs at most what came within the interval.
    Interval(Duration),
    /// When the operating system has it, which writes it when it likes. Survives the end of the process.
    None,
}

/// What to do with a message for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Discard {
    /// Store it and remove the oldest.
    #[default]
    Old,
    /// Refuse it.
    New,
}

/// Bounds of a stream. `None` is no bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// Most messages.
    pub max_messages: Option<u64>,
    /// Most bytes, as [`State::bytes`](crate::State::bytes) counts them.
    pub max_bytes: Option<u64>,
    /// How old a message may become. Applied by [`Stream::expire`](crate::Stream::expire).
    pub max_age: Option<Duration>,
    /// Most messages of one subject; more remove the oldest of the subject.
    pub max_per_subject: Option<u64>,
    /// What happens at `max_messages` and `max_bytes`.
    pub discard: Discard,
    /// With `Discard::New`: refuse instead of remove at `max_per_subject` too.
    pub discard_new_per_subject: bool,
}

/// Settings of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Can't be changed later.
    pub storage: Storage,
    /// When a message counts as committed. Of no meaning in memory.
    pub sync: Sync,
    /// Bytes after which a new segment file is begun, 64 KiB to 1 GiB. Default 64 MiB; in memory 1 MiB.
    pub segment_bytes: u64,
    /// Bounds.
    pub limits: Limits,
}

impl StreamOptions {
    /// Defaults for a stream on disk.
    #[must_use]
    pub fn file() -> Self {
        Self {
            storage: Storage::File,
            sync: Sync::Commit,
            segment_bytes: 64 * 1024 * 1024,
            limits: Limits::default(),
        }
    }

    /// Defaults for a stream in memory.
    #[must_use]
    pub fn memory() -> Self {
        Self { storage: Storage::Memory, segment_bytes: 1024 * 1024, ..Self::file() }
    }
}
