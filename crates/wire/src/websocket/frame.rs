//! Frames: a client's are masked, a server's are not.

/// The longest head of a frame.
pub const HEAD_MAX: usize = 14;
/// The longest payload of a control frame.
pub const CONTROL_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Why a frame can't be read; the connection is closed with [`CloseCode::Protocol`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Clients have to mask what they send.
    #[error("a frame without mask")]
    Unmasked,
    /// An extension nobody agreed on.
    #[error("a frame with reserved bits set")]
    Reserved,
    /// An operation that does not exist.
    #[error("a frame with an unknown operation")]
    Opcode,
    /// A continuation of nothing, or a message within another.
    #[error("frames of a message out of order")]
    Order,
    /// A control frame in pieces, or too long.
    #[error("a control frame that is too long or in pieces")]
    Control,
    /// A length of 64 bits with the highest set.
    #[error("a frame of impossible length")]
    Length,
}

/// Why a connection is closed, for the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// The peer wanted it so.
    Normal = 1000,
    /// The server goes away, or the peer was too quiet.
    Away = 1001,
    /// What came can't be read.
    Protocol = 1002,
    /// It may not do that.
    Policy = 1008,
    /// A message was too long.
    TooBig = 1009,
}

/// What came besides data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// To be answered with this frame; of several, the last one.
    Pong([u8; CONTROL_MAX + 2], usize),
    /// The peer says nothing more.
    Close,
}

/// What [`Decoder::decode`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// So many bytes at the front are the protocol's.
    pub len: usize,
    /// What is to be answered.
    pub control: Option<Control>,
}

/// Takes a peer's frames apart, across reads.
#[derive(Debug, Default)]
pub struct Decoder {
    place: Place,
    /// A message has begun whose last frame has not come.
    within: bool,
}

#[derive(Debug)]
enum Place {
    Head {
        bytes: [u8; HEAD_MAX],
        have: usize,
    },
    Data {
        left: u64,
        mask: [u8; 4],
    },
    Control {
        opcode: u8,
        left: usize,
        mask: [u8; 4],
        bytes: [u8; CONTROL_MAX],
        have: usize,
    },
    /// After a close frame nothing counts.
    Closed,
}

impl Default for Place {
    fn default() -> Self {
        Self::Head { bytes: [0; HEAD_MAX], have: 0 }
    }
}

impl Decoder {
    /// Takes what was read, and leaves at its front the bytes of the protocol, unmasked.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn decode(&mut self, bytes: &mut [u8]) -> Result<Decoded, FrameError> {
        let (mut at, mut out) = (0, 0);
        let mut control = None;
        while at < bytes.len() {
            match &mut self.place {
                Place::Closed => break,
                Place::Head { bytes: head, have } => {
                    head[*have] = bytes[at];
                    *have += 1;
                    at += 1;
                    if *have >= 2 && *have == head_len(head) {
                        let head = *head;
                        self.place = self.begin(&head)?;
                        if let Some(found) = self.end_of_empty() {
                            control = Some(found);
                        }
                    }
                }
                Place::Data { left, mask } => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    unmask(&mut bytes[at..at + take], mask);
                    bytes.copy_within(at..at + take, out);
                    at += take;
                    out += take;
                    *left -= take as u64;
                    if *left == 0 {
                        self.place = Place::default();
                    }
                }
                Place::Control { opcode, left, mask, bytes: held, have } => {
                    let take = (*left).min(bytes.len() - at);
                    unmask(&mut bytes[at..at + take], mask);
                    held[*have..*have + take].copy_from_slice(&bytes[at..at + take]);
                    at += take;
                    *have += take;
                    *left -= take;
                    if *left == 0 {
                        let answer = answer(*opcode, &held[..*have]);
                        self.place = after(*opcode);
                        control = answer.or(control);
                    }
                }
            }
        }
        Ok(Decoded { len: out, control })
    }

    /// What a complete head says comes next.
    fn begin(&mut self, head: &[u8; HEAD_MAX]) -> Result<Place, FrameError> {
        let (opcode, last) = (head[0] & 0x0f, head[0] & FIN != 0);
        if head[0] & RESERVED != 0 {
            return Err(FrameError::Reserved);
        }
        if head[1] & MASKED == 0 {
            return Err(FrameError::Unmasked);
        }
        let (left, mask_at) = match head[1] & 0x7f {
            126 => (u64::from(u16::from_be_bytes([head[2], head[3]])), 4),
            127 => {
                let mut length = [0; 8];
                length.copy_from_slice(&head[2..10]);
                (u64::from_be_bytes(length), 10)
            }
            short => (u64::from(short), 2),
        };
        if left >> 63 != 0 {
            return Err(FrameError::Length);
        }
        let mut mask = [0; 4];
        mask.copy_from_slice(&head[mask_at..mask_at + 4]);
        match opcode {
            CONTINUATION | TEXT | BINARY => {
                if (opcode == CONTINUATION) != self.within {
                    return Err(FrameError::Order);
                }
                self.within = !last;
                Ok(Place::Data { left, mask })
            }
            CLOSE | PING | PONG => {
                let left = usize::try_from(left).ok().filter(|left| *left <= CONTROL_MAX && last);
                let left = left.ok_or(FrameError::Control)?;
                Ok(Place::Control { opcode, left, mask, bytes: [0; CONTROL_MAX], have: 0 })
            }
            _ => Err(FrameError::Opcode),
        }
    }

    /// A frame that holds nothing is over when its head is.
    fn end_of_empty(&mut self) -> Option<Control> {
        match self.place {
            Place::Data { left: 0, .. } => {
                self.place = Place::default();
                None
            }
            Place::Control { opcode, left: 0, .. } => {
                self.place = after(opcode);
                answer(opcode, &[])
            }
            _ => None,
        }
    }
}

fn after(opcode: u8) -> Place {
    if opcode == CLOSE { Place::Closed } else { Place::default() }
}

fn answer(opcode: u8, payload: &[u8]) -> Option<Control> {
    match opcode {
        CLOSE => Some(Control::Close),
        PING => {
            let mut frame = [0; CONTROL_MAX + 2];
            frame[0] = FIN | PONG;
            frame[1] = u8::try_from(payload.len()).ok()?;
            frame[2..2 + payload.len()].copy_from_slice(payload);
            Some(Control::Pong(frame, 2 + payload.len()))
        }
        _ => None,
    }
}

/// How long the head is that begins with these bytes; the mask belongs to it.
fn head_len(head: &[u8; HEAD_MAX]) -> usize {
    let length = match head[1] & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    2 + length + if head[1] & MASKED == 0 { 0 } else { 4 }
}

/// Takes the mask off, and turns it to where it goes on.
fn unmask(bytes: &mut [u8], mask: &mut [u8; 4]) {
    let wide = u32::from_ne_bytes(*mask);
    let mut words = bytes.chunks_exact_mut(4);
    for word in &mut words {
        let plain = u32::from_ne_bytes([word[0], word[1], word[2], word[3]]) ^ wide;
        word.copy_from_slice(&plain.to_ne_bytes());
    }
    let rest = words.into_remainder();
    for (byte, mask) in rest.iter_mut().zip(*mask) {
        *byte ^= mask;
    }
    mask.rotate_left(rest.len());
}

/// The head of a frame of ours, as it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; 10],
    len: usize,
}

impl Head {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The head of a binary message of one frame with `len` bytes behind it.
#[must_use]
pub fn data_head(len: usize) -> Head {
    let mut head = Head::default();
    head.bytes[0] = FIN | BINARY;
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ 0..=125), _) => {
            head.bytes[1] = short;
            head.len = 2;
        }
        (_, Ok(medium)) => {
            head.bytes[1] = 126;
            head.bytes[2..4].copy_from_slice(&medium.to_be_bytes());
            head.len = 4;
        }
        _ => {
            head.bytes[1] = 127;
            head.bytes[2..10].copy_from_slice(&(len as u64).to_be_bytes());
            head.len = 10;
        }
    }
    head
}

/// A close frame.
#[must_use]
pub fn close(code: CloseCode) -> [u8; 4] {
    let [high, low] = (code as u16).to_be_bytes();
    [FIN | CLOSE, 2, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A client's frame.
    fn framed(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let mut frame = data_head(payload.len()).as_bytes().to_vec();
        frame[0] = first;
        frame[1] |= MASKED;
        frame.extend_from_slice(&mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn one(bytes: &[u8]) -> Result<(Vec<u8>, Option<Control>), FrameError> {
        let mut bytes = bytes.to_vec();
        let found = Decoder::default().decode(&mut bytes)?;
        bytes.truncate(found.len);
        Ok((bytes, found.control))
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let mask = [1, 2, 3, 4];
        assert_eq!(one(&[0x82, 3, b'a', b'b', b'c']), Err(FrameError::Unmasked));
        assert_eq!(one(&framed(0xc2, b"abc", mask)), Err(FrameError::Reserved));
        assert_eq!(one(&framed(0x83, b"abc", mask)), Err(FrameError::Opcode));
        assert_eq!(one(&framed(0x80, b"abc", mask)), Err(FrameError::Order));
        let nested = [framed(0x02, b"a", mask), framed(0x82, b"b", mask)].concat();
        assert_eq!(one(&nested), Err(FrameError::Order));
        assert_eq!(one(&framed(0x09, b"", mask)), Err(FrameError::Control), "a ping in pieces");
        assert_eq!(one(&framed(0x89, &[0; 126], mask)), Err(FrameError::Control));
        let endless = [&[0x82, 0xff][..], &[0xff; 8], &mask].concat();
        assert_eq!(one(&endless), Err(FrameError::Length));
    }

    #[test]
    fn a_ping_is_answered_and_a_close_ends_all() {
        let mask = [9, 8, 7, 6];
        let frames =
            [framed(0x82, b"PIN", mask), framed(0x89, b"there?", mask), framed(0x82, b"G\r\n", mask)];
        let (data, control) = one(&frames.concat()).unwrap();
        assert_eq!(data, b"PING\r\n");
        let Some(Control::Pong(frame, len)) = control else { panic!("{control:?}") };
        assert_eq!(&frame[..len], b"\x8a\x06there?");
        let frames = [framed(0x88, &[3, 232], mask), framed(0x82, b"more", mask)].concat();
        assert_eq!(one(&frames).unwrap(), (Vec::new(), Some(Control::Close)));
    }

    #[test]
    fn a_length_that_is_announced_allocates_nothing() {
        let mut huge = [&[0x82, 0xff][..], &(u64::MAX >> 1).to_be_bytes(), &[0; 4], b"PING\r\n"].concat();
        let found = Decoder::default().decode(&mut huge).unwrap();
        assert_eq!((found.len, &huge[..6]), (6, &b"PING\r\n"[..]));
    }

    proptest! {
        /// However a client cuts its bytes into frames, and the network cuts these: the same comes out.
        #[test]
        fn frames_and_reads_may_be_cut_anywhere(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), any::<[u8; 4]>(), any::<bool>()), 1..6),
            cuts in prop::collection::vec(1_usize..50, 1..8),
        ) {
            let (mut sent, mut wanted, mut within) = (Vec::new(), Vec::new(), false);
            for (payload, mask, last) in &pieces {
                let opcode = if within { CONTINUATION } else { BINARY };
                sent.extend(framed(opcode | if *last { FIN } else { 0 }, payload, *mask));
                sent.extend(framed(FIN | PONG, b"unasked", *mask));
                wanted.extend_from_slice(payload);
                within = !last;
            }
            let (mut decoder, mut came, mut rest) = (Decoder::default(), Vec::new(), &sent[..]);
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                let mut now = now.to_vec();
                let found = decoder.decode(&mut now).unwrap();
                came.extend_from_slice(&now[..found.len]);
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(came, wanted);
        }

        /// Whatever comes, nothing panics.
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(found) = Decoder::default().decode(&mut bytes) {
                prop_assert!(found.len <= bytes.len());
            }
        }
    }
}
