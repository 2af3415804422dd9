//! Entries on their way between gateways: sealed with a key they share, so that nobody else can revoke, or lift.

use std::path::Path;

use aws_lc_rs::{digest, hmac};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Entry;

/// Shortest key, in bytes.
const MIN_KEY: usize = 32;
/// Longest key file looked at, in bytes.
const MAX_KEY: u64 = 4096;
/// Characters of the seal before the content.
const SEAL: usize = 64;

/// What gateways tell one another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Entries to be merged.
    Entries(Vec<Entry>),
    /// "These are mine": whoever has others tells them to `from`.
    Summary {
        /// The asking gateway's name for this purpose.
        from: String,
        /// See [`summary`].
        digest: String,
        /// It answers another summary: who hears it has been told everything already.
        #[serde(default)]
        answer: bool,
    },
}

/// Why a message is not believed, or can't be made.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The key file can't be read.
    #[error("{0}")]
    File(std::io::Error),
    /// The key is too short to mean anything.
    #[error("holds {0} bytes, expected at least {MIN_KEY}")]
    Short(usize),
    /// The seal is not ours.
    #[error("not sealed with the shared key")]
    Seal,
    /// Sealed, and not understood: another version's.
    #[error("not understood: {0}")]
    Content(#[from] serde_json::Error),
}

/// The key gateways share.
pub struct ShareKey(hmac::Key);

impl std::fmt::Debug for ShareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShareKey(..)")
    }
}

impl ShareKey {
    /// Reads the key from a file: its bytes without a trailing line end.
    ///
    /// # Errors
    /// [`ShareError::File`], [`ShareError::Short`].
    pub fn read(path: &Path) -> Result<Self, ShareError> {
        use std::io::Read;
        let mut bytes = Zeroizing::new(Vec::new());
        let file = std::fs::File::open(path).map_err(ShareError::File)?;
        file.take(MAX_KEY).read_to_end(&mut bytes).map_err(ShareError::File)?;
        let key = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let key = key.strip_suffix(b"\r").unwrap_or(key);
        if key.len() < MIN_KEY {
            return Err(ShareError::Short(key.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// A message under the seal: HMAC-SHA256 in hex, a line end, the content as JSON.
    ///
    /// # Errors
    /// Never in practice: everything in a message can be written as JSON.
    pub fn seal(&self, told: &Told) -> Result<Vec<u8>, ShareError> {
        let content = serde_json::to_vec(told)?;
        let mut message = hex(hmac::sign(&self.0, &content).as_ref()).into_bytes();
        message.push(b'\n');
        message.extend_from_slice(&content);
        Ok(message)
    }

    /// What a message says, if it was sealed with this key. An old one may come again: merging it changes nothing.
    ///
    /// # Errors
    /// [`ShareError::Seal`], [`ShareError::Content`].
    pub fn open(&self, message: &[u8]) -> Result<Told, ShareError> {
        let (seal, content) = message.split_at_checked(SEAL + 1).ok_or(ShareError::Seal)?;
        let seal = seal.strip_suffix(b"\n").and_then(unhex).ok_or(ShareError::Seal)?;
        hmac::verify(&self.0, content, &seal).map_err(|_| ShareError::Seal)?;
        Ok(serde_json::from_slice(content)?)
    }
}

/// One value for a set of entries, whatever their order: two gateways with the same know the same.
#[must_use]
pub fn summary<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut lines: Vec<String> =
        entries.map(|entry| format!("{} {}\n", entry.id, entry.lifted_at.unwrap_or(0))).collect();
    lines.sort_unstable();
    hex(digest::digest(&digest::SHA256, lines.concat().as_bytes()).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii() && text.len() % 2 == 0)?;
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Target;
    use super::*;

    fn key(text: &str) -> ShareKey {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        ShareKey::read(file.path()).unwrap()
    }

    fn entry(id: &str, lifted_at: Option<u64>) -> Entry {
        Entry {
            id: id.into(),
            target: Target::Token { jti: "j".into(), issuer: None },
            expires_at: None,
            reason: String::new(),
            by: "ops".into(),
            created_at: 7,
            lifted_at,
        }
    }

    #[test]
    fn only_the_key_opens() {
        let (ours, same, other) =
            (key(&"k".repeat(32)), key(&format!("{}\n", "k".repeat(32))), key(&"x".repeat(32)));
        let told = Told::Entries(vec![entry("a", None)]);
        let message = ours.seal(&told).unwrap();
        assert_eq!(same.open(&message).unwrap(), told);
        assert!(matches!(other.open(&message), Err(ShareError::Seal)));
        for at in 0..message.len() {
            let mut bent = message.clone();
            bent[at] ^= 1;
            assert!(ours.open(&bent).is_err(), "byte {at}");
        }
        for cut in [0, 1, 64, 65, message.len() - 1] {
            assert!(ours.open(&message[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_short_key_is_none() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "short\n").unwrap();
        assert!(matches!(ShareKey::read(file.path()), Err(ShareError::Short(5))));
    }

    #[test]
    fn the_order_is_no_matter_and_a_lift_is() {
        let (a, b) = (entry("a", None), entry("b", None));
        assert_eq!(summary([&a, &b].into_iter()), summary([&b, &a].into_iter()));
        assert_ne!(summary([&a].into_iter()), summary([&entry("a", Some(9))].into_iter()));
    }
}
