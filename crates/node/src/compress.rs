//! How links are compressed, as configurations spell it.

use broker::{Compression, CompressionMode};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `compression`: how much is done for fewer bytes on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compress(pub CompressionMode);

impl Compress {
    /// As links take it.
    #[must_use]
    pub fn config(self) -> Compression {
        Compression::of(self.0)
    }
}

impl Serialize for Compress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.word())
    }
}

impl<'de> Deserialize<'de> for Compress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let mode = CompressionMode::from_word(&word).filter(|mode| mode.word() == word);
        mode.map(Self).ok_or_else(|| {
            D::Error::custom("expected off, accept, s2_auto, s2_uncompressed, s2_fast, s2_better or s2_best")
        })
    }
}
