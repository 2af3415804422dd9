//! One record of a segment: its layout, and encoding and decoding of it.
//!
//! Numbers are little-endian. A record is
//!
//! ```text
//!  0  u32  length of the whole record; 0 where nothing has been written yet
//!  4  u32  CRC-32C of the length and of everything from byte 8 on, begun with the file's seed (`segment`)
//!  8  u8   kind
//!  9  u8   flags
//! 10  u16  length of the subject
//! 12  u32  length of the headers
//! 16  u64  sequence
//! 24  u64  time, ns since 1970
//! 32  u64  when the message expires, ns since 1970; only with the flag EXPIRES
//!     ...  subject, headers, payload
//!     16 B authentication tag; only in an encrypted segment, where subject, headers and payload are ciphertext
//! ```
//!
//! Kinds: 1 message; 2 removal (the payload lists the sequences that went, see [`crate::ranges`]); 3 floor (every
//! message below the sequence went); 4 skip (the sequence was used up without a message); 5 erased (what is left of a
//! message that was overwritten); in files of saved states 6 put, 7 add, 8 remove, with the name as the subject.
//!
//! Flags: 1 EXPIRES; 2 SYNCED (when this was written, everything before it in the segment had been synced, so damage
//! before it is not a torn write); 4 OPEN (an atomic batch goes on in the next record); 8 ERASE (of a removal: the
//! message was to be overwritten); 16 JOINED (of an atomic batch, but not its first record).

use bytes::Bytes;

use crate::crypt::FileCipher;

/// Bytes before the body, without an expiry.
pub(crate) const HEADER: usize = 32;
/// The longest record that is written or believed, in bytes.
pub(crate) const MAX_RECORD: usize = 256 * 1024 * 1024;
/// The longest subject, in bytes.
pub(crate) const MAX_SUBJECT: usize = u16::MAX as usize;

pub(crate) const EXPIRES: u8 = 1;
pub(crate) const SYNCED: u8 = 2;
pub(crate) const OPEN: u8 = 4;
pub(crate) const ERASE: u8 = 8;
pub(crate) const JOINED: u8 = 16;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Message = 1,
    Removal = 2,
    Floor = 3,
    Skip = 4,
    Erased = 5,
    PutState = 6,
    AddState = 7,
    RemoveState = 8,
}

impl Kind {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        use Kind::{AddState, Erased, Floor, Message, PutState, Removal, RemoveState, Skip};
        let all = [Message, Removal, Floor, Skip, Erased, PutState, AddState, RemoveState];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// What is to be written as one record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    pub(crate) seq: u64,
    pub(crate) time: u64,
    pub(crate) expires: Option<u64>,
    pub(crate) subject: &'a [u8],
    pub(crate) headers: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> Draft<'a> {
    /// A record of the log's own, with a list or nothing as its payload.
    pub(crate) fn control(kind: Kind, flags: u8, seq: u64, payload: &'a [u8]) -> Self {
        Self { kind, flags, seq, time: 0, expires: None, subject: b"", headers: b"", payload }
    }

    /// Length of the record, without an authentication tag.
    pub(crate) fn len(&self) -> usize {
        body_at(self.expires.is_some()) + self.subject.len() + self.headers.len() + self.payload.len()
    }
}

/// Where the body begins.
pub(crate) fn body_at(expires: bool) -> usize {
    if expires { HEADER + 8 } else { HEADER }
}

/// Appends the record to `out`, which is to stand at `offset` of a file with this cipher. False, and nothing appended,
/// when it can't be encrypted.
pub(crate) fn encode(
    draft: &Draft<'_>,
    cipher: &FileCipher,
    seed: u32,
    offset: u64,
    out: &mut Vec<u8>,
) -> bool {
    let (at, tag) = (out.len(), cipher.tag());
    let length = draft.len() + tag;
    let flags = draft.flags | if draft.expires.is_some() { EXPIRES } else { 0 };
    let mut head = [0; HEADER];
    head[..4].copy_from_slice(&(length as u32).to_le_bytes());
    head[8] = draft.kind as u8;
    head[9] = flags;
    head[10..12].copy_from_slice(&(draft.subject.len() as u16).to_le_bytes());
    head[12..16].copy_from_slice(&(draft.headers.len() as u32).to_le_bytes());
    head[16..24].copy_from_slice(&draft.seq.to_le_bytes());
    head[24..32].copy_from_slice(&draft.time.to_le_bytes());
    out.reserve(length);
    out.extend_from_slice(&head);
    if let Some(expires) = draft.expires {
        out.extend_from_slice(&expires.to_le_bytes());
    }
    out.extend_from_slice(draft.subject);
    out.extend_from_slice(draft.headers);
    out.extend_from_slice(draft.payload);
    out.resize(out.len() + tag, 0);
    let record = out.get_mut(at..).unwrap_or_default();
    if tag > 0 && !encrypt(record, draft.expires.is_some(), cipher, offset) {
        out.truncate(at);
        return false;
    }
    let sum = checksum(record, seed);
    if let Some(place) = record.get_mut(4..8) {
        place.copy_from_slice(&sum.to_le_bytes());
    }
    true
}

fn encrypt(record: &mut [u8], expires: bool, cipher: &FileCipher, offset: u64) -> bool {
    let parts = record.split_at_mut_checked(body_at(expires));
    parts.is_some_and(|(clear, body)| cipher.encrypt(offset, clear, body))
}

/// Decrypts the body of a record that [`verify`] found intact, in place. False when it is not what was encrypted there.
pub(crate) fn decrypt(record: &mut [u8], cipher: &FileCipher, offset: u64) -> bool {
    if cipher.tag() == 0 {
        return true;
    }
    let Some(head) = Head::read(record, cipher.tag()) else { return false };
    // The checksum was not there yet when the record was encrypted.
    if let Some(place) = record.get_mut(4..8) {
        place.fill(0);
    }
    let parts = record.split_at_mut_checked(body_at(head.flags & EXPIRES != 0));
    parts.is_some_and(|(clear, body)| cipher.decrypt(offset, clear, body))
}

fn checksum(record: &[u8], seed: u32) -> u32 {
    let Some((length, rest)) = record.split_first_chunk::<4>() else { return 0 };
    crc32c::crc32c_append(crc32c::crc32c_append(seed, length), rest.get(4..).unwrap_or_default())
}

/// What is left of a message that is overwritten: a record of the same length with nothing in it, never encrypted.
/// It keeps the flags that others depend on: the batch it was part of, the sync before it.
pub(crate) fn erased(seq: u64, flags: u8, length: usize, seed: u32) -> Vec<u8> {
    let mut record = vec![0; length.max(HEADER)];
    record[..4].copy_from_slice(&(length as u32).to_le_bytes());
    record[8] = Kind::Erased as u8;
    record[9] = flags & (OPEN | JOINED | SYNCED);
    record[16..24].copy_from_slice(&seq.to_le_bytes());
    let sum = checksum(&record, seed);
    record[4..8].copy_from_slice(&sum.to_le_bytes());
    record
}

/// The fixed part of a record, read but not believed: only [`verify`] says whether it is intact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) subject: usize,
    pub(crate) headers: usize,
    pub(crate) seq: u64,
    pub(crate) time: u64,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

impl Head {
    /// Reads the fixed part; `None` when it is cut short or its lengths contradict each other.
    pub(crate) fn read(bytes: &[u8], tag: usize) -> Option<Self> {
        let head = Self {
            length: u32_at(bytes, 0)? as usize,
            kind: *bytes.get(8)?,
            flags: *bytes.get(9)?,
            subject: usize::from(u16::from_le_bytes(*bytes.get(10..)?.first_chunk()?)),
            headers: u32_at(bytes, 12)? as usize,
            seq: u64_at(bytes, 16)?,
            time: u64_at(bytes, 24)?,
        };
        let fixed = body_at(head.flags & EXPIRES != 0) + tag;
        let fits = head.length <= MAX_RECORD && fixed + head.subject + head.headers <= head.length;
        fits.then_some(head)
    }
}

/// Whether `record`, exactly one record long, is as it was written.
pub(crate) fn verify(record: &[u8], seed: u32) -> bool {
    u32_at(record, 0).is_some_and(|length| length as usize == record.len())
        && u32_at(record, 4) == Some(checksum(record, seed))
}

/// When the message of this record expires.
pub(crate) fn expires(record: &[u8], head: &Head) -> Option<u64> {
    if head.flags & EXPIRES != 0 { u64_at(record, HEADER) } else { None }
}

/// A message as it is stored. Its parts share one buffer; a clone copies nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its sequence in the stream.
    pub seq: u64,
    /// When it was stored, ns since 1970.
    pub time: u64,
    /// When it expires, ns since 1970.
    pub expires: Option<u64>,
    subject: usize,
    headers: usize,
    /// Subject, headers and payload, one after the other.
    body: Bytes,
}

impl Message {
    /// Takes a decrypted record apart. `record` is exactly one record, without its tag.
    pub(crate) fn from_record(record: &Bytes, tag: usize) -> Option<Self> {
        let head = Head::read(record, tag)?;
        let from = body_at(head.flags & EXPIRES != 0);
        let body = record.len().checked_sub(tag).filter(|end| *end >= from)?;
        Some(Self {
            seq: head.seq,
            time: head.time,
            expires: expires(record, &head),
            subject: head.subject,
            headers: head.headers,
            body: record.slice(from..body),
        })
    }

    /// What it was published to.
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        self.body.get(..self.subject).unwrap_or_default()
    }

    /// Its header block as it was stored; empty without one.
    #[must_use]
    pub fn headers(&self) -> &[u8] {
        self.body.get(self.subject..self.subject + self.headers).unwrap_or_default()
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.body.get(self.subject + self.headers..).unwrap_or_default()
    }

    /// Its payload, sharing the message's buffer.
    #[must_use]
    pub fn payload_bytes(&self) -> Bytes {
        self.body.slice((self.subject + self.headers).min(self.body.len())..)
    }

    /// Headers and payload as they follow each other in a frame, sharing the message's buffer.
    #[must_use]
    pub fn frame_bytes(&self) -> Bytes {
        self.body.slice(self.subject.min(self.body.len())..)
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("seq", &self.seq)
            .field("subject", &String::from_utf8_lossy(self.subject()))
            .field("headers", &self.headers)
            .field("payload", &self.payload().len())
            .finish_non_exhaustive()
    }
}
