//! The first bytes of a connection: waiting for the peer, TLS, and reading single lines before login.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{self, pki_types::CertificateDer};

use super::listener::Listener;
use super::packed::{PackedPipe, Unpacker};
use super::pipe::{PlainPipe, TlsPipe};
use super::websocket::Websocket;
use crate::conn::CloseReason;
use crate::link::compression::Compressed;
use crate::outbox::Pipe;

/// How long a handshake may wait for its peer before another one is worked on.
const AT_ONCE: Duration = Duration::from_millis(20);

/// Why a connection ended before it was one.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: CloseReason,
    pub(crate) detail: String,
}

impl Refused {
    pub(crate) fn new(reason: CloseReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

/// A peer after TLS, or without it: ready to be read line by line.
pub(crate) struct Greeted {
    pub(crate) reader: OwnedReadHalf,
    pub(crate) pipe: Arc<dyn Pipe>,
    pub(crate) tls: Option<Arc<TlsPipe>>,
    /// Of a link whose ends have agreed on compression.
    pub(crate) unpacker: Option<Box<Unpacker>>,
    /// Frames around everything, once the opening handshake is over.
    pub(crate) websocket: Option<Box<Websocket>>,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) tls_version: Option<&'static str>,
    pub(crate) tls_cipher: Option<&'static str>,
    /// Bytes read and not used yet.
    pub(crate) kept: Vec<u8>,
}

/// Writes to a socket that has just been accepted. The runtime does not know yet that it is writable, so the
/// kernel is asked directly: the few bytes always fit an empty socket buffer.
pub(crate) fn write_fresh(stream: &TcpStream, bytes: &[u8]) -> io::Result<()> {
    let sent = SockRef::from(stream).send(bytes)?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Waits until the peer has said something; returns its first byte.
pub(crate) async fn first_byte(stream: &TcpStream, until: Instant) -> Result<u8, Refused> {
    let mut byte = [0];
    match tokio::time::timeout_at(until, stream.peek(&mut byte)).await {
        Ok(Ok(1..)) => Ok(byte[0]),
        Ok(_) => Err(Refused::new(CloseReason::ClientClosed, "closed before it said anything")),
        Err(_) => Err(Refused::new(CloseReason::AuthenticationTimeout, "said nothing in time")),
    }
}

/// Performs the TLS handshake, with a permit that bounds how many are worked on at once.
pub(crate) async fn secure(
    listener: &Listener,
    stream: TcpStream,
    timeout: Duration,
    until: Instant,
) -> Result<Greeted, Refused> {
    let Some(tls) = &listener.config.tls else {
        return Err(Refused::new(CloseReason::TlsHandshake, "no TLS here"));
    };
    let failed = |detail: String| Refused::new(CloseReason::TlsHandshake, detail);
    // Who has waited too long could not log in any more: the work is saved for others.
    let permit = tokio::time::timeout_at(until, listener.handshakes.acquire());
    let permit = match permit.await {
        Ok(permit) => permit.map_err(|error| failed(error.to_string()))?,
        Err(_) => {
            let detail = "too many handshakes before this one";
            return Err(Refused::new(CloseReason::AuthenticationTimeout, detail));
        }
    };
    let config = tls.source.borrow().clone();
    let handshake = std::pin::pin!(TlsAcceptor::from(config).accept(stream));
    let outcome = tokio::time::timeout(timeout, while_it_goes_on(handshake, permit)).await;
    let stream = match outcome {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(failed(error.to_string())),
        Err(_) => return Err(failed("timed out".into())),
    };
    let (stream, session) = stream.into_inner();
    Ok(secured(stream, rustls::Connection::Server(session)))
}

/// Awaits a handshake; who lets us wait for more than a moment does not keep others out meanwhile.
async fn while_it_goes_on<H: Future>(mut handshake: Pin<&mut H>, permit: SemaphorePermit<'_>) -> H::Output {
    if let Ok(done) = tokio::time::timeout(AT_ONCE, handshake.as_mut()).await {
        return done;
    }
    drop(permit);
    handshake.await
}

/// A session after its handshake, split into what reads and what writes.
pub(crate) fn secured(stream: TcpStream, session: rustls::Connection) -> Greeted {
    let certificates = session
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect();
    let tls_version = session.protocol_version().and_then(|version| match version {
        rustls::ProtocolVersion::TLSv1_2 => Some("1.2"),
        rustls::ProtocolVersion::TLSv1_3 => Some("1.3"),
        _ => None,
    });
    let tls_cipher = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let (reader, writer) = stream.into_split();
    let tls = Arc::new(TlsPipe::new(writer, session));
    Greeted {
        reader,
        pipe: tls.clone(),
        tls: Some(tls),
        unpacker: None,
        websocket: None,
        certificates,
        tls_version,
        tls_cipher,
        kept: Vec::new(),
    }
}

/// A connection without TLS.
pub(crate) fn plain(stream: TcpStream) -> Greeted {
    let (reader, writer) = stream.into_split();
    Greeted {
        reader,
        pipe: Arc::new(PlainPipe(writer)),
        tls: None,
        unpacker: None,
        websocket: None,
        certificates: Vec::new(),
        tls_version: None,
        tls_cipher: None,
        kept: Vec::new(),
    }
}

impl Greeted {
    /// Reads until `parse` finds something in what has come; bounded by `max` bytes.
    pub(crate) async fn read_until<T>(
        &mut self,
        until: Instant,
        max: usize,
        mut parse: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, Refused>,
    ) -> Result<T, Refused> {
        loop {
            // Also what came along with the handshake's last record.
            if let Some(tls) = &self.tls {
                let from = self.kept.len();
                tls.decrypt(&[], input(&mut self.unpacker, &mut self.kept)).map_err(lost)?;
                self.take_apart(from)?;
            }
            if let Some(unpacker) = &mut self.unpacker {
                unpacker.unpack(&mut self.kept, max).map_err(unreadable)?;
            }
            if let Some((found, used)) = parse(&self.kept)? {
                self.kept.drain(..used);
                return Ok(found);
            }
            if self.kept.len() >= max {
                return Err(Refused::new(CloseReason::ProtocolViolation, "too much before login"));
            }
            match tokio::time::timeout_at(until, self.reader.readable()).await {
                Err(_) => return Err(Refused::new(CloseReason::AuthenticationTimeout, "no login in time")),
                Ok(ready) => ready.map_err(lost)?,
            }
            self.read_some(max)?;
        }
    }

    fn read_some(&mut self, max: usize) -> Result<(), Refused> {
        let mut chunk = [0; 2048];
        let room = if self.tls.is_some() { chunk.len() } else { chunk.len().min(max - self.kept.len()) };
        match self.reader.try_read(&mut chunk[..room]) {
            Ok(0) => Err(Refused::new(CloseReason::ClientClosed, "closed before login")),
            Ok(read) => {
                let from = self.kept.len();
                let input = input(&mut self.unpacker, &mut self.kept);
                match &self.tls {
                    None => input.extend_from_slice(&chunk[..read]),
                    Some(tls) => {
                        tls.decrypt(&chunk[..read], input).map_err(lost)?;
                    }
                }
                self.take_apart(from)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }

    /// From here on, in both directions, bytes are compressed.
    pub(crate) fn compress(&mut self, compressed: &Arc<Compressed>) {
        let mut unpacker = Box::new(Unpacker::new(compressed.clone()));
        unpacker.input().append(&mut self.kept);
        self.unpacker = Some(unpacker);
        self.pipe = Arc::new(PackedPipe::new(self.pipe.clone(), compressed.clone()));
    }

    /// Takes the frames off what has come from `from` on, where there are any.
    fn take_apart(&mut self, from: usize) -> Result<(), Refused> {
        let Some(websocket) = &mut self.websocket else { return Ok(()) };
        match websocket.take_apart(&mut self.kept, from) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refused::new(CloseReason::ClientClosed, "closed before login")),
            Err(error) => Err(Refused::new(CloseReason::ProtocolViolation, error.to_string())),
        }
    }

    /// Tells the peer that nothing more will come.
    pub(crate) fn close(&self, reason: CloseReason) {
        if let Some(websocket) = &self.websocket {
            websocket.close(reason);
        }
        if let Some(tls) = &self.tls {
            tls.close();
        }
    }

    /// Writes a few bytes before login; what the socket does not take at once is an error.
    pub(crate) async fn write(&self, bytes: &[u8], until: Instant) -> Result<(), Refused> {
        let mut at = 0;
        loop {
            let outcome = if at < bytes.len() {
                self.pipe.try_write(&bytes[at..]).map(|written| at += written)
            } else {
                self.pipe.try_flush()
            };
            match outcome {
                Ok(()) if at == bytes.len() && self.pipe.try_flush().is_ok() => return Ok(()),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    match tokio::time::timeout_at(until, self.reader.as_ref().writable()).await {
                        Ok(ready) => ready.map_err(lost)?,
                        Err(_) => {
                            return Err(Refused::new(CloseReason::AuthenticationTimeout, "takes no bytes"));
                        }
                    }
                }
                Err(error) => return Err(lost(error)),
            }
        }
    }
}

/// Where bytes go that are read before login.
fn input<'a>(unpacker: &'a mut Option<Box<Unpacker>>, kept: &'a mut Vec<u8>) -> &'a mut Vec<u8> {
    match unpacker {
        Some(unpacker) => unpacker.input(),
        None => kept,
    }
}

fn unreadable(error: io::Error) -> Refused {
    Refused::new(CloseReason::ProtocolViolation, error.to_string())
}

pub(crate) fn lost(error: io::Error) -> Refused {
    match error.kind() {
        io::ErrorKind::InvalidData => Refused::new(CloseReason::TlsHandshake, error.to_string()),
        _ => Refused::new(CloseReason::Io, error.to_string()),
    }
}
