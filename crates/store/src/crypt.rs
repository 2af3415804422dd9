//! Encryption at rest: authenticated encryption of every record, of stream manifests and of index files.
//!
//! A key given by the operator encrypts nothing itself. Each file draws 32 random bytes, its *salt*, when it is
//! created, and is encrypted with a key of its own: HKDF-SHA256 of the operator's key with this salt. Within the file,
//! the nonce of a record is the offset at which it stands.
//!
//! *No nonce is used twice with one key*: the key belongs to one file, because its salt is random; and within a file
//! every offset is encrypted at most once, because a file is only appended to by the process that created it, a writer
//! never goes back, and after an error, and after every start, a new file is begun instead of going on in an old one.
//! (Erasing a message overwrites it with a record in clear that holds zeros.)
//!
//! The fixed part of a record (lengths, kind, sequence, times) is not encrypted but authenticated, so records can't be
//! altered or moved. The checksum of a record covers the ciphertext: damage is found without the key.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

/// Length of an authentication tag in bytes.
pub(crate) const TAG: usize = 16;
/// Length of a salt in bytes.
pub(crate) const SALT: usize = 32;

/// How files are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Cipher {
    /// AES-256-GCM: fastest with hardware support.
    #[default]
    Aes256Gcm,
    /// ChaCha20-Poly1305: fast without.
    ChaCha20Poly1305,
}

impl Cipher {
    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Aes256Gcm => 1,
            Self::ChaCha20Poly1305 => 2,
        }
    }

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Aes256Gcm, Self::ChaCha20Poly1305].into_iter().find(|cipher| cipher.to_byte() == byte)
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

/// A key an operator gave: at least 32 bytes from a random source. Overwritten when dropped, never shown.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<Vec<u8>>);

/// A key that is too short to be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an encryption key needs at least 32 bytes, this one has {0}")]
pub struct ShortKey(pub usize);

impl SecretKey {
    /// Takes over the bytes of a key file, as they are.
    ///
    /// # Errors
    /// Fewer than 32 bytes.
    pub fn new(bytes: Vec<u8>) -> Result<Self, ShortKey> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() < 32 { Err(ShortKey(bytes.len())) } else { Ok(Self(bytes)) }
    }

    /// Tells keys apart without telling anything of them.
    fn id(&self) -> Option<[u8; 8]> {
        let mut id = [0; 8];
        self.derive(b"gatehouse store key id", b"id", &mut id)?;
        Some(id)
    }

    /// Fills `out` from this key.
    fn derive(&self, salt: &[u8], purpose: &[u8], out: &mut [u8]) -> Option<()> {
        let key = Salt::new(HKDF_SHA256, salt).extract(&self.0);
        key.expand(&[purpose], Length(out.len())).ok()?.fill(out).ok()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The keys of a store: new files are encrypted with `current`; files encrypted with any of them are read.
#[derive(Clone, Debug)]
pub struct Keys {
    /// For new files.
    pub cipher: Cipher,
    /// For new files.
    pub current: SecretKey,
    /// Keys that were current once.
    pub previous: Vec<SecretKey>,
}

/// What a file says about its encryption; all zeros when it is not encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sealing {
    pub(crate) cipher: u8,
    pub(crate) key: [u8; 8],
    pub(crate) salt: [u8; SALT],
}

impl Sealing {
    /// For a new file; in clear without keys. `None` when there is no randomness to be had.
    pub(crate) fn fresh(keys: Option<&Keys>) -> Option<Self> {
        let Some(keys) = keys else { return Some(Self::default()) };
        let mut salt = [0; SALT];
        aws_lc_rs::rand::fill(&mut salt).ok()?;
        Some(Self { cipher: keys.cipher.to_byte(), key: keys.current.id()?, salt })
    }

    /// Whether a file sealed so is as a new one would be.
    pub(crate) fn is_current(&self, keys: Option<&Keys>) -> bool {
        keys.map_or(self.cipher == 0, |keys| {
            self.cipher == keys.cipher.to_byte() && Some(self.key) == keys.current.id()
        })
    }
}

/// Encrypts and decrypts the parts of one file.
#[derive(Default)]
pub(crate) struct FileCipher(Option<LessSafeKey>);

impl fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "FileCipher(encrypted)" } else { "FileCipher(clear)" })
    }
}

impl FileCipher {
    /// For a file sealed so; `None` when none of the keys is its key.
    pub(crate) fn new(sealing: &Sealing, keys: Option<&Keys>) -> Option<Self> {
        if sealing.cipher == 0 {
            return Some(Self(None));
        }
        let cipher = Cipher::from_byte(sealing.cipher)?;
        let keys = keys?;
        let key =
            std::iter::once(&keys.current).chain(&keys.previous).find(|key| key.id() == Some(sealing.key))?;
        let mut own = Zeroizing::new([0; 32]);
        key.derive(&sealing.salt, b"gatehouse store file", &mut *own)?;
        Some(Self(Some(LessSafeKey::new(UnboundKey::new(cipher.algorithm(), &*own).ok()?))))
    }

    /// Bytes a tag takes.
    pub(crate) fn tag(&self) -> usize {
        if self.0.is_some() { TAG } else { 0 }
    }

    fn nonce(offset: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&offset.to_le_bytes());
        Nonce::assume_unique_for_key(nonce)
    }

    /// Encrypts `text`, whose last bytes are room for the tag, in place. False when it could not.
    pub(crate) fn encrypt(&self, offset: u64, clear: &[u8], text: &mut [u8]) -> bool {
        let Some(key) = &self.0 else { return true };
        let Some((body, room)) = text.split_last_chunk_mut::<TAG>() else { return false };
        match key.seal_in_place_separate_tag(Self::nonce(offset), Aad::from(clear), body) {
            Ok(tag) => {
                room.copy_from_slice(tag.as_ref());
                true
            }
            Err(_) => false,
        }
    }

    /// Decrypts `text` in place; its last bytes stay the tag. False when it is not what was encrypted.
    pub(crate) fn decrypt(&self, offset: u64, clear: &[u8], text: &mut [u8]) -> bool {
        let Some(key) = &self.0 else { return true };
        key.open_in_place(Self::nonce(offset), Aad::from(clear), text).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(byte: u8) -> Keys {
        let current = SecretKey::new(vec![byte; 32]).unwrap();
        Keys { cipher: Cipher::ChaCha20Poly1305, current, previous: Vec::new() }
    }

    #[test]
    fn what_was_encrypted_comes_back_only_where_it_stood() {
        let keys = keys(7);
        let sealing = Sealing::fresh(Some(&keys)).unwrap();
        let cipher = FileCipher::new(&sealing, Some(&keys)).unwrap();
        let mut text = [b"some words".as_slice(), &[0; TAG]].concat();
        assert!(cipher.encrypt(4096, b"head", &mut text));
        assert!(!text.windows(4).any(|window| window == b"word"));
        let stored = text.clone();
        assert!(cipher.decrypt(4096, b"head", &mut text));
        assert_eq!(&text[..10], b"some words");
        assert!(!cipher.decrypt(4097, b"head", &mut stored.clone()));
        assert!(!cipher.decrypt(4096, b"tail", &mut stored.clone()));
    }

    #[test]
    fn a_file_is_read_with_the_key_it_was_written_with_and_no_other() {
        let old = keys(1);
        let sealing = Sealing::fresh(Some(&old)).unwrap();
        let rotated = Keys { previous: vec![old.current.clone()], ..keys(2) };
        assert!(FileCipher::new(&sealing, Some(&rotated)).is_some());
        assert!(!sealing.is_current(Some(&rotated)));
        assert!(FileCipher::new(&sealing, Some(&keys(2))).is_none());
        assert!(FileCipher::new(&sealing, None).is_none());
    }

    #[test]
    fn two_files_have_two_keys_and_no_key_is_shown() {
        let keys = keys(3);
        assert_ne!(Sealing::fresh(Some(&keys)), Sealing::fresh(Some(&keys)));
        assert_eq!(format!("{:?}", keys.current), "SecretKey(..)");
        assert_eq!(SecretKey::new(vec![0; 31]).unwrap_err(), ShortKey(31));
    }
}
