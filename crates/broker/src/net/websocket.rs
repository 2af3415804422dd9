//! WebSocket under a client connection: the opening handshake, and the frames around what is written and read.
//!
//! Frames are put around what is written as it goes to the socket, and taken apart where they were read: below the
//! outbox and the session nothing knows of them.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest;
use parking_lot::Mutex;
use tokio::time::Instant;
use wire::websocket::{self, CloseCode, Control, Decoder, Head, Opening, Origin, Rejection};

use super::greeting::{Greeted, Refused};
use crate::conn::CloseReason;
use crate::outbox::Pipe;

/// WebSocket of a listener.
#[derive(Debug, Clone, Default)]
pub struct WebsocketConfig {
    /// Pages that may connect; empty: all of them. What is no browser sends no origin, and is not asked.
    pub allowed_origins: Vec<Origin>,
    /// Only pages of this server itself, as the client names it.
    pub same_origin: bool,
}

impl WebsocketConfig {
    /// Whether the page that asks may.
    fn allows(&self, opening: &Opening, secure: bool) -> bool {
        let Some(origin) = &opening.origin else { return true };
        let origin: Origin = match origin.parse() {
            Ok(origin) => origin,
            Err(_) => return !self.same_origin && self.allowed_origins.is_empty(),
        };
        let same = !self.same_origin || Origin::of_host(&opening.host, secure).as_ref() == Ok(&origin);
        same && (self.allowed_origins.is_empty() || self.allowed_origins.contains(&origin))
    }
}

/// The frames of one connection.
pub(crate) struct Websocket {
    decoder: Decoder,
    pipe: Arc<FramePipe>,
}

impl Websocket {
    /// Leaves of `bytes`, from `from` on, what is in the frames that begin or go on there. `false` when the peer says
    /// nothing more.
    pub(crate) fn take_apart(&mut self, bytes: &mut Vec<u8>, from: usize) -> io::Result<bool> {
        let found = self.decoder.decode(&mut bytes[from..]);
        let found = found.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        bytes.truncate(from + found.len);
        match found.control {
            Some(Control::Pong(frame, len)) => self.pipe.say(&frame[..len]),
            Some(Control::Close) => return Ok(false),
            None => {}
        }
        Ok(true)
    }

    /// Tells the peer that nothing more will come, and why.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.pipe.say(&websocket::close(close_code(reason)));
    }
}

fn close_code(reason: CloseReason) -> CloseCode {
    match reason {
        CloseReason::ClientClosed => CloseCode::Normal,
        CloseReason::ProtocolViolation => CloseCode::Protocol,
        CloseReason::MaximumPayload => CloseCode::TooBig,
        CloseReason::StaleConnection
        | CloseReason::ServerShutdown
        | CloseReason::Overloaded
        | CloseReason::LinkUnavailable
        | CloseReason::Io
        | CloseReason::Panicked => CloseCode::Away,
        _ => CloseCode::Policy,
    }
}

/// Puts each block written into a frame of its own. A block may go in pieces: what is written next is the rest of it.
struct FramePipe {
    inner: Arc<dyn Pipe>,
    frame: Mutex<Frame>,
}

#[derive(Default)]
struct Frame {
    head: Head,
    /// Bytes of the head that have been written.
    head_at: usize,
    /// Bytes of the block that have not.
    left: usize,
    /// Frames of no data that wait for the end of the block.
    control: Vec<u8>,
}

impl FramePipe {
    /// Writes a control frame when a block is not in the way, else after it. Only what is due counts: a pong that
    /// has not gone is replaced.
    fn say(&self, control: &[u8]) {
        let mut frame = self.frame.lock();
        if frame.left > 0 {
            frame.control.clear();
        }
        if frame.control.len() < websocket::CONTROL_MAX {
            frame.control.extend_from_slice(control);
        }
        // What does not go now goes before the next block.
        drop(self.push_control(&mut frame).and_then(|()| self.inner.try_flush()));
    }

    fn push_control(&self, frame: &mut Frame) -> io::Result<()> {
        if frame.left > 0 {
            return Ok(());
        }
        while !frame.control.is_empty() {
            let written = self.inner.try_write(&frame.control)?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            frame.control.drain(..written);
        }
        Ok(())
    }
}

impl Pipe for FramePipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut frame = self.frame.lock();
        self.push_control(&mut frame)?;
        if frame.left == 0 && !bytes.is_empty() {
            frame.head = websocket::data_head(bytes.len());
            (frame.head_at, frame.left) = (0, bytes.len());
        }
        loop {
            let head = frame.head;
            let head = &head.as_bytes()[frame.head_at..];
            let block = &bytes[..bytes.len().min(frame.left)];
            let written = self.inner.try_write_two(head, block)?;
            let of_head = written.min(head.len());
            frame.head_at += of_head;
            frame.left -= written - of_head;
            if written > of_head || written == 0 {
                return Ok(written - of_head);
            }
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        self.push_control(&mut self.frame.lock())?;
        self.inner.try_flush()
    }
}

/// Reads the request, answers it, and has everything after it framed.
pub(super) async fn open(
    peer: &mut Greeted,
    config: &WebsocketConfig,
    until: Instant,
) -> Result<(), Refused> {
    let secure = peer.tls.is_some();
    let asked =
        peer.read_until(until, websocket::MAX_OPENING, |bytes| match websocket::parse_opening(bytes) {
            Ok(Some((opening, used))) if bytes.len() > used => {
                // A client has nothing to say before it is answered.
                drop(opening);
                Ok(Some((Err(Rejection::EARLY), used)))
            }
            Ok(Some((opening, used))) => Ok(Some((Ok(opening), used))),
            Ok(None) => Ok(None),
            Err(rejection) => Ok(Some((Err(rejection), 0))),
        });
    let allowed = asked.await?.and_then(|opening| {
        if config.allows(&opening, secure) { Ok(opening) } else { Err(Rejection::ORIGIN) }
    });
    match allowed {
        Ok(opening) => {
            let hash = digest::digest(
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                websocket::challenge(&opening.key).as_bytes(),
            );
            peer.write(&websocket::accepted(hash.as_ref()), until).await?;
            let pipe = Arc::new(FramePipe { inner: peer.pipe.clone(), frame: Mutex::default() });
            peer.pipe = pipe.clone();
            peer.websocket = Some(Box::new(Websocket { decoder: Decoder::default(), pipe }));
            Ok(())
        }
        Err(rejection) => Err(turn_down(peer, rejection, until).await),
    }
}

/// Answers a request that is refused.
pub(super) async fn turn_down(peer: &Greeted, rejection: Rejection, until: Instant) -> Refused {
    if let Err(refused) = peer.write(&rejection.to_bytes(), until).await {
        tracing::trace!(detail = %refused.detail, "the peer did not wait for the reason");
    }
    peer.close(CloseReason::ProtocolViolation);
    Refused::new(CloseReason::ProtocolViolation, format!("websocket: {}", rejection.why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that takes so many bytes at once, and none when it is told to.
    #[derive(Default)]
    struct Narrow {
        taken: Mutex<Vec<u8>>,
        at_once: usize,
        turns: Mutex<u32>,
    }

    impl Pipe for Narrow {
        fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
            let mut turns = self.turns.lock();
            *turns += 1;
            if turns.is_multiple_of(3) {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let take = bytes.len().min(self.at_once);
            self.taken.lock().extend_from_slice(&bytes[..take]);
            Ok(take)
        }

        fn try_flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes the server's frames apart.
    fn unframed(mut bytes: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
        let (mut data, mut control) = (Vec::new(), Vec::new());
        while let [first, second, rest @ ..] = bytes {
            let (len, rest) = match second {
                126 => (usize::from(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..]),
                short => (usize::from(*short), rest),
            };
            if first & 8 == 0 {
                data.extend_from_slice(&rest[..len])
            } else {
                control.push(bytes[..2 + len].to_vec())
            }
            bytes = &rest[len..];
        }
        (data, control)
    }

    #[test]
    fn blocks_go_in_frames_however_narrow_the_socket_is() {
        for at_once in [1, 2, 3, 7, 500] {
            let inner = Arc::new(Narrow { at_once, ..Narrow::default() });
            let pipe = FramePipe { inner: inner.clone(), frame: Mutex::default() };
            let blocks = [b"INFO {}\r\n".to_vec(), vec![b'x'; 300], b"PONG\r\n".to_vec()];
            let mut said = 0;
            for block in &blocks {
                let mut at = 0;
                while at < block.len() {
                    match pipe.try_write(&block[at..]) {
                        Ok(written) => at += written,
                        Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
                    }
                    if at * 2 > block.len() && said == 0 {
                        pipe.say(b"\x8a\x02hi");
                        said += 1;
                    }
                }
            }
            while pipe.try_flush().is_err() {}
            let (data, control) = unframed(&inner.taken.lock());
            assert_eq!(data, blocks.concat(), "{at_once}");
            assert_eq!(control, [b"\x8a\x02hi".to_vec()], "{at_once}");
        }
    }

    #[test]
    fn pages_from_elsewhere_are_refused_where_it_says_so() {
        let opening = |origin: Option<&str>| Opening {
            key: String::new(),
            host: "bus.example.com:8443".into(),
            origin: origin.map(str::to_owned),
        };
        let config = |same_origin, origins: &[&str]| WebsocketConfig {
            same_origin,
            allowed_origins: origins.iter().map(|origin| origin.parse().unwrap()).collect(),
        };
        let own = "https://bus.example.com:8443";
        for (config, origin, allowed) in [
            (config(false, &[]), Some("https://evil.example"), true),
            (config(false, &[]), Some("null"), true),
            (config(true, &[]), None, true),
            (config(true, &[]), Some(own), true),
            (config(true, &[]), Some("https://bus.example.com"), false),
            (config(true, &[]), Some("http://bus.example.com:8443"), false),
            (config(true, &[]), Some("null"), false),
            (config(false, &["https://app.example.com"]), Some("https://app.example.com:443"), true),
            (
                config(false, &["https://app.example.com"]),
                Some("https://app.example.com.evil.example"),
                false,
            ),
            (config(false, &["https://app.example.com"]), Some("null"), false),
            (config(true, &["https://app.example.com"]), Some(own), false),
        ] {
            assert_eq!(config.allows(&opening(origin), true), allowed, "{config:?} {origin:?}");
        }
    }
}
