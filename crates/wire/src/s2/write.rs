//! Writing a stream: every batch becomes whole chunks.

use super::{COMPRESSED, Effort, HEAD, IDENTIFIER, S2, SUM, Tables, UNCOMPRESSED, checksum, encode_block};

/// Bytes that make one block.
pub const WRITE_AT_ONCE: usize = 64 << 10;
/// Less than this is not worth a try.
const WORTH_A_TRY: usize = 64;
/// After so many batches that did not get smaller, as many times [`REST`] go as they are.
const PATIENCE: u32 = 4;
/// Batches not tried after a failure, at first; doubled up to [`LONGEST_REST`].
const REST: u32 = 4;
const LONGEST_REST: u32 = 256;

/// Writes a stream. What does not get smaller goes as it is, and for a while nothing is tried then.
#[derive(Debug, Default)]
pub struct Writer {
    begun: bool,
    /// Batches in a row that did not get smaller.
    failed: u32,
    rest: u32,
    /// Batches that go as they are.
    resting: u32,
}

impl Writer {
    /// Appends `bytes`, the first [`WRITE_AT_ONCE`] of them, as chunks to `out`; returns how many were taken.
    pub fn write(&mut self, bytes: &[u8], effort: Effort, tables: &mut Tables, out: &mut Vec<u8>) -> usize {
        let bytes = bytes.get(..WRITE_AT_ONCE).unwrap_or(bytes);
        if bytes.is_empty() {
            return 0;
        }
        if !std::mem::replace(&mut self.begun, true) {
            head(out, IDENTIFIER, S2.len());
            out.extend_from_slice(S2);
        }
        let at = out.len();
        head(out, UNCOMPRESSED, SUM + bytes.len());
        out.extend_from_slice(&checksum(bytes).to_le_bytes());
        if self.is_worth_a_try(bytes, effort) {
            let body = out.len();
            let smaller = encode_block(bytes, effort, tables, out);
            self.learn(smaller);
            if smaller {
                let length = SUM + out.len() - body;
                if let Some(place) = out.get_mut(at..at + HEAD) {
                    place.copy_from_slice(&chunk_head(COMPRESSED, length));
                }
                return bytes.len();
            }
            out.truncate(body);
        }
        out.extend_from_slice(bytes);
        bytes.len()
    }

    fn is_worth_a_try(&mut self, bytes: &[u8], effort: Effort) -> bool {
        if effort == Effort::None || bytes.len() < WORTH_A_TRY {
            return false;
        }
        self.resting = self.resting.saturating_sub(1);
        self.resting == 0
    }

    fn learn(&mut self, smaller: bool) {
        if smaller {
            (self.failed, self.rest) = (0, 0);
            return;
        }
        self.failed += 1;
        if self.failed >= PATIENCE {
            self.rest = (self.rest * 2).clamp(REST, LONGEST_REST);
            self.resting = self.rest;
        }
    }
}

fn head(out: &mut Vec<u8>, kind: u8, length: usize) {
    out.extend_from_slice(&chunk_head(kind, length));
}

/// Lengths are those of blocks, far below 16 MiB.
fn chunk_head(kind: u8, length: usize) -> [u8; HEAD] {
    let [a, b, c, ..] = length.to_le_bytes();
    [kind, a, b, c]
}
