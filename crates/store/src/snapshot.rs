//! The index snapshot of a stream, `index.snapshot`: what the index was when the log had a certain length, so that a
//! start replays only what came after. It may be missing or damaged: then the whole log is read. Little-endian:
//!
//! ```text
//!   0  8 B  "GHINDEX\n"
//!   8  u16  format version, 1
//!  10  u8   cipher, see `segment`        11  u8   reserved, 0
//!  12  u32  reserved, 0
//!  16  16B  the stream's identity
//!  32  8 B  which key        40  32B  salt; see `crypt`
//!  72  ...  number of the last segment and its length, and the index, see `index::snapshot`; ciphertext and tag when
//!           encrypted
//!     u32  CRC-32C of everything before
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::crypt::{FileCipher, SALT, Sealing};
use crate::data::{Data, FileData};
use crate::disk::{read_all, replace};
use crate::index::{Index, Reader, Segment, Writer};
use crate::options::StreamOptions;
use crate::segment::{SegmentFile, VERSION};
use crate::stream::Home;

/// Name of the file.
pub(crate) const SNAPSHOT: &str = "index.snapshot";
const MAGIC: &[u8; 8] = b"GHINDEX\n";
const HEAD: usize = 72;

/// An index, and how much of the log it covers.
pub(crate) struct Snapshot {
    pub(crate) index: Index<Data>,
    /// Number of the last segment it knows, and how many bytes of it.
    pub(crate) number: u64,
    pub(crate) end: u64,
}

fn name(segment: &Segment<Data>) -> [u64; 3] {
    let generation = segment.data.file().map_or(0, |file| u64::from(file.header.generation));
    [segment.id, generation, segment.data.end()]
}

/// The index as bytes, for [`write`]. `None` when there is nothing to save.
pub(crate) fn encode(index: &Index<Data>) -> Option<Vec<u8>> {
    let last = index.segments.back()?;
    let mut out = Writer::default();
    out.u64(last.id);
    out.u64(last.data.end());
    index.encode(&mut out, name);
    Some(out.0)
}

/// Puts a snapshot in place of the one that is there. The log it describes is durable.
///
/// # Errors
/// The disk; the old snapshot holds then.
pub(crate) fn write(home: &Home, mut body: Vec<u8>) -> std::io::Result<()> {
    let failed = || std::io::Error::other("encryption failed");
    let sealing = Sealing::fresh(home.keys.as_ref()).ok_or_else(failed)?;
    let cipher = FileCipher::new(&sealing, home.keys.as_ref()).ok_or_else(failed)?;
    body.resize(body.len() + cipher.tag(), 0);
    let mut out = Vec::with_capacity(HEAD + body.len() + 4);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[sealing.cipher, 0, 0, 0, 0, 0]);
    out.extend_from_slice(&home.id);
    out.extend_from_slice(&sealing.key);
    out.extend_from_slice(&sealing.salt);
    if !cipher.encrypt(0, &out, &mut body) {
        return Err(failed());
    }
    out.extend_from_slice(&body);
    drop(body);
    let sum = crc32c::crc32c(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    replace(&*home.disk, &home.dir.join(SNAPSHOT), &out)
}

/// The snapshot of a stream, if there is one that fits the segments that are there.
pub(crate) fn load(home: &Home, options: StreamOptions, files: &[Arc<SegmentFile>]) -> Option<Snapshot> {
    let bytes = read_all(&*home.disk, &home.dir.join(SNAPSHOT)).ok()?;
    let (content, sum) = bytes.split_last_chunk::<4>()?;
    let head = content.get(..HEAD).filter(|head| head.starts_with(MAGIC))?;
    let fits = u16::from_le_bytes([head[8], head[9]]) == VERSION && head[16..32] == home.id;
    if !fits || u32::from_le_bytes(*sum) != crc32c::crc32c(content) {
        return None;
    }
    let mut sealing = Sealing { cipher: head[10], ..Sealing::default() };
    sealing.key.copy_from_slice(&head[32..40]);
    sealing.salt.copy_from_slice(&head[40..40 + SALT]);
    let cipher = FileCipher::new(&sealing, home.keys.as_ref())?;
    let mut clear;
    let body = if cipher.tag() == 0 {
        content.get(HEAD..)?
    } else {
        clear = content.get(HEAD..)?.to_vec();
        if !cipher.decrypt(0, head, &mut clear) {
            return None;
        }
        clear.truncate(clear.len() - cipher.tag());
        &clear
    };
    decode(body, options, files)
}

fn decode(body: &[u8], options: StreamOptions, files: &[Arc<SegmentFile>]) -> Option<Snapshot> {
    let mut reader = Reader(body);
    let (number, end) = (reader.u64()?, reader.u64()?);
    let files: BTreeMap<u64, &Arc<SegmentFile>> =
        files.iter().map(|file| (file.header.number, file)).collect();
    let find = |[number, generation, end]: [u64; 3]| {
        let file = files.get(&number).filter(|file| u64::from(file.header.generation) == generation)?;
        let length = file.file()?.len().ok()?;
        let data = FileData::existing(Arc::clone(file), end);
        (length >= end).then_some(Data::File(data))
    };
    let gone = || Data::Block(Bytes::new());
    let index = Index::decode(&mut reader, options.storage, options.limits, gone, find)?;
    // The last segment must be there, and none that the snapshot should know may be new.
    let last = index.segments.back().filter(|last| last.id == number)?;
    let first = index.segments.front().map_or(0, |first| first.id);
    let known =
        files.range(first..=last.id).all(|(number, _)| index.segments.iter().any(|s| s.id == *number));
    let none_before = files.range(..first).next().is_none();
    (known && none_before && reader.0.is_empty()).then_some(Snapshot { index, number, end })
}
