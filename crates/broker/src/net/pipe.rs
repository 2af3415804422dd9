//! Where frames leave: a socket, or a TLS session over one.

use std::io::{self, BufRead, IoSlice, Write};

use parking_lot::Mutex;
use tokio::net::tcp::OwnedWriteHalf;
use tokio_rustls::rustls;

use crate::outbox::Pipe;

/// Plaintext encrypted at once: bounds what rustls holds for a peer that does not read.
const ENCRYPT_AT_ONCE: usize = 64 * 1024;

/// A socket without TLS.
pub(crate) struct PlainPipe(pub(crate) OwnedWriteHalf);

impl Pipe for PlainPipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn try_write_two(&self, first: &[u8], then: &[u8]) -> io::Result<usize> {
        self.0.try_write_vectored(&[IoSlice::new(first), IoSlice::new(then)])
    }

    fn try_flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A TLS session. Reading and writing share it under a lock; neither waits for the socket while holding it.
pub(crate) struct TlsPipe {
    socket: OwnedWriteHalf,
    session: Mutex<rustls::Connection>,
}

impl TlsPipe {
    pub(crate) fn new(socket: OwnedWriteHalf, mut session: rustls::Connection) -> Self {
        session.set_buffer_limit(None);
        Self { socket, session: Mutex::new(session) }
    }

    /// Decrypts `cipher` and appends what it holds to `plain`. `false` when the peer has closed the session.
    pub(crate) fn decrypt(&self, mut cipher: &[u8], plain: &mut Vec<u8>) -> io::Result<bool> {
        let mut session = self.session.lock();
        let mut open = true;
        loop {
            if !cipher.is_empty() {
                session.read_tls(&mut cipher)?;
            }
            let state = match session.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The alert that tells the peer why, if the socket takes it.
                    drop(push(&mut session, &self.socket));
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
            };
            drain(&mut session, plain)?;
            open &= !state.peer_has_closed();
            if cipher.is_empty() || !open {
                break;
            }
        }
        if session.wants_write() {
            match push(&mut session, &self.socket) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        Ok(open)
    }

    /// Tells the peer that nothing more will come.
    pub(crate) fn close(&self) {
        let mut session = self.session.lock();
        session.send_close_notify();
        drop(push(&mut session, &self.socket));
    }
}

fn drain(session: &mut rustls::Connection, plain: &mut Vec<u8>) -> io::Result<()> {
    let mut reader = session.reader();
    loop {
        let taken = match reader.fill_buf() {
            Ok([]) => return Ok(()),
            Ok(chunk) => {
                plain.extend_from_slice(chunk);
                chunk.len()
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        reader.consume(taken);
    }
}

fn push(session: &mut rustls::Connection, socket: &OwnedWriteHalf) -> io::Result<()> {
    while session.wants_write() {
        session.write_tls(&mut Socket(socket))?;
    }
    Ok(())
}

impl Pipe for TlsPipe {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write_two(&[], bytes)
    }

    fn try_write_two(&self, first: &[u8], then: &[u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        push(&mut session, &self.socket)?;
        let then = &then[..then.len().min(ENCRYPT_AT_ONCE)];
        let taken = session.writer().write_vectored(&[IoSlice::new(first), IoSlice::new(then)])?;
        match push(&mut session, &self.socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            // What the socket did not take stays in the session, for the next push.
            _ => Ok(taken),
        }
    }

    fn try_flush(&self) -> io::Result<()> {
        push(&mut self.session.lock(), &self.socket)
    }
}

/// The socket as rustls wants to write to it.
struct Socket<'a>(&'a OwnedWriteHalf);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
