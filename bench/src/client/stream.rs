//! The byte stream under a client: plain TCP or TLS over it.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Name all our test certificates carry.
const SERVER_NAME: &str = "localhost";

/// A blocking byte stream to a server.
pub(crate) enum Stream {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS over TCP; boxed because a TLS state is some kilobytes.
    Tls(Box<StreamOwned<ClientConnection, BufferedSocket>>),
}

/// A socket whose reads are buffered: rustls asks for 4 KiB at a time, which would make the generator
/// spend its time in system calls.
pub(crate) struct BufferedSocket(BufReader<TcpStream>);

impl Stream {
    /// Performs a TLS handshake over `socket`; `read_buffer` is the number of bytes read at once.
    ///
    /// # Errors
    /// When the handshake fails on this side. What the server thinks of our certificate shows at the
    /// first read.
    pub(crate) fn secure(
        socket: TcpStream,
        config: &Arc<ClientConfig>,
        read_buffer: usize,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(SERVER_NAME).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let socket = BufferedSocket(BufReader::with_capacity(read_buffer, socket));
        let mut tls = StreamOwned::new(session, socket);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(Self::Tls(Box::new(tls)))
    }

    /// The TCP socket underneath.
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(tls) => tls.sock.0.get_ref(),
        }
    }

    /// Tells the server that this side ends, where the protocol has a word for it.
    pub(crate) fn close(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            tls.conn.send_close_notify();
            tls.flush()?;
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(into),
            Self::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl Read for BufferedSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for BufferedSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}
