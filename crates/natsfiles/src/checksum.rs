//! Checksums: HighwayHash-64, with the SHA-256 of a name as the key.

use highway::{HighwayHash, HighwayHasher};
use sha2::{Digest, Sha256};

/// What is read with one key.
#[derive(Debug, Clone, Copy)]
pub struct Key([u64; 4]);

impl Key {
    /// The key for what has this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let digest: [u8; 32] = Sha256::digest(name).into();
        let (words, _) = digest.as_chunks::<8>();
        let mut key = [0; 4];
        for (to, word) in key.iter_mut().zip(words) {
            *to = u64::from_le_bytes(*word);
        }
        Self(key)
    }

    /// The checksum of parts that follow each other.
    #[must_use]
    pub fn sum(&self, parts: &[&[u8]]) -> [u8; 8] {
        let mut hasher = HighwayHasher::new(highway::Key(self.0));
        for part in parts {
            hasher.append(part);
        }
        hasher.finalize64().to_le_bytes()
    }

    /// Whether `hex`, as it stands in a `meta.sum`, is the checksum of `bytes`.
    #[must_use]
    pub fn fits(&self, bytes: &[u8], hex: &[u8]) -> bool {
        let sum: String = self.sum(&[bytes]).iter().map(|byte| format!("{byte:02x}")).collect();
        hex.trim_ascii() == sum.as_bytes()
    }
}
