//! Connecting, logging in, sending and receiving.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio_rustls::rustls::ClientConfig;

use super::operation::{Operation, complete, decode};
use super::stream::Stream;

/// No answer from a loopback server within this time is a failure.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Longest INFO line accepted, bytes.
const INFO_LIMIT: usize = 16 * 1024;
/// Read buffer of a connection that carries load, bytes.
const LOAD_BUFFER: usize = 64 * 1024;
/// Read buffer of a connection of which there are thousands, bytes.
const SMALL_BUFFER: usize = 2 * 1024;

/// Where and how to connect.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// Address of the client port.
    pub(crate) address: SocketAddr,
    /// TLS settings; plain TCP without.
    pub(crate) tls: Option<Arc<ClientConfig>>,
    /// Value of `auth_token`.
    pub(crate) token: Option<String>,
}

/// A logged-in connection.
pub(crate) struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

/// Connects and reads the server's INFO, nothing more: TCP is open, the server knows no client yet.
///
/// # Errors
/// When nobody listens, or what answers is no NATS server.
pub(crate) fn greet(address: SocketAddr) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    let mut info = [0; INFO_LIMIT];
    let mut length = 0;
    // A server says nothing after INFO before it has heard from us, so no byte of anything else is read.
    while !info[..length].ends_with(b"\n") {
        match socket.read(&mut info[length..])? {
            0 => bail!("{address}: closed before the end of INFO"),
            count => length += count,
        }
    }
    if !info.starts_with(b"INFO ") {
        bail!("{address}: not a NATS server");
    }
    Ok(socket)
}

impl Endpoint {
    /// Connects for load: large buffers.
    ///
    /// # Errors
    /// When the server can't be reached or refuses us.
    pub(crate) fn connect(&self) -> Result<Client> {
        self.connect_with(LOAD_BUFFER)
    }

    /// Connects with small buffers, for thousands of connections.
    ///
    /// # Errors
    /// As [`Endpoint::connect`].
    pub(crate) fn connect_small(&self) -> Result<Client> {
        self.connect_with(SMALL_BUFFER)
    }

    fn connect_with(&self, capacity: usize) -> Result<Client> {
        let socket = greet(self.address)?;
        let stream = match &self.tls {
            Some(config) => Stream::secure(socket, config, capacity).context("TLS handshake")?,
            None => Stream::Plain(socket),
        };
        let mut client = Client { stream, buffer: vec![0; capacity], start: 0, end: 0 };
        let mut options = json!({
            "verbose": false, "pedantic": false, "echo": true, "headers": true, "no_responders": true,
            "tls_required": self.tls.is_some(), "protocol": 1, "name": "bench", "lang": "rust",
            "version": env!("CARGO_PKG_VERSION"),
        });
        if let Some(token) = &self.token {
            options["auth_token"] = json!(token);
        }
        client.send(format!("CONNECT {options}\r\nPING\r\n").as_bytes())?;
        client.wait_for_pong()?;
        Ok(client)
    }
}

impl Client {
    /// Sends `bytes` as they are.
    ///
    /// # Errors
    /// When the connection is broken or takes nothing for 20 s.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Subscribes and waits until the server has taken it.
    ///
    /// # Errors
    /// When the server refuses.
    pub(crate) fn subscribe(&mut self, subject: &str, group: Option<&str>) -> Result<()> {
        let group = group.map(|name| format!("{name} ")).unwrap_or_default();
        self.send(format!("SUB {subject} {group}1\r\n").as_bytes())?;
        self.flush()
    }

    /// Waits until the server has processed all that was sent: `PING`, `PONG`.
    ///
    /// # Errors
    /// When the server answers with an error or not at all.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.send(b"PING\r\n")?;
        self.wait_for_pong()
    }

    fn wait_for_pong(&mut self) -> Result<()> {
        loop {
            match self.receive()? {
                Operation::Pong => return Ok(()),
                Operation::Error(line) => bail!("server says {}", String::from_utf8_lossy(line)),
                _ => {}
            }
        }
    }

    /// Waits for the next message and discards it.
    ///
    /// # Errors
    /// When the server sends an error, or nothing for 20 s.
    pub(crate) fn wait_for_message(&mut self) -> Result<()> {
        loop {
            match self.receive()? {
                Operation::Message { .. } => return Ok(()),
                Operation::Error(line) => bail!("server says {}", String::from_utf8_lossy(line)),
                _ => {}
            }
        }
    }

    /// The next operation; a `PING` is answered before it is handed out.
    ///
    /// # Errors
    /// When the connection is broken, or after the read timeout of the socket.
    pub(crate) fn receive(&mut self) -> io::Result<Operation<'_>> {
        let length = loop {
            match complete(&self.buffer[self.start..self.end]) {
                Some(length) => break length,
                None => self.fill()?,
            }
        };
        let from = self.start;
        self.start += length;
        if self.buffer[from..self.start] == *b"PING\r\n" {
            self.stream.write_all(b"PONG\r\n")?;
        }
        Ok(decode(&self.buffer[from..self.start]))
    }

    /// Whether [`Client::receive`] would answer without reading.
    pub(crate) fn has_operation(&self) -> bool {
        complete(&self.buffer[self.start..self.end]).is_some()
    }

    fn fill(&mut self) -> io::Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.end..])? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed by the server")),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }

    /// The TCP socket underneath.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.socket()
    }

    /// Gives up parsing; what follows on the stream is counted by its length.
    ///
    /// # Errors
    /// When bytes were received that nobody has looked at.
    pub(crate) fn into_stream(self) -> Result<Stream> {
        if self.start != self.end {
            bail!("data arrived before the measurement began");
        }
        Ok(self.stream)
    }

    /// Closes in an orderly way.
    ///
    /// # Errors
    /// When the connection is broken already.
    pub(crate) fn close(mut self) -> io::Result<()> {
        self.stream.close()
    }
}
