//! Counts messages on a stream by their known length, without parsing them.

use anyhow::{Result, bail};

const MESSAGE: &[u8] = b"MSG ";
const HEADED: &[u8] = b"HMSG ";
const PING: &[u8] = b"PING\r\n";
/// More pings than this can't have come between two looks at the stream.
const PINGS_IN_A_GAP: i64 = 8;
/// Bytes of an unexpected frame that are shown.
const EXCERPT: usize = 80;

/// Follows one stream of `MSG` frames of equal length, with an occasional `PING` between them.
pub(crate) struct FrameCounter {
    frame: i64,
    /// Bytes that belong to messages. Signed: a `PING` cut in two is taken off before its end has come.
    bytes: i64,
    pings: u32,
    /// Bytes went by unseen since the last frame boundary that was checked.
    gap: bool,
    /// What each message begins with.
    verb: &'static [u8],
}

impl FrameCounter {
    /// For frames of `frame` bytes, at least one.
    pub(crate) fn new(frame: u64) -> Self {
        Self { frame: frame.max(1).cast_signed(), bytes: 0, pings: 0, gap: false, verb: MESSAGE }
    }

    /// The same for `HMSG` frames.
    pub(crate) fn headed(self) -> Self {
        Self { verb: HEADED, ..self }
    }

    /// Whole messages that have arrived.
    pub(crate) fn messages(&self) -> u64 {
        (self.bytes.max(0) / self.frame).cast_unsigned()
    }

    /// Pings seen since the last call.
    pub(crate) fn take_pings(&mut self) -> u32 {
        std::mem::take(&mut self.pings)
    }

    /// Accounts for `count` bytes the kernel threw away unread.
    pub(crate) fn skip(&mut self, count: usize) {
        self.bytes += count as i64;
        self.gap = true;
    }

    /// Accounts for `chunk` and checks every frame boundary in it.
    ///
    /// # Errors
    /// When something else than a message or a ping stands where a frame must begin.
    pub(crate) fn inspect(&mut self, chunk: &[u8]) -> Result<()> {
        if self.gap && !self.close_gap(chunk)? {
            self.bytes += chunk.len() as i64;
            return Ok(());
        }
        let mut at = self.next_boundary();
        let mut control = 0;
        while at < chunk.len() {
            let rest = &chunk[at..];
            if begins_like(rest, self.verb) {
                at += self.frame as usize;
            } else if begins_like(rest, PING) {
                at += PING.len();
                control += PING.len() as i64;
                self.pings += 1;
            } else {
                return unexpected(rest);
            }
        }
        self.bytes += chunk.len() as i64 - control;
        Ok(())
    }

    /// Finds the frame boundary again after unseen bytes; false while `chunk` is too short to tell.
    /// Unseen pings show as a shift by a multiple of their length.
    fn close_gap(&mut self, chunk: &[u8]) -> Result<bool> {
        let expected = self.next_boundary();
        let Some(found) = chunk.windows(self.verb.len()).position(|window| window == self.verb) else {
            return Ok(false);
        };
        let shift = (found as i64 - expected as i64).rem_euclid(self.frame);
        let pings = shift / PING.len() as i64;
        if shift % PING.len() as i64 != 0 || pings > PINGS_IN_A_GAP {
            return unexpected(&chunk[expected.min(chunk.len())..]);
        }
        self.bytes -= shift;
        self.pings += pings as u32;
        self.gap = false;
        Ok(true)
    }

    /// Where in the next chunk a frame begins.
    fn next_boundary(&self) -> usize {
        (-self.bytes).rem_euclid(self.frame) as usize
    }
}

/// Whether `bytes` starts with `word`, as far as it goes.
fn begins_like(bytes: &[u8], word: &[u8]) -> bool {
    bytes.iter().zip(word).all(|(a, b)| a == b)
}

/// Reports the server's error line where there is one, else what was found.
fn unexpected<T>(found: &[u8]) -> Result<T> {
    let error = found.windows(4).position(|window| window == b"-ERR").unwrap_or(0);
    let excerpt = &found[error..found.len().min(error + EXCERPT)];
    bail!("no message where one should begin: {:?}", String::from_utf8_lossy(excerpt))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &[u8] = b"MSG a 1 20\r\nABCDEFGHIJMMMMPPPPMM\r\n";

    fn stream(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    fn counter() -> FrameCounter {
        FrameCounter::new(FRAME.len() as u64)
    }

    #[test]
    fn any_split_gives_the_same_count() {
        let bytes = stream(&[PING, FRAME, FRAME, PING, PING, FRAME]);
        for size in 1..bytes.len() {
            let mut counter = counter();
            for chunk in bytes.chunks(size) {
                counter.inspect(chunk).unwrap();
            }
            assert_eq!(counter.messages(), 3, "chunks of {size}");
            assert!(counter.take_pings() >= 3, "chunks of {size}");
        }
    }

    #[test]
    fn pings_in_unseen_bytes_are_found_at_the_next_look() {
        let unseen = stream(&[FRAME, PING, FRAME]);
        for split in 0..FRAME.len() {
            let mut counter = counter();
            counter.inspect(FRAME).unwrap();
            counter.skip(unseen.len() + split);
            counter.inspect(&stream(&[&FRAME[split..], FRAME])).unwrap();
            assert_eq!((counter.messages(), counter.take_pings()), (5, 1), "split at {split}");
        }
    }

    #[test]
    fn unseen_bytes_without_pings_change_nothing() {
        let mut counter = counter();
        counter.skip(10 * FRAME.len() + 5);
        counter.inspect(&FRAME[5..]).unwrap();
        assert_eq!((counter.messages(), counter.take_pings()), (11, 0));
    }

    #[test]
    fn a_lost_byte_and_an_error_line_are_noticed() {
        let mut c = counter();
        assert!(c.inspect(&stream(&[FRAME, &FRAME[1..], FRAME])).is_err());
        let mut c = counter();
        let error = c.inspect(&stream(&[FRAME, b"-ERR 'Slow Consumer'\r\n"])).unwrap_err();
        assert!(error.to_string().contains("Slow Consumer"), "{error}");
        let mut c = counter();
        c.skip(FRAME.len() + 1);
        assert!(c.inspect(FRAME).is_err());
    }
}
