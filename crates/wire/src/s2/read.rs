//! Reading a stream, chunk by chunk.

use super::{
    COMPRESSED, HEAD, IDENTIFIER, MAX_BLOCK, MAX_SNAPPY_BLOCK, S2, S2Error, SKIPPABLE, SNAPPY, SUM,
    UNCOMPRESSED, checksum, decode_block,
};

/// What is kept of the buffer when it has been worked off.
const KEEP: usize = 64 << 10;

/// Takes a stream in pieces and gives back its blocks one by one.
#[derive(Debug)]
pub struct Reader {
    /// Bytes of the stream not worked off; `pending[..at]` are done with.
    pending: Vec<u8>,
    at: usize,
    /// Bytes of a chunk without meaning that are still to come.
    skip: usize,
    begun: bool,
    /// What the stream's own kind allows a block to hold, and what we do.
    format: usize,
    most: usize,
}

impl Reader {
    /// A stream whose blocks may hold at most `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { pending: Vec::new(), at: 0, skip: 0, begun: false, format: MAX_BLOCK, most }
    }

    /// Blocks may hold so much from now on.
    pub fn allow(&mut self, most: usize) {
        self.most = most;
    }

    /// Where bytes are to be appended as they come. What is held is bounded if [`Self::next`] has been asked before
    /// until it had nothing.
    pub fn input(&mut self) -> &mut Vec<u8> {
        if self.at > 0 {
            self.pending.drain(..self.at);
            self.at = 0;
        }
        &mut self.pending
    }

    /// Takes bytes as they come, see [`Self::input`].
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input().extend_from_slice(bytes);
    }

    /// Bytes held that are not worked off.
    #[must_use]
    pub fn held(&self) -> usize {
        self.pending.len() - self.at
    }

    /// Appends the next block's content to `out`; `false` when no whole block has come yet.
    ///
    /// # Errors
    /// See [`S2Error`]: nothing more can be read.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Result<bool, S2Error> {
        while let Some(chunk) = self.next_chunk()? {
            let Chunk { kind, from, to } = chunk;
            let body = self.pending.get(from..to).unwrap_or_default();
            match kind {
                IDENTIFIER if body == S2 => self.format = MAX_BLOCK,
                IDENTIFIER if body == SNAPPY => self.format = MAX_SNAPPY_BLOCK,
                IDENTIFIER => return Err(S2Error::NoStream),
                _ => {
                    let before = out.len();
                    read_block(kind, body, self.format.min(self.most), out)?;
                    self.at = to;
                    if out.len() > before {
                        return Ok(true);
                    }
                }
            }
            self.begun = true;
            self.at = to;
        }
        if self.held() == 0 {
            self.at = 0;
            self.pending.clear();
            self.pending.shrink_to(KEEP);
        }
        Ok(false)
    }

    /// The next chunk that means something, if it is there as a whole.
    fn next_chunk(&mut self) -> Result<Option<Chunk>, S2Error> {
        loop {
            let skipped = self.skip.min(self.held());
            self.at += skipped;
            self.skip -= skipped;
            let rest = self.pending.get(self.at..).unwrap_or_default();
            let Some(&[kind, a, b, c]) = rest.first_chunk() else { return Ok(None) };
            let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
            if !self.begun && (kind != IDENTIFIER || length != S2.len()) {
                return Err(S2Error::NoStream);
            }
            let most = self.format.min(self.most);
            match kind {
                IDENTIFIER if length != S2.len() => return Err(S2Error::NoStream),
                // Who writes what gets no smaller writes it uncompressed.
                COMPRESSED | UNCOMPRESSED if length > most + SUM => return Err(S2Error::TooLarge),
                COMPRESSED | UNCOMPRESSED if length < SUM => return Err(S2Error::Corrupt),
                COMPRESSED | UNCOMPRESSED | IDENTIFIER => {}
                SKIPPABLE.. => {
                    self.at += HEAD;
                    self.skip = length;
                    continue;
                }
                _ => return Err(S2Error::Unknown),
            }
            let from = self.at + HEAD;
            let whole = rest.len() >= HEAD + length;
            return Ok(whole.then_some(Chunk { kind, from, to: from + length }));
        }
    }
}

/// A whole chunk: its kind, and where its body is.
struct Chunk {
    kind: u8,
    from: usize,
    to: usize,
}

fn read_block(kind: u8, body: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), S2Error> {
    let Some((sum, body)) = body.split_first_chunk::<SUM>() else { return Err(S2Error::Corrupt) };
    let before = out.len();
    if kind == COMPRESSED {
        decode_block(body, most, out)?;
    } else {
        out.extend_from_slice(body);
    }
    let content = out.get(before..).unwrap_or_default();
    if checksum(content) == u32::from_le_bytes(*sum) {
        return Ok(());
    }
    out.truncate(before);
    Err(S2Error::Checksum)
}
