//! The manifest of a stream: that there is one, its name, its settings, and what its user keeps with it.
//!
//! `stream.manifest` in the stream's directory, replaced as a whole. Little-endian:
//!
//! ```text
//!   0  8 B  "GHSTREAM"
//!   8  u16  format version, 1
//!  10  u8   cipher, see `segment`
//!  11  u8   reserved, 0
//!  12  u32  length of the body
//!  16  16B  the stream's identity, random
//!  32  8 B  which key        40  32B  salt; see `crypt`
//!  72  ...  body: name, settings and metadata, see `encode_body`; ciphertext and tag when encrypted
//!     u32  CRC-32C of everything before
//! ```

use std::path::Path;
use std::time::Duration;

use crate::crypt::{FileCipher, Keys, SALT, Sealing};
use crate::disk::{Disk, read_all, replace};
use crate::error::StoreError;
use crate::options::{Discard, Limits, Storage, StreamOptions, Sync};
use crate::recover::MANIFEST;
use crate::segment::VERSION;

const MAGIC: &[u8; 8] = b"GHSTREAM";
const HEAD: usize = 72;

/// What a manifest says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) id: [u8; 16],
    pub(crate) name: String,
    pub(crate) options: StreamOptions,
    pub(crate) metadata: Vec<u8>,
}

impl Manifest {
    /// Puts it in place of the one that is there; it is durable when this returns.
    pub(crate) fn write(&self, disk: &dyn Disk, dir: &Path, keys: Option<&Keys>) -> Result<(), StoreError> {
        let path = dir.join(MANIFEST);
        let no_key = || StoreError::NoKey { path: path.clone() };
        let bytes = self.encode(keys).ok_or_else(no_key)?;
        replace(disk, &path, &bytes).map_err(|error| StoreError::Io { path, error })
    }

    /// Reads the manifest of a stream's directory.
    pub(crate) fn read(disk: &dyn Disk, dir: &Path, keys: Option<&Keys>) -> Result<Self, StoreError> {
        let path = dir.join(MANIFEST);
        let bytes = read_all(disk, &path).map_err(|error| StoreError::Io { path: path.clone(), error })?;
        Self::decode(&bytes, &path, keys)
    }

    pub(crate) fn encode(&self, keys: Option<&Keys>) -> Option<Vec<u8>> {
        let sealing = Sealing::fresh(keys)?;
        let cipher = FileCipher::new(&sealing, keys)?;
        let mut body = self.encode_body();
        body.resize(body.len() + cipher.tag(), 0);
        let mut out = Vec::with_capacity(HEAD + body.len() + 4);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[sealing.cipher, 0]);
        out.extend_from_slice(&(body.len() as u32).to_le_bytes());
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&sealing.key);
        out.extend_from_slice(&sealing.salt);
        if !cipher.encrypt(0, &out, &mut body) {
            return None;
        }
        out.extend_from_slice(&body);
        let sum = crc32c::crc32c(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        Some(out)
    }

    pub(crate) fn decode(bytes: &[u8], path: &Path, keys: Option<&Keys>) -> Result<Self, StoreError> {
        let damaged = |what: &str| StoreError::Damaged { path: path.into(), what: what.into() };
        let head = bytes.get(..HEAD).filter(|head| head.starts_with(MAGIC));
        let head = head.ok_or_else(|| damaged("it is no manifest of a stream"))?;
        let found = u16::from_le_bytes([head[8], head[9]]);
        if found > VERSION {
            return Err(StoreError::Newer { path: path.into(), found, known: VERSION });
        }
        let (content, sum) = bytes.split_last_chunk::<4>().ok_or_else(|| damaged("it is cut short"))?;
        if u32::from_le_bytes(*sum) != crc32c::crc32c(content) {
            return Err(damaged("its checksum is wrong"));
        }
        let mut sealing = Sealing { cipher: head[10], ..Sealing::default() };
        sealing.key.copy_from_slice(&head[32..40]);
        sealing.salt.copy_from_slice(&head[40..40 + SALT]);
        let no_key = || StoreError::NoKey { path: path.into() };
        let cipher = FileCipher::new(&sealing, keys).ok_or_else(no_key)?;
        let mut body = content.get(HEAD..).unwrap_or_default().to_vec();
        if !cipher.decrypt(0, head, &mut body) {
            return Err(damaged("it can't be decrypted"));
        }
        body.truncate(body.len().saturating_sub(cipher.tag()));
        let mut id = [0; 16];
        id.copy_from_slice(&head[16..32]);
        Self::decode_body(id, &mut body.as_slice()).ok_or_else(|| damaged("its body is malformed"))
    }

    /// Fields in their order; an optional number is one byte that says whether it is there, and the number.
    fn encode_body(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_text(&mut out, self.name.as_bytes());
        let (sync, interval) = match self.options.sync {
            Sync::Commit => (0, 0),
            Sync::Interval(interval) => (1, nanos(interval)),
            Sync::None => (2, 0),
        };
        let limits = &self.options.limits;
        out.push(u8::from(self.options.storage == Storage::Memory));
        out.push(sync);
        out.extend_from_slice(&interval.to_le_bytes());
        out.extend_from_slice(&self.options.segment_bytes.to_le_bytes());
        let age = limits.max_age.map(nanos);
        for bound in [limits.max_messages, limits.max_bytes, age, limits.max_per_subject] {
            out.push(u8::from(bound.is_some()));
            out.extend_from_slice(&bound.unwrap_or(0).to_le_bytes());
        }
        out.push(u8::from(limits.discard == Discard::New));
        out.push(u8::from(limits.discard_new_per_subject));
        put_text(&mut out, &self.metadata);
        out
    }

    fn decode_body(id: [u8; 16], bytes: &mut &[u8]) -> Option<Self> {
        let name = String::from_utf8(take_text(bytes)?).ok()?;
        let storage = if take_byte(bytes)? == 1 { Storage::Memory } else { Storage::File };
        let (sync, interval) = (take_byte(bytes)?, Duration::from_nanos(take_u64(bytes)?));
        let sync = match sync {
            0 => Sync::Commit,
            1 => Sync::Interval(interval),
            2 => Sync::None,
            _ => return None,
        };
        let segment_bytes = take_u64(bytes)?;
        let mut bounds = [None; 4];
        for bound in &mut bounds {
            let is_there = take_byte(bytes)? == 1;
            *bound = Some(take_u64(bytes)?).filter(|_| is_there);
        }
        let [max_messages, max_bytes, max_age, max_per_subject] = bounds;
        let discard = if take_byte(bytes)? == 1 { Discard::New } else { Discard::Old };
        let discard_new_per_subject = take_byte(bytes)? == 1;
        let max_age = max_age.map(Duration::from_nanos);
        let limits =
            Limits { max_messages, max_bytes, max_age, max_per_subject, discard, discard_new_per_subject };
        let options = StreamOptions { storage, sync, segment_bytes, limits };
        let metadata = take_text(bytes)?;
        bytes.is_empty().then_some(Self { id, name, options, metadata })
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend_from_slice(&(text.len() as u32).to_le_bytes());
    out.extend_from_slice(text);
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    take(bytes, 1)?.first().copied()
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(*take(bytes, 8)?.first_chunk()?))
}

fn take_text(bytes: &mut &[u8]) -> Option<Vec<u8>> {
    let length = u32::from_le_bytes(*take(bytes, 4)?.first_chunk()?);
    Some(take(bytes, length as usize)?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let limits = Limits {
            max_bytes: Some(1 << 40),
            max_age: Some(Duration::from_secs(3600)),
            discard: Discard::New,
            ..Limits::default()
        };
        let sync = Sync::Interval(Duration::from_millis(250));
        let options = StreamOptions { sync, limits, ..StreamOptions::file() };
        Manifest {
            id: [5; 16],
            name: "$G/ORDERS".into(),
            options,
            metadata: b"{\"subjects\":[\"orders.>\"]}".to_vec(),
        }
    }

    #[test]
    fn a_manifest_comes_back_as_it_was_written() {
        let bytes = manifest().encode(None).unwrap();
        assert_eq!(Manifest::decode(&bytes, Path::new("m"), None).unwrap(), manifest());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let bytes = manifest().encode(None).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&flipped, Path::new("m"), None).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..cut], Path::new("m"), None).is_err(), "cut at {cut}");
        }
    }
}
