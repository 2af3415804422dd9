//! The hash of subjects and tokens: seeded at random, 32 bits, kept beside what it is the hash of.

use std::hash::{BuildHasher, Hasher};

use foldhash::fast::RandomState;

/// The seed of one index, so that peers cannot choose subjects that collide.
#[derive(Default)]
pub(super) struct Seed(RandomState);

impl Seed {
    /// The 32 bits of hash a bucket has room for. Kept there, they spare a resize the visit to every
    /// entry, and a probe the visit to nearly every wrong one.
    #[inline]
    pub(super) fn hash(&self, bytes: &[u8]) -> u32 {
        let mut hasher = self.0.build_hasher();
        hasher.write(bytes);
        let hash = hasher.finish();
        (hash ^ (hash >> 32)) as u32
    }
}

/// The hash as a table wants it: it takes its tags from the top bits and positions from the low ones.
#[inline]
pub(super) fn spread(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}
