//! `PUB` frames, encoded before the clock runs.

/// Bytes given to one write call.
const CHUNK: usize = 64 * 1024;
/// Characters of payloads: no blank and no line end, so a payload never looks like protocol.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// A ring of `PUB` frames of equal length.
pub(crate) struct Frames {
    bytes: Vec<u8>,
    frame: usize,
}

impl Frames {
    /// Frames on one subject: two chunks of them, no two payloads alike.
    pub(crate) fn on(subject: &str, payload: usize) -> Self {
        let frame = format!("PUB {subject} {payload}\r\n").len() + payload + 2;
        Self::encode((CHUNK / frame).max(1) * 2, payload, |_| subject.to_owned())
    }

    /// `count` frames; `subject` is asked with a random number for each and answers with equally long
    /// subjects.
    pub(crate) fn encode(count: usize, payload: usize, subject: impl Fn(u64) -> String) -> Self {
        let mut random = Random::new();
        let mut bytes = Vec::new();
        for _ in 0..count {
            bytes.extend_from_slice(format!("PUB {} {payload}\r\n", subject(random.next())).as_bytes());
            bytes.extend(random.text(payload));
            bytes.extend_from_slice(b"\r\n");
        }
        let frame = bytes.len() / count.max(1);
        Self { bytes, frame }
    }

    /// The first frame.
    pub(crate) fn first(&self) -> &[u8] {
        &self.bytes[..self.frame]
    }

    /// Frames in one chunk.
    pub(crate) fn per_chunk(&self) -> u64 {
        (CHUNK / self.frame).max(1) as u64
    }

    /// Chunks to write one after the other, for ever; publisher number `publisher` starts elsewhere in
    /// the ring than its neighbours.
    pub(crate) fn chunks(&self, publisher: usize) -> impl Iterator<Item = Chunk<'_>> {
        let length = self.frame * self.per_chunk() as usize;
        let chunks = self.bytes.chunks(length).cycle().skip(publisher);
        chunks.map(|bytes| Chunk { bytes, frames: (bytes.len() / self.frame) as u64 })
    }
}

/// Some whole frames.
pub(crate) struct Chunk<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) frames: u64,
}

/// Length in bytes of the `MSG` frame that arrives for a publication, sid and payload size being known.
pub(crate) fn delivered_length(subject: &str, sid: &str, payload: usize) -> u64 {
    (format!("MSG {subject} {sid} {payload}\r\n").len() + payload + 2) as u64
}

/// Reproducible noise (splitmix64).
struct Random(u64);

impl Random {
    /// The same sequence every time: both servers get the same bytes.
    fn new() -> Self {
        Self(0)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn text(&mut self, length: usize) -> impl Iterator<Item = u8> {
        (0..length).map(|_| ALPHABET[(self.next() % 64) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_hold_whole_frames_and_go_round() {
        let frames = Frames::on("a.b", 16);
        assert!(frames.first().starts_with(b"PUB a.b 16\r\n") && frames.first().ends_with(b"\r\n"));
        let chunks: Vec<_> = frames.chunks(0).take(3).collect();
        assert!(chunks.iter().all(|c| c.bytes.len() as u64 == c.frames * frames.first().len() as u64));
        assert_eq!(chunks[0].bytes, chunks[2].bytes);
        assert_ne!(chunks[0].bytes, chunks[1].bytes);
    }

    #[test]
    fn a_payload_larger_than_a_chunk_is_one_frame() {
        let frames = Frames::on("a", 100_000);
        assert_eq!(frames.per_chunk(), 1);
        assert_eq!(frames.chunks(1).next().map(|c| c.frames), Some(1));
    }

    #[test]
    fn delivered_frames_are_measured() {
        assert_eq!(delivered_length("a.b", "1", 3), b"MSG a.b 1 3\r\nxyz\r\n".len() as u64);
    }
}
